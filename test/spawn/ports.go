package spawn

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports are given below those that the system takes for outgoing connections:
// one of these could take a port before the process that is meant to have it,
// or while that is down.
const (
	lowest    = 10_000
	ephemeral = 32_768 // Linux's default, for other systems and odd settings; theirs begin higher
	blockSize = 64
)

// block is a row of ports that this process has for itself: it listens on the
// first one for as long as it runs, and others that run tests of ours look
// there before they take a block.
var block struct {
	mu     sync.Mutex
	next   int            // port to give; none is left at a multiple of blockSize
	guards []net.Listener // also of the blocks before: their ports are in use
}

// Port returns a loopback port that nobody listens on, and that is given to
// nobody else. It stays the caller's until the test's process ends.
func Port() (int, error) {
	block.mu.Lock()
	defer block.mu.Unlock()
	const patience = 10_000
	for range patience {
		if block.next%blockSize == 0 && !takeBlock() {
			continue
		}
		port := block.next
		block.next++
		if l, err := listen(port); err == nil { // otherwise it is a stranger's
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port below %d after %d tries", ceiling(), patience)
}

// Addresses returns n loopback addresses whose ports are as Port gives them.
func Addresses(t testing.TB, n int) []string {
	t.Helper()
	var all []string
	for range n {
		port, err := Port()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint("127.0.0.1:", port))
	}
	return all
}

// takeBlock tries to take one block, at random.
func takeBlock() bool {
	first, last := lowest/blockSize+1, ceiling()/blockSize-1
	base := blockSize * (first + rand.IntN(last-first+1))
	guard, err := listen(base)
	if err != nil {
		return false
	}
	block.guards, block.next = append(block.guards, guard), base+1
	return true
}

func listen(port int) (net.Listener, error) { return net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)) }

// ceiling returns the first port that the system gives to outgoing
// connections; see ip(7), ip_local_port_range.
var ceiling = sync.OnceValue(func() int {
	setting, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return ephemeral
	}
	var first, last int
	if _, err := fmt.Sscan(string(setting), &first, &last); err != nil || first < lowest+16*blockSize {
		return ephemeral // next to nothing is left below
	}
	return first
})
