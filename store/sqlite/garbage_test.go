package sqlite

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lockstep/event"
	"lockstep/incident"
	"lockstep/listeners"
)

// Cases 10.3 and 10.7: whatever a column of a row is, no list fails and no
// figure.
func TestNoRowFailsAList(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := openFile(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{
		"tickets":    "id='@', title='t', price=1, userId='u', version=1, orderId='', deleted=0, revision=1",
		"locks":      "orderId='@', ticketId='t', version=0, state='waiting', since=1",
		"orders":     "id='@', userId='bob', status='created', expiresAt=1, ticketId='@', price=1, version=0, lockFrom=1, paidBy='p'",
		"replica":    "id='@', version=1, title='t', price=1, orderId='o', deleted=0",
		"payments":   "id='@:p', orderId='@', paymentId='p', stripeId='s', ticketId='t', userId='u', price=1, reason='paid_twice', at=1, settledAt=0",
		"quarantine": "id='@', queueGroup='g', subject='s', sequence=1, key='k', version=1, predecessor=0, payload=x'7b7d', reason='too_early', detail='d', at=1",
		"events":     "keyHash=140662621, key='k', version=1, subject='s', occurredAt=1, isLocked=0, lockedAt=1, notBefore=1, attempts=1, failures='[]', payload=x'7b7d'",
		"incidents":  "id='@', key='@', cause='broker_loss', service='s', subject='s', summary='s', opened=1, raised=1, closed=0, ending='', count=1, told=1, tries=1, notifyAt=1, revision=1",
	}
	var tables []string
	for table := range rows {
		tables = append(tables, table)
	}
	anyValue(t, path, tables...)
	var statements []string
	n := 0
	for table, row := range rows {
		columns := strings.Split(row, ", ")
		for i := range columns {
			for _, v := range []string{"NULL", "''", "'x'", "'1e3'", "'  5 '", "x''", "x'ff'", "x'31'", "-1", "9223372036854775807", "-9223372036854775808", "1.5", "1e300", "9e999", "-9e999", "-0.0", "'9223372036854775808'"} {
				var names, values []string
				for j, c := range columns {
					name, value, _ := strings.Cut(strings.ReplaceAll(c, "@", fmt.Sprintf("%s%05d", table, n)), "=")
					if i == j {
						value = v
					}
					names, values = append(names, name), append(values, value)
				}
				n++
				statements = append(statements, "INSERT OR IGNORE INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(values, ", ")+")")
			}
		}
	}
	foreign(t, path, statements...)
	db, err := Open(t.Context(), path, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	readAll(t, db)
}

// pageSize is how many a page has.
const pageSize = 7

// readAll reads everything and reports errors.
func readAll(t *testing.T, db *DB) {
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	pages := func(what string, page func(after string) (last string, err error)) {
		t.Helper()
		for after, i := "", 0; ; i++ {
			last, err := page(after)
			check(what, err)
			if last == "" || err != nil {
				return
			}
			if last <= after || i > 1000 {
				t.Errorf("%s: a page behind %q ends with %q", what, after, last)
				return
			}
			after = last
		}
	}
	for _, err := range db.Tickets().Free(ctx) {
		check("free", err)
	}
	for _, err := range db.Orders().Orders(ctx, "bob") {
		check("orders of bob", err)
	}
	for _, err := range db.Orders().Expired(ctx, time.Now()) {
		check("expired", err)
	}
	pages("tickets", func(after string) (last string, err error) {
		all, err := db.Tickets().Page(ctx, after, pageSize)
		for _, v := range all {
			last = v.ID
		}
		return last, err
	})
	pages("rows", func(after string) (last string, err error) {
		all, err := db.Replica().Page(ctx, after, pageSize)
		for _, v := range all {
			last = v.ID
		}
		return last, err
	})
	pages("ticket ids", func(after string) (last string, err error) {
		all, err := db.OrderTickets().TicketIDs(ctx, after, pageSize)
		_, e := db.OrderTickets().Locks(ctx, all)
		check("locks of orders", e)
		_, e = db.Replica().Versions(ctx, all)
		check("versions", e)
		for _, e := range db.OrderTickets().Tickets(ctx, all) {
			check("tickets of orders", e)
		}
		for _, last = range all {
		}
		return last, err
	})
	pages("orders", func(after string) (last string, err error) {
		all, err := db.Orders().Page(ctx, after, pageSize)
		for _, v := range all {
			last = v.ID
		}
		return last, err
	})
	pages("locks", func(after string) (last string, err error) {
		all, err := db.Tickets().Locks(ctx, after, pageSize)
		for _, v := range all {
			last = v.OrderID
		}
		return last, err
	})
	pages("refunds", func(after string) (last string, err error) {
		all, err := db.Orders().Refunds(ctx, false, after, pageSize)
		for _, v := range all {
			last = v.ID()
		}
		return last, err
	})
	pages("quarantine", func(after string) (string, error) {
		_, next, err := db.Quarantine().List(ctx, listeners.Filter{}, after, pageSize)
		return next, err
	})
	_, err := db.Tickets().NextWaiting(ctx, "t")
	check("next waiting", err)
	_, err = db.Tickets().Waiting(ctx)
	check("waiting", err)
	_, err = db.Replica().Count(ctx)
	check("count", err)
	_, err = db.Orders().OpenRefunds(ctx)
	check("open refunds", err)
	_, err = db.Quarantine().Waiting(ctx, "g", "", 1000)
	check("what waits in quarantine", err)
	_, err = db.Quarantine().Applicable(ctx, "g", map[string]int64{"k": 7}, 1000)
	check("what is applicable", err)
	_, err = db.Quarantine().Size(ctx, "g")
	check("size of the quarantine", err)
	_, err = db.Quarantine().Count(ctx)
	check("count of the quarantine", err)
	_, err = db.Incidents().List(ctx, incident.Query{Limit: 1000})
	check("incidents", err)
	_, err = db.Incidents().Due(ctx, time.Now(), time.Now().Add(time.Hour), 1000)
	check("due incidents", err)
	_, err = db.Incidents().Counts(ctx)
	check("counts of incidents", err)
	check("pruning", db.Incidents().Prune(ctx, time.UnixMilli(0), 5))
	readOutbox(t, db.Outbox(), check)
}

func readOutbox(t *testing.T, s *Outbox, check func(string, error)) {
	ctx := t.Context()
	_, err := s.Stats(ctx)
	check("stats", err)
	_, err = s.Due(ctx, time.Now(), time.Now().Add(time.Hour), 1000)
	check("due", err)
	_, err = s.Stale(ctx, time.Now(), time.Now().Add(time.Hour), 10)
	check("stale", err)
	_, err = s.Key(ctx, "k", event.None, 1000)
	check("key", err)
	seen := map[string]bool{}
	for after := ""; ; {
		all, err := s.List(ctx, after, pageSize)
		check("outbox", err)
		if len(all) == 0 || err != nil {
			break
		}
		after = all[len(all)-1].ID()
		if seen[after] {
			t.Errorf("the outbox list goes round at %q", after)
			break
		}
		seen[after] = true
	}
	tail, err := s.Tail(ctx)
	check("tail", err)
	for err == nil {
		records, e := tail.Scan(ctx, pageSize)
		check("scan", e)
		if len(records) == 0 {
			break
		}
	}
	check("close", tail.Close())
}
