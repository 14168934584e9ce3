package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// gauges are what a fault may raise; the highest value of any process is kept.
var gauges = []string{
	"lockstep_outbox_pending", "lockstep_outbox_oldest_age_seconds", "lockstep_outbox_paused",
	"lockstep_listener_held", "lockstep_listener_quarantined", "lockstep_broker_lag_messages",
}

// signs are what processes said about themselves while they were watched.
type signs struct {
	cancel   context.CancelFunc
	watching sync.WaitGroup
	unready  int // the most processes that were not ready at once
	failed   map[string]bool
	first    map[string]float64 // by gauge, at the first look
	highest  map[string]float64
}

// watchSigns looks at the metrics of processes once a second until stop.
func watchSigns(t *testing.T, processes []*process) *signs {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &signs{cancel: cancel, failed: map[string]bool{}, highest: map[string]float64{}}
	s.look(ctx, processes)
	s.first = maps.Clone(s.highest)
	s.watching.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.look(ctx, processes)
			}
		}
	})
	return s
}

func (s *signs) look(ctx context.Context, processes []*process) {
	unready := 0
	for _, p := range processes {
		for series, value := range p.metrics(ctx) {
			name, labels, _ := strings.Cut(series, "{")
			switch {
			case name == "lockstep_ready" && value == 0:
				unready++
			case name == "lockstep_check_ok" && value == 0:
				s.failed[strings.TrimSuffix(strings.TrimPrefix(labels, `check="`), `"}`)] = true
			case slices.Contains(gauges, name) && !math.IsNaN(value):
				s.highest[name] = max(s.highest[name], value)
			}
		}
	}
	s.unready = max(s.unready, unready)
}

// metrics returns the values of a process by series; none if it does not answer.
func (p *process) metrics(ctx context.Context) map[string]float64 {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.Ready, "/readyz")+"/metrics", nil)
	if err != nil {
		return nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	all := map[string]float64{}
	for lines := bufio.NewScanner(io.LimitReader(resp.Body, 4<<20)); lines.Scan(); {
		line := lines.Text()
		i := strings.LastIndexByte(line, ' ')
		if value, err := strconv.ParseFloat(line[i+1:], 64); err == nil && !strings.HasPrefix(line, "#") {
			all[line[:i]] = value
		}
	}
	return all
}

// stop ends the watch and returns what was seen: checks that failed, gauges
// that rose.
func (s *signs) stop() string {
	s.cancel()
	s.watching.Wait()
	var said []string
	if s.unready > 0 {
		said = append(said, fmt.Sprintf("`lockstep_ready` 0 on %d", s.unready))
	}
	for _, check := range slices.Sorted(maps.Keys(s.failed)) {
		said = append(said, "`"+check+"` failed")
	}
	for _, name := range gauges {
		if most := s.highest[name]; most > s.first[name]+1 {
			said = append(said, fmt.Sprintf("`%s` up to %.0f", name, most))
		}
	}
	if len(said) == 0 {
		return "nothing"
	}
	return strings.Join(said, ", ")
}
