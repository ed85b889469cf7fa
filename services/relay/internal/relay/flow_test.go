package relay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/observe"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func noTelemetry() *observe.Telemetry {
	return &observe.Telemetry{Meters: noop.NewMeterProvider(), Traces: tracenoop.NewTracerProvider()}
}

const (
	// transport is more than HTTP/2 and grpc take for one stream on both sides before they block, in bytes.
	transport = 384 << 10
	// piece is the size of a message here, in bytes.
	piece = 1 << 10
)

// flood is a handler that sends numbered messages for as long as they are taken.
type flood struct{ sent atomic.Int64 }

func (f *flood) ServeConnection(ctx context.Context, c *appserver.Connection) error {
	for {
		n := f.sent.Load() + 1
		text := fmt.Sprintf("%d %s", n, strings.Repeat("x", piece))
		if err := c.Send(ctx, appserver.Message{Payload: []byte(text[:piece]), Text: true}); err != nil {
			return err
		}
		f.sent.Store(n)
	}
}

// byClient has the first connection served by first and others by echo.
func byClient(first appserver.Handler) appserver.Handler {
	var n atomic.Int64
	return appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
		if n.Add(1) == 1 {
			return first.ServeConnection(ctx, c)
		}
		return echo(ctx, c)
	})
}

// A client that reads nothing stops its own sender at the window, and nobody else; when it reads again, nothing is
// missing.
func TestClientThatReadsNothingBlocksItsSenderOnly(t *testing.T) {
	onStage(t, patient, func(t *testing.T, s *stage) {
		f := &flood{}
		s.server("app-1", byClient(f), "a")
		slow := s.quietGuest("c")
		time.Sleep(time.Minute)
		took := f.sent.Load()
		if bytes := took * piece; bytes < 128<<10 || bytes > 256<<10+transport {
			t.Errorf("%d bytes were taken for a client that reads nothing; the window is 256 KiB", bytes)
		}
		beside := s.guest("c") // on the same server connection
		if err := beside.exchange(100, time.Millisecond); err != nil {
			t.Errorf("a client beside it: %v", err)
		}
		if now := f.sent.Load(); now != took {
			t.Errorf("%d messages more were taken in the meantime", now-took)
		}
		for n := int64(1); n <= 3*took; n++ {
			m, err := slow.stream.Recv()
			if err != nil || !strings.HasPrefix(m.GetText(), fmt.Sprintf("%d ", n)) {
				t.Fatalf("message %d: %.20q, %v", n, m.GetText(), err)
			}
		}
	})
}

// patient never closes a client for being slow.
func patient(c *config.Config) { c.SlowClientTimeout = time.Hour }

// The end of a connection does not wait for a client that reads nothing; the client learns why when it reads again.
func TestEndDoesNotWaitForAClientThatReadsNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *stage, *wires, *guest)
		want string
	}{
		{"an operator closes", func(t *testing.T, s *stage, _ *wires, g *guest) {
			if _, err := s.admin.CloseConnection(s.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: g.id}); err != nil {
				t.Fatal(err)
			}
		}, "OPERATOR"},
		{"its server connection is lost", func(_ *testing.T, _ *stage, w *wires, _ *guest) { w.shutDown("a") }, "SERVER_LOST"},
		{"the relay shuts down", func(_ *testing.T, s *stage, _ *wires, _ *guest) { s.shutdown() }, "RELAY_SHUTDOWN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(c *config.Config) {
				patient(c)
				c.ShutdownGrace, c.ParkTime = 10*time.Second, 0
			}
			onStage(t, change, func(t *testing.T, s *stage) {
				f := &flood{}
				w := s.wiredServer("app-1", byClient(f), "a")
				g := s.quietGuest("c")
				time.Sleep(time.Minute)
				c.end(t, s, w, g)
				time.Sleep(2 * time.Second)
				for range s.relay.registry.Connections() {
					t.Error("the connection is there still")
				}
				for n := int64(1); ; n++ {
					m, err := g.stream.Recv()
					if err != nil {
						if reasonOrCode(err) != c.want {
							t.Errorf("the client saw %v, want %s", err, c.want)
						}
						break
					}
					if !strings.HasPrefix(m.GetText(), fmt.Sprintf("%d ", n)) {
						t.Fatalf("message %d: %.20q", n, m.GetText())
					}
				}
			})
		})
	}
}

// The other way round: a handler that receives nothing blocks its own client only.
func TestHandlerThatReceivesNothingBlocksItsClientOnly(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		idle := make(chan struct{})
		handler := newReader(0)
		s.server("app-1", byClient(appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			<-idle
			return handler.ServeConnection(ctx, c)
		})), "a")
		g := s.quietGuest("c")
		const messages = 1000
		var sent atomic.Int64
		go func() {
			for n := range messages {
				text := fmt.Sprintf("%d %s", n+1, strings.Repeat("x", piece))
				if g.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: text[:piece]}}) != nil {
					return
				}
				sent.Add(1)
			}
			_ = g.stream.CloseSend()
		}()
		time.Sleep(time.Minute)
		if bytes := sent.Load() * piece; bytes < 128<<10 || bytes > 256<<10+transport {
			t.Errorf("%d bytes were taken from the client; the window is 256 KiB", bytes)
		}
		if err := s.guest("c").exchange(100, time.Millisecond); err != nil {
			t.Errorf("a client beside it: %v", err)
		}
		close(idle)
		time.Sleep(time.Second)
		g.stop()
		<-handler.ended
		if len(handler.got) != messages+1 || handler.got[messages] != "half-close" {
			t.Fatalf("%d messages arrived, want %d and a half-close", len(handler.got), messages)
		}
		for i, m := range handler.got[:messages] {
			if !strings.HasPrefix(m, fmt.Sprintf("%d ", i+1)) {
				t.Fatalf("message %d is %.20q", i+1, m)
			}
		}
	})
}

// The smallest window, messages smaller and larger than it, both ways, over many moves.
func TestTinyWindow(t *testing.T) {
	change := func(c *config.Config) { c.WindowBytes = 1024 }
	onStage(t, change, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		g := s.quietGuest("c")
		const messages = 1000
		pad := make([]string, messages)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range pad {
			pad[i] = strings.Repeat("x", []int{0, 10, 900, 1100, 3000}[random.IntN(5)])
		}
		go func() {
			for i := range messages {
				time.Sleep(time.Millisecond)
				text := &holdfastv1.ConnectRequest_Text{Text: fmt.Sprintf("%d %s", i+1, pad[i])}
				if g.stream.Send(&holdfastv1.ConnectRequest{Content: text}) != nil {
					return
				}
			}
		}()
		moving := make(chan struct{})
		go func() {
			defer close(moving)
			for range 20 {
				time.Sleep(50 * time.Millisecond)
				s.move(g, "")
			}
		}()
		for i := range messages {
			m, err := g.stream.Recv()
			if want := fmt.Sprintf("%d %s", i+1, pad[i]); err != nil || m.GetText() != want {
				t.Fatalf("message %d: %.20q, %v", i+1, m.GetText(), err)
			}
		}
		<-moving
		for _, name := range []string{"frames.dropped", "errors"} {
			if n := s.counter("holdfast.relay."+name, ""); n != 0 {
				t.Errorf("%s counts %d", name, n)
			}
		}
	})
}
