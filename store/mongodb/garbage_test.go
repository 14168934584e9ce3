package mongodb_test

import (
	"fmt"
	"log/slog"
	"math"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// garbage are values of every type that a document may hold.
func garbage(t *testing.T) []any {
	t.Helper()
	return []any{
		nil, "", "x", "1e3", " 5 ", "\x00", "$x", int32(-1), int64(math.MaxInt64), int64(math.MinInt64), math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1),
		1.5, decimal(t, "1.5"), decimal(t, "NaN"), decimal(t, "1E+6000"), true, false, bson.DateTime(math.MaxInt64), bson.DateTime(math.MinInt64), bson.DateTime(0),
		bson.NewObjectID(), bson.A{}, bson.A{1, "a"}, bson.D{}, bson.D{{Key: "$gt", Value: 1}}, bson.D{{Key: "a.b", Value: 1}, {Key: "", Value: 2}},
		bson.Binary{Data: []byte{0xff}}, bson.Binary{Subtype: 4, Data: make([]byte, 16)}, bson.Regex{Pattern: "x"}, bson.Timestamp{T: 1}, bson.JavaScript("x"),
		bson.Symbol("x"), bson.MinKey{}, bson.MaxKey{},
	}
}

// sound is a document of each collection with all that it may have.
func sound() map[string]bson.D {
	past := time.Now().Add(-time.Hour)
	return map[string]bson.D{
		"tickets": append(bson.D{{Key: "orderId", Value: nil}, {Key: "deleted", Value: false}, {Key: "rev", Value: 1}, {Key: "createdAt", Value: past}}, canonicalTicket...),
		"replica": append(bson.D{{Key: "orderId", Value: "o"}, {Key: "deleted", Value: false}}, nodeCopy...),
		"orders": {
			{Key: "userId", Value: "bob"}, {Key: "status", Value: "created"}, {Key: "expiresAt", Value: past}, {Key: "ticket", Value: "t"}, {Key: "price", Value: 1},
			{Key: "version", Value: 0}, {Key: "lockFrom", Value: 1}, {Key: "paidBy", Value: "p"}, {Key: "createdAt", Value: past},
		},
		"locks": {{Key: "ticketId", Value: "t"}, {Key: "version", Value: 0}, {Key: "state", Value: "waiting"}, {Key: "since", Value: past}},
		"payments": {
			{Key: "orderId", Value: "o"}, {Key: "paymentId", Value: "p"}, {Key: "stripeId", Value: "s"}, {Key: "ticketId", Value: "t"}, {Key: "userId", Value: "u"},
			{Key: "price", Value: 1}, {Key: "reason", Value: "paid_twice"}, {Key: "open", Value: true}, {Key: "at", Value: past}, {Key: "settledAt", Value: past},
		},
		"events": {
			{Key: "key", Value: "k"}, {Key: "version", Value: 1}, {Key: "subject", Value: "s"}, {Key: "payload", Value: "{}"}, {Key: "occurredAt", Value: past},
			{Key: "isLocked", Value: false}, {Key: "lockedAt", Value: past}, {Key: "notBefore", Value: past}, {Key: "failureCount", Value: 1}, {Key: "failures", Value: bson.A{}},
		},
		"quarantine": {
			{Key: "queueGroup", Value: "g"}, {Key: "subject", Value: "s"}, {Key: "sequence", Value: 1}, {Key: "key", Value: "k"}, {Key: "version", Value: 1}, {Key: "predecessor", Value: 0},
			{Key: "payload", Value: "{}"}, {Key: "size", Value: 2}, {Key: "reason", Value: "too_early"}, {Key: "detail", Value: "d"}, {Key: "at", Value: past},
		},
		"incidents": {
			{Key: "key", Value: "k"}, {Key: "cause", Value: "broker_loss"}, {Key: "service", Value: "s"}, {Key: "subject", Value: "s"}, {Key: "summary", Value: "s"}, {Key: "openedAt", Value: past},
			{Key: "raisedAt", Value: past}, {Key: "open", Value: false}, {Key: "closedAt", Value: past}, {Key: "ending", Value: "e"}, {Key: "count", Value: 1}, {Key: "told", Value: 1},
			{Key: "tries", Value: 1}, {Key: "due", Value: true}, {Key: "notifyAt", Value: past}, {Key: "rev", Value: 1},
		},
	}
}

// fillWithGarbage inserts every document with each of its fields in every way.
func fillWithGarbage(t *testing.T, data *mongo.Database) {
	t.Helper()
	n := 0
	for c, doc := range sound() {
		var docs []any
		for _, field := range doc {
			for _, v := range garbage(t) {
				d := bson.D{{Key: "_id", Value: fmt.Sprintf("%s%05d", c, n)}}
				n++
				for _, e := range doc {
					switch {
					case e.Key == field.Key:
						e.Value = v
					case e.Key == "ticket": // of which there may be one
						e.Value = fmt.Sprint("t", n)
					}
					d = append(d, e)
				}
				docs = append(docs, d)
			}
		}
		for _, d := range docs {
			_, err := data.Collection(c).InsertOne(t.Context(), d)
			if err != nil && !mongo.IsDuplicateKeyError(err) {
				t.Fatalf("%s: %v", c, err)
			}
		}
	}
}

// Cases 10.3 and 10.7: whatever a field of a document is, no list fails and no
// figure.
func TestNoDocumentFailsAList(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.DiscardHandler)})
	fillWithGarbage(t, set.Client().Database(name))
	r := reader{t, db}
	r.lists()
	r.figures()
	r.outbox()
}

