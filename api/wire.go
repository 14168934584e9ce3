package api

import (
	"lockstep/replica"
	"lockstep/ticket"
)

// wireRow is a canonical ticket, or a replica's row, on the ops port.
type wireRow struct {
	ID      string  `json:"id"`
	Version int64   `json:"version"`
	Title   string  `json:"title"`
	Price   float64 `json:"price"`
	OrderID string  `json:"orderId,omitempty"`
	Deleted bool    `json:"deleted,omitempty"`
}

func wireOf(r replica.Row) wireRow { return wireRow(r) }

func (w wireRow) row() replica.Row { return replica.Row(w) }

// rowOf returns what a replica would hold of a canonical ticket.
func rowOf(t ticket.Ticket) replica.Row {
	return replica.Row{ID: t.ID, Version: t.Version, Title: t.Title, Price: t.Price, OrderID: t.OrderID, Deleted: t.Deleted}
}

// wireOrder is an order as the tickets service compares its locks with it.
type wireOrder struct {
	ID        string `json:"id"`
	TicketID  string `json:"ticketId"`
	Version   int64  `json:"version"`
	Cancelled bool   `json:"cancelled"`
}

// wireRanges is an answer of digests.
type wireRanges struct {
	Ranges []replica.Range `json:"ranges"`
}
