package brokertest

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy stands between clients and a broker and breaks their connections on
// demand. It may be used from many goroutines.
type Proxy struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex
	links  map[net.Conn]struct{} // both ends of every connection
	down   bool                  // new connections are dropped
	frozen chan struct{}         // closed when bytes may flow; nil while they flow
	closed bool
}

// NewProxy returns a proxy for the broker at url, until the test ends.
func NewProxy(t testing.TB, url string) *Proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen for the proxy: %v", err)
	}
	p := &Proxy{listener: l, target: strings.TrimPrefix(url, "nats://"), links: make(map[net.Conn]struct{})}
	p.wg.Go(func() { p.accept(context.WithoutCancel(t.Context())) })
	t.Cleanup(p.close)
	return p
}

// URL returns where clients connect.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Cut breaks every connection. Clients may connect again at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.links {
		c.Close()
	}
}

// Down breaks every connection and lets none through until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up ends Down.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Freeze keeps every connection open and passes nothing on until Thaw, as a
// host does that hangs.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

// Thaw ends Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		server, err := d.DialContext(ctx, "tcp", p.target)
		if err != nil || !p.join(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		p.wg.Go(func() { p.pump(client, server) })
		p.wg.Go(func() { p.pump(server, client) })
	}
}

func (p *Proxy) join(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.closed {
		return false
	}
	p.links[client], p.links[server] = struct{}{}, struct{}{}
	return true
}

// pump passes bytes on until either end closes.
func (p *Proxy) pump(to, from net.Conn) {
	defer func() {
		to.Close()
		from.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, from)
	}()
	_, _ = io.Copy(to, thawing{from, p}) // an end that closes is what ends it
}

// thawing reads only while the proxy is not frozen.
type thawing struct {
	net.Conn
	p *Proxy
}

func (r thawing) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	for err == nil {
		r.p.mu.Lock()
		frozen := r.p.frozen
		r.p.mu.Unlock()
		if frozen == nil {
			break
		}
		<-frozen
	}
	return n, err
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close()
	p.Cut()
	p.Thaw()
	p.wg.Wait()
}
