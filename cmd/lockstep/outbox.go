package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"

	"lockstep/api"
)

// outboxCmd is the operator's view of unpublished events.
type outboxCmd struct {
	List    outboxListCmd    `cmd:"" help:"List unpublished events and why they wait."`
	Show    outboxShowCmd    `cmd:"" help:"Show one event with its failures, and its payload if asked to."`
	Retry   outboxRetryCmd   `cmd:"" help:"Try a failed event now."`
	Discard outboxDiscardCmd `cmd:"" help:"Delete an event unpublished; replicas will miss its version."`

	Incidents incidentsCmd `cmd:"" help:"Look at what a person should know of, also of what is over."`
}

type outboxListCmd struct {
	listFlags
	Service string `oneof:",tickets,orders" help:"tickets or orders; both if unset."`
}

// Run prints a table of events, service after service.
func (c *outboxListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{}
	if c.Service != "" {
		query.Set("service", c.Service)
	}
	var answer struct {
		Events []struct {
			ID, Service, OccurredAt, NotBefore, BlockedBy string
			FailedAttempts                                int
			IsLocked                                      bool
			Unreadable                                    string
			Failures                                      []struct{ Message string }
		}
		Next string
	}
	if printed, err := c.list(ctx, s.out, "/ops/outbox", query, &answer); printed || err != nil {
		return err
	}
	if len(answer.Events) == 0 {
		fmt.Fprintln(s.out, "nothing waits")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tEVENT\tSINCE\tFAILED\tWAITS FOR")
	for _, e := range answer.Events {
		why := "the broker"
		switch {
		case e.Unreadable != "":
			why = "somebody to discard it: it is no event: " + printable(e.Unreadable)
		case e.BlockedBy != "":
			why = "event " + printable(e.BlockedBy)
		case len(e.Failures) > 0:
			why = e.NotBefore + " after: " + printable(e.Failures[len(e.Failures)-1].Message)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", e.Service, printable(e.ID), e.OccurredAt, e.FailedAttempts, why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	goOn(s.out, answer.Next)
	return nil
}

type outboxShowCmd struct {
	opsClientFlags
	payloadFlag
	ID string `arg:"" help:"Id of the event, key:version:subject."`
}

// Run prints the event as JSON.
func (c *outboxShowCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodGet, "/ops/outbox/"+api.Segment(c.ID)+c.query())
	if err != nil {
		return err
	}
	return printJSON(s.out, data)
}

type outboxRetryCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the event, key:version:subject."`
}

// Run makes the event due.
func (c *outboxRetryCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, "/ops/outbox/"+api.Segment(c.ID)+"/retry"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s will be tried now\n", c.ID)
	return nil
}

type outboxDiscardCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the event, key:version:subject."`
}

// Run deletes the event.
func (c *outboxDiscardCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, "/ops/outbox/"+api.Segment(c.ID)+"/discard"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is gone; replicas of its record miss that version\n", c.ID)
	return nil
}
