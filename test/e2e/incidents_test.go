package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lockstep/event"
	mongostore "lockstep/store/mongodb"
	sqlitestore "lockstep/store/sqlite"

	"lockstep/outbox"
	"lockstep/test/mongotest"
	"lockstep/ticket"
)

const notifySecret = "a secret for tests only"

// chat is the other end of NOTIFY_URL.
type chat struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc // before it takes a notice; nil takes all
	told   []string         // cause, status, subject
}

// newChat starts a receiver that checks signatures.
func newChat(t *testing.T) *chat {
	t.Helper()
	c := &chat{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		answer := c.answer
		c.mu.Unlock()
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender was killed
		}
		if answer != nil {
			answer(w, r)
			return
		}
		var body struct {
			Text      string
			Incidents []struct{ Status, Cause, Subject string }
		}
		if err := json.Unmarshal(raw, &body); err != nil || body.Text == "" {
			t.Errorf("notified with %s: %v", raw, err)
		}
		mac := hmac.New(sha256.New, []byte(notifySecret))
		mac.Write([]byte(r.Header.Get("Lockstep-Timestamp") + "." + string(raw)))
		if got, want := r.Header.Get("Lockstep-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, i := range body.Incidents {
			c.told = append(c.told, i.Cause+" "+i.Status+" "+i.Subject)
		}
	}))
	t.Cleanup(func() { c.CloseClientConnections(); c.Close() })
	return c
}

func (c *chat) answers(h http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = h
}

func (c *chat) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told)
}

// settings are those of a service that tells c.
func (c *chat) settings() []string {
	return []string{"NOTIFY_URL=" + c.URL + "/hook", "NOTIFY_SECRET=" + notifySecret}
}

// events is a store as a stranger to the service writes into it.
type events struct {
	tickets ticket.Store
	outbox  interface {
		outbox.Store
		outbox.Inspector
	}
}

// inStore opens the store of a service that does not run.
func inStore(t *testing.T, p *process, work func(events)) {
	t.Helper()
	for _, setting := range p.Env {
		if dir, ok := strings.CutPrefix(setting, "DATA_DIR="); ok {
			db, err := sqlitestore.Open(t.Context(), filepath.Join(dir, "tickets.db"), sqlitestore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			work(events{db.Tickets(), db.Outbox()})
		}
		if uri, ok := strings.CutPrefix(setting, "MONGO_URI="); ok {
			db, err := mongostore.Open(t.Context(), uri, mongostore.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			work(events{db.Tickets(), db.Outbox()})
		}
	}
}

// failed commits an event of the subject that has failed some times and is due
// after a while, no longer than the back-off may take.
func (s events) failed(t *testing.T, subject event.Subject, times int, due time.Duration) (id string) {
	t.Helper()
	key := newIDs(1)[0]
	e := event.Event{
		Key: key, Subject: subject, OccurredAt: time.Now(),
		Payload: fmt.Appendf(nil, `{"id":%q,"title":"concert","price":20.5,"userId":"u","version":0}`, key),
	}
	if err := s.tickets.Commit(t.Context(), ticket.Change{Events: []event.Event{e}}); err != nil {
		t.Fatal(err)
	}
	for range times {
		f := outbox.Failure{At: time.Now(), Class: outbox.Rejected, Message: "refused before"}
		if _, err := s.outbox.Fail(t.Context(), e.ID(), f, time.Now().Add(due)); err != nil {
			t.Fatal(err)
		}
	}
	return e.ID()
}

// wants waits until the chat was told as often, and wants what it was told.
func (c *chat) wants(t *testing.T, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("people are told %v", want), func() bool { return len(c.all()) >= len(want) })
	if got := c.all(); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// incidents returns what the service lists.
func (s *system) incidents(t *testing.T, query string) string {
	t.Helper()
	return s.do(t, "", http.MethodGet, s.ticketsOps+"/ops/outbox/incidents?"+query, nil, http.StatusOK).raw
}

// Case 9.12: an event that the broker refuses ten times is one incident, told
// once, and told once more when an operator has discarded it; the record stays.
func TestAnEventThatKeepsFailingIsOneIncident(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		c := newChat(t)
		s := newSystem(t, e, c.settings()...)
		s.tickets.stop(t)
		var id string
		inStore(t, s.tickets, func(st events) { id = st.failed(t, "no channel>", 9, 0) })
		s.tickets.start(t)
		c.wants(t, "event_unpublished open "+id)
		listed := s.incidents(t, "open=true")
		for _, part := range []string{id, "failed 10 times", "lockstep outbox retry", "lockstep outbox discard", `"open":true`} {
			if !strings.Contains(listed, part) {
				t.Errorf("listed without %q: %s", part, listed)
			}
		}
		for range 3 { // failing on is not news
			s.do(t, "", http.MethodPost, s.ticketsOps+"/ops/outbox/"+url.PathEscape(id)+"/retry", nil, http.StatusNoContent)
		}
		s.do(t, "", http.MethodPost, s.ticketsOps+"/ops/outbox/"+url.PathEscape(id)+"/discard", nil, http.StatusNoContent)
		c.wants(t, "event_unpublished open "+id, "event_unpublished over "+id)
		if open := s.incidents(t, "open=true"); !strings.Contains(open, `"incidents":[]`) {
			t.Errorf("open after all: %s", open)
		}
		if listed := s.incidents(t, "open=false"); !strings.Contains(listed, id) || !strings.Contains(listed, "an operator discarded the event") {
			t.Errorf("the record is gone: %s", listed)
		}
		if n := s.tickets.sum(t, `lockstep_incidents_total{cause="event_unpublished"`); n != 1 {
			t.Errorf("%v incidents counted, want 1", n)
		}
		for _, part := range []string{"incident opened", `"event_id":"` + id + `"`, "lockstep outbox show"} {
			if !strings.Contains(strings.ReplaceAll(s.tickets.Output(), `\u003e`, ">"), part) {
				t.Errorf("the log does not say %q", part)
			}
		}
	})
}

