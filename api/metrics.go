package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/internal/accept"
)

// unmatchedRoute is the route label of requests that no route answers.
const unmatchedRoute = "unmatched"

// otherMethod is the method label of methods outside the list.
const otherMethod = "other"

var (
	// methods are the values of the method label.
	methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, otherMethod}

	// everywhere are the codes that any route may answer.
	everywhere = []int{http.StatusBadRequest, http.StatusInternalServerError, http.StatusServiceUnavailable}
)

// metrics measures requests. The service label comes with the registerer.
type metrics struct {
	duration *prometheus.HistogramVec
	routes   []string
}

func newMetrics(reg prometheus.Registerer, routes []route) *metrics {
	m := &metrics{duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lockstep_http_request_duration_seconds",
		Help:    "Time from a request's headers to the end of its answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"route", "method", "code"})}
	for _, rt := range routes {
		m.routes = append(m.routes, rt.pattern)
		m.preset(rt.pattern, rt.method, append(rt.codes, everywhere...))
		if rt.method == http.MethodGet {
			m.preset(rt.pattern, http.MethodHead, append(rt.codes, everywhere...))
		}
	}
	for _, method := range methods {
		m.preset(unmatchedRoute, method, []int{http.StatusNotFound, http.StatusBadRequest})
	}
	if reg != nil {
		reg.MustRegister(m.duration)
	}
	return m
}

// refusals are the statuses of requests that reach no route: net/http's own, and
// those of package accept.
var refusals = []int{http.StatusBadRequest, http.StatusExpectationFailed, http.StatusRequestHeaderFieldsTooLarge, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported}

// connectionMetrics registers what is known of a server's connections.
func connectionMetrics(reg prometheus.Registerer, l *accept.Listener) {
	if reg == nil {
		return
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_http_refused_total",
		Help: "Requests that were refused before any route saw them, for what is wrong with their heads, by the status of the answer.",
	}, []string{"code"})
	for _, status := range refusals {
		refused.WithLabelValues(strconv.Itoa(status))
	}
	l.Refused = func(status int) {
		if !slices.Contains(refusals, status) {
			status = http.StatusBadRequest
		}
		refused.WithLabelValues(strconv.Itoa(status)).Inc()
	}
	reg.MustRegister(refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "lockstep_http_connections", Help: "Connections to the API that are open.",
	}, func() float64 { return float64(l.Open()) }), prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "lockstep_http_connections_cut_total", Help: "Idle connections that were closed to make room, because MAX_CONNECTIONS were open.",
	}, func() float64 { return float64(l.Cut()) }))
}

// preset makes the combinations exist, so that the first request of a kind is
// an increase and not a birth.
func (m *metrics) preset(route, method string, codes []int) {
	for _, code := range codes {
		m.duration.WithLabelValues(route, method, strconv.Itoa(code))
	}
}

// measure observes every request under the pattern of its route, never its
// path.
func (m *metrics) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := recorderOf(w)
		defer func() { m.observe(r, rec.status(), time.Since(began)) }()
		next.ServeHTTP(rec, r)
	})
}

func (m *metrics) observe(r *http.Request, code int, took time.Duration) {
	route, method := unmatchedRoute, r.Method
	if p := chi.RouteContext(r.Context()).RoutePattern(); slices.Contains(m.routes, p) {
		route = p
	}
	if !slices.Contains(methods, method) {
		method = otherMethod
	}
	m.duration.WithLabelValues(route, method, strconv.Itoa(code)).Observe(took.Seconds())
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	code int // 0 until the header is written
}

// recorderOf returns w itself if it records already.
func recorderOf(w http.ResponseWriter) *recorder {
	if rec, ok := w.(*recorder); ok {
		return rec
	}
	return &recorder{ResponseWriter: w}
}

// WriteHeader remembers the first final status.
func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= http.StatusOK {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write implies status 200, as net/http does.
func (r *recorder) Write(p []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) status() int {
	if r.code == 0 {
		return http.StatusOK
	}
	return r.code
}
