package mongodb_test

import (
	"bytes"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/listeners"
	"lockstep/order"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// Case 10.7: what has an _id by which nobody finds it is in no list, and named.
func TestDocumentsOfForeignIDsAreNamed(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	db := open(t, set.URI(name), mongodb.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Registerer: registry})
	data := set.Client().Database(name)
	twin := bson.NewObjectID()
	odd := []any{
		bson.MinKey{}, bson.Null{}, 5, int64(6), 7.5, decimal(t, "8"), math.NaN(), "", twin.Hex(), bson.Symbol("s"), bson.D{{Key: "a", Value: 1}},
		bson.Binary{Subtype: 4, Data: bytes.Repeat([]byte{7}, 16)}, true, false, time.Now(), bson.Timestamp{T: 1},
	}
	records := map[string]bson.D{
		"tickets": canonicalTicket, "replica": nodeCopy,
		"orders": {{Key: "userId", Value: "bob"}, {Key: "status", Value: "cancelled"}, {Key: "ticket", Value: "t"}},
		"locks":  {{Key: "ticketId", Value: "t"}, {Key: "state", Value: "released"}},
	}
	others := map[string]bson.D{
		"quarantine": {{Key: "queueGroup", Value: "g"}, {Key: "payload", Value: "x"}},
		"payments":   {{Key: "reason", Value: "paid_twice"}, {Key: "open", Value: true}, {Key: "orderId", Value: "o"}, {Key: "paymentId", Value: "p"}},
	}
	insert := func(c string, id any, doc bson.D) {
		t.Helper()
		if _, err := data.Collection(c).InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: id}}, doc...)); err != nil {
			t.Fatal(err)
		}
	}
	for c, doc := range records {
		for _, id := range append([]any{twin, "text"}, odd...) {
			insert(c, id, doc)
		}
	}
	for c, doc := range others {
		insert(c, "o:p", doc)
		for _, id := range odd {
			if id != "" && id != twin.Hex() && id != bson.Symbol("s") {
				insert(c, id, doc)
			}
		}
		insert(c, twin, doc)
	}
	want := []string{twin.Hex(), "text"}
	wantIDs := func(what string, err error, got ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
	}
	tickets, err := db.Tickets().Page(t.Context(), "", 100)
	wantIDs("tickets", err, idsOf(tickets, func(t ticket.Ticket) string { return t.ID })...)
	rows, err := db.Replica().Page(t.Context(), "", 100)
	wantIDs("rows", err, idsOf(rows, func(r replica.Row) string { return r.ID })...)
	orders, err := db.Orders().Page(t.Context(), "", 100)
	wantIDs("orders", err, idsOf(orders, func(o order.Order) string { return o.ID })...)
	locks, err := db.Tickets().Locks(t.Context(), "", 100)
	wantIDs("locks", err, idsOf(locks, func(l ticket.Lock) string { return l.OrderID })...)
	want = []string{"o:p"}
	set1, _, err := db.Quarantine().List(t.Context(), listeners.Filter{}, "", 100)
	wantIDs("quarantine", err, idsOf(set1, func(q listeners.Quarantined) string { return q.ID })...)
	refunds, err := db.Orders().Refunds(t.Context(), true, "", 100)
	wantIDs("refunds", err, idsOf(refunds, order.Payment.ID)...)
	for c, n := range map[string]int{
		"tickets": len(odd), "replica": len(odd), "orders": len(odd), "locks": len(odd), "quarantine": len(odd) - 2, "payments": len(odd) - 2,
	} {
		got := strings.Count(log.String(), "table="+c+" ")
		if got != n {
			t.Errorf("%s: %d documents are named, want %d", c, got, n)
		}
	}
}

func idsOf[T any](all []T, id func(T) string) []string {
	var ids []string
	for _, v := range all {
		ids = append(ids, id(v))
	}
	return ids
}
