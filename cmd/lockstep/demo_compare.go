package main

import (
	"context"
	"errors"

	"lockstep/order"
	"lockstep/replica"
	"lockstep/ticket"
)

// lookPage is how many records one read brings.
const lookPage = 1000

// compare holds every ticket against its row, against what was answered and
// against what was heard on the bus.
func (d *demo) compare(ctx context.Context, f *findings) error {
	rows, err := d.rows(ctx)
	if err != nil {
		return err
	}
	f.rows = len(rows)
	d.load.mu.Lock()
	defer d.load.mu.Unlock()
	d.mess.mu.Lock()
	defer d.mess.mu.Unlock()
	stored := 0
	for after := ""; ; {
		page, err := d.system.ticketStore.tickets.Page(ctx, after, lookPage)
		if err != nil {
			return err
		}
		for _, t := range page {
			f.tickets++
			f.events += int(t.Version) + 1
			if rows[t.ID] != copyOf(t) {
				f.drifted++
			}
			for v := range t.Version + 1 {
				if !d.mess.heard[t.ID][v] {
					f.unpublished++
				}
			}
			if known, ok := d.load.known[t.ID]; ok {
				stored++
				if t.Version < known {
					f.lostWrites++
				}
			}
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	f.lostWrites += len(d.load.known) - stored
	for _, id := range d.mess.foreign {
		if row := rows[id]; row.Version != foreignVersions-1 || row.Price != foreignVersions-0.5 {
			f.drifted++
		}
	}
	return nil
}

// copyOf is what a row of the ticket must be.
func copyOf(t ticket.Ticket) replica.Row {
	return replica.Row{ID: t.ID, Version: t.Version, Title: t.Title, Price: t.Price, OrderID: t.OrderID, Deleted: t.Deleted}
}

func (d *demo) rows(ctx context.Context) (map[string]replica.Row, error) {
	all := map[string]replica.Row{}
	for after := ""; ; {
		page, err := d.system.orderStore.replica.Page(ctx, after, lookPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			all[r.ID] = r
		}
		if len(page) == 0 {
			return all, nil
		}
		after = page[len(page)-1].ID
	}
}

// checkLocks holds every order against the lock that the tickets service has
// for it.
func (d *demo) checkLocks(ctx context.Context, f *findings) error {
	found := 0
	for after := ""; ; {
		page, err := d.system.orderStore.orders.Page(ctx, after, lookPage)
		if err != nil {
			return err
		}
		for _, o := range page {
			f.orders++
			if d.load.answered(o.ID) {
				found++
			}
			right, err := d.lockIsRight(ctx, o)
			if err != nil {
				return err
			}
			if !right {
				f.wrongLocks++
			}
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
	}
	f.lostWrites += d.load.counted().orders - found
	return nil
}

// lockIsRight: an active order holds its ticket, unless the ticket was deleted
// before the order was heard of; a cancelled one holds nothing.
func (d *demo) lockIsRight(ctx context.Context, o order.Order) (bool, error) {
	l, err := d.system.ticketStore.tickets.Lock(ctx, o.ID)
	if errors.Is(err, ticket.ErrNotFound) { // its events are on their way
		return false, nil
	}
	if err != nil {
		return false, err
	}
	t, err := d.system.ticketStore.tickets.Ticket(ctx, o.TicketID)
	if err != nil {
		return false, err
	}
	if o.Status == order.Cancelled {
		return (l.State == ticket.Released || l.State == ticket.Tombstone) && t.OrderID != o.ID, nil
	}
	return l.State == ticket.Held && t.OrderID == o.ID || l.State == ticket.Waiting && t.Deleted, nil
}

func (l *load) answered(orderID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reserved[orderID]
}
