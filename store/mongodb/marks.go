package mongodb

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/event"
	"lockstep/listeners"
)

// Marks is the collection of how far queue groups have come.
type Marks struct{ db *DB }

var _ listeners.Marks = (*Marks)(nil)

// Marks returns the port of package listeners.
func (db *DB) Marks() *Marks { return &Marks{db} }

func (s *Marks) marks() *mongo.Collection { return s.db.data.Collection(marksName) }

type markID struct {
	Group   string        `bson:"group"`
	Channel event.Subject `bson:"channel"`
}

// markDoc is a mark as it lies in the database.
type markDoc struct {
	ID       markID    `bson:"_id"`
	Sequence int64     `bson:"sequence"`
	SentAt   time.Time `bson:"sentAt"`      // for people
	Nanos    int64     `bson:"sentAtNanos"` // since 1970, as the broker tells it; 0 for none
}

func newMarkDoc(m listeners.Mark) markDoc {
	d := markDoc{ID: markID{m.Group, m.Channel}, Sequence: int64(m.Sequence), SentAt: instant(m.SentAt)}
	if !m.SentAt.IsZero() {
		d.Nanos = m.SentAt.UnixNano()
	}
	return d
}

func (d markDoc) mark() listeners.Mark {
	m := listeners.Mark{Group: d.ID.Group, Channel: d.ID.Channel, Sequence: uint64(d.Sequence)}
	if d.Nanos != 0 {
		m.SentAt = time.Unix(0, d.Nanos).UTC()
	}
	return m
}

// Mark implements listeners.Marks.
func (s *Marks) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	id := markID{group, channel}
	var docs []markDoc
	cursor, err := s.marks().Find(ctx, is("_id", id))
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	if err != nil || len(docs) == 0 {
		return listeners.Mark{Group: group, Channel: channel}, err
	}
	return docs[0].mark(), nil
}

// Advance implements listeners.Marks.
func (s *Marks) Advance(ctx context.Context, m listeners.Mark) error {
	d := newMarkDoc(m)
	behind := bson.D{{Key: "_id", Value: d.ID}, {Key: "sequence", Value: is("$lt", d.Sequence)}}
	result, err := s.marks().ReplaceOne(ctx, behind, d)
	if err != nil || result.MatchedCount == 1 {
		return err
	}
	_, err = s.marks().InsertOne(ctx, d)
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	_, err = s.marks().ReplaceOne(ctx, behind, d) // it was not there before and is now, or it is further
	return err
}

// Reset implements listeners.Marks.
func (s *Marks) Reset(ctx context.Context, m listeners.Mark) error {
	d := newMarkDoc(m)
	_, err := s.marks().ReplaceOne(ctx, is("_id", d.ID), d, options.Replace().SetUpsert(true))
	return err
}
