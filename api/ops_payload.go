package api

import (
	"net/http"
	"strconv"
)

// payloadAsked reads ?payload=, which asks for the words of a message besides
// what is known about it.
func payloadAsked(r request) (bool, error) {
	asked := r.URL.Query().Get("payload")
	if asked == "" {
		return false, nil
	}
	whole, err := strconv.ParseBool(asked)
	if err != nil {
		return false, newProblem(http.StatusBadRequest, "payload must be true or false")
	}
	return whole, nil
}

// noteShown logs what was shown, and to whom.
func (o *ops) noteShown(r request, what string, attrs ...any) {
	attrs = append(attrs, "address", r.RemoteAddr, "user_agent", r.UserAgent())
	o.Log.InfoContext(r.Context(), what, attrs...)
}
