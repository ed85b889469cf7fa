package appserver_test

import (
	"testing"
	"time"
)

// What was taken by the handler is told shortly after, once for all of it.
func TestReceiptComesShortlyAfter(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), data(2, 1, "two"), data(3, 1, "three"))
		pause()
		w.expect("") // the handler has taken nothing yet
		x.receives(t, "one")
		time.Sleep(10 * time.Millisecond)
		x.receives(t, "two")
		w.expect("")
		time.Sleep(10 * time.Millisecond)
		w.expect("a>receipt2@1")
		pause()
		w.expect("")
		x.receives(t, "three")
		w.expect("")
		time.Sleep(20 * time.Millisecond)
		w.expect("a>receipt3@1")
	})
}

func TestReceiptComesAtOnceAtHalfTheWindow(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, eighth), data(2, 1, eighth), data(3, 1, eighth))
		x.receives(t, eighth)
		w.expect("")
		x.receives(t, eighth)
		w.expect("a>receipt2@1") // half of it
		x.receives(t, eighth)
		w.expect("")
		time.Sleep(20 * time.Millisecond)
		w.expect("a>receipt3@1")
	})
}

func TestReceiptRidesOnData(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), data(2, 1, "two"))
		x.receives(t, "one", "two")
		x.sent(t, "answer")
		w.expect("a>data1@1(answer)+receipt2")
		pause()
		w.expect("") // it was told
		x.sent(t, "more")
		w.expect("a>data2@1(more)")
	})
}

// The credit is worth a window and no less, over any number of messages.
func TestReceiptsKeepTheWindowOpen(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		for n := range uint64(50) {
			a.send(data(2*n+1, 1, quarter), data(2*n+2, 1, quarter))
			settle()
			w.expect("")
			x.receives(t, quarter, quarter)
			if settle(); a.last().GetReceipt().GetConsumedSeq() != 2*n+2 {
				t.Fatalf("after message %d: %v", 2*n+2, a.last())
			}
			w.take()
		}
	})
}

// Each connection has receipts of its own, and they share a message.
func TestReceiptsOfSeveralConnections(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		other := w.open(a, 2)
		a.send(data(1, 1, "one"), on(2, data(1, 1, "uno")))
		x.receives(t, "one")
		time.Sleep(5 * time.Millisecond)
		other.receives(t, "uno")
		time.Sleep(15 * time.Millisecond)
		w.expect("a>receipt1@1 a>receipt1@1#2")
		pause()
		w.expect("")
	})
}
