package mutants

var mutants = []mutant{
	{
		name: "version rule off by one",
		file: "replica/decide.go", old: "case predecessor < stored:", new: "case predecessor < stored-1:",
		pkg: "./replica", run: "TestDecide", // no history ever converges
	},
	{
		name: "early events applied",
		file: "replica/decide.go", old: "case predecessor == stored:", new: "case predecessor >= stored:",
		pkg: "./replica",
	},
	{
		name: "remembered version trusted for refusals",
		file: "replica/projector.go", old: "if !ok || !g.startsAt(v) {", new: "if !ok {",
		pkg: "./replica",
	},
	{
		name: "lost races reported as applied",
		file: "replica/projector.go", old: "if n == len(writes) {", new: "if n >= 0 {",
		pkg: "./replica",
	},
	{
		name: "deletion without a tombstone",
		file: "replica/batch.go", old: ", Deleted: c.Deleted", new: "",
		pkg: "./replica",
	},
	{
		name: "keys matched without regard to case",
		file: "event/decode.go", old: "raw, ok := o[key]\n\treturn !ok || string(raw) == \"null\"", new: "raw, ok := o[key]\n\treturn ok && string(raw) == \"null\"",
		pkg: "./event",
	},
	{
		name: "versions below zero let in",
		file: "event/decode.go", old: "if err != nil || v < 0 {", new: "if err != nil {",
		pkg: "./event",
	},
	{
		name: "free tickets carry an orderId",
		file: "event/ticket.go", old: "`json:\"orderId,omitempty\"` // the order", new: "`json:\"orderId\"` // the order",
		pkg: "./event",
	},
	{
		name: "markup escaped",
		file: "event/encode.go", old: "enc.SetEscapeHTML(false)", new: "enc.SetEscapeHTML(true)",
		pkg: "./event",
	},
	{
		name: "waiting recorded without a guard",
		file: "ticket/lock.go", old: "outcome, err := s.record(ctx, Change{Was: &was, Locks", new: "outcome, err := s.record(ctx, Change{Locks",
		pkg: "./ticket", run: "Guarded|Waits",
	},
	{
		name: "release of any order frees the ticket",
		file: "ticket/lock.go", old: "case err == nil && was.OrderID == c.OrderID:", new: "case err == nil && was.OrderID != \"\":",
		pkg: "./ticket", run: "LockLife",
	},
	{
		name: "release that comes first forgotten",
		file: "ticket/lock.go", old: "return s.record(ctx, Change{Locks: []LockChange{end}})", new: "return event.Applied, nil",
		pkg: "./ticket", run: "LockLife",
	},
	{
		name: "waiting order not served",
		file: "ticket/lock.go", old: "now.OrderID = next.OrderID", new: "",
		pkg: "./ticket", run: "LockLife",
	},
	{
		name: "held ticket edited",
		file: "ticket/service.go", old: "case t.OrderID != \"\":", new: "case false:",
		pkg: "./ticket", run: "Refused|EditAgainstLock",
	},
	{
		name: "lost update overwritten",
		file: "ticket/service.go", old: "if was.Version != first {", new: "if false {",
		pkg: "./ticket", run: "Overtaken",
	},
	{
		name: "repeated lock raises the version",
		file: "ticket/lock.go", old: "if known.State != \"\" && r.Version <= known.Version {", new: "if false {",
		pkg: "./ticket", run: "LockLife",
	},
	{
		name: "cancellation without its event",
		file: "order/decide.go", old: "d.Announce = event.OrderCancelled", new: "",
		pkg: "./order",
	},
	{
		name: "paid order cancelled",
		file: "order/decide.go", old: "switch open := was.Status != Cancelled && was.Status != Complete; {", new: "switch open := was.Status != Cancelled; {",
		pkg: "./order",
	},
	{
		name: "orders expire at once",
		file: "order/service.go", old: "now.Add(s.window).Truncate(time.Millisecond)", new: "now.Truncate(time.Millisecond)",
		pkg: "./order",
	},
	{
		name: "expiry without a look at payments",
		file: "order/gate.go", old: "if g.payments == nil {", new: "if true {",
		pkg: "./order", run: "Overtakes",
	},
	{
		name: "expiry past a payment that is owed",
		file: "order/gate.go", old: "if g.owed[orderID] != nil {", new: "if false {",
		pkg: "./order", run: "History",
	},
	{
		name: "a second payment passed over",
		file: "order/decide.go", old: "case was.Status == Complete && was.PaidBy == payment:", new: "case was.Status == Complete:",
		pkg: "./order", run: "Decide|Refund",
	},
	{
		name: "a release repeated while another order has the ticket",
		file: "order/lockwatch.go", old: `case l.Active.ID == "":`, new: `case l.Left.ID != "":`,
		pkg: "./order", run: "History",
	},
	{
		name: "a paid order announced again that was not heard of yet",
		file: "order/lockwatch.go", old: " && l.Version >= l.Active.LockFrom:", new: ":",
		pkg: "./order", run: "LeftAlone",
	},
	{
		name: "every order of Node's announced again after a takeover",
		file: "order/lockwatch.go", old: " && l.Active.LockFrom > 0", new: "",
		pkg: "./order", run: "LeftAlone",
	},
	{
		name: "a lost lock looked for where it was lost only",
		file: "order/lockwatch.go", old: "for after := \"\"; full; {", new: "for after := \"\"; false; {",
		pkg: "./order", run: "LostItsLock",
	},
	{
		name: "an older release frees the ticket",
		file: "ticket/lock.go", old: "if c.Version < known.Version || ", new: "if ",
		pkg: "./ticket", run: "Older",
	},
	{
		name: "repair moves rows back",
		file: "replica/repair.go", old: "if s.version > snapshot.Version {", new: "if false {",
		pkg: "./replica", run: "Repair",
	},
	{
		name: "rows ahead of their owner not reported",
		file: "replica/mend.go", old: "case d.Kind != Ahead && d.Kind != Extra,", new: "case d.Kind != Extra,",
		pkg: "./replica", run: "Mend",
	},
	{
		name: "a broken link leaves publishes waiting",
		file: "internal/session/connect.go", old: "c.flight.giveUp(ErrInterrupted)", new: "_ = err",
		pkg: "./internal/session", run: "LinkBreaks",
	},
	{
		name: "a lost session is closed at the broker",
		file: "internal/session/session.go", old: "s.set(nil, c.why)\n\tc.nats.Close()", new: "s.set(nil, c.why)\n\t_ = c.stan.Close()",
		pkg: "./publishers", run: "Replaced",
	},
	{
		name: "a refused subscription leaves the session as it is",
		file: "internal/session/conn.go", old: "\"stan: unknown clientID\", ", new: "",
		pkg: "./internal/session", run: "Forgot",
	},
	{
		name: "given up publishes count as answered by the library",
		file: "internal/session/flight.go", old: "f.waiting = make(map[uint64]func(error))", new: "f.held, f.waiting = 0, make(map[uint64]func(error))",
		pkg: "./internal/session", run: "LibraryBlocks",
	},
	{
		name: "names the broker never answers are sent",
		file: "publishers/nats.go", old: "case c == '.' && before == '.':", new: "case c == '!':",
		pkg: "./publishers", run: "Rejected",
	},
	{
		name: "two brokers on one store",
		file: "internal/broker/lock_unix.go", old: "err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)", new: "err = nil",
		pkg: "./internal/broker", run: "Named",
	},
	{
		name: "lag without what is unacknowledged",
		file: "listeners/lag.go", old: "min(passed, c.LastSeq) + at.pending", new: "min(passed, c.LastSeq)",
		pkg: "./listeners", run: "Lag",
	},
}
