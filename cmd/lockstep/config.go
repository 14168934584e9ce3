package main

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/alecthomas/kong"
)

// configCmd prints the effective configuration of another command.
type configCmd struct {
	Args []string `arg:"" optional:"" help:"The command and its flags; up if there is none. Before them: --json; --check fails if something is missing."`
}

// setting is one value and where it came from.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // flag, file, environment or default, and what contradicts it
}

// Run prints a table, or JSON for config --json. For config --check it fails if
// the command could not begin with them.
func (c *configCmd) Run(s streams) error {
	args, asJSON, check := c.Args, false, false
	for ; len(args) > 0 && (args[0] == "--json" || args[0] == "--check"); args = args[1:] {
		asJSON, check = asJSON || args[0] == "--json", check || args[0] == "--check"
	}
	if len(args) == 0 {
		args = []string{"up"}
	}
	settings, missing, err := effective(args, s)
	if err != nil {
		return err
	}
	if check && len(missing) > 0 {
		return complaint(missing)
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

// effective returns the settings of the command that args would run, and what
// it would miss.
func effective(args []string, s streams) ([]setting, missing, error) {
	var other cli
	parsed, err := parse(&other, args, s)
	if parsed == nil {
		return nil, nil, err
	}
	if err := complaint(parsed.wrong); err != nil {
		return nil, nil, err
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
	memory := memoryInForce(memlimit.FromCgroup)
	settings = append(settings, setting{Name: "GOMEMLIMIT", Value: memory.String(), Source: memory.source})
	return settings, parsed.missing(), nil
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
	v.Source = windowSource(f, v.Source)
	v.Value = masked(f, v.Value)
	return v
}
