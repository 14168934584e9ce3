package chaos

import (
	"context"
	"sync"
	"testing"
	"time"

	"lockstep/replica"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

const (
	calm     = 3 * time.Second // of work before a fault, and after it
	patience = 2 * time.Minute
)

// TestTheBusTellsWhatIsStored breaks the set in four ways under the load of
// four writers, three relays and three listeners.
func TestTheBusTellsWhatIsStored(t *testing.T) {
	mongotest.EachFault(t, func(t *testing.T, set *mongotest.Set, fault mongotest.Fault) {
		s := newSystem(t, set)
		c := s.load(t, func(c *crowd) {
			spawn.Pause(t, calm)
			fault.Inflict(t)
			fault.Last(t)
			fault.Heal(t)
			before := c.sum()
			spawn.Within(t, patience, "writes are acknowledged again", func() bool { return c.sum() > before })
			spawn.Pause(t, calm)
		})
		s.check(t, c)
	})
}

// load lets writers work on all pods while fault lasts.
func (s *system) load(t *testing.T, fault func(c *crowd)) *crowd {
	t.Helper()
	c := &crowd{told: map[string]int64{}, last: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for i := range writers {
		working.Go(func() { c.work(ctx, ticket.NewService(s.canonical[i%pods].Tickets(), ticket.Options{})) })
	}
	fault(c)
	stop()
	working.Wait()
	return c
}

// check waits until everything has arrived and compares.
func (s *system) check(t *testing.T, c *crowd) {
	t.Helper()
	began := time.Now()
	spawn.Within(t, patience, "the outbox is empty", func() bool {
		stats, err := s.canonical[0].Outbox().Stats(t.Context())
		return err == nil && stats.Pending == 0
	})
	stored := s.stored(t)
	for id, v := range c.told {
		if stored[id].Version < v {
			t.Errorf("ticket %s: version %d was acknowledged, %d is stored", id, v, stored[id].Version)
		}
	}
	b := s.observe(t)
	spawn.Within(t, patience, "the bus has what is stored", func() bool { missing, _, _ := b.compare(stored); return missing == 0 })
	_, phantom, repeated := b.compare(stored)
	if phantom > 0 {
		t.Errorf("%d versions are on the bus and not stored", phantom)
	}
	spawn.Within(t, patience, "the replica is equal", func() bool { return s.differences(t, stored) == 0 })
	if n, err := s.copies[0].Quarantine().Count(t.Context()); err != nil || n > 0 {
		t.Errorf("%d messages in quarantine, error %v", n, err)
	}
	t.Logf("%d writes acknowledged, %d failed, longest pause %v; %d tickets equal in the replica %v after the last write; %d repeats on the bus",
		c.acks, c.failed, c.longest.Round(10*time.Millisecond), len(stored), time.Since(began).Round(10*time.Millisecond), repeated)
}

func (s *system) stored(t *testing.T) map[string]ticket.Ticket {
	t.Helper()
	all := map[string]ticket.Ticket{}
	for after := ""; ; {
		page, err := s.canonical[0].Tickets().Page(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		for _, p := range page {
			all[p.ID] = p
		}
		after = page[len(page)-1].ID
	}
}

// differences counts the tickets whose row is not what the ticket is.
func (s *system) differences(t *testing.T, stored map[string]ticket.Ticket) int {
	t.Helper()
	left := len(stored)
	for after := ""; ; {
		page, err := s.copies[0].Replica().Page(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return left
		}
		for _, r := range page {
			want := stored[r.ID]
			if r == (replica.Row{ID: want.ID, Version: want.Version, Title: want.Title, Price: want.Price}) {
				left--
			}
		}
		after = page[len(page)-1].ID
	}
}
