package outbox

import "context"

// errandWorkers is how many calls to the store may be under way at once,
// besides scan and delete.
const errandWorkers = 4

// errand is a piece of bookkeeping that has to wait for the store. It runs on
// a worker; what it returns is called by the dispatcher, which owns the state.
// It returns nil only if ctx has ended.
type errand func(ctx context.Context) (apply func())

// errands lets workers run errands in the order in which they were sent.
type errands struct {
	waiting fifo[errand] // belongs to the dispatcher
	out     chan errand
	back    chan func()
}

func newErrands() *errands {
	return &errands{out: make(chan errand), back: make(chan func())}
}

func (e *errands) send(f errand) { e.waiting.push(f) }

// next returns where to send the next errand, and that errand. With none
// waiting the channel is nil.
func (e *errands) next() (chan<- errand, errand) {
	if e.waiting.len() == 0 {
		return nil, nil
	}
	return e.out, *e.waiting.oldest()
}

// run is one worker. It ends with ctx.
func (e *errands) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-e.out:
			if apply := f(ctx); apply != nil {
				e.reply(ctx, apply)
			}
		}
	}
}

// reply has the dispatcher call apply, unless ctx ends.
func (e *errands) reply(ctx context.Context, apply func()) {
	select {
	case <-ctx.Done():
	case e.back <- apply:
	}
}
