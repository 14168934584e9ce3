package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"lockstep/incident"
)

// Case 9.12: one durable record per crossing.
var incidentCases = []testCase{
	{"an incident comes back exactly", incidentExact},
	{"an incident outlives a restart", incidentDurable},
	{"of many that open the same, one is first", incidentOneOpen},
	{"a write on an older revision is a conflict", incidentConflict},
	{"what is closed can open again, and both are kept", incidentOpensAgain},
	{"List goes from the newest on, by key, cause and what is open", incidentList},
	{"Due gives what waits longest", incidentDue},
	{"Prune deletes what was closed long ago, or beyond a number", incidentPrune},
	{"Counts counts what is open, by cause", incidentCounts},
}

// newIncident returns an incident that no store has, opened n seconds after
// noon.
func newIncident(n int) incident.Incident {
	at := noon.Add(time.Duration(n) * time.Second)
	return incident.Incident{
		ID: fmt.Sprintf("%012d", n), Cause: incident.EventUnpublished, Service: "tickets", Subject: fmt.Sprint("event ", n),
		Summary: texts[n%len(texts)], Opened: at, Raised: at.Add(time.Minute), Count: n, NotifyAt: at,
	}
}

// record writes an incident and returns it as stored.
func record(t *testing.T, b Backend, i incident.Incident) incident.Incident {
	t.Helper()
	must(t, "write incident", b.Incidents.Write(t.Context(), i))
	i.Revision++
	return i
}

func incidentIs(t *testing.T, b Backend, want incident.Incident) {
	t.Helper()
	got, err := b.Incidents.Incident(t.Context(), want.ID)
	must(t, "read incident", err)
	same(t, "incident", got, want)
}

// shut returns i closed n minutes after noon.
func shut(i incident.Incident, n int) incident.Incident {
	i.Closed, i.Ending = noon.Add(time.Duration(n)*time.Minute), "published"
	return i
}

func incidentExact(t *testing.T, b Backend) {
	_, err := b.Incidents.Incident(t.Context(), "unknown")
	wants(t, "read", err, incident.ErrNotFound)
	for n := range texts {
		i := newIncident(n)
		if n == 1 {
			i.NotifyAt = time.Time{}
		}
		i = record(t, b, i)
		incidentIs(t, b, i)
		i.Told, i.Tries, i.Count, i.Summary, i.NotifyAt = incident.ToldOpen, 3, 7, "again", noon.Add(time.Hour)
		i = record(t, b, shut(i, 5))
		incidentIs(t, b, i)
		i.NotifyAt = time.Time{}
		incidentIs(t, b, record(t, b, i))
	}
}

func incidentDurable(t *testing.T, b Backend) {
	open, closed := record(t, b, newIncident(1)), record(t, b, shut(newIncident(2), 5))
	b = b.Reopen(t)
	incidentIs(t, b, open)
	incidentIs(t, b, closed)
}

func incidentOneOpen(t *testing.T, b Backend) {
	const n = 8
	opened := 0
	for _, err := range race(n, func(i int) error {
		in := newIncident(i)
		in.Subject = "the same"
		return b.Incidents.Write(t.Context(), in)
	}) {
		switch {
		case err == nil:
			opened++
		case !errors.Is(err, incident.ErrConflict):
			t.Errorf("write: %v, want a conflict", err)
		}
	}
	same(t, "opened", opened, 1)
	other := newIncident(n)
	other.Subject, other.Service = "the same", "orders"
	record(t, b, other)
}

func incidentConflict(t *testing.T, b Backend) {
	first := record(t, b, newIncident(1))
	wants(t, "write as new", b.Incidents.Write(t.Context(), newIncident(1)), incident.ErrConflict)
	second := record(t, b, shut(first, 5))
	stale := first
	stale.Count = 99
	wants(t, "write on an older revision", b.Incidents.Write(t.Context(), stale), incident.ErrConflict)
	unknown := newIncident(2)
	unknown.Revision = 1
	wants(t, "write what is not there", b.Incidents.Write(t.Context(), unknown), incident.ErrConflict)
	incidentIs(t, b, second)
}

