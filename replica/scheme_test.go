package replica_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/replica"
)

// TestOtherVersionSchemesConverge replicates publishers that count in
// hundreds, and publishers whose versions are times and name their
// predecessor, from shuffled and repeated events.
func TestOtherVersionSchemesConverge(t *testing.T) {
	t.Parallel()
	const versions = 20
	hundreds := func(n int) string {
		return fmt.Sprintf(`{"id":"a","title":"at %d","price":1,"version":%d}`, n, n*100)
	}
	began := time.Date(2026, 11, 23, 1, 58, 1, 0, time.UTC).UnixMilli()
	at := func(n int) int64 { return began + int64(n*n*37) } // no step at all
	times := func(n int) string {
		previous := "null"
		if n > 0 {
			previous = fmt.Sprint(at(n - 1))
		}
		return fmt.Sprintf(`{"id":"a","title":"at %d","price":1,"version":%d,"previousVersion":%s}`, n, at(n), previous)
	}
	tests := map[string]struct {
		scheme  event.Scheme
		payload func(int) string
		last    int64
	}{
		"steps of 100": {event.Scheme{Step: 100}, hundreds, (versions - 1) * 100},
		"timestamps":   {event.Scheme{}, times, at(versions - 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rng := rand.New(rand.NewPCG(seed, 0))
			var pending []event.TicketChange
			for n := range versions {
				subject := event.TicketUpdated
				if n == 0 {
					subject = event.TicketCreated
				}
				c, err := tc.scheme.DecodeTicket(subject, []byte(tc.payload(n)))
				if err != nil {
					t.Fatal(err)
				}
				pending = append(pending, c, c)
			}
			rng.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
			s := newRows()
			p := replica.NewProjector(s)
			for round := 0; len(pending) > 0; round++ {
				if round > 10*versions {
					t.Fatalf("%d events are still early", len(pending))
				}
				n := min(len(pending), 1+rng.IntN(5))
				var again []event.TicketChange
				for i, o := range apply(t, p, pending[:n]...) {
					if o == event.Early {
						again = append(again, pending[i])
					}
				}
				pending = append(pending[n:], again...)
			}
			if got := s.rows["a"]; got.Version != tc.last || got.Title != fmt.Sprintf("at %d", versions-1) {
				t.Errorf("row = %+v, want version %d", got, tc.last)
			}
		})
	}
}
