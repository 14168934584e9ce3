package mutants

// mongoMutants break the MongoDB adapter in ways that test/storetest, or the
// adapter's own tests on a replica set, must notice. They need a server.
var mongoMutants = []mutant{
	{
		name: "any index of the right name",
		file: "store/mongodb/restore.go", old: "err = db.confirm(ctx, ordersName, oneActive())", new: "err = ctx.Err()",
		pkg: "./store/mongodb", run: "UnderAnIndex",
	},
	{
		name: "commits that no majority has",
		file: "store/mongodb/transaction.go", old: "SetWriteConcern(writeconcern.Majority())", new: "SetWriteConcern(writeconcern.W1())",
		pkg: "./store/mongodb", run: "Majority",
	},
	{
		name: "reads of what may be rolled back",
		file: "store/mongodb/open.go", old: "\t\tSetReadConcern(readconcern.Majority()).\n", new: "",
		pkg: "./store/mongodb", run: "Majority",
	},
	{
		name: "a stream that starts wherever it likes",
		file: "store/mongodb/tail.go", old: "\t\tSetStartAtOperationTime(t.session.OperationTime()).", new: "\t\t",
		pkg: "./store/mongodb", run: "StreamsStart",
	},
	{
		name: "a scan that may be older than the stream",
		file: "store/mongodb/tail.go", old: "\tctx = mongo.NewSessionContext(ctx, t.session)\n", new: "",
		pkg: "./store/mongodb", run: "StreamsStart",
	},
	{
		name: "events outside the transaction",
		file: "store/mongodb/transaction.go", old: "InsertMany(ctx, events)", new: "InsertMany(mongo.NewSessionContext(ctx, nil), events)",
		pkg: "./store/mongodb", run: "TestStore/(Tickets|Conflicts|Orders)",
	},
	{
		name: "no session at all",
		file: "store/mongodb/transaction.go", old: "db.write(attempt, batch)", new: "db.write(mongo.NewSessionContext(attempt, nil), batch)",
		pkg: "./store/mongodb", run: "TestStore/Conflicts",
	},
	{
		name: "leases by the client's clock",
		file: "store/mongodb/leases.go", old: `is("$expr", is("$lte", bson.A{"$until", "$$NOW"})),`, new: `is("until", is("$lte", time.Now())),`,
		pkg: "./store/mongodb", run: "Leases",
	},
	{
		name: "a new lease without a first epoch",
		file: "store/mongodb/leases.go", old: `{Key: "epoch", Value: is("$add", bson.A{long("$epoch"), int64(1)})},`, new: `{Key: "epoch", Value: int64(1)},`,
		pkg: "./store/mongodb", run: "TestStore/Leases",
	},
	{
		name: "failures that are null",
		file: "store/mongodb/events.go", old: ", Failures: []failureDoc{},", new: ",",
		pkg: "./store/mongodb", run: "Shell",
	},
	{
		name: "losers that are told of a success",
		file: "store/mongodb/transaction.go", old: "if result.MatchedCount != int64(len(updates[name])) {", new: "if result.MatchedCount > int64(len(updates[name])) {",
		pkg: "./store/mongodb", run: "TestStore/(Conflicts|Crowds)",
	},
	{
		name: "one loser fails all",
		file: "store/mongodb/commit.go", old: "\t\tbatch = db.narrow(ctx, batch, err)\n", new: "\t\tblame(batch, verdict(err))\n\t\treturn\n",
		pkg: "./store/mongodb", run: "TestStore/Crowds",
	},
	{
		name: "decisions that miss a guard",
		file: "store/mongodb/tickets.go", old: `, {Key: "rev", Value: counted(was.Revision)}}`, new: `}`,
		pkg: "./store/mongodb", run: "TestStore/(Conflicts|Locks)",
	},
	{
		name: "an absent event taken for a commit",
		file: "store/mongodb/transaction.go", old: "if err != nil || !found {", new: "if _ = found; err != nil {",
		pkg: "./store/mongodb", run: "CannotBeFound",
	},
	{
		name: "a lost answer not looked up",
		file: "store/mongodb/transaction.go", old: "if err != nil || !found {", new: "if err == nil || found {",
		pkg: "./store/mongodb", run: "LostAnswer",
	},
	{
		name: "a busy ticket that holds everybody up",
		file: "store/mongodb/commit.go", old: "\t\tleft[0].err = errors.Join(errBusy, failed)\n\t\treturn nil\n", new: "\t\treturn left\n",
		pkg: "./store/mongodb", run: "Foreign",
	},
	{
		name: "later versions due beside their predecessor",
		file: "store/mongodb/heads.go", old: `is("$match", is("older", bson.A{})),`, new: "",
		pkg: "./store/mongodb", run: "TestStore/Failures",
	},
	{
		name: "heads found by reading everything",
		file: "store/mongodb/heads.go", old: `{Key: "lockedAt", Value: first("lockedAt")},`, new: `{Key: "lockedAt", Value: first("lockedAt")}, {Key: "subject", Value: first("subject")},`,
		pkg: "./store/mongodb", run: "Heads",
	},
	{
		name: "any update of a replica may create its row",
		file: "store/mongodb/replica.go", old: "SetUpdate(replacement(r))", new: "SetUpdate(replacement(r)).SetUpsert(true)",
		pkg: "./store/mongodb", run: "TestStore/Replica",
	},
	{
		name: "hints that claim to be in order",
		file: "store/mongodb/tails.go", old: "Source: outbox.FromCommit, Records: records}", new: "Source: outbox.FromCommit, Records: records, InOrder: true}",
		pkg: "./store/mongodb", run: "TestStore/Tail",
	},
	{
		name: "a dropped collection that keeps no indexes",
		file: "store/mongodb/tail.go", old: "if err := t.db.restore(ctx); err != nil &&", new: "if err := ctx.Err(); err != nil &&",
		pkg: "./store/mongodb", run: "LostStream",
	},
}
