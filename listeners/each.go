package listeners

import (
	"sync"

	"lockstep/event"
)

// maxSideBySide bounds how many items of one batch are handled at the same
// time. Their commits share a flush.
const maxSideBySide = 64

// each handles items one by one where they share what group returns, in their
// order, and side by side otherwise.
func each(items []Item, group func(Item) string, handle func(Item) (event.Outcome, error)) []Verdict {
	verdicts := make([]Verdict, len(items))
	places := make(chan struct{}, maxSideBySide)
	var wg sync.WaitGroup
	for _, indices := range grouped(items, group) {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			for _, i := range indices {
				verdicts[i] = one(items[i], handle)
			}
		})
	}
	wg.Wait()
	return verdicts
}

// one handles one item; a panic fails it alone.
func one(item Item, handle func(Item) (event.Outcome, error)) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = Verdict{Err: recovered(p)}
		}
	}()
	v.Outcome, v.Err = handle(item)
	return v
}

func grouped(items []Item, group func(Item) string) map[string][]int {
	groups := make(map[string][]int, len(items))
	for i, item := range items {
		g := group(item)
		groups[g] = append(groups[g], i)
	}
	return groups
}
