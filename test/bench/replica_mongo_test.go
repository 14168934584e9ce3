package bench

import (
	"fmt"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"lockstep/event"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// BenchmarkReplicaMongoDB measures how fast a projector applies batches of
// events to a replica on a set of one member: versions remembered or read,
// decided in memory, written with their conditions. ratio compares that with
// the bulk writes alone, of the same rows in the same batches, in turns.
func BenchmarkReplicaMongoDB(b *testing.B) {
	set := mongotest.Start(b, 1)
	for _, size := range []int{1, 50, 500, 2000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) { replicateOnMongoDB(b, set, size) })
	}
}

// replicaRounds is how many batches each side writes before the other does.
const replicaRounds = 10

func replicateOnMongoDB(b *testing.B, set *mongotest.Set, size int) {
	name := set.Database(b)
	db, err := mongodb.Open(b.Context(), set.URI(name), mongodb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	o := options.Collection().SetWriteConcern(writeconcern.Majority())
	bare := set.Client().Database(name).Collection("bare", o)
	p := replica.NewProjector(db.Replica())
	for b.Loop() {
		var ratios, ours []float64
		version := int64(0)
		for began := time.Now(); time.Since(began) < 3*time.Second; {
			raw, own := time.Duration(0), time.Duration(0)
			for range replicaRounds {
				changes := batchOf(size, version)
				raw += timed(b, func() error { return writeBare(b, bare, changes) })
				own += timed(b, func() error { return applyAll(b, p, changes) })
				version++
			}
			ratios = append(ratios, raw.Seconds()/own.Seconds())
			ours = append(ours, float64(replicaRounds*size)/own.Seconds())
		}
		b.ReportMetric(median(ratios), "ratio")
		b.ReportMetric(median(ours), "events/s")
		b.StopTimer()
		for _, c := range []string{"bare", "replica"} {
			if _, err := set.Client().Database(name).Collection(c).DeleteMany(b.Context(), bson.D{}); err != nil {
				b.Fatal(err)
			}
		}
		p = replica.NewProjector(db.Replica())
		b.StartTimer()
	}
	b.ReportMetric(0, "ns/op") // of a run whose length is fixed; says nothing
}

// batchOf returns the given version of so many tickets.
func batchOf(size int, version int64) []event.TicketChange {
	changes := make([]event.TicketChange, size)
	for i := range changes {
		changes[i] = event.TicketChange{
			Ticket:      event.Ticket{ID: fmt.Sprintf("%024x", i), Title: "a chair", Price: 12.5, Version: version},
			Predecessor: version - 1,
		}
	}
	return changes
}

func timed(b *testing.B, do func() error) time.Duration {
	b.Helper()
	began := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}

func applyAll(b *testing.B, p *replica.Projector, changes []event.TicketChange) error {
	outcomes, err := p.Apply(b.Context(), changes)
	for _, o := range outcomes {
		if o != event.Applied {
			return fmt.Errorf("an event in order is %v", o)
		}
	}
	return err
}

// writeBare writes the rows of the changes as the driver does it alone.
func writeBare(b *testing.B, c *mongo.Collection, changes []event.TicketChange) error {
	models := make([]mongo.WriteModel, len(changes))
	for i, t := range changes {
		id, err := bson.ObjectIDFromHex(t.ID)
		if err != nil {
			return err
		}
		row := bson.D{{Key: "version", Value: t.Version}, {Key: "title", Value: t.Title}, {Key: "price", Value: t.Price}}
		m := mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: id}, {Key: "version", Value: t.Predecessor}})
		if t.Version == event.First {
			m = mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: id}}).SetUpsert(true)
		}
		models[i] = m.SetUpdate(bson.D{{Key: "$set", Value: row}})
	}
	_, err := c.BulkWrite(b.Context(), models, options.BulkWrite().SetOrdered(false))
	return err
}
