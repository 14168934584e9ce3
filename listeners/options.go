package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"lockstep/event"
	"lockstep/replica"
)

// Repairer moves a record to what its owner has now; *replica.Repairer is one.
type Repairer interface {
	// Repair returns the version that is stored afterwards.
	Repair(ctx context.Context, key string, cause replica.Cause) (int64, error)
}

// Options of a Listener. Group is required.
type Options struct {
	// Group is the queue group and the name of its durable. Every process
	// that shares the work gives the same.
	Group string

	// AckWait is how long the broker waits for an acknowledgement before it
	// sends a message again: whole seconds, 5 s if 0. The broker counts in
	// seconds and would cut the rest off unseen.
	AckWait time.Duration

	// MaxInFlight is how many unacknowledged messages of one subject the
	// broker lets this member have; 1024 if 0.
	MaxInFlight int

	// QuarantineLimit is how many messages the group may have in quarantine, and
	// QuarantineBytes how many bytes of payload; past one of them nothing more is
	// set aside, and what would have to be stays unacknowledged. 1,000,000 and
	// 8 GiB if 0.
	QuarantineLimit int
	QuarantineBytes int64

	// Lanes is how many batches are handled side by side; 4 if 0.
	Lanes int

	// HoldFor is how long an early message waits for its predecessor before
	// its record is repaired or it is set aside; 30 s if 0.
	HoldFor time.Duration

	// StopWait is how long a stop may take to finish what was begun; 5 s if 0.
	StopWait time.Duration

	Repairer Repairer     // repairs gaps; nil if there is nobody to ask
	Marks    Marks        // keeps how far the group has come; nil to keep nothing
	Losses   *Losses      // looks for losses in the broker before the group is joined; nil not to look
	Metrics  *Metrics     // counts; not counted if nil
	Log      *slog.Logger // discarded if nil
}

// legalGroup is what a durable name, a queue name and a token of a NATS
// subject may all be.
var legalGroup = regexp.MustCompile(`^[A-Za-z0-9_-]{1,100}$`)

func (o Options) withDefaults() Options {
	o.AckWait = or(o.AckWait, 5*time.Second)
	o.MaxInFlight = or(o.MaxInFlight, 1024)
	o.QuarantineLimit = or(o.QuarantineLimit, 1_000_000)
	o.QuarantineBytes = or(o.QuarantineBytes, 8<<30)
	o.Lanes = or(o.Lanes, 4)
	o.HoldFor = or(o.HoldFor, 30*time.Second)
	o.StopWait = or(o.StopWait, 5*time.Second)
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func or[T int | int64 | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// legalSubject is what the broker can keep as a channel: a subject becomes a
// directory name there.
var legalSubject = regexp.MustCompile(`^[A-Za-z0-9_:-]+(\.[A-Za-z0-9_:-]+)*$`)

func (o Options) validate(subjects []event.Subject) error {
	var errs []error
	if !legalGroup.MatchString(o.Group) {
		errs = append(errs, fmt.Errorf("group %q must be 1 to 100 letters, digits, _ or -", o.Group))
	}
	if o.AckWait < time.Second || o.AckWait%time.Second != 0 {
		errs = append(errs, fmt.Errorf("ack wait %s must be whole seconds, at least one", o.AckWait))
	}
	if o.MaxInFlight < 1 || o.QuarantineLimit < 1 || o.QuarantineBytes < 1 || o.Lanes < 1 || o.HoldFor < 0 || o.StopWait < 0 {
		errs = append(errs, errors.New("window, quarantine limit, lanes and waits must not be negative"))
	}
	if len(subjects) == 0 {
		errs = append(errs, errors.New("the handler handles no subject"))
	}
	for _, s := range subjects {
		if len(s) > 200 || !legalSubject.MatchString(string(s)) {
			errs = append(errs, fmt.Errorf("subject %q cannot be a channel", s))
		}
	}
	return errors.Join(errs...)
}
