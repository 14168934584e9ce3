package mongodb_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/event"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// asVictim makes this binary a process that stands between the writes of an
// edit and its commit until it is killed.
const asVictim = "MONGODB_TEST_VICTIM" // the URI and the ticket's id

const victimName = "lockstep-test"

func victim(ctx context.Context, what string) error {
	uri, id, _ := strings.Cut(what, " ")
	db, err := mongodb.OpenMonitored(ctx, uri, mongodb.Options{AppName: victimName}, beforeCommit(func() {
		fmt.Println("holding")
		select {}
	}))
	if err != nil {
		return err
	}
	was, err := db.Tickets().Ticket(ctx, id)
	if err != nil {
		return err
	}
	return db.Tickets().Commit(ctx, edit(was))
}

// beforeCommit returns a monitor that calls f before each commit is sent.
func beforeCommit(f func()) *driver.CommandMonitor {
	return &driver.CommandMonitor{Started: func(_ context.Context, e *driver.CommandStartedEvent) {
		if e.CommandName == "commitTransaction" {
			f()
		}
	}}
}

// killHolding starts a process that edits the ticket and kills it before its
// commit.
func killHolding(t *testing.T, uri, id string) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = []string{asVictim + "=" + uri + " " + id}
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if said != "holding\n" {
		t.Errorf("the process said %q, %v", said, err)
	}
	_ = child.Process.Kill() // it ends with the test in any case
	_ = child.Wait()         // was killed
}

// withoutHelp makes the server keep open transactions for longer than a test.
func withoutHelp(t *testing.T, set *mongotest.Set) {
	t.Helper()
	command := bson.D{{Key: "setParameter", Value: 1}, {Key: "transactionLifetimeLimitSeconds", Value: 600}}
	if err := set.Client().Database("admin").RunCommand(t.Context(), command).Err(); err != nil {
		t.Fatal(err)
	}
}

// Case 9.7. No right is needed beyond those of a service.
func TestWhatAKilledProcessHeldIsFreeAgain(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (set *mongotest.Set, uri string){
		"a server that asks nobody": func(t *testing.T) (*mongotest.Set, string) {
			set := mongotest.Start(t, 1)
			return set, set.URI("shop")
		},
		"a user with readWrite": func(t *testing.T) (*mongotest.Set, string) {
			set := mongotest.Secured(t)
			return set, set.UserURI(t, "shop")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, uri := start(t)
			withoutHelp(t, set)
			db := open(t, uri, mongodb.Options{AppName: victimName})
			made := create(t.Context(), t, db)
			killHolding(t, uri, made.ID)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // a request's bound
			defer cancel()
			began := time.Now()
			var writers sync.WaitGroup
			for range 4 {
				writers.Go(func() {
					if err := db.Tickets().Commit(ctx, edit(made)); err != nil && !errors.Is(err, ticket.ErrConflict) {
						t.Errorf("commit: %v", err)
					}
				})
			}
			writers.Wait()
			t.Logf("written after %v", time.Since(began).Round(10*time.Millisecond))
			wantStored(t, db, made.ID, 1)
		})
	}
}

// Case 9.7: a process that was frozen, not killed, goes on when its
// transaction was ended. It must not believe that it was committed.
func TestAProcessWhoseTransactionWasEndedDecidesAgain(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	withoutHelp(t, set)
	uri := set.URI("shop")
	db := open(t, uri, mongodb.Options{AppName: victimName})
	made := create(t.Context(), t, db)

	holding, thaw := make(chan struct{}), make(chan struct{})
	var once sync.Once
	frozen, err := mongodb.OpenMonitored(t.Context(), uri, mongodb.Options{AppName: victimName}, beforeCommit(func() {
		once.Do(func() { close(holding); <-thaw })
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := frozen.Close(); err != nil {
			t.Error(err)
		}
	})
	told := make(chan error)
	go func() { told <- frozen.Tickets().Commit(t.Context(), edit(made)) }()
	<-holding
	theirs := edit(made)
	theirs.Now.Title = "the other's"
	if err := db.Tickets().Commit(t.Context(), theirs); err != nil {
		t.Errorf("commit beside the frozen process: %v", err)
	}
	close(thaw)
	if err := <-told; !errors.Is(err, ticket.ErrConflict) {
		t.Errorf("commit of the frozen process: %v, want %v", err, ticket.ErrConflict)
	}
	got, err := db.Tickets().Ticket(t.Context(), made.ID)
	if err != nil || got.Title != "the other's" || got.Version != 1 {
		t.Errorf("the ticket is %+v, %v", got, err)
	}
}

// Case 9.7: the unique claim on a ticket is such a record too.
func TestATicketThatAKilledProcessReservedCanBeReserved(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	withoutHelp(t, set)
	uri := set.URI("shop")
	reserve := func(ticketID string) order.Change {
		o := order.Order{ID: objectid.New(), UserID: "bob", Status: order.Created, TicketID: ticketID, ExpiresAt: time.Now()}
		return order.Change{Now: o, Events: []event.Event{fact(o.ID, 0)}}
	}
	holding := make(chan struct{})
	var once sync.Once
	frozen, err := mongodb.OpenMonitored(t.Context(), uri, mongodb.Options{AppName: victimName}, beforeCommit(func() {
		once.Do(func() { close(holding); <-t.Context().Done() })
	}))
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, uri, mongodb.Options{AppName: victimName})
	wanted := objectid.New()
	told := make(chan error)
	ctx := context.WithoutCancel(t.Context())
	go func() { told <- frozen.Orders().Commit(ctx, reserve(wanted)) }()
	t.Cleanup(func() {
		if err := <-told; !errors.Is(err, order.ErrReserved) {
			t.Errorf("the other reservation: %v, want %v", err, order.ErrReserved)
		}
		if err := frozen.Close(); err != nil {
			t.Error(err)
		}
	})
	<-holding
	if err := db.Orders().Commit(t.Context(), reserve(wanted)); err != nil {
		t.Errorf("reservation: %v", err)
	}
}
