package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
)

// client is the name of this process beside those of the subject.
const client = "client"

// Window is what was measured while a load ran on.
type Window struct {
	Seconds  float64 `json:"seconds"`
	Messages uint64  `json:"messages"`
	// PerSecond is the number of echoes that came back in a second.
	PerSecond float64 `json:"messages_per_second"`
	// PerBatch is how many messages came in one gRPC message; of the raw relay: how many waited.
	PerBatch float64 `json:"messages_per_batch"`
	// RTT of the messages that came back, in microseconds. An open loop counts from when a message was due.
	RTTp50 float64 `json:"rtt_p50_us"`
	RTTp99 float64 `json:"rtt_p99_us"`
	// CPU has seconds for a million messages, by process.
	CPU map[string]float64 `json:"cpu_seconds_per_million_messages"`
	// RSS has the resident bytes at the end of the window, by process; not the client's.
	RSS map[string]float64 `json:"rss_bytes"`
}

// snapshot is how things stand at one moment.
type snapshot struct {
	at                time.Time
	received, batches uint64
	cpu               map[string]time.Duration
	rss               map[string]float64
}

func (f *fleet) snapshot() (snapshot, error) {
	s := snapshot{cpu: map[string]time.Duration{}, rss: map[string]float64{}}
	for _, p := range f.order.target.parts {
		u, err := systemProc.usage(p.pid)
		if err != nil {
			return s, fmt.Errorf("%s of %s: %w", p.name, f.order.target.name, err)
		}
		s.cpu[p.name], s.rss[p.name] = u.cpu, float64(u.rss)
	}
	own, err := ownCPU()
	s.cpu[client] = own
	s.at = time.Now()
	s.received, s.batches = f.received()
	return s, err
}

// window measures for a time while the load runs.
func (f *fleet) window(d time.Duration) (Window, error) {
	rtt := new(stats.Histogram)
	before, err := f.snapshot()
	if err != nil {
		return Window{}, err
	}
	f.rtt.Store(rtt)
	err = pause(f.ctx, d)
	f.rtt.Store(nil)
	if err != nil {
		return Window{}, err
	}
	after, err := f.snapshot()
	if err != nil {
		return Window{}, err
	}
	w := between(before, after)
	w.RTTp50, w.RTTp99 = microseconds(rtt.Percentile(0.5)), microseconds(rtt.Percentile(0.99))
	return w, nil
}

func between(before, after snapshot) Window {
	elapsed := after.at.Sub(before.at).Seconds()
	w := Window{Seconds: elapsed, Messages: after.received - before.received, CPU: map[string]float64{}, RSS: after.rss}
	w.PerSecond = float64(w.Messages) / elapsed
	w.PerBatch, _ = ratio(float64(w.Messages), float64(after.batches-before.batches))
	if w.Messages > 0 {
		for name, cpu := range after.cpu {
			w.CPU[name] = (cpu - before.cpu[name]).Seconds() * 1e6 / float64(w.Messages)
		}
	}
	return w
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// pause waits; it returns early, with the cause, when ctx is done.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// measure connects, lets begin start the load, measures after the warm-up, and ends the load in good order.
func measure(ctx context.Context, o order, warmup, d time.Duration, begin func(*fleet)) (Window, error) {
	f, err := connect(ctx, o)
	if err != nil {
		return Window{}, err
	}
	begin(f)
	err = pause(f.ctx, warmup)
	var w Window
	if err == nil {
		w, err = f.window(d)
	}
	if err != nil {
		f.close()
		return Window{}, f.explain(err)
	}
	return w, f.finish()
}
