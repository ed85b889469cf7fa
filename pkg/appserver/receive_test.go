package appserver_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

func TestConnectionKnowsItsClient(t *testing.T) {
	run(t, []string{"a"}, nil, func(t *testing.T, w *world) {
		x := w.open(w.stream("a", 1), 0x0123456789abcdef)
		if x.ID() != "0123456789abcdef" || x.ClientIngress() != "c" || x.ClientAddress() != "192.0.2.1:5000" {
			t.Errorf("id %s, ingress %s, address %s", x.ID(), x.ClientIngress(), x.ClientAddress())
		}
	})
}

// An Open is confirmed at once, so that the relay may move the connection.
func TestOpenIsConfirmedAtOnce(t *testing.T) {
	run(t, []string{"a"}, nil, func(_ *testing.T, w *world) {
		w.stream("a", 1).send(open())
		w.expect("a>receipt0@1")
		pause()
		w.expect("")
	})
}

func TestReceiveInOrder(t *testing.T) {
	connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), text(2, 1, "two"))
		a.send(data(3, 1, ""), halfClose(4, 1))
		a.send(closing(5, 1, holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER, "took nothing"))
		settle()
		for _, want := range []received{{payload: "one"}, {payload: "two", text: true}, {}, {err: io.EOF}} {
			if got := done(t, begin(x.receive)); got != want {
				t.Fatalf("received %v, want %v", got, want)
			}
		}
		for range 2 { // the end stays
			why := x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_SLOW_CONSUMER)
			if why.Detail != "took nothing" || why.Error() != "connection closed: SLOW_CONSUMER: took nothing" {
				t.Errorf("closed: %+v, %v", why, why)
			}
		}
	})
}

// io.EOF comes once; after it Receive waits for the close, and the client still gets what is sent.
func TestReceiveWaitsAfterHalfClose(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(halfClose(1, 1))
		if got := done(t, begin(x.receive)); got.err != io.EOF {
			t.Fatalf("received %v", got)
		}
		waiting := begin(x.receive)
		blocks(t, waiting)
		w.take()
		x.sent(t, "still there")
		w.expect("a>data1@1(still there)")
		a.send(gone(2, 1))
		isClosed(t, done(t, waiting).err, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
	})
}

func TestReceiveBlocksUntilAMessageComes(t *testing.T) {
	connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		waiting := begin(x.receive)
		blocks(t, waiting)
		a.send(data(1, 1, "late"))
		if got := done(t, waiting); got.payload != "late" {
			t.Errorf("received %v", got)
		}
	})
}

func TestReceiveReturnsTheCauseOfTheContext(t *testing.T) {
	connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		ctx, cancel := context.WithCancelCause(t.Context())
		waiting := begin(func() error { _, err := x.Receive(ctx); return err })
		blocks(t, waiting)
		why := errors.New("enough")
		cancel(why)
		if err := done(t, waiting); err != why {
			t.Errorf("got %v, want the cause", err)
		}
		a.send(data(1, 1, "not lost"))
		x.receives(t, "not lost")
	})
}

// However a connection ends, what came before is delivered first.
func TestMessagesBeforeTheEndAreDelivered(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(a *stream)
		reason holdfastv1.CloseReason
		detail string
	}{
		"closed": {func(a *stream) { a.send(gone(4, 1)) }, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, "went away"},
		"unknown to the relay": {func(a *stream) {
			a.send(closing(0, 1, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION, "who?"))
		}, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION, "who?"},
		"server connection lost": {func(a *stream) {
			a.finish(status.Error(codes.Unavailable, "broken pipe"))
		}, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, "sc-a was lost and the relay has not resumed the connection: rpc error: code = Unavailable desc = broken pipe"},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
				a.send(data(1, 1, "one"), data(2, 1, "two"), data(3, 1, "three"))
				c.end(a)
				outlast()
				x.receives(t, "one", "two", "three")
				if why := x.closed(t, c.reason); !strings.Contains(why.Detail, c.detail) {
					t.Errorf("detail: %s", why.Detail)
				}
			})
		})
	}
}

// A close with seq 0 is an answer: it ends the connection at once and gets no answer.
func TestCloseFromARelayThatDoesNotKnowTheConnection(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(closing(0, 1, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION, "who?"))
		x.lost(t, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION)
		<-x.left
		pause()
		w.expect("")
		a.send(data(1, 1, "late"))
		w.expect("a>close0@1(UNKNOWN_CONNECTION)")
	})
}

// What the relay says about a frame of ours asks for nothing.
func TestRejectOfTheRelayChangesNothing(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, _ *stream, x *session) {
		a.send(reject(1), on(99, reject(1)))
		w.expect("")
		w.alive(a, x, 1, 1)
	})
}
