package e2e

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/test/mongotest"
)

// Cases 10.7 and 11.6: a record that cannot be read, at its owner or in the
// replica, keeps no other one from being compared and mended.
func TestARecordThatCannotBeReadStopsNoComparison(t *testing.T) {
	t.Parallel()
	e := named{mongotest.Shared(t), map[string]string{}}
	s := newSystem(t, e, "COMPARE_EVERY=5s")
	collection := func(service, name string) func(id string, set bson.D) {
		c := e.set.Client().Database(e.database[service]).Collection(name)
		return func(id string, set bson.D) {
			t.Helper()
			o, err := bson.ObjectIDFromHex(id)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: o}}, bson.D{{Key: "$set", Value: set}}); err != nil || r.ModifiedCount != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
		}
	}
	create := func() string {
		id := s.create(t, "ann@example.com").id()
		s.untilPrice(t, id, 0, 20.5)
		return id
	}
	atOwner, here, other := create(), create(), create()
	owner, replica := collection("tickets", "tickets"), collection("orders", "replica")
	owner(atOwner, bson.D{{Key: "price", Value: bson.A{1}}})
	replica(here, bson.D{{Key: "title", Value: bson.D{{Key: "a", Value: 1}}}})
	replica(other, bson.D{{Key: "price", Value: 12.0}})
	s.untilPrice(t, other, 0, 20.5)
	s.untilPrice(t, here, 0, 20.5)
	s.untilGet(t, s.ordersOps+"/metrics", `lockstep_replica_drift_rows{kind="unreadable",service="orders"} 1`)
	exits(t, 4, []string{atOwner + "  unreadable", "1 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
	exits(t, 4, []string{atOwner + "  unreadable"}, "replica", "repair", "--trust-owner", "--ops-url", s.ordersOps)
	exits(t, 1, []string{"cannot be read"}, "replica", "reset", atOwner, "--ops-url", s.ordersOps)
	s.untilPrice(t, atOwner, 0, 20.5) // whatever was asked for
	owner(atOwner, bson.D{{Key: "price", Value: 30.0}})
	s.untilPrice(t, atOwner, 0, 30)
	exits(t, 0, []string{"0 differ"}, "replica", "verify", "--ops-url", s.ordersOps)
}
