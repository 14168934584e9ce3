package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/test/mongotest"
)

// named is mongodb, and remembers the database of each service.
type named struct {
	set      *mongotest.Set
	database map[string]string
}

func (e named) env(t *testing.T, service, _ string) []string {
	e.database[service] = e.set.Database(t)
	return []string{"MONGO_URI=" + e.set.URI(e.database[service])}
}

// Case 10.3: documents that are no events stop nothing, are seen, and can be
// discarded.
func TestForeignDocumentsInTheOutboxStopNothing(t *testing.T) {
	t.Parallel()
	e := named{mongotest.Shared(t), map[string]string{}}
	s := newSystem(t, e)
	events := e.set.Client().Database(e.database["tickets"]).Collection("events")
	strange := []any{
		bson.D{{Key: "name", Value: "concert"}},
		bson.D{{Key: "_id", Value: "x"}, {Key: "key", Value: "zzz"}, {Key: "version", Value: "1"}, {Key: "subject", Value: "s"}, {Key: "payload", Value: "{}"}},
	}
	if _, err := events.InsertMany(t.Context(), strange); err != nil {
		t.Fatal(err)
	}
	nullFailures := bson.D{{Key: "_id", Value: "k:0:ticket:created"}, {Key: "key", Value: "k"}, {Key: "version", Value: 0},
		{Key: "subject", Value: "ticket:created"}, {Key: "failures", Value: nil}, {Key: "isLocked", Value: true},
		{Key: "payload", Value: `{"id":"k","version":0,"title":"t","price":1,"userId":"u"}`}}
	if _, err := events.InsertOne(t.Context(), nullFailures); err != nil {
		t.Fatal(err)
	}
	s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)
	s.untilReplica(t, "k", 0)
	s.tickets.kill(t)
	s.tickets.start(t)
	s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)

	until(t, "the gauge counts them", func() bool {
		metrics := s.do(t, "", http.MethodGet, s.ticketsOps+"/metrics", nil, http.StatusOK).raw
		return strings.Contains(metrics, `lockstep_outbox_unreadable{service="tickets"} 2`)
	})
	until(t, "readiness names them", func() bool {
		return strings.Contains(s.do(t, "", http.MethodGet, s.ticketsOps+"/readyz", nil, http.StatusOK).raw, "2 entries of the outbox are no events")
	})
	var entries []any
	until(t, "the list shows the two that are no events, and nothing else", func() bool {
		entries, _ = s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/outbox", nil, http.StatusOK).body["events"].([]any)
		return len(entries) == 2
	})
	for _, each := range entries {
		entry, _ := each.(map[string]any)
		id, _ := entry["id"].(string)
		if why, _ := entry["unreadable"].(string); why == "" {
			t.Errorf("%v does not say why it is no event", entry)
		}
		s.do(t, "", http.MethodPost, s.ticketsOps+"/ops/outbox/"+url.PathEscape(id)+"/discard", nil, http.StatusNoContent)
	}
	until(t, "readiness is content again", func() bool {
		return !strings.Contains(s.do(t, "", http.MethodGet, s.ticketsOps+"/readyz", nil, http.StatusOK).raw, "no events")
	})
}
