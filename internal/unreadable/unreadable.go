// Package unreadable remembers records of a store that other hands wrote and
// that cannot be read. Whoever reads leaves them out wherever they are met, so
// that one of them breaks no list; here each is named in the log once, and
// counted while it is met.
package unreadable

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	rememberFor = 10 * time.Minute // without being met again
	maxNamed    = 1000             // records of a table that are logged and counted
)

// Records are those of one store. Its methods may be called from many
// goroutines.
type Records struct {
	log  *slog.Logger
	desc *prometheus.Desc

	mu  sync.Mutex
	met map[string]map[string]time.Time // table, id → when last
}

// New returns an empty memory that counts on reg, unless that is nil. Tables
// are counted from the start; any other once a record of it is met.
func New(log *slog.Logger, reg prometheus.Registerer, tables ...string) *Records {
	r := &Records{log: log, met: map[string]map[string]time.Time{}, desc: prometheus.NewDesc("lockstep_store_unreadable_records",
		"Records that were met in the last ten minutes and left out, for they cannot be read; the log names them.", []string{"table"}, nil)}
	for _, t := range tables {
		r.met[t] = map[string]time.Time{}
	}
	if reg != nil {
		reg.MustRegister(r)
	}
	return r
}

// maxID bounds the id of what is listed, in bytes: a list goes on behind an id,
// and an entry is asked for by it, in the head of a request.
const maxID = 2000

// CheckID returns an error if a record has an id that nobody can ask for.
func CheckID(id string) error {
	if len(id) > maxID {
		return fmt.Errorf("the id has more than %d bytes", maxID)
	}
	return nil
}

// Note remembers a record that was met; err is why it cannot be read.
func (r *Records) Note(ctx context.Context, table, id string, err error) {
	if CheckID(id) != nil {
		id = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(id[:maxID/10], ""), len(id))
	}
	if r.news(table, id) {
		r.log.ErrorContext(ctx, "a record of the store cannot be read and is left out: correct or remove it",
			slog.String("table", table), slog.String("id", id), "err", err)
	}
}

// news reports whether a record is to be named. Beyond maxNamed none is.
func (r *Records) news(table, id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	met := r.met[table]
	if met == nil {
		met = map[string]time.Time{}
		r.met[table] = met
	}
	_, known := met[id]
	if !known && len(met) >= maxNamed {
		return false
	}
	met[id] = time.Now()
	return !known
}

// Describe implements prometheus.Collector.
func (r *Records) Describe(descs chan<- *prometheus.Desc) { descs <- r.desc }

// Collect implements prometheus.Collector.
func (r *Records) Collect(metrics chan<- prometheus.Metric) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for table, met := range r.met {
		maps.DeleteFunc(met, func(_ string, last time.Time) bool { return time.Since(last) > rememberFor })
		metrics <- prometheus.MustNewConstMetric(r.desc, prometheus.GaugeValue, float64(len(met)), table)
	}
}
