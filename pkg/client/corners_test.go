package client_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/client"
)

// closing returns what Close returns, once it has begun.
func (w *world) closing() <-chan error {
	result := begin(func() error { return w.conn.Close(w.t.Context()) })
	settle()
	return result
}

func TestACloseIsReplayedAfterABreak(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		w.sent("last")
		settle()
		result := w.closing()
		w.expect("1>1:last 1>2:close")
		w.relay.mu.Lock()
		s.logical.received = 0 // neither arrived
		w.relay.mu.Unlock()
		w.home.cut()
		blocks(t, result)
		w.expect("2>welcomed+1:last,2:close")
		w.stream(2).receipt(2)
		w.stream(2).finish(nil)
		if err := done(t, result); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestACloseWhoseReceiptWasLostIsDone(t *testing.T) {
	for reason, good := range map[holdfastv1.ErrorReason]bool{
		holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION:   true,
		holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID: false,
	} {
		run(t, both, nil, func(t *testing.T, w *world) {
			w.stream(1).quiet()
			result := w.closing()
			w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, wireError(reason) })
			w.home.cut()
			pass(10 * time.Second)
			if err := done(t, result); (err == nil) != good {
				t.Errorf("Close after %v: %v", reason, err)
			}
		})
	}
}

func TestACloseThatWasNotSentIsNotDone(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			return nil, wireError(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION)
		})
		w.home.refuse(true)
		w.away.refuse(true)
		w.home.cut()
		settle()
		w.sent("not sent")
		result := w.closing()
		w.away.refuse(false)
		pass(20 * time.Second)
		isClosed(t, done(t, result), client.ReasonUnknownConnection)
	})
}

func TestBothClose(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		s.closes(1, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		settle()
		result := w.closing() // the application's close was not taken yet
		w.expect("1>consumed1")
		s.finish(nil)
		if err := done(t, result); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		result := w.closing()
		w.expect("1>1:close")
		s.closes(1, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		w.expect("1>consumed1")
		s.finish(nil)
		if err := done(t, result); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestCloseWakesASendThatIsBlocked(t *testing.T) {
	run(t, both, func(w *world, _ *client.Config) { w.window = 200 }, func(t *testing.T, w *world) {
		w.stream(1).quiet()
		payload := strings.Repeat("x", 100)
		w.sent(payload)
		sending := begin(func() error { return w.send(payload) })
		settle()
		ending := begin(func() error { return w.conn.CloseSend(t.Context()) })
		blocks(t, sending)
		blocks(t, ending)
		w.closing()
		if err := done(t, sending); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		if err := done(t, ending); !errors.Is(err, client.ErrClosed) {
			t.Errorf("CloseSend: %v", err)
		}
	})
}

// TestTheCloseOfTheApplicationOutlivesItsStream: what came before it was not taken when the stream broke.
func TestTheCloseOfTheApplicationOutlivesItsStream(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.send(1, "last")
		s.closes(2, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		settle()
		w.home.cut()
		pass(time.Second)
		resumed(t, w.attemptsSoFar()[1], "token-1", 1, 0) // the relay that it comes to is to know that it is over
		w.stream(2).closes(2, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		settle()
		w.receives("last")
		if r := done(t, begin(w.receive)); r.err != io.EOF {
			t.Errorf("received %v", r)
		}
		w.expect("2>welcomed 2>consumed2")
		w.stream(2).finish(nil)
		settle()
		<-w.conn.Done()
	})
}

// TestTheRelayMayForgetAConnectionThatWasClosed: the application's close is here, and a resume to acknowledge it is refused.
func TestTheRelayMayForgetAConnectionThatWasClosed(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.send(1, "last")
		s.closes(2, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		settle()
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			return nil, wireError(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION)
		})
		w.home.cut()
		pass(10 * time.Second)
		<-w.conn.Done()
		w.receives("last")
		if r := done(t, begin(w.receive)); r.err != io.EOF {
			t.Errorf("received %v", r)
		}
		for _, e := range w.told() {
			if _, lost := e.(client.Lost); lost {
				t.Errorf("event: %v", e)
			}
		}
	})
}

// TestAConnectionMayEndWhileItMoves: the attempt is given up at once.
func TestAConnectionMayEndWhileItMoves(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, nil })
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
		pass(time.Second)
		if n := len(w.attemptsSoFar()); n != 2 {
			t.Fatalf("there were %d attempts, want 2", n)
		}
		s.finish(wireError(holdfastv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED))
		settle()
		w.lost(client.ReasonPermissionDenied)
	})
}

func TestAReceiptMayEndAConnectionWhileItMoves(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		result := w.closing()
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, nil })
		s.reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
		pass(2 * time.Second)
		s.receipt(1)
		s.finish(nil)
		if err := done(t, result); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestResumedElsewhere has somebody with the same token take the connection, and take its welcome: the app server decides then.
func TestResumedElsewhere(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			return nil, wireError(holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_REPLAYED)
		})
		w.stream(1).finish(everyError()["RESUMED_ELSEWHERE"])
		pass(10 * time.Second)
		w.lost(client.ReasonResumeTokenReplayed)
		if n := len(w.attemptsSoFar()); n != 2 {
			t.Errorf("there were %d attempts, want 2", n)
		}
	})
}

// TestEventsMayClose: Close does not wait for who is told, nor does the connection in the end.
func TestEventsMayClose(t *testing.T) {
	var w *world
	told := make(chan error, 1)
	set := func(made *world, c *client.Config) {
		w = made
		told = make(chan error, 1)
		c.Events = func(e client.Event) {
			if _, ok := e.(client.Recovered); ok {
				told <- w.conn.Close(w.t.Context())
			}
		}
	}
	run(t, both, set, func(t *testing.T, w *world) {
		w.home.cut()
		pass(5 * time.Second)
		if err := done(t, (<-chan error)(told)); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// TestEventsThatNobodyTakes hold up the next move, and not the end.
func TestEventsThatNobodyTakes(t *testing.T) {
	release := make(chan struct{})
	set := func(_ *world, c *client.Config) {
		release = make(chan struct{})
		c.Events = func(client.Event) { <-release }
	}
	run(t, both, set, func(t *testing.T, w *world) {
		for range 20 {
			s := w.stream(w.streamCount())
			if !s.isOver() {
				s.finish(status.Error(codes.Unavailable, "broken"))
			}
			pass(10 * time.Second)
		}
		if n := w.streamCount(); n < 9 || n > 10 { // two events each, 16 of which wait
			t.Errorf("there were %d streams", n)
		}
		_ = w.conn.Close(ended())
		select {
		case <-w.conn.Done():
		default:
			t.Error("it holds on")
		}
		close(release)
	})
}
