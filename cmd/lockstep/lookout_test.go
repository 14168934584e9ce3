package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/internal/objectid"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/sqlite"
)

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// get returns the body of an answer of the ops port.
func (r *running) get(path string) string {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, urlOf(r.opsAt)+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(body)
}

// sub runs a subtest that r reports to.
func (r *running) sub(cause incident.Cause, test func(t *testing.T)) {
	whole := r.t
	defer func() { r.t = whole }()
	whole.Run(string(cause), func(t *testing.T) {
		r.t = t
		test(t)
	})
}

// opens and closes wait for an incident.
func (r *running) opens(cause incident.Cause) {
	r.t.Helper()
	eventually(r.t, string(cause)+" is open", func() bool {
		return strings.Contains(r.get(incidentsPath+"?open=true"), string(cause))
	})
}

func (r *running) closes(cause incident.Cause) {
	r.t.Helper()
	eventually(r.t, string(cause)+" is over", func() bool {
		return !strings.Contains(r.get(incidentsPath+"?open=true"), string(cause))
	})
	if !strings.Contains(r.get(incidentsPath+"?open=false"), string(cause)) {
		r.t.Errorf("the record of %s is gone", cause)
	}
}

// Case 9.12: each cause opens an incident, and its end closes it. The next test
// has the one that takes longest.
func TestEveryCauseOpensAndEnds(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	orders := r.services[1]
	ctx := t.Context()
	r.sub(incident.BrokerLoss, func(t *testing.T) {
		orders.raiseLoss(listeners.Loss{Group: listeners.OrdersService, Channel: event.TicketUpdated, From: 3, To: 9, Cause: listeners.Truncated}, true)
		r.opens(incident.BrokerLoss)
		orders.mending.want()
		r.closes(incident.BrokerLoss)
	})
	r.sub(incident.DriftUnmended, func(t *testing.T) {
		extra := replica.Write{From: event.None, Row: replica.Row{ID: objectid.New(), Title: "of nobody", Price: 1}}
		if _, err := r.orderStore.replica.Write(ctx, []replica.Write{extra}); err != nil {
			t.Fatal(err)
		}
		orders.mending.want()
		r.opens(incident.DriftUnmended)
		if _, err := r.compare.Mend(ctx, replica.MendOptions{Cause: replica.ByOperator, TrustOwner: true}); err != nil {
			t.Fatal(err)
		}
		r.closes(incident.DriftUnmended)
	})
	r.sub(incident.MoneyWithoutGoods, func(t *testing.T) {
		// As a process leaves it that was killed before it raised the refund.
		p := order.Payment{OrderID: objectid.New(), PaymentID: "p", StripeID: "s", Reason: order.RefundCancelled, At: time.Now().UTC().Truncate(time.Millisecond)}
		if err := r.orderStore.orders.Commit(ctx, order.Change{Payment: &p}); err != nil {
			t.Fatal(err)
		}
		r.opens(incident.MoneyWithoutGoods)
		if listed := r.get(incidentsPath); !strings.Contains(listed, "lockstep refunds settle "+p.ID()) {
			t.Errorf("listed without what to do: %s", listed)
		}
		if err := r.orderStore.orders.Settle(ctx, p.ID(), time.Now()); err != nil {
			t.Fatal(err)
		}
		r.closes(incident.MoneyWithoutGoods)
	})
	r.sub(incident.WrongLock, func(t *testing.T) {
		o := order.Order{ID: objectid.New(), TicketID: objectid.New(), UserID: "u", Status: order.Cancelled, Version: 7, ExpiresAt: time.Now().UTC().Truncate(time.Millisecond)}
		if err := r.orderStore.orders.Commit(ctx, order.Change{Now: o}); err != nil {
			t.Fatal(err)
		}
		locked := replica.Row{ID: o.TicketID, Title: "locked", Price: 1, OrderID: o.ID}
		free := locked
		free.Version, free.OrderID = 1, ""
		if _, err := r.orderStore.replica.Write(ctx, []replica.Write{{From: event.None, Row: locked}}); err != nil {
			t.Fatal(err)
		}
		orders.raiseWrongLock(ctx, o)
		r.opens(incident.WrongLock)
		if _, err := r.orderStore.replica.Write(ctx, []replica.Write{{From: 0, Row: free}}); err != nil {
			t.Fatal(err)
		}
		r.closes(incident.WrongLock)
	})
	r.end()
}

