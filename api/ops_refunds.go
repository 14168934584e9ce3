package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"lockstep/order"
)

// Refunds are the payments that must be given back; order.Ledger has them.
type Refunds interface {
	Refunds(ctx context.Context, open bool, after string, limit int) ([]order.Payment, error)
	Settle(ctx context.Context, id string, at time.Time) error
}

// refundAnswer is a payment without goods as the operator sees it.
type refundAnswer struct {
	ID        string       `json:"id"`
	Reason    order.Reason `json:"reason"`
	PaymentID string       `json:"paymentId"`
	StripeID  string       `json:"stripeId,omitempty"`
	OrderID   string       `json:"orderId"`
	TicketID  string       `json:"ticketId"`
	UserID    string       `json:"userId"`
	Price     float64      `json:"price"`
	At        string       `json:"at"`
	SettledAt string       `json:"settledAt,omitempty"`
}

func answerRefund(p order.Payment) refundAnswer {
	a := refundAnswer{
		ID: p.ID(), Reason: p.Reason, PaymentID: p.PaymentID, StripeID: p.StripeID, OrderID: p.OrderID, TicketID: p.TicketID,
		UserID: p.UserID, Price: p.Price, At: printTime(p.At),
	}
	if !p.SettledAt.IsZero() {
		a.SettledAt = printTime(p.SettledAt)
	}
	return a
}

// listRefunds answers GET /ops/refunds?open=true&after=&limit=.
func (o *ops) listRefunds(w http.ResponseWriter, r request) error {
	if o.Refunds == nil {
		return errNoOrders
	}
	p, err := readPage(r)
	if err != nil {
		return err
	}
	open, _, err := readBool(r, "open")
	if err != nil {
		return err
	}
	id := func(a refundAnswer) string { return a.ID }
	refunds, err := fill(p, func(p page) (part[refundAnswer], error) { return o.refunds(r.Context(), open, p) })
	if err != nil {
		return fmt.Errorf("list refunds: %w", err)
	}
	all, next := merge([]part[refundAnswer]{refunds}, p, id, cmp.Compare)
	return respond(w, http.StatusOK, struct {
		Refunds []refundAnswer `json:"refunds"`
		Next    string         `json:"next,omitempty"`
	}{all, next})
}

// refunds returns one page of the refunds.
func (o *ops) refunds(ctx context.Context, open bool, p page) (part[refundAnswer], error) {
	found, err := o.Refunds.Refunds(ctx, open, p.after, p.limit)
	answers := make([]refundAnswer, len(found))
	for i, f := range found {
		answers[i] = answerRefund(f)
	}
	return pageOfAll(answers, func(a refundAnswer) string { return a.ID }), err
}

// settleRefund answers POST /ops/refunds/{id}/settle.
func (o *ops) settleRefund(w http.ResponseWriter, r request) error {
	if o.Refunds == nil {
		return errNoOrders
	}
	err := o.Refunds.Settle(r.Context(), r.id(), o.Now())
	if errors.Is(err, order.ErrNotFound) {
		return newProblem(http.StatusNotFound, "No such payment has to be given back: lockstep refunds --all lists them")
	}
	if err != nil {
		return fmt.Errorf("settle refund %s: %w", r.id(), err)
	}
	o.Log.InfoContext(r.Context(), "refund settled by an operator", "refund", r.id())
	w.WriteHeader(http.StatusNoContent)
	return nil
}
