package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/internal/session"
	"lockstep/internal/tap"
	"lockstep/publishers"
)

const (
	messEvery       = 100 * time.Millisecond // between two bursts
	copyOne         = 4                      // one message of so many is sent again, late and out of order
	foreignVersions = 10                     // of each ticket that a foreign publisher shuffles
)

// mess is the rest of the bus at its worst: it sends copies of what it hears,
// late and in any order, and it is a foreign publisher whose versions arrive
// shuffled and repeated.
type mess struct {
	session *session.Session
	out     *publishers.NATS
	rng     *rand.Rand

	mu      sync.Mutex
	heard   map[string]map[int64]bool // versions of each ticket that its owner published
	seen    map[place]bool            // messages that were heard
	own     map[string]int            // what this one sent and has not heard yet
	pool    []event.Event             // to be sent again
	foreign []string                  // tickets of the foreign publisher
	copies  int
	swapped int // messages of the foreign publisher behind a later version
}

// place names a message on the bus.
type place struct {
	subject  event.Subject
	sequence uint64
}

func newMess(s *session.Session) *mess {
	return &mess{
		session: s, out: publishers.New(s), rng: rand.New(rand.NewPCG(7, 7)),
		heard: map[string]map[int64]bool{}, seen: map[place]bool{}, own: map[string]int{},
	}
}

// listen hears everything until ctx ends.
func (m *mess) listen(ctx context.Context) error {
	return tap.Run(ctx, m.session, append(event.TicketSubjects(), event.OrderSubjects()...), m.hear)
}

func (m *mess) hear(subject event.Subject, sequence uint64, payload []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := place{subject, sequence}
	if m.seen[at] {
		return
	}
	m.seen[at] = true
	if key := string(subject) + string(payload); m.own[key] > 0 {
		m.own[key]--
		return
	}
	if c, err := (event.Scheme{}).DecodeTicket(subject, payload); err == nil {
		if m.heard[c.ID] == nil {
			m.heard[c.ID] = map[int64]bool{}
		}
		m.heard[c.ID][c.Version] = true
	}
	if sequence%copyOne == 0 {
		m.pool = append(m.pool, event.Event{Subject: subject, Payload: payload})
	}
}

// run makes a mess until end is closed, and finishes what it has begun unless
// ctx ends.
func (m *mess) run(ctx context.Context, end <-chan struct{}) {
	tick := time.NewTicker(messEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-tick.C:
		}
		burst := m.foreignTicket()
		m.mu.Lock()
		if len(m.pool) > 200 || m.rng.IntN(4) == 0 { // let some grow old
			m.copies += len(m.pool)
			burst = append(burst, m.pool...)
			m.pool = nil
		}
		m.mu.Unlock()
		m.rng.Shuffle(len(burst), func(i, j int) { burst[i], burst[j] = burst[j], burst[i] })
		m.countSwaps(burst)
		for _, e := range burst {
			m.say(ctx, e)
		}
	}
}

// foreignTicket returns the whole life of a ticket, some of it twice.
func (m *mess) foreignTicket() []event.Event {
	id := objectid.New()
	var life []event.Event
	for v := range int64(foreignVersions) {
		subject := event.TicketUpdated
		if v == event.First {
			subject = event.TicketCreated
		}
		payload := fmt.Appendf(nil, `{"version":%d,"id":%q,"title":"foreign","price":%d.5,"userId":"u"}`, v, id, v)
		for range 1 + m.rng.IntN(2) {
			life = append(life, event.Event{Key: id, Version: v, Subject: subject, Payload: payload})
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.foreign = append(m.foreign, id)
	return life
}

func (m *mess) countSwaps(burst []event.Event) {
	highest := map[string]int64{}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range burst {
		if e.Key == "" {
			continue
		}
		if e.Version < highest[e.Key] {
			m.swapped++
		}
		highest[e.Key] = max(highest[e.Key], e.Version)
	}
}

// say publishes e, however long the broker is away.
func (m *mess) say(ctx context.Context, e event.Event) {
	m.mu.Lock()
	m.own[string(e.Subject)+string(e.Payload)]++
	m.mu.Unlock()
	for {
		if err := m.out.Connected(ctx); err != nil {
			return // nobody waits for it any more
		}
		answer := make(chan error, 1)
		m.out.Publish(e, func(err error) { answer <- err })
		if err := <-answer; err == nil || errors.Is(err, event.ErrRejected) {
			return
		}
	}
}

// figures of the mess so far.
func (m *mess) counted() (copies, swapped, foreign int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.copies, m.swapped, len(m.foreign)
}
