package incident

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Headers of a notification.
const (
	headerTime      = "Lockstep-Timestamp" // seconds since 1970
	headerSignature = "Lockstep-Signature" // sha256=HEX
	headerKey       = "Idempotency-Key"    // the same when a notice is sent again
)

const (
	webhookWait = 8 * time.Second // one try, from the connection to the answer
	maxLines    = 10              // notices that the text spells out
)

// Webhook posts notices as JSON to a URL. Its text field is what the incoming
// webhooks of chats show. With a secret the body is signed: Sign.
type Webhook struct {
	url    string
	host   string // all that a log may name of the URL
	secret string
	client *http.Client
	now    func() time.Time
}

var _ Notifier = (*Webhook)(nil)

// NewWebhook returns a webhook. The error never quotes the address, which may
// hold a secret.
func NewWebhook(address, secret string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("must be an address that begins with https:// or http://")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxConnsPerHost = 2
	return &Webhook{
		url: address, host: u.Host, secret: secret, now: time.Now,
		client: &http.Client{
			Transport: transport, Timeout: webhookWait,
			// Where a redirect leads to was not agreed on, and it may get the body.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Sign returns the signature of a notification: the HMAC-SHA256 of timestamp,
// a full stop and the body.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(append([]byte(timestamp+"."), body...)) // a hash never fails
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Notify implements Notifier. Only an answer of 2xx counts; redirects are not
// followed.
func (w *Webhook) Notify(ctx context.Context, due []Incident) error {
	body, key, err := encode(due)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notify %s: the address cannot be used", w.host)
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "lockstep")
	req.Header.Set(headerTime, timestamp)
	req.Header.Set(headerKey, key)
	if w.secret != "" {
		req.Header.Set(headerSignature, Sign(w.secret, timestamp, body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		var outer *url.Error // its text quotes the URL
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return fmt.Errorf("notify %s: %w", w.host, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("notify %s: answered %s", w.host, resp.Status)
	}
	return nil
}

// notice is an incident as a notification tells it.
type notice struct {
	ID       string `json:"id"`
	Key      string `json:"key"`    // the same for every opening of one cause about one subject
	Status   string `json:"status"` // open or over
	Cause    Cause  `json:"cause"`
	Service  string `json:"service"`
	Subject  string `json:"subject"`
	Summary  string `json:"summary"`
	Ending   string `json:"ending,omitempty"`
	OpenedAt string `json:"openedAt"`
	ClosedAt string `json:"closedAt,omitempty"`
	Count    int    `json:"count"`
}

func noticeOf(i Incident) notice {
	n := notice{
		ID: i.ID, Key: i.Key(), Status: "open", Cause: i.Cause, Service: i.Service, Subject: i.Subject,
		Summary: i.Summary, OpenedAt: i.Opened.Format(time.RFC3339Nano), Count: max(i.Count, 1),
	}
	if i.Told == ToldOpen {
		n.Status, n.Ending = "over", i.Ending
		n.ClosedAt = i.Closed.Format(time.RFC3339Nano)
	}
	return n
}

// line is the notice for people.
func (n notice) line() string {
	if n.Status == "over" {
		return fmt.Sprintf("[%s] over: %s %s: %s", n.Service, n.Cause, clean(n.Subject), n.Ending)
	}
	return fmt.Sprintf("[%s] %s: %s", n.Service, n.Cause, n.Summary)
}

// encode returns the body of a notification and what names it.
func encode(due []Incident) (body []byte, key string, err error) {
	var message struct {
		Text      string   `json:"text"`
		Incidents []notice `json:"incidents"`
	}
	names := sha256.New()
	var text []string
	for _, i := range due {
		n := noticeOf(i)
		message.Incidents = append(message.Incidents, n)
		_, _ = names.Write([]byte(n.ID + n.Status + "\n")) // a hash never fails
		if len(text) < maxLines {
			text = append(text, n.line())
		}
	}
	if more := len(due) - len(text); more > 0 {
		text = append(text, fmt.Sprintf("and %d more: lockstep outbox incidents", more))
	}
	message.Text = strings.Join(text, "\n")
	body, err = json.Marshal(message)
	return body, hex.EncodeToString(names.Sum(nil)[:12]), err
}
