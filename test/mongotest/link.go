package mongotest

import (
	"errors"
	"io"
	"net"
	"sync"
)

// link is the way to one member: everybody, the other members too, connects
// to its address, and it passes on what comes. It tells who is calling by the
// process that owns the other end.
type link struct {
	listener net.Listener
	target   string
	refuse   func(client net.Addr) bool

	mu    sync.Mutex
	open  map[net.Conn]net.Addr // this end of each connection → the caller
	tasks sync.WaitGroup
}

func newLink(target string, refuse func(net.Addr) bool) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{listener: l, target: target, refuse: refuse, open: map[net.Conn]net.Addr{}}
	k.tasks.Go(k.accept)
	return k, nil
}

func (k *link) address() string { return k.listener.Addr().String() }

func (k *link) accept() {
	for {
		client, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		k.tasks.Go(func() { k.carry(client) })
	}
}

// carry passes bytes both ways until one side ends or the link is cut.
func (k *link) carry(client net.Conn) {
	defer client.Close()
	k.mu.Lock()
	k.open[client] = client.RemoteAddr()
	k.mu.Unlock()
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.open, client)
	}()
	if k.refuse(client.RemoteAddr()) {
		return
	}
	member, err := net.Dial("tcp", k.target)
	if err != nil {
		return // the member is down, as seen by the caller
	}
	defer member.Close()
	var both sync.WaitGroup
	both.Go(func() { pass(member, client) })
	both.Go(func() { pass(client, member) })
	both.Wait()
}

// pass copies until the source ends and then closes both ends.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from) // a broken connection is broken for both sides
	to.Close()
	from.Close()
}

// cut ends the connections of those callers who are refused now.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for conn, caller := range k.open {
		if k.refuse(caller) {
			conn.Close()
		}
	}
}

func (k *link) close() error {
	err := k.listener.Close()
	k.mu.Lock()
	for conn := range k.open {
		conn.Close()
	}
	k.mu.Unlock()
	k.tasks.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
