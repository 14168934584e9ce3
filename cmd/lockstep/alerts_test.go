package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var alertFolder = filepath.Join("..", "..", "deploy", "prometheus")

// alertRules returns the rules as text, and the names of the alerts.
func alertRules(t *testing.T) (rules string, names []string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(alertFolder, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(data), -1) {
		names = append(names, n[1])
	}
	return string(data), names
}

// TestAlertsFireOnWhatTheyAreFor runs the tests of the rules with Prometheus's
// own tool.
func TestAlertsFireOnWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("PROMTOOL IS MISSING, SO NO ALERT IS TESTED: apt-get install prometheus")
	}
	for _, args := range [][]string{{"check", "config", "prometheus.yaml"}, {"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		command := exec.CommandContext(t.Context(), promtool, args...)
		command.Dir = alertFolder
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests, err := os.ReadFile(filepath.Join(alertFolder, "rules_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, names := alertRules(t)
	for _, n := range names {
		if strings.Count(string(tests), "alertname: "+n) < 2 {
			t.Errorf("%s has no test of when it fires and when it does not", n)
		}
	}
}

func TestAlertsNameMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	rules, _ := alertRules(t)
	have := registered(t)
	for _, name := range regexp.MustCompile(`(lockstep_[a-z_]+?)(?:_(?:sum|count|bucket))?\b`).FindAllStringSubmatch(rules, -1) {
		if !slices.Contains(have, name[1]) {
			t.Errorf("the rules name %s, which no process has", name[1])
		}
	}
}

// TestEachPageOfTheRunbookHasAnAlert: each page that a metric leads to, unless
// it says why not. And each alert has its page.
func TestEachPageOfTheRunbookHasAnAlert(t *testing.T) {
	t.Parallel()
	rules, names := alertRules(t)
	var led []string
	for _, r := range regexp.MustCompile(`runbook: docs/runbook\.md#(\S+)`).FindAllStringSubmatch(rules, -1) {
		led = append(led, r[1])
	}
	if len(led) != len(names) {
		t.Errorf("%d alerts lead to %d pages", len(names), len(led))
	}
	var pages []string
	for _, page := range strings.Split(runbook(t), "\n## ")[1:] {
		heading, body, _ := strings.Cut(page, "\n")
		anchor := strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
		pages = append(pages, anchor)
		if strings.Contains(body, "lockstep_") && !strings.Contains(body, "*No alert:*") && !slices.Contains(led, anchor) {
			t.Errorf("no alert of deploy/prometheus/rules.yaml leads to the page %q: write one with its test, or say in the page why there is none (*No alert:* …)", heading)
		}
	}
	for _, l := range led {
		if !slices.Contains(pages, l) {
			t.Errorf("an alert leads to #%s, which the runbook does not have", l)
		}
	}
}
