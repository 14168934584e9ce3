package bench

import (
	"testing"

	"lockstep/store/mongodb"
	"lockstep/test/brokertest"
	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// BenchmarkLatencyMongoDB is BenchmarkLatency on a set of one member. The
// relay hears of a commit from its own process and from the change stream, or,
// in a tickets service that is another process, from the change stream alone.
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
	name := set.Database(b)
	writing, copies := open(name), open(set.Database(b))
	on := path{
		tickets: writing.Tickets(), relay: relayHere(writing.Outbox(), writing.Outbox()),
		replica: copies.Replica(), quarantine: copies.Quarantine(),
	}
	if apart {
		on.relay = relayApart(set.URI(name))
	}
	latency(b, on)
}

// relayApart runs the tickets service on a database as a process of its own.
func relayApart(uri string) func(*testing.B, *brokertest.Broker) {
	return func(b *testing.B, br *brokertest.Broker) {
		b.Helper()
		at := spawn.Addresses(b, 2)
		tickets := spawn.Service{
			Name: "tickets", Args: []string{"tickets"}, Ready: "http://" + at[1] + "/readyz",
			Env: []string{
				"MONGO_URI=" + uri, "NATS_URL=" + br.URL(), "NATS_CLUSTER_ID=" + brokertest.ClusterID,
				"NATS_CLIENT_ID=tickets-apart", "JWT_KEY=a key for tests only", "TICKETS_ADDR=" + at[0], "OPS_ADDR=" + at[1],
			},
		}
		tickets.Start(b)
	}
}
