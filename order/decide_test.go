package order_test

import (
	"testing"

	"lockstep/event"
	"lockstep/order"
)

// TestDecide goes through the life of an order. Case 9.1.
func TestDecide(t *testing.T) {
	t.Parallel()
	const silent = event.Subject("")
	tests := map[string]struct {
		status   order.Status
		paidBy   string
		happens  order.Happening
		taken    bool
		want     order.Status
		announce event.Subject
		refund   order.Reason
	}{
		"cancelled by its user":                   {order.Created, "", order.UserCancelled, false, order.Cancelled, event.OrderCancelled, ""},
		"expired":                                 {order.Created, "", order.WindowPassed, false, order.Cancelled, event.OrderCancelled, ""},
		"its ticket is gone":                      {order.Created, "", order.TicketGone, false, order.Cancelled, event.OrderCancelled, ""},
		"its ticket is gone and it is paid":       {order.Complete, "p", order.TicketGone, false, order.Complete, silent, ""},
		"paid":                                    {order.Created, "", order.Paid, false, order.Complete, silent, ""},
		"expired while a payment is awaited":      {order.AwaitingPayment, "", order.WindowPassed, false, order.Cancelled, event.OrderCancelled, ""},
		"paid while it is awaited":                {order.AwaitingPayment, "", order.Paid, false, order.Complete, silent, ""},
		"cancelled again":                         {order.Cancelled, "", order.UserCancelled, false, order.Cancelled, silent, ""},
		"expired after its cancellation":          {order.Cancelled, "", order.WindowPassed, false, order.Cancelled, silent, ""},
		"paid after its cancellation":             {order.Cancelled, "", order.Paid, false, order.Complete, event.OrderCreated, ""},
		"paid after its ticket went to another":   {order.Cancelled, "", order.Paid, true, order.Cancelled, silent, order.RefundCancelled},
		"cancelled after it was paid":             {order.Complete, "p", order.UserCancelled, false, order.Complete, silent, ""},
		"expired after it was paid":               {order.Complete, "p", order.WindowPassed, false, order.Complete, silent, ""},
		"paid again by the same payment":          {order.Complete, "p", order.Paid, false, order.Complete, silent, ""},
		"paid twice":                              {order.Complete, "q", order.Paid, false, order.Complete, silent, order.RefundPaidTwice},
		"complete by a payment that nobody keeps": {order.Complete, "", order.Paid, false, order.Complete, silent, ""},
		"its lock was left behind":                {order.Cancelled, "", order.LockLeft, false, order.Cancelled, event.OrderCancelled, ""},
		"it has its lock":                         {order.Created, "", order.LockLeft, false, order.Created, silent, ""},
		"it has no lock":                          {order.Created, "", order.LockLost, false, order.Created, silent, ""},
		"it has no lock and is paid":              {order.Complete, "p", order.LockLost, false, order.Complete, event.OrderCreated, ""},
		"it has its lock and is paid":             {order.Complete, "p", order.LockLeft, false, order.Complete, silent, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			was := order.Order{ID: "o", Status: tc.status, PaidBy: tc.paidBy, Version: 4}
			d := order.Decide(was, tc.happens, "p", tc.taken)
			if d.Now.Status != tc.want || d.Announce != tc.announce || d.Refund != tc.refund {
				t.Errorf("%s, announces %q, refund %q, want %s, %q, %q", d.Now.Status, d.Announce, d.Refund, tc.want, tc.announce, tc.refund)
			}
			becomes := was
			if tc.want != tc.status || tc.announce != "" || tc.happens == order.Paid && tc.paidBy == "" && tc.refund == "" {
				becomes.Status, becomes.Version = tc.want, 5
			}
			if tc.happens == order.Paid && tc.refund == "" {
				becomes.PaidBy = "p"
			}
			if d.Now != becomes || d.Was != was {
				t.Errorf("becomes %+v, want %+v", d.Now, becomes)
			}
		})
	}
}
