package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheDemoProves(t *testing.T) {
	t.Parallel()
	code, out, err := command(t, "demo", "--for=6s", "--outage=1s", "--writers=4")
	if strings.Contains(err, "too little happened") { // on a busy machine
		code, out, err = command(t, "demo", "--for=30s", "--outage=1s", "--writers=4")
	}
	if code != 0 || !strings.Contains(out, "LEFT BEHIND") {
		t.Errorf("code %d\n%s\n%s", code, out, err)
	}
}

func TestTheDemoIsHonest(t *testing.T) {
	t.Parallel()
	good := findings{copies: 1, swapped: 1, writes: writes{tickets: 1, away: 1}}
	if err := good.verdict(); err != nil {
		t.Errorf("good findings: %v", err)
	}
	for what, spoil := range map[string]func(*findings){
		"a lost write":         func(f *findings) { f.lostWrites++ },
		"an unpublished event": func(f *findings) { f.unpublished++ },
		"a drifted row":        func(f *findings) { f.drifted++ },
		"applied twice":        func(f *findings) { f.appliedTwice++ },
		"a wrong lock":         func(f *findings) { f.wrongLocks++ },
		"a waiting event":      func(f *findings) { f.waiting++ },
		"a stuck message":      func(f *findings) { f.stuck++ },
		"a message set aside":  func(f *findings) { f.aside++ },
		"a failed write":       func(f *findings) { f.writes.failed++ },
		"no write":             func(f *findings) { f.writes = writes{away: 1} },
		"no outage":            func(f *findings) { f.writes.away = 0 },
		"no copies":            func(f *findings) { f.copies = 0 },
	} {
		f := good
		f.took = time.Second
		spoil(&f)
		if f.verdict() == nil {
			t.Errorf("%s passes", what)
		}
	}
}
