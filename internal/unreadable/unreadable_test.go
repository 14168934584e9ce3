package unreadable_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"lockstep/internal/unreadable"
)

const head = `# HELP lockstep_store_unreadable_records Records that were met in the last ten minutes and left out, for they cannot be read; the log names them.
# TYPE lockstep_store_unreadable_records gauge
`

// Case 10.7: named once, also in a table that nobody thought of, and counted
// while it is met.
func TestRecordsAreNamedOnceAndCountedWhileMet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		registry := prometheus.NewRegistry()
		r := unreadable.New(slog.New(slog.NewTextHandler(&log, nil)), registry, "tickets")
		want := func(counts string) {
			t.Helper()
			if err := testutil.GatherAndCompare(registry, strings.NewReader(head+counts)); err != nil {
				t.Error(err)
			}
		}
		want("lockstep_store_unreadable_records{table=\"tickets\"} 0\n")
		for range 3 {
			r.Note(t.Context(), "tickets", "a", errors.New("price is dear"))
			r.Note(t.Context(), "new", "b", errors.New("odd"))
		}
		if n := strings.Count(log.String(), "cannot be read"); n != 2 || !strings.Contains(log.String(), "price is dear") {
			t.Errorf("%d lines for two records:\n%s", n, log.String())
		}
		want("lockstep_store_unreadable_records{table=\"new\"} 1\nlockstep_store_unreadable_records{table=\"tickets\"} 1\n")
		time.Sleep(9 * time.Minute)
		r.Note(t.Context(), "new", "b", errors.New("odd"))
		time.Sleep(2 * time.Minute)
		want("lockstep_store_unreadable_records{table=\"new\"} 1\nlockstep_store_unreadable_records{table=\"tickets\"} 0\n")
	})
}
