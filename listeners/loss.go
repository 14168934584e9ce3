package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/internal/session"
)

// Loss is a range of messages in which there are some that no member of the
// group on this store has seen, and that will not be delivered to one.
type Loss struct {
	Group    string
	Channel  event.Subject
	From, To uint64 // sequences; To is 0 if nobody can tell how far it went
	Missing  uint64 // messages of the range that were not seen; 1 if nobody can tell
	Cause    LossCause
}

// LossCause says how they were lost.
type LossCause string

// The causes of losses.
const (
	Truncated  LossCause = "truncated"  // a limit of the channel pushed them out unread
	Renumbered LossCause = "renumbered" // the channel began anew: a memory store that restarted, or a lost volume
	Elsewhere  LossCause = "elsewhere"  // the group acknowledged them, but not on this store: it was restored from a backup, or another store shares the group
)

// LossCauses returns every cause.
func LossCauses() []LossCause { return []LossCause{Truncated, Renumbered, Elsewhere} }

// probeWait is how long the broker may take to deliver a message that it has,
// and probeLong how long before a channel counts as empty.
const (
	probeWait = 300 * time.Millisecond
	probeLong = 2 * time.Second
)

// LossOptions configure Losses.
type LossOptions struct {
	Group    string
	Subjects []event.Subject
	OnLoss   func(context.Context, Loss) // must not block; nil to log and count only
	Every    time.Duration               // how often a subscribed listener looks; 5 s if 0

	// Alone says that no other process works on the store. Then nobody else
	// can hold what was not delivered here, and it is missed sooner.
	Alone bool

	Log        *slog.Logger          // discarded if nil
	Registerer prometheus.Registerer // nil registers nothing
}

// Losses finds out what the broker lost, from the stored mark of a queue group
// and what the channel begins and ends with. A listener asks before it joins and
// while it is subscribed.
type Losses struct {
	marks  Marks
	opts   LossOptions
	lost   *prometheus.CounterVec
	losses *prometheus.CounterVec
	nobody *prometheus.GaugeVec

	mu     sync.Mutex
	told   map[event.Subject]Spans     // reported, but not in the stored mark: not to be reported again
	logged map[event.Subject]time.Time // when a loss of the channel was logged last
}

// logLossEvery bounds how often the losses of one channel are logged.
const logLossEvery = 30 * time.Second

// NewLosses returns a detector over the marks that the group's listeners keep.
func NewLosses(marks Marks, o LossOptions) *Losses {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.Every = or(o.Every, 5*time.Second)
	l := &Losses{
		marks: marks, opts: o, told: map[event.Subject]Spans{}, logged: map[event.Subject]time.Time{},
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_lost_messages_total",
			Help: "Messages that were lost before the group saw them; at least, where the end of the loss is unknown.",
		}, []string{"subject"}),
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_losses_total",
			Help: "Losses of messages that were noticed, by how they were lost.",
		}, []string{"subject", "cause"}),
		nobody: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lockstep_listener_unaccounted_messages",
			Help: "Messages that the group has not finished and this process does not have: another member has them, or they are lost and read again soon. NaN if not known.",
		}, []string{"subject"}),
	}
	for _, s := range o.Subjects {
		l.lost.WithLabelValues(string(s))
		l.unknown(s)
		for _, c := range LossCauses() {
			l.losses.WithLabelValues(string(s), string(c))
		}
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(l.lost, l.losses, l.nobody)
	}
	return l
}

// unaccounted shows what is neither in the mark nor in this process's hands.
func (l *Losses) unaccounted(channel event.Subject, missing Spans) {
	l.nobody.WithLabelValues(string(channel)).Set(float64(missing.count()))
}

// unknown shows that nobody knows.
func (l *Losses) unknown(channel event.Subject) {
	l.nobody.WithLabelValues(string(channel)).Set(math.NaN())
}

