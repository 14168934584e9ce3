package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// incidentsCmd is outbox incidents: what a person should know of.
type incidentsCmd struct {
	List  incidentsListCmd  `cmd:"" default:"withargs" help:"List incidents, the newest first."`
	Close incidentsCloseCmd `cmd:"" help:"Close an incident whose end nothing else can see."`
}

const incidentsPath = "/ops/outbox/incidents"

type incidentsListCmd struct {
	opsClientFlags
	Service string `oneof:",tickets,orders" help:"tickets or orders; both if unset."`
	Open    bool   `help:"Only those that are not over."`
	After   string `form:"text" help:"Id to go on behind."`
	Limit   int    `default:"20" min:"1" max:"1000" help:"Incidents at most."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// Run prints each incident with what to do about it.
func (c *incidentsListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{"limit": {fmt.Sprint(c.Limit)}}
	for name, value := range map[string]string{"service": c.Service, "after": c.After} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if c.Open {
		query.Set("open", "true")
	}
	if c.JSON {
		data, err := c.call(ctx, http.MethodGet, incidentsPath+"?"+query.Encode())
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var answer struct {
		Incidents []struct {
			ID, Service, Cause, Summary, Ending, OpenedAt, ClosedAt, Told string
			Count                                                         int
			Open                                                          bool
		}
		Next string
	}
	if err := c.get(ctx, incidentsPath, query, &answer); err != nil {
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
	if answer.Next != "" {
		fmt.Fprintf(s.out, "and more: --after %s\n", answer.Next)
	}
	return nil
}

type incidentsCloseCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the incident."`
}

// Run closes the incident.
func (c *incidentsCloseCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, incidentsPath+"/"+url.PathEscape(c.ID)+"/close"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is closed\n", c.ID)
	return nil
}
