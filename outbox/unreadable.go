package outbox

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Unreadable is an entry of the store that somebody else wrote and that is no
// event. It is never published and blocks no key.
type Unreadable struct {
	ID  string // by which it can be discarded
	Why string
}

// maxUnreadable bounds how many unreadable entries a process remembers.
const maxUnreadable = 1000

// The whole outbox is searched for them once in searchEvery, and later if it
// takes long: searchShare times as long as that.
const (
	searchEvery = 30 * time.Second
	searchShare = 50
)

// Unreadables remembers what a store has found unreadable and logs each once.
// Its methods may be called from many goroutines.
type Unreadables struct {
	log *slog.Logger

	mu    sync.Mutex
	known map[string]bool
	next  time.Time // not before, the outbox is searched again
	cut   bool      // the last search found more than are remembered
}

// NewUnreadables returns an empty memory that logs to log.
func NewUnreadables(log *slog.Logger) *Unreadables {
	return &Unreadables{log: log, known: map[string]bool{}}
}

// Add remembers u, unless there are too many.
func (s *Unreadables) Add(u Unreadable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[u.ID] || len(s.known) >= maxUnreadable {
		return
	}
	s.known[u.ID] = true
	s.log.Error("an entry of the outbox is no event: it is not published; look at it and discard it", "event_id", u.ID, "why", u.Why)
}

// Count returns how many there are, of those that can be remembered. search
// returns up to limit of all that the store has, and still those of the ids that
// it has still.
func (s *Unreadables) Count(search func(limit int) ([]Unreadable, error), still func(ids []string) ([]string, error)) (int, error) {
	if s.due() {
		began := time.Now()
		found, err := search(maxUnreadable)
		if err != nil {
			return 0, err
		}
		for _, u := range found {
			s.Add(u)
		}
		s.searched(time.Since(began), len(found) == maxUnreadable)
	}
	ids := s.ids()
	if len(ids) == 0 {
		return 0, nil
	}
	left, err := still(ids)
	if err != nil {
		return 0, err
	}
	there := make(map[string]bool, len(left))
	for _, id := range left {
		there[id] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if !there[id] {
			delete(s.known, id)
		}
	}
	return len(s.known), nil
}

func (s *Unreadables) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.known))
}

// due reports whether it is time for a search: also once some are gone of more
// than could be remembered.
func (s *Unreadables) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !time.Now().Before(s.next) || s.cut && len(s.known) < maxUnreadable
}

func (s *Unreadables) searched(took time.Duration, cut bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.cut = time.Now().Add(max(searchEvery, searchShare*took)), cut
}
