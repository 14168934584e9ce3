package mongodb

import (
	"context"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/order"
)

// sift gives those members of the batch their verdict whose conditions do not
// hold now, and returns the others.
func (db *DB) sift(ctx context.Context, batch []*change) ([]*change, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	s, err := db.look(ctx, batch)
	if err != nil {
		return batch, err
	}
	return slices.DeleteFunc(slices.Clone(batch), func(c *change) bool {
		c.err = s.verdict(c)
		return c.err != nil
	}), nil
}

// state is what the conditions of a batch depend on.
type state struct {
	holds   map[string]bool       // collection/id of updates whose condition holds
	exists  map[string]bool       // collection/id of inserts whose id is taken
	holders map[recordID]recordID // ticket → its active order
}

// look reads the state with a query per collection and kind of write.
func (db *DB) look(ctx context.Context, batch []*change) (state, error) {
	filters, ids := map[string]bson.A{}, map[string]bson.A{}
	var seats []recordID
	for _, c := range batch {
		for _, w := range c.writes {
			if w.filter == nil {
				ids[w.collection] = append(ids[w.collection], w.id)
			} else {
				filters[w.collection] = append(filters[w.collection], w.filter)
			}
			if w.seat != "" {
				seats = append(seats, w.seat)
			}
		}
		for _, id := range c.eventIDs() {
			ids[eventsName] = append(ids[eventsName], id)
		}
	}
	s := state{holds: map[string]bool{}, exists: map[string]bool{}}
	for name, conditions := range filters {
		if err := db.note(ctx, s.holds, name, is("$or", conditions)); err != nil {
			return s, err
		}
	}
	for name, taken := range ids {
		if err := db.note(ctx, s.exists, name, is("_id", is("$in", taken))); err != nil {
			return s, err
		}
	}
	var err error
	s.holders, err = db.holders(ctx, seats)
	return s, err
}

func (db *DB) note(ctx context.Context, found map[string]bool, name string, filter bson.D) error {
	ids, err := db.present(ctx, collection{db.latest.Collection(name), db}, filter)
	for _, id := range ids {
		found[name+"/"+string(id)] = true
	}
	return err
}

// present returns the ids of what filter finds.
func (db *DB) present(ctx context.Context, c collection, filter bson.D) ([]recordID, error) {
	type found struct {
		ID recordID `bson:"_id"`
	}
	return list(ctx, c, filter, func(f found) recordID { return f.ID }, options.Find().SetProjection(is("_id", 1)))
}

// holders returns the active orders of the tickets.
func (db *DB) holders(ctx context.Context, tickets []recordID) (map[recordID]recordID, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	filter := bson.D{{Key: "ticket", Value: is("$in", refs(tickets))}, {Key: "status", Value: is("$in", order.Active())}}
	type holder struct {
		ID     recordID `bson:"_id"`
		Ticket recordID `bson:"ticket"`
	}
	held := map[recordID]recordID{}
	_, err := list(ctx, collection{db.latest.Collection(ordersName), db}, filter, func(h holder) bool {
		held[h.Ticket] = h.ID
		return true
	})
	return held, err
}

// verdict returns why c cannot be committed, or nil.
func (s state) verdict(c *change) error {
	for _, w := range c.writes {
		key := w.collection + "/" + string(w.id)
		if w.filter == nil && s.exists[key] || w.filter != nil && !s.holds[key] {
			return errCondition
		}
		if holder := s.holders[w.seat]; w.seat != "" && holder != "" && holder != w.id {
			return errTaken
		}
	}
	for _, id := range c.eventIDs() {
		if s.exists[eventsName+"/"+id] {
			return errCondition
		}
	}
	return nil
}
