package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"lockstep/replica"
	"lockstep/ticket"
)

const (
	// askWithin bounds one question to another service.
	askWithin = 10 * time.Second

	// maxAnswer bounds the answer, in bytes: a page of the longest titles that
	// the API takes, with room.
	maxAnswer = 256 << 20
)

// errNoOps: the address answers, but not as an ops port does.
var errNoOps = errors.New("the address is not an ops port of this service: " +
	"set CANONICAL_URL to the owner's OPS_ADDR for comparing and filling a replica")

// Owner asks the service that owns what is replicated here. It implements
// replica.Canonical for the tickets service and ticket.Orders, by its method
// Orders, for the orders service. It may be used from many goroutines.
type Owner struct {
	base    string
	client  *http.Client
	apiOnly atomic.Bool // the address serves the public API, not the ops port
}

// NewOwner returns an Owner at the address of its ops port. The address of its
// public API will do for single snapshots, for owners that have no ops port;
// such an owner cannot be asked for lists.
func NewOwner(address string) (*Owner, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("canonical address %q is not a URL such as http://tickets:9464", address)
	}
	return &Owner{base: strings.TrimSuffix(address, "/"), client: &http.Client{Timeout: askWithin}}, nil
}

// Snapshot returns the ticket as its owner has it now; see replica.Canonical.
func (o *Owner) Snapshot(ctx context.Context, id string) (replica.Row, error) {
	if !o.apiOnly.Load() {
		var row wireRow
		status, err := o.get(ctx, "/ops/tickets/"+url.PathEscape(id), &row)
		switch {
		case err != nil:
			return replica.Row{}, fmt.Errorf("snapshot of ticket %s: %w", id, err)
		case status == http.StatusOK:
			return row.row(), nil
		}
		if o.hasOps(ctx) {
			return replica.Row{}, fmt.Errorf("snapshot of ticket %s: %w", id, replica.ErrNotFound)
		}
		o.apiOnly.Store(true)
	}
	var row wireRow
	status, err := o.get(ctx, "/api/tickets/"+url.PathEscape(id), &row)
	if err == nil && status != http.StatusOK {
		err = replica.ErrNotFound
	}
	if err != nil {
		return replica.Row{}, fmt.Errorf("snapshot of ticket %s: %w", id, err)
	}
	return row.row(), nil
}

// hasOps reports whether a list of one is answered, which no API does.
func (o *Owner) hasOps(ctx context.Context) bool {
	var page wireRows
	status, err := o.get(ctx, "/ops/tickets?limit=1", &page)
	return err != nil || status == http.StatusOK // with an error nothing is known; the next question will tell
}

// Page returns tickets by id; see replica.Canonical.
func (o *Owner) Page(ctx context.Context, after string, limit int) ([]replica.Row, error) {
	var rows []replica.Row
	for limit > 0 { // an answer holds maxPage at the most
		want := min(limit, maxPage)
		var page wireRows
		if err := o.list(ctx, "/ops/tickets", url.Values{"after": {after}, "limit": {strconv.Itoa(want)}}, &page); err != nil {
			return nil, fmt.Errorf("tickets above %q: %w", after, err)
		}
		for _, w := range page.Tickets {
			rows = append(rows, w.row())
			after = w.ID
		}
		if len(page.Tickets) < want {
			break
		}
		limit -= want
	}
	return rows, nil
}

// Ranges returns digests; see replica.Canonical.
func (o *Owner) Ranges(ctx context.Context, after string, size, count int) ([]replica.Range, error) {
	var answer wireRanges
	query := url.Values{"after": {after}, "size": {strconv.Itoa(size)}, "count": {strconv.Itoa(count)}}
	if err := o.list(ctx, "/ops/tickets/ranges", query, &answer); err != nil {
		return nil, fmt.Errorf("digests above %q: %w", after, err)
	}
	return answer.Ranges, nil
}

// Orders shows an owner of orders to the keeper of their locks.
func (o *Owner) Orders() ticket.Orders { return ordersOf{o} }

type ordersOf struct{ owner *Owner }

// Page returns orders by id; see ticket.Orders.
func (o ordersOf) Page(ctx context.Context, after string, limit int) ([]ticket.OrderState, error) {
	var answer wireOrders
	query := url.Values{"after": {after}, "limit": {strconv.Itoa(min(limit, maxPage))}}
	if err := o.owner.list(ctx, "/ops/orders", query, &answer); err != nil {
		return nil, fmt.Errorf("orders above %q: %w", after, err)
	}
	states := make([]ticket.OrderState, len(answer.Orders))
	for i, w := range answer.Orders {
		states[i] = ticket.OrderState{OrderID: w.ID, TicketID: w.TicketID, Version: w.Version, Cancelled: w.Cancelled}
	}
	return states, nil
}

// list asks for something that only an ops port has.
func (o *Owner) list(ctx context.Context, path string, query url.Values, into any) error {
	status, err := o.get(ctx, path+"?"+query.Encode(), into)
	if err == nil && status != http.StatusOK {
		err = errNoOps
	}
	return err
}

// get decodes an answer of 200 and passes 404 and 400 on as a status; an API
// answers 400 to ids it does not like.
func (o *Owner) get(ctx context.Context, path string, into any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+path, nil)
	if err != nil {
		return 0, err
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusBadRequest:
		return resp.StatusCode, nil
	default:
		return 0, fmt.Errorf("%s answered %s", o.base, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return 0, fmt.Errorf("answer of %s: %w", o.base, err)
	}
	return http.StatusOK, nil
}
