package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	stand "github.com/nats-io/nats-streaming-server/server"
)

// startWait bounds how long the core server may take to listen.
const startWait = 10 * time.Second

// serve starts the core server and, on top of it, the streaming server. They
// are started apart because together they answer a taken port by waiting ten
// seconds and forgetting why.
func (b *Broker) serve(ctx context.Context, log *logger) (err error) {
	defer func() {
		// The streaming server panics over some damaged stores.
		if r := recover(); r != nil {
			err = fmt.Errorf("broker store %s: %v", b.opts.StoreDir, r)
		}
	}()
	if err := b.serveCore(ctx, log); err != nil {
		return fmt.Errorf("broker on %s: %w", b.opts.Listen, err)
	}
	if err := b.serveStreaming(log); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	return nil
}

func (b *Broker) serveStreaming(log *logger) (err error) {
	so := b.opts.streaming(b.url, log)
	run := func() error {
		b.stan, err = stand.RunServerWithOpts(so, &natsd.Options{NoLog: true, NoSigs: true})
		return err
	}
	if run() != nil && unreadable(err) {
		// The indexes say nothing that is not in the messages, too.
		log.Warnf("store %s cannot be read and is indexed anew: %v", b.opts.StoreDir, err)
		if err := dropIndexes(b.opts.StoreDir); err != nil {
			return err
		}
		_ = run()
	}
	if err != nil && strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		// A process that was killed in the middle of a write left half a
		// record, which was never confirmed. The server cuts it off only when
		// told to, and never twice in a row, so it is told now and not always.
		log.Warnf("store %s ends in half a record, which is cut off", b.opts.StoreDir)
		so.FileStoreOpts.TruncateUnexpectedEOF = true
		_ = run()
	}
	if err != nil && unreadable(err) {
		return fmt.Errorf("the store %s is damaged: move it away and start again, from a copy or without one."+
			" Lockstep's services then compare themselves with each other; what others had not read is lost: %w", b.opts.StoreDir, err)
	}
	return err
}

// unreadable reports whether the server could not read its store.
func unreadable(err error) bool { return strings.Contains(err.Error(), "unable to recover") }

func (b *Broker) serveCore(ctx context.Context, log *logger) error {
	host, port, err := hostPort(b.opts.Listen)
	if err != nil {
		return err
	}
	// The core server does not take a listener, so the port is tried first.
	probe, err := listen(ctx, b.opts.Listen)
	if err != nil {
		return err
	}
	if err := probe.Close(); err != nil {
		return err
	}
	if port == 0 {
		port = natsd.RANDOM_PORT
	}
	ns, err := natsd.NewServer(b.opts.core(host, port))
	if err != nil {
		return err
	}
	b.nats = ns
	ns.SetLogger(log, false, false)
	ns.Start() // does not block
	if reason := log.gaveUp(); reason != "" {
		return errors.New(reason)
	}
	if !ns.ReadyForConnections(startWait) {
		return fmt.Errorf("not listening after %s", startWait)
	}
	b.url = "nats://" + reachable(ns.Addr().String())
	return nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, ErrAddressTaken
	}
	return l, err
}

// reachable turns the address of a listener on every interface into one that
// this machine can connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
