package mongodb

import (
	"context"
	"errors"
	"iter"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// pageRows is how many documents a sequence reads at a time.
const pageRows = 500

// one returns the document that filter finds, or notFound.
func one[D any](ctx context.Context, c *mongo.Collection, filter bson.D, notFound error, o ...options.Lister[options.FindOneOptions]) (D, error) {
	var d D
	err := c.FindOne(ctx, filter, o...).Decode(&d)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return d, notFound
	}
	return d, err
}

// list returns the documents that filter finds, each as convert makes it.
func list[D, T any](ctx context.Context, c *mongo.Collection, filter bson.D, convert func(D) T, o ...options.Lister[options.FindOptions]) ([]T, error) {
	cursor, err := c.Find(ctx, filter, o...)
	if err != nil {
		return nil, err
	}
	return drain(ctx, cursor, convert)
}

// drain reads a cursor to its end.
func drain[D, T any](ctx context.Context, cursor *mongo.Cursor, convert func(D) T) ([]T, error) {
	var docs []D
	if err := cursor.All(ctx, &docs); err != nil {
		return nil, err
	}
	all := make([]T, len(docs))
	for i, d := range docs {
		all[i] = convert(d)
	}
	return all, nil
}

// sequence yields what filter finds, page by page; the server keeps nothing
// back while the loop's body runs but its cursor.
func sequence[D, T any](ctx context.Context, c *mongo.Collection, filter bson.D, convert func(D) T, o *options.FindOptionsBuilder) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		cursor, err := c.Find(ctx, filter, o.SetBatchSize(pageRows))
		if err != nil {
			yield(none, ended(ctx, err))
			return
		}
		defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
		for cursor.Next(ctx) {
			var d D
			if err := cursor.Decode(&d); err != nil {
				yield(none, err)
				return
			}
			if !yield(convert(d), nil) {
				return
			}
		}
		if err := cursor.Err(); err != nil {
			yield(none, ended(ctx, err))
		}
	}
}

// ended prefers the context's own error to the driver's word for it.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// page returns up to limit documents with an id above after, by the id's text.
// Ids are of two types, which the server sorts apart, so both are read and
// merged.
func page[D, T any](ctx context.Context, c *mongo.Collection, after string, limit int, convert func(D) T, id func(T) string) ([]T, error) {
	o := options.Find().SetSort(asc("_id")).SetLimit(int64(limit))
	texts, err := list(ctx, c, is("_id", is("$gt", after)), convert, o)
	if err != nil {
		return nil, err
	}
	objects, err := list(ctx, c, is("_id", objectsAbove(after)), convert, o)
	if err != nil {
		return nil, err
	}
	merged := make([]T, 0, min(limit, len(texts)+len(objects)))
	for len(merged) < limit && len(texts)+len(objects) > 0 {
		from := &objects
		if len(objects) == 0 || len(texts) > 0 && id(texts[0]) < id(objects[0]) {
			from = &texts
		}
		merged = append(merged, (*from)[0])
		*from = (*from)[1:]
	}
	return merged, nil
}

// objectsAbove returns the condition for ObjectIds whose text is above after.
func objectsAbove(after string) bson.D {
	if o, ok := recordID(after).objectID(); ok {
		return is("$gt", o)
	}
	const digits = "0123456789abcdef"
	for i := range 24 {
		if i == len(after) { // the lowest text that goes on from here
			return is("$gte", filled(after, '0'))
		}
		if strings.IndexByte(digits, after[i]) >= 0 {
			continue
		}
		if next := strings.IndexFunc(digits, func(d rune) bool { return byte(d) > after[i] }); next >= 0 {
			return is("$gte", filled(after[:i]+digits[next:next+1], '0'))
		}
		return is("$gt", filled(after[:i], 'f'))
	}
	return is("$gt", filled(after[:24], '0'))
}

// filled returns the ObjectId whose text begins with prefix and goes on with
// digit.
func filled(prefix string, digit byte) bson.ObjectID {
	o, _ := recordID(prefix + strings.Repeat(string(digit), 24-len(prefix))).objectID() // all of it is hexadecimal
	return o
}
