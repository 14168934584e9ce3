package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"lockstep/api"
	"lockstep/ticket"
)

// locksCmd is the operator's view of what the tickets service knows of orders.
type locksCmd struct {
	Show      locksShowCmd      `cmd:"" help:"Show what is known of an order."`
	Reconcile locksReconcileCmd `cmd:"" help:"Compare every lock with the orders service, and mend what differs. Exit 4 if some is left."`
	Reset     locksResetCmd     `cmd:"" help:"Make the lock of an order what the orders service says, whatever it was."`
}

const locksPath = "/ops/locks/"

type locksShowCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the order."`
}

// Run prints the lock as JSON.
func (c *locksShowCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodGet, locksPath+api.Segment(c.ID))
	if err != nil {
		return err
	}
	return printJSON(s.out, data)
}

type locksResetCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the order."`
}

// known is a lock as the ops port tells it.
type known struct {
	TicketID string
	Version  int64
	State    ticket.LockState
}

func (k *known) String() string {
	if k == nil {
		return "not known"
	}
	return fmt.Sprintf("%s, ticket %s, version %d", k.State, printable(k.TicketID), k.Version)
}

// Run prints the lock as it was and as it is.
func (c *locksResetCmd) Run(ctx context.Context, s streams) error {
	data, err := c.call(ctx, http.MethodPost, locksPath+api.Segment(c.ID)+"/reset")
	if err != nil {
		return err
	}
	var answer struct{ Before, After *known }
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("answer of %s: %w", c.OpsURL, err)
	}
	fmt.Fprintf(s.out, "%s was %s; is %s\n", printable(c.ID), answer.Before, answer.After)
	return nil
}

type locksReconcileCmd struct {
	comparing
	TrustOwner bool `help:"Release locks of orders that the orders service does not have. After events that it did not publish, or when its restored database is all there is."`
}

// Run mends the locks and says what it did.
func (c *locksReconcileCmd) Run(ctx context.Context, s streams) error {
	return c.reconcileLocks(ctx, s, c.TrustOwner)
}

// reconcileLocks makes the locks what the orders service says. What breaks off
// goes on where it was, as long as it gets on.
func (c comparing) reconcileLocks(ctx context.Context, s streams, trust bool) error {
	bar := newProgress(s.err, "orders compared", c.JSON)
	defer bar.clear()
	query := url.Values{}
	if trust {
		query.Set("trust", "owner")
	}
	var sum ticket.Reconciled
	for {
		part := ticket.Reconciled{After: sum.After}
		if sum.After != "" {
			query.Set("after", sum.After)
		}
		err := c.follow(ctx, s, "/ops/locks/reconcile?"+query.Encode(), func(l line) {
			if told := cmp.Or(l.Reconciled, l.Locks); told != nil {
				part = *told
				bar.set(sum.Compared + part.Compared)
			}
		})
		further := part.After != sum.After
		sum.Add(part)
		if err == nil {
			break
		}
		if !further {
			return err
		}
	}
	bar.clear()
	if !c.JSON {
		printReconciled(s, sum)
	}
	var left []string
	if sum.NoOrder > 0 {
		left = append(left, fmt.Sprintf("%d locks are of orders that the orders service does not have and were left as they are: "+
			"lockstep locks reset ID or locks reconcile --trust-owner releases them", sum.NoOrder))
	}
	if sum.NoTicket > 0 && !trust {
		left = append(left, fmt.Sprintf("%d orders are of tickets that the tickets service does not have: "+
			"what is not paid ends with its time, give back what is paid", sum.NoTicket))
	}
	if len(left) > 0 {
		return driftError(strings.Join(left, "\n"))
	}
	return nil
}

func printReconciled(s streams, sum ticket.Reconciled) {
	fmt.Fprintf(s.out, "%d orders compared, %d locks and %d releases applied, %d orders corrected that forged events had changed\n",
		sum.Compared, sum.Locked, sum.Released, sum.Forged)
	if sum.Freed > 0 {
		fmt.Fprintf(s.out, "%d locks released of orders that the orders service does not have\n", sum.Freed)
	}
	printLeft(s, sum.Left, sum.NoOrder, "locks are of orders that the orders service does not have; releasing them is a decision, look at them")
	printLeft(s, sum.WithoutTicket, sum.NoTicket, "orders are of tickets that the tickets service never had, or deleted")
}

func printLeft(s streams, first []ticket.Left, n int, what string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(s.out, "%d %s:\n", n, what)
	for _, l := range first {
		fmt.Fprintf(s.out, "  order %s  ticket %s\n", printable(l.OrderID), printable(l.TicketID))
	}
}
