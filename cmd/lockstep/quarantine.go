package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
)

// quarantineCmd is replica quarantine: messages that were set aside.
type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" default:"withargs" help:"List messages and why they were set aside."`
	Show    quarantineShowCmd    `cmd:"" help:"Show one message with its payload."`
	Retry   quarantineRetryCmd   `cmd:"" help:"Apply a message again."`
	Discard quarantineDiscardCmd `cmd:"" help:"Delete a message unapplied."`
}

const quarantinePath = "/ops/replica/quarantine"

type quarantineListCmd struct {
	opsClientFlags
	Limit int  `default:"100" min:"1" max:"1000" help:"Messages at most."`
	JSON  bool `name:"json" help:"Print JSON."`
}

// Run prints a table of messages.
func (c *quarantineListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{"limit": {fmt.Sprint(c.Limit)}}
	if c.JSON {
		data, err := c.call(ctx, http.MethodGet, quarantinePath+"?"+query.Encode())
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var answer struct {
		Messages []struct {
			ID, Group, Subject, Key, Reason, Detail, At string
			Version                                     int64
		}
		Next string
	}
	if err := c.get(ctx, quarantinePath, query, &answer); err != nil {
		return err
	}
	if len(answer.Messages) == 0 {
		fmt.Fprintln(s.out, "nothing was set aside")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tGROUP\tSUBJECT\tKEY\tVERSION\tSINCE\tREASON")
	for _, m := range answer.Messages {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s: %s\n", m.ID, m.Group, m.Subject, printable(m.Key), m.Version, m.At, m.Reason, printable(m.Detail))
	}
	if answer.Next != "" {
		fmt.Fprintln(w, "and more")
	}
	return w.Flush()
}

type quarantineShowCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the message in quarantine."`
}

// Run prints the message as JSON.
func (c *quarantineShowCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodGet, quarantinePath+"/"+url.PathEscape(c.ID))
	if err != nil {
		return err
	}
	return printJSON(s.out, data)
}

type quarantineRetryCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the message in quarantine."`
}

// Run applies the message again.
func (c *quarantineRetryCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, quarantinePath+"/"+url.PathEscape(c.ID)+"/retry"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is applied\n", c.ID)
	return nil
}

type quarantineDiscardCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the message in quarantine."`
}

// Run deletes the message.
func (c *quarantineDiscardCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, quarantinePath+"/"+url.PathEscape(c.ID)+"/discard"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is gone\n", c.ID)
	return nil
}
