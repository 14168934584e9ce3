package mutants

var listenerMutants = []mutant{
	{
		name: "early messages are acknowledged",
		file: "listeners/settle.go", old: "		case v.Err == nil && v.Outcome != event.Early:", new: "		case v.Err == nil:",
		pkg: "./listeners", run: "History|Verdicts",
	},
	{
		name: "messages the store failed on are acknowledged",
		file: "listeners/settle.go", old: "		case v.Err == nil && v.Outcome != event.Early:", new: "		case v.Outcome != event.Early:",
		pkg: "./listeners", run: "History",
	},
	{
		name: "acknowledged before the handler is done",
		file: "listeners/worker.go", old: "	verdicts := w.judge(ctx, batch)\n", new: "	for _, d := range batch {\n		w.acknowledge(ctx, d, w.now())\n	}\n	verdicts := w.judge(ctx, batch)\n",
		pkg: "./listeners", run: "History|Durable",
	},
	{
		name: "poison is acknowledged although the quarantine failed",
		file: "listeners/quarantine.go", old: "		return err\n	}\n	q.total.Add", new: "		return nil\n	}\n	q.total.Add",
		pkg: "./listeners", run: "History|Poison",
	},
	{
		name: "a message evicted for the quarantine is dropped when that fails",
		file: "listeners/worker.go", old: "w.lane.restore(out)", new: "w.lane.restore(out[1:])",
		pkg: "./listeners", run: "History",
	},
	{
		name: "a hint is trusted without the store",
		file: "listeners/receive.go", old: "		g.lane(key).look(key, version)\n", new: "		g.lane(key).spread(key)\n		for _, d := range g.lane(key).evict(g.now(), batchSize) {\n			if d.item.Version <= version {\n				g.acknowledge(context.Background(), d, g.now())\n			}\n		}\n",
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
		file: "listeners/hold.go", old: "	case held < fullPart*window && !heavy:", new: "	case held >= 0:",
		pkg: "./listeners", run: "Flood|Windows|StayEarly",
	},
	{
		name: "what is set aside while its predecessor comes is looked at by nobody",
		file: "listeners/worker.go", old: "	w.process(ctx, out)\n", new: "	for _, d := range out {\n		delete(w.lane.known, d.position())\n	}\n",
		pkg: "./listeners", run: "CameMeanwhile",
	},
	{
		name: "what follows in quarantine is not looked for",
		file: "listeners/worker.go", old: "	reached := w.lane.progress()\n", new: "	reached := map[string]int64{}\n",
		pkg: "./listeners", run: "Windows|AnotherBrings",
	},
	{
		name: "a stop waits for nothing",
		file: "listeners/generation.go", old: "	late := context.AfterFunc(stop, g.cancelHandling)\n", new: "	g.cancelHandling()\n	late := context.AfterFunc(stop, g.cancelHandling)\n",
		pkg: "./listeners", run: "StopFinishes",
	},
	{
		name: "what waits in quarantine waits for ever",
		file: "listeners/sweep.go", old: "		g.recall(q, nil)\n", new: "",
		pkg: "./listeners", run: "History|AnotherBrings",
	},
}
