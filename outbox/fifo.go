package outbox

// fifo is a queue that reuses its memory. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(item T) {
	if f.head > 0 && len(f.items) == cap(f.items) {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	f.items = append(f.items, item)
}

// oldest returns the item that pop would return, or nil.
func (f *fifo[T]) oldest() *T {
	if f.len() == 0 {
		return nil
	}
	return &f.items[f.head]
}

// newest returns the item that was pushed last, or nil.
func (f *fifo[T]) newest() *T {
	if f.len() == 0 {
		return nil
	}
	return &f.items[len(f.items)-1]
}

// pop removes the oldest item and returns it, or the zero value if there is
// none.
func (f *fifo[T]) pop() T {
	var zero T
	if f.len() == 0 {
		return zero
	}
	item := f.items[f.head]
	f.items[f.head] = zero // lets go of what it refers to
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	return item
}
