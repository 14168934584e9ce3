package api

import (
	"container/list"
	"errors"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

// Limits bound how many changes are asked for. As many as are allowed in a
// minute may come at once. The zero value bounds nothing.
type Limits struct {
	PerUser    int // changes a minute by one user; 0 means any number
	PerAddress int // and from one address, or one network of IPv6 (/64)

	// Proxies are the networks whose X-Forwarded-For is believed. The address
	// that counts is the last one in it that is none of theirs; without any, or
	// from others, that of the connection.
	Proxies []netip.Prefix
}

// ParseProxies reads addresses and networks, with commas between them.
func ParseProxies(list string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		network, err := netip.ParsePrefix(one)
		if address, notOne := netip.ParseAddr(one); err != nil && notOne == nil && address.Zone() == "" {
			network, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return nil, errors.New("want addresses or networks, such as 10.0.0.7 or 10.1.0.0/16, with commas between them")
		}
		all = append(all, network)
	}
	return all, nil
}

// limits holds changes to Limits.
type limits struct {
	users, addresses *buckets
	sessions         *Sessions
	refused          *prometheus.CounterVec
}

// newLimits makes routes that change something refuse what is too much. reg may
// be nil.
func newLimits(l Limits, sessions *Sessions, reg prometheus.Registerer) *limits {
	made := &limits{users: newBuckets(l.PerUser), addresses: newBuckets(l.PerAddress), sessions: sessions}
	made.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lockstep_http_limited_total", Help: "Changes that were refused because too many were asked for, by whose limit.",
	}, []string{"by"})
	for _, by := range []string{byUser, byAddress} {
		made.refused.WithLabelValues(by)
	}
	if reg != nil {
		reg.MustRegister(made.refused)
	}
	return made
}

// Whose limit a change was refused by.
const (
	byUser    = "user"
	byAddress = "address"
)

// changing is an endpoint that is held to the limits.
func (l *limits) changing(serve endpoint) endpoint {
	return func(w http.ResponseWriter, r request) error {
		address := middleware.GetClientIPAddr(r.Context())
		if address.Is6() {
			network, _ := address.WithZone("").Prefix(64) // of an address: no error
			address = network.Addr()
		}
		if wait := l.addresses.take(address.String()); wait > 0 {
			return l.refuse(byAddress, wait)
		}
		if l.users != nil {
			if user, _ := l.sessions.find(r.Request); user != "" {
				if wait := l.users.take(user); wait > 0 {
					return l.refuse(byUser, wait)
				}
			}
		}
		return serve(w, r)
	}
}

func (l *limits) refuse(by string, wait time.Duration) error {
	l.refused.WithLabelValues(by).Inc()
	p := newProblem(http.StatusTooManyRequests, "Too many changes: try again later")
	p.retryAfter = wait
	return p
}

// fromProxies lets routes know the address of the client.
func fromProxies(proxies []netip.Prefix) []func(http.Handler) http.Handler {
	handlers := []func(http.Handler) http.Handler{middleware.ClientIPFromRemoteAddr}
	if len(proxies) > 0 {
		var networks []string
		for _, p := range proxies {
			networks = append(networks, p.String())
		}
		handlers = append(handlers, middleware.ClientIPFromXFF(networks...))
	}
	return handlers
}

// maxBuckets bounds what is remembered of users and addresses. Whoever has not
// asked for longest is forgotten first, and begins anew.
const maxBuckets = 10_000

// buckets has a token bucket for each key. It may be used from many goroutines;
// nil bounds nothing.
type buckets struct {
	perMinute int
	seed      maphash.Seed
	now       func() time.Time

	mu     sync.Mutex
	by     map[uint64]*list.Element // by the hash of the key: keys may be long
	recent list.List                // of *bucket, the latest used first
}

type bucket struct {
	hash uint64
	*rate.Limiter
}

func newBuckets(perMinute int) *buckets {
	if perMinute == 0 {
		return nil
	}
	return &buckets{perMinute: perMinute, seed: maphash.MakeSeed(), now: time.Now, by: map[uint64]*list.Element{}}
}

// take returns how long the caller has to wait before it may go on; 0 if it need
// not.
func (b *buckets) take(key string) time.Duration {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	r := b.bucket(maphash.String(b.seed, key)).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (b *buckets) bucket(hash uint64) *bucket {
	if known, ok := b.by[hash]; ok {
		b.recent.MoveToFront(known)
		return known.Value.(*bucket)
	}
	if len(b.by) >= maxBuckets {
		oldest := b.recent.Remove(b.recent.Back()).(*bucket)
		delete(b.by, oldest.hash)
	}
	made := &bucket{hash, rate.NewLimiter(rate.Limit(b.perMinute)/60, b.perMinute)}
	b.by[hash] = b.recent.PushFront(made)
	return made
}
