package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// configCmd prints the effective configuration of another command.
type configCmd struct {
	Args []string `arg:"" optional:"" help:"The command and its flags; up if there is none."`
}

// setting is one value and where it came from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // flag, file, environment or default
}

// Run prints a table, or JSON for config --json.
func (c *configCmd) Run(s streams) error {
	args, asJSON := c.Args, false
	if len(args) > 0 && args[0] == "--json" {
		args, asJSON = args[1:], true
	}
	if len(args) == 0 {
		args = []string{"up"}
	}
	settings, err := effective(args, s)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(s.out)
		enc.SetIndent("", "  ")
		return enc.Encode(settings)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, v := range settings {
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Name, v.Value, v.Source)
	}
	return w.Flush()
}

// effective returns the settings of the command that args would run.
func effective(args []string, s streams) ([]setting, error) {
	var other cli
	parsed, err := parse(&other, args, s)
	if parsed == nil {
		return nil, err
	}
	given := map[*kong.Flag]bool{}
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			given[p.Flag] = true
		}
	}
	var settings []setting
	for _, f := range parsed.Flags() {
		if len(f.Envs) > 0 {
			settings = append(settings, settingOf(f, given[f]))
		}
	}
	return settings, nil
}

func settingOf(f *kong.Flag, given bool) setting {
	v := setting{Name: f.Envs[0], Value: fmt.Sprint(f.Target.Interface()), Source: "default"}
	switch _, inEnvironment := os.LookupEnv(f.Envs[0]); {
	case given:
		v.Source = "flag"
	case secretFile(f) != "":
		v.Source = "file"
	case inEnvironment:
		v.Source = "environment"
	}
	if f.Target.Kind() == reflect.String {
		v.Value = masked(f, f.Target.String())
	}
	return v
}

// masked hides secrets: all of a key, the password of a URL.
func masked(f *kong.Flag, value string) string {
	switch {
	case value == "":
		return "-"
	case !f.Tag.Has("secret"):
		return redactURL(value)
	case f.Tag.Get("secret") == "whole": // the path of a webhook is its password
		return "****"
	case strings.Contains(value, "://"):
		return redactURL(value)
	default:
		return "****"
	}
}

// redactURL hides whatever stands between the scheme and the @ of a URL. It
// does not parse: a list of hosts is no URL for net/url, and its password no
// less a secret.
func redactURL(value string) string {
	scheme, rest, ok := strings.Cut(value, "://")
	if !ok {
		return value
	}
	authority, path, slash := strings.Cut(rest, "/")
	at := strings.LastIndex(authority, "@")
	if at < 0 {
		return value
	}
	user, _, _ := strings.Cut(authority[:at], ":")
	redacted := scheme + "://" + user + ":****" + authority[at:]
	if slash {
		redacted += "/" + path
	}
	return redacted
}
