package api

import (
	"errors"
	"net/http"

	"lockstep/ticket"
)

// lockAnswer is what the tickets service knows of an order.
type lockAnswer struct {
	OrderID  string           `json:"orderId"`
	TicketID string           `json:"ticketId"`
	Version  int64            `json:"version"`
	State    ticket.LockState `json:"state"`
}

func answerLock(l ticket.Lock) lockAnswer {
	return lockAnswer{l.OrderID, l.TicketID, l.Version, l.State}
}

// showLock answers GET /ops/locks/{id}.
func (o *ops) showLock(w http.ResponseWriter, r request) error {
	if o.Locks == nil {
		return errNoLocks
	}
	l, err := o.Locks.KnownLock(r.Context(), r.id())
	if errors.Is(err, ticket.ErrNotFound) {
		return newProblem(http.StatusNotFound, "Nothing is known of such an order here: its events did not come, or there is none. lockstep locks reset asks the orders service")
	}
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, answerLock(l))
}

// reconcilable reports why the locks cannot be compared; nil if they can.
func (o *ops) reconcilable() error {
	switch {
	case o.Locks == nil:
		return errNoLocks
	case o.Reconciler == nil:
		return errNoOwner
	}
	return nil
}

// reconcile answers POST /ops/locks/reconcile?after=&trust= line by line. With
// ?trust=owner locks of orders that the orders service does not have are
// released.
func (o *ops) reconcile(w http.ResponseWriter, r request) error {
	if err := o.reconcilable(); err != nil {
		return err
	}
	trust, err := readTrust(r)
	if err != nil {
		return err
	}
	out := newLines(w)
	sum, err := o.Reconciler.Reconcile(r.Context(), ticket.ReconcileOptions{
		After: r.URL.Query().Get("after"), TrustOwner: trust,
		Progress: func(sum ticket.Reconciled) {
			if out.due() {
				_ = out.say(comparison{Locks: &sum}) // the client has gone: the context ends the comparison
			}
		},
	})
	o.Log.InfoContext(r.Context(), "locks compared with the orders service for an operator", "trust_owner", trust, "compared", sum.Compared,
		"locked", sum.Locked, "released", sum.Released, "forged", sum.Forged, "no_order", sum.NoOrder, "no_ticket", sum.NoTicket, "freed", sum.Freed)
	if err != nil {
		_ = out.say(comparison{Locks: &sum}) // from there it can go on
	}
	return o.end(r, out, comparison{Reconciled: &sum}, err)
}

// resetLock answers POST /ops/locks/{id}/reset.
func (o *ops) resetLock(w http.ResponseWriter, r request) error {
	if err := o.reconcilable(); err != nil {
		return err
	}
	before, after, err := o.Reconciler.ResetLock(r.Context(), r.id())
	if err != nil {
		return newProblem(http.StatusBadGateway, err.Error())
	}
	if after.State == "" {
		return newProblem(http.StatusNotFound, "Neither this process nor the orders service knows such an order")
	}
	o.Log.WarnContext(r.Context(), "lock reset to what the orders service says for an operator", "order_id", r.id(), "ticket_id", after.TicketID,
		"was", before.State, "is", after.State)
	answer := struct {
		Before *lockAnswer `json:"before"` // null: nothing was known
		After  lockAnswer  `json:"after"`
	}{After: answerLock(after)}
	if before.State != "" {
		was := answerLock(before)
		answer.Before = &was
	}
	return respond(w, http.StatusOK, answer)
}
