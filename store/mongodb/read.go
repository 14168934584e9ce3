package mongodb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// What reads many documents holds pageRows of up to smallBytes each, which the
// server sends at once, and one that is larger, which is read when its turn
// comes. A page ends with the document that reaches pageBytes.
const (
	pageRows   = 500
	smallBytes = 2 << 10
	pageBytes  = 256 << 10
)

// collection is a collection with what its readers share.
type collection struct {
	*mongo.Collection
	db *DB
}

func (db *DB) collection(name string) collection { return collection{db.data.Collection(name), db} }

// find is Find. If an index that it names was dropped, it is made again first.
func (c collection) find(ctx context.Context, filter bson.D, o ...options.Lister[options.FindOptions]) (*mongo.Cursor, error) {
	cursor, err := c.Find(ctx, filter, o...)
	if isLostIndex(err) {
		_ = c.db.restore(ctx) // what is not as it must be need not concern this query
		cursor, err = c.Find(ctx, filter, o...)
	}
	return read(cursor, err)
}

// count is CountDocuments, as find is Find.
func (c collection) count(ctx context.Context, filter bson.D, o *options.CountOptionsBuilder) (int64, error) {
	n, err := c.CountDocuments(ctx, filter, o)
	if isLostIndex(err) {
		_ = c.db.restore(ctx) // as in find
		n, err = c.CountDocuments(ctx, filter, o)
	}
	return read(n, err)
}

// exactly is how many documents are counted one by one; a count that is
// made every few seconds must cost no more.
const exactly = 10_000

// size returns how many documents there are, from exactly on as the server
// estimates, which may be off after it was killed.
func (c collection) size(ctx context.Context) (int, error) {
	n, err := c.CountDocuments(ctx, bson.D{}, options.Count().SetLimit(exactly).SetHint(asc("_id")))
	if err != nil || n < exactly {
		return int(n), err
	}
	estimate, err := c.EstimatedDocumentCount(ctx)
	return int(max(n, estimate)), err
}

// errUnreadable: the document is there and cannot be read.
var errUnreadable = errors.New("the stored document cannot be read")

// checked is a document that can be wrong although each of its fields is right.
type checked interface{ check() error }

// decode decodes a document. One that cannot be is made known.
func decode[D any](ctx context.Context, c collection, raw bson.Raw) (d D, err error) {
	if _, whole := any(d).(bson.Raw); !whole {
		err = twice(raw)
	}
	if err == nil {
		err = bson.Unmarshal(raw, &d)
	}
	if c, ok := any(d).(checked); ok && err == nil {
		err = c.check()
	}
	if err != nil {
		c.db.unreadable.Note(ctx, c.Name(), printID(raw.Lookup("_id")), err)
		return d, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return d, nil
}

// twice returns an error if a field is in the document more than once: the server
// takes the first, the driver the last, and neither knows of the other.
func twice(raw bson.Raw) error {
	if len(raw) < 5 {
		return nil // not to be judged here
	}
	var buffer [16][]byte
	seen := buffer[:0]
	for rest := []byte(raw[4:]); ; {
		element, after, ok := bsoncore.ReadElement(rest)
		if rest = after; !ok {
			return nil // the end, or not to be judged here
		}
		key := element.KeyBytes()
		if slices.ContainsFunc(seen, func(k []byte) bool { return bytes.Equal(k, key) }) {
			return fmt.Errorf("the field %s is there twice", key)
		}
		seen = append(seen, key)
	}
}

// one returns the document that filter finds, or notFound, or errUnreadable.
func one[D any](ctx context.Context, c collection, filter bson.D, notFound error, o ...options.Lister[options.FindOneOptions]) (D, error) {
	raw, err := read(c.FindOne(ctx, filter, o...).Raw())
	if err != nil {
		var none D
		if errors.Is(err, mongo.ErrNoDocuments) {
			err = notFound
		}
		return none, err
	}
	return decode[D](ctx, c, raw)
}

// as gives errUnreadable the name that a port has for it.
func as(port, err error) error {
	if errors.Is(err, errUnreadable) {
		return fmt.Errorf("%w: %w", port, err)
	}
	return err
}

// list returns the documents that filter finds, each as convert makes it, but
// for those that cannot be read.
func list[D, T any](ctx context.Context, c collection, filter bson.D, convert func(D) T, o ...options.Lister[options.FindOptions]) ([]T, error) {
	cursor, err := c.find(ctx, filter, o...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
	all := []T{}
	for cursor.Next(ctx) {
		if d, err := decode[D](ctx, c, cursor.Current); err == nil { // what cannot be read has been made known
			all = append(all, convert(d))
		}
	}
	return all, cursor.Err()
}

// first returns up to limit of what q finds and can be read, fewer if that is
// large or there is no more.
func first[D, T any](ctx context.Context, c collection, q query, convert func(D) T, limit int) ([]T, error) {
	q.batch = min(limit, pageRows)
	for q.most = limit; ; {
		all, given, size := []T{}, 0, 0
		for doc, err := range c.stream(ctx, q) {
			if err != nil {
				return nil, err
			}
			given++
			d, err := decode[D](ctx, c, doc)
			if err != nil {
				continue // it has been made known
			}
			all = append(all, convert(d))
			if size += len(doc); len(all) == limit || size >= pageBytes {
				return all, nil
			}
		}
		if given < q.most {
			return all, nil
		}
		q.most = limit + given - len(all)
	}
}

// drain reads a cursor of an aggregation to its end.
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

// query is what a stream reads.
type query struct {
	filter, sort bson.D
	fields       bson.D // which to leave out; nil for none
	hint         any    // an index that keeps the sort out of memory; nil lets the server choose
	batch        int    // documents that the server sends at once; pageRows if 0
	most         int    // documents in all; 0 for no bound
}

// stream yields what q finds, document by document, each valid until the next.
// The server keeps nothing back while the loop's body runs but its cursor.
func (c collection) stream(ctx context.Context, q query) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		cursor, err := c.small(ctx, q)
		if err != nil {
			yield(nil, ended(ctx, err))
			return
		}
		defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
		for cursor.Next(ctx) {
			doc := cursor.Current
			if id, is := isStub(doc); is {
				if doc, err = c.again(ctx, q, id); errors.Is(err, mongo.ErrNoDocuments) {
					continue
				}
			}
			if !yield(doc, ended(ctx, err)) || err != nil {
				return
			}
		}
		if err := cursor.Err(); err != nil {
			yield(nil, ended(ctx, err))
		}
	}
}

