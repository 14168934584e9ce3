package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/ticket"
)

// threshold is how many failures of one event call for a person.
const threshold = 10

// raiseUnpublished raises an event that reached the threshold.
func (s *service) raiseUnpublished(_ context.Context, r outbox.Record) {
	id := word(r.ID())
	why := "for no known reason"
	if kept := r.Failures.Kept; len(kept) > 0 {
		last := kept[len(kept)-1]
		why = fmt.Sprintf("the last one at %s, %s: %s", last.At.Format(time.RFC3339), last.Class, last.Message)
	}
	s.incidents.Raise(incident.EventUnpublished, r.ID(), fmt.Sprintf(
		"event %s (key %s, version %d, %s) failed %d times, %s. Later versions of its key wait behind it."+
			" Mend the cause, then: lockstep outbox retry %s. To see more: lockstep outbox show %s. To give it up: lockstep outbox discard %s",
		r.ID(), r.Key, r.Version, r.Subject, r.Failures.Total, why, id, id, id))
}

// raiseLoss raises a loss in the broker. asked says that a comparison with the
// owner was asked for.
func (s *service) raiseLoss(l listeners.Loss, asked bool) {
	to := "an unknown end"
	if l.To != 0 {
		to = fmt.Sprint(l.To)
	}
	todo := "The comparison with the owner has begun by itself; if this stays open: lockstep replica verify, lockstep replica repair"
	switch {
	case l.Channel == event.PaymentCreated:
		todo = "Nobody can be asked for payments: compare the payment provider's with the orders by hand, then: lockstep outbox incidents close ID"
	case !asked:
		todo = "CANONICAL_URL is not set, so nobody can be asked: compare with the owner by hand, then: lockstep outbox incidents close ID"
	}
	s.incidents.Raise(incident.BrokerLoss, string(l.Channel), fmt.Sprintf(
		"the broker lost messages %d to %s of %s (%s) that group %s had not seen, %d in all. %s", l.From, to, l.Channel, l.Cause, l.Group, l.Missing, todo))
}

func (s *service) resolveLosses(channels []event.Subject) {
	for _, c := range channels {
		s.incidents.Resolve(incident.BrokerLoss, string(c), "compared with the owner")
	}
}

// raiseDrift raises what a comparison could not mend, or resolves it.
func (s *service) raiseDrift(sum replica.Mended) {
	if sum.LeftOver == 0 {
		s.incidents.Resolve(incident.DriftUnmended, "replica", "the replica equals its owner")
		return
	}
	example := ""
	if len(sum.Left) > 0 {
		example = fmt.Sprintf(", as %s (%s)", sum.Left[0].ID, sum.Left[0].Kind)
	}
	s.incidents.Raise(incident.DriftUnmended, "replica", fmt.Sprintf(
		"%d rows of the replica are ahead of their owner, unknown to it or not readable there%s: only a person can judge which is right. To see them: lockstep replica verify",
		sum.LeftOver, example))
}

// raiseLockDrift raises locks, and orders without a ticket, that a comparison
// left, or resolves it.
func (s *service) raiseLockDrift(sum ticket.Reconciled) {
	s.raiseNoTicket(sum)
	if sum.NoOrder == 0 {
		s.incidents.Resolve(incident.DriftUnmended, "locks", "every lock has an order")
		return
	}
	first := sum.Left[0]
	s.incidents.Raise(incident.DriftUnmended, "locks", fmt.Sprintf(
		"%d locks are of orders that the orders service does not have, as that of ticket %s by order %s: somebody else published them, or its database"+
			" was restored from a backup. Only a person can judge. To release one: lockstep locks reset %s. All: lockstep locks reconcile --trust-owner",
		sum.NoOrder, first.TicketID, first.OrderID, word(first.OrderID)))
}

// raiseNoTicket raises orders that a comparison found to take no ticket.
func (s *service) raiseNoTicket(sum ticket.Reconciled) {
	if sum.NoTicket == 0 {
		s.incidents.Resolve(incident.DriftUnmended, "orders", "every order has a ticket")
		return
	}
	first := sum.WithoutTicket[0]
	s.incidents.Raise(incident.DriftUnmended, "orders", fmt.Sprintf(
		"%d orders are of tickets that the tickets service does not have, as order %s of ticket %s: the ticket was deleted, or somebody else published it."+
			" Who ordered gets nothing. What is not paid ends with its time; give back what is paid. To see them: lockstep locks reconcile",
		sum.NoTicket, first.OrderID, first.TicketID))
}

// raiseRefund raises a payment that must be given back.
func (s *service) raiseRefund(_ context.Context, p order.Payment) {
	s.incidents.Raise(incident.MoneyWithoutGoods, p.ID(), fmt.Sprintf(
		"payment %s (stripe id %s) of order %s bought nothing (%s): user %s paid %g for ticket %s. Give the money back, then: lockstep refunds settle %s",
		p.PaymentID, p.StripeID, p.OrderID, p.Reason, p.UserID, p.Price, p.TicketID, word(p.ID())))
}

// raiseWrongLock raises a ticket that stays locked for an order that is over,
// or unlocked although its order is paid.
func (s *service) raiseWrongLock(_ context.Context, o order.Order) {
	wrong, subject := "stays locked by order %s, which is cancelled: its owner cannot edit it", event.OrderCancelled
	if o.Status == order.Complete {
		wrong, subject = "is not locked for order %s, which is paid: it is listed as free, and its owner can edit it", event.OrderCreated
	}
	s.incidents.Raise(incident.WrongLock, o.ID, fmt.Sprintf(
		"ticket %s "+wrong+", whatever was announced up to version %d of the order. Look whether the tickets service receives %s;"+
			" to see what ours knows: /ops/locks/%s", o.TicketID, o.ID, o.Version, subject, o.ID))
}

// word returns s as a word of a shell's command.
func word(s string) string {
	plain := strings.IndexFunc(s, func(r rune) bool {
		return !strings.ContainsRune("-_.:/", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	if plain && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
