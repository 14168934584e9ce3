package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// Case 10.7: what other hands have spoiled breaks no list and hides nothing; a
// read of it says what is wrong.
var unreadableCases = []testCase{
	{"a ticket that cannot be read is in no list", unreadableTicket},
	{"a lock that cannot be read keeps no other waiting", unreadableLock},
	{"an order that cannot be read is in no list and is overdue", unreadableOrder},
	{"an order that cannot be read still has its ticket", unreadableHolder},
	{"orders that cannot expire hide none behind them", unreadableOverdue},
	{"a row that cannot be read is no row of a page", unreadableRow},
	{"rows that either side cannot read break no comparison", unreadableCompared},
	{"a row that cannot be read is reset", unreadableReset},
	{"a row that cannot be read fails no other of its batch", unreadableApplied},
	{"a refund that cannot be read is in no list", unreadableRefund},
	{"entries of the quarantine that cannot be read fill no page", unreadableEntries},
	{"an incident that cannot be read is in no list", unreadableIncident},
	{"a mark that cannot be read has seen nothing, and is replaced", unreadableMark},
	{"a lease that cannot be read is taken", unreadableLease},
	{"a record whose id no event can have is in no list", unreadableIDs},
	{"a record that nobody can count on from is not read", unreadableVersions},
	{"what has an id that nobody can ask for is in no list", unreadableEntryIDs},
}

func unreadableTicket(t *testing.T, b Backend) {
	all := []ticket.Ticket{create(t, b), create(t, b), create(t, b)}
	b.Spoil(t, "tickets", all[0].ID)
	b.Spoil(t, "tickets", all[1].ID)
	_, err := b.Tickets.Ticket(t.Context(), all[0].ID)
	wants(t, "read", err, ticket.ErrUnreadable)
	same(t, "free tickets", collect(t, b.Tickets.Free(t.Context())), all[2:])
	page, err := b.Tickets.Page(t.Context(), "", 1)
	must(t, "page", err)
	same(t, "page", page, all[2:])
	now := next(all[2])
	must(t, "edit", b.Tickets.Commit(t.Context(), ticket.Change{Was: &all[2], Now: &now}))
}

