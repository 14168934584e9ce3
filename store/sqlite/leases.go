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
	" ON CONFLICT (name) DO UPDATE SET owner = ?2, epoch = epoch + 1, expiresAt = ?3 WHERE expiresAt <= ?4 OR owner = ?2" +
	" RETURNING epoch"

// Acquire implements outbox.Leases.
func (s *Outbox) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l outbox.Lease, ok bool, err error) {
	err = s.db.do(ctx, func(ctx context.Context, w *writer) error {
		now := s.db.now()
		row, err := w.row(ctx, acquireLease, name, owner, millis(now.Add(ttl)), millis(now))
		if err != nil {
			return err
		}
		l, ok = outbox.Lease{Name: name, Owner: owner}, false
		err = row.Scan(&l.Epoch)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	if err != nil || !ok {
		return outbox.Lease{}, false, err
	}
	return l, true, nil
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
		_, err := w.exec(ctx, "UPDATE leases SET expiresAt = 0"+isHeld, l.Name, l.Owner, l.Epoch)
		return err
	})
}
