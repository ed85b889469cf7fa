package appserver_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

func grace(d time.Duration) setup {
	return func(_ *world, cfg *appserver.Config) { cfg.ShutdownGrace = d }
}

// orderly does what a relay does when an app server shuts down: it acknowledges each close, and ends the server
// connections that say that they are about to go once nothing is left on them.
func orderly(w *world, _ *appserver.Config) {
	w.react = func(s *stream, f *holdfastv1.Frame, _ *holdfastv1.DrainingMessage) {
		if f.GetClose().GetSeq() > 0 {
			s.send(on(f.GetConnectionId(), receipt(f.GetClose().GetSeq(), uint32(f.GetEpoch()))))
			s.finish(nil)
		}
	}
}

// wait waits until Run has returned, and says how long that took.
func (w *world) wait(began time.Time) time.Duration {
	<-w.returned
	return w.ended.Sub(began)
}

// The relay is told first, connections go on through the grace, and what is left then is closed.
func TestShutdown(t *testing.T) {
	connected(t, func(w *world, cfg *appserver.Config) {
		orderly(w, cfg)
		cfg.ShutdownGrace = time.Minute
	}, func(t *testing.T, w *world, a, b *stream, x *session) {
		other := w.open(b, 2)
		began := time.Now()
		w.stop()
		settle()
		if got := sorted(w.take()); got != "a>draining b>draining" {
			t.Errorf("the relay was told %s", got)
		}
		time.Sleep(50 * time.Second)
		w.alive(a, x, 1, 1)
		w.alive(b, other, 2, 1)
		if x.ctx.Err() != nil {
			t.Errorf("before the grace is over: %v", context.Cause(x.ctx))
		}
		if took := w.wait(began); took != time.Minute {
			t.Errorf("it took %v, want the grace and nothing more", took)
		}
		if got := sorted(w.take()); got != "a>close2@1(SERVER_SHUTDOWN) b>close2@1(SERVER_SHUTDOWN)#2" {
			t.Errorf("at the end: %s", got)
		}
		for _, s := range []*session{x, other} {
			isClosed(t, context.Cause(s.ctx), holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN)
			isClosed(t, s.send("late"), holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN)
		}
		if n := len(w.attemptsSoFar()); n != 2 {
			t.Errorf("%d attempts; nothing is dialled in a shutdown", n)
		}
	})
}

