package mongodb_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/outbox"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
	"lockstep/ticket"
)

// patience is how long something that must come may take.
const patience = 30 * time.Second

// Codes of answers: of a server that cannot reach the others, of a write that
// too few members confirmed, and to a stream that fell too far behind.
const (
	networkTimeout     = 89
	writeConcernFailed = 64
	historyLost        = 286
)

// create stores a new ticket with its event.
func create(ctx context.Context, t *testing.T, db *mongodb.DB) ticket.Ticket {
	t.Helper()
	made := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: "owner"}
	if err := db.Tickets().Commit(ctx, ticket.Change{Now: &made, Events: []event.Event{fact(made.ID, 0)}}); err != nil {
		t.Fatal(err)
	}
	return made
}

// edit returns the change to the next version of a ticket.
func edit(was ticket.Ticket) ticket.Change {
	now := was
	now.Version++
	return ticket.Change{Was: &was, Now: &now, Events: []event.Event{fact(now.ID, now.Version)}}
}

// wantStored checks a ticket's version and that each version has one event.
func wantStored(t *testing.T, db *mongodb.DB, id string, version int64) {
	t.Helper()
	got, err := db.Tickets().Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	records, err := db.Outbox().Key(t.Context(), id, event.None, 100)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != version || len(records) != int(version)+1 {
		t.Errorf("ticket is at version %d with %d events, want version %d with one event each", got.Version, len(records), version)
	}
}

func faulty(t *testing.T) (*mongotest.Set, *mongodb.DB) {
	t.Helper()
	set := mongotest.Shared(t)
	db := open(t, set.URI(set.Database(t)), mongodb.Options{AppName: t.Name()})
	mongodb.SetAnswerTimeout(db, time.Second)
	return set, db
}

// The answers to a commit that the server gave, or would have given, are lost
// in every way. Whatever the caller is told must be true.
func TestALostAnswerIsFound(t *testing.T) {
	commit := []string{"commitTransaction"}
	for name, lose := range map[string]func(t *testing.T, set *mongotest.Set){
		"the request is lost, and the next": func(t *testing.T, set *mongotest.Set) { set.Drop(t, t.Name(), 3, commit...) },
		"the request fails, and the next":   func(t *testing.T, set *mongotest.Set) { set.Fail(t, t.Name(), networkTimeout, 3, commit...) },
		"committed, and no answer for long": func(t *testing.T, set *mongotest.Set) { set.Doubt(t, t.Name(), writeConcernFailed, 3, commit...) },
		"committed, and never an answer":    func(t *testing.T, set *mongotest.Set) { set.Doubt(t, t.Name(), writeConcernFailed, -1, commit...) },
	} {
		t.Run(name, func(t *testing.T) {
			set, db := faulty(t)
			made := create(t.Context(), t, db)
			lose(t, set)
			if err := db.Tickets().Commit(t.Context(), edit(made)); err != nil {
				t.Errorf("commit: %v", err)
			}
			wantStored(t, db, made.ID, 1)
		})
	}
}

func TestAnAnswerThatCannotBeFoundIsUnknown(t *testing.T) {
	set, db := faulty(t)
	made := create(t.Context(), t, db)
	set.Fail(t, t.Name(), networkTimeout, -1, "commitTransaction")
	if err := db.Tickets().Commit(t.Context(), edit(made)); !errors.Is(err, ticket.ErrUnknown) {
		t.Errorf("commit: %v, want %v", err, ticket.ErrUnknown)
	}
	wantStored(t, db, made.ID, 0)
	// The server would keep the transaction open for a minute.
	if err := set.Client().Database("admin").RunCommand(t.Context(), bson.D{{Key: "killAllSessions", Value: bson.A{}}}).Err(); err != nil {
		t.Error(err)
	}
}

func TestATransactionThatFailsBeforeItsCommitIsTriedAgain(t *testing.T) {
	for _, command := range []string{"update", "insert"} {
		t.Run(command, func(t *testing.T) {
			set, db := faulty(t)
			made := create(t.Context(), t, db)
			set.Drop(t, t.Name(), 2, command)
			if err := db.Tickets().Commit(t.Context(), edit(made)); err != nil {
				t.Errorf("commit: %v", err)
			}
			wantStored(t, db, made.ID, 1)
		})
	}
}

// Cases 10.21 and 11.11: a request is answered in its own time, also when its
// transaction is under way in a server that does not answer.
func TestACommitOnAFrozenServerIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	db := open(t, set.URI("shop"), mongodb.Options{})
	made := create(t.Context(), t, db)
	set.Members[0].Freeze(t)
	defer set.Members[0].Thaw(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	err := db.Tickets().Commit(ctx, edit(made))
	if !errors.Is(err, ticket.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("commit: %v, want %v and the deadline", err, ticket.ErrUnknown)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the answer took %v, want a second", took)
	}
}

// Case 11.11: a process stops although the server does not answer what it is
// asked, or never says what became of a commit.
func TestCloseDoesNotWaitForASilentServer(t *testing.T) {
	for name, silence := range map[string]func(t *testing.T, set *mongotest.Set){
		"frozen": func(t *testing.T, set *mongotest.Set) { set.Members[0].Freeze(t) },
		"no answer to a commit": func(t *testing.T, set *mongotest.Set) {
			set.Fail(t, t.Name(), networkTimeout, -1, "commitTransaction")
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := mongotest.Start(t, 1)
			db, err := mongodb.Open(t.Context(), set.URI("shop"), mongodb.Options{AppName: t.Name()})
			if err != nil {
				t.Fatal(err)
			}
			made := create(t.Context(), t, db)
			silence(t, set)
			defer set.Members[0].Thaw(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := db.Tickets().Commit(ctx, edit(made)); !errors.Is(err, ticket.ErrUnknown) {
				t.Errorf("commit: %v, want %v: it is under way", err, ticket.ErrUnknown)
			}
			began := time.Now()
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("Close took %v, want two seconds", took)
			}
		})
	}
}

