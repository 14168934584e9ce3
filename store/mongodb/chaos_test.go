package mongodb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/outbox"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

const (
	chaosWriters = 4
	chaosCalm    = 2 * time.Second // of work before each fault, and after it
)

// TestNothingIsLostWhenMembersFail breaks a set of three members while writers
// commit in two processes' worth of stores and tails follow. Every change must
// have become what its writer was told, and every tail must have told exactly
// what is stored. It takes minutes: LOCKSTEP_CHAOS=1, or `make chaos-mongo`.
func TestNothingIsLostWhenMembersFail(t *testing.T) {
	mongotest.EachFault(t, func(t *testing.T, set *mongotest.Set, fault mongotest.Fault) {
		c := newChaos(t, set)
		c.run(t, func() {
			spawn.Pause(t, chaosCalm)
			began := time.Now()
			fault.Inflict(t)
			fault.Last(t)
			fault.Heal(t)
			c.awaitCommit(t)
			t.Logf("fault and recovery took %v", time.Since(began).Round(10*time.Millisecond))
			spawn.Pause(t, chaosCalm)
		})
		c.check(t)
	})
}

// TestAnIdleTailStaysAlive lets nothing happen for longer than any timeout of
// the clients.
func TestAnIdleTailStaysAlive(t *testing.T) {
	if os.Getenv("LOCKSTEP_CHAOS") == "" {
		t.Skip("idling takes half a minute: run `make chaos-mongo`")
	}
	t.Parallel()
	set := mongotest.Shared(t)
	db := open(t, set.URI(set.Database(t)), mongodb.Options{})
	tail := openTail(t, db)
	for began := time.Now(); time.Since(began) < 35*time.Second; {
		if wake, err := tail.Next(t.Context()); err != nil || len(wake.Records) > 0 {
			t.Fatalf("an idle tail gave %v, %v", wake.Records, err)
		}
	}
	made := create(t.Context(), t, db)
	for {
		wake, err := tail.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if wake.InOrder && len(wake.Records) == 1 && wake.Records[0].Key == made.ID {
			return
		}
	}
}

// chaos is a crowd at work on one database, with what it was told.
type chaos struct {
	stores []*mongodb.DB // as of two processes

	mu        sync.Mutex
	committed map[string]bool // event ids of changes whose Commit returned nil
	refused   map[string]error
	unknown   map[string]bool
	lastAck   time.Time
	longest   time.Duration // without a commit
	tails     []*follower
}

func newChaos(t *testing.T, set *mongotest.Set) *chaos {
	t.Helper()
	uri := set.URI(set.Database(t))
	c := &chaos{committed: map[string]bool{}, refused: map[string]error{}, unknown: map[string]bool{}, lastAck: time.Now()}
	for range 2 {
		db := open(t, uri, mongodb.Options{})
		c.stores = append(c.stores, db)
		c.tails = append(c.tails, &follower{db: db, seen: map[string]bool{}})
	}
	return c
}

// run keeps the crowd at work while fault lasts.
func (c *chaos) run(t *testing.T, fault func()) {
	t.Helper()
	working, stop := context.WithCancel(t.Context())
	following, end := context.WithCancel(t.Context())
	var writers, followers sync.WaitGroup
	for i := range chaosWriters {
		writers.Go(func() { c.write(working, c.stores[i%len(c.stores)]) })
	}
	for _, f := range c.tails {
		followers.Go(func() { f.run(following) })
	}
	fault()
	stop()
	writers.Wait()
	c.awaitTails(t)
	end()
	followers.Wait()
}

// write creates tickets and edits each a few times, until ctx ends.
func (c *chaos) write(ctx context.Context, db *mongodb.DB) {
	for ctx.Err() == nil {
		now := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: "owner"}
		change := ticket.Change{Now: &now, Events: []event.Event{fact(now.ID, 0)}}
		for range 5 {
			err := db.Tickets().Commit(context.WithoutCancel(ctx), change)
			c.told(change.Events[0].ID(), err)
			if err != nil {
				break
			}
			was := *change.Now
			if change.Was != nil {
				was.Revision++
			}
			change = edit(was)
		}
	}
}

