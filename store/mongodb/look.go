package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Look returns why a database could not be opened, as Open would, without making
// or changing anything in it.
func Look(ctx context.Context, uri string, o Options) (err error) {
	db := &DB{opts: o.withDefaults()}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.connect(ctx, uri); err != nil {
		return fmt.Errorf("open MongoDB: %w", err)
	}
	if err := db.recognize(ctx); err != nil {
		return fmt.Errorf("open MongoDB: %w", err)
	}
	if err := db.checkRights(ctx, needed()); err != nil {
		return err
	}
	_, err = db.fit(ctx)
	return err
}

// fit returns the collections that exist, or an ErrSetUp if there is one of ours
// that does not take what the service writes.
func (db *DB) fit(ctx context.Context) (map[string]mongo.CollectionSpecification, error) {
	there, err := db.there(ctx)
	if err != nil {
		return nil, err
	}
	refusals, err := db.unwritable(ctx, there)
	return there, errors.Join(all(refusals), err)
}

// writing are the actions of a service that runs.
func writing() []string { return []string{"find", "insert", "update", "remove"} }

// needed are the actions that the service performs in a new database. See the
// MongoDB manual: privilege actions. The role readWrite has them all.
func needed() []string { return append(writing(), "createCollection", "createIndex", "changeStream") }

// privilege is what a user may do with what.
type privilege struct {
	Resource struct {
		DB         *string `bson:"db"`
		Collection *string `bson:"collection"`
		Any        bool    `bson:"anyResource"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// covers reports whether it holds for a collection of a database.
func (p privilege) covers(database, collection string) bool {
	r := p.Resource
	return r.Any || r.DB != nil && (*r.DB == "" || *r.DB == database) && r.Collection != nil && (*r.Collection == "" || *r.Collection == collection)
}

// checkRights returns which of the actions the user lacks. A server that asks nobody who they
// are lets everybody do everything.
func (db *DB) checkRights(ctx context.Context, actions []string) error {
	var status struct {
		Info struct {
			Users []struct {
				Name string `bson:"user"`
			} `bson:"authenticatedUsers"`
			Privileges []privilege `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	err := db.data.RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}).Decode(&status)
	if err != nil {
		return fmt.Errorf("ask MongoDB who this is: %w", err)
	}
	if len(status.Info.Users) == 0 {
		return nil
	}
	may := func(action, collection string) bool {
		return slices.ContainsFunc(status.Info.Privileges, func(p privilege) bool {
			return p.covers(db.data.Name(), collection) && slices.Contains(p.Actions, action)
		})
	}
	missing := slices.DeleteFunc(actions, func(action string) bool {
		for collection := range db.schema() {
			if !may(action, collection) {
				return false
			}
		}
		return true
	})
	if len(missing) > 0 {
		return refused("MongoDB user %q may not %s in database %q: grant it the role readWrite there",
			status.Info.Users[0].Name, strings.Join(missing, ", "), db.data.Name())
	}
	return nil
}
