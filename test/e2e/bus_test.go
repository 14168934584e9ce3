package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// observer is a stranger on the bus: it hears everything from the first
// message on, and can speak.
type observer struct {
	conn stan.Conn

	mu       sync.Mutex
	messages []message
}

type message struct {
	subject event.Subject
	payload string
	id      string
	version int64
	orderID string
}

// observeNothing connects a stranger that speaks only.
func (s *system) observeNothing(t *testing.T) *observer {
	t.Helper()
	conn, err := stan.Connect(clusterID, "observer-"+objectid.New(), stan.NatsURL(s.natsURL),
		stan.ConnectWait(10*time.Second),                   // the default of 2 s is short beside other tests
		stan.PubAckWait(3*time.Second), stan.Pings(5, 100)) // it outlives a restart of the broker
	if err != nil {
		t.Fatal(err)
	}
	o := &observer{conn: conn}
	t.Cleanup(func() { _ = conn.Close() }) // the broker may be gone by then
	return o
}

// observe connects a stranger that hears everything.
func (s *system) observe(t *testing.T) *observer {
	t.Helper()
	o := s.observeNothing(t)
	for _, subject := range append(event.TicketSubjects(), event.OrderSubjects()...) {
		_, err := o.conn.Subscribe(string(subject), func(m *stan.Msg) { o.hear(subject, m.Data) }, stan.DeliverAllAvailable())
		if err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func (o *observer) hear(subject event.Subject, data []byte) {
	m := message{subject: subject, payload: string(data)}
	var p struct {
		ID      string `json:"id"`
		Version int64  `json:"version"`
		OrderID string `json:"orderId"`
	}
	if json.Unmarshal(data, &p) == nil {
		m.id, m.version, m.orderID = p.ID, p.Version, p.OrderID
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, m)
}

// of returns what was heard of one record, in the order in which it was.
func (o *observer) of(id string) []message {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []message
	for _, m := range o.messages {
		if m.id == id {
			all = append(all, m)
		}
	}
	return all
}

// versions returns the versions heard of each record of the subjects, without
// repetitions, as sets.
func (o *observer) versions(subjects ...event.Subject) map[string]map[int64]bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := map[string]map[int64]bool{}
	for _, m := range o.messages {
		if !slices.Contains(subjects, m.subject) {
			continue
		}
		if all[m.id] == nil {
			all[m.id] = map[int64]bool{}
		}
		all[m.id][m.version] = true
	}
	return all
}

// say publishes a message as a foreign service would.
func (o *observer) say(t *testing.T, subject event.Subject, payload string) {
	t.Helper()
	if err := o.conn.Publish(string(subject), []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// said is a message of a foreign publisher.
type said struct {
	subject event.Subject
	payload string
}

// sayAll publishes messages in their order without waiting for each, and
// repeats what the broker did not confirm.
func (o *observer) sayAll(t *testing.T, all []said) {
	t.Helper()
	const window = 500 // less than the client's own
	for batch := range slices.Chunk(all, window) {
		until(t, "the broker has confirmed everything", func() bool {
			batch = o.unconfirmed(batch)
			return len(batch) == 0
		})
	}
}

// unconfirmed publishes messages and returns those that the broker did not
// confirm.
func (o *observer) unconfirmed(batch []said) []said {
	var mu sync.Mutex
	var again []said
	var answers sync.WaitGroup
	for _, m := range batch {
		answers.Add(1)
		answer := func(_ string, err error) {
			defer answers.Done()
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				again = append(again, m)
			}
		}
		if _, err := o.conn.PublishAsync(string(m.subject), []byte(m.payload), answer); err != nil {
			answer("", err) // it will not be called: the link is down
		}
	}
	answers.Wait()
	return again
}

// foreign returns a ticket event of a foreign publisher.
func foreign(id string, version int64) (event.Subject, string) {
	subject := event.TicketUpdated
	if version == 0 {
		subject = event.TicketCreated
	}
	return subject, fmt.Sprintf(`{"version":%d,"id":%q,"title":"at %d","price":%d.5,"userId":"u"}`, version, id, version, version)
}
