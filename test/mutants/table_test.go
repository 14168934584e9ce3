package mutants

var mutants = []mutant{
	{
		name: "version rule off by one",
		file: "replica/decide.go", old: "case predecessor < stored:", new: "case predecessor < stored-1:",
		pkg: "./replica",
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
		file: "event/ticket.go", old: "`json:\"orderId,omitempty\"`", new: "`json:\"orderId\"`",
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
		file: "ticket/lock.go", old: "return event.Duplicate, nil\n\t} else if", new: "_ = err\n\t} else if",
		pkg: "./ticket", run: "LockLife",
	},
	{
		name: "cancellation without its event",
		file: "order/service.go", old: "if status == Cancelled {", new: "if false {",
		pkg: "./order",
	},
	{
		name: "paid order cancelled",
		file: "order/service.go", old: "if was.Status == Cancelled || was.Status == Complete {", new: "if was.Status == Cancelled {",
		pkg: "./order",
	},
	{
		name: "orders expire at once",
		file: "order/service.go", old: "now.Add(s.window).Truncate(time.Millisecond)", new: "now.Truncate(time.Millisecond)",
		pkg: "./order",
	},
	{
		name: "repair moves rows back",
		file: "replica/repair.go", old: "if stored > snapshot.Version {", new: "if false {",
		pkg: "./replica", run: "Repair",
	},
	{
		name: "rows ahead of their owner not reported",
		file: "replica/mend.go", old: "case Ahead, Extra:", new: "case Extra:",
		pkg: "./replica", run: "Mend",
	},
}
