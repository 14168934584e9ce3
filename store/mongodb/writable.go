package mongodb

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// A collection may be there, be read, and not take what the service writes.

// unwritable returns an ErrSetUp for each of our collections that exists and in
// which the service cannot write, find and keep everything.
func (db *DB) unwritable(ctx context.Context, there map[string]mongo.CollectionSpecification) (map[string]error, error) {
	refusals := map[string]error{}
	for name := range db.schema() {
		spec, ok := there[name]
		if !ok {
			continue
		}
		why, err := db.refusal(ctx, spec)
		if err != nil {
			return nil, fmt.Errorf("look at collection %s of database %s: %w", name, db.data.Name(), err)
		}
		if why != nil {
			refusals[name] = why
		}
	}
	return refusals, nil
}

// traits are the options of a collection that change what becomes of a write.
type traits struct {
	Capped    bool          `bson:"capped"`
	Collation bson.Raw      `bson:"collation"`
	Expire    bson.RawValue `bson:"expireAfterSeconds"` // of a clustered one

	Validator bson.Raw `bson:"validator"`
	Level     string   `bson:"validationLevel"`
	Action    string   `bson:"validationAction"`
}

// refusal returns why a collection does not take everything, or nil.
func (db *DB) refusal(ctx context.Context, spec mongo.CollectionSpecification) (why, err error) {
	name, database := spec.Name, db.data.Name()
	if spec.Type != "collection" {
		return refused("%s of database %s is a %s, in which nothing can be changed: drop it with db.%s.drop() once nobody needs it,"+
			" and start the service if it does not run", name, database, spec.Type, name), nil
	}
	var t traits
	if err := bson.Unmarshal(spec.Options, &t); err != nil {
		return nil, err
	}
	const replace = "put another one in its place with db.%[1]s.aggregate([{$out: \"%[1]s_new\"}]) and db.%[1]s_new.renameCollection(%[1]q, true)," +
		" with the service stopped"
	switch {
	case t.Capped:
		return refused("collection %[1]s of database %[2]s is capped, takes no transaction and forgets its oldest documents: "+replace, name, database), nil
	case len(t.Collation) > 0:
		return refused("collection %[1]s of database %[2]s has a collation, by which texts are equal that are not the same: "+replace, name, database), nil
	case !t.Expire.IsZero():
		return refused("collection %s of database %s removes documents after a while, which the service needs:"+
			" end that with db.runCommand({collMod: %q, expireAfterSeconds: \"off\"})", name, database, name), nil
	case len(t.Validator) == 0 || t.Level == "off" || t.Action == "warn":
		return nil, nil
	}
	return db.invalid(ctx, name, t.Validator)
}

// invalid returns an ErrSetUp if the validator of a collection refuses what the
// service writes to it. Nothing is written to find that out.
func (db *DB) invalid(ctx context.Context, collection string, validator bson.Raw) (why, err error) {
	for _, sample := range db.samples()[collection] {
		cursor, err := db.data.Aggregate(ctx, mongo.Pipeline{is("$documents", bson.A{is("$literal", sample)}), is("$match", validator)})
		if errors.As(err, new(mongo.ServerError)) && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err) {
			continue // it cannot be tried so: the writes will tell
		}
		if err != nil {
			return nil, err
		}
		valid, err := drain(ctx, cursor, func(bson.Raw) bool { return true })
		if err != nil {
			return nil, err
		}
		if len(valid) == 0 {
			doc, err := bson.MarshalExtJSON(sample, false, false)
			return refused("collection %s of database %s has a validator that refuses what the service writes, such as %s:"+
				" let it pass, or end that with db.runCommand({collMod: %q, validator: {}})", collection, db.data.Name(), doc, collection), err
		}
	}
	return nil, nil
}
