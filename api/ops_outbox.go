package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/outbox"
)

// recordAnswer is an unpublished event as the operator sees it.
type recordAnswer struct {
	ID         string          `json:"id"`
	Service    string          `json:"service"`
	Key        string          `json:"key"`
	Version    int64           `json:"version"`
	Subject    event.Subject   `json:"subject"`
	OccurredAt string          `json:"occurredAt"`
	IsLocked   bool            `json:"isLocked"`
	LockedAt   string          `json:"lockedAt,omitempty"`
	NotBefore  string          `json:"notBefore,omitempty"`
	BlockedBy  string          `json:"blockedBy,omitempty"` // the event of the same key that must leave first
	Attempts   int             `json:"failedAttempts"`      // all of them; Failures is bounded
	Failures   []failureAnswer `json:"failures"`
	Payload    string          `json:"payload,omitempty"` // of a single event, if asked for

	// Unreadable says why this is no event and will not be published; nothing
	// but the id is known of it then.
	Unreadable string `json:"unreadable,omitempty"`
}

type failureAnswer struct {
	Time    string       `json:"time"`
	Attempt int          `json:"attempt"`
	Class   outbox.Class `json:"class"`
	Message string       `json:"message"`
}

func answerRecord(service string, r outbox.Record) recordAnswer {
	if r.Unreadable != nil {
		return recordAnswer{ID: r.ID(), Service: service, Failures: []failureAnswer{}, Unreadable: r.Unreadable.Why}
	}
	a := recordAnswer{
		ID: r.ID(), Service: service, Key: r.Key, Version: r.Version, Subject: r.Subject,
		OccurredAt: printTime(r.OccurredAt), IsLocked: r.Locked,
		Attempts: r.Failures.Total, Failures: make([]failureAnswer, len(r.Failures.Kept)),
	}
	if !r.LockedAt.IsZero() {
		a.LockedAt = printTime(r.LockedAt)
	}
	if !r.NotBefore.IsZero() {
		a.NotBefore = printTime(r.NotBefore)
	}
	for i, f := range r.Failures.Kept {
		a.Failures[i] = failureAnswer{printTime(f.At), f.Attempt, f.Class, f.Message}
	}
	return a
}

// listOutbox answers one page, the services one after the other: each store
// has an order of its own.
func (o *ops) listOutbox(w http.ResponseWriter, r request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	answer := struct {
		Events []recordAnswer `json:"events"`
		Next   string         `json:"next,omitempty"`
	}{Events: []recordAnswer{}}
	services, p.after = resume(services, p.after)
	for _, s := range services {
		events, err := fill(page{after: p.after, limit: p.limit - len(answer.Events)}, func(p page) (part[recordAnswer], error) { return s.pending(r.Context(), p) })
		if err != nil {
			return err
		}
		answer.Events = append(answer.Events, events.found...)
		if events.next != "" {
			answer.Next = s.Name + "/" + events.next
			break
		}
		p.after = ""
	}
	return respond(w, http.StatusOK, answer)
}

// resume returns the services that a list still has to show, and behind which
// event of the first of them it goes on. after is service/id, or only the id if
// there is one service.
func resume(services []Service, after string) ([]Service, string) {
	for i, s := range services {
		if id, ok := strings.CutPrefix(after, s.Name+"/"); ok {
			return services[i:], id
		}
	}
	return services, after
}

// pending returns one page of a service's outbox.
func (s Service) pending(ctx context.Context, p page) (part[recordAnswer], error) {
	none := part[recordAnswer]{}
	records, err := s.Outbox.List(ctx, p.after, p.limit)
	if err != nil {
		return none, fmt.Errorf("list outbox of %s: %w", s.Name, err)
	}
	heads := map[string]string{}
	answers := make([]recordAnswer, len(records))
	for i, r := range records {
		if r.Unreadable != nil {
			answers[i] = answerRecord(s.Name, r)
			continue
		}
		head, known := heads[r.Key]
		if !known {
			if head, err = s.head(ctx, r.Key); err != nil {
				return none, err
			}
			heads[r.Key] = head
		}
		answers[i] = answerRecord(s.Name, r)
		if head != r.ID() {
			answers[i].BlockedBy = head
		}
	}
	return pageOfAll(answers, func(a recordAnswer) string { return a.ID }), nil
}

// head returns the id of the event that must leave first of a key; "" if none
// is left.
func (s Service) head(ctx context.Context, key string) (string, error) {
	first, err := s.Outbox.Key(ctx, key, event.None, 1)
	if err != nil {
		return "", fmt.Errorf("first event of key %s: %w", key, err)
	}
	if len(first) == 0 {
		return "", nil
	}
	return first[0].ID(), nil
}

func (o *ops) showOutbox(w http.ResponseWriter, r request) error {
	whole, err := payloadAsked(r)
	if err != nil {
		return err
	}
	return o.withOutbox(r, func(s Service, id string) error {
		found, err := s.Outbox.Record(r.Context(), id)
		if err != nil {
			return err
		}
		if found.Unreadable != nil {
			return respond(w, http.StatusOK, answerRecord(s.Name, found))
		}
		head, err := s.head(r.Context(), found.Key)
		if err != nil {
			return err
		}
		a := answerRecord(s.Name, found)
		if whole {
			a.Payload = string(found.Payload)
			o.noteShown(r, "payload of an event was shown", "service", s.Name, "event_id", id)
		}
		if head != id {
			a.BlockedBy = head
		}
		return respond(w, http.StatusOK, a)
	})
}

func (o *ops) retryOutbox(w http.ResponseWriter, r request) error {
	return o.withOutbox(r, func(s Service, id string) error {
		found, err := s.Outbox.Record(r.Context(), id)
		if err != nil {
			return err
		}
		if found.Unreadable != nil {
			return newProblem(http.StatusConflict, "It is no event and cannot be published: "+found.Unreadable.Why+
				". Discard it, or mend it where it is stored: then it is published by itself")
		}
		if err := s.Outbox.Retry(r.Context(), id, o.Now()); err != nil {
			return err
		}
		o.Log.InfoContext(r.Context(), "event will be tried again by an operator's wish", "service", s.Name, "event_id", id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

func (o *ops) discardOutbox(w http.ResponseWriter, r request) error {
	return o.withOutbox(r, func(s Service, id string) error {
		if err := s.Outbox.Discard(r.Context(), id); err != nil {
			return err
		}
		if s.Incidents != nil {
			s.Incidents.Resolve(incident.EventUnpublished, id, "an operator discarded the event: replicas miss its version")
		}
		o.Log.WarnContext(r.Context(), "event discarded unpublished by an operator", "service", s.Name, "event_id", id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// withOutbox calls do with each chosen service until one has the event.
func (o *ops) withOutbox(r request, do func(s Service, id string) error) error {
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	for _, s := range services {
		if err := do(s, r.id()); !errors.Is(err, outbox.ErrNotFound) {
			return err
		}
	}
	return newProblem(http.StatusNotFound, "No such event waits here: it was published, or discarded, or is another process's. lockstep outbox list shows what waits")
}
