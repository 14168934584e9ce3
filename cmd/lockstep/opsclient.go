package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	Timeout  time.Duration `default:"10s" min:"100ms" max:"1h" help:"How long to wait for an answer."`
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
	if status == http.StatusNotFound && !f.isOpsPort(ctx) {
		return nil, f.notOps()
	}
	if status/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s", method, path, refusal(status, data))
	}
	return data, nil
}

// notOps says that the address is another one's.
func (f opsClientFlags) notOps() error {
	return &usageError{f.OpsURL + " is not an ops port: OPS_URL (--ops-url) is where a service has its OPS_ADDR, as http://127.0.0.1:9464, not its API"}
}

// isOpsPort reports whether the address answers as an ops port does. The APIs
// have no such page.
func (f opsClientFlags) isOpsPort(ctx context.Context) bool {
	status, _, err := f.try(ctx, http.MethodGet, "/healthz")
	return err != nil || status == http.StatusOK
}

// try returns whatever status the process answers with.
func (f opsClientFlags) try(ctx context.Context, method, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(f.OpsURL, "/")+path, nil)
	if err != nil {
		return 0, nil, &usageError{fmt.Sprintf("OPS_URL: %v", err)}
	}
	if f.OpsToken != "" {
		req.Header.Set("Authorization", "Bearer "+f.OpsToken)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer from %s (--ops-url): %w", f.OpsURL, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxOpsAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("answer of %s: %w", f.OpsURL, err)
	}
	return resp.StatusCode, data, nil
}

// refusal puts an error answer into words.
func refusal(status int, data []byte) string {
	var body struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(data, &body) == nil && len(body.Errors) > 0 {
		return printable(body.Errors[0].Message)
	}
	return http.StatusText(status)
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
