package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Files of ours, beside the channels in the store directory.
const (
	lockName = "broker.lock"
	openName = "broker.open" // there while a broker runs, and after one that was killed
)

var errLocked = errors.New("locked")

// takeStore makes the store directory ours and, after a broker that was
// killed, ready to be read.
func (b *Broker) takeStore(ctx context.Context) error {
	dir := b.opts.StoreDir
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("broker store directory: %w", err)
	}
	lock, err := lockDir(dir)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("broker store %s: %w", dir, ErrStoreTaken)
	}
	if err != nil {
		return fmt.Errorf("lock broker store %s: %w", dir, err)
	}
	if err := b.mend(ctx); err != nil {
		return errors.Join(fmt.Errorf("broker store %s: %w", dir, err), lock.Close())
	}
	b.lock = lock
	return nil
}

// mend marks the directory as in use; a mark that is there already is that of
// a broker that was killed.
func (b *Broker) mend(ctx context.Context) error {
	log := b.opts.Log.With("dir", b.opts.StoreDir)
	mark := filepath.Join(b.opts.StoreDir, openName)
	if _, err := os.Stat(mark); err == nil {
		log.WarnContext(ctx, "the last broker was killed: its store is indexed anew")
		if err := dropIndexes(b.opts.StoreDir); err != nil {
			return err
		}
	}
	dropped, err := dropBlanks(b.opts.StoreDir)
	if len(dropped) > 0 {
		log.WarnContext(ctx, "files that a broker had begun and not written are removed; they held nothing", "files", dropped)
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	b.mark, err = os.Stat(mark)
	return err
}

// inPlace returns why the store directory is not the one that was taken, or nil.
// Whoever deletes or replaces it takes away what is confirmed afterwards: the server
// writes on into files that have no name any more.
func (b *Broker) inPlace() error {
	if b.mark == nil {
		return nil // messages are kept in memory
	}
	now, err := os.Stat(filepath.Join(b.opts.StoreDir, openName))
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(now, b.mark) {
		return fmt.Errorf("the store directory %s was deleted, moved or replaced while it was in use, and what it lacks is gone with the next start:"+
			" let the services take what waits, then put the directory back, or begin with an empty one", b.opts.StoreDir)
	}
	return err
}

// releaseStore is takeStore's end. A store that was not served as well counts
// as left in order: nothing was written to it.
func (b *Broker) releaseStore() error {
	return errors.Join(os.Remove(filepath.Join(b.opts.StoreDir, openName)), b.lock.Close())
}
