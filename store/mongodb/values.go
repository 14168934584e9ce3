package mongodb

import (
	"encoding/hex"
	"fmt"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
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
