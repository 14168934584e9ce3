package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lockstep/order"
)

const selectPayment = "SELECT orderId, paymentId, stripeId, ticketId, userId, price, reason, at, settledAt FROM payments "

func scanPayment(row scanner) (p order.Payment, err error) {
	var at, settledAt int64
	err = row.Scan(&p.OrderID, &p.PaymentID, &p.StripeID, &p.TicketID, &p.UserID, &p.Price, &p.Reason, &at, &settledAt)
	p.At, p.SettledAt = timeOf(at), timeOf(settledAt)
	return p, err
}

// Payment implements order.Ledger.
func (s *Orders) Payment(ctx context.Context, id string) (order.Payment, error) {
	return one(ctx, s.db.read, order.ErrNotFound, scanPayment, selectPayment+"WHERE id = ?", id)
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
	return all(ctx, s.db.read, scanPayment, selectPayment+which+"AND id > ? ORDER BY id LIMIT ?", after, limit)
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
	if errors.Is(err, errUnknown) {
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
