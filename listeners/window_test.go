package listeners

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Case 11.3: a window is bounded in bytes as well as in messages.
func TestAWindowIsWideOnlyForSmallMessages(t *testing.T) {
	t.Parallel()
	const all = 1024
	began := time.Unix(0, 0)
	for name, tt := range map[string]struct {
		size, n int // of the messages that came
		limit   int
		after   time.Duration
		want    int // of the second subscription
	}{
		"nothing came yet":             {limit: all, want: 0},
		"nothing waits":                {limit: all, after: silence, want: all - 8},
		"small ones":                   {limit: all, size: 300, n: 1, want: all - 8},
		"middling ones":                {limit: all, size: 40 << 10, n: 3, want: windowBytes/(40<<10) - 8},
		"large ones":                   {limit: all, size: 900_000, n: 4, want: 0},
		"large ones, and nothing else": {limit: all, size: 900_000, n: 4, after: time.Hour, want: 0},
		"a few at most":                {limit: 7, size: 300, n: 1, want: 0},
		"some at most":                 {limit: 10, size: 300, n: 1, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWindow(tt.limit, began)
			for range tt.n {
				w.saw(tt.size, began)
			}
			if got := w.widening(began.Add(tt.after)); got != tt.want {
				t.Errorf("%d messages more at once, want %d", got, tt.want)
			}
			if again := w.widening(began.Add(tt.after)); again != 0 {
				t.Errorf("opened twice: %d messages more", again)
			}
		})
	}
}

func TestAWindowThatWasOutgrownStaysNarrowForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := newWindow(1024, now)
	w.outgrown = now
	w.refuse(now)
	if w.saw(300, now) || w.widening(now) > 0 {
		t.Error("it is widened although there was no room a moment ago")
	}
	if w.widening(now.Add(wideAgain)) == 0 {
		t.Error("it is not widened again")
	}
	if !w.crowded(now.Add(-time.Second)) || w.crowded(now) {
		t.Error("it does not know when there was no room")
	}
}

// Case 11.3: anybody may publish hints, and what is remembered of them stays
// small.
func TestHintsThatNoMemberSendsAreIgnored(t *testing.T) {
	t.Parallel()
	m := NewMetrics(nil)
	nothing := func(string, int64) { t.Error("a key got on") }
	h := newHints(nil, "group", "member", m, nothing, func(string) { t.Error("a key was set aside") })
	say := func(said hint) []byte {
		data, err := json.Marshal(said)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const many = 20
	for i := range many {
		h.hear(say(hint{Member: "peer", Wanted: []want{{Key: fmt.Sprint(i, strings.Repeat("k", 900_000))}}}), time.Now())
	}
	h.hear(say(hint{Member: "peer", Wanted: []want{{Key: strings.Repeat("k", maxHintKey+1)}}}), time.Now())
	h.hear(say(hint{Member: strings.Repeat("m", maxHintKey+1), Wanted: []want{{Key: "k"}}}), time.Now())
	h.hear([]byte("{"), time.Now())
	if len(h.wanted) != 0 {
		t.Errorf("%d keys are remembered, want none", len(h.wanted))
	}
	if n := testutil.ToFloat64(m.hints.WithLabelValues("ignored")); n != many+3 {
		t.Errorf("%v hints ignored, want %d", n, many+3)
	}
	h.hear(say(hint{Member: "peer", Wanted: []want{{Key: strings.Repeat("k", maxHintKey)}}}), time.Now())
	if len(h.wanted) != 1 {
		t.Error("a key as long as may be is not remembered")
	}
}

// gone is a subscription whose session is gone.
type gone struct{ stan.Subscription }

func (gone) Dropped() (int, error) { return -1, nats.ErrBadSubscription }

func (gone) Pending() (messages, bytes int, err error) { return -1, -1, nats.ErrBadSubscription }

func TestAWindowWhoseSessionIsGoneIsNotOutgrown(t *testing.T) {
	t.Parallel()
	w := newWindow(1024, time.Unix(0, 0))
	w.opened(gone{})
	if w.narrowing(0, time.Unix(1, 0)) != nil || !w.outgrown.IsZero() {
		t.Error("its messages are said to be large")
	}
}
