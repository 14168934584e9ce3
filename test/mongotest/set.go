package mongotest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"lockstep/internal/objectid"
	"lockstep/test/spawn"
)

const (
	setName = "rs0"

	// patience bounds what a healthy set does in a second or two, and an
	// election, which takes up to 12.
	patience = 60 * time.Second
)

// Set is a replica set. Its methods may be called from many goroutines.
type Set struct {
	Members []*Member // none if the set is the one of MONGO_URI

	uri    string   // without a database
	args   []string // of every member
	client *mongo.Client
	dir    string

	mu  sync.Mutex
	cut map[*Member]bool
}

// Start starts a set of its own for the test and stops it at the test's end.
func Start(t testing.TB, members int) *Set {
	t.Helper()
	path := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := start(ctx, path, members)
	if err != nil {
		t.Fatalf("start a replica set: %v", err)
	}
	s.stopAfter(t)
	return s
}

func (s *Set) stopAfter(t testing.TB) {
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop the replica set: %v", err)
		}
	})
}

func start(ctx context.Context, path string, members int, args ...string) (s *Set, err error) {
	s = &Set{cut: map[*Member]bool{}, args: args}
	if s.dir, err = os.MkdirTemp("", fmt.Sprintf("lockstep-mongod-%d-", os.Getpid())); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	for i := range members {
		m, err := s.add(path, i, members > 1)
		if err != nil {
			return s, err
		}
		s.Members = append(s.Members, m)
	}
	if err := s.initiate(ctx); err != nil {
		return s, err
	}
	s.uri = "mongodb://" + s.Members[0].Address
	if members > 1 {
		s.uri = "mongodb://" + strings.Join(s.addresses(), ",")
	}
	if s.client, err = mongo.Connect(options.Client().ApplyURI(s.URI("")).SetTimeout(patience)); err != nil {
		return s, err
	}
	return s, s.awaitPrimary(ctx)
}

func (s *Set) addresses() []string {
	var all []string
	for _, m := range s.Members {
		all = append(all, m.Address)
	}
	return all
}

// URI returns the connection string of a database of the set.
func (s *Set) URI(database string) string {
	head, query, asked := strings.Cut(s.uri, "?")
	uri := strings.TrimSuffix(head, "/") + "/" + database
	if len(s.Members) > 0 {
		return uri + "?replicaSet=" + setName
	}
	if asked {
		uri += "?" + query
	}
	return uri
}

// Client returns a client of the set with the driver's defaults, for looking
// and for breaking things.
func (s *Set) Client() *mongo.Client { return s.client }

// Database returns the name of a fresh database, which is dropped at the end
// of the test.
func (s *Set) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + objectid.New()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
		defer cancel()
		if err := s.client.Database(name).Drop(ctx); err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return name
}

func (s *Set) add(path string, n int, linked bool) (*Member, error) {
	port, err := spawn.Port()
	if err != nil {
		return nil, err
	}
	m := &Member{set: s, path: path, dir: fmt.Sprintf("%s/%d", s.dir, n), port: port, args: s.args}
	m.Address = m.direct()
	if linked {
		if m.link, err = newLink(m.direct(), func(caller net.Addr) bool { return s.refuses(m, caller) }); err != nil {
			return nil, err
		}
		m.Address = m.link.address()
	}
	return m, m.start()
}

// initiate makes a set of the members as soon as all of them answer.
func (s *Set) initiate(ctx context.Context) error {
	var members bson.A
	for i, m := range s.Members {
		if err := m.answers(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, m.process.tail())
		}
		members = append(members, bson.D{{Key: "_id", Value: i}, {Key: "host", Value: m.Address}})
	}
	config := bson.D{{Key: "_id", Value: setName}, {Key: "members", Value: members}}
	return s.Members[0].admin(ctx, bson.D{{Key: "replSetInitiate", Value: config}}, nil)
}

func (s *Set) awaitPrimary(ctx context.Context) error {
	if err := s.client.Ping(ctx, nil); err != nil {
		return fmt.Errorf("%w\n%s", err, s.Members[0].process.tail())
	}
	return nil
}

func (s *Set) stop() error {
	var errs []error
	if s.client != nil {
		// A frozen or dead member must not hold the end of the test up.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		errs = append(errs, ignoreTimeout(s.client.Disconnect(ctx)))
	}
	for _, m := range s.Members {
		errs = append(errs, m.stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

func ignoreTimeout(err error) error {
	if mongo.IsTimeout(err) {
		return nil
	}
	return err
}
