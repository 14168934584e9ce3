package e2e

import (
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
	"lockstep/internal/objectid"
)

// Case 9.3: however often the tickets service is killed while it publishes,
// every event is on the bus, and once.
func TestKillsOfTheServicePublishNothingTwice(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		var answered map[string]int64
		whileKilling(t, []*process{s.tickets}, func() { answered = s.load(t, writes()) })
		s.compare(t, answered)
		s.wantOnce(t)
	})
}

// Case 9.3: the same for the leader of two pods.
func TestAPodThatTakesOverPublishesNothingTwice(t *testing.T) {
	t.Parallel()
	inSoaks(t)
	f := newPods(t)
	stop := make(chan struct{})
	done := make(chan map[string]int64)
	go func() { done <- f.load(t, writes()/2) }()
	go func() {
		for range sized(2, 10) {
			pause(t, 300*time.Millisecond)
			leader := f.leader(t)
			leader.kill(t)
			leader.start(t)
		}
		close(stop)
	}()
	answered := <-done
	<-stop
	f.compare(t, answered)
	f.wantOnce(t)
}

// wantOnce reads the channels from their beginning and fails if two messages
// are the same.
func (s *system) wantOnce(t *testing.T) {
	t.Helper()
	conn, err := stan.Connect(clusterID, "once-"+objectid.New(), stan.NatsURL(s.natsURL), stan.ConnectWait(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	all, twice := 0, 0
	for _, subject := range append(event.TicketSubjects(), event.OrderSubjects()...) {
		seen := map[string]uint64{}
		for _, m := range messagesOf(t, conn, subject) {
			all++
			if _, again := seen[string(m.Data)]; again {
				twice++
				if twice <= 5 {
					t.Logf("%s: message %d is message %d again: %.80s", subject, m.Sequence, seen[string(m.Data)], m.Data)
				}
			}
			seen[string(m.Data)] = m.Sequence
		}
	}
	if twice > 0 {
		t.Errorf("%d of %d messages on the bus are second copies, want none", twice, all)
	}
}

// messagesOf returns a whole channel, each message once.
func messagesOf(t *testing.T, conn stan.Conn, subject event.Subject) []*stan.Msg {
	t.Helper()
	messages := make(chan *stan.Msg, 1<<10)
	closed := make(chan struct{})
	defer close(closed)
	sub, err := conn.Subscribe(string(subject), func(m *stan.Msg) {
		select {
		case messages <- m:
		case <-closed:
		}
	}, stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	var all []*stan.Msg
	for {
		select {
		case m := <-messages:
			if len(all) == 0 || m.Sequence > all[len(all)-1].Sequence {
				all = append(all, m)
			}
		case <-time.After(2 * time.Second):
			return all
		}
	}
}
