package interop

import (
	"context"
	"fmt"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
)

// count is what a soak has left: the figures by name, and which records they
// are about.
type count struct {
	who    sides
	figure map[string]int
	names  map[string][]string
}

func (c count) add(figure, record string) {
	c.figure[figure]++
	c.names[figure] = append(c.names[figure], record)
}

// figure is a row of the table. zero says that it is 0 in a system that works,
// must whether ours is to blame if it is not.
type figure struct {
	name string
	zero bool
	must func(sides) bool
}

func (f figure) of(c count) int { return c.figure[f.name] }

func ourTickets(s sides) bool { return s.tickets }
func ourOrders(s sides) bool  { return s.orders }
func never(sides) bool        { return false }

const (
	lostTickets   = "answered writes of tickets lost"
	lostOrders    = "answered writes of orders lost"
	untoldTickets = "versions of tickets never announced"
	untoldOrders  = "versions of orders never announced"
	differing     = "rows of the replica missing or differing"
	deadLocks     = "tickets locked by a dead order"
	openOrders    = "orders without an end"
	unlocked      = "paid and not locked"
	refundless    = "paid and cancelled, no refund listed"
	soldTwice     = "tickets sold twice"
	twiceTickets  = "announced twice by tickets"
	twiceOrders   = "announced twice by orders"
	failedTickets = "answers of 5xx by tickets"
	failedOrders  = "answers of 5xx by orders"
	releasedAgain = "cancelled orders announced again"
	lockedAgain   = "orders announced as created again"
	killed        = "kills"
)

var figures = []figure{
	{lostTickets, true, ourTickets},
	{lostOrders, true, ourOrders},
	{untoldTickets, true, ourTickets},
	{untoldOrders, true, ourOrders},
	{differing, true, ourTickets},
	{deadLocks, true, ourOrders},
	{openOrders, true, ourOrders},
	{unlocked, true, ourOrders},
	{refundless, true, ourOrders},
	{soldTwice, true, ourOrders},
	{twiceTickets, false, ourTickets},
	{twiceOrders, false, ourOrders},
	{failedTickets, false, ourTickets},
	{failedOrders, false, ourOrders},
	{releasedAgain, false, never},
	{lockedAgain, false, never},
	{killed, false, never},
}

// details are counted beside, and logged.
var details = []string{"refunds listed", "charged, and payments never said so", "tickets", "orders", "orders complete",
	"requests without an answer", "ends of their own accord"}

// record is a document of a database, ours or Node's.
type record struct {
	ID      bson.ObjectID `bson:"_id"`
	Version int64
	Title   string
	Price   float64
	Status  string
	OrderID string        `bson:"orderId"`
	Ticket  bson.ObjectID `bson:"ticket"`
}

// refund is what our orders has to say of a payment.
type refund struct {
	PaymentID string `bson:"paymentId"`
	Reason    string `bson:"reason"`
}

func all[T any](ctx context.Context, t *testing.T, s *system, service, collection string) (found []T) {
	t.Helper()
	cursor, err := s.set.Client().Database(s.databases[service]).Collection(collection).Find(ctx, bson.D{})
	if err == nil {
		err = cursor.All(ctx, &found)
	}
	if err != nil {
		t.Fatalf("%s of %s: %v", collection, service, err)
	}
	return found
}

func byID(records []record) map[string]record {
	found := map[string]record{}
	for _, r := range records {
		found[r.ID.Hex()] = r
	}
	return found
}

// left is everything that a soak has left.
type left struct {
	tickets, orders, replica map[string]record
	told                     map[string]map[int64]int // of tickets and of orders
	created, paid            []message
	refunds                  map[string]bool // by payment
}

func (s *system) left(t *testing.T) left {
	t.Helper()
	ctx := t.Context()
	created := s.channel(t, event.OrderCreated)
	l := left{
		tickets: byID(all[record](ctx, t, s, "tickets", "tickets")),
		orders:  byID(all[record](ctx, t, s, "orders", "orders")),
		replica: byID(all[record](ctx, t, s, "orders", "tickets")),
		told: announced(s.channel(t, event.TicketCreated), s.channel(t, event.TicketUpdated),
			created, s.channel(t, event.OrderCancelled)),
		created: created,
		paid:    s.channel(t, event.PaymentCreated),
		refunds: map[string]bool{},
	}
	for _, r := range all[refund](ctx, t, s, "orders", "payments") {
		l.refunds[r.PaymentID] = r.Reason != ""
	}
	return l
}

