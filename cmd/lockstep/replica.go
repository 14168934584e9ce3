package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"

	"lockstep/api"
)

// replicaCmd is the operator's view of copies and of the messages that make
// them.
type replicaCmd struct {
	Status     replicaStatusCmd `cmd:"" help:"Show positions, lag, and what is held or set aside."`
	Verify     replicaVerifyCmd `cmd:"" help:"Compare every record with its owner; exit 4 if any differs."`
	Repair     replicaRepairCmd `cmd:"" help:"Compare, and mend what differs; fills an empty replica. Exit 4 if some is left."`
	Reset      replicaResetCmd  `cmd:"" help:"Make the row of a ticket what its owner has, whatever it was."`
	Show       replicaShowCmd   `cmd:"" help:"Show the replica's row of a ticket."`
	Held       replicaHeldCmd   `cmd:"" help:"List messages that wait for their predecessor."`
	Quarantine quarantineCmd    `cmd:"" help:"Look at messages that were set aside; retry or discard them."`
}

type replicaShowCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the ticket."`
}

// Run prints the row as JSON.
func (c *replicaShowCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodGet, "/ops/replica/tickets/"+api.Segment(c.ID))
	if err != nil {
		return err
	}
	return printJSON(s.out, data)
}

type replicaResetCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the ticket."`
}

// Run prints the row as it was and as it is.
func (c *replicaResetCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodPost, "/ops/replica/tickets/"+api.Segment(c.ID)+"/reset")
	if err != nil {
		return err
	}
	var answer struct{ Before, After *side }
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("answer of %s: %w", c.OpsURL, err)
	}
	fmt.Fprintf(s.out, "%s was %s, is %s\n", printable(c.ID), answer.Before, answer.After)
	return nil
}

type replicaHeldCmd struct {
	opsClientFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints a table of messages.
func (c *replicaHeldCmd) Run(ctx context.Context, s streams) error {
	if c.JSON {
		data, err := c.call(ctx, http.MethodGet, "/ops/replica/held")
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var answer struct {
		Messages []struct {
			Service, Subject, Key, Since, Error string
			Version, WaitsFor                   int64
		}
	}
	if err := c.get(ctx, "/ops/replica/held", nil, &answer); err != nil {
		return err
	}
	if len(answer.Messages) == 0 {
		fmt.Fprintln(s.out, "nothing is held")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSUBJECT\tKEY\tVERSION\tWAITS FOR\tSINCE")
	for _, m := range answer.Messages {
		waitsFor := fmt.Sprint("version ", m.WaitsFor)
		switch {
		case m.Error != "":
			waitsFor = "an end of: " + oneLine(errors.New(m.Error))
		case m.WaitsFor < 0:
			waitsFor = "its turn"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", m.Service, m.Subject, printable(m.Key), m.Version, waitsFor, m.Since)
	}
	return w.Flush()
}
