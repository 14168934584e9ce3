package outbox

import (
	"testing"

	"lockstep/event"
)

func TestNothingIsReadWhileALimitIsReached(t *testing.T) {
	t.Parallel()
	wide := limits{window: 10, perKey: 10, memory: 10, undeleted: 10, bytes: 1 << 20, blocked: 10}
	for _, tc := range []struct {
		name  string
		limit func(*limits)
		reach func(*queue)
		leave func(*queue)
	}{
		{"events held", func(l *limits) { l.memory = 2 }, func(*queue) {}, confirmOne},
		{"bytes held", func(l *limits) { l.bytes = 200 }, func(*queue) {}, confirmOne},
		{"events not yet deleted", func(l *limits) { l.undeleted = 2 },
			func(q *queue) { confirmOne(q); confirmOne(q) },
			func(q *queue) { q.deletes-- }},
	} {
		l := wide
		tc.limit(&l)
		q := newQueue(l)
		for v := range int64(2) {
			r := Record{Event: event.Event{Key: "a", Version: v, Payload: make([]byte, 100)}, Locked: true}
			if !q.offer(&r, true) {
				t.Fatalf("%s: v%d is no news", tc.name, v)
			}
		}
		tc.reach(q)
		q.open("unread").more = true
		q.load(q.lanes["unread"], 1)
		if q.hasRoom() || q.nextLoad() != nil {
			t.Errorf("%s: at the limit the store is read", tc.name)
		}
		tc.leave(q)
		if !q.hasRoom() || q.nextLoad() == nil {
			t.Errorf("%s: below the limit the store is not read", tc.name)
		}
	}
}

func confirmOne(q *queue) { q.confirm(q.next()) }
