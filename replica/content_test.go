package replica_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/replica"
)

// Case 10.1: the owner's database was restored and edited to the same version,
// or a foreign hand changed a row.
func TestSameVersionWithOtherContentIsDriftAndIsMended(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*replica.Row){
		"title":   func(r *replica.Row) { r.Title = "other" },
		"price":   func(r *replica.Row) { r.Price = 102 },
		"order":   func(r *replica.Row) { r.OrderID = "o1" },
		"deleted": func(r *replica.Row) { *r = replica.Row{ID: r.ID, Version: r.Version, Deleted: true} },
	} {
		for _, old := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ours, owners := pair(3000)
				owners.old = old
				r := owners.rows.rows["t01700"]
				change(&r)
				owners.rows.rows["t01700"] = r
				got, _ := drifts(t, replica.NewVerifier(ours, owners, 0))
				if diff := cmp.Diff(map[string]replica.Kind{"t01700": replica.Differs}, got); diff != "" {
					t.Fatalf("drifts, owner of an old release %t (-want +got):\n%s", old, diff)
				}
				if m := mend(t, ours, owners); m.Repaired != 1 || m.LeftOver != 0 {
					t.Errorf("mended %+v, want one row", m)
				}
				if diff := cmp.Diff(owners.rows.rows, ours.rows); diff != "" {
					t.Errorf("replica (-owner +replica):\n%s", diff)
				}
			})
		}
	}
}

// What JSON or a store cannot keep apart is no difference, and neither is what
// a tombstone has besides its version.
func TestContentThatOnlyLooksDifferentIsEqual(t *testing.T) {
	t.Parallel()
	negative := 0.0
	negative *= -1
	for name, sides := range map[string][2]replica.Row{
		"zeros":         {{Price: 0}, {Price: negative}},
		"invalid UTF-8": {{Title: "a\xff\xfeb"}, {Title: "a\ufffd\ufffdb"}},
		"tombstones":    {{Deleted: true, Title: "kept", Price: 3}, {Deleted: true}},
	} {
		ours, owners := pair(10)
		for i, side := range []*rows{ours, owners.rows} {
			r := sides[i]
			r.ID, r.Version = "t00004", 3
			side.rows[r.ID] = r
		}
		if got, _ := drifts(t, replica.NewVerifier(ours, owners, 0)); len(got) != 0 || owners.pages != 0 {
			t.Errorf("%s: drifts %v after %d pages, want none by digests alone", name, got, owners.pages)
		}
	}
}

// Case 10.1: a restored owner is believed only when an operator asks for it.
func TestATrustedOwnerMovesRowsBackAndRemovesWhatItNeverHad(t *testing.T) {
	t.Parallel()
	ours, owners := pair(100)
	ours.rows["t00002"] = replica.Row{ID: "t00002", Version: 9, Price: 12}
	ours.rows["t00003"] = replica.Row{ID: "t00003", Version: 9, Deleted: true}
	ours.rows["ghost"] = replica.Row{ID: "ghost", Version: 4}
	if m := mend(t, ours, owners); m.LeftOver != 3 || m.Removed != 0 || ours.rows["t00002"].Version != 9 {
		t.Errorf("mended %+v without being asked to trust, want three left over", m)
	}
	m := mendAs(t, ours, owners, replica.MendOptions{Cause: replica.ByOperator, TrustOwner: true})
	if m.Repaired != 2 || m.Removed != 1 || m.LeftOver != 0 {
		t.Errorf("mended %+v, want 2 moved back and 1 removed", m)
	}
	if diff := cmp.Diff(owners.rows.rows, ours.rows); diff != "" {
		t.Errorf("replica (-owner +replica):\n%s", diff)
	}
}

// Case 10.1: the owner moves on while a row goes back to what it had. The event of
// that came before, was taken for one that the replica had, and does not come again.
func TestARowThatIsMovedBackMissesNoEvent(t *testing.T) {
	t.Parallel()
	for name, trust := range map[string]func(t *testing.T, ours *rows, owners *owner) error{
		"repair": func(t *testing.T, ours *rows, owners *owner) error {
			mendAs(t, ours, owners, replica.MendOptions{Cause: replica.ByOperator, TrustOwner: true})
			return nil
		},
		"reset": func(t *testing.T, ours *rows, owners *owner) error {
			_, _, err := replica.NewRepairer(ours, owners, replica.RepairOptions{}).Reset(t.Context(), "t00001")
			return err
		},
	} {
		ours, owners := pair(3)
		ours.rows["t00001"] = replica.Row{ID: "t00001", Version: 9, Price: 12}
		ours.interfere = func(*rows) {
			owners.rows.rows["t00001"] = replica.Row{ID: "t00001", Version: 4, OrderID: "o1"}
			ours.interfere = nil
		}
		if err := trust(t, ours, owners); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(owners.rows.rows, ours.rows); diff != "" {
			t.Errorf("%s: replica (-owner +replica):\n%s", name, diff)
		}
	}
}

