package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"lockstep/incident"
)

// Incidents is what the operator sees and does of what a person should know of;
// *incident.Log has it.
type Incidents interface {
	Incidents(ctx context.Context, q incident.Query) ([]incident.Incident, error)
	Close(ctx context.Context, id, ending string) error
	Resolve(cause incident.Cause, subject, ending string)
}

// incidentAnswer is an incident as the operator sees it.
type incidentAnswer struct {
	ID       string         `json:"id"`
	Service  string         `json:"service"`
	Cause    incident.Cause `json:"cause"`
	Subject  string         `json:"subject"`
	Summary  string         `json:"summary"`
	Open     bool           `json:"open"`
	OpenedAt string         `json:"openedAt"`
	RaisedAt string         `json:"raisedAt"` // the latest time
	ClosedAt string         `json:"closedAt,omitempty"`
	Ending   string         `json:"ending,omitempty"`
	Count    int            `json:"count"`
	Told     string         `json:"told"` // nothing, open or over
}

func answerIncident(i incident.Incident) incidentAnswer {
	a := incidentAnswer{
		ID: i.ID, Service: i.Service, Cause: i.Cause, Subject: i.Subject, Summary: i.Summary, Open: i.Open(),
		OpenedAt: printTime(i.Opened), RaisedAt: printTime(i.Raised), Ending: i.Ending, Count: i.Count, Told: i.Told.String(),
	}
	if !i.Open() {
		a.ClosedAt = printTime(i.Closed)
	}
	return a
}

// listIncidents answers the newest first, of all services together: their ids
// sort by age. The route lies beside those of events, whose ids hold a colon.
func (o *ops) listIncidents(w http.ResponseWriter, r request) error {
	p, err := readPage(r)
	if err != nil {
		return err
	}
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	open, given, err := readBool(r, "open")
	if err != nil {
		return err
	}
	q := incident.Query{OpenOnly: open, Closed: given && !open}
	services = keepers(services)
	parts := make([]part[incidentAnswer], len(services))
	id := func(a incidentAnswer) string { return a.ID }
	for i, s := range services {
		parts[i], err = fill(p, func(p page) (part[incidentAnswer], error) { return s.incidents(r.Context(), q, p) })
		if err != nil {
			return fmt.Errorf("list incidents of %s: %w", s.Name, err)
		}
	}
	all, next := merge(parts, p, id, func(a, b string) int { return cmp.Compare(b, a) })
	return respond(w, http.StatusOK, struct {
		Incidents []incidentAnswer `json:"incidents"`
		Next      string           `json:"next,omitempty"`
	}{all, next})
}

// incidents returns one page of the service's incidents.
func (s Service) incidents(ctx context.Context, q incident.Query, p page) (part[incidentAnswer], error) {
	q.Before, q.Limit = p.after, p.limit
	found, err := s.Incidents.Incidents(ctx, q)
	answers := make([]incidentAnswer, len(found))
	for i, n := range found {
		answers[i] = answerIncident(n)
	}
	return pageOfAll(answers, func(a incidentAnswer) string { return a.ID }), err
}

// keepers returns the services that keep incidents.
func keepers(services []Service) []Service {
	return slices.DeleteFunc(slices.Clone(services), func(s Service) bool { return s.Incidents == nil })
}

func (o *ops) closeIncident(w http.ResponseWriter, r request) error {
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	for _, s := range keepers(services) {
		err := s.Incidents.Close(r.Context(), r.id(), "closed by an operator")
		if errors.Is(err, incident.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		o.Log.InfoContext(r.Context(), "incident closed by an operator", "service", s.Name, "incident_id", r.id())
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return newProblem(http.StatusNotFound, "No such incident is recorded here: lockstep outbox incidents lists them")
}
