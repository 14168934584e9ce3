package main

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Each flag says in its tags what it may be:
//
//	min, max   of a number or a duration
//	step       what a duration must be a multiple of
//	form       of a text, a key of forms
//	oneof      the texts that it may be
//
// All of them are looked at before a command begins, so that whoever sets
// several wrong is told once. A test finds the flag that has no bounds.

// malformed are texts that could not be read as a value, the first one of each:
// what the command line says is read before what the environment says.
type malformed map[*kong.Value]string

// unread stands for a number that could not be read. Of a flag and a variable,
// the one that counts says whether it is.
const unread = math.MinInt64

// Decode reads a number or a duration. A text that is none is remembered
// instead of ending the parse, where the next one would stay unseen.
func (m malformed) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("value", &text); err != nil {
		return err
	}
	n, err := numberOf(target.Type(), text)
	if err != nil {
		n = unread
		if _, known := m[ctx.Value]; !known {
			m[ctx.Value] = text
		}
	}
	target.SetInt(n)
	return nil
}

// numberOf reads a duration or a whole number.
func numberOf(kind reflect.Type, text string) (int64, error) {
	if kind == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, kind.Bits())
}

// outOfBounds returns a sentence for each flag whose value may not be.
func (m malformed) outOfBounds(flags []*kong.Flag) []string {
	var wrong []string
	for _, f := range flags {
		if within(f) {
			continue
		}
		want, given := wanted(f), ""
		if text, known := m[f.Value]; known && f.Target.Int() == unread {
			given = text
		} else if value := fmt.Sprint(f.Target.Interface()); value != "" {
			given = masked(f, value)
		}
		wrong = append(wrong, fmt.Sprintf("%s must be %s, not %q", settingName(f), want, given))
	}
	return wrong
}

// emptyArguments returns a sentence for each argument that is empty, as a
// script's variable that was not set: no record has such an id.
func emptyArguments(c *kong.Context) []string {
	var wrong []string
	for _, p := range c.Path {
		if p.Positional != nil && p.Positional.Target.Kind() == reflect.String && p.Positional.Target.String() == "" {
			wrong = append(wrong, strings.ToUpper(p.Positional.Name)+" must not be empty")
		}
	}
	return wrong
}

// settingName is what a flag is called in the environment, or else on the
// command line.
func settingName(f *kong.Flag) string {
	if len(f.Envs) > 0 {
		return f.Envs[0]
	}
	return "--" + f.Name
}

// within reports whether the value of a flag is within its bounds. A text that
// is empty is not set, which is another question; on a command line alone it is
// a script's variable that was not set, and would mean more than was wanted, and
// instead of an address it would be any.
func within(f *kong.Flag) bool {
	switch f.Target.Kind() {
	case reflect.Int, reflect.Int64:
		n, kind := f.Target.Int(), f.Target.Type()
		bound := func(tag string) int64 {
			b, _ := numberOf(kind, f.Tag.Get(tag)) // a test has seen all flags
			return b
		}
		return n >= bound("min") && n <= bound("max") && (!f.Tag.Has("step") || n%bound("step") == 0)
	case reflect.String:
		text := f.Target.String()
		if text == "" && (f.Set && len(f.Envs) == 0 || f.Default != "" && (f.Tag.Get("form") == "address" || f.Tag.Get("form") == "url")) {
			return false
		}
		if f.Tag.Has("oneof") {
			for choice := range strings.SplitSeq(f.Tag.Get("oneof"), ",") {
				if text == choice {
					return true
				}
			}
			return false
		}
		return text == "" || forms[f.Tag.Get("form")].fits(text)
	}
	return true
}

// wanted says in words what a flag may be.
func wanted(f *kong.Flag) string {
	switch {
	case f.Tag.Has("oneof"):
		return "one of " + strings.ReplaceAll(strings.TrimPrefix(f.Tag.Get("oneof"), ","), ",", ", ")
	case f.Tag.Has("form"):
		return forms[f.Tag.Get("form")].wanted
	case f.Target.Type() != reflect.TypeFor[time.Duration]():
		return "a whole number from " + f.Tag.Get("min") + " to " + f.Tag.Get("max")
	case f.Tag.Has("step"):
		return "a duration from " + f.Tag.Get("min") + " to " + f.Tag.Get("max") + " in steps of " + f.Tag.Get("step")
	}
	return "a duration from " + f.Tag.Get("min") + " to " + f.Tag.Get("max")
}