func (c *chaos) told(id string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.committed[id] = true
		c.longest = max(c.longest, time.Since(c.lastAck))
		c.lastAck = time.Now()
	case errors.Is(err, ticket.ErrUnknown):
		c.unknown[id] = true
	default:
		c.refused[id] = err
	}
}

// awaitCommit waits for a change that was committed from now on.
func (c *chaos) awaitCommit(t *testing.T) {
	t.Helper()
	began := time.Now()
	for time.Since(began) < 2*time.Minute {
		c.mu.Lock()
		recovered := c.lastAck.After(began)
		c.mu.Unlock()
		if recovered {
			return
		}
		spawn.Pause(t, 10*time.Millisecond)
	}
	t.Fatal("nothing is committed any more")
}

// stored returns the ids of the events in the outbox, from which nothing was
// deleted.
func (c *chaos) stored(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for after := ""; ; {
		page, err := c.stores[0].Outbox().List(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		for _, r := range page {
			all[r.ID()] = true
		}
		after = page[len(page)-1].ID()
	}
}

// awaitTails waits until every tail has told of everything.
func (c *chaos) awaitTails(t *testing.T) {
	t.Helper()
	want := c.stored(t)
	for _, f := range c.tails {
		for began := time.Now(); f.missing(want) > 0; spawn.Pause(t, 10*time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Errorf("a tail misses %d of %d events", f.missing(want), len(want))
				return
			}
		}
	}
}

func (c *chaos) check(t *testing.T) {
	t.Helper()
	stored := c.stored(t)
	count := func(what string, ids map[string]bool) {
		n := 0
		for id := range ids {
			if !stored[id] {
				n++
			}
		}
		if n > 0 {
			t.Errorf("%d of %d %s are not stored", n, len(ids), what)
		}
	}
	count("acknowledged changes", c.committed)
	for id, err := range c.refused {
		if stored[id] {
			t.Errorf("%s was refused with %v and is stored", id, err)
		}
	}
	report := fmt.Sprintf("%d committed, %d refused, %d unknown; longest pause of commits %v",
		len(c.committed), len(c.refused), len(c.unknown), c.longest.Round(10*time.Millisecond))
	for i, f := range c.tails {
		count(fmt.Sprintf("events told by tail %d", i), f.seen)
		report += fmt.Sprintf("; tail %d paused %v, was lost %d times", i, f.longest.Round(10*time.Millisecond), f.lost)
		for _, p := range f.problems {
			t.Error(p)
		}
	}
	t.Log(report)
	for _, err := range c.refused {
		t.Logf("refused, for example: %v", err)
		break
	}
}

// follower reads tails of one store, one after the other.
type follower struct {
	db *mongodb.DB

	mu       sync.Mutex
	seen     map[string]bool
	last     time.Time
	longest  time.Duration // without an event
	lost     int
	problems []string
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := f.follow(ctx); err != nil && ctx.Err() == nil {
			f.mu.Lock()
			f.lost++
			f.mu.Unlock()
			select { // as the relay does
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (f *follower) follow(ctx context.Context) (err error) {
	tail, err := f.db.Outbox().Tail(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tail.Close()) }()
	for {
		page, err := tail.Scan(ctx, 500)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		f.note(page, nil)
	}
	order := map[string]int64{}
	for {
		wake, err := tail.Next(ctx)
		if err != nil {
			return err
		}
		if wake.InOrder {
			f.note(wake.Records, order)
		} else {
			f.note(wake.Records, nil)
		}
	}
}

// note remembers records, and checks their order if there is one to keep.
func (f *follower) note(records []outbox.Record, order map[string]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range records {
		f.seen[r.ID()] = true
		before, known := order[r.Key]
		if known && r.Version > before+1 {
			f.problems = append(f.problems, fmt.Sprintf("a tail gives version %d of %s after %d", r.Version, r.Key, before))
		}
		if order != nil {
			order[r.Key] = r.Version
		}
	}
	if len(records) > 0 {
		if !f.last.IsZero() {
			f.longest = max(f.longest, time.Since(f.last))
		}
		f.last = time.Now()
	}
}

func (f *follower) missing(want map[string]bool) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range want {
		if !f.seen[id] {
			n++
		}
	}
	return n
}
