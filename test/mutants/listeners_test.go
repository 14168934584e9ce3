package mutants

var listenerMutants = []mutant{
	{
		name: "early messages are acknowledged",
		file: "listeners/settle.go", old: "looked[d.key] = l.wait(d, nil)", new: "delete(l.known, d.position()); s.finish(d)",
		pkg: "./listeners", run: "History|Verdicts",
	},
	{
		name: "messages the store failed on are acknowledged",
		file: "listeners/settle.go", old: "looked[d.key] = l.wait(d, v.Err)", new: "delete(l.known, d.position()); s.finish(d)",
		pkg: "./listeners", run: "History",
	},
	{
		name: "acknowledged before the handler is done",
		file: "listeners/worker.go", old: "	verdicts := w.judge(ctx, batch)\n", new: "	for _, d := range batch {\n		w.acknowledge(ctx, d, w.now())\n	}\n	verdicts := w.judge(ctx, batch)\n",
		pkg: "./listeners", run: "History|Durable",
	},
	{
		name: "poison is acknowledged although the quarantine failed",
		file: "listeners/quarantine.go", old: "		return err\n", new: "		return nil\n",
		pkg: "./listeners", run: "History|Poison",
	},
	{
		name: "a message evicted for the quarantine is dropped when that fails",
		file: "listeners/rescue.go", old: "l.restore(ds[i:])", new: "l.restore(ds[i+1:])",
		pkg: "./listeners", run: "History",
	},
	{
		name: "a hint is trusted without the store",
		file: "listeners/receive.go", old: "	g.lane(key).look(key, version)\n	g.aside.reached(key)\n", new: "	for _, d := range g.lane(key).evict(key) {\n		if d.item.Version <= version {\n			g.lane(key).finish(d)\n			g.acknowledge(context.Background(), d, g.now())\n		}\n	}\n",
		pkg: "./listeners", run: "History",
	},
	{
		name: "the link heals and nobody subscribes again",
		file: "listeners/listener.go", old: "	case <-healed:\n", new: "	case <-make(chan struct{}, len(healed)):\n",
		pkg: "./listeners", run: "Broken",
	},
	{
		name: "history is skipped by the first member",
		file: "listeners/generation.go", old: "		stan.DeliverAllAvailable(), // counts for the member that creates the group; without it history is skipped\n", new: "",
		pkg: "./listeners", run: "Losses|Forgot|History|Mark",
	},
	{
		name: "the position is deleted at a stop",
		file: "listeners/generation.go", old: "sub.Close()", new: "sub.Unsubscribe()",
		pkg: "./listeners", run: "GroupKeepsItsPosition",
	},
	{
		name: "a full window stays full",
		file: "listeners/pressure.go", old: "	case early < fullPart*window:", new: "	case early >= 0:",
		pkg: "./listeners", run: "Flood|Windows|StayEarly",
	},
	{
		name: "scouts bring nothing",
		file: "listeners/scout.go", old: "l.lacks(d, e.key != \"\")", new: "l == nil",
		pkg: "./listeners", run: "Windows",
	},
	{
		name: "borrowed messages are acknowledged for the group",
		file: "listeners/receive.go", old: "	if d.borrowed {\n", new: "	if false {\n",
		pkg: "./listeners", run: "History",
	},
	{
		name: "a stop waits for nothing",
		file: "listeners/generation.go", old: "	late := context.AfterFunc(stop, g.cancelHandling)\n", new: "	g.cancelHandling()\n	late := context.AfterFunc(stop, g.cancelHandling)\n",
		pkg: "./listeners", run: "StopFinishes",
	},
	{
		name: "what waits in quarantine waits for ever",
		file: "listeners/sweep.go", old: "if err := a.try(ctx, tried, progress); err != nil {", new: "if err := a.try(ctx, tried[:0], progress); err != nil {",
		pkg: "./listeners", run: "History|AnotherBrings",
	},
}
