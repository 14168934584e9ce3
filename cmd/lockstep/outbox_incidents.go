package main

import (
	"context"
	"fmt"
	"net/url"

	"lockstep/api"
)

// incidentsCmd is outbox incidents: what a person should know of.
type incidentsCmd struct {
	List  incidentsListCmd  `cmd:"" default:"withargs" help:"List incidents, the newest first."`
	Close incidentsCloseCmd `cmd:"" help:"Close an incident whose end nothing else can see."`
}

const incidentsPath = "/ops/outbox/incidents"

type incidentsListCmd struct {
	listFlags
	Service string `oneof:",tickets,orders" help:"tickets or orders; both if unset."`
	Open    bool   `help:"Only those that are not over."`
}

// Run prints each incident with what to do about it.
func (c *incidentsListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{}
	if c.Service != "" {
		query.Set("service", c.Service)
	}
	if c.Open {
		query.Set("open", "true")
	}
	var answer struct {
		Incidents []struct {
			ID, Service, Cause, Summary, Ending, OpenedAt, ClosedAt, Told string
			Count                                                         int
			Open                                                          bool
		}
		Next string
	}
	if printed, err := c.list(ctx, s.out, incidentsPath, query, &answer); printed || err != nil {
		return err
	}
	if len(answer.Incidents) == 0 {
		fmt.Fprintln(s.out, "no incidents")
		return nil
	}
	for _, i := range answer.Incidents {
		state := "OPEN since " + i.OpenedAt
		if !i.Open {
			state = "over since " + i.ClosedAt + ", open from " + i.OpenedAt + ": " + printable(i.Ending)
		}
		fmt.Fprintf(s.out, "%s  %s  %s  raised %d times, told: %s\n  %s\n  %s\n", i.ID, i.Service, i.Cause, i.Count, i.Told, state, printable(i.Summary))
	}
	goOn(s.out, answer.Next)
	return nil
}

type incidentsCloseCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the incident."`
}

// Run closes the incident.
func (c *incidentsCloseCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, incidentsPath+"/"+api.Segment(c.ID)+"/close"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is closed\n", c.ID)
	return nil
}
