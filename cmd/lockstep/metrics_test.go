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

// TestEitherServiceMeasuresTheLagOfBothGroups: the lag of a service that is down
// is known by the other one. Counters of losses are there before the first.
// Case 11.10.
func TestEitherServiceMeasuresTheLagOfBothGroups(t *testing.T) {
	t.Parallel()
	r := startUp(t, t.TempDir())
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			seen[strings.Join([]string{f.GetName(), labels["service"], labels["group"], labels["channel"] + labels["subject"], labels["cause"]}, " ")] = true
		}
	}
	for _, want := range []string{
		"lockstep_broker_lag_messages tickets orders-service ticket:updated ",
		"lockstep_broker_lag_messages tickets orders-service payment:created ",
		"lockstep_broker_lag_messages tickets tickets-service order:created ",
		"lockstep_broker_lag_messages orders tickets-service order:created ",
		"lockstep_broker_lag_messages orders orders-service expiration:complete ",
		"lockstep_listener_losses_total orders  payment:created truncated",
		"lockstep_listener_losses_total tickets  order:created elsewhere",
		"lockstep_listener_lost_messages_total tickets  order:cancelled ",
		"lockstep_listener_subscribed orders   ",
		"lockstep_lock_waiting tickets   ",
	} {
		if !seen[want] {
			t.Errorf("nobody measures %q", want)
		}
	}
	r.end()
}
