package broker

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"

	"lockstep/internal/accept"
	"lockstep/internal/hosts"
)

// monitor serves the server's monitoring pages on a listener of our own: the
// server's would end the process for want of a port, and keep the port it
// picked to itself.
type monitor struct {
	listener net.Listener
	server   *http.Server
	done     chan error
}

func serveMonitor(l net.Listener, o Options, s *stand.StanServer, ns *natsd.Server) *monitor {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+stand.RootPath, s.HandleRootz)
	mux.HandleFunc("GET "+stand.ServerPath, s.HandleServerz)
	mux.HandleFunc("GET "+stand.StorePath, s.HandleStorez)
	mux.HandleFunc("GET "+stand.ClientsPath, s.HandleClientsz)
	mux.HandleFunc("GET "+stand.ChannelsPath, s.HandleChannelsz)
	mux.HandleFunc("GET /varz", ns.HandleVarz)
	mux.HandleFunc("GET /connz", ns.HandleConnz)
	mux.HandleFunc("GET /healthz", ns.HandleHealthz)
	server := &http.Server{
		Handler: onlyHere(o.Monitor, mux), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	m := &monitor{listener: accept.On(server, l, o.MaxConnections), server: server, done: make(chan error, 1)}
	go func() { m.done <- m.server.Serve(m.listener) }()
	return m
}

// onlyHere answers, on an address that only this machine reaches, requests that
// ask for this machine: not a page of another site whose name resolves to it.
func onlyHere(address string, next http.Handler) http.Handler {
	if !hosts.Loopback(address) {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !(hosts.Allowed{Loopback: true}).Has(r.Host) {
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (m *monitor) close() error {
	err := m.server.Close()
	if serr := <-m.done; !errors.Is(serr, http.ErrServerClosed) {
		err = errors.Join(err, serr)
	}
	return err
}
