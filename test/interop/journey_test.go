package interop

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/test/mongotest"
	"lockstep/test/spawn"
)

// TestABuyersJourney: each of our two services works beside the Node one of
// the other, and beside ours, with Node's payments and expiration.
func TestABuyersJourney(t *testing.T) {
	t.Parallel()
	for _, who := range combinations {
		t.Run(who.String(), func(t *testing.T) {
			t.Parallel()
			set := mongotest.Shared(t)
			journey(t, startSystem(t, who, set, fresh(t, set), 0))
		})
	}
}

// journey has a buyer take every way that an order can go.
func journey(t *testing.T, s *system) {
	t.Helper()
	expiring, paid, cancelled := s.offer(t), s.offer(t), s.offer(t)
	kept := s.order(t, paid)
	s.pay(t, kept, "created", http.StatusCreated)
	late, dropped := s.order(t, expiring), s.order(t, cancelled)
	s.cancel(t, dropped)
	s.untilFree(t, cancelled, dropped)
	s.untilFree(t, expiring, late)

	spawn.Within(t, time.Minute, "every order's time is over", func() bool {
		jobs := s.set.Client().Database(s.databases["expiration"]).Collection("jobs")
		return must[int64](t)(jobs.CountDocuments(t.Context(), bson.D{})) == 0
	})
	s.untilSold(t, paid, kept)
	for _, id := range []string{expiring, paid, cancelled} {
		s.untilReplica(t, id)
	}
}

// offer makes a ticket, edits it and returns its id once orders has seen that.
func (s *system) offer(t *testing.T) string {
	t.Helper()
	made := call(t, "ann", http.MethodPost, s.tickets.url+"/api/tickets", args{"title": "concert", "price": "20.50"}, http.StatusCreated)
	edited := call(t, "ann", http.MethodPut, s.tickets.url+"/api/tickets/"+made.ID, args{"title": "opera", "price": 30}, http.StatusOK)
	same(t, "the edited ticket", edited, document{ID: made.ID, Title: "opera", Price: 30, UserID: "ann", Version: 1})
	s.untilReplica(t, made.ID)
	return made.ID
}

// order orders a ticket for bob and returns the order's id once the ticket is
// locked, for sellers and for other buyers.
func (s *system) order(t *testing.T, ticket string) string {
	t.Helper()
	made := call(t, "bob", http.MethodPost, s.orders.url+"/api/orders", args{"ticketId": ticket}, http.StatusCreated)
	call(t, "carl", http.MethodPost, s.orders.url+"/api/orders", args{"ticketId": ticket}, http.StatusBadRequest)
	spawn.Until(t, "the order holds the ticket", func() bool { return s.ticket(t, ticket).OrderID == made.ID })
	call(t, "ann", http.MethodPut, s.tickets.url+"/api/tickets/"+ticket, args{"title": "x", "price": 1}, http.StatusBadRequest)
	return made.ID
}

// pay pays an order, or is refused, once payments knows the order as it is.
func (s *system) pay(t *testing.T, order, known string, status int) {
	t.Helper()
	spawn.Until(t, "payments knows the order", func() bool { return s.stored(t, "payments", "orders", order).Status == known })
	call(t, "bob", http.MethodPost, s.payments.url+"/api/payments", args{"token": "tok_visa", "orderId": order}, status)
}

// cancel cancels an order, which can then not be paid any more.
func (s *system) cancel(t *testing.T, order string) {
	t.Helper()
	call(t, "bob", http.MethodDelete, s.orders.url+"/api/orders/"+order, nil, http.StatusNoContent)
	s.pay(t, order, "cancelled", http.StatusBadRequest)
}

// untilSold waits until an order is complete and wants its ticket locked.
func (s *system) untilSold(t *testing.T, ticket, order string) {
	t.Helper()
	spawn.Until(t, "the paid order is complete", func() bool { return s.status(t, order) == "complete" })
	same(t, "holder of the paid ticket", s.ticket(t, ticket).OrderID, order)
}

// untilFree waits until an order is cancelled and its ticket is for sale.
func (s *system) untilFree(t *testing.T, ticket, order string) {
	t.Helper()
	spawn.Within(t, time.Minute, "the order is cancelled", func() bool { return s.status(t, order) == "cancelled" })
	spawn.Until(t, "the ticket is released", func() bool { return s.ticket(t, ticket).OrderID == "" })
	untilCall(t, "ann", http.MethodPut, s.tickets.url+"/api/tickets/"+ticket, args{"title": "ballet", "price": 40}, http.StatusOK)
}

func (s *system) ticket(t *testing.T, id string) document {
	t.Helper()
	return call(t, "", http.MethodGet, s.tickets.url+"/api/tickets/"+id, nil, http.StatusOK)
}

func (s *system) status(t *testing.T, order string) string {
	t.Helper()
	return call(t, "bob", http.MethodGet, s.orders.url+"/api/orders/"+order, nil, http.StatusOK).Status
}

// untilReplica waits until orders has of a ticket what tickets has.
func (s *system) untilReplica(t *testing.T, id string) {
	t.Helper()
	spawn.Until(t, "the replica is as the ticket", func() bool {
		is, got := s.ticket(t, id), s.replica(t, id)
		return got.Version == is.Version && got.Title == is.Title && got.Price == is.Price
	})
}

// replica returns what orders has of a ticket.
func (s *system) replica(t *testing.T, id string) document {
	t.Helper()
	if !s.orders.ours {
		return s.stored(t, "orders", "tickets", id)
	}
	_, raw, err := try(t.Context(), "", http.MethodGet, s.orders.ops+"/ops/replica/tickets/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return read[document](t, raw)
}

// stored returns a document of a service's database, an empty one if it is not
// there.
func (s *system) stored(t *testing.T, service, collection, id string) (d document) {
	t.Helper()
	oid := must[bson.ObjectID](t)(bson.ObjectIDFromHex(id))
	found := s.set.Client().Database(s.databases[service]).Collection(collection).FindOne(t.Context(), bson.D{{Key: "_id", Value: oid}})
	if err := found.Decode(&d); err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		t.Fatal(err)
	}
	return d
}
