package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// promised are the metrics whose names and labels operators build on.
var promised = map[string][]string{
	"lockstep_outbox_pending":                   {},
	"lockstep_outbox_oldest_age_seconds":        {},
	"lockstep_outbox_published_total":           {"subject"},
	"lockstep_outbox_publish_failures_total":    {"reason", "subject"},
	"lockstep_outbox_commit_to_publish_seconds": {},
	"lockstep_outbox_blocked_keys":              {},
	"lockstep_listener_received_total":          {"delivery", "subject"},
	"lockstep_listener_messages_total":          {"outcome", "subject"},
	"lockstep_listener_event_lag_seconds":       {"subject"},
	"lockstep_listener_held":                    {},
	"lockstep_listener_oldest_held_age_seconds": {},
	"lockstep_listener_quarantined":             {},
	"lockstep_listener_in_flight":               {},
	"lockstep_listener_connected":               {},
	"lockstep_broker_lag_messages":              {"channel", "group"},
	"lockstep_replica_rows":                     {},
	"lockstep_replica_repairs_total":            {"by"},
	"lockstep_lock_conflicts_total":             {},
	"lockstep_http_request_duration_seconds":    {"code", "method", "route"},
	"lockstep_build_info":                       {"go", "revision", "version"},
}

func TestPromisedMetricsAreThereFromTheStart(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			if l.GetName() != "service" { // which of the two
				labels = append(labels, l.GetName())
			}
		}
		got[f.GetName()] = labels
	}
	for name, labels := range promised {
		if diff := cmp.Diff(got[name], labels); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name := range got {
		if !strings.HasPrefix(name, "lockstep_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is nobody's", name)
		}
	}
	r.end()
}
