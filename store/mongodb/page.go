package mongodb

import (
	"cmp"
	"context"
	"iter"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// page returns up to limit documents that can be read, fewer if they are large,
// with an id above after, by the id's text. Ids are of two types, which the
// server sorts apart, so both are read and merged. Ids of other types are no
// record's.
func page[D, T any](ctx context.Context, c collection, after string, limit int, convert func(D) T, id func(T) string) ([]T, error) {
	part := func(filter bson.D) iter.Seq2[sized[T], error] {
		docs := c.upwards(ctx, filter, min(limit, pageRows))
		return decoded(ctx, c, docs, func(d measured[D]) sized[T] { return sized[T]{convert(d.doc), d.size} })
	}
	if after == "" {
		if err := c.noteStrangers(ctx, true); err != nil {
			return nil, err
		}
	}
	all := make([]T, 0, min(limit, pageRows))
	size := 0
	above := func(a, b sized[T]) bool { return id(a.value) > id(b.value) }
	for found, err := range merge(part(is("_id", is("$gt", after))), part(is("_id", objectsAbove(after))), above) {
		if err != nil {
			return nil, err
		}
		all = append(all, found.value)
		if size += found.size; len(all) == limit || size >= pageBytes {
			break
		}
	}
	return all, nil
}

// measured is a document with its size in bytes.
type measured[D any] struct {
	doc  D
	size int
}

// UnmarshalBSON implements bson.Unmarshaler.
func (w *measured[D]) UnmarshalBSON(data []byte) error {
	w.size = len(data)
	return bson.Unmarshal(data, &w.doc)
}

// sized is what was made of a document, with the document's size in bytes.
type sized[T any] struct {
	value T
	size  int
}

// merge yields what two sorted sequences have, sorted.
func merge[T any](a, b iter.Seq2[T, error], above func(T, T) bool) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		nextA, stopA := iter.Pull2(a)
		defer stopA()
		nextB, stopB := iter.Pull2(b)
		defer stopB()
		x, errX, inA := nextA()
		y, errY, inB := nextB()
		for inA || inB {
			if err := cmp.Or(errX, errY); err != nil {
				yield(x, err)
				return
			}
			if inA && (!inB || !above(x, y)) {
				if !yield(x, nil) {
					return
				}
				x, errX, inA = nextA()
				continue
			}
			if !yield(y, nil) {
				return
			}
			y, errY, inB = nextB()
		}
	}
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
