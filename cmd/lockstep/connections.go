package main

import (
	"log/slog"
	"strconv"

	"github.com/alecthomas/kong"

	"lockstep/api"
)

// Descriptors are shared out by ports, so that a flood of connections to one of
// them leaves the others and the stores theirs: an eighth for each.
const (
	shares          = 8
	fewDescriptors  = 256 // if the limit cannot be read: the lowest default of any system
	manyDescriptors = shares * mostConnections

	// mostConnections of a port unless it is told; an idle one takes about 40 KB.
	mostConnections = 2000
)

// doorFlags say what the APIs take at most.
type doorFlags struct {
	MaxConnections   int    `env:"MAX_CONNECTIONS" default:"${max_connections}" min:"1" max:"1000000" help:"Connections to each API; one more takes the place of an idle one. Unset: an eighth of the process's file descriptors, 2000 at most."`
	WritesPerUser    int    `env:"WRITES_PER_USER" default:"0" min:"0" max:"1000000" help:"Changes a minute by one user; 0: any number."`
	WritesPerAddress int    `env:"WRITES_PER_ADDRESS" default:"0" min:"0" max:"1000000" help:"Changes a minute from one address; 0: any number."`
	TrustedProxies   string `env:"TRUSTED_PROXIES" form:"networks" help:"Addresses or networks of proxies whose X-Forwarded-For is believed, with commas; unset: none."`
}

// limits returns what the flags say of changes.
func (f doorFlags) limits() api.Limits {
	l := api.Limits{PerUser: f.WritesPerUser, PerAddress: f.WritesPerAddress}
	if f.TrustedProxies != "" {
		l.Proxies, _ = api.ParseProxies(f.TrustedProxies) // the form was looked at
	}
	return l
}

// share returns how many connections a port may have.
func share() int { return max(1, descriptors()/shares) }

// shared are the values of defaults that depend on the machine.
func shared() kong.Vars { return kong.Vars{"max_connections": strconv.Itoa(share())} }

// connections returns how many each API may have: no more than leave the other
// ports and the stores what they need.
func (f doorFlags) connections(log *slog.Logger) int {
	if most := descriptors() / 4; f.MaxConnections > most && most < manyDescriptors/4 {
		log.Warn("MAX_CONNECTIONS is lowered: the process may not have four times as many files open (ulimit -n)",
			"max_connections", f.MaxConnections, "lowered_to", most, "descriptors", descriptors())
		return most
	}
	return f.MaxConnections
}