// Cases 9.10 and 9.12: nine messages in quarantine with ready 200 and problems [].
func TestAQuarantineThatGrowsOpensAndEnds(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir(), "--quarantine-alert=2")
	for n := range 3 {
		q := listeners.Quarantined{ID: fmt.Sprint(n), Group: listeners.OrdersService, Subject: event.TicketCreated, Reason: listeners.Undecodable, At: time.Now()}
		if err := r.orderStore.quarantine.Put(t.Context(), []listeners.Quarantined{q}); err != nil {
			t.Fatal(err)
		}
	}
	r.opens(incident.QuarantineGrown)
	eventually(t, "readyz names it", func() bool {
		return strings.Contains(r.get("/readyz"), "3 messages are in quarantine")
	})
	var ready struct {
		Ready  bool
		Checks []struct{ Name, Status string }
	}
	if err := json.Unmarshal([]byte(r.get("/readyz")), &ready); err != nil {
		t.Fatal(err)
	}
	for _, c := range ready.Checks {
		if c.Name == "orders quarantine" && c.Status != "degraded" {
			t.Errorf("the check is %s, want degraded", c.Status)
		}
	}
	if !ready.Ready {
		t.Error("messages in quarantine took the process out of service")
	}
	if status := r.get("/ops/replica/status"); !strings.Contains(status, "3 messages are in quarantine and were not applied") {
		t.Errorf("the status names no problem: %s", status)
	}
	if _, err := r.orderStore.quarantine.Remove(t.Context(), []string{"0", "1"}); err != nil {
		t.Fatal(err)
	}
	r.closes(incident.QuarantineGrown)
	r.end()
}

// Case 9.12: a file that takes no more writes has no room for the incident either;
// the next start tells that it is over.
func TestTheNextStartTellsThatAStoppedFileIsMended(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	open := func() *sqlite.DB {
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := os.Remove(path + "-shm"); err != nil {
		t.Fatal(err)
	}
	if err := db.Ping(t.Context()); err == nil {
		t.Fatal("it goes on")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for start, want := range []int{1, 1} { // once
		db := open()
		s := &service{log: slog.New(slog.DiscardHandler), store: &store{outbox: db.Outbox(), ping: db.Ping, stopped: db.Stopped()}}
		var err error
		if s.incidents, err = incident.New(db.Incidents(), incident.Options{Service: "tickets", Log: s.log}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.incidents.Run(ctx) })
		if err := newLookout(s, 100).store(ctx); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is recorded and over", func() bool {
			all, err := s.incidents.Incidents(t.Context(), incident.Query{Cause: incident.StoreStopped, Limit: 9})
			return err == nil && len(all) == want && !all[0].Open() && strings.Contains(all[0].Summary, "store.db-shm was deleted")
		})
		stop()
		running.Wait()
		if err := db.Close(); err != nil {
			t.Errorf("start %d: %v", start, err)
		}
	}
}

// Case 9.12: a store that refuses writes for long is an incident, a short
// silence is none.
func TestAStoreThatStopsIsAnIncident(t *testing.T) {
	t.Parallel()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	refused := errors.New("the disk is full")
	s := &service{log: slog.New(slog.DiscardHandler), store: &store{outbox: db.Outbox(), ping: func(context.Context) error { return refused }}}
	if s.incidents, err = incident.New(db.Incidents(), incident.Options{Service: "tickets", Log: s.log}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.incidents.Run(ctx) }()
	l := newLookout(s, 100)
	open := func() int {
		all, err := s.incidents.Incidents(t.Context(), incident.Query{OpenOnly: true, Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	for range 3 {
		if err := l.store(ctx); !errors.Is(err, refused) {
			t.Fatalf("look: %v, want what the store says", err)
		}
	}
	if l.writes != nil || l.refusal.Load() != nil {
		t.Error("a short silence is taken for the end")
	}
	l.since = l.since.Add(-storeSilence)
	_ = l.store(ctx) // says what the store says, as before
	eventually(t, "the store's silence is an incident", func() bool { return open() == 1 })
	s.store.ping = db.Ping
	if err := l.store(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is over", func() bool { return open() == 0 })

	// Case 10.16, its kind: a store that answers and takes no writes is not ready.
	ready := l.storeWritten
	s.store.outbox = refusing{db.Outbox(), refused}
	_ = l.store(ctx)
	if err := ready(ctx); err != nil {
		t.Errorf("ready after a short silence: %v", err)
	}
	l.since = l.since.Add(-storeSilence)
	_ = l.store(ctx)
	if err := ready(ctx); !errors.Is(err, refused) || !strings.Contains(err.Error(), "has refused writes since") {
		t.Errorf("ready: %v, want since when writes are refused and why", err)
	}
	s.store.outbox = db.Outbox()
	if err := errors.Join(l.store(ctx), ready(ctx)); err != nil {
		t.Errorf("ready after the store takes writes again: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// refusing is a store that answers all but writes.
type refusing struct {
	eventStore
	why error
}

func (r refusing) Acquire(context.Context, string, string, time.Duration) (outbox.Lease, bool, error) {
	return outbox.Lease{}, false, r.why
}
