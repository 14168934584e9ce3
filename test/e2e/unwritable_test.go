package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/test/mongotest"
)

// file returns the SQLite file of the process.
func (p *process) file() string {
	return filepath.Join(p.setting("DATA_DIR"), p.Args[0]+".db")
}

// writes has another program write into the store of the process: statements
// into a SQLite file, or what in does with the MongoDB database.
func (p *process) writes(t *testing.T, in func(context.Context, *mongo.Database) error, statements ...string) {
	t.Helper()
	uri := p.setting("MONGO_URI")
	if uri == "" {
		other, err := sql.Open("sqlite", "file:"+p.file()+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		for _, s := range statements {
			if _, err := other.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		return
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
	at, err := url.Parse(uri)
	if err == nil {
		err = in(t.Context(), client.Database(strings.TrimPrefix(at.Path, "/")))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// spoil puts a word where the price of a record belongs.
func (p *process) spoil(t *testing.T, table, id string) {
	t.Helper()
	p.writes(t, func(ctx context.Context, db *mongo.Database) error {
		o, err := bson.ObjectIDFromHex(id)
		if err != nil {
			return err
		}
		_, err = db.Collection(table).UpdateByID(ctx, o, bson.D{{Key: "$set", Value: bson.D{{Key: "price", Value: "dear"}}}})
		return err
	}, fmt.Sprintf("UPDATE %s SET price = 'dear' WHERE id = '%s'", table, id))
}

// wantSaid tries a request and wants its status and a sentence.
func (s *system) wantSaid(t *testing.T, method, url string, body any, status int, sentence string) {
	t.Helper()
	r, err := s.try(t, "ann@example.com", method, url, body)
	if err != nil || r.status != status || !strings.Contains(r.raw, `{"message":"`+sentence) {
		t.Errorf("%s %s = %d %s %v, want %d %s…", method, url, r.status, r.raw, err, status, sentence)
	}
}

// Case 10.7: what cannot be read is in no list, and its door says so.
func TestARecordThatCannotBeReadIsSaidSo(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		const said = "What is stored of this record cannot be read: the service's log says why, by its id"
		good, bad, ordered := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id()
		for _, id := range []string{good, bad, ordered} {
			s.untilReplica(t, id, 0)
		}
		orders := s.ordersURL + "/api/orders"
		order := s.do(t, "ann@example.com", http.MethodPost, orders, map[string]string{"ticketId": ordered}, http.StatusCreated).id()
		s.tickets.spoil(t, "tickets", bad)
		s.orders.spoil(t, "replica", bad)
		s.orders.spoil(t, "orders", order)

		s.wantSaid(t, http.MethodGet, s.ticketsURL+"/api/tickets/"+bad, nil, http.StatusInternalServerError, said)
		s.wantSaid(t, http.MethodPut, s.ticketsURL+"/api/tickets/"+bad, draft{"b", 2}, http.StatusInternalServerError, said)
		s.wantSaid(t, http.MethodPost, orders, map[string]string{"ticketId": bad}, http.StatusInternalServerError, said)
		s.wantSaid(t, http.MethodGet, orders+"/"+order, nil, http.StatusInternalServerError, said)
		s.wantSaid(t, http.MethodDelete, orders+"/"+order, nil, http.StatusInternalServerError, said)
		s.wantSaid(t, http.MethodGet, s.ordersOps+"/ops/replica/tickets/"+bad, nil, http.StatusInternalServerError, said)
		list := s.do(t, "", http.MethodGet, s.ticketsURL+"/api/tickets", nil, http.StatusOK).raw
		if !strings.Contains(list, good) || strings.Contains(list, bad) {
			t.Errorf("the list of tickets is %s", list)
		}
		if mine := s.do(t, "ann@example.com", http.MethodGet, orders, nil, http.StatusOK).raw; mine != "[]" {
			t.Errorf("the list of orders is %s", mine)
		}
		for ops, table := range map[string]string{s.ticketsOps: "tickets", s.ordersOps: "replica"} {
			if m := s.do(t, "", http.MethodGet, ops+"/metrics", nil, http.StatusOK).raw; !strings.Contains(m, `table="`+table+`"} 1`) {
				t.Errorf("no record of %s is counted", table)
			}
		}
	})
}

// Case 10.4: without what keeps a ticket from being sold twice nothing is sold,
// and the buyer is told.
func TestSuspendedReservationsAreSaidSo(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		s := newSystem(t, e)
		sold, free := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id()
		s.untilReplica(t, sold, 0)
		s.untilReplica(t, free, 0)
		orders := s.ordersURL + "/api/orders"
		order := s.do(t, "ann@example.com", http.MethodPost, orders, map[string]string{"ticketId": sold}, http.StatusCreated).id()
		s.orders.writes(t, func(ctx context.Context, db *mongo.Database) error {
			if err := db.Collection("orders").Indexes().DropOne(ctx, "active"); err != nil {
				return err
			}
			var o bson.M
			if err := db.Collection("orders").FindOne(ctx, bson.D{}).Decode(&o); err != nil {
				return err
			}
			o["_id"] = bson.NewObjectID()
			_, err := db.Collection("orders").InsertOne(ctx, o)
			return err
		}, "DROP INDEX ordersActive", "INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) SELECT 'copy', userId, status, expiresAt, ticketId, price, version FROM orders")
		s.wantSaid(t, http.MethodPost, orders, map[string]string{"ticketId": free}, http.StatusServiceUnavailable,
			"Reservations are suspended: nothing was ordered, try again later")
		s.do(t, "ann@example.com", http.MethodDelete, orders+"/"+order, nil, http.StatusNoContent)
	})
}

// Case 10.10: a store that takes no writes says so to everybody who writes, and
// reads from no other file.
func TestAStoreWithoutItsFileSaysSo(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	free, order := s.freeAndOrder(t)
	for _, p := range []*process{s.tickets, s.orders} {
		if err := os.Rename(p.file(), p.file()+".away"); err != nil {
			t.Fatal(err)
		}
	}
	s.wantRefused(t, free, order, order+":0:order:created")
	s.wantSaid(t, http.MethodPost, s.ticketsURL+"/api/tickets", draft{"t", 1}, http.StatusServiceUnavailable,
		"The store is not available: nothing was changed, try again later")
	r, err := s.try(t, "", http.MethodGet, s.ticketsURL+"/api/tickets/"+free, nil)
	if err != nil || r.status != http.StatusServiceUnavailable {
		t.Errorf("GET = %d %s %v, want 503: what it is read from has no name", r.status, r.raw, err)
	}
	for p, name := range map[*process]string{s.tickets: "lockstep_lock_waiting", s.orders: "lockstep_replica_rows"} { // Case 11.10
		until(t, "nobody knows "+name, func() bool {
			for series, value := range p.metrics(t.Context()) {
				if strings.HasPrefix(series, name) {
					return math.IsNaN(value)
				}
			}
			return false
		})
	}
}

// Case 10.16: another program keeps the file locked for longer than a request
// waits.
func TestAFileThatIsLockedSaysSo(t *testing.T) {
	t.Parallel()
	s := newSystem(t, sqlite{})
	other, err := sql.Open("sqlite", "file:"+s.tickets.file()+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	r, err := s.try(t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", draft{"t", 1})
	if err != nil || r.status != http.StatusServiceUnavailable {
		t.Errorf("POST = %d %s %v, want 503", r.status, r.raw, err)
	}
	until(t, "the probes turn", func() bool {
		r, err := s.try(t, "", http.MethodGet, s.ticketsOps+"/readyz", nil)
		return err == nil && r.status == http.StatusServiceUnavailable && strings.Contains(r.raw, "another program has locked the file")
	})
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	until(t, "it goes on", func() bool {
		r, err := s.try(t, "ann@example.com", http.MethodPost, s.ticketsURL+"/api/tickets", draft{"t", 1})
		return err == nil && r.status == http.StatusCreated
	})
	until(t, "the probes turn back", func() bool {
		r, err := s.try(t, "", http.MethodGet, s.ticketsOps+"/readyz", nil)
		return err == nil && r.status == http.StatusOK
	})
}

// Case 11.11: no primary.
func TestAReplicaSetWithoutPrimarySaysSo(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 3)
	s := newSystem(t, mongodb{set})
	free, order := s.freeAndOrder(t)
	s.orders.writes(t, func(ctx context.Context, db *mongo.Database) error { // waits for ever: a discard has what to write
		_, err := db.Collection("events").InsertOne(ctx, bson.D{{Key: "_id", Value: "foreign"}})
		return err
	})
	primary := set.Primary(t)
	for _, m := range set.Members {
		if m != primary {
			m.Kill()
			defer m.Restart(t)
		}
	}
	s.wantRefused(t, free, order, "foreign")
}

// freeAndOrder returns the id of a ticket and that of an order of another one.
func (s *system) freeAndOrder(t *testing.T) (ticketID, orderID string) {
	t.Helper()
	ordered, free := s.create(t, "ann@example.com").id(), s.create(t, "ann@example.com").id()
	s.untilReplica(t, ordered, 0)
	s.untilReplica(t, free, 0)
	return free, s.do(t, "ann@example.com", http.MethodPost, s.ordersURL+"/api/orders", map[string]string{"ticketId": ordered}, http.StatusCreated).id()
}

// wantRefused wants 503 with a sentence for everything that writes.
func (s *system) wantRefused(t *testing.T, ticketID, orderID, eventID string) {
	t.Helper()
	var requests sync.WaitGroup
	for _, c := range []struct {
		method, url string
		body        any
	}{
		{http.MethodPost, s.ticketsURL + "/api/tickets", draft{"t", 1}},
		{http.MethodPut, s.ticketsURL + "/api/tickets/" + ticketID, draft{"t", 1}},
		{http.MethodPost, s.ordersURL + "/api/orders", map[string]string{"ticketId": ticketID}},
		{http.MethodDelete, s.ordersURL + "/api/orders/" + orderID, nil},
		{http.MethodPost, s.ordersOps + "/ops/outbox/" + url.PathEscape(eventID) + "/discard", nil},
	} {
		requests.Go(func() {
			r, err := s.try(t, "ann@example.com", c.method, c.url, c.body)
			if err != nil || r.status != http.StatusServiceUnavailable || !strings.Contains(r.raw, " ") {
				t.Errorf("%s %s = %d %s %v, want 503 with a sentence", c.method, c.url, r.status, r.raw, err)
			}
		})
	}
	requests.Wait()
}
