package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// opsClientFlags say which running process an operator's command talks to.
type opsClientFlags struct {
	OpsURL   string        `name:"ops-url" env:"OPS_URL" form:"url" default:"http://127.0.0.1:3002" help:"Ops address of the running service."`
	OpsToken string        `env:"OPS_TOKEN" secret:"" form:"token" help:"Token of the ops address."`
	Timeout  time.Duration `default:"15s" min:"100ms" max:"1h" help:"How long to wait for an answer."`
}

// listFlags say which part of a list is shown, and how.
type listFlags struct {
	opsClientFlags
	After string `form:"text" help:"Where to go on, as the list before says."`
	Limit int    `default:"100" min:"1" max:"1000" help:"How many at most."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// list asks for a part of the list at path. The answer is decoded into v, or
// printed if JSON is asked for, which printed tells.
func (f listFlags) list(ctx context.Context, out io.Writer, path string, query url.Values, v any) (printed bool, err error) {
	query.Set("limit", strconv.Itoa(f.Limit))
	if f.After != "" {
		query.Set("after", f.After)
	}
	if !f.JSON {
		return false, f.get(ctx, path, query, v)
	}
	data, err := f.call(ctx, http.MethodGet, path+"?"+query.Encode())
	if err != nil {
		return false, err
	}
	return true, printJSON(out, data)
}

// goOn says behind a list how to see what comes next.
func goOn(out io.Writer, next string) {
	if next != "" {
		fmt.Fprintf(out, "and more: --after %s\n", printable(next))
	}
}

// payloadFlag says whether a message is shown with its words.
type payloadFlag struct {
	Payload bool `help:"Show its payload, too, which is noted in the service's log."`
}

func (f payloadFlag) query() string {
	if f.Payload {
		return "?payload=true"
	}
	return ""
}

// maxOpsAnswer bounds an answer in bytes.
const maxOpsAnswer = 64 << 20

// get asks for path and decodes the answer into v.
func (f opsClientFlags) get(ctx context.Context, path string, query url.Values, v any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	data, err := f.call(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s%s does not answer as an ops port: %w", f.OpsURL, path, err)
	}
	return nil
}

// post makes the process do something.
func (f opsClientFlags) post(ctx context.Context, path string) error {
	_, err := f.call(ctx, http.MethodPost, path)
	return err
}

func (f opsClientFlags) call(ctx context.Context, method, path string) ([]byte, error) {
	status, data, err := f.try(ctx, method, path)
	if err != nil {
		return nil, err
	}
	if status/100 != 2 {
		return nil, f.refusal(ctx, status, data)
	}
	return data, nil
}

// notOps says that the address is another one's.
func (f opsClientFlags) notOps() error {
	return &usageError{f.OpsURL + " is not an ops port: OPS_URL (--ops-url) is where a service has its OPS_ADDR, as http://127.0.0.1:9464, not its API or the broker"}
}

// try returns whatever status the process answers with.
func (f opsClientFlags) try(ctx context.Context, method, path string) (int, []byte, error) {
	limited, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	resp, err := f.send(limited, method, path)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxOpsAnswer))
	if err != nil {
		return 0, nil, f.unanswered(err)
	}
	return resp.StatusCode, data, nil
}

// send asks for path. The answer must be closed.
func (f opsClientFlags) send(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.OpsURL, "/")+path, nil)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("OPS_URL: %v", err)}
	}
	if f.OpsToken != "" {
		req.Header.Set("Authorization", "Bearer "+f.OpsToken)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, f.unanswered(err)
	}
	return resp, nil
}

// unanswered puts into words that there is no answer.
func (f opsClientFlags) unanswered(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err // the rest of it is the address once more
	}
	var dial *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return unansweredError("told to stop before " + f.OpsURL + " answered: what it does may go on there")
	case errors.Is(err, context.DeadlineExceeded):
		return unansweredError(fmt.Sprintf("%s did not answer within %s: its /readyz says what is wrong, --timeout waits longer", f.OpsURL, f.Timeout))
	case errors.As(err, &dial) && dial.Op == "dial":
		return unansweredError(fmt.Sprintf("nobody answers at %s: %v. Does the service run, and is that its OPS_ADDR (OPS_URL, --ops-url)?", f.OpsURL, dial.Err))
	}
	return unansweredError(fmt.Sprintf("%s ended before it answered, or is no ops port (OPS_URL, --ops-url): %.100s", f.OpsURL, err.Error()))
}

// unansweredError says why there is no answer, and what to do.
type unansweredError string

func (e unansweredError) Error() string { return string(e) }

// refusal puts an answer that is not what was asked for into words. Whoever
// answers is an ops port if it says why, and is well on the page that the APIs do
// not have.
func (f opsClientFlags) refusal(ctx context.Context, status int, data []byte) error {
	why := reason(data)
	if status == http.StatusNotFound {
		alive, _, err := f.try(ctx, http.MethodGet, "/healthz")
		if why == "" || err == nil && alive != http.StatusOK {
			return f.notOps()
		}
		return notHereError(why)
	}
	if why == "" {
		return fmt.Errorf("%s answers %d %s, and not as an ops port does: what stands between, or is OPS_URL (--ops-url) another address?", f.OpsURL, status, http.StatusText(status))
	}
	return errors.New(why)
}

// notHereError: the process has nothing of the kind that was asked for.
type notHereError string

func (e notHereError) Error() string { return string(e) }

// reason returns why an ops port refused something; "" if it does not say so as
// one does.
func reason(data []byte) string {
	var body struct {
		Errors []struct {
			Message string `json:"message"`
			ID      string `json:"id"`
		} `json:"errors"`
	}
	if json.Unmarshal(data, &body) != nil || len(body.Errors) == 0 {
		return ""
	}
	first := body.Errors[0]
	if first.ID != "" {
		return first.Message + ": the service's log says why, by the id " + first.ID
	}
	return first.Message
}

// printJSON writes raw JSON indented. What is not seen in its texts is escaped.
func printJSON(w io.Writer, raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, escaped(b.String()))
	return err
}

// escaped writes what is not seen in a JSON text by its number, as JSON allows.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
	}
	return b.String()
}

// printable drops what is not seen from text that came from elsewhere, so that a
// title can neither steer the terminal nor turn a line around.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '.'
	}, s)
}
