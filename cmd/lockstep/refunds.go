package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"text/tabwriter"
)

// refundsCmd is the operator's view of payments without goods.
type refundsCmd struct {
	List   refundsListCmd   `cmd:"" default:"withargs" help:"List payments that must be given back, and why."`
	Settle refundsSettleCmd `cmd:"" help:"Note that a payment was given back."`
}

const refundsPath = "/ops/refunds"

type refundsListCmd struct {
	opsClientFlags
	All   bool `help:"Settled ones too."`
	Limit int  `default:"100" min:"1" max:"1000" help:"Refunds at most."`
	JSON  bool `name:"json" help:"Print JSON."`
}

// Run prints a table of refunds.
func (c *refundsListCmd) Run(ctx context.Context, s streams) error {
	query := url.Values{"limit": {fmt.Sprint(c.Limit)}, "open": {fmt.Sprint(!c.All)}}
	if c.JSON {
		data, err := c.call(ctx, http.MethodGet, refundsPath+"?"+query.Encode())
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var answer struct {
		Refunds []struct {
			ID, Reason, StripeID, UserID, TicketID, At, SettledAt string
			Price                                                 float64
		}
		Next string
	}
	if err := c.get(ctx, refundsPath, query, &answer); err != nil {
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
	if answer.Next != "" {
		fmt.Fprintln(w, "and more")
	}
	return w.Flush()
}

type refundsSettleCmd struct {
	opsClientFlags
	ID string `arg:"" help:"Id of the refund, order:payment."`
}

// Run notes that the payment was given back.
func (c *refundsSettleCmd) Run(ctx context.Context, s streams) error {
	if err := c.post(ctx, refundsPath+"/"+url.PathEscape(c.ID)+"/settle"); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is settled\n", printable(c.ID))
	return nil
}
