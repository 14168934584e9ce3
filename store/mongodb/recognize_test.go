package mongodb_test

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// put inserts documents, each with an id of its own.
func put(t *testing.T, c *mongo.Collection, docs ...bson.D) {
	t.Helper()
	for _, d := range docs {
		if _, err := c.InsertOne(t.Context(), append(bson.D{{Key: "_id", Value: bson.NewObjectID()}}, d...)); err != nil {
			t.Fatal(err)
		}
	}
}

// Documents as the services write them.
var (
	canonicalTicket = bson.D{{Key: "title", Value: "a"}, {Key: "price", Value: 1}, {Key: "userId", Value: "ann"}, {Key: "version", Value: 0}}
	nodeCopy        = bson.D{{Key: "title", Value: "a"}, {Key: "price", Value: 1}, {Key: "version", Value: 0}}
)

// Case 9.5.
func TestADatabaseIsRecognizedByWhatIsInIt(t *testing.T) {
	t.Parallel()
	tickets, orders := mongodb.TicketService, mongodb.OrderService
	for _, c := range []struct {
		name     string
		service  mongodb.Service
		tickets  []bson.D
		replica  []bson.D
		empty    []string // collections made without documents
		want     string   // the collection of the replica
		sentence []string // of the refusal, instead
	}{
		{name: "new", service: orders, want: "replica"},
		{name: "a Node replica", service: orders, tickets: []bson.D{nodeCopy}, want: "tickets"},
		{name: "a Node replica without rows", service: orders, empty: []string{"orders", "tickets"}, want: "tickets"},
		{name: "our replica", service: orders, replica: []bson.D{nodeCopy}, want: "replica"},
		{name: "our replica without rows", service: orders, empty: []string{"orders", "tickets", "replica"}, want: "replica"},
		{name: "both services in one", service: orders, tickets: []bson.D{canonicalTicket}, replica: []bson.D{nodeCopy}, want: "replica"},
		{name: "a foreign document", service: orders, tickets: append(slices.Repeat([]bson.D{nodeCopy}, 20), canonicalTicket), want: "tickets"},

		{name: "two replicas", service: orders, tickets: []bson.D{nodeCopy}, replica: []bson.D{nodeCopy},
			sentence: []string{"two replicas", "renameCollection"}},
		{name: "a tickets service's", service: orders, tickets: []bson.D{canonicalTicket},
			sentence: []string{"belongs to a tickets service", "MONGO_URI"}},
		{name: "both kinds", service: orders, tickets: []bson.D{canonicalTicket, nodeCopy},
			sentence: []string{"with userId", "others without"}},

		{name: "new tickets", service: tickets, want: "replica"},
		{name: "tickets", service: tickets, tickets: []bson.D{canonicalTicket}, want: "replica"},
		{name: "a Node orders service's", service: tickets, tickets: []bson.D{nodeCopy},
			sentence: []string{"belongs to an orders service", "MONGO_URI"}},
		{name: "our orders service's", service: tickets, replica: []bson.D{nodeCopy},
			sentence: []string{"belongs to an orders service", "MONGO_URI"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			set := mongotest.Shared(t)
			name := set.Database(t)
			data := set.Client().Database(name)
			put(t, data.Collection("tickets"), c.tickets...)
			put(t, data.Collection("replica"), c.replica...)
			for _, e := range c.empty {
				if err := data.CreateCollection(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			if c.sentence != nil {
				wantSetUp(t, refused(t, set.URI(name), mongodb.Options{Service: c.service}, append(c.sentence, name)...))
				return
			}
			for range 2 { // also when it has been prepared
				db := open(t, set.URI(name), mongodb.Options{Service: c.service})
				if got := mongodb.ReplicaOf(db); got != c.want {
					t.Errorf("the replica is in %q, want %q", got, c.want)
				}
			}
		})
	}
}

// Case 9.5: a Node service finds the replica of a database that has its name.
func TestANewDatabaseNamedAsNodesHasItsReplicaInTickets(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	db := open(t, set.URI("orders"), mongodb.Options{Service: mongodb.OrderService})
	if got := mongodb.ReplicaOf(db); got != "tickets" {
		t.Errorf("the replica is in %q", got)
	}
}
