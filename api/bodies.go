package api

import (
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// maxBodies is how many bytes the bodies of requests that are under way may
	// have together, but for the first freeBody of each: so many that hardly
	// anybody sends are refused, and what everybody sends never is.
	maxBodies = 16 << 20
	freeBody  = 4 << 10

	// inflating is what a body that was compressed takes besides what is in it.
	inflating = 48 << 10
)

var errBodies = newProblem(http.StatusServiceUnavailable, "Too much is sent at once: nothing was changed, try again")

// bodies counts what the bodies of requests take, so that thousands of clients
// that each send a large one, as slowly as they may, take no more memory than a
// few. It may be used from many goroutines.
type bodies struct{ taken atomic.Int64 }

// meter counts one body.
type meter struct {
	of         *bodies
	read, held int64
}

// hold takes n bytes, or none and returns errBodies.
func (m *meter) hold(n int64) error {
	if m.of.taken.Add(n) > maxBodies {
		m.of.taken.Add(-n)
		return errBodies
	}
	m.held += n
	return nil
}

// release gives back what was taken.
func (m *meter) release() { m.of.taken.Add(-m.held) }

// metered is a body that is counted while it is read.
type metered struct {
	io.Reader
	*meter
}

func (m metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	before := max(m.read, freeBody)
	m.read += int64(n)
	if more := m.read - before; more > 0 {
		if err := m.hold(more); err != nil {
			return 0, err
		}
	}
	return n, err
}
