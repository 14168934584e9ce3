package mongotest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// shared is the one set of a test binary.
var shared struct {
	mu  sync.Mutex
	set *Set
	err error
}

// Shared returns the set that all tests of the binary share: MONGO_URI, or one
// member that is started now, if no test has done so. The package's TestMain
// must call Run.
func Shared(t testing.TB) *Set {
	t.Helper()
	path := ""
	if os.Getenv("MONGO_URI") == "" {
		path = server(t)
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.set == nil && shared.err == nil {
		shared.set, shared.err = begin(path)
	}
	if shared.err != nil {
		t.Fatalf("shared replica set: %v", shared.err)
	}
	return shared.set
}

func begin(path string) (*Set, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if path != "" {
		return start(ctx, path, 1)
	}
	s := &Set{uri: os.Getenv("MONGO_URI")}
	client, err := mongo.Connect(options.Client().ApplyURI(s.uri).SetTimeout(patience))
	if err != nil {
		return nil, err
	}
	s.client = client
	return s, client.Ping(ctx, nil)
}

// Run runs the tests of a binary and stops the shared set after them:
//
//	func TestMain(m *testing.M) { os.Exit(mongotest.Run(m)) }
func Run(m *testing.M) int {
	code := m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.set == nil {
		return code
	}
	if err := shared.set.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shared replica set:", err)
		return max(code, 1)
	}
	return code
}