// Check compares the marks of subjects with their channels as they are now and
// reports what was lost since. It must run before the group is joined: the first
// mark of a channel says how far the channel was before.
func (l *Losses) Check(ctx context.Context, conn *session.Conn, subjects []event.Subject) error {
	var errs []error
	for _, s := range subjects {
		if err := l.check(ctx, conn, s); err != nil {
			errs = append(errs, fmt.Errorf("look for losses in %s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Losses) check(ctx context.Context, conn *session.Conn, channel event.Subject) error {
	mark, err := l.marks.Mark(ctx, l.opts.Group, channel)
	if err != nil {
		return err
	}
	first, err := probe(ctx, conn, channel, probeWait, stan.DeliverAllAvailable())
	if err != nil {
		return err
	}
	if first == nil && mark.reach() > 0 { // empty, or slow
		if first, err = probe(ctx, conn, channel, probeLong, stan.DeliverAllAvailable()); err != nil {
			return err
		}
	}
	if mark.Revision == 0 && mark.Sequence == 0 {
		if mark, err = l.begin(ctx, conn, mark, first); err != nil {
			return err
		}
	}
	same, err := l.sameChannel(ctx, conn, mark, first)
	switch {
	case err != nil:
		return err
	case !same:
		return l.renumbered(ctx, mark)
	case first != nil:
		return l.close(ctx, mark, Truncated, mark.unseen(first.Sequence-1))
	}
	return nil
}

// begin stores the first mark of a channel.
func (l *Losses) begin(ctx context.Context, conn *session.Conn, mark Mark, first *stan.Msg) (Mark, error) {
	if first != nil {
		last, err := probe(ctx, conn, mark.Channel, probeLong, stan.StartWithLastReceived())
		if err != nil {
			return mark, err
		}
		if last != nil {
			mark.Base = last.Sequence
		}
	}
	if _, err := l.marks.Store(ctx, mark); err != nil {
		return mark, err
	}
	return l.marks.Mark(ctx, l.opts.Group, mark.Channel)
}

// errSlow: the broker has not sent in time what it has.
var errSlow = errors.New("the broker is too slow to tell how far the channel goes")

// sameChannel reports whether the channel that begins with first can be the
// one that the mark was taken on: it must still reach as far, with the same
// message there if that was kept.
func (l *Losses) sameChannel(ctx context.Context, conn *session.Conn, mark Mark, first *stan.Msg) (bool, error) {
	if mark.reach() == 0 {
		return true, nil
	}
	if first == nil {
		return false, nil
	}
	last, err := probe(ctx, conn, mark.Channel, probeLong, stan.StartWithLastReceived())
	switch {
	case err != nil:
		return false, err
	case last == nil: // but there is a first one
		return false, errSlow
	case last.Sequence < mark.reach():
		return false, nil
	}
	if first.Sequence > mark.Last || mark.SentAt.IsZero() {
		return true, nil
	}
	there, err := probe(ctx, conn, mark.Channel, probeLong, stan.StartAtSequence(mark.Last))
	if err != nil || there == nil || there.Sequence != mark.Last {
		return true, err // pushed out between two looks
	}
	return time.Unix(0, there.Timestamp).Truncate(time.Millisecond).Equal(mark.SentAt.Truncate(time.Millisecond)), nil
}

// renumbered begins the mark of a channel that began anew, and reports that,
// unless another member does.
func (l *Losses) renumbered(ctx context.Context, was Mark) error {
	for range markRounds {
		mark, err := l.marks.Mark(ctx, was.Group, was.Channel)
		if err != nil || mark.Renumbered != was.Renumbered {
			return err
		}
		anew := Mark{Group: mark.Group, Channel: mark.Channel, Renumbered: mark.Renumbered + 1, Lost: mark.Lost + 1, Revision: mark.Revision}
		stored, err := l.marks.Store(ctx, anew)
		if stored || err != nil {
			l.tell(ctx, mark.Channel, Renumbered, Spans{{mark.Sequence + 1, ^uint64(0)}}, stored)
			return err
		}
	}
	return errMarkContended
}

// close counts messages that the mark misses, and that will not come, as lost,
// and as seen: the mark goes over them. What another member has counted meanwhile
// is left to it.
func (l *Losses) close(ctx context.Context, of Mark, cause LossCause, missing Spans) error {
	for range markRounds {
		if len(missing) == 0 {
			return nil
		}
		mark, err := l.marks.Mark(ctx, of.Group, of.Channel)
		if err != nil || mark.Renumbered != of.Renumbered {
			return err
		}
		if missing = missing.and(mark.unseen(missing[len(missing)-1].To)); len(missing) == 0 {
			return nil
		}
		mark.add(missing)
		mark.Lost += missing.count()
		stored, err := l.marks.Store(ctx, mark)
		if stored || err != nil {
			l.tell(ctx, mark.Channel, cause, missing, stored)
			return err
		}
	}
	return errMarkContended
}

// tell reports a loss once: what could not be stored is found again.
func (l *Losses) tell(ctx context.Context, channel event.Subject, cause LossCause, missing Spans, stored bool) {
	l.mu.Lock()
	fresh := missing.without(l.told[channel])
	if stored {
		delete(l.told, channel)
	} else {
		l.told[channel] = l.told[channel].with(missing)
	}
	l.mu.Unlock()
	if len(fresh) > 0 {
		l.report(ctx, channel, cause, fresh)
	}
}

// report counts a loss and tells of it.
func (l *Losses) report(ctx context.Context, channel event.Subject, cause LossCause, missing Spans) {
	loss := Loss{
		Group: l.opts.Group, Channel: channel, Cause: cause,
		From: missing[0].From, To: missing[len(missing)-1].To, Missing: missing.count(),
	}
	if cause == Renumbered {
		loss.To, loss.Missing = 0, 1
	}
	l.lost.WithLabelValues(string(channel)).Add(float64(loss.Missing))
	l.losses.WithLabelValues(string(channel), string(cause)).Inc()
	if l.due(channel) {
		what := "the broker lost messages that this group had not seen"
		if cause == Elsewhere {
			what = "the group went past messages that this store had not seen, and they were read again: " +
				"the store was restored from a backup, or another store shares the queue group"
		}
		l.opts.Log.ErrorContext(ctx, what, "group", loss.Group, "channel", channel, "from", loss.From, "to", loss.To, "missing", loss.Missing, "cause", cause)
	}
	if l.opts.OnLoss != nil {
		l.opts.OnLoss(ctx, loss)
	}
}

func (l *Losses) due(channel event.Subject) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.logged[channel]) < logLossEvery {
		return false
	}
	l.logged[channel] = time.Now()
	return true
}

// probe returns the first message of a channel from a start position on, or
// nil if none comes in time. It reads past the group and leaves no trace.
func probe(ctx context.Context, conn *session.Conn, channel event.Subject, wait time.Duration, start stan.SubscriptionOption) (*stan.Msg, error) {
	got := make(chan *stan.Msg, 1)
	sub, err := conn.Subscribe(string(channel), func(m *stan.Msg) {
		select {
		case got <- m:
		default:
		}
	}, start, stan.MaxInflight(1), stan.SetManualAckMode())
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	var m *stan.Msg
	select {
	case m = <-got:
	case <-timeout.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if closing := sub.Close(); err == nil {
		err = closing
	}
	return m, err
}
