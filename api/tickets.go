package api

import (
	"net/http"

	"lockstep/ticket"
)

// tickets answers for the tickets service.
type tickets struct {
	service  *ticket.Service
	sessions *Sessions
	lists    *lists
}

// NewTickets returns the routes of the tickets service. It returns an error
// that names every missing option.
func NewTickets(s *ticket.Service, o Options) (http.Handler, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	t := &tickets{service: s, sessions: o.Sessions, lists: newLists(o)}
	const all, one = "/api/tickets", "/api/tickets/{id}"
	routes := []route{
		on(http.MethodGet, all, t.list, 200),
		on(http.MethodPost, all, bounded(t.create), 201, 401),
		on(http.MethodGet, one, bounded(t.show), 200, 304, 404),
		on(http.MethodPut, one, bounded(t.update), 200, 401, 404, 409, 412),
	}
	if o.Delete {
		routes = append(routes, on(http.MethodDelete, one, bounded(t.remove), 204, 401, 404, 409, 412))
	}
	return newDoor(o, routes), nil
}

// ticketAnswer is a ticket as clients see it. Its fields come in the order of
// the originals.
type ticketAnswer struct {
	Title   string  `json:"title"`
	Price   float64 `json:"price"`
	UserID  string  `json:"userId"`
	Version int64   `json:"version"`
	OrderID string  `json:"orderId,omitempty"`
	ID      string  `json:"id"`
}

func answerTicket(t ticket.Ticket) ticketAnswer {
	return ticketAnswer{Title: t.Title, Price: t.Price, UserID: t.UserID, Version: t.Version, OrderID: t.OrderID, ID: t.ID}
}

// respondTicket answers with a ticket and says in ETag which version it is.
func respondTicket(w http.ResponseWriter, status int, t ticket.Ticket) error {
	w.Header().Set("ETag", etag(t.Version))
	return respond(w, status, answerTicket(t))
}

func (t *tickets) list(w http.ResponseWriter, r request) error {
	return respondAll(w, r, t.lists, t.service.Free(r.Context()), answerTicket)
}

func (t *tickets) show(w http.ResponseWriter, r request) error {
	id, ok := readID(r.id())
	if !ok {
		return errUnsuitable
	}
	found, err := t.service.Ticket(r.Context(), id)
	if err != nil {
		return err
	}
	if known(r.Header, found.Version) {
		w.Header().Set("ETag", etag(found.Version))
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return respondTicket(w, http.StatusOK, found)
}

func (t *tickets) create(w http.ResponseWriter, r request) error {
	user, err := t.sessions.user(r.Request)
	if err != nil {
		return err
	}
	draft, err := readDraft(r.body)
	if err != nil {
		return err
	}
	created, err := t.service.Create(r.Context(), user, draft)
	if err != nil {
		return err
	}
	return respondTicket(w, http.StatusCreated, created)
}

func (t *tickets) update(w http.ResponseWriter, r request) error {
	user, err := t.sessions.user(r.Request)
	if err != nil {
		return err
	}
	draft, err := readDraft(r.body)
	if err != nil {
		return err
	}
	id, ok := readID(r.id())
	if !ok {
		return errUnsuitable
	}
	updated, err := t.service.Update(r.Context(), id, user, draft, precondition(r.Header))
	if err != nil {
		return err
	}
	return respondTicket(w, http.StatusOK, updated)
}

func (t *tickets) remove(w http.ResponseWriter, r request) error {
	user, err := t.sessions.user(r.Request)
	if err != nil {
		return err
	}
	id, ok := readID(r.id())
	if !ok {
		return errUnsuitable
	}
	if err := t.service.Delete(r.Context(), id, user, precondition(r.Header)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
