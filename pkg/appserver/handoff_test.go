package appserver_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// The whole handoff, steps 3 to 8, with traffic under way in both directions. The handler only sends and receives.
func TestHandoff(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		a.send(data(1, 1, "one"))
		x.receives(t, "one")
		x.sent(t, "uno")
		w.expect("a>data1@1(uno)+receipt1")

		b.send(migrate(2)) // step 3
		w.expect("a>withack@2")
		time.Sleep(250 * time.Millisecond)
		x.sent(t, "due") // step 5: accepted, and held
		x.sent(t, "tre")
		b.send(data(3, 2, "three"), data(4, 2, "four")) // these overtook message 2
		x.nothing(t)
		w.expect("") // nothing on either path
		a.send(data(2, 1, "two"))
		x.receives(t, "two")
		x.nothing(t)
		w.expect("")

		a.send(ack(2)) // step 7; step 8 comes after the two waits and the one above
		w.expect("b>receipt2@2(paused 2.25s) b>data2@2(due) b>data3@2(tre)")
		x.receives(t, "three")
		x.receives(t, "four")
		x.sent(t, "quattro")
		pause()
		if err := x.ctx.Err(); err != nil {
			t.Errorf("the handler noticed: %v", err)
		}
		w.expect("b>data4@2(quattro)+receipt4")
	})
}

// The barrier goes behind everything that was sent before it, and nothing goes behind it.
func TestBarrierIsTheLastFrameOnThePrevious(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		for n := range 100 {
			if err := x.send(fmt.Sprint(n)); err != nil { // the writer may be behind
				t.Fatal(err)
			}
		}
		b.send(migrate(2))
		a.send(data(1, 1, "one"))
		settle()
		notes := strings.Fields(w.take())
		if last := notes[len(notes)-1]; last != "a>withack@2" {
			t.Errorf("the last frame on the previous: %s", last)
		}
		sent := len(notes) - 1
		a.send(ack(2))
		want := []string{"b>receipt0@2"}
		for n := sent; n < 100; n++ {
			want = append(want, fmt.Sprintf("b>data%d@2(%d)", n+1, n))
		}
		w.expect(strings.Join(want, " "))
	})
}

// A stream that is slow is no reason for a long pause: the barrier goes ahead of what other connections have to send.
func TestBarrierGoesAheadOfOtherConnections(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, _ *session) {
		const others = 20
		var sessions []*session
		for n := range uint64(others) {
			sessions = append(sessions, w.open(a, n+2))
		}
		release := a.hold()
		for _, other := range sessions {
			other.sent(t, strings.Repeat("x", 200<<10)) // more than the transport takes, all together
		}
		b.send(migrate(2))
		settle()
		release()
		settle()
		before := 0
		for _, f := range a.frames[len(a.frames)-others-1:] {
			if f.GetMigrateWithAck() != nil {
				break
			}
			before++
		}
		if before > others/2 {
			t.Errorf("%d of %d messages of other connections went before the barrier", before, others)
		}
	})
}

// What the handler consumes during the pause is told with the receipt that ends it.
func TestReceiptsAreHeldInAHandoff(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, b *stream, x *session) {
		a.send(data(1, 1, quarter), data(2, 1, "two"))
		b.send(migrate(2))
		w.expect("a>withack@2")
		x.receives(t, quarter, "two") // half the window: due at once, were it not for the handoff
		pause()
		w.expect("")
		a.send(ack(2))
		w.expect("b>receipt2@2(paused 1s)")
		pause()
		w.expect("")
	})
}

// The window holds in the pause too: Send neither fails nor blocks before it is full.
func TestSendInAHandoff(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2))
		w.expect("a>withack@2")
		x.sent(t, quarter)
		x.sent(t, quarter)
		waiting := begin(func() error { return x.send("last") })
		blocks(t, waiting)
		a.send(ack(2))
		w.expect("b>receipt0@2(paused 1s) b>data1@2(" + quarter + ") b>data2@2(" + quarter + ")")
		blocks(t, waiting)
		b.send(receipt(1, 2))
		if err := done(t, waiting); err != nil {
			t.Error(err)
		}
		w.expect("b>data3@2(last)")
	})
}

