package api

import (
	"encoding/json"
	"math"
	"strconv"
)

// value is one JSON value of a body; an empty one is undefined.
type value json.RawMessage

// kind is what JavaScript tells values apart by.
type kind int

const (
	jsUndefined kind = iota
	jsNull
	jsBoolean
	jsNumber
	jsString
	jsArray
	jsObject
)

func (v value) kind() kind {
	if len(v) == 0 {
		return jsUndefined
	}
	switch v[0] {
	case 'n':
		return jsNull
	case 't', 'f':
		return jsBoolean
	case '"':
		return jsString
	case '[':
		return jsArray
	case '{':
		return jsObject
	default:
		return jsNumber
	}
}

// form returns the string that express-validator validates: the value itself
// where it is a string, the first element of an array, nothing for null.
func (v value) form() string {
	if v.kind() == jsArray {
		if elements := v.elements(); len(elements) > 0 {
			return elements[0].String()
		}
		return ""
	}
	return v.String()
}

// String returns what JavaScript's toString makes of a value that is no array,
// with "" for null and undefined.
func (v value) String() string {
	switch v.kind() {
	case jsUndefined, jsNull:
		return ""
	case jsBoolean:
		return string(v)
	case jsString:
		return v.text()
	case jsNumber:
		return printNumber(v.number())
	case jsArray:
		return "[array]" // neither empty nor a number, which is all that is asked of it
	default:
		return "[object Object]"
	}
}

// text returns the string that v is. The bytes were parsed as JSON before, so
// there is no error to report.
func (v value) text() string {
	var s string
	_ = json.Unmarshal(v, &s)
	return s
}

// number returns the number that v is, ±Inf where JavaScript would.
func (v value) number() float64 {
	f, _ := strconv.ParseFloat(string(v), 64) // out of range yields ±Inf, which is what is wanted
	return f
}

func (v value) elements() []value {
	var elements []json.RawMessage
	_ = json.Unmarshal(v, &elements) // was parsed before
	values := make([]value, len(elements))
	for i, e := range elements {
		values[i] = value(e)
	}
	return values
}

// printNumber prints f as JavaScript does: 20, 20.5, 1e+21. encoding/json
// follows the same rule of ECMAScript for finite numbers.
func printNumber(f float64) string {
	switch {
	case f == 0:
		return "0" // also for -0
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	printed, _ := json.Marshal(f) // cannot fail for a finite number
	return string(printed)
}
