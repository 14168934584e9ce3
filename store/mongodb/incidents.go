package mongodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/incident"
)

// Incidents is the collection of what a person should know of.
type Incidents struct{ db *DB }

var _ incident.Store = (*Incidents)(nil)

// Incidents returns the port of package incident.
func (db *DB) Incidents() *Incidents { return &Incidents{db} }

func (s *Incidents) incidents() collection { return s.db.collection(incidentsName) }

// incidentDoc is an incident as it lies in the database.
type incidentDoc struct {
	ID       entryID        `bson:"_id"` // sorts by age
	Key      string         `bson:"key"` // the same for every opening
	Cause    incident.Cause `bson:"cause"`
	Service  string         `bson:"service"`
	Subject  payload        `bson:"subject"` // text, but nothing checked it
	Summary  string         `bson:"summary"`
	Opened   time.Time      `bson:"openedAt"`
	Raised   time.Time      `bson:"raisedAt"`
	Open     bool           `bson:"open"`
	Closed   time.Time      `bson:"closedAt,omitempty"`
	Ending   string         `bson:"ending,omitempty"`
	Count    int            `bson:"count"`
	Told     incident.Told  `bson:"told"`
	Tries    int            `bson:"tries"`
	Due      bool           `bson:"due"`
	NotifyAt time.Time      `bson:"notifyAt,omitempty"`
	Revision int64          `bson:"rev"`
}

func newIncidentDoc(i incident.Incident) incidentDoc {
	return incidentDoc{
		ID: entryID(i.ID), Key: i.Key(), Cause: i.Cause, Service: i.Service, Subject: payload(i.Subject), Summary: i.Summary,
		Opened: i.Opened, Raised: i.Raised, Open: i.Open(), Closed: i.Closed, Ending: i.Ending, Count: i.Count,
		Told: i.Told, Tries: i.Tries, Due: !i.NotifyAt.IsZero(), NotifyAt: i.NotifyAt, Revision: i.Revision + 1,
	}
}

func (d incidentDoc) incident() incident.Incident {
	return incident.Incident{
		ID: string(d.ID), Cause: d.Cause, Service: d.Service, Subject: string(d.Subject), Summary: d.Summary,
		Opened: d.Opened.UTC(), Raised: d.Raised.UTC(), Closed: d.Closed.UTC(), Ending: d.Ending, Count: d.Count,
		Told: d.Told, Tries: d.Tries, NotifyAt: d.NotifyAt.UTC(), Revision: d.Revision,
	}
}

// Incident implements incident.Store.
func (s *Incidents) Incident(ctx context.Context, id string) (incident.Incident, error) {
	d, err := one[incidentDoc](ctx, s.incidents(), is("_id", id), incident.ErrNotFound)
	if err != nil {
		return incident.Incident{}, err
	}
	return d.incident(), nil
}

// List implements incident.Store.
func (s *Incidents) List(ctx context.Context, q incident.Query) ([]incident.Incident, error) {
	filter := bson.D{}
	if q.Key != "" {
		filter = append(filter, bson.E{Key: "key", Value: q.Key})
	}
	if q.Cause != "" {
		filter = append(filter, bson.E{Key: "cause", Value: q.Cause})
	}
	if q.OpenOnly {
		filter = append(filter, bson.E{Key: "open", Value: true})
	}
	if q.Closed {
		filter = append(filter, bson.E{Key: "open", Value: false})
	}
	if q.Before != "" {
		filter = append(filter, bson.E{Key: "_id", Value: is("$lt", q.Before)})
	}
	return first(ctx, s.incidents(), query{filter: filter, sort: is("_id", -1)}, incidentDoc.incident, q.Limit)
}

// Due implements incident.Store.
func (s *Incidents) Due(ctx context.Context, now, latest time.Time, limit int) ([]incident.Incident, error) {
	waits := bson.D{{Key: "$gt", Value: now}, {Key: "$lte", Value: latest}}
	filter := bson.D{{Key: "due", Value: true}, {Key: "notifyAt", Value: is("$not", waits)}}
	return first(ctx, s.incidents(), query{filter: filter, sort: asc("notifyAt")}, incidentDoc.incident, limit)
}

// Write implements incident.Store.
func (s *Incidents) Write(ctx context.Context, i incident.Incident) error {
	d := newIncidentDoc(i)
	var written int64 = 1
	var err error
	if i.Revision == 0 {
		_, err = s.incidents().InsertOne(ctx, d)
	} else {
		var result *mongo.UpdateResult
		result, err = s.incidents().ReplaceOne(ctx, bson.D{{Key: "_id", Value: i.ID}, {Key: "rev", Value: i.Revision}}, d)
		if err == nil {
			written = result.MatchedCount
		}
	}
	if mongo.IsDuplicateKeyError(err) || err == nil && written == 0 {
		return fmt.Errorf("%w: %s", incident.ErrConflict, i.ID)
	}
	return err
}

// Prune implements incident.Store.
func (s *Incidents) Prune(ctx context.Context, before time.Time, keep int) error {
	type end struct {
		Closed time.Time `bson:"closedAt"`
	}
	ended := bson.D{{Key: "open", Value: false}, {Key: "closedAt", Value: is("$type", "date")}} // what else lies there is no time
	last, err := one[end](ctx, s.incidents(), ended, incident.ErrNotFound,
		options.FindOne().SetSort(is("closedAt", -1)).SetSkip(int64(max(keep-1, 0))).SetProjection(is("closedAt", 1)))
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return err
	}
	if err == nil && last.Closed.After(before) {
		before = last.Closed
	}
	_, err = s.incidents().DeleteMany(ctx, bson.D{{Key: "open", Value: false}, {Key: "closedAt", Value: is("$lt", before)}})
	return err
}

// Counts implements incident.Store.
func (s *Incidents) Counts(ctx context.Context) (map[incident.Cause]int, error) {
	cursor, err := s.incidents().Aggregate(ctx, mongo.Pipeline{
		{{Key: "$match", Value: is("open", true)}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$cause"}, {Key: "n", Value: is("$sum", 1)}}}},
	})
	if err != nil {
		return nil, err
	}
	var groups []struct {
		Cause bson.RawValue `bson:"_id"`
		N     int           `bson:"n"`
	}
	counts := map[incident.Cause]int{}
	if err := cursor.All(ctx, &groups); err != nil {
		return nil, err
	}
	for _, g := range groups {
		if cause, ok := g.Cause.StringValueOK(); ok { // or it is nobody's
			counts[incident.Cause(cause)] = g.N
		}
	}
	return counts, nil
}
