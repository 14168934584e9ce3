package bench

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"lockstep/event"
)

// BenchmarkBacklog drains backlogs of growing size from SQLite. us/event must
// stay the same, and peak_MB, the memory of the process, within 1.5 times: a
// backlog stays in the store. live_MB is by how much the live heap grew. The
// broker confirms at once and keeps nothing, for its memory would be measured
// too. A million events take a while to write: LOCKSTEP_BENCH_LONG=1.
func BenchmarkBacklog(b *testing.B) {
	sizes := []int{10_000, 100_000}
	if os.Getenv("LOCKSTEP_BENCH_LONG") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				o := fill(b, n, 1000)
				peak := watchMemory(b)
				b.StartTimer()
				took := drain(b, o, n, confirming{})
				resident, live := peak()
				b.ReportMetric(resident, "peak_MB")
				b.ReportMetric(live, "live_MB")
				b.ReportMetric(float64(n)/took.Seconds(), "events/s")
				b.ReportMetric(float64(took.Microseconds())/float64(n), "us/event")
			}
		})
	}
}

// confirming is a broker that confirms everything at once.
type confirming struct{}

func (confirming) Publish(_ event.Event, done func(error)) { done(nil) }
func (confirming) Connected(context.Context) error         { return nil }

func (confirming) Stored(context.Context, []event.Subject, time.Time, int, func(event.Subject, []byte, time.Time)) error {
	return nil
}

// watchMemory samples the process's memory and its heap until the returned function
// is called, which returns the highest values in MB: what the system counts as
// resident, and by how much the live objects grew.
func watchMemory(b *testing.B) (peak func() (resident, live float64)) {
	debug.FreeOSMemory()
	base := liveHeap()
	stop, done := make(chan struct{}), make(chan [2]uint64)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		highest := [2]uint64{resident(b), base}
		for {
			highest[0], highest[1] = max(highest[0], resident(b)), max(highest[1], liveHeap())
			select {
			case <-tick.C:
			case <-stop:
				done <- highest
				return
			}
		}
	}()
	return func() (float64, float64) {
		close(stop)
		highest := <-done
		return float64(highest[0]) / (1 << 20), float64(highest[1]-base) / (1 << 20)
	}
}

// liveHeap returns the bytes that the last collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// resident returns the bytes of memory that the process occupies, SQLite's
// caches included; 0 where the system does not say.
func resident(b *testing.B) uint64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		b.Error(err)
	}
	return pages * uint64(os.Getpagesize())
}
