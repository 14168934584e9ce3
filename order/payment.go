package order

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"lockstep/event"
)

// Payment is what became of one payment of an order: the order is complete by
// it, or it is money without goods, a refund. It is one or the other once and
// for all.
type Payment struct {
	OrderID   string
	PaymentID string // as the payments service calls it; its stripeId if it has no id
	StripeID  string
	TicketID  string
	UserID    string
	Price     float64 // what the order charges; 0 if a service made it that does not keep it
	Reason    Reason  // why it must be given back; "" if the order is complete by it
	At        time.Time
	SettledAt time.Time // when it was given back; zero if it was not
}

// ID returns orderId:paymentId: a payment is known by it, and a refund settled.
func (p Payment) ID() string { return PaymentKey(p.OrderID, p.PaymentID) }

// PaymentKey returns the ID of a payment of an order.
func PaymentKey(orderID, paymentID string) string { return orderID + ":" + paymentID }

// Ledger keeps what became of payments.
type Ledger interface {
	// Payment returns a payment by its ID, or ErrNotFound.
	Payment(ctx context.Context, id string) (Payment, error)

	// Refunds returns up to limit refunds with an ID above after, by ID: fewer
	// if they are large, none behind the last one; only those that are not
	// settled if open.
	Refunds(ctx context.Context, open bool, after string, limit int) ([]Payment, error)

	// OpenRefunds returns how many refunds are not settled.
	OpenRefunds(ctx context.Context) (int, error)

	// Settle notes that a refund was given back. One that is settled keeps its
	// time. ErrNotFound if no refund has the ID.
	Settle(ctx context.Context, id string, at time.Time) error
}

// Complete applies a payment:created event. It returns
//
//	Applied    durable: the order is complete by it, or it is a refund
//	Duplicate  the payment was applied before
//	Early      the order is not known
//
// and an error when the store failed; the event may then be tried again.
func (s *Service) Complete(ctx context.Context, p event.Paid) (event.Outcome, error) {
	unsure := false // whether a commit of ours got no answer
	for range maxDecisions {
		outcome, err := s.completeOnce(ctx, p, unsure)
		switch {
		case errors.Is(err, ErrConflict):
			continue
		case errors.Is(err, ErrUnknown) && !unsure:
			unsure = true
			continue
		case err != nil:
			return 0, fmt.Errorf("complete order %s by payment %s: %w", p.OrderID, p.Name(), err)
		}
		return outcome, nil
	}
	return 0, fmt.Errorf("complete order %s by payment %s: %w", p.OrderID, p.Name(), ErrConflict)
}

func (s *Service) completeOnce(ctx context.Context, p event.Paid, unsure bool) (event.Outcome, error) {
	known, err := s.store.Payment(ctx, PaymentKey(p.OrderID, p.Name()))
	if err == nil && unsure {
		s.report(ctx, known)
		return event.Applied, nil
	}
	if err == nil {
		return event.Duplicate, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	was, err := s.store.Order(ctx, p.OrderID)
	if errors.Is(err, ErrNotFound) {
		return event.Early, nil
	}
	if err != nil {
		return 0, err
	}
	gone, err := s.gone(ctx, was)
	if err != nil {
		return 0, err
	}
	err = s.commitPayment(ctx, Decide(was, Paid, p.Name(), gone), p)
	if errors.Is(err, ErrReserved) {
		err = s.commitPayment(ctx, Decide(was, Paid, p.Name(), true), p)
	}
	return event.Applied, err
}

// gone reports whether there is no ticket any more for an order that has lost its
// own: it was deleted, or its owner never had it. An order that has one keeps it.
func (s *Service) gone(ctx context.Context, o Order) (bool, error) {
	if o.Status != Cancelled {
		return false, nil
	}
	_, err := s.tickets.Ticket(ctx, o.TicketID)
	if errors.Is(err, ErrNotFound) {
		return true, nil
	}
	if errors.Is(err, ErrUnreadable) {
		return false, nil
	}
	return false, err
}

// commitPayment stores what follows from a payment, and the payment with it:
// its ID is taken once, so no two decisions on it can both be committed.
func (s *Service) commitPayment(ctx context.Context, d Decision, p event.Paid) error {
	if t, err := s.tickets.Ticket(ctx, d.Now.TicketID); err == nil && d.Announce == event.OrderCreated {
		d.Now.LockFrom = t.Version + 1
	}
	payment := Payment{
		OrderID: d.Was.ID, PaymentID: p.Name(), StripeID: p.StripeID, TicketID: d.Was.TicketID, UserID: d.Was.UserID,
		Price: d.Was.Price, Reason: d.Refund, At: s.now().UTC().Truncate(time.Millisecond),
	}
	if err := s.commit(ctx, d, &payment); err != nil {
		return err
	}
	s.report(ctx, payment)
	return nil
}

// report tells of a payment that must be given back.
func (s *Service) report(ctx context.Context, p Payment) {
	if p.Reason == "" {
		return
	}
	s.metrics.refund(p.Reason)
	s.log.LogAttrs(ctx, slog.LevelError, "money without goods: give this payment back, then `lockstep refunds settle` it",
		slog.String("refund", p.ID()), slog.String("reason", string(p.Reason)), slog.String("payment_id", p.PaymentID),
		slog.String("stripe_id", p.StripeID), slog.String("order_id", p.OrderID), slog.String("ticket_id", p.TicketID),
		slog.String("user_id", p.UserID), slog.Float64("price", p.Price))
	if s.onRefund != nil {
		s.onRefund(ctx, p)
	}
}
