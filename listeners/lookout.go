package listeners

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/stan.go"

	"lockstep/event"
)

const (
	// deadFor is how long the broker may take to notice that a member is dead
	// (its heartbeat interval): so long it may send messages there.
	deadFor = 30 * time.Second

	// maxReplay bounds how many messages of a channel one look reads again.
	maxReplay = 20_000

	// readAhead is how many of them the broker may send before they are looked
	// at: they are of any size.
	readAhead = windowBytes / maxMessage
)

// lookout notices, while a listener is subscribed, messages of one channel that
// will not be delivered to this store any more: those that a limit of the
// channel pushed out, and those that the group has gone past. The latter are
// still there: they are read past the group and handled like any others. Only
// what that changes was missing; a member that was killed leaves messages that
// were handled and are not in the mark.
type lookout struct {
	g        *generation
	c        *channel
	joined   time.Time
	sights   []sight // oldest first, the first one at least as old as patience
	suspects Spans   // what was missing at the last look
}

// sight is how far the broker had sent the channel to the group.
type sight struct {
	at   time.Time
	sent uint64
}

// watchLosses looks for losses, at once and then now and then, until ctx ends.
func (g *generation) watchLosses(ctx context.Context) {
	var looking sync.WaitGroup // side by side: where the store hangs, each takes its time
	defer looking.Wait()
	for _, c := range g.channels {
		looking.Go(func() { g.watchLossesOf(ctx, c) })
	}
}

