package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"lockstep/api"
)

// greet tells a newcomer where everything is and what to try. The lines that
// begin with curl work as they are printed.
func (s *system) greet(w io.Writer) {
	const user = "you@example.com"
	cookie, err := s.sessions.Cookie(api.User{ID: userID(user), Email: user})
	if err != nil {
		s.log.Error("no session could be signed", "err", err)
		return
	}
	dir, err := filepath.Abs(s.flags.DataDir)
	if err != nil {
		dir = s.flags.DataDir
	}
	tickets, orders := urlOf(s.ticketsAt), urlOf(s.ordersAt)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("")
	line("Lockstep is up: one process, nothing leaves this machine.")
	line("")
	line("  tickets  %s/api/tickets", tickets)
	line("  orders   %s/api/orders", orders)
	line("  ops      %s/readyz  /metrics  /ops/outbox", urlOf(s.opsAt))
	line("  broker   %s  %s/streaming/serverz", maskURL(s.flags.NATSURL), maskURL(s.flags.NATSMonitorURL))
	line("  data     %s (kept over restarts)", dir)
	if s.keyFile != "" {
		line("  JWT_KEY  made for this directory, kept in %s", s.keyFile)
	}
	line("")
	line("A session of %s:", user)
	line("")
	line("  Cookie: %s", cookie)
	line("")
	line("Create a ticket, list what is free, order the newest:")
	line("")
	const request = `curl -s -H 'Content-Type: application/json' -H 'Cookie: %s' -d `
	line(request+`'{"title":"concert","price":20.5}' %s/api/tickets`, cookie, tickets)
	line("")
	line("curl -s %s/api/tickets", tickets)
	line("")
	line(request+`"{\"ticketId\":\"$(curl -s %s/api/tickets | sed 's/.*"id":"\([0-9a-f]*\)".*/\1/')\"}" %s/api/orders`, cookie, tickets, orders)
	line("")
	line("The ticket is locked now: it has left the list, and its owner cannot edit it")
	line("until the order is cancelled. Stop with Ctrl-C.")
	line("")
	_, _ = io.WriteString(newPatient(w), b.String()) // nobody is there to be told
}
