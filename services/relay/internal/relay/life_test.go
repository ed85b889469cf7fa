package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// reader is a handler that receives until the connection ends, with a pause after each message, and notes all.
type reader struct {
	pause time.Duration
	got   []string
	ended chan error
}

func newReader(pause time.Duration) *reader { return &reader{pause: pause, ended: make(chan error, 1)} }

func (r *reader) ServeConnection(_ context.Context, c *appserver.Connection) error {
	for {
		m, err := c.Receive(context.Background()) // the end comes in its place, whatever the handler's context says
		if errors.Is(err, io.EOF) {
			r.got = append(r.got, "half-close")
			continue
		}
		if err != nil {
			r.ended <- err
			return err
		}
		r.got = append(r.got, string(m.Payload))
		time.Sleep(r.pause)
	}
}

// check waits for the end and compares it with n numbered messages and the reason.
func (r *reader) check(t *testing.T, n int, want holdfastv1.CloseReason) {
	t.Helper()
	closed := new(appserver.CloseError)
	if err := <-r.ended; !errors.As(err, &closed) || closed.Reason != want {
		t.Errorf("the handler's connection ended with %v, want %v", err, want)
	}
	for i, m := range r.got {
		if m != fmt.Sprint(i+1) {
			t.Errorf("message %d is %q", i+1, m)
		}
	}
	if len(r.got) != n {
		t.Errorf("the handler got %d messages before the end, want %d", len(r.got), n)
	}
}

func TestShutdownSaysGoodbye(t *testing.T) {
	change := func(c *config.Config) { c.ShutdownGrace = 10 * time.Second }
	onStage(t, change, func(t *testing.T, s *stage) {
		handler := newReader(0)
		tap, _ := s.server("app-1", handler, "a", "b")
		g := s.quietGuest("c")
		for range 3 {
			if err := g.send(); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		tap.take()
		began := time.Now()
		s.stop()
		if elapsed := time.Since(began); elapsed > time.Second {
			t.Errorf("the relay took %v to stop though everybody was told", elapsed)
		}
		if _, err := g.stream.Recv(); reasonOrCode(err) != "RELAY_SHUTDOWN" || status.Code(err) != codes.Unavailable {
			t.Errorf("the client saw %v", err)
		}
		handler.check(t, 3, holdfastv1.CloseReason_CLOSE_REASON_RELAY_SHUTDOWN)
		if notes := strings.Join(tap.take(), " "); !strings.Contains(notes, "close4(CLOSE_REASON_RELAY_SHUTDOWN)") {
			t.Errorf("the app server was not told: %s", notes)
		}
	})
}

// A stream that does not end by itself is cut when the grace is over, not before.
func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		mute := s.peer(t, nil) // never says its handshake
		synctest.Wait()
		began := time.Now()
		s.stop()
		if elapsed := time.Since(began); elapsed != time.Second {
			t.Errorf("the relay took %v to stop, want the grace of 1 s", elapsed)
		}
		if got := mute.outcome(); got != "Unavailable" {
			t.Errorf("the stream was cut with %s", got)
		}
	})
}

// From the first moment of the shutdown nobody new is taken, while others still have their grace.
func TestShutdownTakesNobodyNew(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		s.server("app-1", echo, "a", "b")
		waiting, closeWaiting := s.client(s.ctx, "c") // its stream is open, it has sent nothing
		t.Cleanup(closeWaiting)
		late := s.peer(t, nil)
		synctest.Wait()
		wait := s.shutdown()
		synctest.Wait()
		if err := waiting.send(); err != nil {
			t.Fatal(err)
		}
		if err := waiting.receive(); reasonOrCode(err) != "RELAY_SHUTDOWN" {
			t.Errorf("a client saw %v", err)
		}
		late.send(&holdfastv1.AttachRequest{Handshake: goodHandshake()})
		if got := late.outcome(); got != "RELAY_SHUTDOWN" {
			t.Errorf("an app server saw %s", got)
		}
		wait()
	})
}

func TestServeEndsWhenAListenerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := &config.Config{
			Listen: "in-memory:1", AdminListen: "in-memory:2", WindowBytes: 1 << 10, MaxMessageBytes: 1, MaxMovesInFlight: 1,
			HeartbeatInterval: time.Second, MigrationTimeout: time.Second, SlowClientTimeout: time.Second, ReloadDeadline: time.Second,
		}
		r, err := New(cfg, discard(), noTelemetry())
		if err != nil {
			t.Fatal(err)
		}
		application, operators := inMemory()
		served := make(chan error, 1)
		go func() { served <- r.Serve(t.Context(), application, operators, nil) }()
		synctest.Wait()
		if err := operators.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err == nil || !strings.Contains(err.Error(), "serving on") {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestClientThatHalfClosesStillReceives(t *testing.T) {
	onStage(t, nil, func(t *testing.T, s *stage) {
		handler := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			n := 0
			for {
				if _, err := c.Receive(ctx); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return err
				}
				n++
			}
			for i := range n {
				time.Sleep(time.Second) // the client's half is long over
				if err := c.Send(ctx, appserver.Message{Payload: []byte(fmt.Sprint(i + 1)), Text: true}); err != nil {
					return err
				}
			}
			return nil
		})
		s.server("app-1", handler, "a", "b")
		g := s.quietGuest("c")
		for range 5 {
			if err := g.send(); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1500 * time.Millisecond)
		s.reload(s.where(g), time.Second) // the move of a half-closed connection
		if n := s.see(g).GetMessagesReceived(); n != 5 {
			t.Errorf("%d messages of the client are counted; the half-close is none", n)
		}
		for range 5 {
			if err := g.receive(); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.receive(); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
	})
}

// How the handler ends is what the client sees, after all that was sent.
func TestHandlersEndReachesTheClient(t *testing.T) {
	for _, c := range []struct {
		name    string
		result  error
		code    codes.Code
		reason  string
		message string
	}{
		{"nothing wrong", nil, codes.OK, "", ""},
		{"an error", errors.New("out of paper"), codes.Unknown, "APPLICATION_ERROR", "out of paper"},
		{"an error of many words", errors.New("ünusual, with \n lines and 100%"), codes.Unknown, "APPLICATION_ERROR", "ünusual, with \n lines and 100%"},
		{"an error that is not UTF-8", errors.New("a\xffb"), codes.Unknown, "APPLICATION_ERROR", "a\uFFFDb"},
		{
			"a reason of its own", &appserver.CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN, Detail: "bye"},
			codes.Unavailable, "SERVER_SHUTDOWN", "bye",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				handler := appserver.HandlerFunc(func(ctx context.Context, conn *appserver.Connection) error {
					for i := range 3 {
						if err := conn.Send(ctx, appserver.Message{Payload: []byte(fmt.Sprint(i + 1)), Text: true}); err != nil {
							return err
						}
					}
					return c.result
				})
				s.server("app-1", handler, "a")
				path := s.path("a")
				g := s.quietGuest("c")
				for range 3 {
					if err := g.receive(); err != nil {
						t.Fatal(err)
					}
				}
				err := g.receive()
				if c.code == codes.OK {
					if !errors.Is(err, io.EOF) {
						t.Errorf("the end is %v", err)
					}
				} else if st := status.Convert(err); st.Code() != c.code || reasonOrCode(err) != c.reason || st.Message() != c.message {
					t.Errorf("the client saw %v, want %v %s %q", err, c.code, c.reason, c.message)
				}
				time.Sleep(time.Second)
				if s.path("a") != path {
					t.Error("the server connection was lost over it")
				}
				if n := s.ingress("a").GetLogicalConnections(); n != 0 {
					t.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

func TestClientThatGoesAwayIsSeenAfterItsMessages(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after func(*testing.T, *stage, *wires, string)
	}{
		{"at rest", nil, nil},
		{"during a handoff", func(_ *testing.T, s *stage, _ *wires, ingress string) { s.startReload(ingress, time.Second) }, nil},
		{"and its path goes after it", nil, func(t *testing.T, s *stage, w *wires, ingress string) {
			if p := s.reload(ingress, time.Second); !p.GetSafeToReload() || p.GetMoved() != 1 {
				t.Errorf("the reload ended with %v", p)
			}
			w.cut(ingress)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, nil, func(t *testing.T, s *stage) {
				handler := newReader(10 * time.Millisecond)
				w := s.wiredServer("app-1", handler, "a", "b")
				g := s.quietGuest("c")
				for range 100 {
					if err := g.send(); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				ingress := s.where(g)
				if c.before != nil {
					c.before(t, s, w, ingress)
				}
				g.stop()
				synctest.Wait()
				if c.after != nil {
					c.after(t, s, w, ingress)
				}
				handler.check(t, 100, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
				time.Sleep(time.Second)
				if n := s.counter("holdfast.relay.connections.closed", "CLIENT_GONE"); n != 1 || s.see(g) != nil {
					t.Errorf("%d closed connections are counted; listed: %v", n, s.see(g))
				}
			})
		})
	}
}
