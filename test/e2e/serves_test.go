package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/test/mongotest"
)

// happening is something that happens to a fleet which serves.
type happening struct {
	name   string
	happen func()
	// allowed are the refusals that the service cannot avoid: 503, or no answer
	// at all.
	allowed []int
	shows   string // what has to be said meanwhile
}

// TestAFleetServesThroughFaults has three processes of each service on a set of
// three, and requests at a fixed rate through balancers that follow readiness.
// For each it tells how many requests were not served, the longest
// answer, and what readiness and metrics said. It takes minutes:
// LOCKSTEP_CHAOS=1, or `make fleet`. Issue 11, Show.
func TestAFleetServesThroughFaults(t *testing.T) {
	if os.Getenv("LOCKSTEP_CHAOS") == "" {
		t.Skip("elections take minutes: run `make fleet`")
	}
	set := mongotest.Start(t, 3)
	f := newFleet(t, mongodb{set}, pods, "DRAIN_DELAY=3s")
	disk, bus, services := f.moveBroker(t), f.observe(t), slices.Concat(f.canonical, f.copies)
	tickets, orders := balance(t, f.canonical, "TICKETS_ADDR"), balance(t, f.copies, "ORDERS_ADDR")
	shop := f.newStock(t, 4000) // of which a restart of each process takes half

	order := f.reserve(t, shop.next())
	requests := []request{
		{tickets, http.MethodPost, "/api/tickets", fixed(`{"title":"concert","price":20}`)},
		{orders, http.MethodPost, "/api/orders", shop.next},
		{tickets, http.MethodGet, "/api/tickets/" + shop.first, fixed("")},
		{orders, http.MethodGet, "/api/orders/" + order, fixed("")},
	}
	t.Log("| what happens | requests | not served | longest answer | what readiness and metrics said |")
	t.Log("| --- | --- | --- | --- | --- |")
	for _, h := range []happening{
		{name: "nothing, for 20 s", happen: func() { pause(t, 20*time.Second) }},
		{name: "each process is restarted", happen: func() {
			for _, p := range services {
				p.stop(t)
				p.start(t)
				pause(t, 2*lookEvery)
			}
		}},
		{name: "each process is killed", happen: func() {
			for _, p := range services {
				p.kill(t)
				p.start(t)
				pause(t, 2*lookEvery)
			}
		}, allowed: []int{0}},
		{name: "the primary is frozen for 15 s", happen: func() {
			m := set.Primary(t)
			m.Freeze(t)
			pause(t, 15*time.Second)
			m.Thaw(t)
			set.Healthy(t)
		}, allowed: []int{http.StatusServiceUnavailable}, shows: "lockstep_ready` 0"},
		{name: "the broker's disk is full: it ends, and is back after 20 s", happen: func() {
			disk.fill(t)
			<-f.broker.Ended() // by a panic of its own
			pause(t, 20*time.Second)
			disk.free(t)
			f.broker.start(t)
		}, shows: "lockstep_outbox_pending"},
		{name: "200,000 messages that cannot be read", happen: func() {
			bus.flood(t, func() (event.Subject, string) { return event.TicketUpdated, "{" })
		}, shows: "lockstep_listener_quarantined"},
		{name: "200,000 early messages", happen: func() {
			bus.flood(t, func() (event.Subject, string) { return foreign(objectid.New(), 7) })
		}, shows: "lockstep_listener_quarantined"},
	} {
		f.settle(t)
		f.fill(t, shop)
		signs := watchSigns(t, services)
		sent := f.sendAtRate(t, servedRate, requests...)
		h.happen()
		f.settle(t)
		n, said := sent.stop(), signs.stop()
		t.Logf("| %s | %d | %d%s | %v | %s |", h.name, n, len(sent.wrong), sent.statuses(), sent.took.Round(time.Millisecond), said)
		for _, w := range sent.wrong {
			if !slices.Contains(h.allowed, w.status) {
				t.Errorf("%s: %s", h.name, w.what)
			}
		}
		if sent.took > 12*time.Second {
			t.Errorf("%s: an answer took %v, more than the bound of ten seconds", h.name, sent.took)
		}
		if !strings.Contains(said, h.shows) {
			t.Errorf("%s: nothing showed %s", h.name, h.shows)
		}
	}
	if out, code := lockstep(t, "replica", "verify", "--ops-url", f.ordersOps); code != 0 {
		t.Errorf("the replica differs from its owner: exit %d\n%s", code, out)
	}
}

