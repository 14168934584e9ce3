package replica_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"lockstep/replica"
)

func mend(t *testing.T, ours *rows, owners *owner) replica.Mended {
	t.Helper()
	return mendAs(t, ours, owners, replica.MendOptions{Cause: replica.ByOperator})
}

func mendAs(t *testing.T, ours *rows, owners *owner, o replica.MendOptions) replica.Mended {
	t.Helper()
	got, err := replica.NewVerifier(ours, owners, 0).Mend(t.Context(), o)
	if err != nil {
		t.Fatalf("Mend: %v", err)
	}
	return got
}

func TestMendFillsAnEmptyReplica(t *testing.T) {
	t.Parallel()
	_, owners := pair(25_000)
	ours := newRows()
	got := mend(t, ours, owners)
	if got.Repaired != 25_000 || got.Compared != 25_000 || got.LeftOver != 0 {
		t.Errorf("mended %+v, want 25000 rows filled", got)
	}
	if diff := cmp.Diff(owners.rows.rows, ours.rows); diff != "" {
		t.Errorf("replica (-owner +replica):\n%s", diff)
	}
	if owners.snapshots != 0 {
		t.Errorf("%d single snapshots, want pages only", owners.snapshots)
	}
}

func TestMendMovesOnlyForward(t *testing.T) {
	t.Parallel()
	ours, owners := pair(100)
	ours.rows["t00001"] = replica.Row{ID: "t00001", Version: 1}
	ours.rows["t00002"] = replica.Row{ID: "t00002", Version: 9}
	ours.rows["unknown"] = replica.Row{ID: "unknown", Version: 4}
	delete(ours.rows, "t00003")
	got := mend(t, ours, owners)
	if got.Repaired != 2 || got.LeftOver != 2 || len(got.Left) != 2 {
		t.Errorf("mended %+v, want 2 repaired and 2 left", got)
	}
	if v := ours.rows["t00002"].Version; v != 9 {
		t.Errorf("a row that was ahead went back to version %d", v)
	}
	if v := ours.rows["t00001"].Version; v != 3 {
		t.Errorf("a row that was behind has version %d, want 3", v)
	}
	if again := mend(t, ours, owners); again.Repaired != 0 || again.LeftOver != 2 {
		t.Errorf("a second mending did %+v, want nothing", again)
	}
}
