// Package objectid makes and checks the ids of records: 24 lower-case
// hexadecimal digits, the text form of a MongoDB ObjectId, which is what every
// service on the bus uses.
package objectid

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
)

// New returns a fresh id: the seconds since 1970 in 4 bytes, then 8 random
// bytes. Ids made in different seconds sort by time. It may be called from
// many goroutines.
func New() string {
	var b [12]byte
	binary.BigEndian.PutUint32(b[:4], uint32(time.Now().Unix()))
	rand.Read(b[4:]) // never fails: crypto/rand.Read documents it
	return hex.EncodeToString(b[:])
}

// Parse returns id in its canonical, lower-case form, and whether it is an
// ObjectId at all.
func Parse(id string) (string, bool) {
	if len(id) != 24 {
		return "", false
	}
	if _, err := hex.DecodeString(id); err != nil {
		return "", false
	}
	return strings.ToLower(id), true
}

// Time returns when id was made, to the second, and whether it is an ObjectId,
// which tells.
func Time(id string) (time.Time, bool) {
	if _, ok := Parse(id); !ok {
		return time.Time{}, false
	}
	seconds, err := hex.DecodeString(id[:8])
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint32(seconds)), 0).UTC(), true
}
