package accept

import (
	"bytes"
	"strconv"
	"sync"
)

// frames follows the requests of one connection of HTTP/1 through the bytes that
// are read from it, since net/http takes Content-Length out of a request that
// has Transfer-Encoding, too, or Transfer-Encoding out of one of HTTP/1.0, and
// says nothing. A proxy that goes by the other one of the two sees another
// request in what follows. And it bounds heads by what a reader may have taken in
// before.
//
// It looks for nothing but the ends of heads and requests and stops at the first
// one that may not be: what net/http makes of that and of what comes after is
// refused.
type frames struct {
	maxHead int // bytes of a head

	mu   sync.Mutex
	seen int  // heads that may be served
	long bool // the one behind them was too large, not unclear
	part part
	line line
	head head
	skip int64 // bytes of a body, or of a chunk, still to come
}

// part is where in a request the bytes are.
type part int

const (
	inHead    part = iota // also between two requests
	inBody                // of a known length
	inSize                // of a chunk
	inChunk               // with the line break behind it
	inTrailer             // behind the last chunk
	lost                  // a head could not be served
)

// head is what a head says of the end of its request.
type head struct {
	lines   int  // the line of the request and those of its headers
	size    int  // bytes of them
	old     bool // HTTP/1.0, which has no Transfer-Encoding
	lengths int
	coded   bool // Transfer-Encoding
	length  int64
	odd     bool // a line that not everybody ends in the same place
}

// clear reports whether the request has one end.
func (h *head) clear() bool {
	return h.lengths <= 1 && h.length >= 0 && !h.odd && !(h.coded && (h.lengths > 0 || h.old))
}

// refused returns why the nth request of the connection may not be served; nil
// if it may.
func (f *frames) refused(n int) *refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case n <= f.seen:
		return nil
	case f.long:
		return &tooLong
	}
	return &twoEnds
}

// read goes on with the next bytes of the connection.
func (f *frames) read(data []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(data) > 0 && f.part != lost {
		switch f.part {
		case inBody, inChunk:
			n := min(f.skip, int64(len(data)))
			data = data[n:]
			f.skip -= n
			f.behind()
		default:
			var whole bool
			if data, whole = f.line.read(data); whole {
				f.next()
				f.line = line{}
			}
		}
	}
}

// behind goes on behind a body or a chunk.
func (f *frames) behind() {
	switch {
	case f.skip > 0:
	case f.part == inBody:
		f.part = inHead
	default:
		f.part = inSize
	}
}

// next goes on behind a whole line.
func (f *frames) next() {
	switch {
	case f.part == inSize:
		f.chunk()
	case f.part == inTrailer && f.line.empty():
		f.part = inHead
	case f.part == inHead && !f.line.empty():
		f.head.read(&f.line)
	case f.part == inHead && f.head.lines > 0: // line breaks before a request are none of it
		f.head.odd = f.head.odd || f.line.odd()
		f.long = f.head.size+f.line.size > f.maxHead
		f.body()
	}
}

// body goes on behind a head.
func (f *frames) body() {
	h := f.head
	f.head = head{}
	switch {
	case f.long || !h.clear():
		f.part = lost
		return
	case h.coded:
		f.part = inSize
	case h.length > 0:
		f.part, f.skip = inBody, h.length
	}
	f.seen++
}

// chunk goes on behind the size of a chunk.
func (f *frames) chunk() {
	size, _, _ := bytes.Cut(f.line.text(), []byte{';'})
	n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 62)
	switch {
	case err != nil:
		f.part = lost
	case n == 0:
		f.part = inTrailer
	default:
		f.part, f.skip = inChunk, int64(n)+2
	}
}

// The headers that say where a request ends.
var (
	transferEncoding = []byte("Transfer-Encoding")
	contentLength    = []byte("Content-Length")
)

// read takes what a line of a head says of the end of its request.
func (h *head) read(l *line) {
	h.lines++
	h.size += l.size
	h.odd = h.odd || l.odd()
	name, value, _ := bytes.Cut(l.text(), []byte{':'})
	switch {
	case h.lines == 1: // of the request
		h.old = l.last == '0'
	case bytes.EqualFold(name, transferEncoding):
		h.coded = true
	case bytes.EqualFold(name, contentLength):
		h.lengths++
		n, err := strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 62)
		if h.length = int64(n); err != nil || l.cut() {
			h.length = -1
		}
	}
}

// line is a line of which the beginning is kept: names of headers, lengths and
// sizes are short.
type line struct {
	kept [64]byte
	size int     // of all of it, with its line break
	last byte    // before the line break
	ends [2]byte // with
}

// read takes bytes up to the end of the line, and returns those behind it.
func (l *line) read(data []byte) (rest []byte, whole bool) {
	end := bytes.IndexByte(data, '\n') + 1
	if whole = end > 0; !whole {
		end = len(data)
	}
	if l.size < len(l.kept) {
		copy(l.kept[l.size:], data[:end])
	}
	l.size += end
	for _, b := range data[max(end-2, 0):end] {
		l.ends = [2]byte{l.ends[1], b}
	}
	if text := bytes.TrimRight(data[:end], "\r\n"); len(text) > 0 {
		l.last = text[len(text)-1]
	}
	return data[end:], whole
}

func (l *line) text() []byte {
	return bytes.TrimRight(l.kept[:min(l.size, len(l.kept))], "\r\n")
}

func (l *line) empty() bool { return l.size <= 2 && len(l.text()) == 0 }

// odd reports whether some readers would see another line: it goes on with the
// one before, or ends without a carriage return.
func (l *line) odd() bool {
	return l.kept[0] == ' ' || l.kept[0] == '\t' || l.ends != [2]byte{'\r', '\n'}
}

func (l *line) cut() bool { return l.size > len(l.kept) }
