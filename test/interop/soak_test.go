package interop

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

const (
	soakWindow = 15 * time.Second // of an order
	killEvery  = 5 * time.Second  // each process, at a moment of its own

	// Without a change for so long, what is wrong stays wrong: what Node's
	// services left, and what ours may mend yet, later each time.
	quiet, ourQuiet = 45 * time.Second, 3 * time.Minute
)

// TestNothingIsLostWhileEveryProcessIsKilled is the soak of `make interop`. In
// every combination buyers and sellers work while each service is killed every
// five seconds; then what the sides have is counted, and what ours is to blame
// for fails. It prints the table for docs/guarantees.md. TICKETS, ORDERS, SEED
// and ONLY (a combination) change a run.
func TestNothingIsLostWhileEveryProcessIsKilled(t *testing.T) {
	if on, _ := strconv.ParseBool(os.Getenv("LOCKSTEP_INTEROP")); !on {
		t.Skip("takes ten minutes: make interop")
	}
	var all []count
	for _, who := range combinations {
		if only := os.Getenv("ONLY"); only != "" && only != who.String() {
			continue
		}
		t.Run(who.String(), func(t *testing.T) {
			c := soak(t, who)
			all = append(all, c)
			for _, name := range details {
				t.Logf("%s: %d", name, c.figure[name])
			}
			for _, f := range figures {
				if f.must(who) && f.of(c) > 0 {
					t.Errorf("%s: %d, want 0: %.20q", f.name, f.of(c), c.names[f.name])
				}
			}
		})
	}
	fmt.Print(table(all)) // unindented, to be pasted
}

func number(t *testing.T, name string, fallback int) int {
	t.Helper()
	if os.Getenv(name) == "" {
		return fallback
	}
	return must[int](t)(strconv.Atoi(os.Getenv(name)))
}

// soak puts one combination under load and kills, and counts.
func soak(t *testing.T, who sides) count {
	t.Helper()
	seed := uint64(number(t, "SEED", int(time.Now().UnixNano()%1e9)))
	t.Logf("SEED=%d", seed)
	s := startSystem(t, who, mongotest.Start(t, 1), usual, soakWindow)
	l := newLoad(s, seed, number(t, "TICKETS", 500), number(t, "ORDERS", 600))
	done := make(chan struct{})
	go func() { defer close(done); l.run(t.Context()) }()
	kills, ends := s.killUntil(t, done, rand.New(rand.NewPCG(seed, 1)))
	for _, each := range s.services() {
		each.await(t)
	}
	spawn.Pause(t, soakWindow)
	c := s.untilQuiet(t, l)
	s.tell(t, c)
	c.figure[killed], c.figure["ends of their own accord"] = kills, ends
	return c
}

// killUntil kills every service once in each period, at a moment of its own,
// until done; but not twice in a row before it was ready, or on a busy machine it
// never would be. Whatever has ended is started again at once.
func (s *system) killUntil(t *testing.T, done <-chan struct{}, rng *rand.Rand) (kills, ends int) {
	t.Helper()
	due, early := map[*service]time.Time{}, map[*service]bool{}
	period := time.Now()
	for {
		for _, each := range s.services() {
			select {
			case <-each.Ended():
				ends++
				each.Launch(t)
			default:
			}
			if at, planned := due[each]; !planned || time.Now().Before(at) {
				continue
			}
			delete(due, each)
			ready := each.isReady(t)
			if !ready && early[each] {
				continue
			}
			early[each] = !ready
			each.Kill()
			each.Launch(t)
			kills++
		}
		if time.Now().After(period) {
			period = period.Add(killEvery)
			for _, each := range s.services() {
				due[each] = period.Add(-time.Duration(rng.Int64N(int64(killEvery))))
			}
		}
		select {
		case <-done:
			return kills, ends
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// await waits until a service that was launched is ready, and launches it again
// if it ends.
func (s *service) await(t *testing.T) {
	t.Helper()
	spawn.Within(t, time.Minute, s.Name+" is ready", func() bool {
		select {
		case <-s.Ended():
			s.Launch(t)
		default:
		}
		return s.isReady(t)
	})
}

func (s *service) isReady(t *testing.T) bool {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	status, _, err := try(ctx, "", http.MethodGet, s.Ready, nil)
	return err == nil && status == http.StatusOK
}

// untilQuiet counts until nothing is wrong, or until nothing changes any more.
func (s *system) untilQuiet(t *testing.T, l *load) count {
	t.Helper()
	var last count
	for changed := time.Now(); ; spawn.Pause(t, 2*time.Second) {
		c := s.count(t, l)
		if !maps.Equal(c.figure, last.figure) {
			last, changed = c, time.Now()
		}
		wrong := slices.ContainsFunc(figures, func(f figure) bool { return f.zero && f.of(c) > 0 })
		patience := quiet
		if slices.ContainsFunc(figures, func(f figure) bool { return f.must(s.sides) && f.of(c) > 0 }) {
			patience = ourQuiet
		}
		if !wrong || time.Since(changed) > patience {
			return c
		}
	}
}

// cell is the figure of a combination, with whose it is if it is not ours.
func (f figure) cell(c count) string {
	n := fmt.Sprint(f.of(c))
	if f.zero && f.of(c) > 0 && !f.must(c.who) && c.who != (sides{}) {
		n += " (Node's)"
	}
	return n
}

// table prints the counts as Markdown, a column for each combination.
func table(all []count) string {
	var b strings.Builder
	row := func(name string, cell func(count) string) {
		fmt.Fprint(&b, "| ", name, " |")
		for _, c := range all {
			fmt.Fprint(&b, " ", cell(c), " |")
		}
		fmt.Fprintln(&b)
	}
	row("", func(c count) string { return c.who.String() })
	row("---", func(count) string { return "---" })
	for _, f := range figures {
		row(f.name, f.cell)
	}
	return b.String()
}