func incidentOpensAgain(t *testing.T, b Backend) {
	first := record(t, b, shut(newIncident(1), 5))
	again := newIncident(2)
	again.Subject = first.Subject
	again = record(t, b, again)
	incidentIs(t, b, first)
	incidentIs(t, b, again)
	got, err := b.Incidents.List(t.Context(), incident.Query{Key: first.Key(), Limit: 10})
	must(t, "list", err)
	same(t, "openings", got, []incident.Incident{again, first})
}

func incidentList(t *testing.T, b Backend) {
	var all []incident.Incident // the newest first
	for n := range 5 {
		i := newIncident(n)
		if n%2 == 1 {
			i.Cause = incident.BrokerLoss
		}
		if n > 2 {
			i = shut(i, n)
		}
		all = append([]incident.Incident{record(t, b, i)}, all...)
	}
	for _, c := range []struct {
		q    incident.Query
		want []incident.Incident
	}{
		{incident.Query{Limit: 3}, all[:3]},
		{incident.Query{Limit: 3, Before: all[2].ID}, all[3:]},
		{incident.Query{Limit: 3, Before: all[4].ID}, nil},
		{incident.Query{Limit: 2, OpenOnly: true}, all[2:4]},
		{incident.Query{Limit: 2, OpenOnly: true, Before: all[3].ID}, all[4:]},
		{incident.Query{Limit: 9, Closed: true}, all[:2]},
		{incident.Query{Limit: 9, Cause: incident.BrokerLoss}, []incident.Incident{all[1], all[3]}},
		{incident.Query{Limit: 9, Cause: incident.BrokerLoss, OpenOnly: true}, all[3:4]},
		{incident.Query{Limit: 9, Key: all[1].Key()}, all[1:2]},
		{incident.Query{Limit: 9, Key: all[1].Key(), OpenOnly: true}, nil},
	} {
		got, err := b.Incidents.List(t.Context(), c.q)
		must(t, "list", err)
		same(t, fmt.Sprintf("list of %+v", c.q), got, c.want, empty)
	}
}

func incidentDue(t *testing.T, b Backend) {
	var all []incident.Incident
	for n := range 4 {
		i := newIncident(4 - n)
		i.NotifyAt = noon.Add(time.Duration(n) * time.Minute)
		if n == 1 {
			i.NotifyAt = time.Time{}
		}
		all = append(all, record(t, b, i))
	}
	due := func(now time.Time, limit int, want ...incident.Incident) {
		t.Helper()
		got, err := b.Incidents.Due(t.Context(), now, now.Add(time.Hour), limit)
		must(t, "due", err)
		same(t, "due", got, want, empty)
	}
	due(noon.Add(-time.Second), 9)
	due(noon.Add(2*time.Minute), 9, all[0], all[2])
	due(noon.Add(time.Hour), 2, all[0], all[2])
	// A clock that was ahead. Case 10.12.
	due(noon.Add(-time.Hour), 9, all[2], all[3])
	due(noon.Add(-2*time.Hour), 9, all[0], all[2], all[3])
}

func incidentPrune(t *testing.T, b Backend) {
	open := record(t, b, newIncident(0))
	var closed []incident.Incident
	for n := 1; n < 6; n++ {
		closed = append(closed, record(t, b, shut(newIncident(n), n)))
	}
	left := func(want ...incident.Incident) {
		t.Helper()
		got, err := b.Incidents.List(t.Context(), incident.Query{Limit: 9})
		must(t, "list", err)
		same(t, "left", got, want)
	}
	must(t, "prune", b.Incidents.Prune(t.Context(), closed[1].Closed, 100))
	left(closed[4], closed[3], closed[2], closed[1], open)
	must(t, "prune", b.Incidents.Prune(t.Context(), noon, 2))
	left(closed[4], closed[3], open)
}

func incidentCounts(t *testing.T, b Backend) {
	for n := range 5 {
		i := newIncident(n)
		if n > 1 {
			i.Cause = incident.StoreStopped
		}
		if n == 4 {
			i = shut(i, n)
		}
		record(t, b, i)
	}
	got, err := b.Incidents.Counts(t.Context())
	must(t, "counts", err)
	same(t, "counts", got, map[incident.Cause]int{incident.EventUnpublished: 2, incident.StoreStopped: 2})
}
