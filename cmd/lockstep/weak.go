package main

import (
	"log/slog"
	"slices"
	"strings"
)

// strictFlag says what to make of secrets that can be guessed.
type strictFlag struct {
	Strict bool `env:"STRICT" help:"A weak JWT_KEY, OPS_TOKEN or password of a store or broker is an error, not a warning."`
}

// judge returns an error of the secrets that can be guessed, or warns of them.
func (f strictFlag) judge(weak []string, log *slog.Logger) error {
	if f.Strict {
		return complaint(weak)
	}
	warnOf(weak, log)
	return nil
}

func warnOf(weak []string, log *slog.Logger) {
	for _, why := range weak {
		log.Warn("a secret can be guessed", "why", why)
	}
}

// guessing is a group of flags with secrets. weak returns a sentence for each
// that could be guessed.
type guessing interface{ weak() []string }

// weakOf lists what can be guessed of the groups.
func weakOf(groups ...guessing) []string {
	var all []string
	for _, g := range groups {
		all = append(all, g.weak()...)
	}
	return all
}

// samples are keys that stand in tutorials.
func samples() []string {
	return []string{
		"asdf", "asdfasdf", "secret", "changeme", "test", "password", "your-256-bit-secret", "a-string-secret-at-least-256-bits-long",
	}
}

// names are what logs call things by, which no secret can hide behind.
func names() []string {
	return []string{"tickets", "orders", "expiration", "payments", "ticketing", "lockstep", "streaming"}
}

// Secrets of fewer bytes are short: those that whoever holds an answer can try
// without asking anybody, and those that a server asks for.
const (
	fewOfAKey      = 16
	fewOfAPassword = shortest
)

// guessable says why a secret is weak; "" if it is not. Besides names, who tries
// it knows the words.
func guessable(name, secret string, few int, words ...string) string {
	is := func(known string) bool { return strings.EqualFold(known, secret) }
	switch {
	case slices.ContainsFunc(samples(), is):
		return name + " is a sample that everybody knows: whoever tries it is let in"
	case slices.ContainsFunc(append(names(), words...), is):
		return name + " is a name that everybody sees, in logs too: whoever tries it is let in"
	case len(secret) < few, few == fewOfAKey && different(secret) < fewOfAKey/3:
		return name + " is short, or has few different characters: 32 random ones cannot be guessed"
	}
	return ""
}

// different counts the different bytes of a text.
func different(text string) int {
	all := []byte(text)
	slices.Sort(all)
	return len(slices.Compact(all))
}

// weakly returns a list of what is weak.
func weakly(reasons ...string) []string {
	return slices.DeleteFunc(reasons, func(why string) bool { return why == "" })
}

func (f opsFlags) weak() []string {
	if f.OpsToken == "" {
		return nil
	}
	return weakly(guessable("OPS_TOKEN", f.OpsToken, fewOfAKey))
}

func (f jwtFlags) weak() []string {
	keys, _ := f.named() // an error is told elsewhere
	var all []string
	for _, k := range keys {
		if k.key != "" {
			all = append(all, weakly(guessable(k.name, k.key, fewOfAKey))...)
		}
	}
	return all
}

func (f brokerFlags) weak() []string {
	if f.NATSPassword == "" {
		return nil
	}
	return weakly(guessable("NATS_PASSWORD", f.NATSPassword, fewOfAPassword))
}

func (f natsFlags) weak() []string {
	return weakPasswords("NATS_URL", f.NATSURL, f.NATSClusterID, f.NATSClientID)
}

func (f storeFlags) weak() []string { return weakPasswords("MONGO_URI", f.MongoURI) }

// weakPasswords looks at the passwords in an address, or in several with commas.
func weakPasswords(name, addresses string, words ...string) []string {
	var all []string
	for _, u := range loginsIn(addresses) {
		all = append(all, weakly(guessable("the password in "+name, u.password, fewOfAPassword, append(words, u.name)...))...)
	}
	return slices.Compact(all)
}
