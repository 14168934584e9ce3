package mongodb

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/order"
)

func (s *Orders) payments() collection { return s.db.collection(paymentsName) }

// paymentDoc is what became of a payment, by orderId:paymentId.
type paymentDoc struct {
	ID        entryID      `bson:"_id"`
	OrderID   recordID     `bson:"orderId"`
	PaymentID text         `bson:"paymentId"`
	StripeID  text         `bson:"stripeId,omitempty"`
	TicketID  recordID     `bson:"ticketId"`
	UserID    text         `bson:"userId"`
	Price     amount       `bson:"price"`
	Reason    order.Reason `bson:"reason,omitempty"` // only of refunds
	Open      bool         `bson:"open,omitempty"`   // a refund that was not given back
	At        time.Time    `bson:"at"`
	SettledAt time.Time    `bson:"settledAt,omitempty"`
}

func newPaymentDoc(p order.Payment) paymentDoc {
	return paymentDoc{
		ID: entryID(p.ID()), OrderID: recordID(p.OrderID), PaymentID: text(p.PaymentID), StripeID: text(p.StripeID), TicketID: recordID(p.TicketID),
		UserID: text(p.UserID), Price: amount(p.Price), Reason: p.Reason, Open: p.Reason != "" && p.SettledAt.IsZero(),
		At: instant(p.At), SettledAt: instant(p.SettledAt),
	}
}

// check implements checked: pages go on behind the id that a payment tells.
func (d paymentDoc) check() error {
	if string(d.ID) != order.PaymentKey(string(d.OrderID), string(d.PaymentID)) {
		return errors.New("_id is not orderId:paymentId")
	}
	return nil
}

func (d paymentDoc) payment() order.Payment {
	p := order.Payment{
		OrderID: string(d.OrderID), PaymentID: string(d.PaymentID), StripeID: string(d.StripeID), TicketID: string(d.TicketID),
		UserID: string(d.UserID), Price: float64(d.Price), Reason: d.Reason, At: d.At.UTC(),
	}
	if !d.SettledAt.IsZero() {
		p.SettledAt = d.SettledAt.UTC()
	}
	return p
}

// Payment implements order.Ledger.
func (s *Orders) Payment(ctx context.Context, id string) (order.Payment, error) {
	d, err := one[paymentDoc](ctx, s.payments(), is("_id", id), order.ErrNotFound)
	if err != nil {
		return order.Payment{}, as(order.ErrUnreadable, err)
	}
	return d.payment(), nil
}

// Refunds implements order.Ledger.
func (s *Orders) Refunds(ctx context.Context, open bool, after string, limit int) ([]order.Payment, error) {
	if after == "" {
		if err := s.payments().noteStrangers(ctx, false); err != nil {
			return nil, err
		}
	}
	filter := bson.D{{Key: "reason", Value: is("$exists", true)}, {Key: "_id", Value: is("$gt", after)}}
	if open {
		filter = bson.D{{Key: "open", Value: true}, {Key: "_id", Value: is("$gt", after)}}
	}
	return first(ctx, s.payments(), query{filter: filter, sort: asc("_id")}, paymentDoc.payment, limit)
}

// OpenRefunds implements order.Ledger.
func (s *Orders) OpenRefunds(ctx context.Context) (int, error) {
	n, err := s.payments().CountDocuments(ctx, is("open", true))
	return int(n), err
}

// Settle implements order.Ledger.
func (s *Orders) Settle(ctx context.Context, id string, at time.Time) error {
	update := bson.D{{Key: "$set", Value: is("settledAt", instant(at))}, {Key: "$unset", Value: is("open", "")}}
	result, err := s.payments().UpdateOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "open", Value: true}}, update)
	if err != nil || result.MatchedCount > 0 {
		return err
	}
	p, err := s.Payment(ctx, id)
	if err == nil && p.Reason == "" {
		err = order.ErrNotFound
	}
	return err
}
