package mongodb

import (
	"context"
	"errors"
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

func (s *Marks) marks() collection { return s.db.collection(marksName) }

type markID struct {
	Group   string        `bson:"group"`
	Channel event.Subject `bson:"channel"`
}

// markDoc is a mark as it lies in the database. The last release knows sequence
// and sentAt alone, as those of one message, and may be at work beside this one.
type markDoc struct {
	ID       markID    `bson:"_id"`
	Sequence int64     `bson:"sequence"`
	SentAt   time.Time `bson:"sentAt"`      // for people
	Nanos    int64     `bson:"sentAtNanos"` // of sequence, since 1970, as the broker tells it; 0 if not known

	Beyond    string `bson:"beyond,omitempty"`
	Last      int64  `bson:"last,omitempty"`
	LastNanos int64  `bson:"lastAtNanos,omitempty"`
	Base      int64  `bson:"base,omitempty"`
	Lost      int64  `bson:"lost,omitempty"`
	Revision  int64  `bson:"revision,omitempty"`

	Renumbered int64 `bson:"renumbered,omitempty"`
}

func newMarkDoc(m listeners.Mark) markDoc {
	d := markDoc{
		ID: markID{m.Group, m.Channel}, Sequence: int64(m.Sequence), SentAt: instant(m.SentAt),
		Beyond: m.Beyond.String(), Last: int64(m.Last), Base: int64(m.Base), Lost: int64(m.Lost), Revision: m.Revision + 1,
		Renumbered: m.Renumbered,
	}
	if !m.SentAt.IsZero() {
		d.LastNanos = m.SentAt.UnixNano()
	}
	if m.Last == m.Sequence {
		d.Nanos = d.LastNanos
	}
	return d
}

func (d markDoc) mark() (listeners.Mark, error) {
	if d.Revision == 0 {
		d.Last, d.LastNanos = d.Sequence, d.Nanos
	}
	beyond, err := listeners.ParseSpans(d.Beyond)
	m := listeners.Mark{
		Group: d.ID.Group, Channel: d.ID.Channel, Sequence: uint64(d.Sequence), Beyond: beyond,
		Last: uint64(d.Last), Base: uint64(d.Base), Lost: uint64(d.Lost), Revision: d.Revision,
		Renumbered: d.Renumbered,
	}
	if d.LastNanos != 0 {
		m.SentAt = time.Unix(0, d.LastNanos).UTC()
	}
	return m, err
}

// Mark implements listeners.Marks.
func (s *Marks) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	none := listeners.Mark{Group: group, Channel: channel}
	d, err := one[markDoc](ctx, s.marks(), is("_id", markID{group, channel}), errNoMark)
	if errors.Is(err, errNoMark) {
		return none, nil
	}
	if err != nil {
		return none, err
	}
	return d.mark()
}

var errNoMark = errors.New("no mark")

// Store implements listeners.Marks.
func (s *Marks) Store(ctx context.Context, m listeners.Mark) (bool, error) {
	d := newMarkDoc(m)
	filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "revision", Value: counted(m.Revision)}}
	_, err := s.marks().ReplaceOne(ctx, filter, d, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return false, nil // it has another revision
	}
	return err == nil, err
}
