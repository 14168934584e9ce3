package mutants

// storeMutants break the SQLite adapter in ways that test/storetest, or the
// adapter's own tests of its engine, must notice.
var storeMutants = []mutant{
	{
		name: "any index of the right name",
		file: "store/sqlite/keep.go", old: `have[at].sql == o.sql`, new: `true`,
		pkg: "./store/sqlite", run: "UnderAnIndex",
	},
	{
		name: "a log that another program wrote",
		file: "store/sqlite/walindex.go", old: `case !whole:`, new: `case false && !whole:`,
		pkg: "./store/sqlite", run: "Overwritten",
	},
	{
		name: "writes without regard to the revision",
		file: "store/sqlite/tickets.go", old: `" revision = revision + 1 WHERE id = ? AND " + versioned + " AND CAST(revision AS INTEGER) = ?"
`, new: `" revision = revision + 1 WHERE id = ? AND " + versioned + " AND ? IS NOT NULL"
`,
		pkg: "./store/sqlite",
	},
	{
		name: "guards that leave no trace",
		file: "store/sqlite/tickets.go", old: `guardTicket = "UPDATE tickets SET revision = revision + 1`, new: `guardTicket = "UPDATE tickets SET revision = revision`,
		pkg: "./store/sqlite",
	},
	{
		name: "changes that do not mind their events",
		file: "store/sqlite/tickets.go", old: "return w.insert(ctx, c.Events, s.db.now(), c.Now.ID, c.Now.Version)", new: "_ = w.insert(ctx, c.Events, s.db.now(), c.Now.ID, c.Now.Version); return nil",
		pkg: "./store/sqlite",
	},
	{
		name: "locks that move from any state",
		file: "store/sqlite/tickets.go", old: "WHERE orderId = ? AND CAST(state AS TEXT) = ?", new: "WHERE orderId = ? AND ? IS NOT NULL",
		pkg: "./store/sqlite",
	},
	{
		name: "waiting orders served by id",
		file: "store/sqlite/tickets.go", old: "ORDER BY since, orderId", new: "ORDER BY orderId",
		pkg: "./store/sqlite",
	},
	{
		name: "free tickets by id",
		file: "store/sqlite/tickets.go", old: "deleted = 0 ORDER BY seq", new: "deleted = 0 ORDER BY id",
		pkg: "./store/sqlite",
	},
	{
		name: "prices of single precision",
		file: "store/sqlite/tickets.go", old: "now.ID, now.Title, now.Price, now.UserID", new: "now.ID, now.Title, float64(float32(now.Price)), now.UserID",
		pkg: "./store/sqlite",
	},
	{
		name: "a paid order does not keep its ticket",
		file: "store/sqlite/schema.sql", old: "WHERE status IN ('created', 'awaiting:payment', 'complete')", new: "WHERE status IN ('created', 'awaiting:payment')",
		pkg: "./store/sqlite",
	},
	{
		name: "orders that expire one moment late",
		file: "store/sqlite/orders.go", old: "expiresAt <= ?", new: "expiresAt < ?",
		pkg: "./store/sqlite",
	},
	{
		name: "overdue orders in order of creation",
		file: "store/sqlite/orders.go", old: "expiresAt <= ?3 ORDER BY expiresAt, seq", new: "expiresAt <= ?3 ORDER BY seq",
		pkg: "./store/sqlite",
	},
	{
		name: "an order created twice is another's",
		file: "store/sqlite/orders.go", old: " WHERE NOT EXISTS (SELECT 1 FROM orders WHERE id = ?1)", new: "",
		pkg: "./store/sqlite",
	},
	{
		name: "replica rows that go forward from anywhere",
		file: "store/sqlite/replica.go", old: `overwriteReplica + " AND " + versioned`, new: `overwriteReplica + " AND version <= ?"`,
		pkg: "./store/sqlite",
	},
	{
		name: "deleted tickets can be ordered",
		file: "store/sqlite/replica.go", old: `"WHERE id = ? AND deleted = 0", id`, new: `"WHERE id = ?", id`,
		pkg: "./store/sqlite",
	},
	{
		name: "events that are not locked",
		file: "store/sqlite/outbox.go", old: "VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, 0, 0,", new: "VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, 0, 0,",
		pkg: "./store/sqlite",
	},
	{
		name: "an event that comes twice is nobody's business",
		file: "store/sqlite/outbox.go", old: `if err := w.expect(ctx, "event "+e.ID()+" is in the outbox", query,`, new: "if _, err := w.exec(ctx, query,",
		pkg: "./store/sqlite",
	},
	{
		name: "retries that overtake",
		file: "store/sqlite/outbox.go", old: `notBefore > ?) AND " + isEvent + " AND " + isHead`, new: `notBefore > ?) AND " + isEvent`,
		pkg: "./store/sqlite",
	},
	{
		name: "stale locks that overtake",
		file: "store/sqlite/outbox.go", old: `lockedAt > ?) AND "+isEvent+" AND "+isHead+" ORDER BY seq`, new: `lockedAt > ?) AND "+isEvent+" ORDER BY seq`,
		pkg: "./store/sqlite",
	},
	{
		name: "locks that stop after the first",
		file: "store/sqlite/outbox.go", old: "for _, id := range ids {", new: "for _, id := range ids[:1] {",
		pkg: "./store/sqlite",
	},
	{
		name: "deletes that stop after the first run",
		file: "store/sqlite/drain.go", old: "range runs {", new: "range runs[:min(1, len(runs))] {",
		pkg: "./store/sqlite",
	},
	{
		name: "deletes that take what lies between",
		file: "store/sqlite/drain.go", old: "n <= runs[last].last+1", new: "n <= runs[last].last+2",
		pkg: "./store/sqlite",
	},
	{
		name: "deletes of what was read only",
		file: "store/sqlite/drain.go", old: "range others {", new: "range others[:0] {",
		pkg: "./store/sqlite",
	},
	{
		name: "failures without bound",
		file: "outbox/record.go", old: "if len(kept) > KeptFailures {", new: "if false {",
		pkg: "./store/sqlite",
	},
	{
		name: "empty payloads that are null",
		file: "store/sqlite/outbox.go", old: "millis(at), blob(e.Payload))", new: "millis(at), e.Payload)",
		pkg: "./store/sqlite",
	},
	{
		name: "blocked keys counted behind their head",
		file: "store/sqlite/inspector.go", old: `isEvent + " AND " + isHead + " LIMIT 10000)"`, new: `isEvent + " LIMIT 10000)"`,
		pkg: "./store/sqlite",
	},
	{
		name: "a tail that skips",
		file: "store/sqlite/tail.go", old: "t.seen = last", new: "t.seen = last + 1",
		pkg: "./store/sqlite",
	},
	{
		name: "a tail that begins one event late",
		file: "store/sqlite/tail.go", old: "t.opened, t.seen = newest, newest", new: "t.opened, t.seen = newest, newest+1",
		pkg: "./store/sqlite",
	},
	{
		name: "a scan that forgets the newest",
		file: "store/sqlite/cursor.go", old: "seq > ?1 AND seq <= ?2", new: "seq > ?1 AND seq < ?2",
		pkg: "./store/sqlite",
	},
	{
		name: "commits that ring no bell",
		file: "store/sqlite/writer.go", old: "db.bell.ring()", new: "_ = db.bell",
		pkg: "./store/sqlite",
	},
	{
		name: "epochs that begin again",
		file: "store/sqlite/leases.go", old: `"UPDATE leases SET expiresAt = ?"+isHeld, long,`, new: `"DELETE FROM leases WHERE ? < 9 AND name = ? AND owner = ? AND epoch = ?", long,`,
		pkg: "./store/sqlite",
	},
	{
		name: "leases taken from their holder",
		file: "store/sqlite/leases.go", old: "WHERE coalesce(expiresAt, 0) <= ?4 OR", new: "WHERE coalesce(expiresAt, 0) >= ?4 OR",
		pkg: "./store/sqlite",
	},
	{
		name: "leases renewed with an old epoch",
		file: "store/sqlite/leases.go", old: "AND epoch = ?", new: "AND epoch >= ?",
		pkg: "./store/sqlite",
	},
	{
		name: "leases renewed after their time",
		file: "store/sqlite/leases.go", old: "AND expiresAt > ?", new: "AND expiresAt > ? - 3600000",
		pkg: "./store/sqlite",
	},
	{
		name: "losers that leave a trace",
		file: "store/sqlite/writer.go", old: "w.written > 0 || w.refused", new: "false",
		pkg: "./store/sqlite",
	},
	{
		name: "losers that take the batch down",
		file: "store/sqlite/writer.go", old: "if errs[i], lost = run(w, ctx, c); lost != nil {", new: "if errs[i], lost = run(w, ctx, c); lost != nil || errs[i] != nil {",
		pkg: "./store/sqlite",
	},
	{
		name: "writing goes on after a failed commit",
		file: "store/sqlite/writer.go", old: "w.failed.Swap(&stopped) == nil", new: "stopped != nil",
		pkg: "./store/sqlite",
	},
	{
		name: "commits that are not synced",
		file: "store/sqlite/open.go", old: "synchronous(FULL)", new: "synchronous(OFF)",
		pkg: "./store/sqlite",
	},
	{
		name: "a file for everybody",
		file: "store/sqlite/lock_unix.go", old: "err = ErrInUse", new: "err = nil",
		pkg: "./store/sqlite",
	},
	{
		name: "quarantine that forgets the first report",
		file: "store/sqlite/quarantine.go", old: "ON CONFLICT (id) DO NOTHING", new: "ON CONFLICT (id) DO UPDATE SET detail = excluded.detail",
		pkg: "./store/sqlite",
	},
	{
		name: "marks that go back",
		file: "store/sqlite/marks.go", old: ` WHERE CAST(revision AS INTEGER) = excluded.revision - 1"`, new: `"`,
		pkg: "./store/sqlite",
	},
	{
		name: "callers that gave up and were served",
		file: "internal/group/group.go", old: `if i < 0 {
		return false`, new: `if i < 0 {
		return true`,
		pkg: "./store/sqlite",
	},
}
