package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/store/sqlite"
	"lockstep/test/brokertest"
)

// succeeding returns the checks that succeed now.
func (r *running) succeeding() (names []string) {
	r.t.Helper()
	var ready struct {
		Checks []struct{ Name, Status string }
	}
	if err := json.Unmarshal([]byte(r.get("/readyz")), &ready); err != nil {
		r.t.Fatal(err)
	}
	for _, c := range ready.Checks {
		if c.Status == "ok" {
			names = append(names, c.Name)
		}
	}
	return names
}

// shown returns the checks whose metric is 1.
func (r *running) shown() (names []string) {
	r.t.Helper()
	for line := range strings.Lines(r.get("/metrics")) {
		name, good := strings.CutSuffix(strings.TrimSpace(line), `"} 1`)
		name, is := strings.CutPrefix(name, `lockstep_check_ok{check="`)
		if good && is {
			names = append(names, name)
		}
	}
	return names
}

// TestNoCheckSucceedsByWhatWasBefore: without a broker only those succeed that
// need none, as their metrics say, and with it all of them again. Case 11.10.
func TestNoCheckSucceedsByWhatWasBefore(t *testing.T) {
	t.Parallel()
	bus := brokertest.Start(t)
	r := startUp(t, t.TempDir(), "--nats-url="+bus.URL(), "--nats-cluster-id="+brokertest.ClusterID)
	var all []string
	for _, s := range r.services {
		for _, c := range s.checks {
			all = append(all, c.Name)
		}
	}
	wants := func(what string, want []string) {
		t.Helper()
		slices.Sort(want)
		eventually(t, what, func() bool {
			ready, metrics := r.succeeding(), r.shown()
			slices.Sort(ready)
			return slices.Equal(ready, want) && slices.Equal(slices.Sorted(slices.Values(metrics)), want)
		})
	}
	wants("everything succeeds", slices.Clone(all))
	bus.Stop()
	wants("nothing that needs a broker succeeds", slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !slices.ContainsFunc([]string{"store", "quarantine", "outbox", "replica", "expiry"}, func(kind string) bool { return strings.HasSuffix(name, " "+kind) })
	}))
	bus.Restart()
	wants("everything succeeds again", all)
	r.end()
}

// TestAProcessStartsBesideAFullQuarantine: nobody can restart the service
// otherwise, and what fills the quarantine may be a stranger's. Case 11.5.
func TestAProcessStartsBesideAFullQuarantine(t *testing.T) {
	t.Parallel()
	bus := brokertest.Start(t)
	dir, flags := t.TempDir(), []string{"--nats-url=" + bus.URL(), "--nats-cluster-id=" + brokertest.ClusterID, "--quarantine-limit=1000"}
	r := startUp(t, dir, flags...)
	c, err := bus.Dial(t, "stranger").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 1100
	answers := make(chan error, n)
	for i := range n {
		c.PublishAsync(string(event.TicketCreated), fmt.Append(nil, "no event ", i), func(err error) { answers <- err })
	}
	for range n {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	full := func() bool { return strings.Contains(r.get("/readyz"), "quarantine is full") }
	eventually(t, "it is full", full)
	r.end()
	r = startUp(t, dir, flags...)
	eventually(t, "it is full still", full)
	if s := r.succeeding(); !slices.Contains(s, "orders listener") {
		t.Errorf("%v succeed, want the listener among them: it is subscribed", s)
	}
	r.end()
}

// TestAnUncountedQuarantineIsNotEmpty: nobody knows what is in it before the first
// look, and while the store does not tell. Case 11.10.
func TestAnUncountedQuarantineIsNotEmpty(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	uncounted := &uncounted{Quarantine: db.Quarantine()}
	incidents, err := incident.New(db.Incidents(), incident.Options{Service: "tickets"})
	if err != nil {
		t.Fatal(err)
	}
	l := newLookout(&service{incidents: incidents, store: &store{quarantine: uncounted}}, 100)
	check := func(what, want string) {
		t.Helper()
		if err := l.quarantineEmpty(t.Context()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	check("before the first look", "not counted yet")
	uncounted.err = errors.New("gone")
	_ = l.quarantine(t.Context()) // it says the same
	check("while the store is away", "cannot be counted: gone")
	uncounted.err = nil
	if err := l.quarantine(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("empty", "")
}

type uncounted struct {
	listeners.Quarantine
	err error
}

func (u *uncounted) Count(ctx context.Context) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	return u.Quarantine.Count(ctx)
}

// TestWhatIsCountedIsUnknownWithoutTheStore, also where a count took so long that
// the next one is minutes away. Case 11.10.
func TestWhatIsCountedIsUnknownWithoutTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // held while one of these is read or written
		var gone error
		counts, shown := 0, -1.0
		becomes := func(err error) { mu.Lock(); defer mu.Unlock(); gone = err }
		is := func() error { mu.Lock(); defer mu.Unlock(); return gone }
		s := &service{log: slog.New(slog.DiscardHandler), store: &store{ping: func(context.Context) error { return is() }}}
		run := s.counting("rows", func(context.Context) (int, error) {
			time.Sleep(5 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			counts++
			return 3, gone
		}, func(v float64) { mu.Lock(); defer mu.Unlock(); shown = v }, nil)
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = run(ctx) }() // returns nil
		after := func(d time.Duration, want float64, most int) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if shown != want && !(math.IsNaN(shown) && math.IsNaN(want)) || counts > most {
				t.Errorf("%v and %d counts, want %v and at most %d", shown, counts, want, most)
			}
		}
		after(time.Minute, 3, 1)
		becomes(errors.New("gone"))
		after(countEvery+time.Second, math.NaN(), 2)
		becomes(nil)
		after(countEvery+10*time.Second, 3, 5)
		stop()
		synctest.Wait()
	})
}
