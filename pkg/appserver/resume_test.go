package appserver_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// The steps of a resume: the answer says what was received, and what the relay has not got is replayed behind it.
func TestResume(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		a.send(data(1, 1, "one"), data(2, 1, "two"))
		x.receives(t, "one")
		for _, payload := range []string{"uno", "due", "tre"} {
			x.sent(t, payload)
		}
		pause()
		w.take()
		a.finish(status.Error(codes.Unavailable, "broken pipe"))
		time.Sleep(20 * time.Second)
		x.sent(t, "quattro") // while nothing carries it
		x.receives(t, "two")
		w.expect("")
		b.send(resume(2, 2)) // "tre" never arrived
		w.expect("b>withack2@2 b>receipt2@2 b>data3@2(tre) b>data4@2(quattro)")
		b.send(data(3, 2, "three"), receipt(4, 2))
		x.receives(t, "three")
		outlast() // it is not taken for lost
		x.sent(t, "cinque")
		w.expect("b>receipt3@2 b>data5@2(cinque)")
	})
}

// In a handoff a resume discards the buffer, whose messages are replayed, and ends the pause.
func TestResumeInAHandoff(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2), data(2, 2, "two"))
		w.expect("a>withack@2")
		x.sent(t, "held")
		x.nothing(t)
		a.finish(status.Error(codes.Unavailable, "broken pipe"))
		settle()
		w.take()
		b.send(resume(3, 0))
		w.expect("b>withack@3 b>data1@3(held)")
		x.nothing(t)
		b.send(data(1, 3, "one"), data(2, 3, "two"))
		x.receives(t, "one", "two")
	})
}

// An Open that comes again opens nothing twice: not while the connection lives, and not after it has ended.
func TestOpenThatComesAgain(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		x.sent(t, "uno")
		w.take()
		again := open()
		again.Epoch++
		b.send(again, data(1, 2, "one"))
		w.expect("b>withack@2 b>data1@2(uno)")
		x.receives(t, "one")
		b.send(gone(2, 2))
		x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
		pause()
		w.take()
		late := open()
		late.Epoch += 2
		a2 := w.stream("a", 1)
		a2.send(late)
		w.expect("a>close0@3(UNKNOWN_CONNECTION)")
		if n := len(w.sessions); n != 0 {
			t.Errorf("%d connections were opened again", n)
		}
	})
}
