package api

import (
	"errors"
	"net/http"

	"lockstep/listeners"
	"lockstep/replica"
)

func (o *ops) showRow(w http.ResponseWriter, r request) error {
	if o.Replica == nil {
		return errNoReplica
	}
	row, err := o.Replica.Row(r.Context(), r.id())
	if errors.Is(err, replica.ErrNotFound) {
		return newProblem(http.StatusNotFound, "The replica has no such ticket: its events did not come, or there is none. lockstep replica reset asks its owner")
	}
	if err != nil {
		return err
	}
	return respond(w, http.StatusOK, wireOf(row))
}

// heldAnswer is a message that waits for its predecessor.
type heldAnswer struct {
	Service string `json:"service"`
	listeners.HeldMessage
}

func (o *ops) listHeld(w http.ResponseWriter, r request) error {
	services, err := o.chosen(r)
	if err != nil {
		return err
	}
	answers := []heldAnswer{}
	for _, s := range services {
		for _, l := range s.Listeners {
			for _, m := range l.Held() {
				answers = append(answers, heldAnswer{s.Name, m})
			}
		}
	}
	return respond(w, http.StatusOK, struct {
		Messages []heldAnswer `json:"messages"`
	}{answers})
}
