package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"

	"lockstep/api"
)

// refundsCmd is the operator's view of payments without goods.
type refundsCmd struct {
	List   refundsListCmd   `cmd:"" default:"withargs" help:"List payments that must be given back, and why."`
	Settle refundsSettleCmd `cmd:"" help:"Note that a payment was given back."`
}

const refundsPath = "/ops/refunds"

type refundsListCmd struct {
	listFlags
	All bool `help:"Settled ones too."`
}

// Run prints a table of refunds.
func (c *refundsListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{"open": {fmt.Sprint(!c.All)}}
	var answer struct {
		Refunds []struct {
			ID, Reason, StripeID, UserID, TicketID, At, SettledAt string
			Price                                                 float64
		}
		Next string
	}
	if printed, err := c.list(ctx, s.out, refundsPath, query, &answer); printed || err != nil {
		return err
	}
	if len(answer.Refunds) == 0 {
		fmt.Fprintln(s.out, "no payment has to be given back")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REFUND\tREASON\tSTRIPE\tUSER\tTICKET\tPRICE\tSINCE\tSETTLED")
	for _, r := range answer.Refunds {
		settled := "-"
		if r.SettledAt != "" {
			settled = r.SettledAt
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%v\t%s\t%s\n",
			printable(r.ID), r.Reason, printable(r.StripeID), printable(r.UserID), printable(r.TicketID), r.Price, r.At, settled)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	goOn(s.out, answer.Next)
	return nil
}

type refundsSettleCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the refund, order:payment."`
}

// Run notes that the payment was given back.
func (c *refundsSettleCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, refundsPath+"/"+api.Segment(c.ID)+"/settle"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is settled\n", printable(c.ID))
	return nil
}