// small returns a cursor of what q finds, in which a large document is a stub:
// its _id alone, in an array, which is the one type that no _id has.
func (c collection) small(ctx context.Context, q query) (*mongo.Cursor, error) {
	isSmall := is("$lte", bson.A{is("$bsonSize", "$$ROOT"), smallBytes})
	stub := is("_id", bson.A{"$_id"})
	pipeline := mongo.Pipeline{is("$match", q.filter), is("$sort", q.sort)}
	if q.most > 0 {
		pipeline = append(pipeline, is("$limit", q.most))
	}
	if q.fields != nil {
		pipeline = append(pipeline, is("$project", q.fields))
	}
	pipeline = append(pipeline, is("$replaceWith", is("$cond", bson.A{isSmall, "$$ROOT", stub})))
	o := options.Aggregate().SetBatchSize(int32(cmp.Or(q.batch, pageRows)))
	if q.hint != nil {
		o.SetHint(q.hint)
	}
	cursor, err := c.Aggregate(ctx, pipeline, o)
	if isLostIndex(err) {
		_ = c.db.restore(ctx) // as in find
		cursor, err = c.Aggregate(ctx, pipeline, o)
	}
	return read(cursor, err)
}

func isStub(doc bson.Raw) (id bson.RawValue, is bool) {
	array, is := doc.Lookup("_id").ArrayOK()
	if !is {
		return id, false
	}
	id, err := array.IndexErr(0)
	return id, err == nil
}

// again reads a large document, if q still finds it.
func (c collection) again(ctx context.Context, q query, id bson.RawValue) (bson.Raw, error) {
	o := options.FindOne()
	if q.fields != nil {
		o.SetProjection(q.fields)
	}
	return c.FindOne(ctx, is("$and", bson.A{is("_id", is("$eq", id)), q.filter}), o).Raw()
}

// upwards yields by id what filter finds, a condition on _id alone for ids of one
// type, n documents a query. The server reads megabytes ahead for a pipeline that
// ends nowhere, however few are asked for.
func (c collection) upwards(ctx context.Context, filter bson.D, n int) iter.Seq2[bson.Raw, error] {
	return func(yield func(bson.Raw, error) bool) {
		for {
			var last bson.RawValue
			for doc, err := range c.stream(ctx, query{filter: filter, sort: asc("_id"), batch: n, most: n}) {
				if !yield(doc, err) || err != nil {
					return
				}
				id := doc.Lookup("_id")
				last = bson.RawValue{Type: id.Type, Value: bytes.Clone(id.Value)} // the document is valid until the next
			}
			if last.IsZero() {
				return
			}
			filter = is("_id", is("$gt", last)) // of its type alone
		}
	}
}

// sequence yields what q finds and can be read.
func sequence[D, T any](ctx context.Context, c collection, q query, convert func(D) T) iter.Seq2[T, error] {
	return decoded(ctx, c, c.stream(ctx, q), convert)
}

// decoded yields those of the documents that can be read.
func decoded[D, T any](ctx context.Context, c collection, docs iter.Seq2[bson.Raw, error], convert func(D) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for doc, err := range docs {
			var d D
			if err == nil {
				if d, err = decode[D](ctx, c, doc); err != nil {
					continue // it has been made known
				}
			}
			if !yield(convert(d), err) || err != nil {
				return
			}
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
