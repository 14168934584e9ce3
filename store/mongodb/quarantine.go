package mongodb

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/event"
	"lockstep/listeners"
)

// Quarantine is the collection of messages that were set aside.
type Quarantine struct{ db *DB }

var _ listeners.Quarantine = (*Quarantine)(nil)

// Quarantine returns the port of package listeners.
func (db *DB) Quarantine() *Quarantine { return &Quarantine{db} }

func (s *Quarantine) messages() collection { return s.db.collection(quarantineName) }

// quarantineDoc is a message as it lies in the database.
type quarantineDoc struct {
	ID       entryID          `bson:"_id"`
	Group    string           `bson:"queueGroup"`
	Subject  event.Subject    `bson:"subject"`
	Sequence int64            `bson:"sequence"`
	Key      payload          `bson:"key"` // text, but nothing checked it
	Version  int64            `bson:"version"`
	After    *int64           `bson:"predecessor"` // the last release left it out
	Payload  payload          `bson:"payload"`
	Size     int64            `bson:"size"` // of the payload, in bytes; the last release left it out
	Reason   listeners.Reason `bson:"reason"`
	Detail   payload          `bson:"detail"` // may quote what is no text
	At       time.Time        `bson:"at"`
}

func (d quarantineDoc) message() listeners.Quarantined {
	q := listeners.Quarantined{
		ID: string(d.ID), Group: d.Group, Subject: d.Subject, Sequence: uint64(d.Sequence), Key: string(d.Key), Version: d.Version,
		Predecessor: d.Version - 1, Payload: d.Payload, Reason: d.Reason, Detail: string(d.Detail), At: d.At.UTC(),
	}
	if d.After != nil {
		q.Predecessor = *d.After
	}
	return q
}

func quarantineDocOf(q listeners.Quarantined) quarantineDoc {
	return quarantineDoc{
		ID: entryID(q.ID), Group: q.Group, Subject: q.Subject, Sequence: int64(q.Sequence), Key: payload(q.Key), Version: q.Version,
		After: &q.Predecessor, Payload: q.Payload, Size: int64(len(q.Payload)), Reason: q.Reason, Detail: payload(q.Detail), At: instant(q.At),
	}
}

// Put implements listeners.Quarantine.
func (s *Quarantine) Put(ctx context.Context, messages []listeners.Quarantined) error {
	if len(messages) == 0 {
		return nil
	}
	if err := s.db.condition.keeps(quarantineName); err != nil {
		return err
	}
	docs := make([]quarantineDoc, len(messages))
	for i, q := range messages {
		docs[i] = quarantineDocOf(q)
	}
	_, err := s.messages().InsertMany(ctx, docs, options.InsertMany().SetOrdered(false))
	if onlyDuplicates(err) {
		return nil
	}
	return err
}

// onlyDuplicates reports whether all that failed of a bulk write was there
// before.
func onlyDuplicates(err error) bool {
	var bulk mongo.BulkWriteException
	if !errors.As(err, &bulk) || bulk.WriteConcernError != nil {
		return false
	}
	return !slices.ContainsFunc(bulk.WriteErrors, func(e mongo.BulkWriteError) bool { return !e.HasErrorCode(codeDuplicateKey) })
}

// List implements listeners.Quarantine.
func (s *Quarantine) List(ctx context.Context, f listeners.Filter, after string, limit int) ([]listeners.Quarantined, string, error) {
	if after == "" {
		if err := s.messages().noteStrangers(ctx, false); err != nil {
			return nil, "", err
		}
	}
	to, err := s.reach(ctx, f, after)
	if err != nil {
		return nil, "", err
	}
	ids := is("$gt", after)
	if to != "" {
		ids = append(ids, bson.E{Key: "$lte", Value: to})
	}
	filter := is("_id", ids)
	if f.Group != "" {
		filter = append(filter, bson.E{Key: "queueGroup", Value: f.Group})
	}
	if f.Reason != "" {
		filter = append(filter, bson.E{Key: "reason", Value: f.Reason})
	}
	if f.Subject != "" {
		filter = append(filter, bson.E{Key: "subject", Value: f.Subject})
	}
	if f.Key != "" {
		filter = append(filter, bson.E{Key: "key", Value: payload(f.Key)})
	}
	if !f.Before.IsZero() {
		filter = append(filter, bson.E{Key: "at", Value: is("$lt", f.Before)})
	}
	q := query{filter: filter, sort: asc("_id"), fields: is("payload", 0), hint: asc("_id")}
	found, err := first(ctx, s.messages(), q, quarantineDoc.message, limit)
	if len(found) > 0 {
		to = found[len(found)-1].ID
	}
	return found, to, err
}

