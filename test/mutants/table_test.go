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
}
