// Package hosts says by which names a port may be asked. A page of another site
// can make its own name resolve to any address (DNS rebinding), and its visitors'
// browsers then ask us and let it read the answer; the name in the request is
// what gives it away.
package hosts

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Allowed are the hosts that a port may be asked by: addresses and localhost,
// and names that were named.
type Allowed struct {
	Loopback bool     // only this machine reaches the port: of addresses, only loopback ones
	Names    []string // others, without regard to case
}

// Has reports whether a request with this Host may be answered. The port in it
// does not matter: a forwarded one is another.
func (a Allowed) Has(host string) bool {
	name := nameOf(host)
	if address, err := netip.ParseAddr(name); err == nil {
		return !a.Loopback || address.Unmap().IsLoopback()
	}
	same := func(other string) bool { return nameOf(other) == name }
	return name == "localhost" || name != "" && slices.ContainsFunc(a.Names, same)
}

// Loopback reports whether only this machine can reach the host:port address.
func Loopback(address string) bool {
	_, _, err := net.SplitHostPort(address)
	return err == nil && Allowed{Loopback: true}.Has(address)
}

// nameOf returns a host without its port, in its one form.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
