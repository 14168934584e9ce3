package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"lockstep/api"
)

// quarantineCmd is replica quarantine: messages that were set aside.
type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" default:"withargs" help:"List messages and why they were set aside."`
	Show    quarantineShowCmd    `cmd:"" help:"Show one message, with its payload if asked to."`
	Retry   quarantineRetryCmd   `cmd:"" help:"Apply a message again, or all that are chosen."`
	Discard quarantineDiscardCmd `cmd:"" help:"Delete a message unapplied, or all that are chosen."`
}

const quarantinePath = "/ops/replica/quarantine"

// criteria choose messages in quarantine.
type criteria struct {
	Service   string        `oneof:",tickets,orders" help:"Of one service, tickets or orders; of both if unset."`
	Reason    string        `oneof:",undecodable,too_early,failing" help:"Set aside for this reason: undecodable, too_early or failing."`
	Subject   string        `form:"text" help:"Of this subject, as ticket:updated."`
	Key       string        `form:"text" help:"Of the record with this id."`
	OlderThan time.Duration `name:"older-than" min:"0s" max:"87600h" help:"Set aside longer ago, as 24h."`
}

// query returns the criteria as the ops port reads them.
func (c criteria) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"service": c.Service, "reason": c.Reason, "subject": c.Subject, "key": c.Key} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.OlderThan > 0 {
		q.Set("olderThan", c.OlderThan.String())
	}
	return q
}

// choice is one message by its id, or many.
type choice struct {
	opsClientFlags
	criteria
	ID  string `arg:"" optional:"" help:"Id of one message in quarantine."`
	All bool   `help:"All messages in quarantine, whatever they are."`
}

// query returns what chooses many messages, or what is wrong with it.
func (c choice) query() (url.Values, error) {
	q := c.criteria.query()
	many := c.Reason != "" || c.Subject != "" || c.Key != "" || c.OlderThan > 0
	switch {
	case c.ID != "" && (c.All || len(q) > 0):
		return nil, &usageError{"give the id of one message or choose many, not both"}
	case c.ID == "" && c.All == many:
		return nil, &usageError{"give the id of a message, choose by --reason, --subject, --key or --older-than, or all of them by --all"}
	case c.All:
		q.Set("all", "true")
	}
	return q, nil
}

// pages does something to page after page of what is chosen, and calls each
// with the answers.
func (c choice) pages(ctx context.Context, s streams, what string, q url.Values, each func([]byte) (done int, err error)) error {
	bar := newProgress(s.err, "messages", false)
	defer bar.clear()
	for done := 0; ; {
		data, err := c.call(ctx, http.MethodPost, quarantinePath+"/"+what+"?"+q.Encode())
		if err != nil && done > 0 {
			return fmt.Errorf("after %d messages: %w", done, err)
		}
		if err != nil {
			return err
		}
		n, err := each(data)
		if err != nil {
			return err
		}
		done += n
		bar.set(done)
		var answer struct{ Next string }
		if err := json.Unmarshal(data, &answer); err != nil || answer.Next == "" {
			return err
		}
		q.Set("after", answer.Next)
	}
}

type quarantineListCmd struct {
	listFlags
	criteria
}

// Run prints a table of messages.
func (c *quarantineListCmd) Run(ctx context.Context, s streams) error {
	var answer struct {
		Messages []struct {
			ID, Group, Subject, Key, Reason, Detail, At string
			Version                                     int64
		}
		Next string
	}
	for {
		if printed, err := c.list(ctx, s.out, quarantinePath, c.query(), &answer); printed || err != nil {
			return err
		}
		if len(answer.Messages) > 0 || answer.Next == "" {
			break
		}
		c.After, answer.Next = answer.Next, "" // few are chosen of many, and none so far
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
	if err := w.Flush(); err != nil {
		return err
	}
	goOn(s.out, answer.Next)
	return nil
}

type quarantineShowCmd struct {
	opsClientFlags
	payloadFlag
	ID string `arg:"" help:"Id of the message in quarantine."`
}

// Run prints the message as JSON.
func (c *quarantineShowCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodGet, quarantinePath+"/"+api.Segment(c.ID)+c.query())
	if err != nil {
		return err
	}
	return printJSON(s.out, data)
}

type quarantineRetryCmd struct{ choice }

// Run applies one message again, or many.
func (c *quarantineRetryCmd) Run(ctx context.Context, s streams) error {
	query, err := c.choice.query()
	if err != nil {
		return err
	}
	if c.ID != "" {
		if err := c.post(ctx, quarantinePath+"/"+api.Segment(c.ID)+"/retry"); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s is applied\n", c.ID)
		return nil
	}
	var sum struct {
		Retried, Left int
		Why           string
	}
	err = c.pages(ctx, s, "retry", query, func(data []byte) (int, error) {
		part := sum
		part.Why = ""
		if err := json.Unmarshal(data, &part); err != nil {
			return 0, err
		}
		sum.Retried, sum.Left, sum.Why = sum.Retried+part.Retried, sum.Left+part.Left, cmp.Or(sum.Why, part.Why)
		return part.Retried + part.Left, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d messages are applied, %d are left\n", sum.Retried, sum.Left)
	if sum.Left > 0 {
		fmt.Fprintf(s.out, "one of those: %s\n", printable(sum.Why))
	}
	return nil
}

type quarantineDiscardCmd struct{ choice }

// Run deletes one message, or many.
func (c *quarantineDiscardCmd) Run(ctx context.Context, s streams) error {
	query, err := c.choice.query()
	if err != nil {
		return err
	}
	if c.ID != "" {
		if err := c.post(ctx, quarantinePath+"/"+api.Segment(c.ID)+"/discard"); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s is gone\n", c.ID)
		return nil
	}
	sum := 0
	err = c.pages(ctx, s, "discard", query, func(data []byte) (int, error) {
		var part struct{ Discarded int }
		err := json.Unmarshal(data, &part)
		sum += part.Discarded
		return part.Discarded, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d messages are gone\n", sum)
	return nil
}
