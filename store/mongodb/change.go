package mongodb

import (
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"lockstep/event"
)

// What can become of a change. The ports return errors of their own for these.
var (
	errCondition = errors.New("condition does not hold")
	errTaken     = errors.New("the ticket has another active order")
	errBusy      = errors.New("a transaction of another process holds the record")
)

// change is what one caller wants written as one piece.
type change struct {
	writes []write
	events []event.Event
	docs   []any // the events as documents, encoded by the caller's goroutine
	at     time.Time
	err    error // the verdict
}

// write is one conditional write.
type write struct {
	collection string
	id         recordID
	model      mongo.WriteModel
	filter     bson.D   // the condition, which names the id; nil for an insert, whose condition is that the id is free
	seat       recordID // the ticket that the order takes from all others by this write; "" if none
}

func (c *change) insert(collection string, id recordID, doc any) *write {
	c.writes = append(c.writes, write{collection: collection, id: id, model: mongo.NewInsertOneModel().SetDocument(doc)})
	return &c.writes[len(c.writes)-1]
}

func (c *change) update(collection string, id recordID, condition, update bson.D) *write {
	filter := append(is("_id", id), condition...)
	model := mongo.NewUpdateOneModel().SetFilter(filter).SetUpdate(update)
	c.writes = append(c.writes, write{collection: collection, id: id, model: model, filter: filter})
	return &c.writes[len(c.writes)-1]
}

// announce adds the events, locked at the given time: from its commit on, an
// event belongs to the dispatcher.
func (c *change) announce(events []event.Event, at time.Time) error {
	c.events, c.at = events, instant(at)
	for _, e := range events {
		doc, err := bson.Marshal(newEventDoc(e, c.at))
		if err != nil {
			return fmt.Errorf("encode event %s: %w", e.ID(), err)
		}
		c.docs = append(c.docs, bson.Raw(doc))
	}
	return nil
}

// keys names what the change touches: changes with a common key are committed
// one after the other.
func (c *change) keys() []string {
	var all []string
	for _, w := range c.writes {
		all = append(all, w.collection+"/"+string(w.id))
		if w.seat != "" {
			all = append(all, "seat/"+string(w.seat))
		}
	}
	for _, e := range c.events {
		all = append(all, "event/"+e.Key)
	}
	return all
}

// seats returns the tickets that the change takes.
func (c *change) seats() (all []recordID) {
	for _, w := range c.writes {
		if w.seat != "" {
			all = append(all, w.seat)
		}
	}
	return all
}

func (c *change) eventIDs() []string {
	ids := make([]string, len(c.events))
	for i, e := range c.events {
		ids[i] = e.ID()
	}
	return ids
}
