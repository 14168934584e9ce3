package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
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

	ping  func(context.Context) error
	close func() error
}

// eventStore is everything an outbox is asked for.
type eventStore interface {
	outbox.Store
	outbox.Leases
	outbox.Inspector
}

// openStore opens the store of a service. It must be closed.
func openStore(ctx context.Context, f storeFlags, service string) (*store, error) {
	if f.MongoURI != "" {
		return nil, &usageError{"MONGO_URI: this build has no MongoDB adapter; unset it to use SQLite in DATA_DIR"}
	}
	if err := os.MkdirAll(f.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	db, err := sqlite.Open(ctx, filepath.Join(f.DataDir, service+".db"), sqlite.Options{})
	if errors.Is(err, sqlite.ErrInUse) {
		return nil, fmt.Errorf("another process works in %s: stop it, or choose another directory with --data-dir (DATA_DIR): %w", f.DataDir, err)
	}
	if err != nil {
		return nil, err
	}
	return &store{
		tickets: db.Tickets(), orders: db.Orders(), orderTickets: db.OrderTickets(), replica: db.Replica(),
		outbox: db.Outbox(), quarantine: db.Quarantine(), marks: db.Marks(),
		ping: db.Ping, close: db.Close,
	}, nil
}
