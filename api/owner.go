package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"lockstep/replica"
)

const (
	// askWithin bounds one question to another service.
	askWithin = 10 * time.Second

	// maxAnswer bounds an answer, and each element of one that is a list, in
	// bytes.
	maxAnswer = 32 << 20

	// maxRefusal bounds an answer that is an error, in bytes.
	maxRefusal = 64 << 10
)

// examineEvery is how long it is believed what an address serves.
const examineEvery = time.Minute

// Owner asks the service that owns what is replicated here, at the address of
// its ops port or, for owners that have none (the Node services), of its public
// API. Which of the two it is shows in what lists it answers, and is looked at
// again from time to time: an answer of a proxy on the way decides nothing. It
// implements replica.Canonical for the tickets service and ticket.Orders, by
// its method Orders, for the orders service. It may be used from many
// goroutines.
type Owner struct {
	base   string
	token  string // of its ops port; its public API is not sent it
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	public   bool      // the address serves the public API
	examined time.Time // when that was seen; zero if it is not known
	shown    string    // a ticket that the public API has shown; "" if none yet
}

// NewOwner returns an Owner at an address, whose ops port wants the token; "" if
// it wants none.
func NewOwner(address, token string) (*Owner, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("canonical address %q is not a URL such as http://tickets:9464", address)
	}
	return &Owner{base: strings.TrimSuffix(address, "/"), token: token, client: &http.Client{}, now: time.Now}, nil
}

