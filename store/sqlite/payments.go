package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/internal/group"
	"lockstep/order"
)

const selectPayment = "SELECT id, orderId, paymentId, stripeId, ticketId, userId, price, reason, at, settledAt FROM payments "

func scanPayment(row scanner) (p order.Payment, err error) {
	var at, settledAt int64
	var id entryID
	err = row.Scan(&id, (*text)(&p.OrderID), (*text)(&p.PaymentID), (*text)(&p.StripeID), (*text)(&p.TicketID), (*text)(&p.UserID),
		(*amount)(&p.Price), (*text)(&p.Reason), (*count)(&at), (*count)(&settledAt))
	p.At, p.SettledAt = timeOf(at), timeOf(settledAt)
	if err == nil && string(id) != p.ID() {
		err = &errForeign{"the id is not orderId:paymentId"}
	}
	return p, named("payments", string(id), err)
}

// Payment implements order.Ledger.
func (s *Orders) Payment(ctx context.Context, id string) (order.Payment, error) {
	p, err := one(ctx, s.db.read, order.ErrNotFound, scanPayment, selectPayment+"WHERE id = ?", id)
	return p, as(order.ErrUnreadable, err)
}

const (
	isRefund     = "WHERE reason <> '' "
	isOpenRefund = isRefund + "AND settledAt = 0 "
)

// Refunds implements order.Ledger.
func (s *Orders) Refunds(ctx context.Context, open bool, after string, limit int) ([]order.Payment, error) {
	which := isRefund
	if open {
		which = isOpenRefund
	}
	return first(ctx, s.db.read, scanPayment, limit, selectPayment+which+"AND id > ? ORDER BY id", after)
}

// OpenRefunds implements order.Ledger.
func (s *Orders) OpenRefunds(ctx context.Context) (int, error) {
	n, err := one(ctx, s.db.read, nil, number, "SELECT count(*) FROM payments "+isOpenRefund)
	return int(n), err
}

// Settle implements order.Ledger.
func (s *Orders) Settle(ctx context.Context, id string, at time.Time) error {
	p, err := s.Payment(ctx, id)
	switch {
	case err != nil:
		return err
	case p.Reason == "":
		return order.ErrNotFound
	case !p.SettledAt.IsZero():
		return nil
	}
	err = s.db.do(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.exec(ctx, "UPDATE payments SET settledAt = ? WHERE id = ? AND settledAt = 0", millis(at), id)
		return err
	})
	if errors.Is(err, group.ErrUnknown) {
		return fmt.Errorf("%w: %w", order.ErrUnknown, err)
	}
	return err
}

const insertPayment = "INSERT INTO payments (id, orderId, paymentId, stripeId, ticketId, userId, price, reason, at, settledAt)" +
	" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"

func writePayment(ctx context.Context, w *writer, p *order.Payment) error {
	if p == nil {
		return nil
	}
	return w.expect(ctx, "payment "+p.ID()+" is known", insertPayment, p.ID(), p.OrderID, p.PaymentID, p.StripeID,
		p.TicketID, p.UserID, p.Price, string(p.Reason), millis(p.At), millis(p.SettledAt))
}
