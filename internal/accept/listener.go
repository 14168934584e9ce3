package accept

import (
	"cmp"
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// Listener lets in at most as many connections as it was given. One more takes
// the place of the one that has been idle longest, which is every one that is
// not between the head of a request and the end of its answer; while all are
// busy, it waits. Its methods may be called from many goroutines.
type Listener struct {
	net.Listener

	// Refused is told the status of each answer to a request that did not reach
	// the handler; nil tells nobody. It may not be set once Serve is called.
	Refused func(status int)

	max     int
	maxHead int

	mu      sync.Mutex
	changed sync.Cond // on mu: there may be room, or the end
	open    int
	idle    list.List // of *conn, the longest idle first
	cut     uint64
	closed  bool
}

// On makes the server serve at most max connections of l, and refuse requests
// that could be taken for two, and heads of more than MaxHeaderBytes, which
// net/http alone would exceed by what it has read ahead. It sets the server's
// handler, ConnContext, ConnState and DisableGeneralOptionsHandler. Serve must be
// given the listener it returns, and that alone.
func On(s *http.Server, l net.Listener, max int) *Listener {
	a := &Listener{Listener: l, max: max, maxHead: cmp.Or(s.MaxHeaderBytes, http.DefaultMaxHeaderBytes)}
	a.changed.L = &a.mu
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.ConnState = a.note
	s.DisableGeneralOptionsHandler = true // it would answer OPTIONS * past the handler
	s.Handler = a.checked(s.Handler)
	return a
}

// Open returns how many connections are open.
func (a *Listener) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open
}

// Cut returns how many idle connections had to make room.
func (a *Listener) Cut() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cut
}

// Accept returns the next connection once there is room for it.
func (a *Listener) Accept() (net.Conn, error) {
	c, err := a.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if !a.admit() {
		_ = c.Close() // nobody was told of it
		return nil, net.ErrClosed
	}
	return &conn{Conn: c, of: a, frames: frames{maxHead: a.maxHead}}, nil
}

// Close ends Accept, also one that waits for room.
func (a *Listener) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.changed.Broadcast()
	return a.Listener.Close()
}

// admit takes a place, and makes one if it has to. It returns false once the
// listener is closed.
func (a *Listener) admit() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.open >= a.max && !a.closed {
		longest := a.idle.Front()
		if longest == nil {
			a.changed.Wait()
			continue
		}
		c := longest.Value.(*conn)
		c.wasCut = true
		a.cut++
		a.forget(c)
		_ = c.Conn.Close() // it is over, however it ends
	}
	if !a.closed {
		a.open++
	}
	return !a.closed
}

// note follows a connection from state to state, as http.Server.ConnState.
func (a *Listener) note(nc net.Conn, s http.ConnState) {
	c := nc.(*conn) // On's server accepts no others
	a.mu.Lock()
	defer a.mu.Unlock()
	switch s {
	case http.StateNew, http.StateIdle:
		c.answered = false
		if !c.gone {
			c.idle = a.idle.PushBack(c)
			a.changed.Signal()
		}
	case http.StateActive:
		a.wake(c)
	case http.StateClosed, http.StateHijacked:
		a.forget(c)
	}
}

func (a *Listener) refuse(status int) {
	if a.Refused != nil {
		a.Refused(status)
	}
}

// wake takes a connection off the list of idle ones.
func (a *Listener) wake(c *conn) {
	if c.idle != nil {
		a.idle.Remove(c.idle)
		c.idle = nil
	}
}

// forget gives the place of a connection back, once.
func (a *Listener) forget(c *conn) {
	a.wake(c)
	if !c.gone {
		c.gone = true
		a.open--
		a.changed.Signal()
	}
}