func unreadableLock(t *testing.T, b Backend) {
	ticketID := objectid.New()
	var all []ticket.Lock
	for i := range 3 {
		l := ticket.Lock{OrderID: objectid.New(), TicketID: ticketID, State: ticket.Waiting, Since: noon.Add(time.Duration(i) * time.Second)}
		must(t, "lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: l}}}))
		all = append(all, l)
	}
	b.Spoil(t, "locks", all[0].OrderID)
	_, err := b.Tickets.Lock(t.Context(), all[0].OrderID)
	wants(t, "read", err, ticket.ErrUnreadable)
	got, err := b.Tickets.NextWaiting(t.Context(), ticketID)
	must(t, "next", err)
	same(t, "next", got, all[1])
	b.Spoil(t, "locks", all[1].OrderID)
	b.Spoil(t, "locks", all[2].OrderID)
	_, err = b.Tickets.NextWaiting(t.Context(), ticketID)
	wants(t, "next of none", err, ticket.ErrNotFound)
}

func unreadableOrder(t *testing.T, b Backend) {
	var all []order.Order
	for range 3 {
		o := newOrder()
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
		all = append(all, o)
	}
	b.Spoil(t, "orders", all[0].ID)
	b.Spoil(t, "orders", all[1].ID)
	_, err := b.Orders.Order(t.Context(), all[0].ID)
	wants(t, "read", err, order.ErrUnreadable)
	same(t, "orders of the buyer", collect(t, b.Orders.Orders(t.Context(), "buyer")), all[2:])
	page, err := b.Orders.Page(t.Context(), "", 1)
	must(t, "page", err)
	same(t, "page", page, all[2:])
	same(t, "overdue orders", len(collect(t, b.Orders.Expired(t.Context(), noon))), 3)
}

// unreadableHolder: the release of the order before must not be repeated.
// Case 9.2.
func unreadableHolder(t *testing.T, b Backend) {
	dead, has := newOrder(), newOrder()
	dead.Status, has.TicketID, has.Status = order.Cancelled, dead.TicketID, order.Complete
	for _, o := range []order.Order{dead, has} {
		must(t, "create", b.Orders.Commit(t.Context(), reserve(o)))
	}
	row := replica.Row{ID: dead.TicketID, Title: "a chair", Price: 5, OrderID: dead.ID}
	_, err := b.Replica.Write(t.Context(), []replica.Write{{From: event.None, Row: row}})
	must(t, "replica", err)
	b.Spoil(t, "orders", has.ID)
	locks, err := b.OrderTickets.Locks(t.Context(), []string{row.ID})
	must(t, "locks", err)
	same(t, "locks", locks, []order.Lock{{TicketID: row.ID, Left: dead, Active: order.Order{ID: has.ID}}})
}

// unreadableOverdue has more of them than share a reading of the payments.
func unreadableOverdue(t *testing.T, b Backend) {
	const bad = 300
	all := make([]order.Order, bad+1)
	for i, err := range race(len(all), func(i int) error {
		all[i] = newOrder()
		all[i].ExpiresAt = noon.Add(time.Duration(i) * time.Second)
		return b.Orders.Commit(t.Context(), reserve(all[i]))
	}) {
		must(t, fmt.Sprint("create ", i), err)
	}
	for _, o := range all[:bad] {
		b.Spoil(t, "orders", o.ID)
	}
	ctx, stop := context.WithCancel(within(t))
	defer stop()
	expiry := order.NewExpiry(order.NewService(b.Orders, b.OrderTickets, order.Options{}), order.ExpiryOptions{
		Interval: 10 * time.Millisecond, Grace: time.Nanosecond,
	})
	ended := make(chan error, 1)
	go func() { ended <- expiry.Run(ctx) }()
	for last := all[bad]; last.Status != order.Cancelled; {
		var err error
		last, err = b.Orders.Order(ctx, last.ID)
		must(t, "read", err)
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for err := expiry.Check(); err == nil || !strings.Contains(err.Error(), "are not cancelled"); err = expiry.Check() { // once the look is over
		must(t, "wait for the check to tell of the orders that are left", ctx.Err())
		<-again.C
	}
	stop()
	must(t, "expiry", <-ended)
}

func unreadableRow(t *testing.T, b Backend) {
	rows := []replica.Row{newRow(), newRow(), newRow()}
	for _, r := range rows {
		writeRows(t, b, 1, insertRow(r))
	}
	b.Spoil(t, "replica", rows[0].ID)
	b.Spoil(t, "replica", rows[1].ID)
	_, err := b.Replica.Row(t.Context(), rows[0].ID)
	wants(t, "read", err, replica.ErrUnreadable)
	_, err = b.OrderTickets.Ticket(t.Context(), rows[0].ID)
	wants(t, "read for an order", err, order.ErrUnreadable)
	page, err := b.Replica.Page(t.Context(), "", 1)
	must(t, "page", err)
	same(t, "page", page, rows[2:])
	tickets := collect(t, b.OrderTickets.Tickets(t.Context(), []string{rows[0].ID, rows[2].ID}))
	same(t, "tickets", tickets, []order.Ticket{{ID: rows[2].ID, Title: rows[2].Title, Price: rows[2].Price}})
	_, err = replica.NewRepairer(b.Replica, owner{record: rows[1]}, replica.RepairOptions{}).Repair(t.Context(), rows[1].ID, replica.ByLook)
	must(t, "repair", err)
	mended, err := b.Replica.Row(t.Context(), rows[1].ID)
	must(t, "read what its owner has mended", err)
	same(t, "row", mended, rows[1])
	newer := rows[0]
	newer.Version++
	writeRows(t, b, 1, replica.Write{From: rows[0].Version, Row: newer})
	got, err := b.Replica.Row(t.Context(), newer.ID)
	must(t, "read what the next event has mended", err)
	same(t, "row", got, newer)
}

// owner has one record, and is asked for nothing else.
type owner struct {
	replica.Canonical
	record replica.Row
}

func (o owner) Snapshot(context.Context, string) (replica.Row, error) { return o.record, nil }

// blindOwner is an owner that has records and cannot read all of them.
type blindOwner struct {
	records    []replica.Row // by id
	unreadable string
}

func (o blindOwner) Snapshot(_ context.Context, id string) (replica.Row, error) {
	if id == o.unreadable {
		return replica.Row{}, replica.ErrUnreadable
	}
	for _, r := range o.records {
		if r.ID == id {
			return r, nil
		}
	}
	return replica.Row{}, replica.ErrNotFound
}

func (o blindOwner) Page(_ context.Context, after string, limit int) ([]replica.Row, error) {
	var page []replica.Row
	for _, r := range o.records {
		if r.ID > after && len(page) < limit {
			page = append(page, r)
		}
	}
	return page, nil
}

func (o blindOwner) Ranges(ctx context.Context, after string, size, count int) ([]replica.Range, error) {
	return replica.Pager(o.Page).Ranges(ctx, after, size, count)
}

func (o blindOwner) OnSale(context.Context) iter.Seq2[replica.Row, error] { return nil }

// unreadableCompared: what can be compared is compared and mended, what is not
// readable here is replaced, and what is not readable there is not taken away.
func unreadableCompared(t *testing.T, b Backend) {
	rows := make([]replica.Row, 6)
	for i := range rows {
		rows[i] = newRow()
		rows[i].ID = fmt.Sprintf("%024x", i)
	}
	equal, price, version, blind, missing, extra := rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
	for _, r := range []replica.Row{equal, price, version, blind, extra} {
		writeRows(t, b, 1, insertRow(r))
	}
	o := blindOwner{[]replica.Row{equal, price, version, missing}, blind.ID}
	spoil := func() {
		b.Spoil(t, "replica", price.ID)
		b.Spoil(t, "replica version", version.ID)
	}
	spoil()
	late := replica.NewVerifier(b.Replica, o, time.Millisecond)
	found := map[string]replica.Kind{}
	_, err := late.Verify(t.Context(), func(int) {}, func(d replica.Drift) error { found[d.ID] = d.Kind; return nil })
	must(t, "verify", err)
	same(t, "drift", found, map[string]replica.Kind{
		price.ID: replica.Unreadable, version.ID: replica.Unreadable, blind.ID: replica.Unreadable, missing.ID: replica.Missing, extra.ID: replica.Extra,
	})
	sum, err := replica.NewVerifier(b.Replica, o, 0).Mend(t.Context(), replica.MendOptions{Cause: replica.ByOperator})
	must(t, "mend", err)
	same(t, "mended", []int{sum.Repaired, sum.Removed, sum.Late, sum.LeftOver}, []int{3, 0, 0, 2})
	for _, want := range []replica.Row{price, version, missing, blind} {
		got, err := b.Replica.Row(t.Context(), want.ID)
		must(t, "read", err)
		same(t, "row", got, want)
	}
	spoil()
	sum, err = late.Mend(t.Context(), replica.MendOptions{Cause: replica.ByOperator, TrustOwner: true})
	must(t, "mend by trust", err)
	same(t, "mended by trust", []int{sum.Repaired, sum.Removed, sum.Late, sum.LeftOver}, []int{2, 1, 0, 1})
	_, err = b.Replica.Row(t.Context(), blind.ID)
	must(t, "read what its owner has and cannot read", err)
}

// Case 10.2: what is created again where a row cannot be read waits for a repair,
// and for nothing else.
func unreadableApplied(t *testing.T, b Backend) {
	spoiled, good, known := newRow(), newRow(), newRow()
	for _, r := range []replica.Row{spoiled, known} {
		writeRows(t, b, 1, insertRow(r))
		b.Spoil(t, "replica version", r.ID)
	}
	change := func(r replica.Row, version int64) event.TicketChange {
		return event.TicketChange{Ticket: event.Ticket{ID: r.ID, Title: r.Title, Price: r.Price, Version: version}, Predecessor: version - 1}
	}
	p := replica.NewProjector(b.Replica)
	batch := []event.TicketChange{change(spoiled, 0), change(good, 0), change(spoiled, 1), change(known, 3)}
	for range 2 { // the good one is written before the batch is decided again
		outcomes, err := p.Apply(t.Context(), batch)
		must(t, "apply", err)
		same(t, "outcomes", outcomes, []event.Outcome{event.Early, event.Duplicate, event.Early, event.Early})
	}
	got, err := b.Replica.Row(t.Context(), good.ID)
	must(t, "read", err)
	same(t, "row", got, good)
	_, err = replica.NewRepairer(b.Replica, blindOwner{records: []replica.Row{spoiled}}, replica.RepairOptions{}).Repair(t.Context(), spoiled.ID, replica.ByGap)
	must(t, "repair", err)
	outcomes, err := p.Apply(t.Context(), batch)
	must(t, "apply", err)
	same(t, "outcomes", outcomes, []event.Outcome{event.Duplicate, event.Duplicate, event.Applied, event.Early})
}

func unreadableReset(t *testing.T, b Backend) {
	known, unknown := newRow(), newRow()
	for _, r := range []replica.Row{known, unknown} {
		writeRows(t, b, 1, insertRow(r))
		writeRows(t, b, 0, replica.Write{Row: r, Unreadable: true})
		b.Spoil(t, "replica version", r.ID)
		writeRows(t, b, 0, replica.Write{From: r.Version, Row: r}, replica.Write{From: r.Version, Row: r, Remove: true})
	}
	repairer := replica.NewRepairer(b.Replica, blindOwner{records: []replica.Row{known}}, replica.RepairOptions{})
	for _, id := range []string{known.ID, unknown.ID} {
		_, _, err := repairer.Reset(t.Context(), id)
		must(t, "reset", err)
	}
	got, err := b.Replica.Row(t.Context(), known.ID)
	must(t, "read", err)
	same(t, "row", got, known)
	_, err = b.Replica.Row(t.Context(), unknown.ID)
	wants(t, "read what its owner never had", err, replica.ErrNotFound)
	b.Spoil(t, "replica version", known.ID)
	_, err = repairer.Repair(t.Context(), known.ID, replica.ByGap)
	must(t, "repair", err)
	got, err = b.Replica.Row(t.Context(), known.ID)
	must(t, "read", err)
	same(t, "row", got, known)
}

func unreadableRefund(t *testing.T, b Backend) {
	var all []order.Payment
	for i := range 3 {
		o := newOrder()
		o.ID = fmt.Sprintf("%024x", i)
		p := newPayment(o, "pay", order.RefundCancelled)
		must(t, "refund", b.Orders.Commit(t.Context(), order.Change{Payment: &p}))
		all = append(all, p)
	}
	b.Spoil(t, "payments", all[0].ID())
	b.Spoil(t, "payments", all[1].ID())
	_, err := b.Orders.Payment(t.Context(), all[0].ID())
	wants(t, "read", err, order.ErrUnreadable)
	got, err := b.Orders.Refunds(t.Context(), true, "", 1)
	must(t, "refunds", err)
	same(t, "refunds", got, all[2:])
}

func unreadableEntries(t *testing.T, b Backend) {
	var all []listeners.Quarantined
	for i := range 4 {
		q := newEntry(i)
		q.ID, q.Key = fmt.Sprint("id ", i), fmt.Sprint("key ", i)
		all = append(all, put(t, b, q))
	}
	for _, q := range all[:3] {
		b.Spoil(t, "quarantine", q.ID)
	}
	got, _, err := b.Quarantine.List(t.Context(), listeners.Filter{}, "", 1)
	must(t, "list", err)
	same(t, "list", got, []listeners.Quarantined{listed(all[3])})
	got, err = b.Quarantine.Waiting(t.Context(), all[0].Group, "", 1)
	must(t, "waiting", err)
	same(t, "waiting", got, all[3:])
	got, err = b.Quarantine.Applicable(t.Context(), all[0].Group, map[string]int64{"key 0": 9, "key 3": 9}, 2)
	must(t, "applicable", err)
	same(t, "applicable", got, all[3:])
	_, err = b.Quarantine.Get(t.Context(), all[0].ID)
	wants(t, "read", err, listeners.ErrUnreadable)
	n, err := b.Quarantine.Remove(t.Context(), []string{all[0].ID})
	must(t, "discard", err)
	same(t, "discarded", n, 1)
}

func unreadableIncident(t *testing.T, b Backend) {
	var all []incident.Incident
	for i := range 3 {
		all = append(all, record(t, b, newIncident(i)))
	}
	b.Spoil(t, "incidents", all[0].ID)
	b.Spoil(t, "incidents", all[2].ID)
	_, err := b.Incidents.Incident(t.Context(), all[0].ID)
	if err == nil || errors.Is(err, incident.ErrNotFound) {
		t.Errorf("read: %v, want an error that says what is wrong", err)
	}
	got, err := b.Incidents.List(t.Context(), incident.Query{Limit: 1})
	must(t, "list", err)
	same(t, "list", got, all[1:2])
	got, err = b.Incidents.Due(t.Context(), noon.Add(time.Hour), noon.Add(2*time.Hour), 1)
	must(t, "due", err)
	same(t, "due", got, all[1:2])
}

// unreadableMark: one that is taken for none would begin where the channel ends.
func unreadableMark(t *testing.T, b Backend) {
	was := mark("spoiled", 5)
	was.Renumbered = 3
	storeMark(t, b, true, was)
	b.Spoil(t, "marks", "spoiled")
	found := listeners.Mark{Group: was.Group, Channel: was.Channel, Renumbered: 3, Revision: listeners.Spoiled}
	markIs(t, b, found)
	storeMark(t, b, false, mark("spoiled", 6))
	found.Sequence = 2
	storeMark(t, b, true, found)
	storeMark(t, b, false, found)
	found.Revision = 1
	markIs(t, b, found)
	none := mark("none", 6)
	none.Revision = listeners.Spoiled
	storeMark(t, b, false, none)
	markIs(t, b, listeners.Mark{Group: none.Group, Channel: none.Channel})
}

func unreadableLease(t *testing.T, b Backend) {
	mustAcquire(t, b, "relay", "a", time.Hour)
	b.Spoil(t, "leases", "relay")
	if l := mustAcquire(t, b, "relay", "b", time.Hour); l.Epoch < 1 || l.Settled {
		t.Errorf("lease %+v, want one that looks for what the holder left", l)
	}
}

// unreadableIDs: a comparison asks for what it lists by its id.
func unreadableIDs(t *testing.T, b Backend) {
	for _, id := range []string{strings.Repeat("1", 200_000), "a b", "a\nb", "\u202e", "zz"} {
		made, o, r := newTicket(), newOrder(), newRow()
		made.ID, o.ID, r.ID = id, id, id
		l := ticket.Lock{OrderID: id, TicketID: objectid.New(), State: ticket.Waiting, Since: noon}
		must(t, "create ticket", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made, Locks: []ticket.LockChange{{Now: l}}}))
		must(t, "create order", b.Orders.Commit(t.Context(), reserve(o)))
		writeRows(t, b, 1, insertRow(r))
	}
	want := []string{"zz"}
	tickets, err := b.Tickets.Page(t.Context(), "", 10)
	must(t, "tickets", err)
	same(t, "tickets", namesOf(tickets, func(t ticket.Ticket) string { return t.ID }), want)
	locks, err := b.Tickets.Locks(t.Context(), "", 10)
	must(t, "locks", err)
	same(t, "locks", namesOf(locks, func(l ticket.Lock) string { return l.OrderID }), want)
	orders, err := b.Orders.Page(t.Context(), "", 10)
	must(t, "orders", err)
	same(t, "orders", namesOf(orders, func(o order.Order) string { return o.ID }), want)
	rows, err := b.Replica.Page(t.Context(), "", 10)
	must(t, "rows", err)
	same(t, "rows", namesOf(rows, func(r replica.Row) string { return r.ID }), want)
	ids, err := b.OrderTickets.TicketIDs(t.Context(), "", 10)
	must(t, "ids of rows", err)
	same(t, "ids of rows", ids, want)
	_, err = b.Tickets.Ticket(t.Context(), "a b")
	wants(t, "read", err, ticket.ErrUnreadable)
}

