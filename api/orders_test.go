package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/replica"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 630e6, time.UTC)

// newOrders returns a door over a store whose replica has one ticket.
func newOrders(t *testing.T) (f *fixture, ticketID string) {
	t.Helper()
	f = &fixture{db: openStore(t), registry: prometheus.NewRegistry()}
	f.orders = order.NewService(f.db.Orders(), f.db.OrderTickets(), order.Options{
		Window: time.Minute, Now: func() time.Time { return noon },
	})
	door, err := NewOrders(f.orders, optionsFor(t, f.registry))
	if err != nil {
		t.Fatal(err)
	}
	f.door = door
	ticketID = objectid.New()
	f.replicate(t, event.None, replica.Row{ID: ticketID, Title: "concert", Price: 20.5})
	return f, ticketID
}

func (f *fixture) replicate(t *testing.T, from int64, row replica.Row) {
	t.Helper()
	if n, err := f.db.Replica().Write(t.Context(), []replica.Write{{From: from, Row: row}}); n != 1 || err != nil {
		t.Fatalf("write row: %d, %v", n, err)
	}
}

func reserveBody(ticketID string) string { return `{"ticketId":"` + ticketID + `"}` }

func orderLine(status, user, ticketID string, price string, ticketVersion, version int64, id string) string {
	return fmt.Sprintf(`{"status":%q,"userId":%q,"expiresAt":"2026-11-23T12:01:00.630Z","ticket":{"title":"concert","price":%s,"version":%d,"id":%q},"version":%d,"id":%q}`,
		status, user, price, ticketVersion, ticketID, version, id)
}

func idOf(t *testing.T, body string) string {
	t.Helper()
	var b struct{ ID string }
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatal(err)
	}
	return b.ID
}

const alreadyReserved = `{"errors":[{"message":"Ticket is already reserved"}]}`

func TestTheLifeOfAnOrder(t *testing.T) {
	t.Parallel()
	f, ticketID := newOrders(t)
	want(t, ask(t, f.door, "u1", http.MethodGet, "/api/orders", ""), 200, "[]")
	got := ask(t, f.door, "u1", http.MethodPost, "/api/orders", reserveBody(ticketID))
	id := idOf(t, got.body)
	want(t, got, 201, orderLine("created", "u1", ticketID, "20.5", 0, 0, id))
	want(t, ask(t, f.door, "u2", http.MethodPost, "/api/orders", reserveBody(ticketID)), 400, alreadyReserved)

	f.replicate(t, 0, replica.Row{ID: ticketID, Version: 1, Title: "concert", Price: 30})
	want(t, ask(t, f.door, "u1", http.MethodGet, "/api/orders/"+id, ""), 200, orderLine("created", "u1", ticketID, "30", 1, 0, id))
	want(t, ask(t, f.door, "u1", http.MethodGet, "/API/orders/", ""), 200, "["+orderLine("created", "u1", ticketID, "30", 1, 0, id)+"]")
	want(t, ask(t, f.door, "u2", http.MethodGet, "/api/orders", ""), 200, "[]")

	want(t, ask(t, f.door, "u1", http.MethodDelete, "/api/orders/"+id, ""), 204, "")
	want(t, ask(t, f.door, "u1", http.MethodDelete, "/api/orders/"+id, ""), 204, "")
	want(t, ask(t, f.door, "u1", http.MethodGet, "/api/orders/"+id, ""), 200, orderLine("cancelled", "u1", ticketID, "30", 1, 1, id))
	if got := ask(t, f.door, "u2", http.MethodPost, "/api/orders", reserveBody(ticketID)); got.status != 201 {
		t.Errorf("a cancelled order's ticket: %d %s", got.status, got.body)
	}
}

func TestPaidOrdersAreNotCancelled(t *testing.T) {
	t.Parallel()
	f, ticketID := newOrders(t)
	id := idOf(t, ask(t, f.door, "u1", http.MethodPost, "/api/orders", reserveBody(ticketID)).body)
	if _, err := f.orders.Complete(t.Context(), event.Paid{OrderID: id}); err != nil {
		t.Fatal(err)
	}
	want(t, ask(t, f.door, "u1", http.MethodDelete, "/api/orders/"+id, ""), 400, `{"errors":[{"message":"Cannot cancel a complete order"}]}`)
	want(t, ask(t, f.door, "u2", http.MethodPost, "/api/orders", reserveBody(ticketID)), 400, alreadyReserved)
}

func TestOrdersCheckInOrder(t *testing.T) {
	t.Parallel()
	f, ticketID := newOrders(t)
	id := idOf(t, ask(t, f.door, "owner", http.MethodPost, "/api/orders", reserveBody(ticketID)).body)
	const (
		malformed = `{"errors":[{"message":"TicketId must be provided","field":"ticketId"}]}`
		missing   = `{"errors":[{"message":"Invalid value","field":"ticketId"},{"message":"TicketId must be provided","field":"ticketId"}]}`
		badShow   = `{"errors":[{"message":"OrderId incorrect format","field":"orderId"}]}`
		badCancel = `{"errors":[{"message":"Invalid value","field":"orderId"}]}`
	)
	unknown := objectid.New()
	get, post, remove := http.MethodGet, http.MethodPost, http.MethodDelete
	for _, tt := range []struct {
		user, method, path, body string
		status                   int
		answer                   string
	}{
		{"", post, "", `{bad`, 400, somethingWrong},
		{"", post, "", `{}`, 401, notAuthorized},
		{"u", post, "", `{}`, 400, missing},
		{"u", post, "", `{"ticketId":""}`, 400, missing},
		{"u", post, "", `{"ticketId":null}`, 400, missing},
		{"u", post, "", `{"ticketId":"abc"}`, 400, malformed},
		{"u", post, "", `{"ticketId":{"$gt":""}}`, 400, malformed},
		{"u", post, "", `{"ticketId":["` + ticketID + `"]}`, 400, malformed},
		{"u", post, "", reserveBody(unknown), 404, notFound},
		{"u", post, "", reserveBody("abcdefghijkl"), 404, notFound},
		{"", get, "", "", 401, notAuthorized},
		{"", get, "/abc", "", 401, notAuthorized},
		{"u", get, "/abc", "", 400, badShow},
		{"u", get, "/" + unknown, "", 404, notFound},
		{"u", get, "/" + id, "", 401, notAuthorized},
		{"", remove, "/abc", "", 401, notAuthorized},
		{"u", remove, "/abc", "", 400, badCancel},
		{"u", remove, "/" + unknown, "", 404, notFound},
		{"u", remove, "/" + id, "", 401, notAuthorized},
		{"u", http.MethodPut, "/" + id, "", 404, notFound},
	} {
		t.Run(tt.method+tt.path+tt.body, func(t *testing.T) {
			t.Parallel()
			want(t, ask(t, f.door, tt.user, tt.method, "/api/orders"+tt.path, tt.body), tt.status, tt.answer)
		})
	}
}
