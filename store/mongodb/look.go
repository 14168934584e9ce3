package mongodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
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
	return db.checkRights(ctx)
}

// needed are the actions that the service performs. See the MongoDB manual:
// privilege actions. The role readWrite has them all.
func needed() []string {
	return []string{"find", "insert", "update", "remove", "createCollection", "createIndex", "changeStream"}
}

// privilege is what a user may do with what.
type privilege struct {
	Resource struct {
		DB         *string `bson:"db"`
		Collection *string `bson:"collection"`
		Any        bool    `bson:"anyResource"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// covers reports whether it holds for every collection of a database.
func (p privilege) covers(database string) bool {
	r := p.Resource
	return r.Any || r.DB != nil && (*r.DB == "" || *r.DB == database) && r.Collection != nil && *r.Collection == ""
}

// checkRights returns what the user lacks. A server that asks nobody who they
// are lets everybody do everything.
func (db *DB) checkRights(ctx context.Context) error {
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
	missing := slices.DeleteFunc(needed(), func(action string) bool {
		return slices.ContainsFunc(status.Info.Privileges, func(p privilege) bool {
			return p.covers(db.data.Name()) && slices.Contains(p.Actions, action)
		})
	})
	if len(missing) > 0 {
		return refused("MongoDB user %q may not %s in database %q: grant it the role readWrite there",
			status.Info.Users[0].Name, strings.Join(missing, ", "), db.data.Name())
	}
	return nil
}
