package api

import (
	"net/http"
	"time"

	"lockstep/event"
	"lockstep/order"
)

// orders answers for the orders service.
type orders struct {
	service  *order.Service
	sessions *Sessions
	lists    *lists
}

// NewOrders returns the routes of the orders service. It returns an error that
// names every missing option.
func NewOrders(s *order.Service, o Options) (http.Handler, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	h := &orders{service: s, sessions: o.Sessions, lists: newLists(o)}
	const all, one = "/api/orders", "/api/orders/{id}"
	return newDoor(o, []route{
		on(http.MethodGet, all, h.list, 200, 401),
		on(http.MethodPost, all, bounded(h.reserve), 201, 401, 404),
		on(http.MethodGet, one, bounded(h.show), 200, 401, 404),
		on(http.MethodDelete, one, bounded(h.cancel), 204, 401, 404, 409),
	}), nil
}

// orderAnswer is an order as clients see it, its fields in the order of the
// originals.
type orderAnswer struct {
	Status    order.Status      `json:"status"`
	UserID    string            `json:"userId"`
	ExpiresAt string            `json:"expiresAt"`
	Ticket    orderTicketAnswer `json:"ticket"`
	Version   int64             `json:"version"`
	ID        string            `json:"id"`
}

type orderTicketAnswer struct {
	Title   string  `json:"title"`
	Price   float64 `json:"price"`
	Version int64   `json:"version"`
	ID      string  `json:"id"`
}

func answerOrder(v order.View) orderAnswer {
	return orderAnswer{
		Status: v.Status, UserID: v.UserID, ExpiresAt: printTime(v.ExpiresAt), Version: v.Version, ID: v.ID,
		Ticket: orderTicketAnswer{Title: v.Ticket.Title, Price: v.Ticket.Price, Version: v.Ticket.Version, ID: v.Ticket.ID},
	}
}

func printTime(t time.Time) string { return event.FormatTime(t) }

func (h *orders) list(w http.ResponseWriter, r request) error {
	user, err := h.sessions.user(r.Request)
	if err != nil {
		return err
	}
	return respondAll(w, r, h.lists, h.service.Orders(r.Context(), user), answerOrder)
}

func (h *orders) reserve(w http.ResponseWriter, r request) error {
	user, err := h.sessions.user(r.Request)
	if err != nil {
		return err
	}
	id, err := readTicketID(r.body)
	if err != nil {
		return err
	}
	reserved, err := h.service.Reserve(r.Context(), user, id)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, answerOrder(reserved))
}

func (h *orders) show(w http.ResponseWriter, r request) error {
	user, id, err := h.addressed(r, "OrderId incorrect format")
	if err != nil {
		return err
	}
	found, err := h.service.Order(r.Context(), user, id)
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, answerOrder(found))
}

func (h *orders) cancel(w http.ResponseWriter, r request) error {
	user, id, err := h.addressed(r, "Invalid value")
	if err != nil {
		return err
	}
	if err := h.service.Cancel(r.Context(), user, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// addressed returns who asks and the order in the path. malformed is what a
// bad id is answered with, which differs by method.
func (h *orders) addressed(r request, malformed string) (user, id string, err error) {
	if user, err = h.sessions.user(r.Request); err != nil {
		return "", "", err
	}
	id, ok := readID(r.id())
	if !ok {
		return "", "", &problem{status: http.StatusBadRequest, entries: []entry{{Message: malformed, Field: "orderId"}}}
	}
	return user, id, nil
}
