package relay

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// BenchmarkResume10000 cuts the server connection that carries 10,000 logical connections under traffic, without notice. It
// measures from the cut, which both sides notice at once, to the last resume.
func BenchmarkResume10000(b *testing.B) {
	h := startHarness(b, onLoopback(b), onLoopback(b), nil)
	defer h.stop()
	w := newWires()
	_, stopServer := h.appServer("app-1", echo, []string{"a", "b"}, w.option())
	defer stopServer()
	admin, closeAdmin := h.admin()
	defer func() { _ = closeAdmin.Close() }()
	waitAttached(b, admin, 2)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	f := newFleet(ctx, h, benchConnections)
	defer f.close()
	defer cancel()

	var all, p50, p99 []time.Duration
	for b.Loop() {
		waitAttached(b, admin, 2)
		benchReload(b, admin, "a", anyNumber) // all are on b now
		resumes := watchResumes(b, h, admin, benchConnections)
		sending, stopSending := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { f.send(sending, benchRate) })
		time.Sleep(500 * time.Millisecond)
		cut := time.Now()
		w.sever("b")
		elapsed, p := resumes(cut)
		stopSending()
		wg.Wait()
		if missing := f.settle(); missing != 0 || f.wrong.Load() != 0 {
			b.Fatalf("%d messages are missing and %d are wrong", missing, f.wrong.Load())
		}
		all, p50, p99 = append(all, elapsed), append(p50, p[len(p)/2]), append(p99, p[len(p)*99/100])
	}
	b.ReportMetric(medianMillis(all), "ms-all")
	b.ReportMetric(medianMillis(p50), "ms-pause-p50")
	b.ReportMetric(medianMillis(p99), "ms-pause-p99")
}

// watchResumes watches the next n resumes. The returned function waits for them, and returns how long they took from the time,
// and the sorted pauses of those whose events were not missed.
func watchResumes(b *testing.B, h *harness, admin holdfastv1.AdminServiceClient, n int64) func(since time.Time) (time.Duration, []time.Duration) {
	b.Helper()
	before := h.counter("holdfast.relay.moves", "resumed")
	ctx, cancel := context.WithCancel(b.Context())
	st, err := admin.WatchEvents(ctx, &holdfastv1.WatchEventsRequest{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := st.Recv(); err != nil {
		b.Fatal(err)
	}
	var pauses []time.Duration
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			e, err := st.Recv()
			if err != nil {
				return
			}
			if e.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_RESUMED {
				pauses = append(pauses, e.GetPause().AsDuration())
			}
		}
	})
	return func(since time.Time) (time.Duration, []time.Duration) {
		defer wg.Wait()
		defer cancel()
		for h.counter("holdfast.relay.moves", "resumed")-before < n {
			if time.Since(since) > 30*time.Second {
				b.Fatalf("%d of %d are resumed", h.counter("holdfast.relay.moves", "resumed")-before, n)
			}
			time.Sleep(time.Millisecond)
		}
		elapsed := time.Since(since)
		cancel()
		wg.Wait()
		slices.Sort(pauses)
		return elapsed, pauses
	}
}
