package storetest

import (
	"fmt"
	"testing"

	"lockstep/event"
	"lockstep/internal/objectid"
	"lockstep/replica"
)

var replicaCases = []testCase{
	{"rows come back exactly", replicaExact},
	{"an unknown row is ErrNotFound", replicaUnknown},
	{"each write happens only if its own condition holds, and is counted", replicaConditions},
	{"a row is replaced by its own version and removed, on the same condition", replicaRemove},
	{"of 8 members writing one version, one is counted", replicaOneWriter},
	{"Versions has the ids that are stored, tombstones too", replicaVersions},
	{"Page goes by id and has tombstones", replicaPage},
	{"Count does not fail and counts no more than there is", replicaCount},
	{"many rows are written and read at once", replicaMany},
	{"any order, any duplicates, four members: every row ends at its last version", replicaConverges},
	{"orders see the tickets that are not deleted", replicaForOrders},
	{"orders of deleted tickets still see what was bought", replicaForOldOrders},
}

func newRow() replica.Row {
	return replica.Row{ID: objectid.New(), Title: "a chair", Price: 12.5}
}

func writeRows(t *testing.T, b Backend, want int, writes ...replica.Write) {
	t.Helper()
	n, err := b.Replica.Write(t.Context(), writes)
	must(t, "write rows", err)
	if n != want {
		t.Errorf("%d of %d writes counted, want %d", n, len(writes), want)
	}
}

func insertRow(r replica.Row) replica.Write { return replica.Write{From: event.None, Row: r} }

func replicaExact(t *testing.T, b Backend) {
	for i, text := range texts {
		r := newRow()
		r.Title, r.Price, r.OrderID = text, prices[i%len(prices)], objectid.New()
		writeRows(t, b, 1, insertRow(r))
		got, err := b.Replica.Row(t.Context(), r.ID)
		must(t, "read row", err)
		same(t, "row", got, r)

		r.Version, r.Title, r.OrderID = 1<<53, texts[(i+1)%len(texts)], ""
		r.Price = prices[(i+1)%len(prices)]
		writeRows(t, b, 1, replica.Write{From: 0, Row: r})
		got, err = b.Replica.Row(t.Context(), r.ID)
		must(t, "read row", err)
		same(t, "row after a write", got, r)
	}
}

func replicaUnknown(t *testing.T, b Backend) {
	_, err := b.Replica.Row(t.Context(), objectid.New())
	wants(t, "unknown row", err, replica.ErrNotFound)
}

func replicaConditions(t *testing.T, b Backend) {
	known := make([]replica.Row, 5)
	var first []replica.Write
	for i := range known {
		known[i] = newRow()
		known[i].Version = 3
		first = append(first, insertRow(known[i]))
	}
	writeRows(t, b, 5, first...)
	moved := func(i int, version int64) replica.Row {
		r := known[i]
		r.Version, r.Title = version, "moved"
		return r
	}
	unknown, fresh := newRow(), newRow()
	unknown.Version = 4
	writeRows(t, b, 3,
		insertRow(fresh),                                 // is stored
		insertRow(moved(0, 0)),                           // exists
		replica.Write{From: 3, Row: moved(1, 4)},         // is stored
		replica.Write{From: 2, Row: moved(2, 3)},         // another version is stored
		replica.Write{From: 4, Row: moved(3, 5)},         // another version is stored
		replica.Write{From: 3, Row: unknown},             // nothing is stored
		replica.Write{From: 3, Row: tombstone(known[4])}) // is stored
	for _, want := range []replica.Row{fresh, known[0], moved(1, 4), known[2], known[3], tombstone(known[4])} {
		got, err := b.Replica.Row(t.Context(), want.ID)
		must(t, "read row", err)
		same(t, "row", got, want)
	}
	_, err := b.Replica.Row(t.Context(), unknown.ID)
	wants(t, "row whose predecessor is not there", err, replica.ErrNotFound)
	writeRows(t, b, 0, insertRow(known[0]), replica.Write{From: 2, Row: moved(2, 3)})
	writeRows(t, b, 0)
}

