package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"lockstep/api"
)

// pace is how often one user writes.
const pace = 12 * time.Millisecond

// load drives the system through HTTP as users would.
type load struct {
	demo            *demo
	tickets, orders string
	client          *http.Client

	mu       sync.Mutex
	known    map[string]int64 // version of each ticket as last answered
	reserved map[string]bool  // orders that were answered with 201
	count    writes
	took     []time.Duration // of every answered write
}

// writes counts what was answered.
type writes struct {
	tickets, edits, deletes, orders, cancels int // done
	refused                                  int // with a reason: reserved, not replicated yet, changed meanwhile
	failed                                   int // without one
	away                                     int // done while the broker was away
	slowestAway                              time.Duration
}

func (w writes) done() int { return w.tickets + w.edits + w.deletes + w.orders + w.cancels }

func newLoad(d *demo) *load {
	return &load{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: d.Writers}, Timeout: 20 * time.Second},
		demo:   d, tickets: urlOf(d.system.ticketsAt) + "/api/tickets", orders: urlOf(d.system.ordersAt) + "/api/orders",
		known: map[string]int64{}, reserved: map[string]bool{},
	}
}

// run writes until ctx ends.
func (l *load) run(ctx context.Context) {
	var users sync.WaitGroup
	for i := range l.demo.Writers {
		users.Go(func() {
			(&user{load: l, rng: rand.New(rand.NewPCG(uint64(i), 1)), name: fmt.Sprintf("user%d@example.com", i)}).run(ctx)
		})
	}
	users.Wait()
}

// user owns tickets and orders.
type user struct {
	load   *load
	rng    *rand.Rand
	name   string
	cookie string
	mine   []string // tickets
	orders []string
}

func (u *user) run(ctx context.Context) {
	cookie, err := u.load.demo.system.sessions.Cookie(api.User{ID: userID(u.name), Email: u.name})
	if err != nil {
		u.load.demo.log.ErrorContext(ctx, "no session", "err", err)
		return
	}
	u.cookie = cookie
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			u.act(context.WithoutCancel(ctx)) // what is begun is finished
		}
	}
}

// act does one thing a user may do.
func (u *user) act(ctx context.Context) {
	c := &u.load.count
	draft := fmt.Sprintf(`{"title":"concert %d","price":"%d.50"}`, u.rng.IntN(1000), 1+u.rng.IntN(100))
	dice := u.rng.IntN(100)
	switch {
	case len(u.mine) == 0 || dice < 20:
		if id := u.write(ctx, &c.tickets, http.MethodPost, u.load.tickets, draft); id != "" {
			u.mine = append(u.mine, id)
		}
	case dice < 70:
		u.write(ctx, &c.edits, http.MethodPut, u.load.tickets+"/"+u.pick(), draft)
	case dice < 85:
		if id := u.write(ctx, &c.orders, http.MethodPost, u.load.orders, `{"ticketId":"`+u.pick()+`"}`); id != "" {
			u.orders = append(u.orders, id)
		}
	case dice < 97 && len(u.orders) > 0:
		i := u.rng.IntN(len(u.orders))
		u.write(ctx, &c.cancels, http.MethodDelete, u.load.orders+"/"+u.orders[i], "")
		u.orders = append(u.orders[:i], u.orders[i+1:]...)
	case dice >= 97:
		u.write(ctx, &c.deletes, http.MethodDelete, u.load.tickets+"/"+u.pick(), "")
	}
}

// pick prefers tickets that were created lately, so that some become hot.
func (u *user) pick() string {
	n := len(u.mine)
	return u.mine[n-1-min(u.rng.IntN(n), u.rng.IntN(n))]
}

// write sends a request, counts it, and returns the id in the answer.
func (u *user) write(ctx context.Context, done *int, method, url, body string) string {
	away := u.load.demo.isAway()
	began := time.Now()
	status, answer, err := u.send(ctx, method, url, body)
	took := time.Since(began)
	l := u.load
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil || status >= http.StatusInternalServerError:
		l.count.failed++
		l.demo.log.ErrorContext(ctx, "write failed", "method", method, "status", status, "err", err)
		return ""
	case status >= http.StatusBadRequest:
		l.count.refused++
		return ""
	}
	*done++
	l.took = append(l.took, took)
	if away {
		l.count.away++
		l.count.slowestAway = max(l.count.slowestAway, took)
	}
	switch {
	case done == &l.count.orders:
		l.reserved[answer.ID] = true
	case answer.ID != "":
		l.known[answer.ID] = max(l.known[answer.ID], answer.Version)
	}
	return answer.ID
}

// written is what an answer says of the record.
type written struct {
	ID      string
	Version int64
}

func (u *user) send(ctx context.Context, method, url, body string) (int, written, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, written{}, err
	}
	req.Header.Set("Cookie", u.cookie)
	req.Header.Set("Content-Type", "application/json")
	resp, err := u.load.client.Do(req)
	if err != nil {
		return 0, written{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, written{}, err
	}
	var answer written
	_ = json.Unmarshal(data, &answer) // a 204 says nothing
	return resp.StatusCode, answer, nil
}

// counted returns the figures so far.
func (l *load) counted() writes {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}
