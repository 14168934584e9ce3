package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"lockstep/api"
)

// opsServer is the operator's address. It is served before the program is put
// together, so that a process that waits for its store can say so.
type opsServer struct {
	net.Listener
	handler atomic.Pointer[http.Handler]
	cancel  context.CancelFunc
	ended   chan error // gets what the server ended with
}

// serveOps begins to serve h on the listener, with connections of its own.
func (p *program) serveOps(l net.Listener, h http.Handler) *opsServer {
	o := &opsServer{Listener: l, ended: make(chan error, 1)}
	o.answer(h)
	server := api.NewServer(l, o, api.ServerOptions{MaxConnections: share(), Within: drainWithin, Log: p.log})
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	go func() { o.ended <- server.Run(ctx) }()
	return o
}

// answer makes h the one who answers from now on.
func (o *opsServer) answer(h http.Handler) { o.handler.Store(&h) }

func (o *opsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*o.handler.Load()).ServeHTTP(w, r)
}

// run is the part of a group that ends the server.
func (o *opsServer) run(ctx context.Context) error {
	select {
	case err := <-o.ended:
		return err
	case <-ctx.Done():
		return o.stop()
	}
}

// stop ends the server and waits for it.
func (o *opsServer) stop() error {
	o.cancel()
	return <-o.ended
}
