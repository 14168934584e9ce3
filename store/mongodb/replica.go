package mongodb

import (
	"context"
	"errors"
	"iter"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/event"
	"lockstep/order"
	"lockstep/replica"
)

// Replica is the store of the copies of tickets.
type Replica struct{ db *DB }

var _ replica.Store = (*Replica)(nil)

// Replica returns the port of package replica.
func (db *DB) Replica() *Replica { return &Replica{db} }

func (db *DB) copies() collection { return db.collection(db.opts.Replica) }

// rowDoc is a row of the replica as it lies in the database.
type rowDoc struct {
	ID      ownID   `bson:"_id"`
	Version version `bson:"version"`
	Title   text    `bson:"title"`
	Price   amount  `bson:"price"`
	OrderID text    `bson:"orderId,omitempty"`
	Deleted flag    `bson:"deleted,omitempty"`
}

func newRowDoc(r replica.Row) rowDoc {
	return rowDoc{
		ID: ownID(r.ID), Version: version(r.Version), Title: text(r.Title), Price: amount(r.Price), OrderID: text(r.OrderID), Deleted: flag(r.Deleted),
	}
}

func (d rowDoc) row() replica.Row {
	return replica.Row{ID: string(d.ID), Version: int64(d.Version), Title: string(d.Title), Price: float64(d.Price), OrderID: string(d.OrderID), Deleted: bool(d.Deleted)}
}

func (d rowDoc) ticket() order.Ticket {
	return order.Ticket{ID: string(d.ID), Title: string(d.Title), Price: float64(d.Price), Version: int64(d.Version), OrderID: string(d.OrderID)}
}

// Row implements replica.Store.
func (s *Replica) Row(ctx context.Context, id string) (replica.Row, error) {
	d, err := one[rowDoc](ctx, s.db.copies(), is("_id", recordID(id)), replica.ErrNotFound)
	return d.row(), as(replica.ErrUnreadable, err)
}

// Versions implements replica.Store.
func (s *Replica) Versions(ctx context.Context, ids []string) (map[string]int64, error) {
	rows, err := list(ctx, s.db.copies(), is("_id", is("$in", recordIDs(ids))), rowDoc.row, options.Find().SetProjection(is("version", 1)))
	versions := make(map[string]int64, len(rows))
	for _, r := range rows {
		versions[r.ID] = r.Version
	}
	return versions, err
}

// Page implements replica.Store.
func (s *Replica) Page(ctx context.Context, after string, limit int) ([]replica.Row, error) {
	return page(ctx, s.db.copies(), after, limit, rowDoc.row, func(r replica.Row) string { return r.ID })
}

// Count implements replica.Store. It costs the number of tombstones; what the
// server says of the rest may be off after it was killed.
func (s *Replica) Count(ctx context.Context) (int, error) {
	all, err := s.db.copies().EstimatedDocumentCount(ctx)
	if err != nil {
		return 0, err
	}
	gone, err := s.db.copies().count(ctx, is("deleted", true), options.Count().SetHint(byDeletion))
	return int(max(all-gone, 0)), err
}

// Write implements replica.Store. One bulk write carries all; each is atomic
// by itself.
func (s *Replica) Write(ctx context.Context, writes []replica.Write) (int, error) {
	if len(writes) == 0 {
		return 0, nil
	}
	if err := s.db.condition.keeps(s.db.opts.Replica); err != nil {
		return 0, err
	}
	inserts, overwritten := 0, 0
	models := make([]mongo.WriteModel, 0, len(writes))
	for _, w := range writes {
		if w.Unreadable {
			n, err := s.overwrite(ctx, w)
			if err != nil {
				return 0, err
			}
			overwritten += n
			continue
		}
		if w.From == event.None {
			inserts++
		}
		models = append(models, model(w))
	}
	if len(models) == 0 {
		return overwritten, nil
	}
	result, err := s.db.copies().BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return 0, err
	}
	existed := inserts - int(result.UpsertedCount) // these matched and were left alone
	return overwritten + int(result.MatchedCount) - existed + int(result.UpsertedCount) + int(result.DeletedCount), nil
}

// overwrite performs a write in the place of a row that cannot be read. What
// stands for its version is the condition.
func (s *Replica) overwrite(ctx context.Context, w replica.Write) (int, error) {
	id := is("_id", recordID(w.Row.ID))
	raw, err := read(s.db.copies().FindOne(ctx, id).Raw())
	if errors.Is(err, mongo.ErrNoDocuments) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if _, err := decode[rowDoc](ctx, s.db.copies(), raw); err == nil {
		return 0, nil
	}
	version := raw.Lookup("version")
	same := is("$eq", version)
	if version.IsZero() {
		same = is("$exists", false)
	}
	found := append(id, bson.E{Key: "version", Value: same})
	if w.Remove {
		result, err := s.db.copies().DeleteOne(ctx, found)
		if err != nil {
			return 0, err
		}
		return int(result.DeletedCount), nil
	}
	result, err := s.db.copies().ReplaceOne(ctx, found, newRowDoc(w.Row)) // no update finds what is there twice
	if err != nil {
		return 0, err
	}
	return int(result.MatchedCount), nil
}

