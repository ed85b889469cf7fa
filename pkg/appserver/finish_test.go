package appserver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// What the handler returns is told to the client, after all that the handler sent.
func TestTheHandlerReturns(t *testing.T) {
	limit := &appserver.CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, Detail: "over the limit"}
	for name, c := range map[string]struct {
		err    error
		note   string
		detail string
	}{
		"nil":                  {nil, "APPLICATION_CLOSED", ""},
		"an error":             {errors.New("out of cheese"), "APPLICATION_ERROR", "out of cheese"},
		"a CloseError":         {limit, "OPERATOR", "over the limit"},
		"a wrapped CloseError": {fmt.Errorf("serving: %w", limit), "OPERATOR", "over the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
				const messages = 40 // more than the writer takes in one turn
				var want []string
				for n := range messages {
					x.sent(t, fmt.Sprint(n))
					want = append(want, fmt.Sprintf("a>data%d@1(%d)", n+1, n))
				}
				x.end <- c.err
				w.expect(strings.Join(want, " ") + fmt.Sprintf(" a>close%d@1(%s)", messages+1, c.note))
				if detail := a.last().GetClose().GetDetail(); detail != c.detail {
					t.Errorf("detail %q", detail)
				}
				pause()
				w.expect("")
			})
		})
	}
}

// A full window keeps no connection from ending.
func TestTheHandlerReturnsWithAFullWindow(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, _, _ *stream, x *session) {
		x.sent(t, strings.Repeat("x", 512))
		w.take()
		x.end <- nil
		w.expect("a>close2@1(APPLICATION_CLOSED)")
	})
}

// Until the close was received the connection is known, and what still comes is consumed unseen; then it is forgotten.
func TestForgottenAfterTheReceiptOfItsClose(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		x.sent(t, "one")
		x.end <- nil
		w.expect("a>data1@1(one) a>close2@1(APPLICATION_CLOSED)")
		a.send(data(1, 1, "crossing the close"))
		w.expect("a>receipt1@1") // nobody waits for a better moment
		a.send(receipt(1, 1))
		a.send(data(2, 1, "known"))
		w.expect("a>receipt2@1")
		a.send(receipt(2, 1))
		a.send(data(3, 1, "forgotten"))
		w.expect("a>close0@1(UNKNOWN_CONNECTION)")
	})
}

// Messages that waited for the handler are consumed unseen when it returns.
func TestTheHandlerReturnsWithMessagesUnread(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), data(2, 1, "two"))
		settle()
		x.end <- nil
		w.expect("a>close1@1(APPLICATION_CLOSED) a>receipt2@1")
	})
}

// A close of the client is answered with a receipt and nothing else, when the handler has taken what came before.
func TestTheClientCloses(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), gone(2, 1))
		pause()
		w.expect("") // nothing is consumed yet
		x.receives(t, "one")
		err := x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
		w.expect("a>receipt2@1")
		isClosed(t, x.send("late"), holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
		a.send(data(3, 1, "forgotten"))
		w.expect("a>close0@1(UNKNOWN_CONNECTION)")
		x.end <- err
		pause()
		w.expect("")
	})
}

func TestTheClientClosesAndTheHandlerDoesNotLook(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), gone(2, 1))
		settle()
		x.end <- nil
		w.expect("a>receipt2@1")
		pause()
		w.expect("")
		a.send(data(3, 1, "forgotten"))
		w.expect("a>close0@1(UNKNOWN_CONNECTION)")
	})
}

// Both ends close at the same time: each tells the other that its close arrived, and both forget.
func TestClosesCross(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, _ *stream, x *session) {
		x.end <- nil
		w.expect("a>close1@1(APPLICATION_CLOSED)")
		a.send(gone(1, 1))
		w.expect("a>receipt1@1")
		a.send(receipt(1, 1)) // late, for a connection that is over: no answer
		w.expect("")
		a.send(data(2, 1, "forgotten"))
		w.expect("a>close0@1(UNKNOWN_CONNECTION)")
	})
}

// An error that quotes what a client sent must not take the server connection, and every connection on it, with it.
func TestAnErrorThatIsNotUTF8EndsItsConnectionOnly(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		other := w.open(a, 2)
		x.end <- errors.New("bad input: \xff\xfe")
		w.expect("a>close1@1(APPLICATION_ERROR)")
		if detail := a.last().GetClose().GetDetail(); detail != "bad input: \uFFFD" {
			t.Errorf("detail %q", detail)
		}
		w.alive(a, other, 2, 1)
	})
}

// Nor may one that is long.
func TestAHugeErrorEndsItsConnectionOnly(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, _ *stream, x *session) {
		other := w.open(a, 2)
		x.end <- errors.New(strings.Repeat("x", 2<<20))
		w.expect("a>close1@1(APPLICATION_ERROR)")
		w.alive(a, other, 2, 1)
	})
}
