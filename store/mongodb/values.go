package mongodb

import (
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/internal/unreadable"
)

// recordID is the id of a record: an ObjectId in the database if it has the
// text form of one, otherwise a string.
type recordID string

// objectID returns the id as an ObjectId, if it is one.
func (id recordID) objectID() (bson.ObjectID, bool) {
	var o bson.ObjectID
	if len(id) != 2*len(o) {
		return o, false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return o, false // upper case is kept apart: it would not come back
		}
	}
	_, err := hex.Decode(o[:], []byte(id))
	return o, err == nil
}

// MarshalBSONValue implements bson.ValueMarshaler.
func (id recordID) MarshalBSONValue() (byte, []byte, error) {
	if o, ok := id.objectID(); ok {
		return byte(bson.TypeObjectID), o[:], nil
	}
	return marshal(string(id))
}

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (id *recordID) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	if o, ok := v.ObjectIDOK(); ok {
		*id = recordID(o.Hex())
		return nil
	}
	if s, ok := v.StringValueOK(); ok {
		*id = recordID(s)
		return nil
	}
	return fmt.Errorf("an id is a %s, neither ObjectId nor string", v.Type)
}

// ownID is the _id of a record. It must lie there as a recordID is written, for
// no query finds it otherwise, and be one that an event can have: no other
// service takes it otherwise, and one that is too long for the head of a request
// can be asked for by nobody.
type ownID recordID

// MarshalBSONValue implements bson.ValueMarshaler.
func (id ownID) MarshalBSONValue() (byte, []byte, error) { return recordID(id).MarshalBSONValue() }

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (id *ownID) UnmarshalBSONValue(typ byte, data []byte) error {
	if err := (*recordID)(id).UnmarshalBSONValue(typ, data); err != nil {
		return err
	}
	if _, is := recordID(*id).objectID(); is && bson.Type(typ) == bson.TypeString {
		return fmt.Errorf("%q is no _id: that is an ObjectId, or another text", string(*id))
	}
	if err := event.CheckID(string(*id)); err != nil {
		return fmt.Errorf("_id %w", err)
	}
	return nil
}

// refs returns how ids of other records may lie in a record: also as the texts
// of ObjectIds, which the unique index tells from them.
func refs(ids []recordID) bson.A {
	all := make(bson.A, 0, 2*len(ids))
	for _, id := range ids {
		all = append(all, id, string(id))
	}
	return all
}

// word is a text that queries look for. Whatever else the driver would make one
// of, they would not find.
type word string

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (w *word) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	s, ok := v.StringValueOK()
	if *w = word(s); !ok {
		return fmt.Errorf("a word is a %s, and no text", v.Type)
	}
	return nil
}

// entryID is the _id of what is no record and is listed all the same.
type entryID string

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (id *entryID) UnmarshalBSONValue(typ byte, data []byte) error {
	if err := (*word)(id).UnmarshalBSONValue(typ, data); err != nil {
		return err
	}
	return unreadable.CheckID(string(*id))
}

func recordIDs(ids []string) []recordID {
	all := make([]recordID, len(ids))
	for i, id := range ids {
		all[i] = recordID(id)
	}
	return all
}

// payload is bytes that are a string in the database if they can be, for
// people who look, and binary otherwise.
type payload []byte

// MarshalBSONValue implements bson.ValueMarshaler.
func (p payload) MarshalBSONValue() (byte, []byte, error) {
	if utf8.Valid(p) {
		return marshal(string(p))
	}
	return marshal([]byte(p))
}

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (p *payload) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	if s, ok := v.StringValueOK(); ok {
		*p = payload(s)
		return nil
	}
	if _, b, ok := v.BinaryOK(); ok {
		*p = append(payload{}, b...)
		return nil
	}
	return fmt.Errorf("a payload is a %s, neither string nor binary", v.Type)
}

func marshal(v any) (byte, []byte, error) {
	t, data, err := bson.MarshalValue(v)
	return byte(t), data, err
}

// instant returns t as the database keeps it: UTC, whole milliseconds.
func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
