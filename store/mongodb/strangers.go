package mongodb

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// maxStrangers bounds how many documents of an _id that no list reads are looked
// for at once.
const maxStrangers = 1000

// noteStrangers makes those documents known that a list leaves out because of
// the type of their _id: it is a text, or also an ObjectId. A range of the index
// is read for each side of these, in the server's order of types.
func (c collection) noteStrangers(ctx context.Context, objectIDs bool) error {
	text, behind := "\x00", bson.E{Key: "_id", Value: bson.D{}} // the first text but the empty one, and what follows the last
	ranges := []*options.FindOptionsBuilder{options.Find().SetMax(is("_id", text)), options.Find().SetMin(bson.D{behind})}
	if objectIDs {
		ranges[1].SetMax(is("_id", bson.ObjectID{}))
		ranges = append(ranges, options.Find().SetMin(is("_id", false))) // booleans follow the last ObjectId
	}
	for _, o := range ranges {
		o.SetHint(asc("_id")).SetSort(asc("_id")).SetProjection(is("_id", 1)).SetLimit(maxStrangers)
		cursor, err := c.find(ctx, bson.D{}, o)
		if err != nil {
			return err
		}
		var found []bson.Raw
		if err := cursor.All(ctx, &found); err != nil {
			return err
		}
		for _, doc := range found {
			id := doc.Lookup("_id")
			c.db.unreadable.Note(ctx, c.Name(), printID(id), fmt.Errorf("an _id is a %s, by which nobody finds it", id.Type))
		}
	}
	return nil
}