// serves reports whether the address serves the public API instead of an ops
// port. With fresh set nothing that was seen before counts.
func (o *Owner) serves(ctx context.Context, fresh bool) (public bool, err error) {
	o.mu.Lock()
	public, known := o.public, !o.examined.IsZero() && o.now().Sub(o.examined) < examineEvery
	o.mu.Unlock()
	if known && !fresh {
		return public, nil
	}
	if public, err = o.examine(ctx); err != nil {
		return false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.public, o.examined = public, o.now()
	return public, nil
}

// examine asks for lists that only one of the two answers with.
func (o *Owner) examine(ctx context.Context) (public bool, err error) {
	status, err := o.get(ctx, "/ops/tickets?limit=1", &struct{}{})
	if err == nil && status != http.StatusOK { // an orders service
		status, err = o.get(ctx, "/ops/orders?limit=1", &struct{}{})
	}
	if err != nil || status == http.StatusOK {
		return false, err
	}
	lists, err := o.listsTickets(ctx)
	if err == nil && !lists {
		err = fmt.Errorf("%s answers neither as an ops port nor as the API of tickets: "+
			"set CANONICAL_URL to the OPS_ADDR of the owner, or to the address of its API", o.base)
	}
	return true, err
}

// listsTickets reports whether the public API has a list of tickets, of which
// no more is read than its beginning.
func (o *Owner) listsTickets(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	status, body, err := o.open(ctx, "/api/tickets")
	if err != nil || status != http.StatusOK {
		return false, err
	}
	defer body.Close()
	first, err := json.NewDecoder(body).Token()
	return err == nil && first == json.Delim('['), err
}

// Snapshot returns the ticket as its owner has it now; see replica.Canonical.
func (o *Owner) Snapshot(ctx context.Context, id string) (replica.Row, error) {
	row, err := o.snapshot(ctx, id)
	if err != nil {
		return replica.Row{}, fmt.Errorf("snapshot of ticket %s: %w", id, err)
	}
	return row, nil
}

func (o *Owner) snapshot(ctx context.Context, id string) (replica.Row, error) {
	public, err := o.serves(ctx, false)
	if err != nil {
		return replica.Row{}, err
	}
	row, err := o.ask(ctx, public, id)
	if !errors.Is(err, errVague) {
		return row, err
	}
	if public && o.showsAgain(ctx) {
		return replica.Row{}, replica.ErrNotFound
	}
	now, err := o.serves(ctx, true)
	if err != nil {
		return replica.Row{}, err
	}
	if now != public {
		if row, err = o.ask(ctx, now, id); !errors.Is(err, errVague) {
			return row, err
		}
	}
	return replica.Row{}, replica.ErrNotFound
}

// errVague: there is no such ticket, or no such path. What the address serves
// tells which.
var errVague = errors.New("no such ticket, or no such path")

// showsAgain reports whether the address shows a ticket that the public API has
// shown before. To look at what it serves would cost that API a list of all.
func (o *Owner) showsAgain(ctx context.Context) bool {
	o.mu.Lock()
	id := o.shown
	o.mu.Unlock()
	if id == "" {
		return false
	}
	_, err := o.ask(ctx, true, id)
	return err == nil
}

// hasShown remembers a ticket that the public API has shown.
func (o *Owner) hasShown(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.shown = id
}

// ask asks for one ticket in the way that the address serves.
func (o *Owner) ask(ctx context.Context, public bool, id string) (replica.Row, error) {
	if id == "" { // an owner of an earlier release lists all
		return replica.Row{}, replica.ErrNotFound
	}
	path := "/ops/tickets/"
	if public {
		path = "/api/tickets/"
	}
	var row wireRow
	status, err := o.get(ctx, path+Segment(id), &row)
	switch {
	case err != nil:
		return replica.Row{}, err
	case status != http.StatusOK:
		return replica.Row{}, errVague
	case public && strings.EqualFold(row.ID, id) && row.ID != id: // it reads ids in capitals
		return replica.Row{}, replica.ErrNotFound
	case row.ID != id:
		return replica.Row{}, fmt.Errorf("%s answered with ticket %q", o.base, row.ID)
	case public:
		o.hasShown(id)
	}
	return row.row(), nil
}

// get decodes an answer of 200 into into; see open.
func (o *Owner) get(ctx context.Context, path string, into any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	status, body, err := o.open(ctx, path)
	if err != nil || status != http.StatusOK {
		return status, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(into); err != nil {
		return 0, fmt.Errorf("answer of %s: %w", o.base, err)
	}
	return http.StatusOK, nil
}

// open returns the body of an answer of 200, which must be closed and is valid
// as long as ctx. It passes 404 and 400 on as a status if a service says so in
// its own words, and not a proxy on the way; an API answers 400 to ids it does
// not like. What an ops port says of a ticket itself is ErrNotFound or
// ErrUnreadable.
func (o *Owner) open(ctx context.Context, path string) (int, io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+path, nil)
	if err != nil {
		return 0, nil, err
	}
	if o.token != "" && strings.HasPrefix(path, "/ops/") {
		req.Header.Set("Authorization", "Bearer "+o.token)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, nil, o.unanswered(err)
	}
	if resp.StatusCode == http.StatusOK {
		return http.StatusOK, resp.Body, nil
	}
	defer resp.Body.Close()
	said, own := words(resp)
	switch status := resp.StatusCode; {
	case said == noTicket:
		return 0, nil, fmt.Errorf("%w by %s", replica.ErrNotFound, o.base)
	case said == unreadable:
		return 0, nil, fmt.Errorf("%w by %s", replica.ErrUnreadable, o.base)
	case own && (status == http.StatusNotFound || status == http.StatusBadRequest):
		return status, nil, nil
	case status == http.StatusUnauthorized:
		return 0, nil, fmt.Errorf("%s wants another OPS_TOKEN: services that ask each other share one", o.base)
	case status == http.StatusMisdirectedRequest:
		return 0, nil, fmt.Errorf("%s is asked by a name that it does not know: put it into OPS_HOSTS there", o.base)
	}
	if own {
		return 0, nil, fmt.Errorf("%s answered %s: %s", o.base, resp.Status, said)
	}
	return 0, nil, fmt.Errorf("%s answered %s, and not as an owner does: what stands between, or is CANONICAL_URL the address of another service?", o.base, resp.Status)
}

// unanswered puts into words that there is no answer.
func (o *Owner) unanswered(err error) error {
	if asked := (*url.Error)(nil); errors.As(err, &asked) {
		err = asked.Err // the rest of it is the address once more
	}
	return fmt.Errorf("the owner does not answer at %s: does it run, and is that its address (CANONICAL_URL)? %w", o.base, err)
}

// words returns what a service says of its refusal, and whether it is a service
// that refuses.
func words(resp *http.Response) (said string, own bool) {
	var body errorsBody
	err := json.NewDecoder(io.LimitReader(resp.Body, maxRefusal)).Decode(&body)
	if err != nil || len(body.Errors) == 0 {
		return "", false
	}
	return body.Errors[0].Message, true
}
