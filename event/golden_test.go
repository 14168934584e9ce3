package event_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"lockstep/event"
)

func golden(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestTicketPayloadsOfTheNodeServices reads what the originals were seen to
// publish, and prints it byte by byte. Case 9.10.
func TestTicketPayloadsOfTheNodeServices(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		subject event.Subject
		want    event.TicketChange
	}{
		"ticket_created": {event.TicketCreated, event.TicketChange{
			Ticket:      event.Ticket{ID: "6b0300000000000000000001", Title: "concert", Price: 20.5, UserID: "e42f00000000000000000001"},
			Predecessor: event.None,
		}},
		"ticket_updated_edit": {event.TicketUpdated, event.TicketChange{
			Ticket:      event.Ticket{ID: "6b0300000000000000000001", Title: "c2", Price: 30, UserID: "e42f00000000000000000001", Version: 1},
			Predecessor: 0,
		}},
		"ticket_updated_reserve": {event.TicketUpdated, event.TicketChange{
			Ticket: event.Ticket{
				ID: "6b0300000000000000000001", Title: "c2", Price: 30, UserID: "c30300000000000000000001", Version: 2,
				OrderID: "6b0300000000000000000002",
			},
			Predecessor: 1,
		}},
		"ticket_updated_release": {event.TicketUpdated, event.TicketChange{
			Ticket:      event.Ticket{ID: "6b0300000000000000000001", Title: "c2", Price: 30, UserID: "31a800000000000000000001", Version: 4},
			Predecessor: 3,
		}},
	}
	builders := map[string]func(event.Ticket, time.Time) (event.Event, error){
		"ticket_created": event.Ticket.Created, "ticket_updated_edit": event.Ticket.Updated,
		"ticket_updated_reserve": event.Ticket.Locked, "ticket_updated_release": event.Ticket.Locked,
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := golden(t, name)
			got, err := event.Scheme{}.DecodeTicket(tc.subject, payload)
			if err != nil {
				t.Fatalf("DecodeTicket: %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("decoded ticket (-want +got):\n%s", diff)
			}
			e, err := builders[name](got.Ticket, time.Now())
			if err != nil {
				t.Fatalf("encode: %v", err)
			}
			if string(e.Payload) != string(payload) { // the order of keys too
				t.Errorf("payload\n got %s\nwant %s", e.Payload, payload)
			}
			if e.Subject != tc.subject || e.Key != got.ID || e.Version != got.Version {
				t.Errorf("event = %s %s v%d, want %s %s v%d", e.Subject, e.Key, e.Version, tc.subject, got.ID, got.Version)
			}
		})
	}
}

func TestOrderPayloadsOfTheNodeServices(t *testing.T) {
	t.Parallel()
	created := golden(t, "order_created")
	r, err := event.DecodeReserved(created)
	if err != nil {
		t.Fatalf("DecodeReserved: %v", err)
	}
	want := event.Reserved{
		OrderID: "6b0300000000000000000002", TicketID: "6b0300000000000000000001",
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("decoded order (-want +got):\n%s", diff)
	}
	r.UserID, r.TicketPrice = "440600000000000000000001", 30
	r.ExpiresAt = time.Date(2026, 11, 23, 1, 58, 1, 630e6, time.UTC)
	e, err := r.Event(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Payload) != string(created) {
		t.Errorf("order:created\n got %s\nwant %s", e.Payload, created)
	}

	cancelled := golden(t, "order_cancelled")
	c, err := event.DecodeCancelled(cancelled)
	if err != nil {
		t.Fatalf("DecodeCancelled: %v", err)
	}
	e, err = c.Event(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Payload) != string(cancelled) {
		t.Errorf("order:cancelled\n got %s\nwant %s", e.Payload, cancelled)
	}
	if got, want := e.ID(), "6b0300000000000000000002:1:order:cancelled"; got != want {
		t.Errorf("event id = %q, want %q", got, want)
	}
}

func TestPayloadPrintsAsJavaScriptDoes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ticket event.Ticket
		want   string
	}{
		"a free ticket has no orderId key": {
			event.Ticket{ID: "a", Title: "t", Price: 20, UserID: "u"},
			`{"id":"a","title":"t","price":20,"userId":"u","version":0}`,
		},
		"small and large prices": {
			event.Ticket{ID: "a", Title: "t", Price: 1e21, UserID: "u"},
			`{"id":"a","title":"t","price":1e+21,"userId":"u","version":0}`,
		},
		"fractions": {
			event.Ticket{ID: "a", Title: "t", Price: 0.001, UserID: "u"},
			`{"id":"a","title":"t","price":0.001,"userId":"u","version":0}`,
		},
		"markup and quotes stay": {
			event.Ticket{ID: "a", Title: `<b>&"é🎫`, Price: 1, UserID: "u"},
			`{"id":"a","title":"<b>&\"é🎫","price":1,"userId":"u","version":0}`,
		},
		"a held ticket names its order": {
			event.Ticket{ID: "a", Title: "t", Price: 1, UserID: "u", Version: 2, OrderID: "o"},
			`{"id":"a","title":"t","price":1,"userId":"u","version":2,"orderId":"o"}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := tc.ticket.Updated(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if string(e.Payload) != tc.want {
				t.Errorf("payload = %s, want %s", e.Payload, tc.want)
			}
		})
	}
}
