package appserver_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// A relay that says at once that the path is about to go, as one that shuts down may, must not be dialled without a
// pause.
func TestRedialOfAPathThatIsAlwaysAboutToGo(t *testing.T) {
	flood(t, func(s *stream) {
		s.sendMessage(&holdfastv1.AttachResponse{Draining: &holdfastv1.DrainingMessage{Detail: "shutting down"}})
		s.finish(nil)
	})
}

// Nor an ingress that breaks the transport after each handshake.
func TestRedialOfATransportThatIsCut(t *testing.T) {
	flood(t, func(s *stream) {
		time.Sleep(time.Millisecond) // or it would be the handshake that fails
		s.relay.ingresses["a"].cut()
	})
}

// flood checks that attempts take time when each of them comes to nothing. After two hundred it lets one live, as
// time stands still while the app server is busy.
func flood(t *testing.T, fail func(*stream)) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		attempts := 0
		w.attached = func(s *stream) {
			if attempts++; attempts <= 200 {
				fail(s)
			}
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		if n := len(w.attemptsSoFar()); n > 50 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

// Two addresses lead through different ingresses, and one answers a little later: there is nothing to spread.
func TestNothingIsSpreadBeforeAllAnswered(t *testing.T) {
	run(t, []string{"a", "b"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = 2
		w.react = endDrained
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if a.ingress == "b" {
				time.Sleep(10 * time.Millisecond)
			}
			return w.welcome(a.ingress), nil
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		if n := len(w.attemptsSoFar()); n != 4 {
			t.Errorf("%d attempts for 4 server connections", n)
		}
	})
}

// A path that lived for an hour and went with a goodbye is redialled as if nothing had happened before, like one that
// was lost.
func TestBackoffStartsAnewAfterAGoodbye(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if a.n <= 12 || a.n == 14 {
				return nil, errors.New("not yet")
			}
			return w.welcome(a.ingress), nil
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(time.Hour)
		began := time.Now()
		w.ingresses["a"].reload()
		time.Sleep(time.Minute)
		attempts := w.attemptsSoFar()
		last := attempts[len(attempts)-1]
		if gap := last.at.Sub(began); last.n != 15 || gap > 76*time.Millisecond {
			t.Errorf("%d attempts, the last %v after the GOAWAY", last.n, gap)
		}
	})
}

// A connection that the relay opens while the last ones are being closed is told SERVER_SHUTDOWN, as they are.
func TestOpenAfterTheGrace(t *testing.T) {
	connected(t, grace(-1), func(t *testing.T, w *world, a, _ *stream, _ *session) {
		w.stop()
		settle()
		w.take()
		a.send(on(2, open()))
		settle()
		if last := describe(a.last()); last != "close1@1(SERVER_SHUTDOWN)#2" && last != "close0@1(SERVER_SHUTDOWN)#2" {
			t.Errorf("the relay was told %s", last)
		}
		<-w.returned
		if len(w.sessions) > 0 {
			isClosed(t, context.Cause((<-w.sessions).ctx), holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN)
		}
	})
}

// counting is a context that counts who waits for its end.
type counting struct {
	context.Context
	waiting atomic.Int64
}

// AfterFunc is what context.AfterFunc uses when there is one.
func (c *counting) AfterFunc(f func()) (stop func() bool) {
	c.waiting.Add(1)
	inner := context.AfterFunc(c.Context, f)
	return func() bool {
		c.waiting.Add(-1)
		return inner()
	}
}

// Value hides that the context within could be waited for directly.
func (*counting) Value(any) any { return nil }

// An attempt that got no answer leaves nothing behind in the context of Run.
func TestSilentHandshakesLeaveNothingBehind(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.script = func(attempt) (*holdfastv1.HandshakeResponseMessage, error) { return nil, nil }
	}, func(t *testing.T, w *world) {
		w.stop()
		<-w.returned
		server, err := appserver.New(w.config)
		if err != nil {
			t.Fatal(err)
		}
		inner, cancel := context.WithCancel(t.Context())
		ctx := &counting{Context: inner}
		ran := begin(func() error { return server.Run(ctx) })
		time.Sleep(time.Hour)
		if n := ctx.waiting.Load(); n > 1 {
			t.Errorf("%d functions wait for the end of the context", n)
		}
		cancel()
		<-ran
	})
}
