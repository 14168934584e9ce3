package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"lockstep/event"
)

// BenchmarkBacklog drains backlogs of growing size from SQLite. us/event must
// stay the same, and peak_MB, the growth of the heap while it drains, within
// 1.5 times: a backlog stays in the store. The broker confirms at once and
// keeps nothing, for its memory would be measured too. A million events take a
// while to write: LOCKSTEP_BENCH_LONG=1.
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
				peak := watchHeap()
				b.StartTimer()
				took := drain(b, o, n, confirming{})
				b.ReportMetric(float64(peak())/(1<<20), "peak_MB")
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

// watchHeap samples the heap until the returned function is called, which
// returns by how many bytes it grew at most. Meanwhile garbage is collected
// early, so that it is not what is measured.
func watchHeap() (peak func() uint64) {
	percent := debug.SetGCPercent(10)
	runtime.GC()
	base := heap()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		highest := base
		for {
			highest = max(highest, heap())
			select {
			case <-tick.C:
			case <-stop:
				done <- highest - base
				return
			}
		}
	}()
	return func() uint64 {
		defer debug.SetGCPercent(percent)
		close(stop)
		return <-done
	}
}

// heap returns the bytes of the Go heap in use, dead objects included.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
