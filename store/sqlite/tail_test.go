package sqlite

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/outbox"
	"lockstep/ticket"
)

// TestCommitWakesTheTailAtOnce looks at the time that a waiting tail needs:
// without the bell it would hear of a commit at its next idle tick.
func TestCommitWakesTheTailAtOnce(t *testing.T) {
	t.Parallel()
	const commits = 10
	db := openFile(t, filepath.Join(t.TempDir(), "store.db"))
	tail, err := db.Outbox().Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan outbox.Wake)
	ctx, cancel := context.WithCancel(t.Context())
	var listening sync.WaitGroup
	defer listening.Wait()
	defer cancel()
	listening.Go(func() {
		for {
			wake, err := tail.Next(ctx)
			if err != nil {
				return // the test is over
			}
			if len(wake.Records) > 0 {
				heard <- wake
			}
		}
	})
	start := time.Now()
	for version := range int64(commits) {
		e := event.Event{Key: "key", Version: version, Subject: event.TicketUpdated}
		if err := db.Tickets().Commit(t.Context(), ticket.Change{Events: []event.Event{e}}); err != nil {
			t.Fatal(err)
		}
		var wake outbox.Wake
		select {
		case wake = <-heard:
		case <-time.After(commits * tailIdle):
			t.Fatalf("the tail never reports version %d", version)
		}
		if wake.Source != outbox.FromCommit || !wake.InOrder || wake.Records[0].Version != version {
			t.Errorf("wake is %+v, want version %d, in order, from a commit", wake, version)
		}
	}
	if took := time.Since(start); took > commits*tailIdle/2 {
		t.Errorf("%d commits took %v to be heard of: the tail is not woken", commits, took)
	}
}

// A file that is locked, or has lost the table, lets nobody prepare a statement.
// Case 10.16.
func TestATailThatCannotBeOpenedIsAnError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	db := openFile(t, path)
	foreign(t, path, "DROP TABLE events")
	if tail, err := db.Outbox().Tail(t.Context()); err == nil {
		t.Errorf("a tail of no table: %v", tail)
	}
}
