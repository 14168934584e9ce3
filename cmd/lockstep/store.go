package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"lockstep/incident"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/store/mongodb"
	"lockstep/store/sqlite"
	"lockstep/ticket"
)

// store is every port of one service, on whichever engine.
type store struct {
	tickets      ticket.Store
	orders       order.Store
	orderTickets order.Tickets
	replica      replica.Store
	outbox       eventStore
	quarantine   listeners.Quarantine
	marks        listeners.Marks
	incidents    incident.Store
	alone        bool   // no other process works on it
	stopped      string // why the last process had stopped writing to it; "" if it had not, or nobody knows

	ping  func(context.Context) error
	keep  func(context.Context) error // looks after the store until its context ends; nil if there is nothing to look after
	close func() error
}

// eventStore is everything an outbox is asked for.
type eventStore interface {
	outbox.Store
	outbox.Leases
	outbox.Inspector
}

// openStore opens the store of a service of this process. It must be closed.
func (p *program) openStore(ctx context.Context, f storeFlags, service string) (s *store, err error) {
	if f.MongoURI != "" {
		s, err = p.awaitMongoDB(ctx, f.MongoURI, service)
	} else {
		s, err = p.openSQLite(ctx, f.DataDir, service)
	}
	if err != nil {
		return nil, err
	}
	p.undo = append(p.undo, s.close)
	return s, nil
}

func (p *program) openSQLite(ctx context.Context, dir, service string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made: choose another one with --data-dir (DATA_DIR): %w", err)
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, service+".db"), sqlite.Options{
		Service: sqlite.Service(service), Log: p.log.With("service", service), Registerer: p.registerer(service),
	})
	if errors.Is(err, sqlite.ErrInUse) {
		return nil, fmt.Errorf("another process works in %s: stop it, or choose another directory with --data-dir (DATA_DIR): %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	return &store{
		tickets: db.Tickets(), orders: db.Orders(), orderTickets: db.OrderTickets(), replica: db.Replica(),
		outbox: db.Outbox(), quarantine: db.Quarantine(), marks: db.Marks(), incidents: db.Incidents(), alone: true, stopped: db.Stopped(),
		ping: db.Ping, close: db.Close,
	}, nil
}

// askAgainAfter is the pause between two tries to open a store that is not
// there yet.
const askAgainAfter = time.Second

// awaitMongoDB waits for a database that does not answer, or has no primary,
// and says so. What only a person can mend is an error.
func (p *program) awaitMongoDB(ctx context.Context, uri, service string) (*store, error) {
	for said := ""; ; {
		s, err := p.openMongoDB(ctx, uri, service)
		if errors.Is(err, mongodb.ErrURI) {
			return nil, &usageError{"MONGO_URI: " + err.Error()}
		}
		if err == nil || errors.Is(err, mongodb.ErrSetUp) || ctx.Err() != nil {
			return s, err
		}
		p.ready.Await(service+" store", err)
		if brief, _, _ := strings.Cut(err.Error(), ": server selection"); brief != said {
			p.log.WarnContext(ctx, "the store is not there: waiting for it", "service", service, "err", err)
			said = brief
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(askAgainAfter):
		}
	}
}

func (p *program) openMongoDB(ctx context.Context, uri, service string) (*store, error) {
	metrics := prometheus.NewRegistry() // of its own: a try that fails leaves nothing behind
	o := mongodb.Options{
		Service: mongodb.Service(service), AppName: "lockstep-" + service, Log: p.log.With("service", service),
		Registerer: metrics,
	}
	if p.shared { // two services, a database each
		o.Database = strings.TrimPrefix(databaseOf(uri)+"-"+service, "-")
	}
	db, err := mongodb.Open(ctx, uri, o)
	if err != nil {
		return nil, err
	}
	p.registerer(service).MustRegister(metrics)
	return &store{
		tickets: db.Tickets(), orders: db.Orders(), orderTickets: db.OrderTickets(), replica: db.Replica(),
		outbox: db.Outbox(), quarantine: db.Quarantine(), marks: db.Marks(), incidents: db.Incidents(),
		ping: db.Ping, keep: db.Keep, close: db.Close,
	}, nil
}

// registerer puts the service's name to every metric.
func (p *program) registerer(service string) prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"service": service}, p.registry)
}

// databaseOf returns the database that a URI names; "" if none. net/url cannot
// be asked: a list of hosts is no host to it.
func databaseOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	_, path, _ := strings.Cut(rest[strings.LastIndex(rest, "@")+1:], "/")
	name, _, _ := strings.Cut(path, "?")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}
