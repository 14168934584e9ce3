package main

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// writePatience is how long a line of the log waits for a reader who does not
// read: a pager, a frozen collector, a terminal that was stopped.
const writePatience = time.Second

// patient writes to a pipe whose reader may stop reading. Without it everything
// that logs would wait for the reader, and the stop too. Lines that find no
// room are dropped, and counted in the log once there is. It may be used from many
// goroutines.
type patient struct {
	to    io.Writer
	turn  chan struct{} // holds one while a line is written
	stuck atomic.Bool
	lost  atomic.Int64
}

func newPatient(to io.Writer) *patient { return &patient{to: to, turn: make(chan struct{}, 1)} }

// Write writes p whole, or drops it.
func (w *patient) Write(p []byte) (int, error) {
	wait := writePatience
	if w.stuck.Load() {
		wait = 0
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case w.turn <- struct{}{}:
	case <-late.C:
		w.stuck.Store(true)
		w.lost.Add(1)
		return len(p), nil
	}
	done := make(chan error, 1)
	line := bytes.Clone(p) // p is the caller's again, should this take longer
	go func() {
		_, err := w.to.Write(w.withLost(line))
		w.stuck.Store(false)
		<-w.turn
		done <- err
	}()
	select {
	case err := <-done:
		return len(p), err
	case <-late.C:
		w.stuck.Store(true)
		return len(p), nil
	}
}

// withLost puts before a line how many were dropped before it.
func (w *patient) withLost(line []byte) []byte {
	n := w.lost.Swap(0)
	if n == 0 {
		return line
	}
	return append(fmt.Appendf(nil, "{\"level\":\"WARN\",\"msg\":\"lines of the log were dropped: nobody read it\",\"lines\":%d}\n", n), line...)
}

// Unwrap returns where it writes to.
func (w *patient) Unwrap() io.Writer { return w.to }
