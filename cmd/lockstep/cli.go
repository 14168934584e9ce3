package main

import (
	"reflect"
	"time"

	"github.com/alecthomas/kong"
)

// cli is the command line: one field per command, one file each.
type cli struct {
	logFlags

	Up      upCmd      `cmd:"" help:"Run the whole system in this process: broker, tickets, orders, SQLite files."`
	Demo    demoCmd    `cmd:"" help:"Prove in about a minute that nothing is lost, duplicated or left behind."`
	Tickets ticketsCmd `cmd:"" help:"Run the tickets service."`
	Orders  ordersCmd  `cmd:"" help:"Run the orders service."`
	Broker  brokerCmd  `cmd:"" help:"Run the embedded NATS Streaming server alone."`
	Token   tokenCmd   `cmd:"" help:"Print a session cookie."`
	Outbox  outboxCmd  `cmd:"" help:"Look at unpublished events; retry or discard them."`
	Replica replicaCmd `cmd:"" help:"Look at the replica, and at messages that wait or were set aside."`
	Locks   locksCmd   `cmd:"" help:"Look at what the tickets service knows of orders, and mend it."`
	Refunds refundsCmd `cmd:"" help:"Look at payments without goods, and settle them."`
	Health  healthCmd  `cmd:"" help:"Ask a running process whether it is well."`
	Doctor  doctorCmd  `cmd:"" help:"Check everything that a service needs, without starting it."`
	Config  configCmd  `cmd:"" passthrough:"" help:"Print the effective configuration of a command: config [COMMAND [FLAGS]]."`
	Version versionCmd `cmd:"" help:"Print what was built from what."`
}

// commandLine is a command line that was read.
type commandLine struct {
	*kong.Context
	wrong []string // a sentence for each setting that is out of its bounds
}

// parse reads a command line into c. It returns nil without an error if help
// was asked for and printed.
func parse(c *cli, args []string, s streams) (*commandLine, error) {
	var shown bool
	unread := malformed{}
	parser, err := newParser(c, s, &shown, unread)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(args)
	if shown {
		return nil, nil
	}
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	chooseOps(parsed)
	return &commandLine{Context: parsed, wrong: append(emptyArguments(parsed), unread.outOfBounds(parsed.Flags())...)}, nil
}

// missing returns what the command cannot do without.
func (l *commandLine) missing() missing {
	if n, ok := l.Selected().Target.Addr().Interface().(needing); ok {
		return n.missing()
	}
	return nil
}

// newParser returns a parser of c that never ends the process. shown is set when
// help was asked for and printed; unread gets the values that are no numbers.
func newParser(c *cli, s streams, shown *bool, unread malformed) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("lockstep"),
		kong.Description("Keeps copies of records in step with their owner, and gets events out without losing one."),
		kong.Writers(s.out, s.err),
		shared(),
		kong.Exit(func(int) { *shown = true }),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), unread),
		kong.KindMapper(reflect.Int, unread),
		kong.KindMapper(reflect.Int64, unread),
		kong.Resolvers(kong.ResolverFunc(secretFiles), kong.ResolverFunc(windowOfNode)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
}
