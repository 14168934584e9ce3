package incident

import (
	"context"
	"errors"
	"slices"
	"time"
)

// pending is what is known of a key and not recorded yet. The incident in it
// is what will be recorded if none is open.
type pending struct {
	Incident
	raised    int    // raises to record
	summary   string // of the latest
	ending    string // "" unless it is over
	unwritten bool   // the store did not take it: it is told from memory
	taken     bool   // it is being recorded or told
}

// record records what waits, until ctx ends.
func (l *Log) record(ctx context.Context) {
	for more := true; more; more = wait(ctx, recordTick, l.changed) {
		l.flush(ctx)
	}
}

// recordRest records what is left once nobody is told any more, also what was
// being told when that ended: the next start tells it.
func (l *Log) recordRest(ctx context.Context) {
	l.mu.Lock()
	l.telling = false
	for _, p := range l.pending {
		p.taken = false
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	l.flush(ctx)
}

// flush records what waits, the oldest first. When the store refuses, the rest
// is left for the next time, and to be told from memory. An incident that is in
// conflict with what other hands wrote keeps no other back.
func (l *Log) flush(ctx context.Context) {
	waiting := l.snapshot()
	for _, p := range waiting {
		p, ok := l.take(p.Key())
		if !ok {
			continue
		}
		if err := l.put(ctx, p); err != nil {
			l.unwritten(ctx, p.Key(), err)
			if errors.Is(err, ErrConflict) {
				continue
			}
			break
		}
		l.written(p)
	}
	if len(waiting) > 0 {
		wake(l.due)
	}
	if n := l.lost(); n > 0 {
		l.log.WarnContext(ctx, "too many incidents wait to be recorded: some were not taken note of", "lost", n)
	}
}

// take returns what waits under key, for the caller alone until it gives it
// back; false if somebody else has it, or is to have it before.
func (l *Log) take(key string) (pending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pending[key]
	if p == nil || p.taken || l.toTell(p) {
		return pending{}, false
	}
	p.taken = true
	return *p, true
}

// lost returns how many raises there was no room for since it was last asked.
func (l *Log) lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.dropped
	l.dropped = 0
	return n
}

// put records p. It reads first: what is open is counted, or closed.
func (l *Log) put(ctx context.Context, p pending) error {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	for range maxRounds {
		now := l.now()
		i, err := l.openOne(ctx, p.Key())
		fresh := errors.Is(err, ErrNotFound)
		switch {
		case fresh && p.raised == 0:
			return nil // it is not open: nothing to close
		case fresh:
			i = p.Incident
			if !p.unwritten {
				i = opened(p.Service, p.Cause, p.Subject, now) // also if an id of this millisecond was taken
			}
		case err != nil:
			return err
		}
		if p.raised > 0 {
			i = i.raised(p.raised, p.summary, now)
		}
		if p.ending != "" {
			i = i.over(p.ending, now)
		}
		if err = l.store.Write(ctx, i); errors.Is(err, ErrConflict) {
			p.unwritten = p.unwritten && !fresh
			continue
		}
		if err == nil {
			l.said(ctx, i, fresh && !p.unwritten)
		}
		return err
	}
	return ErrConflict
}

// openOne returns the open incident of a key, or ErrNotFound.
func (l *Log) openOne(ctx context.Context, key string) (Incident, error) {
	found, err := l.store.List(ctx, Query{Key: key, OpenOnly: true, Limit: 1})
	if err != nil {
		return Incident{}, err
	}
	if len(found) == 0 {
		return Incident{}, ErrNotFound
	}
	return found[0], nil
}

// said logs the beginning and the end of an incident.
func (l *Log) said(ctx context.Context, i Incident, fresh bool) {
	if fresh {
		l.metrics.total.WithLabelValues(string(i.Cause)).Inc()
		l.log.ErrorContext(ctx, "incident opened", "incident_id", i.ID, "cause", i.Cause, "about", clean(i.Subject), "summary", i.Summary)
	}
	if !i.Open() {
		l.log.InfoContext(ctx, "incident is over", "incident_id", i.ID, "cause", i.Cause, "about", clean(i.Subject), "ending", i.Ending)
	}
}

// written takes off what was recorded of p, and keeps what came meanwhile.
func (l *Log) written(p pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := p.Key()
	now := l.pending[key]
	now.raised -= p.raised
	if now.raised == 0 && now.ending == p.ending {
		delete(l.pending, key)
		return
	}
	*now = pending{
		Incident: opened(now.Service, now.Cause, now.Subject, l.now()),
		raised:   now.raised, summary: now.summary, ending: now.ending,
	}
}

// unwritten gives back what could not be recorded: it, and what waits behind
// it, is told from memory.
func (l *Log) unwritten(ctx context.Context, key string, why error) {
	var fresh []Incident
	l.mu.Lock()
	l.pending[key].taken = false
	for _, p := range l.pending {
		if p.raised > 0 && !p.unwritten && !p.taken && ctx.Err() == nil {
			p.unwritten = true
			p.Incident = p.Incident.raised(0, p.summary, l.now())
			fresh = append(fresh, p.Incident)
		}
	}
	l.mu.Unlock()
	for _, i := range fresh {
		l.said(ctx, i, true)
	}
	if len(fresh) > 0 {
		l.log.WarnContext(ctx, "incidents cannot be recorded yet: they are told from memory", "incidents", len(fresh), "err", why)
	}
}

// snapshot returns what waits to be recorded, the oldest first.
func (l *Log) snapshot() []pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]pending, 0, len(l.pending))
	for _, p := range l.pending {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pending) int { return a.Opened.Compare(b.Opened) })
	return all
}
