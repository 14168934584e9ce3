package mutants

// outboxMutants break the relay, the way to the broker and what the stores keep
// for them.
var outboxMutants = []mutant{
	{
		name: "published before anybody knows of the commit",
		file: "store/mongodb/commit.go", old: "		err := db.transact(ctx, batch)\n", new: "		db.tails.hint(batch)\n		err := db.transact(ctx, batch)\n",
		pkg: "./store/mongodb", run: "TestStore/Tail",
	},
	{
		name: "sent is as good as stored",
		file: "publishers/nats.go", old: "c.PublishAsync(string(e.Subject), e.Payload, func(err error) { done(translate(err)) })", new: "c.PublishAsync(string(e.Subject), e.Payload, func(error) {})\n	done(nil)",
		pkg: "./publishers", run: "UnderWay|DoesNotCome",
	},
	{
		name: "an outage the relay is not told of",
		file: "publishers/nats.go", old: "errors.Is(err, session.ErrBusy), errors.Is(err, session.ErrForgotten):", new: "errors.Is(err, session.ErrBusy):",
		pkg: "./publishers", run: "Replaced",
	},
	{
		name: "deleted before the broker has it",
		file: "outbox/dispatcher.go", old: "		d.publisher.Publish(", new: "		_ = d.store.Delete(ctx, []Ref{l.waiting.oldest().Ref()})\n		d.publisher.Publish(",
		pkg: "./outbox", run: "Outage",
	},
	{
		name: "unanswered is as good as stored",
		file: "outbox/answers.go", old: "		d.queue.doubt(l)\n", new: "		_ = d.store.Delete(ctx, []Ref{d.queue.confirm(l).Ref()})\n		d.queue.deletes--\n",
		pkg: "./outbox", run: "Unanswered",
	},
	{
		name: "two events of one key under way",
		file: "outbox/queue.go", old: "		l.state = flying\n", new: "		if l.waiting.len() > 1 {\n			q.ready.push(l)\n		}\n		l.state = flying\n",
		pkg: "./outbox", run: "KeepsOneEvent",
	},
	{
		name: "hints that overtake what they do not know of",
		file: "outbox/queue.go", old: "if r.Version <= last || !inOrder && !follows(r, last) {", new: "if r.Version <= last {",
		pkg: "./outbox", run: "Queue",
	},
	{
		name: "commits that overtake what was left in the store",
		file: "outbox/queue.go", old: "if l.more || r.Version <= l.tail()", new: "if r.Version <= l.tail()",
		pkg: "./outbox", run: "Queue",
	},
	{
		name: "what was published and not yet deleted forgotten",
		file: "outbox/queue.go", old: "	q.published.set(l.key, head.Version)\n", new: "",
		pkg: "./outbox", run: "Queue",
	},
	{
		name: "failed events published without the retry job",
		file: "outbox/lane.go", old: "if !r.Locked || l.waiting.len() >= limit {", new: "if l.waiting.len() >= limit {",
		pkg: "./outbox", run: "LeavesAFailedEvent",
	},
	{
		name: "a window that is never refilled",
		file: "outbox/queue.go", old: "	q.flying--\n	head := l.pop()\n", new: "	head := l.pop()\n",
		pkg: "./outbox", run: "KeepsOneEvent",
	},
	{
		name: "a window without bound",
		file: "outbox/queue.go", old: "if q.flying >= q.window || ", new: "if ",
		pkg: "./outbox", run: "KeepsOneEvent",
	},
	{
		name: "a backlog that is read into memory as a whole",
		file: "outbox/queue.go", old: "return q.holdsMore() && q.blocked", new: "return q.blocked",
		pkg: "./outbox", run: "Bounded",
	},
	{
		name: "failures that are not counted",
		file: "outbox/record.go", old: "	f.Total++\n", new: "	f.Total = 1\n",
		pkg: "./outbox", run: "Threshold|BackOff",
	},
	{
		name: "failed events that stay locked",
		file: "store/sqlite/outbox.go", old: "SET isLocked = 0, lockedAt = 0,", new: "SET isLocked = 1, lockedAt = 0,",
		pkg: "./store/sqlite", run: "TestSQLite/Failures",
	},
	{
		name: "no back-off",
		file: "outbox/answers.go", old: "f.At.Add(d.opts.Backoff.delay(head.Failures.Total + 1)).Truncate(", new: "f.At.Truncate(0 * time.Duration(head.Failures.Total)).Truncate(",
		pkg: "./outbox", run: "BackOff",
	},
	{
		name: "a back-off that does not grow",
		file: "outbox/backoff.go", old: "		d *= b.Factor\n", new: "		d *= 1\n",
		pkg: "./outbox", run: "BackOff",
	},
	{
		name: "a back-off without jitter",
		file: "outbox/backoff.go", old: "return d/2 + rand.N(d/2)", new: "return d + 0*rand.N(d/2)",
		pkg: "./outbox", run: "TogetherDoNotComeBack",
	},
	{
		name: "the threshold is told each time",
		file: "outbox/answers.go", old: "if r.Failures.Total == d.opts.Threshold {", new: "if r.Failures.Total >= d.opts.Threshold {",
		pkg: "./outbox", run: "Threshold",
	},
	{
		name: "retries that do not lock",
		file: "store/sqlite/outbox.go", old: "SET isLocked = 1, notBefore = 0, lockedAt = ?5", new: "SET notBefore = 0, lockedAt = ?5",
		pkg: "./store/sqlite", run: "TestSQLite/Failures",
	},
	{
		name: "retries of keys that somebody works on",
		file: "outbox/queue_retry.go", old: "case l != nil && l.state == blocked && r.Version > l.last:", new: "case l != nil && r.Version > l.last:",
		pkg: "./outbox", run: "Queue",
	},
	{
		name: "a sweep that does nothing",
		file: "outbox/retry.go", old: "		if d.queue.adopt(r) {\n", new: "		if r.Key == \"\" {\n",
		pkg: "./outbox", run: "Sweep",
	},
	{
		name: "locks whose age nobody looks at",
		file: "store/sqlite/outbox.go", old: "AND (lockedAt < ? OR", new: "AND (lockedAt < ? + 9000000000000 OR",
		pkg: "./store/sqlite", run: "TestSQLite/Failures",
	},
	{
		name: "a lost tail that nobody replaces",
		file: "outbox/feeder.go", old: "		if wait(ctx, pause) != nil {\n			return\n		}\n", new: "		return\n",
		pkg: "./outbox", run: "Rescans",
	},
	{
		name: "a store that may fail only once",
		file: "outbox/relay.go", old: "if err == nil || errors.Is(err, ErrNotFound) || ctx.Err() != nil {", new: "if attempt > 0 {",
		pkg: "./outbox", run: "StoreThatFails",
	},
	{
		name: "a lease that is not renewed",
		file: "outbox/leadership.go", old: "		err := r.renew(ctx, t)\n", new: "		err := ctx.Err()\n",
		pkg: "./outbox", run: "OneRelay|Lease",
	},
	{
		name: "a lost lease that is trusted on",
		file: "outbox/leadership.go", old: "		case errors.Is(err, ErrLeaseLost):\n", new: "		case errors.Is(err, ErrNotFound):\n",
		pkg: "./outbox", run: "LostLease",
	},
	{
		name: "a lease that is trusted to its end",
		file: "outbox/leadership.go", old: "term := t.ttl - t.ttl/10", new: "term := t.ttl",
		pkg: "./outbox", run: "NotTrusted",
	},
	{
		name: "a process that was paused goes on with its old lease",
		file: "outbox/dispatcher.go", old: "if !d.tenure.holds() {", new: "if false {",
		pkg: "./outbox", run: "Paused",
	},
	{
		name: "leases of another epoch",
		file: "store/mongodb/leases.go", old: `, {Key: "epoch", Value: l.Epoch}}`, new: `, {Key: "epoch", Value: is("$gte", l.Epoch)}}`,
		pkg: "./store/mongodb", run: "TestStore/Leases",
	},
	{
		name: "a stop that waits for no answer",
		file: "outbox/dispatcher.go", old: "return d.stopping && d.queue.flying == 0 && d.queue.deletes == 0 &&", new: "return d.stopping &&",
		pkg: "./outbox", run: "StopWaits",
	},
	{
		name: "a stop that keeps the lease",
		file: "outbox/relay.go", old: "			r.release(ctx, t, err == nil)\n", new: "",
		pkg: "./outbox", run: "CleanStop",
	},
}
