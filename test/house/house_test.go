package house

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says what each room may import of ours. A name with a trailing slash
// means everything below it. Test files are free.
//
// Arrows point inward: doors → domain → event, store → domain. The store knows
// the doors only for the port of the quarantine and the marks, which listeners
// declare; publishers and outbox meet in cmd.
var rooms = map[string][]string{
	"event":         {},
	"ticket":        {"event", "internal/"},
	"order":         {"event", "internal/"},
	"replica":       {"event", "internal/"},
	"outbox":        {"event", "internal/"},
	"publishers":    {"event", "internal/"},
	"incident":      {"internal/"},
	"listeners":     {"event", "ticket", "order", "replica", "internal/"},
	"api":           {"event", "ticket", "order", "replica", "outbox", "listeners", "incident", "internal/"},
	"store/sqlite":  {"event", "ticket", "order", "replica", "outbox", "listeners", "incident", "internal/"},
	"store/mongodb": {"event", "ticket", "order", "replica", "outbox", "listeners", "incident", "internal/"},
	"internal":      {"event", "internal/"},
	"cmd":           {"event", "ticket", "order", "replica", "outbox", "publishers", "listeners", "incident", "api", "store/", "internal/"},
}

// technology says which rooms may import a library, by the prefix of its path.
var technology = map[string][]string{
	"github.com/nats-io/":             {"internal", "publishers", "listeners"},
	"go.mongodb.org/":                 {"store/mongodb"},
	"modernc.org/":                    {"store/sqlite"},
	"github.com/go-chi/":              {"api"},
	"github.com/golang-jwt/":          {"api"},
	"github.com/alecthomas/kong":      {"cmd"},
	"github.com/KimMachineGun/":       {"cmd"},
	"github.com/prometheus/":          {"ticket", "order", "replica", "outbox", "publishers", "listeners", "incident", "api", "store/mongodb", "store/sqlite", "internal", "cmd"},
	"github.com/schollz/progressbar/": {"cmd"},
	"golang.org/x/":                   {"cmd", "replica", "internal", "api", "store/mongodb", "store/sqlite"},
	"github.com/google/go-cmp":        {},
	"pgregory.net/rapid":              {},
	"go.uber.org/goleak":              {},
}

const module = "lockstep/"

func TestImportsFollowThePlanOfTheHouse(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, f := range sources(t) {
		room := roomOf(f.path)
		if room == "" {
			t.Errorf("%s lies in no room of the house: name its room in this test or move it", f.path)
			continue
		}
		if room == "test" {
			continue
		}
		seen++
		for _, path := range f.imports {
			if why := refused(room, path); why != "" {
				t.Errorf("%s imports %s: %s", f.path, path, why)
			}
		}
	}
	if seen < 20 {
		t.Fatalf("saw %d source files, want the whole house: is the test looking in the right place?", seen)
	}
}

// TestTheRuleBites keeps the rule itself honest.
func TestTheRuleBites(t *testing.T) {
	t.Parallel()
	bad := [][2]string{
		{"event", "lockstep/ticket"},
		{"ticket", "lockstep/store/sqlite"},
		{"ticket", "lockstep/order"},
		{"outbox", "lockstep/publishers"},
		{"publishers", "lockstep/outbox"},
		{"api", "lockstep/store/mongodb"},
		{"store/sqlite", "lockstep/api"},
		{"ticket", "go.mongodb.org/mongo-driver/v2/bson"},
		{"replica", "github.com/nats-io/stan.go"},
		{"api", "github.com/unknown/library"},
	}
	for _, b := range bad {
		if refused(b[0], b[1]) == "" {
			t.Errorf("%s may import %s, want it refused", b[0], b[1])
		}
	}
	good := [][2]string{
		{"ticket", "lockstep/event"},
		{"store/sqlite", "modernc.org/sqlite"},
		{"cmd", "lockstep/store/sqlite"},
		{"api", "net/http"},
	}
	for _, g := range good {
		if why := refused(g[0], g[1]); why != "" {
			t.Errorf("%s may not import %s (%s), want it allowed", g[0], g[1], why)
		}
	}
}

// refused returns why room may not import path, or "".
func refused(room, path string) string {
	if own, ok := strings.CutPrefix(path, module); ok {
		for _, allowed := range rooms[room] {
			if own == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(own, allowed) {
				return ""
			}
		}
		return "the plan of the house has no arrow from " + room + " to " + own
	}
	if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		return "" // the standard library
	}
	for prefix, allowed := range technology {
		if strings.HasPrefix(path, prefix) {
			if slices.Contains(allowed, room) {
				return ""
			}
			return "this technology is not named at the edge of " + room
		}
	}
	return "the library is not in the table of technologies"
}

// roomOf returns the room a file lies in, "test" for everything that only
// tests, or "".
func roomOf(path string) string {
	if strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "test/") || strings.Contains(path, "test/") && strings.HasPrefix(path, "internal/") {
		return "test"
	}
	for room := range rooms {
		if strings.HasPrefix(path, room+"/") {
			return room
		}
	}
	return ""
}

type source struct {
	path    string // with slashes, from the module's root
	imports []string
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var all []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") && name != ".." || name == "node_modules" || name == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(rel)}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatalf("walk the module: %v", err)
	}
	return all
}
