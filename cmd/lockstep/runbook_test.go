package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lockstep/event"
)

// Case 11.13: a test checks the runbook's names, metrics and log lines against
// the code.

// runbook returns the page.
func runbook(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// unwrapped returns s as one line.
func unwrapped(s string) string { return strings.Join(strings.Fields(s), " ") }

// said returns every constant text of the program, as the compiler joins it.
func said(t *testing.T) []string {
	t.Helper()
	var all []string
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "node_modules" || d.Name() == "test") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if s, ok := text(e); ok {
					all = append(all, s)
					return false
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// text returns what an expression of literals says.
func text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, ok := text(e.X)
		right, also := text(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}

func TestTheRunbookNamesCommandsThatAreThere(t *testing.T) {
	t.Parallel()
	commands := regexp.MustCompile("(?m)`(lockstep [^`]+)`|^(lockstep .*)$").FindAllStringSubmatch(runbook(t), -1)
	if len(commands) < 10 {
		t.Fatalf("%d commands found, want the runbook's", len(commands))
	}
	for _, c := range commands {
		line, _, _ := strings.Cut(c[1]+c[2], " #")
		if args := strings.Fields(line)[1:]; !strings.HasPrefix(args[0], "`") {
			var all cli
			var shown bool
			parser, err := newParser(&all, streams{out: os.Stderr, err: os.Stderr}, &shown, malformed{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("%s: %v", unwrapped(line), err)
			}
		}
	}
}

func TestTheRunbookNamesMetricsThatAreThere(t *testing.T) {
	t.Parallel()
	families, err := startUp(t, t.TempDir()).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]map[string]bool{} // metric → label="value"
	for _, f := range families {
		labels[f.GetName()] = map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[f.GetName()][l.GetName()] = true
				labels[f.GetName()][l.GetName()+"="+strconv.Quote(l.GetValue())] = true
			}
		}
	}
	source := said(t)
	named := regexp.MustCompile(`(lockstep_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(runbook(t), -1)
	for _, n := range named {
		have, ok := labels[n[1]]
		if !ok && strings.HasPrefix(n[1], "lockstep_mongodb_") && slices.Contains(source, n[1]) {
			continue // up keeps its data in SQLite
		}
		if !ok {
			t.Errorf("the runbook names %s, which no process has", n[1])
		}
		for _, pair := range strings.FieldsFunc(n[2], func(r rune) bool { return r == ',' }) {
			if pair = strings.TrimSpace(pair); ok && !have[pair] {
				t.Errorf("the runbook names %s{%s}, which no process has", n[1], pair)
			}
		}
	}
}

func TestTheRunbookQuotesWhatTheProgramSays(t *testing.T) {
	t.Parallel()
	all := strings.Join(said(t), "\n")
	for _, q := range regexp.MustCompile(`(?s)"([^"]{4,})"`).FindAllStringSubmatch(withoutCode(runbook(t)), -1) {
		if line := unwrapped(q[1]); !strings.Contains(all, line) {
			t.Errorf("the runbook quotes %q, which the program never says", line)
		}
	}
	for _, l := range regexp.MustCompile("lease `([^`]+)`").FindAllStringSubmatch(runbook(t), -1) {
		if !slices.Contains([]string{"outbox-tickets", "outbox-orders"}, l[1]) {
			t.Errorf("the runbook names the lease %s, which nobody takes", l[1])
		}
	}
}

// withoutCode leaves out code, whose quotes are label values and the like.
func withoutCode(page string) string {
	return regexp.MustCompile("(?s)```.*?```|`[^`]*`").ReplaceAllString(page, "`")
}

func TestTheRunbookNamesSettingsRoutesAndCausesThatAreThere(t *testing.T) {
	t.Parallel()
	page := runbook(t)
	source := said(t)
	all := strings.Join(source, "\n")
	settings := map[string]bool{}
	var c cli
	var shown bool
	parser, err := newParser(&c, streams{out: os.Stderr, err: os.Stderr}, &shown, malformed{})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Leaves(true) {
		for _, group := range command.AllFlags(true) {
			for _, flag := range group {
				for _, env := range flag.Envs {
					settings[env] = true
				}
			}
		}
	}
	for _, s := range regexp.MustCompile(`\b[A-Z]+(?:_[A-Z]+)+\b`).FindAllString(page, -1) {
		if !settings[s] && !settings[strings.TrimSuffix(s, "_FILE")] {
			t.Errorf("the runbook names the setting %s, which there is not", s)
		}
	}
	for _, route := range regexp.MustCompile(`/(?:ops/[a-z/]+|readyz|healthz|metrics)`).FindAllString(page, -1) {
		if !strings.Contains(all, strings.TrimSuffix(route, "/")) {
			t.Errorf("the runbook names the route %s, which there is not", route)
		}
	}
	for _, i := range regexp.MustCompile("(?s)incident\\s+`([a-z_]+)`").FindAllStringSubmatch(page, -1) {
		if !slices.Contains(source, i[1]) {
			t.Errorf("the runbook names the incident %s, which there is not", i[1])
		}
	}
	for _, s := range regexp.MustCompile("`((?:ticket|order|payment|expiration):[a-z]+)`").FindAllStringSubmatch(page, -1) {
		known := slices.Concat(event.TicketSubjects(), event.OrderSubjects(), []event.Subject{event.PaymentCreated})
		if !slices.Contains(known, event.Subject(s[1])) {
			t.Errorf("the runbook names the channel %s, which there is not", s[1])
		}
	}
}
