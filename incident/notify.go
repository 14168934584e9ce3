package incident

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

const (
	// maxNotices is how many notices one notification tells of at most.
	maxNotices = 100

	// claimFor is how long a process that took a notice keeps others from
	// sending it: longer than one try takes, with the claim itself.
	claimFor = 15 * time.Second

	// A notice is tried again after firstPause, twice as long after each
	// failure up to longestPause, with jitter, and given up after maxTries:
	// about a day.
	firstPause   = time.Second
	longestPause = 15 * time.Minute
	maxTries     = 100

	// staleAfter is how long ago an incident may have ended to be news.
	staleAfter = 24 * time.Hour

	tellTick = 2 * time.Second // how often due notices are looked for
)

// Notifier tells people. Each incident stands for the notice that is due: of
// its beginning if ToldNothing, otherwise of its end. Notify returns nil only
// if all of them were taken; it ends in time by itself.
type Notifier interface {
	Notify(ctx context.Context, due []Incident) error
}

// tell sends what is due until ctx ends.
func (l *Log) tell(ctx context.Context) {
	for {
		for l.tellSome(ctx) {
		}
		if !wait(ctx, tellTick+rand.N(tellTick/4), l.due) {
			return
		}
	}
}

// tellSome sends one notification, if any is due, and reports whether to go on
// at once.
func (l *Log) tellSome(ctx context.Context) bool {
	batch := l.claim(ctx)
	inMemory := l.claimUnwritten(maxNotices - len(batch))
	if len(batch)+len(inMemory) == 0 || ctx.Err() != nil {
		return false
	}
	err := l.opts.Notifier.Notify(ctx, slices.Concat(batch, inMemory))
	if ctx.Err() != nil {
		return false // the claim runs out, and the next start sends it
	}
	if err != nil {
		l.log.WarnContext(ctx, "people were not told of incidents: it is tried again", "notices", len(batch)+len(inMemory), "err", err)
	}
	for _, i := range batch {
		l.settle(ctx, i, err)
	}
	for _, i := range inMemory {
		l.settleUnwritten(i, err)
	}
	return err == nil
}

// latest is until when a notice waits that waits at now.
func latest(now time.Time) time.Time { return now.Add(longestPause) }

// claim takes notices that are due, so that no other process sends them.
func (l *Log) claim(ctx context.Context) []Incident {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	now := l.now()
	due, err := l.store.Due(ctx, now, latest(now), maxNotices)
	var claimed []Incident
	for _, i := range due {
		stale := !i.Open() && now.Sub(i.Closed) > staleAfter
		if stale { // nobody could be told before; now it is no news
			i.Told, i.NotifyAt = ToldOver, time.Time{}
		} else {
			i.NotifyAt = now.Add(claimFor)
		}
		switch err = l.store.Write(ctx, i); {
		case errors.Is(err, ErrConflict): // somebody else has it
			continue
		case err == nil && stale:
			l.metrics.notified(resultGivenUp, 1)
		case err == nil:
			i.Revision++
			claimed = append(claimed, i)
		}
		if err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, ErrConflict) && ctx.Err() == nil {
		l.log.WarnContext(ctx, "due notices cannot be read", "err", err)
	}
	return claimed
}

// settle records what became of a notice.
func (l *Log) settle(ctx context.Context, sent Incident, failed error) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	err := l.edit(ctx, sent.ID, func(i Incident) (Incident, bool) {
		return l.after(i, failed), i.Told == sent.Told
	})
	l.counted(sent, failed)
	if err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
		l.log.WarnContext(ctx, "a notice may be sent again: what became of it is not recorded", "incident_id", sent.ID, "err", err)
	}
}

// after returns the incident after a try to tell of it.
func (l *Log) after(i Incident, failed error) Incident {
	i.Tries++
	if failed == nil || i.Tries >= maxTries {
		return i.told(l.now())
	}
	pause := min(firstPause<<min(i.Tries-1, 20), longestPause)
	i.NotifyAt = l.now().Add(pause/2 + rand.N(pause/2)).Truncate(time.Millisecond)
	return i
}

func (l *Log) counted(sent Incident, failed error) {
	switch {
	case failed == nil:
		l.metrics.notified(resultSent, 1)
	case sent.Tries+1 >= maxTries:
		l.metrics.notified(resultGivenUp, 1)
	default:
		l.metrics.notified(resultFailed, 1)
	}
}

// claimUnwritten takes up to limit beginnings that the store did not take.
func (l *Log) claimUnwritten(limit int) []Incident {
	l.mu.Lock()
	defer l.mu.Unlock()
	var claimed []Incident
	for _, p := range l.pending {
		if len(claimed) < limit && !p.taken && l.toTell(p) {
			p.taken = true
			claimed = append(claimed, p.Incident)
		}
	}
	return claimed
}

// toTell reports whether people are to be told of p from memory now. A store that
// hangs would have it at every such moment, so it is told before it is recorded.
func (l *Log) toTell(p *pending) bool {
	now := l.now()
	waits := p.NotifyAt.After(now) && !p.NotifyAt.After(latest(now))
	return l.telling && p.unwritten && p.Told == ToldNothing && !waits
}

func (l *Log) settleUnwritten(sent Incident, failed error) {
	l.counted(sent, failed)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.pending[sent.Key()] // nobody else took it off meanwhile
	p.taken = false
	p.Incident = l.after(p.Incident, failed)
}
