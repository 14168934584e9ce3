package mongotest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	root     = "root"
	user     = "app"
	password = "secret"
)

// Secured starts a set of one member that serves only those who log in, and
// stops it at the test's end. Its Client may do everything.
func Secured(t testing.TB) *Set {
	t.Helper()
	path := server(t)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("lockstep", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := start(ctx, path, 1, "--auth", "--keyFile", key)
	if err != nil {
		t.Fatalf("start a replica set: %v", err)
	}
	s.stopAfter(t)
	if err := s.secure(ctx); err != nil {
		t.Fatalf("secure the replica set: %v", err)
	}
	return s
}

// secure makes the first user, which a server lets anybody on its own machine
// do once, and logs in.
func (s *Set) secure(ctx context.Context) error {
	if err := makeUser(ctx, s.client.Database("admin"), root, "root", "admin"); err != nil {
		return err
	}
	stranger := s.client
	s.uri = fmt.Sprintf("mongodb://%s:%s@%s", root, password, s.Members[0].Address)
	client, err := mongo.Connect(options.Client().ApplyURI(s.URI("")).SetTimeout(patience))
	if err != nil {
		return err
	}
	s.client = client
	return stranger.Disconnect(ctx)
}

// UserURI makes a user who may read and write one database and nothing else,
// and returns the connection string of the two.
func (s *Set) UserURI(t testing.TB, database string) string {
	t.Helper()
	if err := makeUser(t.Context(), s.client.Database(database), user, "readWrite", database); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(s.URI(database), root+":", user+":", 1)
}

func makeUser(ctx context.Context, in *mongo.Database, name, role, database string) error {
	return in.RunCommand(ctx, bson.D{
		{Key: "createUser", Value: name}, {Key: "pwd", Value: password},
		{Key: "roles", Value: bson.A{bson.D{{Key: "role", Value: role}, {Key: "db", Value: database}}}},
	}).Err()
}
