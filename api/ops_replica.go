package api

import (
	"errors"
	"fmt"
	"net/http"

	"lockstep/event"
	"lockstep/listeners"
	"lockstep/ticket"
)

func (o *ops) showRow(w http.ResponseWriter, r request) error {
	if o.Replica == nil {
		return errNotFound
	}
	row, err := o.Replica.Row(r.Context(), r.id())
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, wireOf(row))
}

// lockAnswer is what the tickets service knows of an order.
type lockAnswer struct {
	OrderID  string           `json:"orderId"`
	TicketID string           `json:"ticketId"`
	Version  int64            `json:"version"`
	State    ticket.LockState `json:"state"`
}

func (o *ops) showLock(w http.ResponseWriter, r request) error {
	if o.Locks == nil {
		return errNotFound
	}
	l, err := o.Locks.KnownLock(r.Context(), r.id())
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, lockAnswer{l.OrderID, l.TicketID, l.Version, l.State})
}

// heldAnswer is a message that waits for its predecessor.
type heldAnswer struct {
	Service string `json:"service"`
	listeners.HeldMessage
}

func (o *ops) listHeld(w http.ResponseWriter, r request) error {
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	answers := []heldAnswer{}
	for _, s := range services {
		for _, l := range s.Listeners {
			for _, m := range l.Held() {
				answers = append(answers, heldAnswer{s.Name, m})
			}
		}
	}
	return respond(w, http.StatusOK, struct {
		Messages []heldAnswer `json:"messages"`
	}{answers})
}

// quarantinedAnswer is a message that was set aside.
type quarantinedAnswer struct {
	ID       string           `json:"id"`
	Service  string           `json:"service"`
	Group    string           `json:"group"`
	Subject  event.Subject    `json:"subject"`
	Sequence uint64           `json:"sequence"`
	Key      string           `json:"key,omitempty"`
	Version  int64            `json:"version"`
	Reason   listeners.Reason `json:"reason"`
	Detail   string           `json:"detail"`
	At       string           `json:"at"`
	Payload  string           `json:"payload,omitempty"` // not in lists
}

func answerQuarantined(service string, q listeners.Quarantined) quarantinedAnswer {
	return quarantinedAnswer{
		ID: q.ID, Service: service, Group: q.Group, Subject: q.Subject, Sequence: q.Sequence, Key: q.Key, Version: q.Version,
		Reason: q.Reason, Detail: q.Detail, At: printTime(q.At), Payload: string(q.Payload),
	}
}

func (o *ops) listQuarantine(w http.ResponseWriter, r request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	answers := []quarantinedAnswer{}
	for _, s := range services {
		page, err := s.Quarantine.List(r.Context(), listeners.Filter{}, p.after, p.limit)
		if err != nil {
			return fmt.Errorf("list quarantine of %s: %w", s.Name, err)
		}
		for _, q := range page {
			answers = append(answers, answerQuarantined(s.Name, q))
		}
	}
	answers, next := cut(answers, p, func(a quarantinedAnswer) string { return a.ID })
	return respond(w, http.StatusOK, struct {
		Messages []quarantinedAnswer `json:"messages"`
		Next     string              `json:"next,omitempty"`
	}{answers, next})
}

func (o *ops) showQuarantine(w http.ResponseWriter, r request) error {
	return o.withQuarantine(r, func(s Service, q listeners.Quarantined) error {
		return respond(w, http.StatusOK, answerQuarantined(s.Name, q))
	})
}

func (o *ops) retryQuarantine(w http.ResponseWriter, r request) error {
	return o.withQuarantine(r, func(s Service, q listeners.Quarantined) error {
		err := s.ofListener(func(l Listener) error { return l.Retry(r.Context(), q.ID) })
		if err != nil {
			if errors.Is(err, listeners.ErrTooEarly) || errors.Is(err, event.ErrInvalid) {
				return newProblem(http.StatusConflict, err.Error())
			}
			return err
		}
		o.Log.InfoContext(r.Context(), "quarantined message applied by an operator's wish", "service", s.Name, "id", q.ID)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (o *ops) discardQuarantine(w http.ResponseWriter, r request) error {
	return o.withQuarantine(r, func(s Service, q listeners.Quarantined) error {
		if err := s.ofListener(func(l Listener) error { return l.Discard(r.Context(), q.ID) }); err != nil {
			return err
		}
		o.Log.WarnContext(r.Context(), "quarantined message discarded by an operator", "service", s.Name, "id", q.ID, "key", q.Key, "version", q.Version)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// ofListener calls do with each listener until one has the message.
func (s Service) ofListener(do func(Listener) error) error {
	for _, l := range s.Listeners {
		if err := do(l); !errors.Is(err, listeners.ErrNotFound) {
			return err
		}
	}
	return errNotFound
}

// withQuarantine calls do with the service that has the message.
func (o *ops) withQuarantine(r request, do func(Service, listeners.Quarantined) error) error {
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	for _, s := range services {
		q, err := s.Quarantine.Get(r.Context(), r.id())
		if errors.Is(err, listeners.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		return do(s, q)
	}
	return errNotFound
}