// limit is how many a page has.
const limit = 7

// reader reads everything and reports errors.
type reader struct {
	*testing.T
	db *mongodb.DB
}

func (t reader) check(what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// pages reads page after page, and each must end behind the one before.
func (t reader) pages(what string, page func(after string) (last string, err error)) {
	t.Helper()
	for after, i := "", 0; ; i++ {
		last, err := page(after)
		t.check(what, err)
		if last == "" || err != nil {
			return
		}
		if last <= after || i > 1000 {
			t.Errorf("%s: a page behind %q ends with %q", what, after, last)
			return
		}
		after = last
	}
}

func (t reader) lists() {
	ctx := t.Context()
	for _, err := range t.db.Tickets().Free(ctx) {
		t.check("free", err)
	}
	for _, err := range t.db.Orders().Orders(ctx, "bob") {
		t.check("orders of bob", err)
	}
	for _, err := range t.db.Orders().Expired(ctx, time.Now()) {
		t.check("expired", err)
	}
	t.pages("tickets", func(after string) (string, error) {
		all, err := t.db.Tickets().Page(ctx, after, limit)
		return lastOf(idsOf(all, ticketID)), err
	})
	t.pages("rows", func(after string) (string, error) {
		all, err := t.db.Replica().Page(ctx, after, limit)
		return lastOf(idsOf(all, rowID)), err
	})
	t.pages("ticket ids", func(after string) (string, error) {
		all, err := t.db.OrderTickets().TicketIDs(ctx, after, limit)
		if err == nil {
			_, err = t.db.OrderTickets().Locks(ctx, all)
		}
		if err == nil {
			_, err = t.db.Replica().Versions(ctx, all)
		}
		for _, e := range t.db.OrderTickets().Tickets(ctx, all) {
			t.check("tickets of orders", e)
		}
		return lastOf(all), err
	})
	t.pages("orders", func(after string) (string, error) {
		all, err := t.db.Orders().Page(ctx, after, limit)
		return lastOf(idsOf(all, orderID)), err
	})
	t.pages("locks", func(after string) (string, error) {
		all, err := t.db.Tickets().Locks(ctx, after, limit)
		return lastOf(idsOf(all, lockID)), err
	})
	t.pages("refunds", func(after string) (string, error) {
		all, err := t.db.Orders().Refunds(ctx, false, after, limit)
		return lastOf(idsOf(all, paymentID)), err
	})
	t.pages("quarantine", func(after string) (string, error) {
		_, next, err := t.db.Quarantine().List(ctx, listeners.Filter{}, after, limit)
		return next, err
	})
}

func (t reader) figures() {
	ctx := t.Context()
	_, err := t.db.Tickets().NextWaiting(ctx, "t")
	t.check("next waiting", err)
	_, err = t.db.Tickets().Waiting(ctx)
	t.check("waiting", err)
	_, err = t.db.Replica().Count(ctx)
	t.check("count", err)
	_, err = t.db.Orders().OpenRefunds(ctx)
	t.check("open refunds", err)
	_, err = t.db.Quarantine().Waiting(ctx, "g", "", 1000)
	t.check("what waits in quarantine", err)
	_, err = t.db.Quarantine().Applicable(ctx, "g", map[string]int64{"k": 7}, 1000)
	t.check("what is applicable", err)
	size, err := t.db.Quarantine().Size(ctx, "g")
	t.check("size of the quarantine", err)
	if size.Bytes < 0 || size.Bytes > int64(2*size.Messages) {
		t.Errorf("the quarantine has %+v", size)
	}
	_, err = t.db.Incidents().List(ctx, incident.Query{Limit: 1000})
	t.check("incidents", err)
	_, err = t.db.Incidents().Due(ctx, time.Now(), time.Now().Add(time.Hour), 1000)
	t.check("due incidents", err)
	_, err = t.db.Incidents().Counts(ctx)
	t.check("counts of incidents", err)
	for keep := range 40 {
		t.check("pruning", t.db.Incidents().Prune(ctx, time.Now().Add(-2*time.Hour), keep))
	}
}

func (t reader) outbox() {
	ctx := t.Context()
	_, err := t.db.Outbox().Stats(ctx)
	t.check("stats", err)
	_, err = t.db.Outbox().Due(ctx, time.Now(), time.Now().Add(time.Hour), 1000)
	t.check("due", err)
	_, err = t.db.Outbox().Stale(ctx, time.Now(), time.Now().Add(time.Hour), 10)
	t.check("stale", err)
	_, err = t.db.Outbox().Key(ctx, "k", event.None, 1000)
	t.check("key", err)
	for after := ""; ; {
		all, err := t.db.Outbox().List(ctx, after, limit)
		t.check("outbox", err)
		if len(all) == 0 {
			break
		}
		after = all[len(all)-1].ID()
		_, err = t.db.Outbox().Record(ctx, after)
		t.check("record", err)
	}
	tail, err := t.db.Outbox().Tail(ctx)
	t.check("tail", err)
	for err == nil {
		records, e := tail.Scan(ctx, limit)
		t.check("scan", e)
		if len(records) == 0 {
			break
		}
	}
	t.check("close", tail.Close())
}

func lastOf(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return ids[len(ids)-1]
}

func ticketID(t ticket.Ticket) string  { return t.ID }
func rowID(r replica.Row) string       { return r.ID }
func orderID(o order.Order) string     { return o.ID }
func lockID(l ticket.Lock) string      { return l.OrderID }
func paymentID(p order.Payment) string { return p.ID() }