func (g *generation) watchLossesOf(ctx context.Context, c *channel) {
	w := &lookout{g: g, c: c, joined: g.now()}
	defer g.opts.Losses.unknown(c.subject)
	tick := time.NewTicker(g.opts.Losses.opts.Every)
	defer tick.Stop()
	var reported time.Time
	for {
		err := w.look(ctx)
		if err != nil {
			g.opts.Losses.unknown(c.subject)
		}
		if err != nil && ctx.Err() == nil && g.now().Sub(reported) >= reportEvery {
			reported = g.now()
			g.log.WarnContext(ctx, "losses cannot be looked for and are looked for again", "subject", c.subject, "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look compares the mark with the channel. What is in hand is asked for first:
// it may be finished, and in the mark, by the time the mark is read.
func (w *lookout) look(ctx context.Context) error {
	if w.c.window.crowded(w.g.now().Add(-w.patience())) { // what found no room comes again
		w.sights, w.suspects = nil, nil
		w.g.opts.Losses.unknown(w.c.subject)
		return nil
	}
	hand := w.g.inHand(w.c)
	if err := w.g.storeMark(ctx, w.c.subject); err != nil {
		return err
	}
	mark, err := w.g.opts.Losses.marks.Mark(ctx, w.g.opts.Group, w.c.subject)
	if err != nil {
		return err
	}
	last, err := probe(ctx, w.g.conn, w.c.subject, probeLong, stan.StartWithLastReceived())
	if err != nil {
		return err
	}
	var unseen Spans
	if last != nil {
		unseen = mark.missing(last.Sequence)
	}
	w.g.opts.Losses.unaccounted(w.c.subject, unseen.without(hand))
	if len(unseen) == 0 {
		w.sights, w.suspects = nil, nil
		return nil
	}
	first, err := probe(ctx, w.g.conn, w.c.subject, probeLong, stan.DeliverAllAvailable())
	if err != nil || first == nil {
		return err
	}
	gone := first.Sequence - 1
	suspects := mark.unseen(gone).with(mark.missing(w.sent(last.Sequence))).without(hand)
	missing := suspects.and(w.suspects)
	w.suspects = suspects
	pushedOut := missing.and(Spans{{1, gone}})
	if err := w.g.opts.Losses.close(ctx, mark, Truncated, pushedOut); err != nil {
		return err
	}
	return w.catchUp(ctx, mark, missing.without(pushedOut))
}

// sent takes note of how far the channel was sent by now, and returns how far it
// was sent so long ago that whoever got it has finished.
func (w *lookout) sent(last uint64) uint64 {
	now := w.g.now()
	s := sight{at: now, sent: w.c.seen.Load()}
	since := time.Unix(0, w.c.came.Load())
	if since.Before(w.joined) {
		since = w.joined
	}
	// A member with room that gets nothing has been sent all there was.
	if now.Sub(since) >= w.g.opts.AckWait && w.c.unacked.Load() < int64(w.c.window.size()) {
		s.sent = max(s.sent, last)
	}
	w.sights = append(w.sights, s)
	var finished uint64
	for len(w.sights) > 0 && now.Sub(w.sights[0].at) >= w.patience() {
		finished = w.sights[0].sent
		if len(w.sights) == 1 || now.Sub(w.sights[1].at) < w.patience() {
			break
		}
		w.sights = w.sights[1:]
	}
	return finished
}

// patience is how long a message may be somewhere else before it is missed: it
// is sent again after AckWait, to a dead member too, and may be held.
func (w *lookout) patience() time.Duration {
	if w.g.opts.Losses.opts.Alone {
		return 2 * w.g.opts.AckWait
	}
	return max(w.g.opts.HoldFor, deadFor) + 2*w.g.opts.AckWait
}

// inHand returns the sequences of c that were taken in and are not finished.
func (g *generation) inHand(c *channel) Spans {
	var hand []uint64
	for _, l := range g.lanes {
		l.mu.Lock()
		for at, d := range l.known {
			if d.channel == c && d.entry == "" {
				hand = append(hand, at.sequence)
			}
		}
		l.mu.Unlock()
	}
	return spansOf(hand)
}

// catchUp reads what the group has gone past and handles it. What that changes
// is reported.
func (w *lookout) catchUp(ctx context.Context, mark Mark, missing Spans) error {
	if len(missing) == 0 {
		return nil
	}
	read, changed, err := w.replay(ctx, missing)
	w.g.unstored[w.c.subject].addSpans(read.without(changed))
	return errors.Join(err, w.g.opts.Losses.close(ctx, mark, Elsewhere, changed))
}

// replay handles the messages of missing, or of its beginning. It returns what
// was read, and what of that was not known here.
func (w *lookout) replay(ctx context.Context, missing Spans) (read, changed Spans, err error) {
	to := missing[len(missing)-1].To
	got, done := make(chan *stan.Msg), make(chan struct{})
	defer close(done)
	sub, err := w.g.conn.Subscribe(string(w.c.subject), func(m *stan.Msg) {
		select {
		case got <- m:
		case <-done:
		}
	}, stan.StartAtSequence(missing[0].From), stan.MaxInflight(readAhead))
	if err != nil {
		return nil, nil, err
	}
	defer func() { w.g.ended(ctx, string(w.c.subject), sub.Close()) }()
	for n := 0; n < maxReplay; {
		batch := collect(ctx, got, to)
		if len(batch) == 0 {
			break
		}
		n += len(batch)
		last := batch[len(batch)-1].Sequence
		batch = slices.DeleteFunc(batch, func(m *stan.Msg) bool { return !missing.has(m.Sequence) })
		handled, news, failed := w.redo(ctx, batch)
		read, changed, err = read.with(handled), changed.with(news), failed
		if err != nil || last >= to {
			break
		}
	}
	return read, changed, err
}

// collect returns the next messages, up to a sequence and the size of a batch;
// none if none comes in time.
func collect(ctx context.Context, got <-chan *stan.Msg, to uint64) (batch []*stan.Msg) {
	timeout := time.NewTimer(probeLong)
	defer timeout.Stop()
	for size := 0; len(batch) < batchSize && size < batchBytes; {
		select {
		case m := <-got:
			batch, size = append(batch, m), size+len(m.Data)
			if m.Sequence >= to {
				return batch
			}
		case <-timeout.C:
			return batch
		case <-ctx.Done():
			return nil
		}
	}
	return batch
}

// redo handles messages. It returns which of them it could handle, and which of
// those were not known here; err is why it could not handle the others.
func (w *lookout) redo(ctx context.Context, batch []*stan.Msg) (handled, news Spans, err error) {
	var good []*delivery
	var done, fresh []uint64
	file := func(d *delivery, isNew bool, failed error) {
		if failed != nil {
			err = failed
			return
		}
		done = append(done, d.sequence)
		if isNew {
			fresh = append(fresh, d.sequence)
		}
	}
	for _, m := range batch {
		d := w.g.decode(w.c, m)
		if d.poison != nil {
			isNew, failed := w.keep(ctx, d, Undecodable, d.poison.Error())
			file(d, isNew, failed)
			continue
		}
		good = append(good, d)
	}
	for d, v := range w.judge(ctx, good) {
		switch {
		case errors.Is(v.Err, event.ErrInvalid):
			isNew, failed := w.keep(ctx, d, Undecodable, v.Err.Error())
			file(d, isNew, failed)
		case v.Err == nil && v.Outcome == event.Early:
			isNew, failed := w.keep(ctx, d, TooEarly, "its predecessor was not there when it was read again")
			file(d, isNew, failed)
		default:
			file(d, v.Outcome == event.Applied, v.Err)
		}
	}
	return spansOf(done), spansOf(fresh), err
}

// judge has deliveries handled by the lanes of their keys and yields their
// verdicts. They come like entries of the quarantine: the broker wants no
// acknowledgement, and one of them that is there can go once it is applied.
func (w *lookout) judge(ctx context.Context, ds []*delivery) iter.Seq2[*delivery, Verdict] {
	return func(yield func(*delivery, Verdict) bool) {
		slices.SortStableFunc(ds, func(a, b *delivery) int { return cmp.Compare(a.item.Version, b.item.Version) })
		replies := make([]chan Verdict, len(ds))
		for i, d := range ds {
			d.entry, replies[i] = w.g.quarantine.id(d), make(chan Verdict, 1)
			d.reply = replies[i]
			if !w.g.lane(d.key).recall(d) { // it is being tried out of quarantine at this moment
				replies[i] <- Verdict{Outcome: event.Duplicate}
			}
		}
		for i, d := range ds {
			v := Verdict{Err: ErrNotSubscribed}
			select {
			case v = <-replies[i]:
			case <-ctx.Done():
			case <-w.g.over:
			}
			if !yield(d, v) {
				return
			}
		}
	}
}

// keep sets d aside, and reports whether it was not there yet.
func (w *lookout) keep(ctx context.Context, d *delivery, reason Reason, detail string) (bool, error) {
	switch _, err := w.g.quarantine.store.Get(ctx, w.g.quarantine.id(d)); {
	case err == nil, errors.Is(err, ErrUnreadable):
		return false, nil
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	d.reason, d.detail = reason, detail
	return true, w.g.quarantine.put(ctx, []*delivery{d})
}
