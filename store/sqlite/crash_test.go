package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"lockstep/event"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// childFile names, in the environment, the file that a process of this test
// binary is to write to until it is killed.
const childFile = "LOCKSTEP_SQLITE_CHILD"

const childWriters = 16

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		fmt.Fprintln(os.Stderr, writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled creates and edits tickets from many goroutines and prints
// the id and version of each change after its commit. It returns only if
// something fails.
func writeUntilKilled(path string) error {
	ctx := context.Background() // the top of a process of its own
	db, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	service := ticket.NewService(db.Tickets(), ticket.Options{})
	var out sync.Mutex
	acknowledge := func(t ticket.Ticket) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(t.ID, t.Version)
	}
	failed := make(chan error, childWriters)
	for range childWriters {
		go func() {
			for {
				t, err := service.Create(ctx, "owner", ticket.Draft{Title: "kept", Price: 1})
				if err != nil {
					failed <- err
					return
				}
				acknowledge(t)
				if t, err = service.Update(ctx, t.ID, "owner", ticket.Draft{Title: "kept", Price: 2}); err != nil {
					failed <- err
					return
				}
				acknowledge(t)
			}
		}()
	}
	return <-failed
}

func TestKilledProcessLosesNothingAndLeavesNoHalfCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	acknowledged := map[string]int64{}
	for round := range 6 {
		killAfter(t, path, 50+round*211, acknowledged)
		db := open(t, path)
		checkAcknowledged(t, db, acknowledged)
		if err := db.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}

// killAfter lets a child write and kills it in the middle, after it has
// acknowledged n changes. Meanwhile nobody else can open the file.
func killAfter(t *testing.T, path string, n int, acknowledged map[string]int64) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childFile+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); seen++ {
		var id string
		var version int64
		if _, err := fmt.Sscan(lines.Text(), &id, &version); err != nil {
			break // the line that the kill has cut
		}
		acknowledged[id] = max(version, acknowledged[id])
		if seen == n {
			if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, sqlite.ErrInUse) {
				t.Errorf("open beside another process: %v, want ErrInUse", err)
			}
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
}

// checkAcknowledged wants every acknowledged version stored, and for every
// stored version its event, and for every event its version.
func checkAcknowledged(t *testing.T, db *sqlite.DB, acknowledged map[string]int64) {
	t.Helper()
	stored, events := map[string]int64{}, 0
	for after := ""; ; {
		page, err := db.Tickets().Page(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range page {
			stored[found.ID] = found.Version
			records, err := db.Outbox().Key(t.Context(), found.ID, event.None, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) != int(found.Version)+1 {
				t.Errorf("ticket %s has version %d and %d events", found.ID, found.Version, len(records))
			}
			events += len(records)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	for id, version := range acknowledged {
		if got, ok := stored[id]; !ok || got < version {
			t.Errorf("ticket %s was acknowledged with version %d, stored %d (found: %t)", id, version, got, ok)
		}
	}
	stats, err := db.Outbox().Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Pending != events {
		t.Errorf("%d events are stored, %d belong to a ticket", stats.Pending, events)
	}
	t.Logf("%d tickets acknowledged, %d stored, %d events", len(acknowledged), len(stored), events)
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	first := open(t, path)
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, sqlite.ErrInUse) {
		t.Errorf("second open: %v, want ErrInUse", err)
	}
	if err := first.Ping(t.Context()); err != nil {
		t.Errorf("the first one after the second was refused: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
}
