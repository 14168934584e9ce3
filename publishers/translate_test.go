package publishers

import (
	"errors"
	"testing"

	"lockstep/event"
	"lockstep/internal/session"
)

// Case 10.23: what was not sent is no failure of its event.
func TestWhatWasNotSentIsUnreachable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{session.ErrUnavailable, session.ErrBusy, session.ErrForgotten} {
		if got := translate(err); !errors.Is(got, event.ErrUnreachable) {
			t.Errorf("%v is reported as %v, want it unreachable", err, got)
		}
	}
}
