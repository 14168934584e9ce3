package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReferenceNamesEverything holds the page to the program: every setting of
// every command, and every metric that up has.
func TestReferenceNamesEverything(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference.md"))
	if err != nil {
		t.Fatal(err)
	}
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
					if !strings.Contains(string(page), env) {
						t.Errorf("the setting %s of %s is not in docs/reference.md", env, command.Path())
					}
				}
			}
		}
	}
	names := registered(t)
	for _, name := range names {
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the metric %s is not in docs/reference.md", name)
		}
	}
	for _, listed := range regexp.MustCompile("`(lockstep_[a-z_]+)`").FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(names, listed[1]) {
			t.Errorf("docs/reference.md lists %s, which no process has", listed[1])
		}
	}
}

// registered returns the metrics of ours that up has.
func registered(t *testing.T) []string {
	t.Helper()
	families, err := startUp(t, t.TempDir()).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "lockstep_") {
			names = append(names, f.GetName())
		}
	}
	return names
}