// reach returns the id up to which entries are looked at for those that f
// chooses; "" for all. It reads an index alone.
func (s *Quarantine) reach(ctx context.Context, f listeners.Filter, after string) (string, error) {
	if f == (listeners.Filter{}) {
		return "", nil
	}
	type last struct {
		ID string `bson:"_id"`
	}
	d, err := one[last](ctx, s.messages(), is("_id", is("$gt", after)), listeners.ErrNotFound,
		options.FindOne().SetSort(asc("_id")).SetSkip(listeners.LookAt-1).SetProjection(is("_id", 1)).SetHint(asc("_id")))
	if errors.Is(err, listeners.ErrNotFound) {
		return "", nil
	}
	return d.ID, err
}

// waits is the condition of the index of what waits.
func waits() bson.E {
	return bson.E{Key: "reason", Value: is("$in", bson.A{listeners.TooEarly, listeners.Failing})}
}

// Waiting implements listeners.Quarantine.
func (s *Quarantine) Waiting(ctx context.Context, group, after string, limit int) ([]listeners.Quarantined, error) {
	return s.page(ctx, bson.D{{Key: "queueGroup", Value: group}, {Key: "key", Value: is("$gt", payload(after))}, waits()}, limit)
}

// Applicable implements listeners.Quarantine. What each record waits for is
// read from the index alone.
func (s *Quarantine) Applicable(ctx context.Context, group string, reached map[string]int64, limit int) ([]listeners.Quarantined, error) {
	if len(reached) == 0 {
		return nil, nil
	}
	heads := make(bson.A, 0, len(reached))
	for key, version := range reached {
		heads = append(heads, bson.D{{Key: "key", Value: payload(key)}, {Key: "predecessor", Value: is("$lte", version)}})
	}
	found, err := list(ctx, s.messages(), bson.D{{Key: "queueGroup", Value: group}, waits(), {Key: "$or", Value: heads}}, quarantineDoc.message,
		options.Find().SetLimit(int64(limit)).SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "key", Value: 1}}))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	keys := make(bson.A, len(found))
	for i, q := range found {
		keys[i] = payload(q.Key)
	}
	return s.page(ctx, bson.D{{Key: "queueGroup", Value: group}, {Key: "key", Value: is("$in", keys)}, waits()}, limit)
}

// maxSize is how many bytes a document has at most, so no payload has more.
const maxSize = 16 << 20

// largePayload is how many bytes a payload has that is read by itself: the
// server sends batches of many documents, whatever their size.
const largePayload = 8 << 10

// withoutLarge leaves out the payloads that are read by themselves.
func withoutLarge() bson.D {
	fields := asc("queueGroup", "subject", "sequence", "key", "version", "predecessor", "size", "reason", "detail", "at")
	return append(fields, bson.E{Key: "payload", Value: is("$cond", bson.A{is("$lte", bson.A{"$size", largePayload}), "$payload", ""})})
}

