package api

import (
	"context"
	"errors"
	"net/http"

	"lockstep/event"
	"lockstep/listeners"
)

var errNotAside = newProblem(http.StatusNotFound, "No such message is in quarantine here: it was applied, or discarded, or is another process's. lockstep replica quarantine lists what is")

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
	Payload  string           `json:"payload,omitempty"` // of a single message, if asked for
}

func answerQuarantined(service string, q listeners.Quarantined) quarantinedAnswer {
	return quarantinedAnswer{
		ID: q.ID, Service: service, Group: q.Group, Subject: q.Subject, Sequence: q.Sequence, Key: q.Key, Version: q.Version,
		Reason: q.Reason, Detail: q.Detail, At: printTime(q.At),
	}
}

// listQuarantine answers GET /ops/replica/quarantine, of all or of what the
// query chooses.
func (o *ops) listQuarantine(w http.ResponseWriter, r request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	f, _, err := o.readFilter(r)
	if err != nil {
		return err
	}
	messages, next, err := o.setAside(r, f, p)
	if err != nil {
		return err
	}
	answers := make([]quarantinedAnswer, len(messages))
	for i, m := range messages {
		answers[i] = answerQuarantined(m.service.Name, m.Quarantined)
	}
	return respond(w, http.StatusOK, struct {
		Messages []quarantinedAnswer `json:"messages"`
		Next     string              `json:"next,omitempty"`
	}{answers, next})
}

func (o *ops) showQuarantine(w http.ResponseWriter, r request) error {
	whole, err := payloadAsked(r)
	if err != nil {
		return err
	}
	return o.withQuarantine(r, func(s Service, q listeners.Quarantined) error {
		a := answerQuarantined(s.Name, q)
		if whole {
			a.Payload = string(q.Payload)
			o.noteShown(r, "payload in quarantine was shown", "service", s.Name, "id", q.ID)
		}
		return respond(w, http.StatusOK, a)
	})
}

func (o *ops) retryQuarantine(w http.ResponseWriter, r request) error {
	return o.withQuarantine(r, func(s Service, q listeners.Quarantined) error {
		if err := s.retry(r.Context(), q.ID); err != nil {
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
		n, err := s.discard(r.Context(), []listeners.Quarantined{q})
		if err != nil {
			return err
		}
		if n == 0 {
			return errNotAside
		}
		o.Log.WarnContext(r.Context(), "quarantined message discarded by an operator", "service", s.Name, "id", q.ID, "key", q.Key, "version", q.Version)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// retry has the listener that set the message aside apply it.
func (s Service) retry(ctx context.Context, id string) error {
	for _, l := range s.Listeners {
		if err := l.Retry(ctx, id); !errors.Is(err, listeners.ErrNotFound) {
			return err
		}
	}
	return errNotAside
}

// discard has each listener remove what it set aside, and returns how many
// there were.
func (s Service) discard(ctx context.Context, entries []listeners.Quarantined) (sum int, err error) {
	for _, l := range s.Listeners {
		n, err := l.Discard(ctx, entries)
		sum += n
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
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
	return errNotAside
}
