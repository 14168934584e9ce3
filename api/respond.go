package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"lockstep/internal/objectid"
)

const jsonType = "application/json; charset=utf-8"

// respond writes v as JSON. A client that has gone is nobody's failure.
func respond(w http.ResponseWriter, status int, v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client has gone
	return nil
}

// encode leaves <, > and & as they are: titles come back as they were sent.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// refuse answers with err by the table of answers. An unknown error is logged
// under an id that the client is told.
func refuse(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	p, known := answer(err)
	if !known {
		id := objectid.New()
		p = &problem{status: http.StatusInternalServerError, entries: []entry{{Message: "Internal error", ID: id}}}
		if r.Context().Err() == nil { // else the client has gone, and with it the question
			log.ErrorContext(r.Context(), "request failed", "error_id", id, "method", r.Method, "err", err)
		}
	}
	if p.status == http.StatusServiceUnavailable {
		log.WarnContext(r.Context(), "request not answered", "method", r.Method, "err", err)
		w.Header().Set("Retry-After", "1")
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	_ = respond(w, p.status, errorsBody{p.entries}) // strings always encode
}