// page returns up to limit of what filter finds by key and predecessor, and up
// to the size of a page.
func (s *Quarantine) page(ctx context.Context, filter bson.D, limit int) (found []listeners.Quarantined, err error) {
	o := options.Find().SetSort(asc("key", "predecessor")).SetHint(byWaiting).SetBatchSize(int32(limit)).SetProjection(withoutLarge())
	cursor, err := s.messages().find(ctx, filter, o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server ends forgotten cursors itself
	for size := int64(0); len(found) < limit && size < listeners.PageBytes && cursor.Next(ctx); {
		d, err := decode[quarantineDoc](ctx, s.messages(), cursor.Current)
		if err != nil { // which has been made known
			continue
		}
		q := d.message()
		if d.Size > largePayload {
			if q, err = s.Get(ctx, string(d.ID)); errors.Is(err, listeners.ErrNotFound) || errors.Is(err, listeners.ErrUnreadable) {
				continue // applied or discarded meanwhile, or it has been made known
			} else if err != nil {
				return nil, err
			}
		}
		found, size = append(found, q), size+d.Size
	}
	return found, cursor.Err()
}

// Get implements listeners.Quarantine.
func (s *Quarantine) Get(ctx context.Context, id string) (listeners.Quarantined, error) {
	d, err := one[quarantineDoc](ctx, s.messages(), is("_id", id), listeners.ErrNotFound)
	if err != nil {
		return listeners.Quarantined{}, as(listeners.ErrUnreadable, err)
	}
	return d.message(), nil
}

// Remove implements listeners.Quarantine.
func (s *Quarantine) Remove(ctx context.Context, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	result, err := s.messages().DeleteMany(ctx, is("_id", is("$in", ids)))
	if err != nil {
		return 0, err
	}
	return int(result.DeletedCount), nil
}

// Count implements listeners.Quarantine. It costs nothing; after the server
// was killed it may be off.
func (s *Quarantine) Count(ctx context.Context) (int, error) {
	n, err := s.messages().EstimatedDocumentCount(ctx)
	return int(n), err
}

// Size implements listeners.Quarantine. It reads an index alone. A size that no
// message has is none.
func (s *Quarantine) Size(ctx context.Context, group string) (listeners.Size, error) {
	isSize := is("$and", bson.A{
		is("$in", bson.A{is("$type", "$size"), bson.A{"int", "long"}}), is("$gte", bson.A{"$size", 0}), is("$lte", bson.A{"$size", maxSize}),
	})
	size := is("$cond", bson.A{isSize, "$size", 0})
	cursor, err := s.messages().Aggregate(ctx, mongo.Pipeline{
		is("$match", is("queueGroup", group)),
		is("$group", bson.D{{Key: "_id", Value: nil}, {Key: "messages", Value: is("$sum", 1)}, {Key: "bytes", Value: is("$sum", size)}}),
	}, options.Aggregate().SetHint(bySize))
	if err != nil {
		return listeners.Size{}, err
	}
	type total struct {
		Messages int   `bson:"messages"`
		Bytes    int64 `bson:"bytes"`
	}
	found, err := drain(ctx, cursor, func(t total) listeners.Size { return listeners.Size{Messages: t.Messages, Bytes: t.Bytes} })
	if err != nil || len(found) == 0 {
		return listeners.Size{}, err
	}
	return found[0], nil
}

// fillSizes completes what the last release put into quarantine.
func (s *Quarantine) fillSizes(ctx context.Context) error {
	text := is("$in", bson.A{is("$type", "$payload"), bson.A{"string", "binData"}})
	size := is("$cond", bson.A{text, is("$binarySize", "$payload"), 0})
	_, err := s.messages().UpdateMany(ctx, is("size", nil), mongo.Pipeline{is("$set", is("size", size))}, options.UpdateMany().SetHint(bySize))
	return err
}

// fillPredecessors completes what the last release put into quarantine.
func (s *Quarantine) fillPredecessors(ctx context.Context) error {
	incomplete := bson.D{{Key: "reason", Value: listeners.TooEarly}, {Key: "predecessor", Value: nil}, {Key: "$expr", Value: is("$isNumber", "$version")}}
	_, err := s.messages().UpdateMany(ctx, incomplete, mongo.Pipeline{is("$set", is("predecessor", is("$subtract", bson.A{"$version", 1})))})
	return err
}
