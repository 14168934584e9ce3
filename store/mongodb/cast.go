package mongodb

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
)

// Values that other hands wrote in another type are read as mongoose casts
// them, and written as what they are meant to be.

// text is a string. A number, an ObjectId or a boolean is read as its text.
type text string

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (t *text) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	switch v.Type {
	case bson.TypeString:
		*t = text(v.StringValue())
	case bson.TypeObjectID:
		*t = text(v.ObjectID().Hex())
	case bson.TypeBoolean:
		*t = text(strconv.FormatBool(v.Boolean()))
	case bson.TypeInt32, bson.TypeInt64:
		*t = text(strconv.FormatInt(v.AsInt64(), 10))
	case bson.TypeDouble:
		*t = text(strconv.FormatFloat(v.Double(), 'g', -1, 64))
	case bson.TypeDecimal128:
		*t = text(v.Decimal128().String())
	case bson.TypeNull, bson.TypeUndefined:
		*t = ""
	default:
		return fmt.Errorf("a text is a %s", v.Type)
	}
	return nil
}

// amount is a finite number. Digits in a string are read as their number.
type amount float64

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (a *amount) UnmarshalBSONValue(typ byte, data []byte) error {
	f, err := number(bson.RawValue{Type: bson.Type(typ), Value: data})
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = fmt.Errorf("%v is no amount", f)
	}
	*a = amount(f)
	return err
}

// flag is a boolean, which only this program writes; false if it is null or
// missing. Nothing else is cast: filters would not find what the cast says.
type flag bool

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (f *flag) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	b, ok := v.BooleanOK()
	if *f = flag(b); !ok && v.Type != bson.TypeNull && v.Type != bson.TypeUndefined {
		return fmt.Errorf("a boolean is a %s", v.Type)
	}
	return nil
}

// moment is a time, the zero one if it is null or missing. A number is read as
// milliseconds since 1970, a text as JavaScript prints dates.
type moment struct{ time.Time }

// MarshalBSONValue implements bson.ValueMarshaler.
func (m moment) MarshalBSONValue() (byte, []byte, error) { return marshal(m.Time) }

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (m *moment) UnmarshalBSONValue(typ byte, data []byte) (err error) {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	switch v.Type {
	case bson.TypeDateTime:
		m.Time = v.Time().UTC()
	case bson.TypeNull, bson.TypeUndefined:
		m.Time = time.Time{}
	case bson.TypeString:
		m.Time, err = parseTime(v.StringValue())
	case bson.TypeInt32, bson.TypeInt64, bson.TypeDouble:
		ms, ok := whole(v)
		if m.Time = time.UnixMilli(ms).UTC(); !ok {
			err = fmt.Errorf("%s is no time", v)
		}
	default:
		err = fmt.Errorf("a time is a %s", v.Type)
	}
	return err
}

func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}

// stamp is a time that is only written, for people and indexes: whatever lies
// there in its place, nobody reads.
type stamp struct{ time.Time }

// MarshalBSONValue implements bson.ValueMarshaler.
func (s stamp) MarshalBSONValue() (byte, []byte, error) { return marshal(s.Time) }

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (*stamp) UnmarshalBSONValue(byte, []byte) error { return nil }

func number(v bson.RawValue) (float64, error) {
	switch v.Type {
	case bson.TypeDouble:
		return v.Double(), nil
	case bson.TypeInt32, bson.TypeInt64:
		return float64(v.AsInt64()), nil
	case bson.TypeDecimal128:
		return strconv.ParseFloat(v.Decimal128().String(), 64)
	case bson.TypeString:
		if s := strings.TrimSpace(v.StringValue()); s != "" {
			return strconv.ParseFloat(s, 64)
		}
		return 0, nil
	case bson.TypeBoolean:
		if v.Boolean() {
			return 1, nil
		}
		return 0, nil
	case bson.TypeNull, bson.TypeUndefined:
		return 0, nil
	}
	return 0, fmt.Errorf("a number is a %s", v.Type)
}

// count is a whole number of at least 0, which it is if it is null or missing, as
// versions are that Node services have not counted yet.
type count int64

// UnmarshalBSONValue implements bson.ValueUnmarshaler. What it reads, counted
// finds.
func (c *count) UnmarshalBSONValue(typ byte, data []byte) error {
	v := bson.RawValue{Type: bson.Type(typ), Value: data}
	n, ok := int64(0), false
	switch v.Type {
	case bson.TypeNull, bson.TypeUndefined:
		ok = true
	case bson.TypeString:
		var err error
		n, err = strconv.ParseInt(v.StringValue(), 10, 64)
		ok = err == nil && strconv.FormatInt(n, 10) == v.StringValue()
	case bson.TypeDecimal128:
		f, err := number(v)
		n, ok = int64(f), err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	default:
		n, ok = whole(v)
	}
	if *c = count(n); !ok || n < 0 {
		return fmt.Errorf("%s is no whole number of at least 0", v)
	}
	return nil
}

// version is a count that goes on: beyond event.MaxVersion nobody has come, and
// nobody can count on.
type version count

// UnmarshalBSONValue implements bson.ValueUnmarshaler.
func (n *version) UnmarshalBSONValue(typ byte, data []byte) error {
	err := (*count)(n).UnmarshalBSONValue(typ, data)
	if err == nil && *n > event.MaxVersion {
		err = fmt.Errorf("version %d is above 2^53", *n)
	}
	return err
}

// spelled is the condition that a field is s, however it was written.
func spelled(s string) bson.D {
	forms := bson.A{s}
	if o, ok := recordID(s).objectID(); ok {
		forms = append(forms, o)
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && strconv.FormatInt(n, 10) == s {
		forms = append(forms, n)
	}
	return is("$in", forms)
}

// counted is the condition that a field is n, however it was written.
func counted(n int64) bson.D {
	forms := bson.A{n, strconv.FormatInt(n, 10)} // numbers of all types are equal to the server
	if n == 0 {
		forms = append(forms, nil)
	}
	return is("$in", forms)
}
