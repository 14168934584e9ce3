package listeners

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus"

	"lockstep/event"
	"lockstep/internal/session"
)

// Loss is a range of messages that the broker no longer has and that no member
// of the group is known to have seen.
type Loss struct {
	Group    string
	Channel  event.Subject
	From, To uint64 // sequences; To is 0 if nobody can tell how far it went
	Cause    LossCause
}

// LossCause says how the broker lost them.
type LossCause string

// The causes of losses.
const (
	Truncated  LossCause = "truncated"  // a limit of the channel pushed them out unread
	Renumbered LossCause = "renumbered" // the channel began anew: a memory store that restarted, or a lost volume
)

// probeWait is how long the broker may take to deliver a message that it has,
// and probeLong how long before a channel counts as empty.
const (
	probeWait = 300 * time.Millisecond
	probeLong = 2 * time.Second
)

// LossOptions configure Losses.
type LossOptions struct {
	Group      string
	Subjects   []event.Subject
	OnLoss     func(context.Context, Loss) // must not block; nil to log and count only
	Log        *slog.Logger                // discarded if nil
	Registerer prometheus.Registerer       // nil registers nothing
}

// Losses finds out what the broker lost, from the stored mark of a queue group
// and what the channel begins and ends with. The broker itself keeps no trace
// of it once the group is joined again. A listener asks before it joins.
type Losses struct {
	marks  Marks
	opts   LossOptions
	lost   *prometheus.CounterVec
	losses *prometheus.CounterVec
}

// NewLosses returns a detector over the marks that the group's listeners keep.
func NewLosses(marks Marks, o LossOptions) *Losses {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Losses{
		marks: marks, opts: o,
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_lost_messages_total",
			Help: "Messages the broker lost before the group saw them; at least, where the end of the loss is unknown.",
		}, []string{"channel"}),
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lockstep_listener_losses_total",
			Help: "Losses of messages in the broker that were noticed.",
		}, []string{"channel", "cause"}),
	}
	for _, s := range o.Subjects {
		l.lost.WithLabelValues(string(s))
		l.losses.WithLabelValues(string(s), string(Truncated))
		l.losses.WithLabelValues(string(s), string(Renumbered))
	}
	if o.Registerer != nil {
		o.Registerer.MustRegister(l.lost, l.losses)
	}
	return l
}

// Check compares the marks with the channels as they are now and reports what
// was lost since. It must run before the group is joined: what a member
// acknowledges after that moves the mark over the hole.
func (l *Losses) Check(ctx context.Context, conn *session.Conn) error {
	var errs []error
	for _, s := range l.opts.Subjects {
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
	if first == nil && mark.Sequence > 0 { // empty, or slow
		if first, err = probe(ctx, conn, channel, probeLong, stan.DeliverAllAvailable()); err != nil {
			return err
		}
	}
	same, err := l.sameChannel(ctx, conn, mark, first)
	switch {
	case err != nil:
		return err
	case !same:
		loss := Loss{Group: l.opts.Group, Channel: channel, From: mark.Sequence + 1, Cause: Renumbered}
		return l.report(ctx, loss, l.marks.Reset(ctx, Mark{Group: l.opts.Group, Channel: channel}))
	case first != nil && first.Sequence > mark.Sequence+1:
		loss := Loss{Group: l.opts.Group, Channel: channel, From: mark.Sequence + 1, To: first.Sequence - 1, Cause: Truncated}
		return l.report(ctx, loss, l.marks.Advance(ctx, Mark{Group: l.opts.Group, Channel: channel, Sequence: loss.To}))
	}
	return nil
}

// sameChannel reports whether the channel that begins with first can be the
// one that the mark was taken on: it must still reach as far, with the same
// message there if that was kept.
func (l *Losses) sameChannel(ctx context.Context, conn *session.Conn, mark Mark, first *stan.Msg) (bool, error) {
	if mark.Sequence == 0 {
		return true, nil
	}
	if first == nil {
		return false, nil
	}
	last, err := probe(ctx, conn, mark.Channel, probeLong, stan.StartWithLastReceived())
	if err != nil {
		return false, err
	}
	if last == nil || last.Sequence < mark.Sequence {
		return false, nil
	}
	if first.Sequence > mark.Sequence || mark.SentAt.IsZero() {
		return true, nil
	}
	there, err := probe(ctx, conn, mark.Channel, probeLong, stan.StartAtSequence(mark.Sequence))
	if err != nil || there == nil || there.Sequence != mark.Sequence {
		return true, err // pushed out between two looks
	}
	return time.Unix(0, there.Timestamp).Truncate(time.Millisecond).Equal(mark.SentAt.Truncate(time.Millisecond)), nil
}

// report tells of a loss once: stored is whether the mark that ends it was.
func (l *Losses) report(ctx context.Context, loss Loss, stored error) error {
	n := 1.0
	if loss.To != 0 {
		n = float64(loss.To - loss.From + 1)
	}
	l.lost.WithLabelValues(string(loss.Channel)).Add(n)
	l.losses.WithLabelValues(string(loss.Channel), string(loss.Cause)).Inc()
	l.opts.Log.ErrorContext(ctx, "the broker lost messages that this group had not seen",
		"group", loss.Group, "channel", loss.Channel, "from", loss.From, "to", loss.To, "cause", loss.Cause)
	if l.opts.OnLoss != nil {
		l.opts.OnLoss(ctx, loss)
	}
	return stored
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
