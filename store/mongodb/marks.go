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
	ID       markID `bson:"_id"`
	Sequence count  `bson:"sequence"`
	SentAt   stamp  `bson:"sentAt"`
	Nanos    int64  `bson:"sentAtNanos"` // of sequence, since 1970, as the broker tells it; 0 if not known

	Beyond    string `bson:"beyond,omitempty"`
	Last      count  `bson:"last,omitempty"`
	LastNanos int64  `bson:"lastAtNanos,omitempty"`
	Base      count  `bson:"base,omitempty"`
	Lost      count  `bson:"lost,omitempty"`
	Revision  count  `bson:"revision,omitempty"`

	Renumbered int64 `bson:"renumbered,omitempty"`
}

func newMarkDoc(m listeners.Mark) markDoc {
	d := markDoc{
		ID: markID{m.Group, m.Channel}, Sequence: count(m.Sequence), SentAt: stamp{instant(m.SentAt)},
		Beyond: m.Beyond.String(), Last: count(m.Last), Base: count(m.Base), Lost: count(m.Lost), Revision: count(m.Next()),
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

// check implements checked.
func (d markDoc) check() error {
	_, err := listeners.ParseSpans(d.Beyond)
	return err
}

func (d markDoc) mark() listeners.Mark {
	if d.Revision == 0 {
		d.Last, d.LastNanos = d.Sequence, d.Nanos
	}
	beyond, _ := listeners.ParseSpans(d.Beyond) // check has seen it
	m := listeners.Mark{
		Group: d.ID.Group, Channel: d.ID.Channel, Sequence: uint64(d.Sequence), Beyond: beyond,
		Last: uint64(d.Last), Base: uint64(d.Base), Lost: uint64(d.Lost), Revision: int64(d.Revision),
		Renumbered: d.Renumbered,
	}
	if d.LastNanos != 0 {
		m.SentAt = time.Unix(0, d.LastNanos).UTC()
	}
	return m
}

// Mark implements listeners.Marks.
func (s *Marks) Mark(ctx context.Context, group string, channel event.Subject) (listeners.Mark, error) {
	m, _, err := s.read(ctx, markID{group, channel})
	return m, err
}

// read returns a mark with what lies in the database as its revision.
func (s *Marks) read(ctx context.Context, id markID) (listeners.Mark, bson.RawValue, error) {
	none := listeners.Mark{Group: id.Group, Channel: id.Channel}
	raw, err := one[bson.Raw](ctx, s.marks(), is("_id", id), errNoMark)
	if errors.Is(err, errNoMark) {
		return none, bson.RawValue{}, nil
	}
	if err != nil {
		return none, bson.RawValue{}, err
	}
	revision := raw.Lookup("revision")
	d, err := decode[markDoc](ctx, s.marks(), raw)
	if err != nil { // which has been made known
		none.Revision = listeners.Spoiled
		none.Renumbered, _ = whole(raw.Lookup("renumbered"))
		return none, revision, nil
	}
	return d.mark(), revision, nil
}

var errNoMark = errors.New("no mark")

// Store implements listeners.Marks.
func (s *Marks) Store(ctx context.Context, m listeners.Mark) (bool, error) {
	d := newMarkDoc(m)
	if m.Revision == listeners.Spoiled {
		return s.replace(ctx, d)
	}
	filter := bson.D{{Key: "_id", Value: d.ID}, {Key: "revision", Value: counted(m.Revision)}}
	_, err := s.marks().ReplaceOne(ctx, filter, d, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) {
		return false, nil // it has another revision
	}
	return err == nil, err
}

// replace puts d in the place of a mark that cannot be read. What stands for its
// revision is the condition.
func (s *Marks) replace(ctx context.Context, d markDoc) (bool, error) {
	m, revision, err := s.read(ctx, d.ID)
	if err != nil || m.Revision != listeners.Spoiled {
		return false, err
	}
	same := is("$eq", revision)
	if revision.IsZero() {
		same = is("$exists", false)
	}
	result, err := s.marks().ReplaceOne(ctx, bson.D{{Key: "_id", Value: d.ID}, {Key: "revision", Value: same}}, d)
	if err != nil {
		return false, err
	}
	return result.MatchedCount == 1, nil
}
