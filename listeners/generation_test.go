package listeners_test

import (
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/test/brokertest"
)

func TestHeldMessagesSurviveARestartOfTheBrokerWithItsStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, brokertest.Stored(t.TempDir()))
	m := w.join(t, setup{options: patient()})
	w.publish(t, ticket(ticketID(1), 1), ticket(ticketID(1), 2))
	until(t, "both are held", func() bool { return len(m.Held()) == 2 })
	since := m.Held()[0].Since
	w.restart(t)
	if age := metric(t, "lockstep_listener_oldest_held_age_seconds", nil, m); age <= 0 {
		t.Errorf("age %v of the oldest while the connection is made again, want it to go on", age)
	}
	until(t, "both are held again", func() bool { return m.Check() == nil && len(m.Held()) == 2 })
	if now := m.Held()[0].Since; !now.Equal(since) { // case 11.10
		t.Errorf("the oldest waits since %v, want %v: a reconnection makes it no younger", now, since)
	}
	w.publish(t, ticket(ticketID(1), 0))
	until(t, "all are applied", func() bool { return w.version(t, ticketID(1)) == 2 })
	until(t, "all are acknowledged", func() bool { return w.pending(t, event.TicketUpdated) == 0 })
}

func TestHeldMessagesOfABrokerThatForgotThemAreForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.join(t, setup{options: patient()})
	w.publish(t, ticket(ticketID(1), 1))
	until(t, "it is held", func() bool { return len(m.Held()) == 1 })
	w.restart(t)
	w.publish(t, ticket(ticketID(1), 0)) // the channels begin anew: sequences too
	until(t, "the new channel is listened to", func() bool { return w.version(t, ticketID(1)) == 0 })
	if held := m.Held(); len(held) != 0 {
		t.Errorf("held %+v, want nothing of what the broker forgot", held)
	}
	w.publish(t, ticket(ticketID(1), 1))
	until(t, "what is sent again is applied", func() bool { return w.version(t, ticketID(1)) == 1 })
	until(t, "all are acknowledged", func() bool { return metric(t, "lockstep_listener_in_flight", nil, m) == 0 })
}

func TestMessagesSentIntoABrokenLinkDoNotWaitForTheirRedelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := brokertest.NewProxy(t, w.URL())
	w.join(t, setup{url: p.URL(), options: patient()})
	w.publish(t, ticket(ticketID(1), 0))
	w.settled(t, 1, 0)
	p.Cut()
	began := time.Now()
	w.publish(t, history(50, 2)...)
	w.settled(t, 50, 1)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s, want far less than the ack wait of %s", took, patient().AckWait)
	}
}

func TestAStopHandsOverBeforeTheAckWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.join(t, setup{options: patient()})
	w.publish(t, ticket(ticketID(1), 1))
	until(t, "it is held", func() bool { return len(first.Held()) == 1 })
	second := w.join(t, setup{options: patient()})
	began := time.Now()
	first.stop()
	until(t, "the other member has it", func() bool { return len(second.Held()) == 1 })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("handed over after %s, want far less than the ack wait of %s", took, patient().AckWait)
	}
	w.publish(t, ticket(ticketID(1), 0))
	w.settled(t, 1, 1)
}

func TestAStopFinishesWhatWasBegunAndAcknowledgesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	g := w.gate()
	m := w.join(t, setup{handler: listeners.NewTickets(g, event.Scheme{})})
	w.publish(t, history(30, 1)...)
	<-g.entered
	stopped := make(chan struct{})
	go func() {
		m.stop()
		close(stopped)
	}()
	close(g.open)
	<-stopped
	stored, err := w.db.Replica().Count(t.Context())
	if err != nil || stored == 0 {
		t.Fatalf("%d rows (%v), want what was begun", stored, err)
	}
	if n := w.pending(t, event.TicketCreated); n != float64(30-stored) {
		t.Errorf("%d rows and %v messages unacknowledged, want 30 in all", stored, n)
	}
}

func TestADeadMembersMessagesReachAnotherWithinTheAckWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := brokertest.NewProxy(t, w.URL())
	o := listeners.Options{AckWait: 2 * time.Second}
	dies := w.join(t, setup{url: p.URL(), options: o})
	w.publish(t, ticket(ticketID(1), 1))
	until(t, "it is held", func() bool { return len(dies.Held()) == 1 })
	survivor := w.join(t, setup{options: o})
	p.Freeze()
	began := time.Now()
	until(t, "another member has it", func() bool { return len(survivor.Held()) == 1 })
	if took := time.Since(began); took > o.AckWait+5*time.Second {
		t.Errorf("took %s, want at most the ack wait of %s", took, o.AckWait)
	}
	p.Thaw()
}

func TestTheGroupKeepsItsPositionWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, history(5, 1)...) // before the group exists
	first := w.join(t, setup{})
	w.settled(t, 5, 0)
	first.stop()
	w.publish(t, ticket(ticketID(5), 0))
	second := w.join(t, setup{})
	w.settled(t, 6, 0)
	if n := metric(t, "lockstep_listener_received_total", nil, second); n != 1 {
		t.Errorf("the second member received %v messages, want the one that was new", n)
	}
}

func TestMembersComeAndGoUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.join(t, setup{options: patient()})
	const tickets, versions = 100, 40
	for v := range int64(versions) {
		var events []event.Event
		for i := range tickets {
			events = append(events, ticket(ticketID(i), v))
		}
		w.publish(t, events...)
		if v%8 == 0 {
			m := w.join(t, setup{options: patient()})
			defer m.stop()
		}
		if v%8 == 4 {
			w.join(t, setup{options: patient()}).stop()
		}
	}
	w.settled(t, tickets, versions-1)
	until(t, "all are acknowledged", func() bool { return w.pending(t, event.TicketUpdated) == 0 })
}

func TestTheMarkOfAChannelIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.join(t, setup{options: listeners.Options{Marks: w.db.Marks()}})
	w.publish(t, history(7, 1)...)
	w.settled(t, 7, 0)
	m.stop()
	got, err := w.db.Marks().Mark(t.Context(), listeners.OrdersService, event.TicketCreated)
	if err != nil {
		t.Fatal(err)
	}
	if got.Sequence != 7 || time.Since(got.SentAt) > time.Minute {
		t.Errorf("mark %+v, want sequence 7 of just now", got)
	}
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := listeners.New(nil, listeners.NewLocks(nil), nil, listeners.Options{
		Group: "a:b", AckWait: 1500 * time.Millisecond, MaxInFlight: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`group "a:b"`, "ack wait 1.5s", "window"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want it to name %s", err, want)
		}
	}
}

// Case 10.22: a stop takes longer than it promises when the broker is frozen.
func TestAStopTakesNoLongerThanItPromisesWhenTheBrokerIsFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	proxy := brokertest.NewProxy(t, w.URL())
	var found losses
	s := w.watching(&found) // so that something asks the broker all the time
	s.url, s.options.StopWait, s.ping = proxy.URL(), 500*time.Millisecond, time.Minute
	m := w.join(t, s)
	w.publish(t, ticket(ticketID(1), 1)) // something is held
	until(t, "it is held", func() bool { return len(m.Held()) == 1 })
	proxy.Freeze()
	t.Cleanup(proxy.Thaw)
	began := time.Now()
	m.leave()
	if took := time.Since(began); took > 7*time.Second { // it was 10 s
		t.Errorf("the stop took %s, want half a second and what a busy machine adds", took)
	}
	proxy.Thaw()
}
