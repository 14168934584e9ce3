package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// page is which part of a list is asked for: up to limit elements that come
// behind after.
type page struct {
	after string
	limit int
	until time.Time // how long to look for the first element, where few are chosen of many
}

const (
	defaultPage = 100
	maxPage     = 1000

	// storePages bounds how many pages of a store, each as large as the store
	// allows, one answer is made of.
	storePages = 4

	// lookFor is a page's until, from when it was asked for.
	lookFor = 3 * time.Second
)

// readPage reads ?after= and ?limit=.
func readPage(r request) (page, error) {
	q := r.URL.Query()
	p := page{after: q.Get("after"), limit: defaultPage, until: time.Now().Add(lookFor)}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return page{}, newProblem(http.StatusBadRequest, "limit must be a number from 1 to "+strconv.Itoa(maxPage))
		}
		p.limit = n
	}
	return p, nil
}

// readBool reads a parameter that is true or false, and whether it was given.
func readBool(r request, name string) (value, given bool, err error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return false, false, nil
	}
	if value, err = strconv.ParseBool(s); err != nil {
		return false, true, newProblem(http.StatusBadRequest, name+" must be true or false")
	}
	return value, true, nil
}

// part is what one service has of a page, and the id to go on after; "" if there
// is nothing behind.
type part[T any] struct {
	found []T
	next  string
}

// fill reads pages of a list until there is what p asks for, or storePages of
// them.
func fill[T any](p page, list func(page) (part[T], error)) (all part[T], err error) {
	for n := 0; n < storePages || len(all.found) == 0 && time.Now().Before(p.until); n++ {
		some, err := list(page{after: p.after, limit: p.limit - len(all.found)})
		if err != nil {
			return all, err
		}
		all = part[T]{append(all.found, some.found...), some.next}
		if all.next == "" || len(all.found) >= p.limit {
			break
		}
		p.after = all.next
	}
	return all, nil
}

// pageOfAll is a page of a list that goes on while it has elements.
func pageOfAll[T any](found []T, id func(T) string) part[T] {
	if len(found) == 0 {
		return part[T]{}
	}
	return part[T]{found, id(found[len(found)-1])}
}

// merge returns what comes first of all parts, at most as many as the page has,
// and the id to go on after; "" if there is no more. Nobody knows yet what comes
// behind the end of a part that goes on.
func merge[T any](parts []part[T], p page, id func(T) string, compare func(a, b string) int) (all []T, next string) {
	all = []T{}
	for _, part := range parts {
		all = append(all, part.found...)
		if part.next != "" && (next == "" || compare(part.next, next) < 0) {
			next = part.next
		}
	}
	if next != "" {
		all = slices.DeleteFunc(all, func(e T) bool { return compare(id(e), next) > 0 })
	}
	slices.SortFunc(all, func(a, b T) int { return compare(id(a), id(b)) })
	if len(all) > p.limit {
		all = all[:p.limit]
		next = id(all[p.limit-1])
	}
	return all, next
}
