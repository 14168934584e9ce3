package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"lockstep/replica"
	"lockstep/ticket"
)

// ownerPage is how many bytes of an answer make a page.
const ownerPage = 1 << 20

// Page returns tickets by id; see replica.Canonical.
func (o *Owner) Page(ctx context.Context, after string, limit int) ([]replica.Row, error) {
	wires, err := pageOf(ctx, o, "tickets", after, limit, func(w wireRow) string { return w.ID })
	if err != nil {
		return nil, behind("tickets", after, err)
	}
	rows := make([]replica.Row, len(wires))
	for i, w := range wires {
		rows[i] = w.row()
	}
	return rows, nil
}

// behind says where a list broke off, unless that was at its beginning.
func behind(list, after string, err error) error {
	if after == "" {
		return fmt.Errorf("%s: %w", list, err)
	}
	return fmt.Errorf("%s above %q: %w", list, after, err)
}

// Ranges returns digests; see replica.Canonical.
func (o *Owner) Ranges(ctx context.Context, after string, size, count int) ([]replica.Range, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	query := url.Values{"after": {after}, "size": {strconv.Itoa(size)}, "count": {strconv.Itoa(count)}}
	body, err := o.list(ctx, "/ops/tickets/ranges", query)
	if err != nil {
		return nil, behind("digests", after, err)
	}
	defer body.Close()
	var answer wireRanges
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&answer); err != nil {
		return nil, behind("digests", after, fmt.Errorf("answer of %s: %w", o.base, err))
	}
	return answer.Ranges, nil
}

// OnSale yields the tickets that nobody holds, if the public API is all there
// is; see replica.Canonical. However long the list is, it is read as long as it
// comes.
func (o *Owner) OnSale(ctx context.Context) iter.Seq2[replica.Row, error] {
	return func(yield func(replica.Row, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		idle := time.AfterFunc(askWithin, func() { cancel(context.DeadlineExceeded) })
		defer idle.Stop()
		status, body, err := o.open(ctx, "/api/tickets")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s has no list of tickets", o.base)
		}
		if err != nil {
			yield(replica.Row{}, fmt.Errorf("tickets on sale: %w", err))
			return
		}
		defer body.Close()
		for w, err := range elements[wireRow](&source{body: body}, "") {
			if err != nil {
				yield(replica.Row{}, fmt.Errorf("tickets on sale: answer of %s: %w", o.base, err))
				return
			}
			if !yield(w.row(), nil) {
				return
			}
			o.hasShown(w.ID)
			idle.Reset(askWithin)
		}
	}
}

// Orders shows an owner of orders to the keeper of their locks.
func (o *Owner) Orders() ticket.Orders { return ordersOf{o} }

type ordersOf struct{ owner *Owner }

// Page returns orders by id; see ticket.Orders.
func (o ordersOf) Page(ctx context.Context, after string, limit int) ([]ticket.OrderState, error) {
	wires, err := pageOf(ctx, o.owner, "orders", after, limit, func(w wireOrder) string { return w.ID })
	if err != nil {
		return nil, behind("orders", after, err)
	}
	states := make([]ticket.OrderState, len(wires))
	for i, w := range wires {
		states[i] = ticket.OrderState{OrderID: w.ID, TicketID: w.TicketID, Version: w.Version, Cancelled: w.Cancelled}
	}
	return states, nil
}

// pageOf returns what an ops port lists under a name above an id, by id: up to
// limit, fewer if they are large, none behind the last one. Of an answer that
// is longer no more is read.
func pageOf[T any](ctx context.Context, o *Owner, name, after string, limit int, id func(T) string) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	body, err := o.list(ctx, "/ops/"+name, url.Values{
		"after": {after}, "limit": {strconv.Itoa(min(limit, maxPage))}, "bytes": {strconv.Itoa(ownerPage)},
	})
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var page []T
	from := &source{body: body}
	for v, err := range elements[T](from, name) {
		if err == nil && id(v) <= after {
			err = fmt.Errorf("%q comes behind %q", id(v), after)
		}
		if err != nil {
			return nil, fmt.Errorf("answer of %s: %w", o.base, err)
		}
		page, after = append(page, v), id(v)
		if from.read >= ownerPage {
			break
		}
	}
	return page, nil
}

// list returns the answer to something that only an ops port has, which must be
// closed.
func (o *Owner) list(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	public, err := o.serves(ctx, false)
	if err != nil {
		return nil, err
	}
	if public {
		return nil, replica.ErrPublic
	}
	status, body, err := o.open(ctx, path+"?"+query.Encode())
	if err == nil && status != http.StatusOK {
		if public, err = o.serves(ctx, true); err == nil && public {
			return nil, replica.ErrPublic
		}
		err = cmp.Or(err, fmt.Errorf("%s has no %s: is CANONICAL_URL the address of another service?", o.base, path))
	}
	return body, err
}

// source is what an owner says, of which each element is bounded.
type source struct {
	body    io.Reader
	read    int // bytes
	element int // bytes since the last element
}

func (s *source) Read(p []byte) (int, error) {
	if s.element > maxAnswer {
		return 0, errors.New("an element is too large")
	}
	n, err := s.body.Read(p)
	s.read += n
	s.element += n
	return n, err
}

// elements yields the elements of the array that an answer is, or that an
// answer has under a name. A loop that does not end by itself has read all of
// the answer.
func elements[T any](from *source, name string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		dec := json.NewDecoder(from)
		err := enter(dec, name)
		for err == nil && dec.More() {
			var v T
			if err = dec.Decode(&v); err == nil && !yield(v, nil) {
				return
			}
			from.element = 0
		}
		if err == nil {
			_, err = dec.Token()
		}
		if err == nil && name != "" {
			_, err = dec.Token()
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			var none T
			yield(none, err)
		}
	}
}

// enter reads up to the first element of the array.
func enter(dec *json.Decoder, name string) error {
	opening := []json.Token{json.Delim('{'), name, json.Delim('[')}
	if name == "" {
		opening = opening[2:]
	}
	for _, want := range opening {
		if got, err := dec.Token(); err != nil || got != want {
			return cmp.Or(err, fmt.Errorf("%v instead of %v", got, want))
		}
	}
	return nil
}
