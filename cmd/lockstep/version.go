package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// versionCmd prints what was built from what.
type versionCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// build is what the binary knows of itself.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func buildOf() build {
	b := build{Version: "unknown", Revision: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Run prints one line, or JSON.
func (c *versionCmd) Run(s streams) error {
	b := buildOf()
	if c.JSON {
		return json.NewEncoder(s.out).Encode(b)
	}
	revision := b.Revision
	if b.Modified {
		revision += " (modified)"
	}
	fmt.Fprintf(s.out, "lockstep %s %s %s %s\n", b.Version, revision, b.Go, b.Platform)
	return nil
}

// registerBuild makes the build a metric.
func registerBuild(reg prometheus.Registerer) {
	b := buildOf()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "lockstep_build_info",
		Help:        "What this process was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go": b.Go},
	})
	info.Set(1)
	reg.MustRegister(info)
}