// replacement returns the update that makes a document the row.
func replacement(r replica.Row) bson.D {
	set := bson.D{{Key: "version", Value: r.Version}, {Key: "title", Value: r.Title}, {Key: "price", Value: r.Price}}
	return replacing(set, r.OrderID, r.Deleted)
}

// model returns the conditional write of a row. Only a creation is an upsert,
// and by the id alone: one that named the predecessor would invent history.
func model(w replica.Write) mongo.WriteModel {
	r := w.Row
	id := is("_id", recordID(r.ID))
	if w.Remove {
		return mongo.NewDeleteOneModel().SetFilter(append(id, bson.E{Key: "version", Value: counted(w.From)}))
	}
	if w.From == event.None {
		return mongo.NewUpdateOneModel().SetFilter(id).SetUpdate(is("$setOnInsert", newRowDoc(r))).SetUpsert(true)
	}
	return mongo.NewUpdateOneModel().SetFilter(append(id, bson.E{Key: "version", Value: counted(w.From)})).SetUpdate(replacement(r))
}

// OrderTickets shows orders the replica.
type OrderTickets struct{ db *DB }

var _ order.Tickets = (*OrderTickets)(nil)

// OrderTickets returns the port through which package order reads the replica.
func (db *DB) OrderTickets() *OrderTickets { return &OrderTickets{db} }

// Ticket implements order.Tickets.
func (s *OrderTickets) Ticket(ctx context.Context, id string) (order.Ticket, error) {
	filter := append(is("_id", recordID(id)), bson.E{Key: "deleted", Value: is("$ne", true)})
	d, err := one[rowDoc](ctx, s.db.copies(), filter, order.ErrNotFound)
	return d.ticket(), as(order.ErrUnreadable, err)
}

// Tickets implements order.Tickets.
func (s *OrderTickets) Tickets(ctx context.Context, ids []string) iter.Seq2[order.Ticket, error] {
	return sequence(ctx, s.db.copies(), query{filter: is("_id", is("$in", recordIDs(ids))), sort: asc("_id")}, rowDoc.ticket)
}

// TicketIDs implements order.Tickets.
func (s *OrderTickets) TicketIDs(ctx context.Context, after string, limit int) ([]string, error) {
	type named struct {
		ID ownID `bson:"_id"`
	}
	return page(ctx, s.db.copies(), after, limit, func(n named) string { return string(n.ID) }, func(id string) string { return id })
}

// Locks implements order.Tickets.
func (s *OrderTickets) Locks(ctx context.Context, ticketIDs []string) ([]order.Lock, error) {
	filter := bson.D{{Key: "_id", Value: is("$in", recordIDs(ticketIDs))}, {Key: "deleted", Value: is("$ne", true)}}
	rows, err := list(ctx, s.db.copies(), filter, rowDoc.row, options.Find().SetSort(asc("_id")).SetProjection(asc("version", "orderId")))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	tickets := make([]recordID, len(rows))
	for i, r := range rows {
		tickets[i] = recordID(r.ID)
	}
	active, err := s.db.holders(ctx, tickets)
	rows = slices.DeleteFunc(rows, func(r replica.Row) bool { return r.OrderID == string(active[recordID(r.ID)]) })
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	ids := make([]recordID, 0, 2*len(rows))
	for _, r := range rows {
		ids = append(ids, recordID(r.OrderID), active[recordID(r.ID)])
	}
	found, err := list(ctx, s.db.collection(ordersName), is("_id", is("$in", ids)), orderDoc.order)
	if err != nil {
		return nil, err
	}
	orders := map[string]order.Order{}
	for _, o := range found {
		orders[o.ID] = o
	}
	var locks []order.Lock
	for _, r := range rows {
		if l := lockOf(r, string(active[recordID(r.ID)]), orders); !l.Right() {
			locks = append(locks, l)
		}
	}
	return locks, nil
}

// lockOf returns the lock of a row whose ticket another order than it says has,
// or none. An order that cannot be read has its id.
func lockOf(r replica.Row, active string, orders map[string]order.Order) order.Lock {
	l := order.Lock{TicketID: r.ID, Version: r.Version, Active: orders[active]}
	l.Active.ID = active
	if o := orders[r.OrderID]; o.Status == order.Cancelled {
		l.Left = o
	}
	return l
}
