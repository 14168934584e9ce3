package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"lockstep/incident"
	"lockstep/internal/group"
	"lockstep/listeners"
	"lockstep/order"
	"lockstep/outbox"
	"lockstep/replica"
	"lockstep/ticket"
)

// entry is one element of an error body.
type entry struct {
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // only of validation
	ID      string `json:"id,omitempty"`    // only of internal failures: find it in the log
}

// problem is a failure that is answered as it says.
type problem struct {
	status     int
	entries    []entry
	retryAfter time.Duration // 0 says nothing of it
}

func (p *problem) Error() string { return p.entries[0].Message }

func newProblem(status int, message string) *problem {
	return &problem{status: status, entries: []entry{{Message: message}}}
}

// Problems that this package finds itself.
var (
	errUnauthorized = newProblem(http.StatusUnauthorized, "Not authorized")
	errNotFound     = newProblem(http.StatusNotFound, "Not found")
	errNoTicket     = newProblem(http.StatusNotFound, noTicket)
	errUnsuitable   = newProblem(http.StatusBadRequest, "Something went wrong")
)

// noTicket is said of a ticket by the ops port of its owner alone, in a 404. Who
// does not know a path says less.
const noTicket = "The tickets service has no such ticket"

// unreadable is said of a record that other hands have written.
const unreadable = "What is stored of this record cannot be read: the service's log says why, by its id"

const unknown = "The outcome is unknown: read before trying again"

// answers says what a known error is answered with. What is not here is an
// internal failure.
var answers = []struct {
	err     error
	status  int
	message string
}{
	{errBody, http.StatusBadRequest, "Something went wrong"},

	{ticket.ErrNotFound, http.StatusNotFound, "Not found"},
	{ticket.ErrNotOwner, http.StatusUnauthorized, "Not authorized"},
	{ticket.ErrReserved, http.StatusBadRequest, "Cannot edit a reserved ticket"},
	{ticket.ErrOtherVersion, http.StatusPreconditionFailed, "The ticket's version is not one that If-Match and If-None-Match let be changed: read it again"},
	{ticket.ErrConflict, http.StatusConflict, "Changed by somebody else meanwhile"},
	{ticket.ErrUnreadable, http.StatusInternalServerError, unreadable},
	{ticket.ErrUnknown, http.StatusServiceUnavailable, unknown},

	{order.ErrNotFound, http.StatusNotFound, "Not found"},
	{order.ErrNotOwner, http.StatusUnauthorized, "Not authorized"},
	{order.ErrReserved, http.StatusBadRequest, "Ticket is already reserved"},
	{order.ErrSuspended, http.StatusServiceUnavailable, "Reservations are suspended: nothing was ordered, try again later"},
	{order.ErrComplete, http.StatusBadRequest, "Cannot cancel a complete order"},
	{order.ErrConflict, http.StatusConflict, "Changed by somebody else meanwhile"},
	{order.ErrUnreadable, http.StatusInternalServerError, unreadable},
	{order.ErrUnknown, http.StatusServiceUnavailable, unknown},

	{outbox.ErrNotFound, http.StatusNotFound, "Not found"},
	{replica.ErrUnreadable, http.StatusInternalServerError, unreadable},
	{incident.ErrNotFound, http.StatusNotFound, "Not found"},
	{replica.ErrNotFound, http.StatusNotFound, "Not found"},
	{listeners.ErrNotFound, http.StatusNotFound, "Not found"},
	{listeners.ErrUnreadable, http.StatusInternalServerError, unreadable},

	{group.ErrUnknown, http.StatusServiceUnavailable, unknown},
	{group.ErrRefused, http.StatusServiceUnavailable, "The store is not available: nothing was changed, try again later"},
	{group.ErrClosed, http.StatusServiceUnavailable, "The service is stopping: nothing was changed, try again"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "No answer in time: read before trying again"},
}

// answer returns what err is answered with, and whether it is known.
func answer(err error) (*problem, bool) {
	var p *problem
	if errors.As(err, &p) {
		return p, true
	}
	for _, a := range answers {
		if errors.Is(err, a.err) {
			return newProblem(a.status, a.message), true
		}
	}
	return nil, false
}

// errorsBody is the body of every refusal.
type errorsBody struct {
	Errors []entry `json:"errors"`
}

func errorBody(message string) errorsBody { return errorsBody{[]entry{{Message: message}}} }