// unreadableVersions: an edit would be answered, and its event be none; that of the
// highest number that an engine keeps would be the lowest one.
func unreadableVersions(t *testing.T, b Backend) {
	for _, version := range []int64{event.MaxVersion + 1, math.MaxInt64} {
		made, o, r := newTicket(), newOrder(), newRow()
		made.Version, o.Version, r.Version = version, version, version
		must(t, "create ticket", b.Tickets.Commit(t.Context(), ticket.Change{Now: &made}))
		must(t, "create order", b.Orders.Commit(t.Context(), order.Change{Now: o}))
		writeRows(t, b, 1, insertRow(r))
		_, err := b.Tickets.Ticket(t.Context(), made.ID)
		wants(t, "read ticket", err, ticket.ErrUnreadable)
		_, err = b.Orders.Order(t.Context(), o.ID)
		wants(t, "read order", err, order.ErrUnreadable)
		_, err = b.Replica.Row(t.Context(), r.ID)
		wants(t, "read row", err, replica.ErrUnreadable)
	}
	last := newTicket()
	last.Version = event.MaxVersion
	must(t, "create ticket", b.Tickets.Commit(t.Context(), ticket.Change{Now: &last}))
	same(t, "ticket", load(t, b, last.ID), last, asWritten)
}

// unreadableEntryIDs: a list goes on behind an id that the head of a request holds.
func unreadableEntryIDs(t *testing.T, b Backend) {
	long := strings.Repeat("0", 20_000)
	p := newPayment(newOrder(), "pay", order.RefundCancelled)
	good := p
	p.OrderID = long
	for _, p := range []order.Payment{p, good} {
		must(t, "refund", b.Orders.Commit(t.Context(), order.Change{Payment: &p}))
	}
	q, i := newEntry(1), newIncident(1)
	q.ID, i.ID, i.Subject = long, long, "long"
	put(t, b, q)
	record(t, b, i)
	known, open := put(t, b, newEntry(2)), record(t, b, newIncident(2))
	refunds, err := b.Orders.Refunds(t.Context(), true, "", 10)
	must(t, "refunds", err)
	same(t, "refunds", refunds, []order.Payment{good})
	entries, _, err := b.Quarantine.List(t.Context(), listeners.Filter{}, "", 10)
	must(t, "quarantine", err)
	same(t, "quarantine", entries, []listeners.Quarantined{listed(known)})
	incidents, err := b.Incidents.List(t.Context(), incident.Query{Limit: 10})
	must(t, "incidents", err)
	same(t, "incidents", incidents, []incident.Incident{open})
}

func namesOf[T any](all []T, name func(T) string) []string {
	var names []string
	for _, v := range all {
		names = append(names, name(v))
	}
	return names
}