// replicaRemove holds what trusting an owner needs. Cases 10.1, 11.6.
func replicaRemove(t *testing.T, b Backend) {
	r := newRow()
	r.Version = 3
	writeRows(t, b, 1, insertRow(r))
	other := r
	other.Title, other.Price, other.OrderID = "other", 102, objectid.New()
	writeRows(t, b, 1, replica.Write{From: 3, Row: other})
	got, err := b.Replica.Row(t.Context(), r.ID)
	must(t, "read row", err)
	same(t, "row after a write of its own version", got, other)
	back := r
	back.Version = 1
	writeRows(t, b, 1, replica.Write{From: 3, Row: back})
	writeRows(t, b, 0, replica.Write{From: 3, Row: back, Remove: true})
	writeRows(t, b, 1, replica.Write{From: 1, Row: back, Remove: true})
	_, err = b.Replica.Row(t.Context(), r.ID)
	wants(t, "removed row", err, replica.ErrNotFound)
	writeRows(t, b, 1, insertRow(r))
}

func tombstone(r replica.Row) replica.Row {
	return replica.Row{ID: r.ID, Version: r.Version + 1, Title: r.Title, Price: r.Price, Deleted: true}
}

func replicaOneWriter(t *testing.T, b Backend) {
	r := newRow()
	from := event.None
	for version := range int64(12) {
		counts := make([]int, 8)
		for _, err := range race(len(counts), func(i int) (err error) {
			mine := r
			mine.Version, mine.Title = version, fmt.Sprint("member ", i)
			counts[i], err = b.Replica.Write(t.Context(), []replica.Write{{From: from, Row: mine}})
			return err
		}) {
			must(t, "write", err)
		}
		winners, winner := 0, 0
		for i, n := range counts {
			if n == 1 {
				winners, winner = winners+1, i
			}
		}
		if winners != 1 {
			t.Fatalf("version %d: %d members were told that they wrote it, want 1", version, winners)
		}
		got, err := b.Replica.Row(t.Context(), r.ID)
		must(t, "read row", err)
		same(t, "writer", got.Title, fmt.Sprint("member ", winner))
		from = version
	}
}

func replicaVersions(t *testing.T, b Backend) {
	alive, dead := newRow(), tombstone(newRow())
	alive.Version = 7
	writeRows(t, b, 2, insertRow(alive), insertRow(dead))
	got, err := b.Replica.Versions(t.Context(), []string{alive.ID, objectid.New(), dead.ID, `"quoted", $id`})
	must(t, "versions", err)
	same(t, "versions", got, map[string]int64{alive.ID: 7, dead.ID: 1})
	got, err = b.Replica.Versions(t.Context(), nil)
	must(t, "versions of nothing", err)
	same(t, "versions of nothing", got, nil, empty)
}

func replicaPage(t *testing.T, b Backend) {
	var want []replica.Row
	for i, id := range descending(5) {
		r := newRow()
		r.ID, r.Deleted = id, i == 2
		writeRows(t, b, 1, insertRow(r))
		want = append([]replica.Row{r}, want...)
	}
	for after, rest := range map[string][]replica.Row{"": want, want[1].ID: want[2:], want[4].ID: nil} {
		got, err := b.Replica.Page(t.Context(), after, 3)
		must(t, "page", err)
		same(t, "page after "+after, got, rest[:min(3, len(rest))], empty)
	}
}

func replicaCount(t *testing.T, b Backend) {
	writeRows(t, b, 3, insertRow(newRow()), insertRow(newRow()), insertRow(tombstone(newRow())))
	n, err := b.Replica.Count(t.Context())
	must(t, "count", err)
	if n < 0 || n > 3 { // it may be an estimate
		t.Errorf("count is %d of 3 rows", n)
	}
}

func replicaMany(t *testing.T, b Backend) {
	const n = 2000
	var writes []replica.Write
	var all []string
	for range n {
		r := newRow()
		writes, all = append(writes, insertRow(r)), append(all, r.ID)
	}
	writeRows(t, b, n, writes...)
	for i := range writes {
		writes[i].From = 0
		writes[i].Row.Version = 1
	}
	writeRows(t, b, n, writes...)
	got, err := b.Replica.Versions(t.Context(), all)
	must(t, "versions", err)
	want := map[string]int64{}
	for _, id := range all {
		want[id] = 1
	}
	same(t, "versions", got, want)
}
