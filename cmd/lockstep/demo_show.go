package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// show prints how it goes until ctx ends: one line that changes on a terminal,
// a line every five seconds elsewhere.
func (d *demo) show(ctx context.Context, began time.Time) {
	every, head, tail := 5*time.Second, "", "\n"
	if terminal(d.out) {
		every, head, tail = 200*time.Millisecond, "\r\x1b[K", ""
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprint(d.out, head)
			return
		case <-tick.C:
			fmt.Fprint(d.out, head, d.line(ctx, time.Since(began)), tail)
		}
	}
}

func (d *demo) line(ctx context.Context, after time.Duration) string {
	act := "writing"
	switch {
	case after > d.For:
		act = "coming to rest"
	case d.isAway():
		act = "writing, the broker is away"
	}
	var f findings
	if err := d.left(ctx, &f); err != nil {
		return ""
	}
	copies, swapped, _ := d.mess.counted()
	return fmt.Sprintf("%3.0fs  %d writes, %d copies and %d reordered messages on the bus; %d events wait, %d messages are held  (%s)",
		after.Seconds(), d.load.counted().done(), copies, swapped, f.waiting, f.stuck, act)
}

// print writes the closing table.
func (f *findings) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", what, fmt.Sprintf(format, args...)) }
	row("\nDONE", "in %.1f s, at rest %.1f s after the last write", f.took.Seconds(), f.settled.Seconds())
	row("writes answered", "%d (%d tickets, %d edits, %d deletes, %d orders, %d cancelled), %d refused with a reason, %d failed",
		f.writes.done(), f.writes.tickets, f.writes.edits, f.writes.deletes, f.writes.orders, f.writes.cancels, f.writes.refused, f.writes.failed)
	row("time of a write", "p50 %.1f ms, p99 %.1f ms", ms(f.p50), ms(f.p99))
	row("while the broker was away", "%d writes answered, the slowest in %.0f ms", f.writes.away, ms(f.writes.slowestAway))
	row("put onto the bus", "%d copies of messages, %d foreign tickets of %d versions with %d messages behind a later one",
		f.copies, f.foreign, foreignVersions, f.swapped)
	row("absorbed", "%.0f duplicates; %.0f early messages held until their turn; %.0f rows mended", f.absorbed, f.held, f.repaired)
	row("compared", "%d tickets of %d versions with %d rows, %d orders with their locks", f.tickets, f.events, f.rows, f.orders)
	row("LOST", "%d answered writes, %d versions never published, %d rows that differ", f.lostWrites, f.unpublished, f.drifted)
	row("DUPLICATED", "%d messages applied twice", f.appliedTwice)
	row("LEFT BEHIND", "%d events, %d messages held, %d set aside, %d wrong locks", f.waiting, f.stuck, f.aside, f.wrongLocks)
	_ = w.Flush() // nobody is there to be told
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// verdict returns an error unless everything is as promised and the proof was
// worth something.
func (f *findings) verdict() error {
	wrong := f.lostWrites + f.unpublished + f.drifted + f.appliedTwice + f.waiting + f.stuck + f.aside + f.wrongLocks + f.writes.failed
	switch {
	case wrong > 0:
		return errors.New("\nthe promises were broken")
	case f.writes.done() == 0 || f.writes.away == 0 || f.copies == 0 || f.swapped == 0:
		return errors.New("\nnothing is proved: too little happened")
	}
	return nil
}