// settle waits until every process is ready, a ticket that is made then is in
// the replica, and the broker has next to nothing left for the group.
func (f *fleet) settle(t *testing.T) {
	t.Helper()
	within(t, 3*time.Minute, "every process is ready", func() bool {
		for _, p := range f.processes() {
			if status, err := fetch(t.Context(), newConnections, http.MethodGet, p.Ready, "", ""); err != nil || status != http.StatusOK {
				return false
			}
		}
		return true
	})
	within(t, 5*time.Minute, "a ticket that is made now is in the replica", func() bool {
		r, err := f.try(t, "ann@example.com", http.MethodPost, f.ticketsURL+"/api/tickets", draft{"the last one", 1})
		if err != nil || r.status != http.StatusCreated {
			return false
		}
		f.untilReplica(t, r.id(), 0)
		return true
	})
	within(t, 10*time.Minute, "the group has caught up", func() bool {
		return f.orders.sum(t, "lockstep_broker_lag_messages") < servedRate // it goes on meanwhile
	})
}

// statuses counts the refusals by status.
func (l *load) statuses() string {
	count := map[int]int{}
	for _, w := range l.wrong {
		count[w.status]++
	}
	var all []string
	for _, status := range slices.Sorted(maps.Keys(count)) {
		all = append(all, fmt.Sprintf("%d × %d", count[status], status))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// stock is tickets that wait for a buyer.
type stock struct {
	first string // stays as it is
	free  chan string
}

func (f *fleet) newStock(t *testing.T, n int) *stock {
	t.Helper()
	s := &stock{first: f.create(t, "ann@example.com").id(), free: make(chan string, n)}
	f.fill(t, s)
	return s
}

// fill puts as many tickets into the stock as it takes.
func (f *fleet) fill(t *testing.T, s *stock) {
	t.Helper()
	last := s.first
	for len(s.free) < cap(s.free) {
		last = f.create(t, "ann@example.com").id()
		s.free <- last
	}
	f.untilReplica(t, last, 0)
}

// next is the body of an order for a ticket that nobody has, or one that is
// refused, and counted, once the stock has run out.
func (s *stock) next() string {
	id := "sold out"
	select {
	case id = <-s.free:
	default:
	}
	return fmt.Sprintf(`{"ticketId":%q}`, id)
}

func (f *fleet) reserve(t *testing.T, body string) string {
	t.Helper()
	return posted(t, f.ordersURL+"/api/orders", body, f.cookie(t, "ann@example.com")).id()
}

const (
	servedRate = 100     // requests a second
	flooded    = 200_000 // messages of a flood
)

// flood publishes messages as fast as the broker takes them.
func (o *observer) flood(t *testing.T, next func() (event.Subject, string)) {
	t.Helper()
	all := make([]said, flooded)
	for i := range all {
		all[i].subject, all[i].payload = next()
	}
	o.sayAll(t, all)
}

// brokerDisk is a small disk on which the broker of a fleet keeps its files.
type brokerDisk struct{ dir string }

// moveBroker gives the broker of the fleet a disk of its own.
func (f *fleet) moveBroker(t *testing.T) brokerDisk {
	t.Helper()
	dir := f.broker.setting("DATA_DIR")
	f.broker.stop(t)
	if err := os.Rename(dir, dir+".was"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mountDisk(t, dir, "512m")
	if err := os.CopyFS(dir, os.DirFS(dir+".was")); err != nil {
		t.Fatal(err)
	}
	f.broker.start(t)
	return brokerDisk{dir}
}

func (d brokerDisk) filler() string { return filepath.Join(d.dir, "filler") }

func (d brokerDisk) fill(t *testing.T) {
	t.Helper()
	file, err := os.Create(d.filler())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, size := range []int{1 << 20, 1 << 10, 1} {
		for block := make([]byte, size); ; {
			if _, err := file.Write(block); err != nil {
				break
			}
		}
	}
}

func (d brokerDisk) free(t *testing.T) {
	t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		t.Fatal(err)
	}
}
