package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
)

// soakLimit is how many messages a channel of a limited broker keeps, and
// soakWindow how many of them a listener is sent ahead.
const (
	soakLimit  = 1500
	soakWindow = 128
)

// trial is a fleet that works while things are done to it.
type trial struct {
	*fleet
	t       *testing.T
	book    *book
	bus     *speaker
	db      map[string]*mongo.Database // by service; nil on SQLite
	limited *brokertest.Broker         // a broker whose channels run over; nil if they do not

	compares bool // what is copied is compared with its owner every few seconds

	mu   sync.Mutex
	seen map[string][]time.Duration // how long it took until a fault was shown, by what showed it
}

// fault is one thing that goes wrong. strike does it, sees that it is shown,
// and does what the runbook says.
type fault struct {
	name   string
	breaks []string // of tickets, orders, broker: two faults at once have none in common
	fits   func(s *trial) bool
	strike func(s *trial, rng *rand.Rand)
}

// Issue 10, Show: everything of it at random, to a running fleet under load.
// After each fault all is well again, and nothing was green that was not. With
// LOCKSTEP_SOAK, SOAK_FOR is how long (1h), SOAK_SEED which history, SOAK_FAULTS
// which faults; without it, one fault shows that the soak itself works.
func TestSoak(t *testing.T) {
	t.Parallel()
	if !soak() {
		newTrial(t, sqlite{}, 1, 1).run(1, 0, []string{"unreadable messages"})
		return
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SOAK_SEED: %v", err)
		}
	}
	howLong, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK_FOR"), "1h"))
	if err != nil {
		t.Fatalf("SOAK_FOR: %v", err)
	}
	var only []string
	if names := os.Getenv("SOAK_FAULTS"); names != "" {
		only = strings.Split(names, ",")
	}
	t.Logf("SOAK_SEED=%d", seed)
	t.Run("mongodb", func(t *testing.T) {
		t.Parallel()
		newTrial(t, named{mongotest.Shared(t), map[string]string{}}, pods, seed).run(seed, howLong, only)
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		newTrial(t, sqlite{}, 1, seed+1).run(seed, howLong, only)
	})
}

// newTrial starts a fleet. The seed decides whether its channels run over and
// whether comparisons mend what is lost, or it has to be noticed by itself.
func newTrial(t *testing.T, e engine, members int, seed uint64) *trial {
	t.Helper()
	s := &trial{t: t, book: newBook(), seen: map[string][]time.Duration{}, compares: seed/2%2 == 0}
	env := append([]string{"ORDER_WINDOW=40s", fmt.Sprint("MAX_IN_FLIGHT=", soakWindow)}, soon...)
	if s.compares {
		env = append(env, "COMPARE_EVERY=10s")
	}
	if seed%2 == 0 {
		b := brokertest.Start(t, brokertest.Stored(filepath.Join(t.TempDir(), "limited")), brokertest.MaxMessages(soakLimit))
		env = append(env, "NATS_URL="+b.URL(), "NATS_CLUSTER_ID="+brokertest.ClusterID, "NATS_MONITOR_URL="+b.MonitorURL())
		s.limited = b
	}
	s.fleet = newFleet(t, e, members, env...)
	s.bus = &speaker{url: s.natsURL, cluster: clusterID}
	if s.limited != nil {
		s.bus = &speaker{url: s.limited.URL(), cluster: brokertest.ClusterID}
	}
	t.Cleanup(s.bus.close)
	if uri := s.tickets.setting("MONGO_URI"); uri != "" {
		s.db = map[string]*mongo.Database{"tickets": database(t, uri), "orders": database(t, s.orders.setting("MONGO_URI"))}
	}
	return s
}

// run breaks things, one or two at a time, until the time is over, and at least
// once. Only faults of these names are taken; all if there are none.
func (s *trial) run(seed uint64, howLong time.Duration, only []string) {
	s.t.Helper()
	rng := rand.New(rand.NewPCG(seed, 0))
	stop := s.load(seed)
	defer stop()
	faults := slices.DeleteFunc(s.faults(), func(f fault) bool {
		return !f.fits(s) || only != nil && !slices.Contains(only, f.name)
	})
	for began, round := time.Now(), 1; (round == 1 || time.Since(began) < howLong) && !s.t.Failed(); round++ {
		s.strike(choose(faults, rng), rng)
		s.well()
		if round%4 == 0 {
			s.atRest()
		}
	}
	stop()
	s.atRest()
	s.t.Log(s.book.sum(), s.shown())
}

// choose returns a fault, or two that have nothing to do with each other.
func choose(faults []fault, rng *rand.Rand) []fault {
	one, other := faults[rng.IntN(len(faults))], faults[rng.IntN(len(faults))]
	shared := slices.ContainsFunc(other.breaks, func(b string) bool { return slices.Contains(one.breaks, b) })
	if shared || rng.IntN(3) > 0 {
		return []fault{one}
	}
	return []fault{one, other}
}

// strike does faults at once.
func (s *trial) strike(faults []fault, rng *rand.Rand) {
	var striking sync.WaitGroup
	for _, f := range faults {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		striking.Go(func() {
			s.note("%s", f.name)
			f.strike(s, own)
		})
	}
	striking.Wait()
}

// note writes into the test's log what is done, with the time.
func (s *trial) note(format string, args ...any) {
	s.t.Logf(time.Now().UTC().Format("15:04:05 ")+format, args...)
}

// shown lists how long it took until what was wrong could be seen.
func (s *trial) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for what, took := range s.seen {
		lines = append(lines, fmt.Sprintf("\n%-70s %3d times, at most %v", what, len(took), slices.Max(took).Round(time.Second)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// members are the processes of a service.
func (s *trial) members(service string) []*process {
	if service == "tickets" {
		return s.canonical
	}
	return s.copies
}

// ops is the ops address of a service.
func (s *trial) ops(service string) string {
	if service == "tickets" {
		return s.ticketsOps
	}
	return s.ordersOps
}

// begin starts processes and waits until they are ready.
func (s *trial) begin(all ...*process) {
	s.t.Helper()
	for _, p := range all {
		p.Launch(s.t)
	}
	for _, p := range all {
		within(s.t, 2*time.Minute, p.Name+" is ready again", func() bool {
			r, err := s.try(s.t, "", "GET", p.Ready, nil)
			return err == nil && r.status == 200
		})
	}
}
