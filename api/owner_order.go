package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// wireKnown is what the orders service says of one order. That it has none is
// not a 404, which an earlier release, and any other service, answers too.
type wireKnown struct {
	Order      *wireOrder `json:"order"`                // null: there is none
	Unreadable bool       `json:"unreadable,omitempty"` // there is one, and it cannot be read
}

func wireOrderOf(o order.Order) wireOrder {
	return wireOrder{ID: o.ID, TicketID: o.TicketID, Version: o.Version, Cancelled: o.Status == order.Cancelled}
}

func (w wireOrder) state() ticket.OrderState {
	return ticket.OrderState{OrderID: w.ID, TicketID: w.TicketID, Version: w.Version, Cancelled: w.Cancelled}
}

// canonicalOrder answers GET /ops/orders/{id}.
func canonicalOrder(orders CanonicalOrders) endpoint {
	return func(w http.ResponseWriter, r request) error {
		found, err := orders.Order(r.Context(), r.id())
		switch {
		case errors.Is(err, order.ErrNotFound):
			return respond(w, http.StatusOK, wireKnown{})
		case errors.Is(err, order.ErrUnreadable):
			return respond(w, http.StatusOK, wireKnown{Unreadable: true})
		case err != nil:
			return err
		}
		known := wireOrderOf(found)
		return respond(w, http.StatusOK, wireKnown{Order: &known})
	}
}

// Order returns one order; see ticket.Orders.
func (o ordersOf) Order(ctx context.Context, id string) (ticket.OrderState, error) {
	public, err := o.owner.serves(ctx, false)
	if err == nil && public {
		err = replica.ErrPublic
	}
	var known wireKnown
	status := 0
	if err == nil {
		status, err = o.owner.get(ctx, "/ops/orders/"+Segment(id), &known)
	}
	switch {
	case err != nil:
	case status != http.StatusOK:
		err = fmt.Errorf("%w: %s does not say, it is of an earlier release", ticket.ErrUnreadable, o.owner.base)
	case known.Unreadable:
		err = fmt.Errorf("%w by %s", ticket.ErrUnreadable, o.owner.base)
	case known.Order == nil:
		err = ticket.ErrNotFound
	case known.Order.ID != id:
		err = fmt.Errorf("%s answered with order %q", o.owner.base, known.Order.ID)
	}
	if err != nil {
		return ticket.OrderState{}, fmt.Errorf("order %s: %w", id, err)
	}
	return known.Order.state(), nil
}
