package order

import (
	"time"

	"lockstep/event"
)

// Happening is what an order is told.
type Happening int

// What may happen to an order, in any order and any number of times.
const (
	UserCancelled Happening = iota + 1
	WindowPassed            // by our own clock, or expiration:complete
	Paid                    // payment:created
	TicketGone              // its ticket was removed from the replica: its owner never had it
	LockLeft                // its ticket is still locked for it although it was cancelled
	LockLost                // its ticket is not locked for it although it is complete
)

// Reason says why a payment must be given back.
type Reason string

// The reasons of refunds.
const (
	RefundCancelled Reason = "cancelled"  // the order was cancelled and its ticket is somebody else's, or gone
	RefundPaidTwice Reason = "paid_twice" // the order is complete by another payment
)

// Reasons lists them all.
func Reasons() []Reason { return []Reason{RefundCancelled, RefundPaidTwice} }

// Decision is what follows for an order.
type Decision struct {
	Was, Now Order
	Announce event.Subject // of Now; "" to announce nothing
	Refund   Reason        // the payment must be given back; "" otherwise
}

// changes reports whether the order becomes another.
func (d Decision) changes() bool { return d.Now.Version != d.Was.Version }

// events returns what others must know of d.
func (d Decision) events(at time.Time) ([]event.Event, error) {
	var e event.Event
	var err error
	switch d.Announce {
	case event.OrderCreated:
		e, err = d.Now.reserved(at)
	case event.OrderCancelled:
		e, err = d.Now.cancelled(at)
	default:
		return nil, nil
	}
	return []event.Event{e}, err
}

// Decide is the life of an order. payment names the payment that was made, if
// one was; taken says that a cancelled order cannot have its ticket again: another
// active order has it, which only the store's refusal can tell, or it is gone.
//
//	status               cancelled, expired,  paid by P
//	                     ticket gone
//	created, awaiting    cancelled            complete by P
//	cancelled            –                    complete by P and announced again;
//	                                          refund if the ticket is taken
//	complete by P        –                    –
//	complete by another  –                    refund
//	complete by unknown  –                    complete by P
//
// A cancelled order whose lock was left behind is announced as cancelled again,
// and a complete one that has lost its lock as created.
func Decide(was Order, h Happening, payment string, taken bool) Decision {
	switch open := was.Status != Cancelled && was.Status != Complete; {
	case h == Paid:
		return decidePayment(was, payment, taken)
	case open && (h == UserCancelled || h == WindowPassed || h == TicketGone), was.Status == Cancelled && h == LockLeft:
		d := was.becomes(Cancelled)
		d.Announce = event.OrderCancelled
		return d
	case was.Status == Complete && h == LockLost:
		d := was.becomes(Complete)
		d.Announce = event.OrderCreated
		return d
	}
	return Decision{Was: was, Now: was}
}

func decidePayment(was Order, payment string, taken bool) Decision {
	d := was.becomes(Complete)
	d.Now.PaidBy = payment
	switch {
	case was.Status == Complete && was.PaidBy == payment:
		return Decision{Was: was, Now: was}
	case was.Status == Complete && was.PaidBy != "":
		return Decision{Was: was, Now: was, Refund: RefundPaidTwice}
	case was.Status == Cancelled && taken:
		return Decision{Was: was, Now: was, Refund: RefundCancelled}
	case was.Status == Cancelled:
		d.Announce = event.OrderCreated
	}
	return d
}

func (o Order) becomes(s Status) Decision {
	d := Decision{Was: o, Now: o}
	d.Now.Status = s
	d.Now.Version++
	return d
}