// Run returns as soon as the connections have ended by themselves and the relay has let go.
func TestShutdownEndsEarly(t *testing.T) {
	connected(t, grace(time.Hour), func(t *testing.T, w *world, a, b *stream, x *session) {
		began := time.Now()
		w.stop()
		pause()
		w.take()
		b.finish(nil)
		x.end <- nil
		w.expect("a>close1@1(APPLICATION_CLOSED)")
		a.send(receipt(1, 1))
		a.finish(nil)
		if took := w.wait(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A grace below zero is none; the default is ten seconds.
func TestShutdownGrace(t *testing.T) {
	for name, c := range map[string]struct{ configured, want time.Duration }{
		"none": {-1, 0}, "default": {0, 10 * time.Second}, "an hour": {time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, []string{"a"}, func(w *world, cfg *appserver.Config) {
				orderly(w, cfg)
				cfg.ShutdownGrace = c.configured
			}, func(t *testing.T, w *world) {
				x := w.open(w.stream("a", 1), 1)
				began := time.Now()
				w.stop()
				if took := w.wait(began); took != c.want {
					t.Errorf("it took %v, want %v", took, c.want)
				}
				isClosed(t, context.Cause(x.ctx), holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN)
			})
		})
	}
}

// Run waits through the grace for the relay to let go, as it may have opened a connection before it was told.
func TestShutdownWaitsForTheRelay(t *testing.T) {
	run(t, []string{"a", "b"}, func(w *world, cfg *appserver.Config) {
		orderly(w, cfg)
		cfg.ShutdownGrace = time.Minute
	}, func(t *testing.T, w *world) {
		a, b := w.stream("a", 1), w.stream("b", 1)
		began := time.Now()
		w.stop()
		settle()
		late := w.open(a, 2)
		pause()
		w.alive(a, late, 2, 1)
		late.end <- nil
		time.Sleep(time.Second)
		b.finish(nil)
		if took := w.wait(began); took != 3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A relay that answers nothing any more holds up the shutdown for two seconds.
func TestShutdownWithARelayThatDoesNotAnswer(t *testing.T) {
	connected(t, grace(time.Minute), func(t *testing.T, w *world, a, b *stream, _ *session) {
		began := time.Now()
		w.stop()
		if took := w.wait(began); took != time.Minute+2*time.Second {
			t.Errorf("it took %v", took)
		}
		settle()
		if !a.isOver() || !b.isOver() {
			t.Error("a stream is left open")
		}
	})
}

// What was sent is flushed before the close: here it is held by a handoff, which ends in time.
func TestShutdownInAHandoff(t *testing.T) {
	connected(t, grace(-1), func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2))
		w.expect("a>withack@2")
		x.sent(t, "held")
		w.stop()
		settle()
		if got := sorted(w.take()); got != "a>draining b>draining" {
			t.Errorf("the relay was told %s", got)
		}
		time.Sleep(time.Second)
		a.send(ack(2))
		w.expect("b>receipt0@2(paused 1s) b>data1@2(held) b>close2@2(SERVER_SHUTDOWN)")
	})
}

// Handlers of every kind are ended: those that wait in Receive or Send, and those that know only their context.
func TestShutdownEndsHandlers(t *testing.T) {
	handlers := map[string]appserver.HandlerFunc{
		"waits in Receive": func(_ context.Context, c *appserver.Connection) error {
			_, err := c.Receive(context.Background())
			return err
		},
		"waits in Send": func(_ context.Context, c *appserver.Connection) error {
			for {
				if err := c.Send(context.Background(), appserver.Message{Payload: make([]byte, 4096)}); err != nil {
					return err
				}
			}
		},
		"knows only its context": func(ctx context.Context, _ *appserver.Connection) error {
			<-ctx.Done()
			return context.Cause(ctx)
		},
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			var ended chan error
			run(t, []string{"a"}, func(_ *world, cfg *appserver.Config) {
				ended = make(chan error, 1) // in the bubble, or its clock would stand still
				cfg.ShutdownGrace = time.Second
				cfg.Handler = appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
					err := handler(ctx, c)
					ended <- err
					return err
				})
			}, func(t *testing.T, w *world) {
				w.stream("a", 1).send(open())
				settle()
				began := time.Now()
				w.stop()
				isClosed(t, <-ended, holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN)
				if took := time.Since(began); took != time.Second {
					t.Errorf("it was told after %v", took)
				}
				<-w.returned
			})
		})
	}
}

// Run waits for a handler that takes its time to leave.
func TestRunWaitsForHandlers(t *testing.T) {
	run(t, []string{"a"}, func(_ *world, cfg *appserver.Config) {
		cfg.Handler = appserver.HandlerFunc(func(ctx context.Context, _ *appserver.Connection) error {
			<-ctx.Done()
			time.Sleep(time.Minute)
			return nil
		})
	}, func(t *testing.T, w *world) {
		w.stream("a", 1).send(open())
		settle()
		began := time.Now()
		w.stop()
		if took := w.wait(began); took != time.Minute {
			t.Errorf("Run returned after %v", took)
		}
	})
}

// Nothing is dialled once the context has ended: not for a stream that is lost, nor for a path that is about to go.
func TestNoDialInAShutdown(t *testing.T) {
	connected(t, grace(time.Hour), func(t *testing.T, w *world, a, _ *stream, _ *session) {
		w.stop()
		settle()
		w.ingresses["b"].reload()
		a.finish(status.Error(codes.Unavailable, "cut"))
		time.Sleep(time.Minute)
		if n := len(w.attemptsSoFar()); n != 2 {
			t.Errorf("%d attempts", n)
		}
	})
}

// A shutdown does not wait for an attempt that is under way, or that waits for its turn.
func TestShutdownWhileDialling(t *testing.T) {
	for name, s := range map[string]script{
		"handshake under way": func(attempt) (*holdfastv1.HandshakeResponseMessage, error) { return nil, nil },
		"waiting for its turn": func(attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			return nil, errors.New("not now")
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, []string{"a"}, func(w *world, _ *appserver.Config) { w.script = s }, func(t *testing.T, w *world) {
				time.Sleep(5 * time.Second)
				began := time.Now()
				w.stop()
				if took := w.wait(began); took != 0 {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestRunWithAContextThatHasEnded(t *testing.T) {
	run(t, []string{"a"}, nil, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		server, err := appserver.New(appserver.Config{Relays: []string{"passthrough:///a"}, Application: "test", Handler: w})
		if err != nil {
			t.Fatal(err)
		}
		if err := done(t, begin(func() error { return server.Run(ctx) })); err != nil {
			t.Error(err)
		}
	})
}