// Case 11.6: one record goes back to what its owner has, whatever was forged.
func TestResetMakesOneRowWhatItsOwnerHas(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]*replica.Row{
		"version of int64 max": {ID: "t00001", Version: 1<<63 - 1},
		"deleted":              {ID: "t00001", Version: 4, Deleted: true},
		"sold at 0.01":         {ID: "t00001", Version: 4, Price: 0.01},
		"same version":         {ID: "t00001", Version: 3, Price: 0.01},
		"nothing":              nil,
		"unknown to its owner": {ID: "ghost", Version: 0},
	} {
		ours, owners := pair(3)
		id := "t00001"
		if forged == nil {
			delete(ours.rows, id)
		} else {
			id = forged.ID
			ours.rows[id] = *forged
		}
		before, after, err := replica.NewRepairer(ours, owners, replica.RepairOptions{}).Reset(t.Context(), id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(owners.rows.rows, ours.rows); diff != "" {
			t.Errorf("%s: replica (-owner +replica):\n%s", name, diff)
		}
		if diff := cmp.Diff(forged, before); diff != "" || (after == nil) != (id == "ghost") {
			t.Errorf("%s: told %v before and %v after", name, before, after)
		}
	}
}

// Case 10.1: a duplicate that says something else than the row is counted and
// logged, and changes nothing; honest duplicates are not.
func TestDuplicateWithOtherContentIsCountedAndLogged(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	var log bytes.Buffer
	s := newRows()
	p := replica.NewProjector(s)
	p.Metrics, p.Log = replica.NewMetrics(reg), slog.New(slog.NewTextHandler(&log, nil))
	apply(t, p, change("a", 0), change("a", 1), change("a", 1))
	apply(t, p, change("a", 0), change("a", 1))
	conflicts := func(want float64) {
		t.Helper()
		if got := value(t, reg, "lockstep_replica_content_conflicts_total"); got != want {
			t.Errorf("%v conflicts counted, want %v", got, want)
		}
	}
	conflicts(0)
	other := change("a", 1)
	other.Price = 102
	gone := event.TicketChange{Ticket: event.Ticket{ID: "a", Version: 1}, Predecessor: 0, Deleted: true}
	for range 50 {
		apply(t, p, other, gone)
	}
	conflicts(100)
	if r, _ := s.Row(t.Context(), "a"); r.Price != 1 {
		t.Errorf("row %+v, want what was stored first", r)
	}
	if n := strings.Count(log.String(), "another content"); n != 1 {
		t.Errorf("%d log lines for a flood, want 1:\n%s", n, log.String())
	}
}

func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// Case 9.11: an owner with nothing but its public API is compared as far as
// that tells.
func TestAnOwnerWithAPublicAPIOnlyIsCompared(t *testing.T) {
	t.Parallel()
	ours, owners := pair(5000)
	owners.public = true
	set := func(side *rows, r replica.Row) { side.rows[r.ID] = r }
	for i, id := range []string{"t00010", "t04000"} { // held at the owner: not in its list
		set(owners.rows, replica.Row{ID: id, Version: 4, OrderID: "o"})
		if i == 0 {
			set(ours, replica.Row{ID: id, Version: 4, OrderID: "o"})
		}
	}
	set(ours, replica.Row{ID: "t00020", Version: 4, Deleted: true}) // hidden at the owner
	set(owners.rows, replica.Row{ID: "t00020", Version: 4, Deleted: true})
	set(ours, replica.Row{ID: "t00030", Version: 3, Price: 12})
	delete(ours.rows, "t00040")
	delete(ours.rows, "t04999")
	set(ours, replica.Row{ID: "z", Version: 0})
	want := map[string]replica.Kind{
		"t04000": replica.Behind, "t00030": replica.Differs, "t00040": replica.Missing, "t04999": replica.Missing, "z": replica.Extra,
	}
	got, _ := drifts(t, replica.NewVerifier(ours, owners, 0))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("drifts (-want +got):\n%s", diff)
	}
	if m := mend(t, ours, owners); m.Repaired != 4 || m.LeftOver != 1 || !m.Public {
		t.Errorf("mended %+v, want 4 rows, one left over, and that the owner is public", m)
	}
	if again, _ := drifts(t, replica.NewVerifier(ours, owners, 0)); len(again) != 1 {
		t.Errorf("drifts %v after mending, want the extra one", again)
	}
	empty := newRows()
	if m := mend(t, empty, owners); m.Repaired != 4997 { // but for the two held and the deleted one
		t.Errorf("an empty replica got %d rows, want all 4997 on sale", m.Repaired)
	}
}

// TestAForgedDeletionBesideAPublicAPI: one of a ticket that the owner shows is
// found and mended by trust; one of an id that nobody has cannot be told from a
// deletion, sells nothing, and goes by a reset. Case 11.6.
func TestAForgedDeletionBesideAPublicAPI(t *testing.T) {
	t.Parallel()
	ours, owners := pair(10)
	owners.public = true
	for _, id := range []string{"t00003", "ghost"} {
		ours.rows[id] = replica.Row{ID: id, Version: 9, Deleted: true}
	}
	found, _ := drifts(t, replica.NewVerifier(ours, owners, 0))
	if diff := cmp.Diff(map[string]replica.Kind{"t00003": replica.Ahead}, found); diff != "" {
		t.Errorf("drifts (-want +got):\n%s", diff)
	}
	sum, err := replica.NewVerifier(ours, owners, 0).Mend(t.Context(), replica.MendOptions{TrustOwner: true})
	if err != nil || sum.Repaired != 1 || sum.Removed != 0 || ours.rows["t00003"].Deleted {
		t.Errorf("mended %+v, %v: %+v, want the ticket back and nothing removed", sum, err, ours.rows["t00003"])
	}
	repairer := replica.NewRepairer(ours, owners, replica.RepairOptions{})
	if before, after, err := repairer.Reset(t.Context(), "ghost"); err != nil || before == nil || after != nil {
		t.Errorf("reset: %+v, %+v, %v, want it removed", before, after, err)
	}
	if row, still := ours.rows["ghost"]; still {
		t.Errorf("the reset left %+v", row)
	}
}
