// Command lockstep runs the tickets and orders services, everything they need
// on one machine, and the tools of whoever operates them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes, as the reference lists them.
const (
	exitFailed      = 1
	exitUsage       = 2   // a setting is missing or wrong
	exitNotReady    = 3   // health: the process answers that it is not well
	exitDrift       = 4   // replica verify: some records differ
	exitInterrupted = 130 // a second signal
)

func main() {
	ctx, stop := signalled()
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: newPatient(os.Stderr)})
	stop()
	os.Exit(code)
}

// streams are where a command writes: data and banners to out, messages and
// logs to err.
type streams struct {
	out, err io.Writer
}

// redacted returns out without secrets, for commands that print errors to it.
func (s streams) redacted() io.Writer {
	if r, ok := s.err.(*redacting); ok {
		return &redacting{to: s.out, secrets: r.secrets}
	}
	return s.out
}

// run does what the arguments say and returns the exit code. It is main
// without the process, for tests.
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	s.err = redact(s.err, nil)
	parsed, err := parse(&c, args, s)
	if err != nil {
		return fail(s, err)
	}
	if parsed == nil {
		return 0
	}
	s.err = redact(s.err, parsed.Flags())
	if err := complaint(append(parsed.wrong, parsed.missing()...)); err != nil {
		if serves(parsed.Command()) && c.LogFormat == "json" {
			c.failed(ctx, s.err, err)
			return exitCode(err)
		}
		return fail(s, err)
	}
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.Bind(s, &c.logFlags)
	if err := parsed.Run(); err != nil {
		if serves(parsed.Command()) {
			c.failed(context.WithoutCancel(ctx), s.err, err)
			return exitCode(err)
		}
		return fail(s, err)
	}
	return 0
}

// serves reports whether a command runs until it is told to stop: what it says
// is a log from the first to the last line.
func serves(command string) bool {
	return slices.Contains([]string{"up", "tickets", "orders", "broker"}, command)
}

// fail prints what went wrong and returns the exit code for it.
func fail(s streams, err error) int {
	fmt.Fprintln(s.err, err)
	return exitCode(err)
}

func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitFailed
}

// usageError is a setting that is missing or wrong.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// ExitCode tells usage errors from failures.
func (e *usageError) ExitCode() int { return exitUsage }

var _ kong.ExitCoder = (*usageError)(nil)

// signalled returns a context that ends with the first SIGINT, SIGTERM or, if
// the process was not started to outlive its terminal, SIGHUP. The second one
// ends the process at once: whoever sends it does not want to wait. A reader of
// the log who goes away ends nothing.
func signalled() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Ignore(syscall.SIGPIPE)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup starts it
		signal.Notify(signals, syscall.SIGHUP)
	}
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx, cancel
}