// Case 9.12: killed between the crossing and the notice, and between the
// crossing and its record, the next start tells of it; a retry that succeeds is
// the end.
func TestACrossingIsToldAfterAKill(t *testing.T) {
	t.Parallel()
	onMongoDBInSoaks(t, func(t *testing.T, e engine) {
		c := newChat(t)
		c.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		s := newSystem(t, e, c.settings()...)
		s.tickets.stop(t)
		var refused, crossed string
		inStore(t, s.tickets, func(st events) { refused = st.failed(t, "no channel>", 9, 0) })
		s.tickets.start(t)
		until(t, "the crossing is recorded", func() bool { return strings.Contains(s.incidents(t, ""), refused) })
		s.tickets.kill(t)
		inStore(t, s.tickets, func(st events) { crossed = st.failed(t, event.TicketCreated, 10, 4*time.Minute) })
		c.answers(nil)
		s.tickets.start(t)
		until(t, "people are told of both", func() bool { return len(c.all()) >= 2 })
		s.do(t, "", http.MethodPost, s.ticketsOps+"/ops/outbox/"+url.PathEscape(crossed)+"/retry", nil, http.StatusNoContent)
		until(t, "people are told of the end", func() bool { return len(c.all()) >= 3 })
		got := c.all()
		slices.Sort(got[:2])
		want := []string{"event_unpublished open " + crossed, "event_unpublished open " + refused, "event_unpublished over " + crossed}
		slices.Sort(want[:2])
		if !slices.Equal(got, want) {
			t.Errorf("told %v, want %v", got, want)
		}
	})
}

// Case 9.12: of three processes on one store, one tells.
func TestPodsTellOnce(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	f := newFleet(t, mongodb{mongotest.Shared(t)}, pods, c.settings()...)
	for _, p := range f.canonical {
		p.stop(t)
	}
	var id string
	inStore(t, f.tickets, func(st events) { id = st.failed(t, event.TicketCreated, 10, 4*time.Minute) })
	for _, p := range f.canonical {
		p.start(t)
	}
	c.wants(t, "event_unpublished open "+id)
	f.do(t, "", http.MethodPost, f.ticketsOps+"/ops/outbox/"+url.PathEscape(id)+"/retry", nil, http.StatusNoContent)
	c.wants(t, "event_unpublished open "+id, "event_unpublished over "+id)
	pause(t, 10*time.Second) // every process has looked again
	c.wants(t, "event_unpublished open "+id, "event_unpublished over "+id)
}

// Case 9.12: a receiver that hangs is never in the relay's way.
func TestAReceiverThatHangsHoldsUpNothing(t *testing.T) {
	t.Parallel()
	onEachEngine(t, func(t *testing.T, e engine) {
		c := newChat(t)
		hanging := make(chan (<-chan struct{}), 100)
		c.answers(func(_ http.ResponseWriter, r *http.Request) { hanging <- r.Context().Done(); <-r.Context().Done() })
		s := newSystem(t, e, c.settings()...)
		s.tickets.stop(t)
		inStore(t, s.tickets, func(st events) {
			for range 20 {
				st.failed(t, "no channel>", 9, 0)
			}
		})
		s.tickets.start(t)
		within(t, 2*time.Minute, "tickets are in the replica before a notice is given up", func() bool {
			given := <-hanging
			for range 3 {
				s.untilReplica(t, s.create(t, "ann@example.com").id(), 0)
			}
			select {
			case <-given:
				return false // or the machine was busy: the next notice hangs as long
			default:
				return true
			}
		})
		if took := s.tickets.stop(t); took > 9*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}
