package outbox

import (
	"log/slog"
	"sync"
)

// Unreadable is an entry of the store that somebody else wrote and that is no
// event. It is never published and blocks no key.
type Unreadable struct {
	ID  string // by which it can be discarded
	Why string
}

// maxUnreadable bounds how many unreadable entries a process remembers.
const maxUnreadable = 1000

// Unreadables remembers what a store has found unreadable and logs each once.
// Its methods may be called from many goroutines.
type Unreadables struct {
	log   *slog.Logger
	mu    sync.Mutex
	known map[string]bool
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

// Count returns how many of what is remembered there still are, as there tells.
func (s *Unreadables) Count(there func(id string) (bool, error)) (int, error) {
	s.mu.Lock()
	var ids []string
	for id := range s.known {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	for _, id := range ids {
		found, err := there(id)
		if err != nil {
			return 0, err
		}
		if !found {
			s.mu.Lock()
			delete(s.known, id)
			s.mu.Unlock()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known), nil
}
