package mongodb

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

const (
	rememberFor = 10 * time.Minute // without being met again
	maxNamed    = 1000             // documents of a collection that are logged and counted
)

// unreadable knows the documents that somebody else wrote and that cannot be
// read: each is left out wherever it is met, logged once, and counted.
type unreadable struct {
	log *slog.Logger

	mu  sync.Mutex
	met map[string]map[string]time.Time // collection, id → when last
}

func newUnreadable(log *slog.Logger) *unreadable {
	u := &unreadable{log: log, met: map[string]map[string]time.Time{}}
	for _, c := range u.collections() {
		u.met[c] = map[string]time.Time{}
	}
	return u
}

// collections are those that documents are read from.
func (*unreadable) collections() []string {
	return []string{eventsName, incidentsName, locksName, ordersName, paymentsName, quarantineName, replicaName, ticketsName}
}

// note remembers a document that was met.
func (u *unreadable) note(ctx context.Context, collection string, doc bson.Raw, err error) {
	id := doc.Lookup("_id").String()
	u.mu.Lock()
	met := u.met[collection]
	_, known := met[id]
	if met == nil || !known && len(met) >= maxNamed {
		u.mu.Unlock()
		return
	}
	met[id] = time.Now()
	u.mu.Unlock()
	if !known {
		u.log.ErrorContext(ctx, "a document cannot be read and is left out: correct or remove it",
			slog.String("collection", collection), slog.String("id", id), "err", err)
	}
}

// recent counts the documents of a collection that were met lately.
func (u *unreadable) recent(collection string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.met[collection], func(_ string, last time.Time) bool { return time.Since(last) > rememberFor })
	return len(u.met[collection])
}