// A receipt is true whatever path it comes by: it makes room in the pause.
func TestReceiptsAreTakenInAHandoff(t *testing.T) {
	for name, via := range map[string]func(a, b *stream){
		"via the previous": func(a, _ *stream) { a.send(receipt(1, 1)) },
		"via the target":   func(_, b *stream) { b.send(receipt(1, 2)) },
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, narrow, func(t *testing.T, w *world, a, b *stream, x *session) {
				x.sent(t, quarter)
				x.sent(t, quarter)
				b.send(migrate(2))
				w.expect("a>data1@1(" + quarter + ") a>data2@1(" + quarter + ") a>withack@2")
				waiting := begin(func() error { return x.send("room") })
				blocks(t, waiting)
				via(a, b)
				if err := done(t, waiting); err != nil {
					t.Error(err)
				}
				w.expect("")
			})
		})
	}
}

// A connection in a handoff holds up no other one on the same paths.
func TestOthersGoOnInAHandoff(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, b *stream, _ *session) {
		onA, onB := w.open(a, 2), w.open(b, 3)
		b.send(migrate(2))
		w.expect("a>withack@2")
		w.alive(a, onA, 2, 1)
		w.alive(b, onB, 3, 1)
	})
}

// The handler returns in the pause: its unsent messages first, then the close, on the new path.
func TestTheHandlerReturnsInAHandoff(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		note string
	}{"nil": {nil, "APPLICATION_CLOSED"}, "an error": {errors.New("out of cheese"), "APPLICATION_ERROR"}} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
				b.send(migrate(2), data(1, 2, "unread"))
				w.expect("a>withack@2")
				x.sent(t, "one")
				x.sent(t, "two")
				x.end <- c.err
				pause()
				w.expect("")
				a.send(ack(2))
				w.expect("b>receipt1@2(paused 1s) b>data1@2(one) b>data2@2(two) b>close3@2(" + c.note + ")")
				b.send(receipt(3, 2), data(2, 2, "forgotten"))
				w.expect("b>close0@2(UNKNOWN_CONNECTION)")
			})
		})
	}
}

// The client's close overtakes its last messages, which are still on their way via the previous path.
func TestTheClientClosesInAHandoff(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2), data(3, 2, "three"), halfClose(4, 2), gone(5, 2))
		w.expect("a>withack@2")
		x.nothing(t)
		a.send(data(1, 1, "one"), data(2, 1, "two"))
		x.receives(t, "one", "two")
		x.nothing(t)
		a.send(ack(2))
		x.receives(t, "three")
		if got := done(t, begin(x.receive)); got.err != io.EOF {
			t.Errorf("received %v, want io.EOF", got)
		}
		x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE)
		settle()
		if last := describe(b.last()); last != "receipt5@2" {
			t.Errorf("the relay was told %s", last)
		}
	})
}

// The close alone is in the buffer, and the handler has left: neither end waits for the other.
func TestTheClientClosesInAHandoffAndTheHandlerReturns(t *testing.T) {
	connected(t, nil, func(_ *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2), gone(2, 2))
		w.expect("a>withack@2")
		x.end <- nil
		pause()
		w.expect("")
		a.send(data(1, 1, "one"), ack(2))
		w.expect("b>receipt2@2(paused 1s)")
		b.send(data(3, 2, "forgotten"))
		w.expect("b>close0@2(UNKNOWN_CONNECTION)")
	})
}

// A connection goes to and fro many times under traffic, and what is left over on a path that was left is dropped.
func TestManyHandoffs(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		previous, target := a, b
		for n := range uint64(20) {
			move, seq := uint32(n+2), 2*n+1
			previous.send(data(seq, move-1, "old"))
			target.send(migrate(move), data(seq+1, move, "new"))
			settle()
			x.receives(t, "old")
			x.sent(t, "held")
			w.expect(fmt.Sprintf("%s>withack@%d", previous.name, move))
			previous.send(ack(move), data(seq, move-1, "stale")) // the peer's Ack should be its last frame here
			settle()
			x.receives(t, "new")
			// What the handler consumes may ride on the message, or not.
			got := strings.ReplaceAll(w.take(), fmt.Sprintf("+receipt%d", seq+1), "")
			want := fmt.Sprintf("%[1]s>receipt%[2]d@%[3]d %[1]s>data%[4]d@%[3]d(held)", target.name, seq, move, n+1)
			if n == 0 { // a reason is told once
				want = fmt.Sprintf("%s>reject@%d(REJECT_REASON_STALE_EPOCH) %s", previous.name, move-1, want)
			}
			if sorted(got) != sorted(want) {
				t.Fatalf("move %d:\n\t%s\nwant\n\t%s", move, got, want)
			}
			previous, target = target, previous
			pause()
			w.take()
		}
	})
}