// count compares what was answered with what is left.
func (s *system) count(t *testing.T, l *load) count {
	t.Helper()
	found := s.left(t)
	c := count{who: s.sides, figure: map[string]int{}, names: map[string][]string{}}
	found.countTickets(c)
	found.countOrders(c)
	found.countMoney(c)
	l.countAnswers(c, found)
	c.figure["charged, and payments never said so"] = len(all[bson.M](t.Context(), t, s, "payments", "charges")) - len(found.paid)
	return c
}

func (l left) countTickets(c count) {
	for id, ticket := range l.tickets {
		c.figure["tickets"]++
		if copied := l.replica[id]; copied.Version != ticket.Version || copied.Title != ticket.Title || copied.Price != ticket.Price {
			c.add(differing, fmt.Sprintf("%s: %d, replica %d", id, ticket.Version, copied.Version))
		}
		if ticket.OrderID != "" && !l.orders[ticket.OrderID].active() && !l.ordered(ticket.ID) {
			c.add(deadLocks, id)
		}
		l.countVersions(c, id, ticket.Version, untoldTickets, twiceTickets)
	}
}

func (r record) active() bool { return r.Status == "created" || r.Status == "complete" }

// ordered reports whether an active order has the ticket.
func (l left) ordered(ticket bson.ObjectID) bool {
	for _, order := range l.orders {
		if order.Ticket == ticket && order.active() {
			return true
		}
	}
	return false
}

// countVersions wants every version from 0 on announced, once.
func (l left) countVersions(c count, id string, last int64, untold, twice string) {
	for version := range last + 1 {
		if l.told[id][version] == 0 {
			c.add(untold, fmt.Sprintf("%s:%d", id, version))
		}
		if l.told[id][version] > 1 {
			c.add(twice, fmt.Sprintf("%s:%d", id, version))
		}
	}
}

func (l left) countOrders(c count) {
	sold := map[bson.ObjectID]int{}
	for id, order := range l.orders {
		c.figure["orders"]++
		announced := order.Version
		switch order.Status {
		case "complete":
			c.figure["orders complete"]++
			announced = 0 // being complete is not announced
			if sold[order.Ticket]++; sold[order.Ticket] == 2 {
				c.add(soldTwice, order.Ticket.Hex())
			}
			if l.tickets[order.Ticket.Hex()].OrderID != id {
				c.add(unlocked, id)
			}
		case "created":
			c.add(openOrders, id)
		case "cancelled":
			c.figure[releasedAgain] += max(0, int(order.Version)-1)
		}
		l.countVersions(c, id, announced, untoldOrders, twiceOrders)
	}
}

// countMoney wants goods or a refund for every payment.
func (l left) countMoney(c count) {
	for _, m := range l.created {
		if m.Version > 0 {
			c.figure[lockedAgain]++
		}
	}
	for _, p := range l.paid {
		if l.refunds[p.ID] {
			c.figure["refunds listed"]++
		} else if l.orders[p.OrderID].Status == "cancelled" {
			c.add(refundless, p.OrderID)
		}
	}
}

// countAnswers wants to find what was answered.
func (l *load) countAnswers(c count, found left) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, version := range l.versions {
		if ticket, there := found.tickets[id]; !there || ticket.Version < version {
			c.add(lostTickets, id)
		}
	}
	for id := range l.ordered {
		if _, there := found.orders[id]; !there {
			c.add(lostOrders, id)
		}
	}
	for id := range l.cancelled {
		if found.orders[id].Status == "created" {
			c.add(lostOrders, id)
		}
	}
	c.figure["requests without an answer"] = l.unanswered
	c.figure[failedTickets], c.figure[failedOrders] = l.failed[l.s.tickets], l.failed[l.s.orders]
}
