package bench

import (
	"testing"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// BenchmarkLatencyMongoDB is BenchmarkLatency on a set of one member. The
// relay hears of a commit from its own process and from the change stream, or,
// as the relay of another process, from the change stream alone.
func BenchmarkLatencyMongoDB(b *testing.B) {
	set := mongotest.Start(b, 1)
	b.Run("wake=commit", func(b *testing.B) { latencyOnMongoDB(b, set, false) })
	b.Run("wake=stream", func(b *testing.B) { latencyOnMongoDB(b, set, true) })
}

func latencyOnMongoDB(b *testing.B, set *mongotest.Set, apart bool) {
	open := func(name string) *mongodb.DB {
		db, err := mongodb.Open(b.Context(), set.URI(name), mongodb.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { db.Close() })
		return db
	}
	canonical := set.Database(b)
	writing := open(canonical)
	relaying := writing
	if apart {
		relaying = open(canonical)
	}
	copies := open(set.Database(b))
	latency(b, path{
		tickets: writing.Tickets(), outbox: relaying.Outbox(), leases: relaying.Outbox(),
		replica: copies.Replica(), quarantine: copies.Quarantine(),
	})
}
