package storetest

import (
	"testing"
	"time"

	"lockstep/order"
	"lockstep/ticket"
)

var durabilityCases = []testCase{
	{"everything is there after the store was opened again", durable},
	{"positions and epochs go on after the store was opened again", durablePositions},
}

func durable(t *testing.T, b Backend) {
	tick := create(t, b)
	lock := ticket.Lock{OrderID: "order", TicketID: tick.ID, State: ticket.Held, Since: noon}
	must(t, "lock", b.Tickets.Commit(t.Context(), ticket.Change{Locks: []ticket.LockChange{{Now: lock}}}))
	o := newOrder()
	must(t, "order", b.Orders.Commit(t.Context(), reserve(o)))
	row, entry := newRow(), put(t, b, newEntry(1))
	writeRows(t, b, 1, insertRow(row))
	storeMark(t, b, true, mark("group", 3))
	fail(t, b, orderFact(o).ID(), noon.Add(time.Hour))
	events := waiting(t, b)

	b = b.Reopen(t)
	same(t, "ticket", load(t, b, tick.ID), tick)
	gotLock, err := b.Tickets.Lock(t.Context(), lock.OrderID)
	must(t, "read lock", err)
	same(t, "lock", gotLock, lock)
	gotOrder, err := b.Orders.Order(t.Context(), o.ID)
	must(t, "read order", err)
	same(t, "order", gotOrder, o)
	gotRow, err := b.Replica.Row(t.Context(), row.ID)
	must(t, "read row", err)
	same(t, "row", gotRow, row)
	gotEntry, err := b.Quarantine.Get(t.Context(), entry.ID)
	must(t, "read entry", err)
	same(t, "entry", gotEntry, entry)
	kept := mark("group", 3)
	kept.Revision = 1
	markIs(t, b, kept)
	same(t, "outbox", waiting(t, b), events)

	again := newOrder()
	again.TicketID = o.TicketID
	wants(t, "reserve again", b.Orders.Commit(t.Context(), reserve(again)), order.ErrReserved)
}

func durablePositions(t *testing.T, b Backend) {
	enqueue(t, b, fact("kept", 0), fact("kept", 1))
	must(t, "delete", b.Outbox.Delete(t.Context(), refsTo(fact("kept", 1))))
	old := mustAcquire(t, b, "relay", "a", time.Millisecond)

	b = b.Reopen(t)
	v := newView(openTail(t, b))
	same(t, "scan", v.scan(t, 10), idsOf(fact("kept", 0)))
	enqueue(t, b, fact("kept", 2))
	v.await(t, fact("kept", 2).ID())
	if l := awaitLease(t, b, "relay", "b"); l.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d, want it to rise", l.Epoch, old.Epoch)
	}
}