// Case 11.10: the age of a stream that died goes on, also after its tail was
// closed, until the server answers and none is wanted.
func TestTheAgeOfADeadStreamGrows(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	reg := prometheus.NewRegistry()
	db := open(t, set.URI("shop"), mongodb.Options{Registerer: reg})
	age := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "lockstep_mongodb_stream_tick_age_seconds" {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatal("no age")
		return 0
	}
	if a := age(); !math.IsNaN(a) {
		t.Errorf("age %v without a stream, want NaN", a)
	}
	tail, err := db.Outbox().Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spawn.Until(t, "the stream has answered", func() bool { return age() < 1 })
	set.Members[0].Freeze(t)
	spawn.Until(t, "the age grows", func() bool { return age() > 3 })
	if err := tail.Close(); err != nil {
		t.Log(err) // the server is silent
	}
	if a := age(); !(a > 3) {
		t.Errorf("age %v once the tail was closed, want it to go on", a)
	}
	set.Members[0].Thaw(t)
	spawn.Until(t, "no stream is dead", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return db.Ping(ctx) == nil && math.IsNaN(age())
	})
}

// TestAForeignTransactionHoldsUpOnlyItsOwnTicket leaves a transaction of
// another process open, as one that was frozen in the middle would.
func TestAForeignTransactionHoldsUpOnlyItsOwnTicket(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	held, other := create(t.Context(), t, db), create(t.Context(), t, db)
	letGo := hold(t, set.Client().Database(name).Collection("tickets"), held.ID)

	var waiter sync.WaitGroup
	waiter.Go(func() {
		if err := db.Tickets().Commit(t.Context(), edit(held)); err != nil {
			t.Errorf("the ticket that was held: %v", err)
		}
	})
	for version := range int64(50) {
		other.Version, other.Revision = version, version
		began := time.Now()
		if err := db.Tickets().Commit(t.Context(), edit(other)); err != nil {
			t.Fatalf("the other ticket: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("the other ticket waited %v", took)
		}
	}
	letGo()
	waiter.Wait()
	wantStored(t, db, held.ID, 1)
}

// hold touches a ticket in a transaction and leaves it open until the returned
// function is called.
func hold(t *testing.T, tickets *mongo.Collection, id string) (letGo func()) {
	t.Helper()
	session, err := tickets.Database().Client().StartSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.StartTransaction(); err != nil {
		t.Fatal(err)
	}
	oid, err := bson.ObjectIDFromHex(id)
	if err != nil {
		t.Fatal(err)
	}
	ctx := mongo.NewSessionContext(t.Context(), session)
	r, err := tickets.UpdateOne(ctx, bson.D{{Key: "_id", Value: oid}}, bson.D{{Key: "$set", Value: bson.D{{Key: "title", Value: "held"}}}})
	if err != nil || r.MatchedCount != 1 {
		t.Fatal(r, err)
	}
	return func() { session.EndSession(ctx) }
}

// The ways in which a change stream ends. A new tail must then have what came
// meanwhile.
func TestALostStreamIsReported(t *testing.T) {
	for name, breakIt := range map[string]func(t *testing.T, set *mongotest.Set, data *mongo.Database){
		"history lost": func(t *testing.T, set *mongotest.Set, _ *mongo.Database) {
			set.Fail(t, t.Name(), historyLost, 1, "getMore")
		},
		"collection dropped": func(t *testing.T, _ *mongotest.Set, data *mongo.Database) {
			if err := data.Collection("events").Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"collection renamed": func(t *testing.T, set *mongotest.Set, data *mongo.Database) {
			rename := bson.D{{Key: "renameCollection", Value: data.Name() + ".events"}, {Key: "to", Value: data.Name() + ".renamed"}}
			if err := set.Client().Database("admin").RunCommand(t.Context(), rename).Err(); err != nil {
				t.Fatal(err)
			}
		},
		"database dropped": func(t *testing.T, _ *mongotest.Set, data *mongo.Database) {
			if err := data.Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := mongotest.Shared(t)
			database := set.Database(t)
			db := open(t, set.URI(database), mongodb.Options{AppName: t.Name()})
			tail := openTail(t, db)
			breakIt(t, set, set.Client().Database(database))
			awaitLost(t, tail)

			made := create(t.Context(), t, db)
			again := openTail(t, db)
			page, err := again.Scan(t.Context(), 10)
			if err != nil || len(page) != 1 || page[0].Key != made.ID {
				t.Errorf("the new tail's scan has %v, error %v; want the event that was committed meanwhile", page, err)
			}
		})
	}
}

func openTail(t *testing.T, db *mongodb.DB) outbox.Tail {
	t.Helper()
	tail, err := db.Outbox().Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tail.Close(); err != nil {
			t.Error(err)
		}
	})
	return tail
}

func awaitLost(t *testing.T, tail outbox.Tail) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := tail.Next(ctx)
		if errors.Is(err, outbox.ErrTailLost) {
			t.Log(err)
			return
		}
		if err != nil {
			t.Fatalf("next: %v, want %v", err, outbox.ErrTailLost)
		}
	}
}
