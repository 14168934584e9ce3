package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"lockstep/outbox"
)

var _ outbox.Leases = (*Outbox)(nil)

const acquireLease = "INSERT INTO leases (name, owner, epoch, expiresAt) VALUES (?1, ?2, 1, ?3)" +
	" ON CONFLICT (name) DO UPDATE SET owner = ?2, epoch = coalesce(CAST(epoch AS INTEGER), 0) + 1, expiresAt = ?3" +
	" WHERE coalesce(expiresAt, 0) <= ?4 OR expiresAt > ?5 OR owner = ?2" +
	" RETURNING epoch"

// Acquire implements outbox.Leases.
func (s *Outbox) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (outbox.Lease, bool, error) {
	l, err := ask(ctx, s.db, func(ctx context.Context, w *writer) (l outbox.Lease, err error) {
		now := s.db.now()
		settled, err := w.settled(ctx, name)
		if err != nil {
			return l, err
		}
		row, err := w.row(ctx, acquireLease, name, owner, millis(now.Add(ttl)), millis(now), millis(now.Add(2*ttl)))
		if err != nil {
			return l, err
		}
		l.Name, l.Owner, l.Settled = name, owner, settled
		return l, row.Scan(&l.Epoch)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return outbox.Lease{}, false, nil
	}
	return l, err == nil, err
}

// settled reports whether nobody had the lease, or its holder gave it up and
// left nothing to be looked for.
func (w *writer) settled(ctx context.Context, name string) (bool, error) {
	row, err := w.row(ctx, "SELECT NOT EXISTS (SELECT 1 FROM leases WHERE name = ? AND expiresAt <> 0)", name)
	if err != nil {
		return false, err
	}
	var settled bool
	err = row.Scan(&settled)
	return settled, err
}

const isHeld = " WHERE name = ? AND owner = ? AND epoch = ?"

// Renew implements outbox.Leases.
func (s *Outbox) Renew(ctx context.Context, l outbox.Lease, ttl time.Duration) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		now := s.db.now()
		n, err := w.exec(ctx, "UPDATE leases SET expiresAt = ?"+isHeld+" AND expiresAt > ?",
			millis(now.Add(ttl)), l.Name, l.Owner, l.Epoch, millis(now))
		if err == nil && n == 0 {
			err = outbox.ErrLeaseLost
		}
		return err
	})
}

// Release implements outbox.Leases.
func (s *Outbox) Release(ctx context.Context, l outbox.Lease) error {
	return s.db.do(ctx, func(ctx context.Context, w *writer) error {
		long := 1 // ago
		if l.Settled {
			long = 0
		}
		_, err := w.exec(ctx, "UPDATE leases SET expiresAt = ?"+isHeld, long, l.Name, l.Owner, l.Epoch)
		return err
	})
}
