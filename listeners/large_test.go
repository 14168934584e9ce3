package listeners_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/replica"
)

// large is a ticket's first event that is nearly as large as one may be.
func large(i int) event.Event { return padded(ticket(ticketID(i), 0), 900_000) }

// padded returns e with so many bytes more, in a field that nobody knows.
func padded(e event.Event, bytes int) event.Event {
	e.Payload = slices.Concat([]byte(`{"padding":"`), slices.Repeat([]byte("x"), bytes), []byte(`",`), e.Payload[1:])
	return e
}

// Case 11.3: a backlog of large messages is read a few at a time: none is
// dropped for want of room, and none sent twice.
func TestABacklogOfLargeMessagesIsReadAFewAtATime(t *testing.T) {
	t.Parallel()
	const n = 40
	w := newWorld(t)
	for i := range n {
		w.publish(t, large(i))
	}
	m := w.join(t, setup{options: unhurried(), narrow: true})
	most := 0.0
	until(t, "all are applied", func() bool {
		most = max(most, metric(t, "lockstep_listener_in_flight", nil, m))
		return w.version(t, ticketID(n-1)) == 0 && metric(t, "lockstep_listener_in_flight", nil, m) == 0
	})
	if most > 8 {
		t.Errorf("%v messages of 900 KB were in memory at once, want 8 at most", most)
	}
	for i := range n {
		if w.version(t, ticketID(i)) != 0 {
			t.Fatalf("ticket %d is not there", i)
		}
	}
	refused, again := metric(t, "lockstep_listener_refused_total", nil, m), metric(t, "lockstep_listener_received_total", map[string]string{"delivery": "redelivered"}, m)
	if refused+again != 0 {
		t.Errorf("%v messages found no room, %v were sent again; want none", refused, again)
	}
}

// slow is a handler that waits for leave.
type slow struct {
	listeners.Handler
	leave chan struct{}
}

func (s *slow) Decode(subject event.Subject, payload []byte) (listeners.Item, error) {
	item, err := s.Handler.Decode(subject, payload)
	if err == nil && len(payload) > 100_000 {
		<-s.leave
	}
	return item, err
}

// Case 11.3: large messages that come where small ones were found no more room
// than they may have, fewer are taken at once, and none is lost.
func TestLargeMessagesAfterSmallOnesFindABound(t *testing.T) {
	t.Parallel()
	const n = 40
	w := newWorld(t)
	h := &slow{Handler: listeners.NewTickets(replica.NewProjector(w.db.Replica()), event.Scheme{}), leave: make(chan struct{})}
	m := w.join(t, setup{handler: h, options: listeners.Options{AckWait: time.Second}})
	for i := range n {
		w.publish(t, large(i))
	}
	until(t, "fewer are taken at once", func() bool { return metric(t, "lockstep_listener_window", nil, m) == 2*1024+8 })
	close(h.leave)
	until(t, "all are applied", func() bool {
		rows, err := w.db.Replica().Versions(t.Context(), ids(n))
		return err == nil && len(rows) == n
	})
}

func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = ticketID(i)
	}
	return all
}

// Case 11.5: past QuarantineBytes nothing more is set aside, nothing is dropped,
// and the listener says so.
func TestAQuarantineThatIsFullInBytesDropsNothing(t *testing.T) {
	t.Parallel()
	const n, limit = 24, 10_000
	w := newWorld(t)
	m := w.join(t, setup{options: listeners.Options{AckWait: time.Second, HoldFor: 100 * time.Millisecond, QuarantineBytes: limit}})
	for i := range n {
		w.publish(t, padded(ticket(ticketID(i), 1), 2_000))
		until(t, "it is set aside, or there is no more room", func() bool {
			size, err := w.db.Quarantine().Size(t.Context(), listeners.OrdersService)
			return m.Check() != nil || err == nil && size.Messages == i+1
		})
	}
	if err := m.Check(); !errors.Is(err, listeners.ErrQuarantineFull) || !strings.Contains(err.Error(), "QUARANTINE_BYTES") {
		t.Errorf("the listener says %v, want that its quarantine is full", err)
	}
	size, err := w.db.Quarantine().Size(t.Context(), listeners.OrdersService)
	if err != nil || size.Bytes < limit || size.Bytes > 2*limit || size.Messages == n {
		t.Errorf("%+v in quarantine (%v), want a little over %d bytes", size, err, limit)
	}
	if got := metric(t, "lockstep_listener_quarantined_bytes", nil, m); got != float64(size.Bytes) {
		t.Errorf("the metric says %v bytes, want %d", got, size.Bytes)
	}
	for i := range n {
		w.publish(t, ticket(ticketID(i), 0))
	}
	w.settled(t, n, 1)
	until(t, "there is room again", func() bool { return m.Check() == nil })
}
