package api

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"time"
)

const (
	// flushAt is how many bytes of a stream are gathered before they are sent.
	flushAt = 32 << 10

	// maxLists is how many public lists a service reads at once: each holds a
	// page of its store, and what the client did not take.
	maxLists = 100
)

// pace is how fast a client must take a stream. One that does not is cut off:
// what it leaves with the server is memory.
type pace struct {
	stall time.Duration // it may take nothing for so long
	rate  int           // bytes a second it must take on average, from stall on
}

var usualPace = pace{stall: writeWithin, rate: 16 << 10}

// deadline returns until when a client must have taken more than sent bytes.
func (p pace) deadline(began time.Time, sent int) time.Time {
	late := began.Add(p.stall + time.Duration(sent/p.rate)*time.Second)
	if stalled := time.Now().Add(p.stall); stalled.Before(late) {
		return stalled
	}
	return late
}

// lists are the public lists that a service reads.
type lists struct {
	reading chan struct{}
	pace    pace
	log     *slog.Logger
}

func newLists(o Options) *lists {
	l := &lists{reading: make(chan struct{}, maxLists), pace: usualPace, log: o.Log}
	if o.pace != (pace{}) {
		l.pace = o.pace
	}
	return l
}

var errLists = newProblem(http.StatusServiceUnavailable, "Too many lists are being read: try again")

// begin waits until one more list may be read, answerWithin at most, and
// returns what ends it.
func (l *lists) begin(ctx context.Context) (end func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	select {
	case l.reading <- struct{}{}:
		return func() { <-l.reading }, nil
	case <-ctx.Done():
		return nil, errLists
	}
}

// respondAll writes all elements of a list as a JSON array, one by one, however
// many there are.
func respondAll[T, A any](w http.ResponseWriter, r request, l *lists, all iter.Seq2[T, error], answer func(T) A) error {
	end, err := l.begin(r.Context())
	if err != nil {
		return err
	}
	defer end()
	s := newStream(w, l.pace, "[")
	for v, err := range all {
		if err == nil {
			err = s.add(answer(v))
		}
		if err != nil {
			return s.abort(r.Context(), l.log, fmt.Errorf("read a list: %w", err))
		}
	}
	s.end("]")
	return nil
}

// stream writes JSON with one array in it, element by element. It holds no more
// than flushAt bytes and one element.
type stream struct {
	w      http.ResponseWriter
	pace   pace
	began  time.Time
	buffer bytes.Buffer
	filled int  // bytes of elements that were added
	sent   int  // bytes that the client has
	begun  bool // something was written to the client
	gone   bool // the client does not take it
}

// newStream returns a stream that begins with open, up to the array's '['.
func newStream(w http.ResponseWriter, p pace, open string) *stream {
	s := &stream{w: w, pace: p, began: time.Now()}
	s.buffer.WriteString(open)
	return s
}

// add appends one element.
func (s *stream) add(v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	if s.filled > 0 {
		s.buffer.WriteByte(',')
	}
	s.buffer.Write(data)
	s.filled += len(data)
	if s.buffer.Len() < flushAt {
		return nil
	}
	return s.flush()
}

// end closes the array and whatever it is in.
func (s *stream) end(end string) {
	s.buffer.WriteString(end)
	_ = s.flush() // the client has gone
}

// abort ends a stream that cannot be completed: with err as a proper answer if
// nothing was sent yet, otherwise by cutting the connection, since a shorter
// array would be taken for a whole one.
func (s *stream) abort(ctx context.Context, log *slog.Logger, err error) error {
	if !s.begun {
		return err
	}
	if ctx.Err() == nil && !s.gone {
		log.ErrorContext(ctx, "stream cut off", "err", err)
	}
	panic(http.ErrAbortHandler) // how net/http is told to cut a connection
}

func (s *stream) flush() error {
	if !s.begun {
		s.w.Header().Set("Content-Type", jsonType)
		s.begun = true
	}
	// Writers without deadlines (tests) need none.
	_ = http.NewResponseController(s.w).SetWriteDeadline(s.pace.deadline(s.began, s.sent))
	n, err := s.buffer.WriteTo(s.w)
	s.sent += int(n)
	s.gone = err != nil
	return err
}
