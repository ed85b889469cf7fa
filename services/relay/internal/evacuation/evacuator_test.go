package evacuation

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is an evacuator that is not running, with one app server on the ingresses a and b whose streams nobody serves.
type rig struct {
	*Evacuator
	a, b *serverconn.Conn
}

func newRig(t *testing.T, config Config) *rig {
	t.Helper()
	counters, err := telemetry.New(noop.NewMeterProvider(), tracenoop.NewTracerProvider())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	reg := registry.New(&event.Hub{}, counters, log, nil)
	r := &rig{Evacuator: New(reg, counters, log, config)}
	attach := func(ingress string) *serverconn.Conn {
		path := reg.NewPath()
		s := &serverconn.Conn{
			Path: path, ID: ingress, Ingress: ingress, Window: 1 << 10, Writer: wire.NewWriter(path, time.Hour, nil),
			Instance: serverconn.Instance{Application: "x", ServerID: "x", InstanceID: "x", Nonce: 1},
		}
		if err := reg.Attach(s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	r.a, r.b = attach("a"), attach("b")
	return r
}

// settled opens a connection and has the app server confirm it. It returns it with its path and the other one.
func (r *rig) settled(t *testing.T) (c *logical.Connection, on, other *serverconn.Conn) {
	t.Helper()
	c, err := r.registry.Open(logical.Info{Application: "x", ClientIngress: "c"})
	if err != nil {
		t.Fatal(err)
	}
	on, other = c.Snapshot().Server, r.b
	if on == r.b {
		other = r.a
	}
	r.receive(t, c, on, &holdfastv1.Frame{Body: &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{}}})
	return c, on, other
}

// receive has the app server send the frame, in the epoch in force.
func (r *rig) receive(t *testing.T, c *logical.Connection, by *serverconn.Conn, f *holdfastv1.Frame) {
	t.Helper()
	f.ConnectionId, f.Epoch = c.ID, uint64(c.Snapshot().Epoch)
	in, err := wire.FrameOf(f)
	if err == nil {
		err = c.Receive(by, &in)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// finish takes a handoff to its end, as the app server does.
func (r *rig) finish(t *testing.T, c *logical.Connection, from, to *serverconn.Conn) {
	t.Helper()
	r.receive(t, c, from, &holdfastv1.Frame{Body: &holdfastv1.Frame_MigrateWithAck{}})
	r.receive(t, c, to, &holdfastv1.Frame{Body: &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{PausedMicros: 1500}}})
}

func gone() *holdfastv1.CloseConnectionMessage {
	return &holdfastv1.CloseConnectionMessage{Reason: holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION}
}

// count returns how many places are taken.
func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, taken := range p.taken {
		n += taken
	}
	return n
}

func TestMoveOne(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *rig, *logical.Connection, *serverconn.Conn, *serverconn.Conn)
		want Outcome
	}{
		{"moved", func(t *testing.T, r *rig, c *logical.Connection, on, other *serverconn.Conn) {
			r.finish(t, c, on, other)
		}, Outcome{logical.Moved, 1500 * time.Microsecond}},
		{"ended", func(_ *testing.T, _ *rig, c *logical.Connection, _, _ *serverconn.Conn) {
			c.PeerDoesNotKnow(gone())
		}, Outcome{Result: logical.ConnectionEnded}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{MaxInFlight: 1, MigrationTimeout: time.Second, ParkTime: time.Minute})
				conn, on, other := r.settled(t)
				go func() {
					time.Sleep(time.Minute)
					c.end(t, r, conn, on, other)
				}()
				if got, err := r.MoveOne(t.Context(), conn.ID, on, other); err != nil || got != c.want {
					t.Errorf("got %+v, %v; want %+v", got, err, c.want)
				}
				if on.Load() != 0 || (other.Load() != 0) != (c.want.Result == logical.Moved) {
					t.Errorf("loads are %d and %d", on.Load(), other.Load())
				}
				synctest.Wait() // the connection lets go of its paths last
			})
		})
	}
}

func TestMoveOneRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Config{MaxInFlight: 1, MigrationTimeout: time.Second, ParkTime: time.Minute})
		c, on, other := r.settled(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, move := range []struct {
			name   string
			id     uint64
			target *serverconn.Conn
			want   error
		}{
			{"an unknown connection", c.ID + 1, other, ordering.ErrNotMovable},
			{"to the path that it is on", c.ID, on, ordering.ErrNotMovable},
			{"a caller that waits for a second only", c.ID, other, context.DeadlineExceeded},
			{"in the handoff that goes on", c.ID, other, ordering.ErrNotMovable},
		} {
			if _, err := r.MoveOne(ctx, move.id, on, move.target); !errors.Is(err, move.want) {
				t.Errorf("%s: %v, want %v", move.name, err, move.want)
			}
		}
		r.finish(t, c, on, other)
		if len(r.inFlight) != 0 {
			t.Error("the handoff is in flight after its end")
		}
	})
}

// A place is given back once for each that was taken, however a move ends: one place too few stops all moves for good.
func TestPlacesAreGivenBackOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *rig, *logical.Connection, *serverconn.Conn, *serverconn.Conn)
	}{
		{"moved", func(t *testing.T, r *rig, c *logical.Connection, on, other *serverconn.Conn) {
			r.finish(t, c, on, other)
		}},
		{"ended", func(_ *testing.T, _ *rig, c *logical.Connection, _, _ *serverconn.Conn) { c.PeerDoesNotKnow(gone()) }},
		{"overdue, then resumed", func(t *testing.T, r *rig, c *logical.Connection, _, other *serverconn.Conn) {
			time.Sleep(2 * time.Second)
			if r.handoffs.count() != 0 || r.resumes.count() != 1 {
				t.Errorf("%d handoffs and %d resumes have a place", r.handoffs.count(), r.resumes.count())
			}
			r.receive(t, c, other, &holdfastv1.Frame{Body: &holdfastv1.Frame_MigrateWithAck{}})
		}},
		{"overdue, then ended", func(_ *testing.T, _ *rig, c *logical.Connection, _, _ *serverconn.Conn) {
			time.Sleep(2 * time.Second)
			c.PeerDoesNotKnow(gone())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, Config{MaxInFlight: 2, MigrationTimeout: time.Second, ParkTime: time.Minute})
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				defer wg.Wait()
				defer cancel()
				wg.Go(func() { r.Run(ctx) })
				conn, on, other := r.settled(t)
				r.registry.Draining(on, "test")
				synctest.Wait()
				if r.handoffs.count() != 1 || on.Load() != 0 || other.Load() != 1 {
					t.Fatalf("%d places are taken; loads are %d and %d", r.handoffs.count(), on.Load(), other.Load())
				}
				c.end(t, r, conn, on, other)
				synctest.Wait()
				if r.handoffs.count()+r.resumes.count() != 0 {
					t.Errorf("%d and %d places are taken after the move", r.handoffs.count(), r.resumes.count())
				}
			})
		})
	}
}

// A connection may end at the very moment when its move begins. Its place among the open handoffs is given back once: a
// second time would wait for ever, and a place that is not given back is lost.
func TestEndRacesBeginOfMove(t *testing.T) {
	r := newRig(t, Config{MaxInFlight: 1, MigrationTimeout: time.Second, ParkTime: time.Minute})
	for range 20000 {
		c, on, other := r.settled(t)
		r.handoffs.take(other.Instance)
		var wg sync.WaitGroup
		wg.Go(func() { c.PeerDoesNotKnow(gone()) })
		_ = r.beginHandoff(&move{connection: c, from: on, target: other, place: r.handoffs})
		wg.Wait()
		if r.handoffs.count() != 0 {
			t.Fatal("a place is lost")
		}
	}
}
