package outbox

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// firstPage is how many records a scan asks for at first; then as many as a page
// holds.
const firstPage = 64

// feed reads the store's tail: all that waits, then all that comes. It hands
// over what it reads and reads on only when that was taken, so a backlog of
// any length stays in the store.
type feed struct {
	store   Store
	out     chan delivery
	maxPage int // records
	log     *slog.Logger
	metrics *metrics
}

// delivery is what a feed hands over at a time.
type delivery struct {
	Wake
	scanned bool // everything that waited when the tail was opened has been handed over
}

// run reads until ctx ends. A tail that fails is replaced by a new one, whose
// scan finds what the old one can no longer report.
func (f *feed) run(ctx context.Context) {
	for attempt := 1; ; attempt++ {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > trouble.Cap {
			attempt = 1 // it worked for a while
		}
		pause := trouble.delay(attempt)
		f.metrics.reset(err)
		f.log.WarnContext(ctx, "the outbox is scanned again", "in", pause, "err", err)
		if wait(ctx, pause) != nil {
			return
		}
	}
}

// follow reads one tail until it fails.
func (f *feed) follow(ctx context.Context) (err error) {
	tail, err := f.store.Tail(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tail.Close()) }()
	if err := f.scan(ctx, tail); err != nil {
		return err
	}
	for {
		wake, err := tail.Next(ctx)
		if err != nil {
			return err
		}
		if len(wake.Records) == 0 {
			continue
		}
		if err := f.hand(ctx, delivery{Wake: wake}); err != nil {
			return err
		}
	}
}

func (f *feed) scan(ctx context.Context, tail Tail) error {
	page := min(firstPage, f.maxPage)
	for {
		records, err := tail.Scan(ctx, page)
		if err != nil {
			return err
		}
		page = f.nextPage(records)
		found := Wake{Source: FromSweep, Records: records, InOrder: true}
		if err := f.hand(ctx, delivery{Wake: found, scanned: len(records) == 0}); err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
	}
}

// nextPage returns how many records of this size make a page.
func (f *feed) nextPage(records []Record) int {
	size := sizeOf(records)
	if size == 0 {
		return f.maxPage
	}
	return min(max(PageBytes*len(records)/size, 1), f.maxPage)
}

func (f *feed) hand(ctx context.Context, d delivery) error {
	select {
	case f.out <- d:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
