package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	benchConnections = 10_000
	// benchRate is how many messages a second all clients send together during the moves.
	benchRate = 5_000
	// perTransport is how many client streams share one HTTP/2 connection.
	perTransport = 250
)

// fleet is many clients, all through ingress c, that exchange messages at a steady rate.
type fleet struct {
	clients []*client
	closers []func()
	sent    []atomic.Int64
	got     []atomic.Int64
	wrong   atomic.Int64
	wg      sync.WaitGroup
}

func newFleet(ctx context.Context, h *harness, n int) *fleet {
	f := &fleet{clients: make([]*client, n), sent: make([]atomic.Int64, n), got: make([]atomic.Int64, n)}
	var stub holdfastv1.ClientConnectionServiceClient
	for i := range n {
		if i%perTransport == 0 {
			cc := h.conn(h.application, "c")
			f.closers = append(f.closers, func() { _ = cc.Close() })
			stub = holdfastv1.NewClientConnectionServiceClient(cc)
		}
		stream, err := stub.Connect(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		c := &client{h: h, stream: stream}
		if err := c.exchange(1, 0); err != nil {
			h.t.Fatal(err)
		}
		f.sent[i].Store(1)
		f.got[i].Store(1)
		f.clients[i] = c
		f.wg.Go(func() { f.receive(i) })
	}
	return f
}

// receive checks the echoes of one client until its stream ends.
func (f *fleet) receive(i int) {
	for {
		m, err := f.clients[i].stream.Recv()
		if err != nil {
			return
		}
		if m.GetText() != fmt.Sprint(f.got[i].Add(1)) {
			f.wrong.Add(1)
		}
	}
}

// send has the clients send in turn, at the rate in all, until the context ends.
func (f *fleet) send(ctx context.Context, rate int) {
	const tick = 5 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for next := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for range rate / int(time.Second/tick) {
			i := next % len(f.clients)
			next++
			text := fmt.Sprint(f.sent[i].Add(1))
			request := &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: text}}
			if f.clients[i].stream.Send(request) != nil {
				f.wrong.Add(1)
			}
		}
	}
}

// settle waits until every echo has come, for ten seconds at most, and returns how many are missing.
func (f *fleet) settle() (missing int64) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		missing = 0
		for i := range f.clients {
			missing += f.sent[i].Load() - f.got[i].Load()
		}
		if missing == 0 || time.Now().After(deadline) {
			return missing
		}
	}
}

func (f *fleet) close() {
	for _, c := range f.closers {
		c()
	}
	f.wg.Wait()
}

// BenchmarkMove10000 moves 10,000 logical connections under traffic. Half of them run over ingress a when it is
// reloaded, so that it is reloaded twice: first a, then b with all of them on it. The figures are of the second.
func BenchmarkMove10000(b *testing.B) {
	h := startHarness(b, onLoopback(b), onLoopback(b), nil)
	defer h.stop()
	_, stopServer := h.appServer("app-1", echo, []string{"a", "b"})
	defer stopServer()
	admin, closeAdmin := h.admin()
	defer func() { _ = closeAdmin.Close() }()
	waitAttached(b, admin, 2)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	f := newFleet(ctx, h, benchConnections)
	defer f.close()
	defer cancel()
	benchReload(b, admin, "a", benchConnections/2)

	var all, p50, p99 []time.Duration
	for b.Loop() {
		pauses := watchPauses(b, admin, benchConnections)
		sending, stopSending := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { f.send(sending, benchRate) })
		time.Sleep(500 * time.Millisecond)
		elapsed := benchReload(b, admin, "b", benchConnections)
		p := pauses()
		stopSending()
		wg.Wait()
		if missing := f.settle(); missing != 0 || f.wrong.Load() != 0 {
			b.Fatalf("%d messages are missing and %d are wrong", missing, f.wrong.Load())
		}
		all, p50, p99 = append(all, elapsed), append(p50, p[len(p)/2]), append(p99, p[len(p)*99/100])
		benchReload(b, admin, "a", benchConnections) // and back, for the next round
	}
	b.ReportMetric(medianMillis(all), "ms-all")
	b.ReportMetric(medianMillis(p50), "ms-pause-p50")
	b.ReportMetric(medianMillis(p99), "ms-pause-p99")
}

func medianMillis(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Microseconds()) / 1000
}

func waitAttached(t testing.TB, admin holdfastv1.AdminServiceClient, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list, err := admin.ListServerConnections(t.Context(), &holdfastv1.ListServerConnectionsRequest{})
		if err == nil && len(list.GetServerConnections()) == n {
			return
		}
	}
	t.Fatal("the app server did not attach")
}

// anyNumber stands for any number of moves.
const anyNumber = -1

// benchReload reloads the ingress and returns how long the relay took to move everything off it.
func benchReload(b *testing.B, admin holdfastv1.AdminServiceClient, ingress string, want int) time.Duration {
	b.Helper()
	st, err := admin.ReloadIngress(b.Context(), &holdfastv1.ReloadIngressRequest{Ingress: ingress})
	if err != nil {
		b.Fatal(err)
	}
	for {
		p, err := st.Recv()
		if err != nil {
			b.Fatal(err)
		}
		if !p.GetDone() {
			continue
		}
		if (want != anyNumber && int(p.GetMoved()) != want) || !p.GetSafeToReload() {
			b.Fatalf("reload of %s: want %d moved: %v", ingress, want, p)
		}
		if _, err := admin.CompleteReload(b.Context(), &holdfastv1.CompleteReloadRequest{Ingress: ingress}); err != nil {
			b.Fatal(err)
		}
		return p.GetElapsed().AsDuration()
	}
}

// watchPauses collects the pauses of the next n moves; the returned function waits for them and returns them sorted.
func watchPauses(b *testing.B, admin holdfastv1.AdminServiceClient, n int) func() []time.Duration {
	b.Helper()
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
		for missed := 0; len(pauses)+missed < n; {
			e, err := st.Recv()
			if err != nil {
				return
			}
			if e.GetKind() == holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED {
				pauses = append(pauses, e.GetPause().AsDuration())
			}
			missed += int(e.GetMissed())
		}
	})
	return func() []time.Duration {
		wg.Wait()
		cancel()
		slices.Sort(pauses)
		return pauses
	}
}
