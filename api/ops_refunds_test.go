package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"lockstep/order"
)

// TestRefundsAreListedAndSettled. Cases 9.1 and 10.16.
func TestRefundsAreListedAndSettled(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	f, h := newOps(t, nil)
	wantMissing(t, local(t, h, http.MethodGet, "/ops/refunds"), "This process has no orders: ask the orders service")
	h, err := NewOps(OpsOptions{
		Refunds: f.db.Orders(), Ready: NewReadiness(nil, slog.New(slog.DiscardHandler)), Metrics: f.registry,
		Log: slog.New(slog.NewTextHandler(&said, nil)), Address: "127.0.0.1:3002",
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, local(t, h, http.MethodGet, "/ops/refunds"), 200, `{"refunds":[]}`)
	for _, id := range []string{"a", "b/2"} {
		p := order.Payment{
			OrderID: "o", PaymentID: id, StripeID: "ch_1", TicketID: "t", UserID: "u", Price: 20.5, Reason: order.RefundPaidTwice, At: noon,
		}
		if err := f.db.Orders().Commit(t.Context(), order.Change{Payment: &p}); err != nil {
			t.Fatal(err)
		}
	}
	first := `{"id":"o:a","reason":"paid_twice","paymentId":"a","stripeId":"ch_1","orderId":"o","ticketId":"t","userId":"u","price":20.5,"at":"` + printTime(noon) + `"}`
	want(t, local(t, h, http.MethodGet, "/ops/refunds?limit=1"), 200, `{"refunds":[`+first+`],"next":"o:a"}`)
	want(t, local(t, h, http.MethodPost, "/ops/refunds/o:b%2F2/settle"), 204, "")
	want(t, local(t, h, http.MethodPost, "/ops/refunds/o:b%2F2/settle"), 204, "")
	wantMissing(t, local(t, h, http.MethodPost, "/ops/refunds/o:c/settle"), "No such payment has to be given back")
	want(t, local(t, h, http.MethodGet, "/ops/refunds?open=true"), 200, `{"refunds":[`+first+`]}`)
	want(t, local(t, h, http.MethodGet, "/ops/refunds?open=yes"), 400, `{"errors":[{"message":"open must be true or false"}]}`)
	var all struct{ Refunds []refundAnswer }
	if err := json.Unmarshal([]byte(local(t, h, http.MethodGet, "/ops/refunds").body), &all); err != nil || len(all.Refunds) != 2 || all.Refunds[1].SettledAt == "" {
		t.Errorf("all refunds = %+v, %v, want two and the second settled", all.Refunds, err)
	}
	if !strings.Contains(said.String(), `refund settled by an operator" refund=o:b/2`) {
		t.Errorf("the log does not say who settled what:\n%s", said.String())
	}
}
