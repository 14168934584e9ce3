package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
)

// Options tune a relay. The zero value of each field means its default.
type Options struct {
	// Name is the lease's name; relays of one name and store take turns.
	// Default "outbox".
	Name string

	// Owner names this relay in the lease. It must be unique to one start of
	// one process. Default: random.
	Owner string

	// Subjects are those that metrics tell apart, any other counts as "other",
	// and on which the broker is asked what it has before an event of unknown
	// outcome is published again.
	Subjects []event.Subject

	// Window is how many events may be with the publisher, default 1024. It
	// must stay below the bound of the publisher's client library, whose
	// Publish blocks there (stan.go's MaxPubAcksInflight: 16384).
	Window int

	// MemoryLimit is how many events are held in memory, default 8192, and
	// MemoryBytes how many bytes of payload, default 16 MiB. Reading goes on
	// until a limit is reached, so one page more may be held.
	MemoryLimit int
	MemoryBytes int

	// PerKey is how many events of one key are held, default 64. The rest is
	// read again when these are published, so that a hot key leaves room for
	// the others.
	PerKey int

	// MaxBlocked is how many keys may be blocked by failures, default 10,000,
	// before the relay goes on with retries only: the broker then refuses
	// nearly everything.
	MaxBlocked int

	// DeleteBatch is how many published events one delete names at most,
	// default 10,000: deletes of few events each touch, and write, nearly as
	// many pages. DeleteDelay is how long an event waits for others to share
	// its delete, default 25 ms, and up to four times that while more are with
	// the broker.
	DeleteBatch int
	DeleteDelay time.Duration

	// LeaseTTL is how long a relay that crashed keeps others from taking over,
	// default 5 s. The lease is renewed three times as often; a relay that
	// could not renew stops before it runs out.
	LeaseTTL time.Duration

	// SweepInterval is how often the store is searched for events that have
	// been locked for StaleAfter and nobody works on: what a wake-up missed.
	// Defaults 1 min and 30 s.
	SweepInterval time.Duration
	StaleAfter    time.Duration

	// RetryInterval is how often RetryPublishingNATSEvents looks for failed
	// events whose time has come, default 500 ms.
	RetryInterval time.Duration

	// Backoff says when a failed event is due.
	Backoff Backoff

	// Threshold is how many failures of one event call for a person, default
	// 10. The event stays and is tried on at the back-off's cap; its key stays
	// blocked until it is published or discarded. OnThreshold is called once,
	// when the threshold is reached, and delays other bookkeeping until it
	// returns; nil does nothing.
	Threshold   int
	OnThreshold func(context.Context, Record)

	// StopTimeout is how long a stop waits for outstanding answers of the
	// broker and for deletes, default 5 s.
	StopTimeout time.Duration

	Now        func() time.Time      // default time.Now
	Log        *slog.Logger          // default slog.Default
	Registerer prometheus.Registerer // nil registers nothing
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	set(&o.Name, "outbox")
	set(&o.Window, 1024)
	set(&o.MemoryLimit, 8192)
	set(&o.MemoryBytes, 16<<20)
	set(&o.PerKey, 64)
	set(&o.MaxBlocked, 10_000)
	set(&o.DeleteBatch, 10_000)
	set(&o.DeleteDelay, 25*time.Millisecond)
	set(&o.LeaseTTL, 5*time.Second)
	set(&o.SweepInterval, time.Minute)
	set(&o.StaleAfter, 30*time.Second)
	set(&o.RetryInterval, 500*time.Millisecond)
	set(&o.Backoff.Base, time.Second)
	set(&o.Backoff.Factor, 2)
	set(&o.Backoff.Cap, 5*time.Minute)
	set(&o.Threshold, 10)
	set(&o.StopTimeout, 5*time.Second)
	if o.Owner == "" {
		o.Owner = rand.Text()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// set gives an option its default.
func set[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

// validate returns everything that is wrong with o, which has its defaults.
func (o Options) validate() error {
	var errs []error
	positive := func(name string, value int64) {
		if value < 0 {
			errs = append(errs, fmt.Errorf("%s must not be negative", name))
		}
	}
	positive("Window", int64(o.Window))
	positive("MemoryLimit", int64(o.MemoryLimit))
	positive("MemoryBytes", int64(o.MemoryBytes))
	positive("PerKey", int64(o.PerKey))
	positive("MaxBlocked", int64(o.MaxBlocked))
	positive("DeleteBatch", int64(o.DeleteBatch))
	positive("DeleteDelay", int64(o.DeleteDelay))
	positive("SweepInterval", int64(o.SweepInterval))
	positive("StaleAfter", int64(o.StaleAfter))
	positive("RetryInterval", int64(o.RetryInterval))
	positive("Backoff.Base", int64(o.Backoff.Base))
	positive("Threshold", int64(o.Threshold))
	positive("StopTimeout", int64(o.StopTimeout))
	if o.LeaseTTL < 100*time.Millisecond {
		errs = append(errs, errors.New("LeaseTTL must be at least 100ms"))
	}
	if o.Backoff.Factor < 1 {
		errs = append(errs, errors.New("Backoff.Factor must be at least 1"))
	}
	if o.Backoff.Cap < o.Backoff.Base {
		errs = append(errs, errors.New("Backoff.Cap must not be below Backoff.Base"))
	}
	return errors.Join(errs...)
}
