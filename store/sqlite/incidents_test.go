package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"lockstep/incident"
)

// TestAFileWithoutIncidentsIsBroughtUp opens a file of the schema before, with
// an order in it.
func TestAFileWithoutIncidentsIsBroughtUp(t *testing.T) {
	t.Parallel()
	const before = 3
	path := filepath.Join(t.TempDir(), "store.db")
	olderFile(t, path, before, "INSERT INTO orders (id, userId, status, expiresAt, ticketId, price, version) VALUES ('o', 'u', 'created', 1, 't', 2, 0)")
	want := incident.Incident{ID: "1", Cause: incident.BrokerLoss, Opened: time.UnixMilli(5).UTC(), Raised: time.UnixMilli(6).UTC(), Summary: "lost"}
	for n := range 2 {
		db := openFile(t, path)
		if n == 0 {
			if err := db.Incidents().Write(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			want.Revision++
		}
		if got, err := db.Incidents().Incident(t.Context(), "1"); err != nil || got != want {
			t.Errorf("incident %+v, %v, want %+v", got, err, want)
		}
		if o, err := db.Orders().Order(t.Context(), "o"); err != nil || o.TicketID != "t" {
			t.Errorf("the order came over as %+v, %v", o, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
