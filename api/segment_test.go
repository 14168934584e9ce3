package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"lockstep/replica"
)

// Case 11.6.
func TestAnIDIsOneSegmentOfAPath(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"6b09be6f1f773f94319d1c25": "6b09be6f1f773f94319d1c25",
		"ranges":                   "%72anges",
		"..":                       "%2E%2E",
		"a/b?c#d%2Fe":              "%61%2Fb%3Fc%23d%252Fe",
		"ü":                        "%C3%BC",
	} {
		got := Segment(id)
		if back, err := url.PathUnescape(got); got != want || back != id || err != nil {
			t.Errorf("%q is %s, and that is %q, %v; want %s", id, got, back, err, want)
		}
	}
}

// TestAnEmptyIDIsNoRecord: not the list of all, which a reset would take for the
// owner's record. Case 11.6.
func TestAnEmptyIDIsNoRecord(t *testing.T) {
	t.Parallel()
	f, h := newOps(t, func(o *OpsOptions) { o.Comparer = resetting{t} })
	f.create(t, "u1")
	for _, call := range [][2]string{
		{http.MethodGet, "/ops/tickets//"},
		{http.MethodGet, "/ops/orders//"},
		{http.MethodGet, "/ops/replica/tickets//"},
		{http.MethodPost, "/ops/replica/tickets//reset"},
		{http.MethodGet, "/ops/locks//"},
		{http.MethodPost, "/ops/locks//reset"},
		{http.MethodPost, "/ops/outbox//discard"},
	} {
		if got := local(t, h, call[0], call[1]); got.status != http.StatusNotFound {
			t.Errorf("%s %s = %d %s, want 404", call[0], call[1], got.status, got.body)
		}
	}
	earlier := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ops/tickets/" {
			r.URL.Path = "/ops/tickets"
		}
		opsPort(w, r)
	}
	o, _, _ := at(t, earlier)
	if row, err := o.Snapshot(t.Context(), ""); !errors.Is(err, replica.ErrNotFound) {
		t.Errorf("the owner's ticket without an id: %+v, %v, want ErrNotFound", row, err)
	}
}

// resetting is a comparer that must not be asked to reset anything.
type resetting struct{ t *testing.T }

func (resetting) Verify(context.Context, replica.Progress, func(replica.Drift) error) (replica.Verified, error) {
	return replica.Verified{}, nil
}

func (resetting) Mend(context.Context, replica.MendOptions) (replica.Mended, error) {
	return replica.Mended{}, nil
}

func (r resetting) Reset(_ context.Context, id string) (before, after *replica.Row, err error) {
	r.t.Errorf("reset of %q", id)
	return nil, nil, nil
}
