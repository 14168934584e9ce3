package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"lockstep/event"
	"lockstep/listeners"
)

const (
	// bulkPage is how many messages of the quarantine one request discards or
	// retries at most.
	bulkPage = 512

	// bulkRetries is how many of them are applied side by side, so that they
	// share transactions.
	bulkRetries = 32

	// bulkFor is how long one request begins to apply others: a store that is
	// busy, or slow, gets fewer in one.
	bulkFor = 4 * time.Second
)

// readFilter reads ?reason=, subject=, key= and olderThan=, a duration, and
// whether one of them was given. A criterion without a value is refused: it
// would choose all.
func (o *ops) readFilter(r request) (f listeners.Filter, given bool, err error) {
	for name, set := range map[string]func(string) error{
		"reason": func(s string) error {
			f.Reason = listeners.Reason(s)
			return f.Reason.Check()
		},
		"subject": func(s string) error { f.Subject = event.Subject(s); return nil },
		"key":     func(s string) error { f.Key = s; return nil },
		"olderThan": func(s string) error {
			age, err := time.ParseDuration(s)
			if err == nil && age <= 0 {
				err = fmt.Errorf("%s is not above 0", age)
			}
			f.Before = o.Now().Add(-age)
			return err
		},
	} {
		values, ok := r.URL.Query()[name]
		if !ok {
			continue
		}
		given = true
		if len(values) != 1 || values[0] == "" {
			return f, given, newProblem(http.StatusBadRequest, name+" must be given once and not be empty")
		}
		if err := set(values[0]); err != nil {
			return f, given, newProblem(http.StatusBadRequest, name+": "+err.Error())
		}
	}
	return f, given, nil
}

// readChoice reads what is to be discarded or retried. Nothing is guessed:
// a parameter that is not known may be a criterion in another spelling.
func (o *ops) readChoice(r request) (f listeners.Filter, p page, err error) {
	query := r.URL.Query()
	for name := range query {
		switch name {
		case "service", "reason", "subject", "key", "olderThan", "all", "after":
		default:
			return f, p, newProblem(http.StatusBadRequest, name+" is not known here: choose by reason, subject, key, olderThan and service, or all=true")
		}
	}
	f, given, err := o.readFilter(r)
	if err != nil {
		return f, p, err
	}
	if all := query.Get("all") == "true"; all == given || query.Has("all") != all {
		return f, p, newProblem(http.StatusBadRequest, "choose messages by reason, subject, key or olderThan, or all of them by all=true")
	}
	return f, page{after: query.Get("after"), limit: bulkPage, until: time.Now().Add(lookFor)}, nil
}

// quarantined is a message with the service that set it aside.
type quarantined struct {
	listeners.Quarantined
	service Service
}

// setAside returns a page of what the chosen services have in quarantine, by
// id, and the id to ask for more after; "" if there is no more.
func (o *ops) setAside(r request, f listeners.Filter, p page) ([]quarantined, string, error) {
	services, err := o.chosen(r)
	if err != nil {
		return nil, "", err
	}
	id := func(q quarantined) string { return q.ID }
	parts := make([]part[quarantined], len(services))
	for i, s := range services {
		parts[i], err = fill(p, func(p page) (part[quarantined], error) { return s.quarantined(r.Context(), f, p) })
		if err != nil {
			return nil, "", fmt.Errorf("list quarantine of %s: %w", s.Name, err)
		}
	}
	messages, next := merge(parts, p, id, cmp.Compare)
	return messages, next, nil
}

// quarantined returns one page of what the service has in quarantine.
func (s Service) quarantined(ctx context.Context, f listeners.Filter, p page) (part[quarantined], error) {
	messages, next, err := s.Quarantine.List(ctx, f, p.after, p.limit)
	found := make([]quarantined, len(messages))
	for i, q := range messages {
		found[i] = quarantined{q, s}
	}
	return part[quarantined]{found, next}, err
}

// discardChosen answers POST /ops/replica/quarantine/discard: it deletes one
// page of what the query chooses and says where to go on.
func (o *ops) discardChosen(w http.ResponseWriter, r request) error {
	f, p, err := o.readChoice(r)
	if err != nil {
		return err
	}
	messages, next, err := o.setAside(r, f, p)
	if err != nil {
		return err
	}
	byService := map[string][]listeners.Quarantined{}
	for _, m := range messages {
		byService[m.service.Name] = append(byService[m.service.Name], m.Quarantined)
	}
	sum := 0
	for _, s := range o.Services {
		n, discardErr := s.discard(r.Context(), byService[s.Name])
		if sum += n; discardErr != nil {
			err = discardErr
			break
		}
	}
	if sum > 0 {
		o.audit(r, slog.LevelWarn, "quarantined messages discarded by an operator", "discarded", sum)
	}
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, struct {
		Discarded int    `json:"discarded"`
		Next      string `json:"next,omitempty"`
	}{sum, next})
}

// retried is what became of a page of messages.
type retried struct {
	Retried int    `json:"retried"`       // applied, and removed from quarantine
	Left    int    `json:"left"`          // could not be applied
	Why     string `json:"why,omitempty"` // what stands against one of those
	Next    string `json:"next,omitempty"`
}

// retryChosen answers POST /ops/replica/quarantine/retry: it applies one page
// of what the query chooses and says where to go on.
func (o *ops) retryChosen(w http.ResponseWriter, r request) error {
	f, p, err := o.readChoice(r)
	if err != nil {
		return err
	}
	messages, next, err := o.setAside(r, f, p)
	if err != nil {
		return err
	}
	sum := retryAll(r.Context(), messages)
	if sum.Next = next; sum.Retried+sum.Left < len(messages) {
		sum.Next = messages[sum.Retried+sum.Left-1].ID
	}
	if len(messages) > 0 {
		o.audit(r, slog.LevelInfo, "quarantined messages tried again for an operator", "applied", sum.Retried, "left", sum.Left, "why", sum.Why)
	}
	if err := r.Context().Err(); err != nil {
		return err
	}
	return respond(w, http.StatusOK, sum)
}

// retryAll applies messages from the first one on, as many as it begins in
// bulkFor.
func retryAll(ctx context.Context, messages []quarantined) (sum retried) {
	began := time.Now()
	for some := range slices.Chunk(messages, bulkRetries) {
		var mu sync.Mutex
		var tries sync.WaitGroup
		for _, m := range some {
			tries.Go(func() {
				err := m.service.retry(ctx, m.ID)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					sum.Retried++
				} else {
					sum.Left++
					sum.Why = err.Error()
				}
			})
		}
		tries.Wait()
		if ctx.Err() != nil || time.Since(began) > bulkFor {
			break
		}
	}
	return sum
}

// audit logs what an operator did with what the query chose.
func (o *ops) audit(r request, level slog.Level, what string, attributes ...any) {
	chosen := url.Values{}
	for name, values := range r.URL.Query() {
		if name != "after" {
			chosen[name] = values
		}
	}
	o.Log.Log(r.Context(), level, what, append(attributes, "chosen", strings.ReplaceAll(chosen.Encode(), "&", " "))...)
}
