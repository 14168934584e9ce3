package api

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
)

// flushAt is how many bytes of a stream are gathered before they are sent.
const flushAt = 32 << 10

// stream writes a JSON array element by element and holds no more than flushAt
// bytes and one element of it.
type stream struct {
	w       http.ResponseWriter
	buffer  bytes.Buffer
	started bool // some bytes are with the client
}

func newStream(w http.ResponseWriter) *stream {
	s := &stream{w: w}
	s.buffer.WriteByte('[')
	return s
}

// add appends one element. Every flush gives the client its full time again.
func (s *stream) add(v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	if s.buffer.Len() > 1 || s.started {
		s.buffer.WriteByte(',')
	}
	s.buffer.Write(data)
	if s.buffer.Len() < flushAt {
		return nil
	}
	extendWrite(s.w)
	return s.flush()
}

// end closes the array.
func (s *stream) end() error {
	s.buffer.WriteByte(']')
	_ = s.flush() // the client has gone
	return nil
}

// abort ends a stream that cannot be completed: with err as a proper answer if
// nothing was sent yet, otherwise by cutting the connection, since a shorter
// array would be taken for a whole one.
func (s *stream) abort(ctx context.Context, log *slog.Logger, err error) error {
	if !s.started {
		return err
	}
	if ctx.Err() == nil {
		log.ErrorContext(ctx, "stream cut off", "err", err)
	}
	panic(http.ErrAbortHandler) // how net/http is told to cut a connection
}

func (s *stream) flush() error {
	if !s.started {
		s.w.Header().Set("Content-Type", jsonType)
		s.started = true
	}
	_, err := s.buffer.WriteTo(s.w)
	return err
}
