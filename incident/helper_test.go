package incident_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"lockstep/incident"
	"lockstep/store/mongodb"
	"lockstep/store/sqlite"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

func TestMain(m *testing.M) {
	spawn.Overlap(6)
	os.Exit(mongotest.Run(m))
}

// onEachEngine runs a test on a fresh store of every engine.
func onEachEngine(t *testing.T, test func(t *testing.T, s incident.Store)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		test(t, db.Incidents())
	})
	t.Run("mongodb", func(t *testing.T) {
		t.Parallel()
		set := mongotest.Shared(t)
		db, err := mongodb.Open(t.Context(), set.URI(set.Database(t)), mongodb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		test(t, db.Incidents())
	})
}

// run starts a log until the test ends, or stop is called.
func run(t *testing.T, s incident.Store, n incident.Notifier) (l *incident.Log, stop func()) {
	t.Helper()
	l, err := incident.New(s, incident.Options{Service: "tickets", Notifier: n, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return l, stop
}

// post is a notification as a receiver sees it.
type post struct {
	header    http.Header
	raw       []byte
	Text      string
	Incidents []struct{ ID, Status, Cause, Service, Subject, Summary, Ending, OpenedAt, ClosedAt string }
}

// receiver is a webhook's other end.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc // what it answers; nil: 200
	all    []post
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		raw, err := io.ReadAll(q.Body)
		p := post{header: q.Header, raw: raw}
		if err := errors.Join(err, json.Unmarshal(raw, &p)); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.all = append(r.all, p)
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, q)
		}
	}))
	t.Cleanup(func() { r.CloseClientConnections(); r.Close() })
	return r
}

func (r *receiver) answers(h http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = h
}

func (r *receiver) posts() []post {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// statuses returns what was told, in order.
func (r *receiver) statuses() []string {
	var all []string
	for _, p := range r.posts() {
		for _, i := range p.Incidents {
			all = append(all, i.Status)
		}
	}
	return all
}

func (r *receiver) webhook(t *testing.T) *incident.Webhook {
	t.Helper()
	w, err := incident.NewWebhook(r.URL+"/hook?token=secret", "the key")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// listed returns all incidents, the newest first.
func listed(t *testing.T, s incident.Store) []incident.Incident {
	t.Helper()
	all, err := s.List(context.WithoutCancel(t.Context()), incident.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// shelf is a store in memory that can refuse, or hang.
type shelf struct {
	mu   sync.Mutex
	all  map[string]incident.Incident
	sick func(context.Context) error // what every call returns; nil: it works
}

func newShelf() *shelf { return &shelf{all: map[string]incident.Incident{}} }

func (s *shelf) set(sick func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick = sick
}

// filter returns what keep keeps, the newest first.
func (s *shelf) filter(ctx context.Context, limit int, keep func(incident.Incident) bool) ([]incident.Incident, error) {
	s.mu.Lock()
	sick := s.sick
	s.mu.Unlock()
	if sick != nil {
		if err := sick(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []incident.Incident
	for _, i := range s.all {
		if keep(i) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b incident.Incident) int { return cmp.Compare(b.ID, a.ID) })
	return found[:min(limit, len(found))], nil
}

func (s *shelf) Incident(ctx context.Context, id string) (incident.Incident, error) {
	found, err := s.filter(ctx, 1, func(i incident.Incident) bool { return i.ID == id })
	if err == nil && len(found) == 0 {
		err = incident.ErrNotFound
	}
	if err != nil {
		return incident.Incident{}, err
	}
	return found[0], nil
}

func (s *shelf) List(ctx context.Context, q incident.Query) ([]incident.Incident, error) {
	return s.filter(ctx, q.Limit, func(i incident.Incident) bool {
		return (q.Key == "" || i.Key() == q.Key) && (!q.OpenOnly || i.Open())
	})
}

func (s *shelf) Due(ctx context.Context, now, latest time.Time, limit int) ([]incident.Incident, error) {
	return s.filter(ctx, limit, func(i incident.Incident) bool {
		return !i.NotifyAt.IsZero() && (!i.NotifyAt.After(now) || i.NotifyAt.After(latest))
	})
}

func (s *shelf) Write(ctx context.Context, i incident.Incident) error {
	if _, err := s.filter(ctx, 0, func(incident.Incident) bool { return false }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[i.ID].Revision != i.Revision {
		return incident.ErrConflict
	}
	i.Revision++
	s.all[i.ID] = i
	return nil
}

func (s *shelf) Prune(context.Context, time.Time, int) error { return nil }

func (s *shelf) Counts(context.Context) (map[incident.Cause]int, error) {
	return map[incident.Cause]int{}, nil
}
