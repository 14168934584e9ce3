package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
)

// pipe takes what is written once somebody reads.
type pipe struct {
	read chan struct{}
	got  bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) {
	<-p.read
	return p.got.Write(b)
}

// Case 10.9: the reader of the log is there and does not read.
func TestALogThatNobodyReadsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pipe{read: make(chan struct{})}
		w := newPatient(p)
		for _, line := range []string{"first\n", "dropped\n", "dropped\n"} {
			if n, err := w.Write([]byte(line)); n != len(line) || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		close(p.read)
		synctest.Wait()
		for _, line := range []string{"next\n", "last\n"} {
			if _, err := w.Write([]byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		got := p.got.String()
		if !strings.HasPrefix(got, "first\n{") || !strings.HasSuffix(got, `"lines":2}`+"\nnext\nlast\n") {
			t.Errorf("the log is\n%s", got)
		}
	})
}
