package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	sqlitedriver "modernc.org/sqlite"
)

// setting returns a variable of the process's environment; "" if it is not set.
func (p *process) setting(name string) (value string) {
	for _, kv := range p.Env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// backUp copies the store of a service that runs, as docs/backup.md says.
// restore puts the copy in its place once the service is stopped.
func (p *process) backUp(t *testing.T) (restore func()) {
	t.Helper()
	if uri := p.setting("MONGO_URI"); uri != "" {
		return copyDatabase(t, uri)
	}
	return copyFile(t, filepath.Join(p.setting("DATA_DIR"), p.Args[0]+".db"))
}

// copyFile does what sqlite3's .backup does.
func copyFile(t *testing.T, path string) (restore func()) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "copy.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error { return copyTo(c, kept) }); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		data, err := os.ReadFile(kept)
		if err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.RemoveAll(path + suffix); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func copyTo(conn any, path string) error {
	source, ok := conn.(interface {
		NewBackup(string) (*sqlitedriver.Backup, error)
	})
	if !ok {
		return fmt.Errorf("%T makes no backups", conn)
	}
	backup, err := source.NewBackup(path)
	if err != nil {
		return err
	}
	_, err = backup.Step(-1) // all pages
	return errors.Join(err, backup.Finish())
}

// copyDatabase copies all documents as of one moment, as mongodump --oplog does.
func copyDatabase(t *testing.T, uri string) (restore func()) {
	t.Helper()
	db := database(t, uri)
	kept := map[string][]any{}
	session, err := db.Client().StartSession(options.Session().SetSnapshot(true))
	if err != nil {
		t.Fatal(err)
	}
	defer session.EndSession(t.Context())
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := mongo.NewSessionContext(t.Context(), session)
	for _, name := range names {
		if kept[name], err = documents(ctx, db.Collection(name)); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		t.Helper()
		if err := db.Drop(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name, all := range kept {
			if len(all) == 0 {
				continue
			}
			if _, err := db.Collection(name).InsertMany(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func documents(ctx context.Context, c *mongo.Collection) ([]any, error) {
	cursor, err := c.Find(ctx, bson.D{})
	if err != nil {
		return nil, err
	}
	var raw []bson.Raw
	if err := cursor.All(ctx, &raw); err != nil {
		return nil, err
	}
	all := make([]any, len(raw))
	for i, doc := range raw {
		all[i] = doc
	}
	return all, nil
}

// database connects to the database of a URI until the test ends.
func database(t *testing.T, uri string) *mongo.Database {
	t.Helper()
	const patience = 30 * time.Second
	o := options.Client().ApplyURI(uri).SetTimeout(patience)
	client, err := mongo.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }) // its server may be gone
	_, path, _ := strings.Cut(strings.TrimPrefix(uri, "mongodb://"), "/")
	name, _, _ := strings.Cut(path, "?")
	return client.Database(name)
}
