package sqlite

import (
	"encoding/json"

	"lockstep/outbox"
)

// history is what selectEvent tells of an event that failed or is not locked;
// times are milliseconds since 1970, 0 for none.
type history struct {
	IsLocked  int             `json:"isLocked"`
	LockedAt  int64           `json:"lockedAt"`
	NotBefore int64           `json:"notBefore"`
	Attempts  int             `json:"attempts"`
	Failures  json.RawMessage `json:"failures"`
}

// failure is how an outbox.Failure lies in its column.
type failure struct {
	At      int64        `json:"at"` // milliseconds since 1970
	Attempt int          `json:"attempt"`
	Class   outbox.Class `json:"class"`
	Message string       `json:"message"`
}

func encodeFailures(kept []outbox.Failure) (string, error) {
	all := make([]failure, len(kept))
	for i, f := range kept {
		all[i] = failure{At: millis(f.At), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	b, err := json.Marshal(all)
	return string(b), err
}

// decodeFailures reads a history; what cannot be read is none.
func decodeFailures(raw json.RawMessage) []outbox.Failure {
	var all []failure
	if json.Unmarshal(raw, &all) != nil {
		all = nil
	}
	kept := make([]outbox.Failure, len(all))
	for i, f := range all {
		kept[i] = outbox.Failure{At: timeOf(f.At), Attempt: f.Attempt, Class: f.Class, Message: f.Message}
	}
	return kept
}
