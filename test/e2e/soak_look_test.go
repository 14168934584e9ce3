package e2e

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shownWithin is how long a fault may last unseen; a busy machine is given more
// and the time is reported.
const shownWithin = 90 * time.Second

// shows waits until what is wrong can be seen.
func (s *trial) shows(what string, look func() bool) {
	s.t.Helper()
	began := time.Now()
	within(s.t, shownWithin, "it shows: "+what, look)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[what] = append(s.seen[what], time.Since(began))
}

// page reads a page of a process within a moment; "" if it does not answer.
func (s *trial) page(p *process, path string) string {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Second)
	defer cancel()
	r, err := s.tryFor(ctx, s.t, "", http.MethodGet, strings.TrimSuffix(p.Ready, "/readyz")+path, nil)
	if err != nil {
		return ""
	}
	return r.raw
}

// readyz returns the checks of a process that do not succeed, as "name: reason";
// false if it does not answer.
func (s *trial) readyz(p *process) (bad []string, answers bool) {
	var answer struct {
		Ready  bool
		Checks []struct{ Name, Status, Reason string }
	}
	if json.Unmarshal([]byte(s.page(p, "/readyz")), &answer) != nil {
		return nil, false
	}
	for _, c := range answer.Checks {
		if c.Status != "ok" {
			bad = append(bad, c.Name+": "+c.Reason)
		}
	}
	return bad, true
}

// saysOf reports whether the readiness of a process of the service has the words.
func (s *trial) saysOf(service, words string) func() bool {
	return func() bool {
		for _, p := range s.members(service) {
			bad, _ := s.readyz(p)
			if strings.Contains(strings.Join(bad, "\n"), words) {
				return true
			}
		}
		return false
	}
}

// sumOf adds up a metric over the processes of a service: series whose line
// begins with name and has all of the labels.
func (s *trial) sumOf(service, name string, labels ...string) float64 {
	sum := 0.0
	for _, p := range s.members(service) {
	line:
		for line := range strings.Lines(s.page(p, "/metrics")) {
			if !strings.HasPrefix(line, name) {
				continue
			}
			for _, l := range labels {
				if !strings.Contains(line, l) {
					continue line
				}
			}
			if v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64); err == nil && !math.IsNaN(v) {
				sum += v
			}
		}
	}
	return sum
}

// rises waits until a metric is higher than it was.
func (s *trial) rises(was float64, service, name string, labels ...string) {
	s.t.Helper()
	s.shows(service+" "+name+" "+strings.Join(labels, " "), func() bool { return s.sumOf(service, name, labels...) > was })
}

// operatorAfter is how long a person waits for a service to mend itself, and
// operatorEvery how often the runbook is followed then.
const (
	operatorAfter = 45 * time.Second
	operatorEvery = 20 * time.Second
)

// well waits until every process says that all is well, and the replica is the
// owner's. What only a person can decide is decided as the runbook says.
func (s *trial) well() {
	s.t.Helper()
	if s.t.Failed() {
		return
	}
	began := time.Now()
	next := began.Add(operatorAfter)
	var bad []string
	s.waitFor(4*time.Minute, func() bool {
		if bad = s.bad(); time.Now().After(next) {
			s.operate(bad)
			next = time.Now().Add(operatorEvery)
		}
		return len(bad) == 0
	}, func() string { return "all is well: " + strings.Join(bad, "\n") })
	s.command(s.ordersOps, "replica", "verify")
	s.note("well after %v", time.Since(began).Round(time.Second))
}

// bad lists what the processes of both services say is not well.
func (s *trial) bad() (all []string) {
	for _, p := range slices.Concat(s.canonical, s.copies) {
		bad, answers := s.readyz(p)
		if !answers {
			bad = []string{"no answer"}
		}
		for _, b := range bad {
			all = append(all, p.Name+": "+b)
		}
	}
	return all
}

// waitFor is within, and says at its end what was missing.
func (s *trial) waitFor(limit time.Duration, holds func() bool, missing func() string) {
	s.t.Helper()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !holds(); {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("not within %v: %s", limit, missing())
		}
	}
}

// operate does what the runbook says about what is left.
func (s *trial) operate(bad []string) {
	for _, service := range []string{"tickets", "orders"} {
		if !strings.Contains(strings.Join(bad, "\n"), service+" quarantine") {
			continue
		}
		list, _ := lockstep(s.t, "replica", "quarantine", "--ops-url", s.ops(service))
		lines := strings.Split(strings.TrimSpace(list), "\n")
		s.note("operator discards %d messages of %s: %.400s", len(lines)-1, service, list)
		lockstep(s.t, "replica", "quarantine", "discard", "--all", "--ops-url", s.ops(service))
	}
}
