package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/ticket"
)

// patience is how long something that must come may take. It is long, because
// the machine may be busy, and never waited for when all is well.
const patience = 30 * time.Second

// noon is a time that every engine can keep.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 123e6, time.UTC)

// within bounds a test that waits.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must ends the test on an error; what says what was tried.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wants reports an error that does not match.
func wants(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// same reports a difference.
func same[T any](t *testing.T, what string, got, want T, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// asWritten leaves out what only the store knows.
var asWritten = cmpopts.IgnoreFields(ticket.Ticket{}, "Revision")

// empty takes a nil slice for an empty one.
var empty = cmpopts.EquateEmpty()

// newTicket returns a ticket that no store has.
func newTicket() ticket.Ticket {
	return ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: "owner"}
}

// next returns t as its owner's edit leaves it.
func next(t ticket.Ticket) ticket.Ticket {
	t.Version++
	t.Title = fmt.Sprintf("%s, v%d", t.Title, t.Version)
	return t
}

// fact returns the event of one version of a key.
func fact(key string, version int64) event.Event {
	subject := event.TicketUpdated
	if version == event.First {
		subject = event.TicketCreated
	}
	return event.Event{
		Key: key, Version: version, Subject: subject, OccurredAt: noon.Add(time.Duration(version) * time.Second),
		Payload: fmt.Appendf(nil, `{"id":%q,"version":%d}`, key, version),
	}
}

// create stores a new ticket with its event and returns it as stored.
func create(t *testing.T, b Backend) ticket.Ticket {
	t.Helper()
	made := newTicket()
	must(t, "create ticket", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made, Events: []event.Event{fact(made.ID, 0)}}))
	return load(t, b, made.ID)
}

// load reads a ticket that must be there.
func load(t *testing.T, b Backend, id string) ticket.Ticket {
	t.Helper()
	got, err := b.Tickets.Ticket(t.Context(), id)
	must(t, "read ticket", err)
	return got
}

// enqueue puts events into the outbox, in one change.
func enqueue(t *testing.T, b Backend, events ...event.Event) {
	t.Helper()
	must(t, "commit events", b.Tickets.Commit(t.Context(), ticket.Change{Events: events}))
}

// waiting returns everything in the outbox, by id.
func waiting(t *testing.T, b Backend) map[string]outbox.Record {
	t.Helper()
	all := map[string]outbox.Record{}
	after := ""
	for {
		page, err := b.Outbox.List(t.Context(), after, 100)
		must(t, "list outbox", err)
		if len(page) == 0 {
			return all
		}
		for _, r := range page {
			all[r.ID()] = r
		}
		after = page[len(page)-1].ID()
	}
}

// ids returns the ids of records, in their order.
func ids(records []outbox.Record) []string {
	found := make([]string, len(records))
	for i, r := range records {
		found[i] = r.ID()
	}
	return found
}

// idsOf returns the ids of events, in their order.
func idsOf(events ...event.Event) []string {
	found := make([]string, len(events))
	for i, e := range events {
		found[i] = e.ID()
	}
	return found
}

// refsTo returns references that know nothing but the parts of the ids.
func refsTo(events ...event.Event) []outbox.Ref {
	found := make([]outbox.Ref, len(events))
	for i, e := range events {
		found[i] = outbox.Record{Event: e}.Ref()
	}
	return found
}

// newOrder returns an order that no store has.
func newOrder() order.Order {
	return order.Order{
		ID: objectid.New(), UserID: "buyer", Status: order.Created, ExpiresAt: noon,
		TicketID: objectid.New(), Price: 12.5,
	}
}

// collect reads a sequence that must not fail.
func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		must(t, "read sequence", err)
		all = append(all, v)
	}
	return all
}

// race calls run n times at once and returns the errors, by number.
func race(n int, run func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = run(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}
