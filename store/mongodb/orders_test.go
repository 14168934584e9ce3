package mongodb_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/event"
	"lockstep/order"
	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// TestAnOrderOfNodeKeepsItsForm: a write sets what it changes, and nothing that
// Node did not write. Case 9.10.
func TestAnOrderOfNodeKeepsItsForm(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	db := open(t, set.URI(name), mongodb.Options{})
	orders := set.Client().Database(name).Collection("orders")
	service := order.NewService(db.Orders(), db.OrderTickets(), order.Options{})
	for what, tt := range map[string]struct {
		happens func(id string) error
		want    bson.M
	}{
		"cancelled": {func(id string) error { return service.Cancel(t.Context(), "bob", id) }, bson.M{"status": "cancelled"}},
		"paid": {func(id string) error {
			_, err := service.Complete(t.Context(), event.Paid{OrderID: id, ID: "p"})
			return err
		}, bson.M{"status": "complete", "paidBy": "p"}},
	} {
		id := bson.NewObjectID()
		expires := bson.NewDateTimeFromTime(time.Date(2030, 1, 2, 3, 4, 5, 678e6, time.UTC))
		doc := bson.M{"_id": id, "userId": "bob", "status": "created", "ticket": bson.NewObjectID(), "version": int32(0), "expiresAt": expires, "extra": "Node's"}
		if _, err := orders.InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		if err := tt.happens(id.Hex()); err != nil {
			t.Fatal(err)
		}
		for field, value := range tt.want {
			doc[field] = value
		}
		var got bson.M
		if err := orders.FindOne(t.Context(), bson.M{"_id": id}).Decode(&got); err != nil {
			t.Fatal(err)
		}
		delete(got, "version")
		delete(doc, "version")
		if diff := cmp.Diff(doc, got); diff != "" {
			t.Errorf("%s order (-want +got):\n%s", what, diff)
		}
	}
}
