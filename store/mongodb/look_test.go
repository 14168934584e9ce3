package mongodb_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"lockstep/store/mongodb"
	"lockstep/test/mongotest"
)

// Case 11.13: who only looks makes nothing.
func TestLookMakesNothing(t *testing.T) {
	t.Parallel()
	set := mongotest.Shared(t)
	name := set.Database(t)
	if err := mongodb.Look(t.Context(), set.URI(name), mongodb.Options{}); err != nil {
		t.Fatal(err)
	}
	made, err := set.Client().Database(name).ListCollectionNames(t.Context(), bson.D{})
	if err != nil || len(made) > 0 {
		t.Errorf("made %v, %v", made, err)
	}
}

// Case 11.13: a wrong set name is not a server that does not answer.
func TestLookTellsAWrongSetName(t *testing.T) {
	t.Parallel()
	set := mongotest.Start(t, 1)
	uri := strings.Replace(set.URI("shop"), "replicaSet=rs0", "replicaSet=rs7", 1)
	err := mongodb.Look(t.Context(), uri, mongodb.Options{})
	if !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), `belongs to replica set "rs0", not "rs7"`) {
		t.Errorf("error = %v, want both names", err)
	}
}

// Case 11.13: who may not write is told which role is missing.
func TestLookTellsWhatAUserMayNotDo(t *testing.T) {
	t.Parallel()
	set := mongotest.Secured(t)
	if err := mongodb.Look(t.Context(), set.UserURI(t, "shop"), mongodb.Options{}); err != nil {
		t.Errorf("readWrite: %v", err)
	}
	err := set.Client().Database("shop").RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: "reader"}, {Key: "pwd", Value: "secret"}, {Key: "roles", Value: bson.A{"read"}},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
	err = mongodb.Look(t.Context(), strings.Replace(set.URI("shop"), "root:", "reader:", 1), mongodb.Options{})
	if !errors.Is(err, mongodb.ErrSetUp) || !strings.Contains(err.Error(), `may not insert, update, remove, createCollection, createIndex in database "shop": grant it the role readWrite`) {
		t.Errorf("error = %v, want what is missing", err)
	}
}
