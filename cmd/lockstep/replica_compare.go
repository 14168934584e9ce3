package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"

	"lockstep/replica"
	"lockstep/ticket"
)

// comparing are the flags of commands that compare a replica with its owner.
type comparing struct {
	opsClientFlags
	JSON bool `name:"json" help:"Print JSON, one object a line."`
}

// side is a replica's row or its owner's record.
type side struct {
	Version int64
	Title   string
	Price   float64
	OrderID string
	Deleted bool
}

func (s *side) String() string {
	switch {
	case s == nil:
		return "nothing"
	case s.Deleted:
		return fmt.Sprintf("deleted at version %d", s.Version)
	case s.OrderID != "":
		return fmt.Sprintf("version %d %q at %v, held by order %s", s.Version, printable(s.Title), s.Price, printable(s.OrderID))
	default:
		return fmt.Sprintf("version %d %q at %v", s.Version, printable(s.Title), s.Price)
	}
}

// line is one line of a comparison as the ops port tells it.
type line struct {
	Compared *int
	Drift    *struct {
		ID                 string
		Kind               replica.Kind
		Replica, Canonical *side
	}
	Mended, Repaired *replica.Mended
	Verified         *replica.Verified
	Locks            *ticket.Reconciled
	Reconciled       *ticket.Reconciled
	Error            string
}

// follow asks for a comparison and calls each with its lines. It has no
// timeout: a comparison takes as long as it takes.
func (c comparing) follow(ctx context.Context, s streams, path string, each func(line)) error {
	resp, err := c.send(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, _ := io.ReadAll(io.LimitReader(resp.Body, maxOpsAnswer)) // what there is of it
		return c.refusal(ctx, resp.StatusCode, data)
	}
	scanner := bufio.NewScanner(resp.Body)
	scanner.Buffer(nil, maxOpsAnswer)
	for scanner.Scan() {
		if c.JSON {
			fmt.Fprintln(s.out, escaped(scanner.Text()))
		}
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return fmt.Errorf("answer of %s: %w", c.OpsURL, err)
		}
		if l.Error != "" {
			return errors.New(l.Error)
		}
		each(l)
		if l.Verified != nil || l.Repaired != nil || l.Reconciled != nil {
			return nil
		}
	}
	return errors.Join(fmt.Errorf("%s broke off: was it stopped? What was done until then is done; give the command again", c.OpsURL), scanner.Err())
}

// driftError ends a command that leaves differences.
type driftError string

func (e driftError) Error() string { return string(e) }

// ExitCode tells differences from failures.
func (driftError) ExitCode() int { return exitDrift }

type replicaVerifyCmd struct{ comparing }

// Run prints every record that differs, and a sum.
func (c *replicaVerifyCmd) Run(ctx context.Context, s streams) error {
	bar := newProgress(s.err, "compared", c.JSON)
	var sum *replica.Verified
	err := c.follow(ctx, s, "/ops/replica/verify", func(l line) {
		switch {
		case l.Compared != nil:
			bar.set(*l.Compared)
		case l.Drift != nil && !c.JSON:
			bar.clear()
			fmt.Fprintf(s.out, "%s  %s: replica %s, owner %s\n", printable(l.Drift.ID), l.Drift.Kind, l.Drift.Replica, l.Drift.Canonical)
			if l.Drift.Kind == replica.Unreadable {
				fmt.Fprintln(s.out, "  what cannot be read is shown as nothing: the log of its service says why")
			}
		case l.Verified != nil:
			sum = l.Verified
		}
	})
	bar.clear()
	if err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(s.out, "%d records compared, %d differ\n", sum.Compared, sum.Drifts())
		printPublic(s.out, sum.Public)
	}
	if sum.Drifts() > 0 {
		return differs(*sum)
	}
	return nil
}

// differs says what mends what was found.
func differs(v replica.Verified) error {
	judged := v.Drifted[replica.Ahead] + v.Drifted[replica.Extra]
	const byTrust = "lockstep replica reset ID or repair --trust-owner makes them what the owner has"
	switch judged {
	case 0:
		return driftError("the replica differs from its owner: lockstep replica repair mends it")
	case v.Drifts():
		return driftError("the replica has what its owner does not: only a person can judge it, " + byTrust)
	}
	return driftError(fmt.Sprintf("the replica differs from its owner: lockstep replica repair mends it, but for %d rows"+
		" that are ahead of it or unknown to it, which only a person can judge: %s", judged, byTrust))
}

// printPublic says what an owner without an ops port could not be asked.
func printPublic(w io.Writer, public bool) {
	if public {
		fmt.Fprintln(w, "the owner answers by its public API only, which hides reserved tickets:"+
			" those that are reserved there and missing here could not be found")
	}
}

