package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// healthCmd is the container's probe: it needs no curl in the image.
type healthCmd struct {
	opsClientFlags
	Ready bool `help:"Ask whether it is ready, instead of alive."`
}

// notReadyError says that a process answers and is not well.
type notReadyError struct{ reason string }

func (e *notReadyError) Error() string { return e.reason }

// ExitCode tells a process that is not well from one that does not answer.
func (e *notReadyError) ExitCode() int { return exitNotReady }

// Run prints what is wrong, if anything is.
func (c *healthCmd) Run(ctx context.Context, s streams) error {
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	status, data, err := c.try(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	if status == http.StatusOK {
		fmt.Fprintln(s.out, "ok")
		return nil
	}
	if status != http.StatusServiceUnavailable {
		return c.notOps()
	}
	return &notReadyError{"not well: " + reasons(status, data)}
}

// reasons names the checks that failed.
func reasons(status int, data []byte) string {
	var answer struct {
		Checks []struct{ Name, Status, Reason string }
	}
	if json.Unmarshal(data, &answer) != nil || len(answer.Checks) == 0 {
		return http.StatusText(status)
	}
	var failed []string
	for _, c := range answer.Checks {
		if c.Status == "failed" {
			failed = append(failed, c.Name+" ("+c.Reason+")")
		}
	}
	return strings.Join(failed, ", ")
}
