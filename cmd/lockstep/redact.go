package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// shortest is the length of the shortest secret that is looked for in what is
// printed; a shorter one would take half of every line with it.
const shortest = 6

// withUser finds whoever stands before the @ of an address.
var withUser = regexp.MustCompile(`(://)[^\s"'<>@/]*@|(://)[^\s"'<>]*@`)

// redacting hides secrets in messages and logs: those of the settings wherever
// they are repeated, and the users of all addresses. A line is written at once,
// as loggers do.
type redacting struct {
	to      io.Writer
	secrets *strings.Replacer
}

// redact returns w without the secrets of the flags.
func redact(w io.Writer, flags []*kong.Flag) *redacting {
	var found []string
	flags = slices.DeleteFunc(slices.Clone(flags), func(f *kong.Flag) bool { return len(f.Envs) == 0 || f.Target.Kind() != reflect.String })
	shown := shownOf(flags)
	for _, f := range flags {
		for _, secret := range secretsOf(f, f.Target.String()) {
			if len(secret) < shortest && (len(secret) < 3 || !strings.ContainsAny(secret, ":@")) || shown[secret] {
				continue
			}
			for _, printed := range asPrinted(secret) {
				found = append(found, asPrinted(printed)...) // an error quotes it, a log quotes the error
			}
		}
	}
	// A secret that holds another one comes before it.
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	var pairs []string
	for _, secret := range slices.Compact(found) {
		pairs = append(pairs, secret, mask)
	}
	return &redacting{to: w, secrets: strings.NewReplacer(pairs...)}
}

// shownOf returns what is printed in many places and is no secret there: names,
// and the values of settings. A secret that is one of these is none, which is
// warned of; hiding it would take the names out of every line.
func shownOf(flags []*kong.Flag) map[string]bool {
	shown := map[string]bool{}
	for _, name := range names() {
		shown[name] = true
	}
	for _, f := range flags {
		value := f.Target.String()
		if !f.Tag.Has("secret") {
			shown[value] = true
			continue
		}
		for _, u := range loginsIn(value) {
			shown[u.name] = true
		}
	}
	return shown
}

// asPrinted returns the forms that a text takes in logs.
func asPrinted(secret string) []string {
	forms := []string{secret, strings.Trim(strconv.Quote(secret), `"`)}
	for _, escape := range []bool{true, false} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(escape)
		if enc.Encode(secret) == nil { // a string encodes
			forms = append(forms, strings.Trim(strings.TrimSpace(b.String()), `"`))
		}
	}
	return forms
}

// Write writes p with its secrets hidden.
func (r *redacting) Write(p []byte) (int, error) {
	text := r.secrets.Replace(string(p))
	if strings.Contains(text, "://") {
		text = withUser.ReplaceAllString(text, "://"+mask+"@")
	}
	if _, err := io.WriteString(r.to, text); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Unwrap returns where it writes to.
func (r *redacting) Unwrap() io.Writer { return r.to }
