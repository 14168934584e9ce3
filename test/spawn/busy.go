package spawn

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Busy returns which part of one processor the service takes while something
// lasts.
func (s *Service) Busy(t testing.TB, lasts func()) float64 {
	t.Helper()
	began, before := time.Now(), s.processorTime(t)
	lasts()
	return (s.processorTime(t) - before).Seconds() / time.Since(began).Seconds()
}

// processorTime returns what the service has taken of all processors.
func (s *Service) processorTime(t testing.TB) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ, see proc(5)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.child.PID()))
	if err != nil {
		t.Skip("only Linux tells how much processor time a process took: ", err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name before may hold spaces
	var ticks time.Duration
	for _, field := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * tick
}
