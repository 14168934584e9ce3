package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

// BenchmarkCommitMongoDB measures durable commits of a ticket with its event
// on a replica set of one member. Each case runs, in turns on the same server,
// the store, a transaction for each change, and an update of the ticket alone
// without any event; the ratios are medians over the turns.
func BenchmarkCommitMongoDB(b *testing.B) {
	set := mongotest.Start(b, 1)
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { commitOnMongoDB(b, set, writers) })
	}
}

const (
	mongoRounds = 7
	mongoTime   = 500 * time.Millisecond // for each side of a round
)

func commitOnMongoDB(b *testing.B, set *mongotest.Set, writers int) {
	store, single, plain := openMongo(b, set, writers), openMongo(b, set, writers), openMongo(b, set, writers)
	for b.Loop() {
		var toSingle, toPlain, ours, singles, plains []float64
		for range mongoRounds {
			one := perSecond(b, writers, mongoTime, single.transaction)
			bare := perSecond(b, writers, mongoTime, plain.update)
			own := perSecond(b, writers, mongoTime, store.commit)
			toSingle, toPlain = append(toSingle, own/one), append(toPlain, own/bare)
			ours, singles, plains = append(ours, own), append(singles, one), append(plains, bare)
		}
		b.ReportMetric(median(toSingle), "ratio")
		b.ReportMetric(median(toPlain), "plain_ratio")
		b.ReportMetric(median(ours), "commits/s")
		b.ReportMetric(median(singles), "single_commits/s")
		b.ReportMetric(median(plains), "plain_updates/s")
	}
	b.ReportMetric(0, "ns/op") // of a run whose length is fixed; says nothing
}

// mongoSide is a database with a few tickets for each writer.
type mongoSide struct {
	db      *mongodb.DB
	data    *mongo.Database
	tickets [][]ticket.Ticket
}

func openMongo(b *testing.B, set *mongotest.Set, writers int) *mongoSide {
	b.Helper()
	name := set.Database(b)
	db, err := mongodb.Open(b.Context(), set.URI(name), mongodb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	o := options.Client().ApplyURI(set.URI(name)).SetWriteConcern(writeconcern.Majority()).SetMaxPoolSize(uint64(writers))
	client, err := mongo.Connect(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Disconnect(context.WithoutCancel(b.Context())) })
	s := &mongoSide{db: db, data: client.Database(name), tickets: make([][]ticket.Ticket, writers)}
	for w := range s.tickets {
		for range commitKeys {
			t := ticket.Ticket{ID: objectid.New(), Title: "a chair", Price: 12.5, UserID: objectid.New()}
			if err := db.Tickets().Commit(b.Context(), ticket.Change{Now: &t}); err != nil {
				b.Fatal(err)
			}
			s.tickets[w] = append(s.tickets[w], t)
		}
	}
	return s
}

// next returns the ticket that writer w changes, as it was and as it becomes.
func (s *mongoSide) next(w, n int) (was *ticket.Ticket, now ticket.Ticket, e event.Event, err error) {
	was = &s.tickets[w][n%commitKeys]
	now = *was
	now.Version++
	e, err = ticketUpdated(now)
	return was, now, e, err
}

func (s *mongoSide) commit(ctx context.Context, w, n int) error {
	was, now, e, err := s.next(w, n)
	if err != nil {
		return err
	}
	if err := s.db.Tickets().Commit(ctx, ticket.Change{Was: was, Now: &now, Events: []event.Event{e}}); err != nil {
		return err
	}
	now.Revision++
	*was = now
	return nil
}

// transaction makes the same change in a transaction of its own, as a service
// without groups would.
func (s *mongoSide) transaction(ctx context.Context, w, n int) error {
	was, now, e, err := s.next(w, n)
	if err != nil {
		return err
	}
	session, err := s.data.Client().StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(ctx)
	_, err = session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		if err := s.write(ctx, was, now); err != nil {
			return nil, err
		}
		_, err := s.data.Collection("events").InsertOne(ctx, bson.D{
			{Key: "_id", Value: e.ID()}, {Key: "key", Value: e.Key}, {Key: "version", Value: e.Version},
			{Key: "subject", Value: e.Subject}, {Key: "payload", Value: string(e.Payload)}, {Key: "occurredAt", Value: e.OccurredAt},
			{Key: "isLocked", Value: true}, {Key: "lockedAt", Value: e.OccurredAt},
			{Key: "failureCount", Value: 0}, {Key: "failures", Value: bson.A{}},
		})
		return nil, err
	}, options.Transaction().SetReadPreference(readpref.Primary()))
	if err == nil {
		*was = now
	}
	return err
}

// update changes the ticket alone.
func (s *mongoSide) update(ctx context.Context, w, n int) error {
	was, now, _, err := s.next(w, n)
	if err != nil {
		return err
	}
	if err := s.write(ctx, was, now); err != nil {
		return err
	}
	*was = now
	return nil
}

func (s *mongoSide) write(ctx context.Context, was *ticket.Ticket, now ticket.Ticket) error {
	id, err := bson.ObjectIDFromHex(now.ID)
	if err != nil {
		return err
	}
	r, err := s.data.Collection("tickets").UpdateOne(ctx,
		bson.D{{Key: "_id", Value: id}, {Key: "version", Value: was.Version}},
		bson.D{{Key: "$set", Value: bson.D{
			{Key: "title", Value: now.Title}, {Key: "price", Value: now.Price}, {Key: "userId", Value: now.UserID}, {Key: "version", Value: now.Version},
		}}, {Key: "$inc", Value: bson.D{{Key: "rev", Value: 1}}}})
	if err == nil && r.MatchedCount != 1 {
		err = fmt.Errorf("ticket %s is not at version %d", now.ID, was.Version)
	}
	return err
}
