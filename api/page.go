package api

import (
	"net/http"
	"slices"
	"strconv"
)

// page is which part of a list is asked for: up to limit elements that come
// behind after.
type page struct {
	after string
	limit int
}

const (
	defaultPage = 100
	maxPage     = 1000

	// storePages bounds how many pages of a store, each as large as the store
	// allows, one answer is made of.
	storePages = 4
)

// readPage reads ?after= and ?limit=.
func readPage(r request) (page, error) {
	q := r.URL.Query()
	p := page{after: q.Get("after"), limit: defaultPage}
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

// part is what one service has of a page.
type part[T any] struct {
	found []T
	more  bool // there may be more behind the last one
}

// fill reads pages of a list, each of which may have fewer elements than it is
// asked for and none behind the last one, until there is what p asks for, or
// storePages of them.
func fill[T any](p page, id func(T) string, list func(page) ([]T, error)) (part[T], error) {
	var all []T
	for range storePages {
		found, err := list(page{p.after, p.limit - len(all)})
		if err != nil || len(found) == 0 {
			return part[T]{found: all}, err
		}
		all = append(all, found...)
		if len(all) >= p.limit {
			break
		}
		p.after = id(all[len(all)-1])
	}
	return part[T]{all, true}, nil
}

// merge returns what comes first of all parts, at most as many as the page has,
// and the id to ask for more after; "" if there is no more. Behind the end of a
// part that has more, nobody knows yet what comes next.
func merge[T any](parts []part[T], p page, id func(T) string, compare func(a, b string) int) (all []T, next string) {
	all = []T{}
	for _, part := range parts {
		all = append(all, part.found...)
	}
	slices.SortFunc(all, func(a, b T) int { return compare(id(a), id(b)) })
	end := min(len(all), p.limit)
	more := end < len(all)
	for _, part := range parts {
		if !part.more {
			continue
		}
		last := id(part.found[len(part.found)-1])
		behind, _ := slices.BinarySearchFunc(all, last, func(element T, last string) int {
			if compare(id(element), last) <= 0 {
				return -1
			}
			return 1
		})
		end, more = min(end, behind), true
	}
	if more {
		next = id(all[end-1])
	}
	return all[:end], next
}
