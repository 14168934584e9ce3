package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// answerWithin bounds the work on one request, but for streams.
	answerWithin = 10 * time.Second

	// writeWithin bounds how long a client may take to receive an answer.
	writeWithin = 30 * time.Second
)

// Options of the routes.
type Options struct {
	Sessions   *Sessions             // required
	Log        *slog.Logger          // required
	Registerer prometheus.Registerer // metrics are registered here; nil registers none
	Delete     bool                  // tickets can be deleted, which the originals cannot do: they answer 404
	Limits     Limits                // of changes

	pace pace // of lists; for tests
}

func (o Options) check() error {
	var missing []error
	if o.Sessions == nil {
		missing = append(missing, errors.New("api: Options.Sessions is missing"))
	}
	if o.Log == nil {
		missing = append(missing, errors.New("api: Options.Log is missing"))
	}
	return errors.Join(missing...)
}

// request is an HTTP request whose body was read.
type request struct {
	*http.Request
	body body
}

// id returns the id in the path, unescaped.
func (r request) id() string {
	id, err := url.PathUnescape(chi.URLParam(r.Request, "id"))
	if err != nil {
		return ""
	}
	return id
}

// endpoint answers a request or returns why not; the error must be returned
// before anything was written.
type endpoint func(http.ResponseWriter, request) error

// route is one row of a door's table.
type route struct {
	method  string
	pattern string
	serve   endpoint
	codes   []int // what it may answer, apart from what every route may
}

func on(method, pattern string, serve endpoint, codes ...int) route {
	return route{method: method, pattern: pattern, serve: serve, codes: codes}
}

// bounded ends the work of an endpoint after answerWithin. Streams, whose
// every write is bounded, go without.
func bounded(serve endpoint) endpoint {
	return func(w http.ResponseWriter, r request) error {
		ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
		defer cancel()
		return serve(w, request{r.WithContext(ctx), r.body})
	}
}

// newDoor returns a handler of the routes that behaves like the Express
// applications: paths without regard to case, one slash more is no matter, GET
// answers HEAD, OPTIONS lists methods, the body is read first, everything else
// is not found.
func newDoor(o Options, routes []route) http.Handler {
	limits := newLimits(o.Limits, o.Sessions, o.Registerer)
	for i, rt := range routes {
		if rt.method != http.MethodGet {
			routes[i].serve = limits.changing(rt.serve)
			routes[i].codes = append(rt.codes, http.StatusTooManyRequests)
		}
	}
	routes = append(routes, options(routes)...)
	before := append(fromProxies(o.Limits.Proxies), newMetrics(o.Registerer, routes).measure, recovering(o.Log), relaxed)
	return newMux(o.Log, routes, before...)
}

// options returns a route for each pattern that says which methods it has, as
// Express answers OPTIONS.
func options(routes []route) []route {
	allowed := map[string][]string{}
	for _, rt := range routes {
		allowed[rt.pattern] = append(allowed[rt.pattern], rt.method)
		if rt.method == http.MethodGet {
			allowed[rt.pattern] = append(allowed[rt.pattern], http.MethodHead)
		}
	}
	var all []route
	for pattern, methods := range allowed {
		list := strings.Join(methods, ",")
		all = append(all, on(http.MethodOptions, pattern, func(w http.ResponseWriter, _ request) error {
			w.Header().Set("Allow", list)
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, list) // the client has gone
			return nil
		}, http.StatusOK))
	}
	return all
}

func newMux(log *slog.Logger, routes []route, before ...func(http.Handler) http.Handler) *chi.Mux {
	mux := chi.NewRouter()
	mux.Use(before...)
	sent := &bodies{}
	for _, rt := range routes {
		h := handle(log, sent, named(rt))
		mux.Method(rt.method, rt.pattern, h)
		if rt.method == http.MethodGet {
			mux.Method(http.MethodHead, rt.pattern, h)
		}
	}
	unmatched := handle(log, sent, func(http.ResponseWriter, request) error { return errNotFound })
	mux.NotFound(unmatched)
	mux.MethodNotAllowed(unmatched)
	return mux
}

// named returns how a route answers: if it is of one record, nothing is found
// without an id. chi takes an empty segment for one, and whoever is asked for it
// further on would be asked for the list of all.
func named(rt route) endpoint {
	if !strings.Contains(rt.pattern, "{id}") {
		return rt.serve
	}
	return func(w http.ResponseWriter, r request) error {
		if r.id() == "" {
			return errNotFound
		}
		return rt.serve(w, r)
	}
}

// handle reads the body, calls serve and answers with its error.
func handle(log *slog.Logger, sent *bodies, serve endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		extendWrite(w)
		m := &meter{of: sent}
		defer m.release()
		b, err := readBody(r, m)
		if err == nil {
			err = serve(w, request{r, b})
		}
		if errors.Is(err, errBodies) {
			w.Header().Set("Connection", "close") // the rest of the body is not waited for
		}
		if err != nil {
			refuse(w, r, log, err)
		}
	}
}

// extendWrite gives the client writeWithin from now. Writers without deadlines
// (tests) need none.
func extendWrite(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWithin))
}

// relaxed lets chi match the path as Express does.
func relaxed(next http.Handler) http.Handler {
	return routed(next, strings.ToLower)
}

// exact lets chi match the path as it is, for ids that are not ours.
func exact(next http.Handler) http.Handler {
	return routed(next, func(path string) string { return path })
}

// routed sets what chi matches: always the escaped path, so that an id is
// unescaped once, without one slash at its end.
func routed(next http.Handler, form func(string) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := form(r.URL.EscapedPath())
		if len(path) > 1 {
			path = strings.TrimSuffix(path, "/")
		}
		chi.RouteContext(r.Context()).RoutePath = path
		next.ServeHTTP(w, r)
	})
}

// recovering answers a panic like any internal failure, if nothing was written
// yet; otherwise the connection is cut, so that nobody takes half an answer
// for a whole one.
func recovering(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rec := recorderOf(w)
			defer func() {
				switch p := recover(); {
				case p == nil:
				case p == http.ErrAbortHandler: //nolint:errorlint // net/http compares the value itself
					panic(p)
				default:
					log.ErrorContext(r.Context(), "panic in a request", "panic", p, "stack", string(debug.Stack()))
					if rec.code != 0 {
						panic(http.ErrAbortHandler)
					}
					refuse(w, r, log, errPanic)
				}
			}()
			next.ServeHTTP(rec, r)
		})
	}
}

var errPanic = errors.New("panic")
