package api

// payloadAsked reads ?payload=, which asks for the words of a message besides
// what is known about it.
func payloadAsked(r request) (bool, error) {
	whole, _, err := readBool(r, "payload")
	return whole, err
}

// noteShown logs what was shown, and to whom.
func (o *ops) noteShown(r request, what string, attrs ...any) {
	attrs = append(attrs, "address", r.RemoteAddr, "user_agent", r.UserAgent())
	o.Log.InfoContext(r.Context(), what, attrs...)
}