type replicaRepairCmd struct {
	comparing
	TrustOwner bool `help:"Move rows back that are ahead of their owner, remove those it never had and cancel their unpaid orders, and release locks of orders it does not have. After the owner was restored from a backup, or after events that it did not publish."`
}

// Run mends what the process copies, tickets or locks, and says what it did.
// What fails is an error, whatever else succeeds.
func (c *replicaRepairCmd) Run(ctx context.Context, s streams) error {
	if c.TrustOwner {
		fmt.Fprintln(s.err, "the owner is trusted: rows that are ahead of it are moved back, rows it never had are removed and their unpaid orders cancelled, and locks of orders it does not have are released")
	}
	rows := c.repairReplica(ctx, s)
	if errors.As(rows, new(unansweredError)) {
		return rows
	}
	locks := c.reconcileLocks(ctx, s, c.TrustOwner)
	var noRows, noLocks notHereError
	switch {
	case errors.As(rows, &noRows) && errors.As(locks, &noLocks):
		return fmt.Errorf("%s has neither a replica nor locks: ask the tickets or the orders service (OPS_URL, --ops-url)", c.OpsURL)
	case errors.As(rows, &noRows):
		return locks
	case errors.As(locks, &noLocks) || rows != nil && locks != nil && rows.Error() == locks.Error():
		return rows
	case rows != nil && errors.As(locks, new(driftError)):
		return fmt.Errorf("%w\n%v", rows, locks) // a failure outweighs a difference
	case rows != nil && locks != nil:
		return fmt.Errorf("%v\n%w", rows, locks)
	}
	return cmp.Or(rows, locks)
}

// repairReplica mends the rows.
func (c *replicaRepairCmd) repairReplica(ctx context.Context, s streams) error {
	path := "/ops/replica/repair"
	if c.TrustOwner {
		path += "?trust=owner"
	}
	bar := newProgress(s.err, "compared", c.JSON)
	defer bar.clear()
	var sum replica.Mended
	err := c.follow(ctx, s, path, func(l line) {
		switch {
		case l.Mended != nil:
			bar.set(l.Mended.Compared)
		case l.Repaired != nil:
			sum = *l.Repaired
		}
	})
	if err != nil {
		return err
	}
	bar.clear()
	if !c.JSON {
		printMended(s.out, sum)
	}
	if sum.LeftOver > 0 {
		return driftError(fmt.Sprintf("%d rows are ahead of their owner, unknown to it or not readable there, and were left as they are: "+
			"lockstep replica reset ID or repair --trust-owner make them what the owner has", sum.LeftOver))
	}
	return nil
}

func printMended(w io.Writer, m replica.Mended) {
	fmt.Fprintf(w, "%d records compared, %d repaired, %d removed, %d were late and came by themselves\n", m.Compared, m.Repaired, m.Removed, m.Late)
	printPublic(w, m.Public)
	if m.LeftOver == 0 {
		return
	}
	fmt.Fprintf(w, "%d are ahead of their owner, unknown to it or not readable there; going back is no repair, look at them:\n", m.LeftOver)
	for _, d := range m.Left {
		fmt.Fprintf(w, "  %s  %s\n", printable(d.ID), d.Kind)
	}
}

type replicaStatusCmd struct {
	opsClientFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints where every replica of the process stands.
func (c *replicaStatusCmd) Run(ctx context.Context, s streams) error {
	const path = "/ops/replica/status"
	if c.JSON {
		data, err := c.call(ctx, http.MethodGet, path)
		if err != nil {
			return err
		}
		return printJSON(s.out, data)
	}
	var answer struct {
		Services map[string]struct {
			Rows              *int // nil without a replica
			Held, Quarantined int
			Positions         []struct {
				Channel, Group          string
				Mark, First, Last, Lost uint64

				Lag *uint64 // nil if the broker could not be asked
			}
			Problems []string
		}
	}
	if err := c.get(ctx, path, nil, &answer); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for name, v := range answer.Services {
		rows := "no replica"
		if v.Rows != nil {
			rows = fmt.Sprint("rows ", *v.Rows)
		}
		fmt.Fprintf(w, "%s\t%s\theld %d\tin quarantine %d\n", name, rows, v.Held, v.Quarantined)
		fmt.Fprintln(w, "CHANNEL\tSEEN UP TO\tOLDEST\tNEWEST\tLAG\tLOST")
		for _, p := range v.Positions {
			first, last, lag := "unknown", "unknown", "unknown"
			if p.Lag != nil {
				first, last, lag = fmt.Sprint(p.First), fmt.Sprint(p.Last), fmt.Sprint(*p.Lag)
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\n", p.Channel, p.Mark, first, last, lag, p.Lost)
		}
		for _, problem := range v.Problems {
			fmt.Fprintf(w, "problem: %s\n", printable(problem))
		}
	}
	return w.Flush()
}
