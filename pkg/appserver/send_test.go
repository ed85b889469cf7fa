package appserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// A message counts 64 bytes beside its payload: two of the messages of quarter, or four of eighth, fill a window of 512.
var (
	quarter = strings.Repeat("q", 512/2-64)
	eighth  = strings.Repeat("e", 512/4-64)
)

// narrow has the relay give a window of 512 bytes.
func narrow(w *world, _ *appserver.Config) { w.window = 512 }

func TestSend(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, _, _ *stream, x *session) {
		x.sent(t, "one")
		if err := x.Send(t.Context(), appserver.Message{Payload: []byte("grüezi"), Text: true}); err != nil {
			t.Error(err)
		}
		x.sent(t, "")
		w.expect("a>data1@1(one) a>text2@1(grüezi) a>data3@1()")
	})
}

func TestSendRefuses(t *testing.T) {
	connected(t, func(w *world, _ *appserver.Config) { w.largest = 10 }, func(t *testing.T, w *world, _, _ *stream, x *session) {
		large := x.send("eleven byte")
		if !errors.Is(large, appserver.ErrMessageTooLarge) || !strings.Contains(large.Error(), "it has 11 bytes, the limit is 10") {
			t.Errorf("too large: %v", large)
		}
		broken := x.Send(t.Context(), appserver.Message{Payload: []byte("\xff"), Text: true})
		if !errors.Is(broken, appserver.ErrNotUTF8) {
			t.Errorf("not UTF-8: %v", broken)
		}
		w.expect("")
		x.sent(t, "ten bytes!")
		x.sent(t, "\xff") // binary may be anything
		w.expect("a>data1@1(ten bytes!) a>data2@1(\xff)")
	})
}

func TestSendBlocksWhileTheWindowIsFull(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		other := w.open(a, 2)
		x.sent(t, quarter)
		x.sent(t, quarter)
		waiting := begin(func() error { return x.send("third") })
		blocks(t, waiting)
		w.expect("a>data1@1(" + quarter + ") a>data2@1(" + quarter + ")")
		other.sent(t, "not blocked")
		w.expect("a>data1@1(not blocked)#2")
		a.send(receipt(1, 1))
		if err := done(t, waiting); err != nil {
			t.Error(err)
		}
		w.expect("a>data3@1(third)")
	})
}

// A receipt that rides on a message makes room as well.
func TestReceiptOnDataMakesRoom(t *testing.T) {
	connected(t, narrow, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		x.sent(t, quarter)
		x.sent(t, quarter)
		waiting := begin(func() error { return x.send(quarter) })
		blocks(t, waiting)
		riding := data(1, 1, "ping")
		riding.GetData().ConsumedSeq = 2
		a.send(riding)
		if err := done(t, waiting); err != nil {
			t.Error(err)
		}
		x.receives(t, "ping")
	})
}

// A message larger than the window goes alone.
func TestSendLargerThanTheWindow(t *testing.T) {
	connected(t, narrow, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		x.sent(t, strings.Repeat("x", 4096))
		waiting := begin(func() error { return x.send("") })
		blocks(t, waiting)
		a.send(receipt(1, 1))
		if err := done(t, waiting); err != nil {
			t.Error(err)
		}
	})
}

// Both the sender that waits for room and the one that waits behind it give up; neither leaves anything behind.
func TestSendReturnsTheCauseOfTheContext(t *testing.T) {
	connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
		x.sent(t, strings.Repeat("x", 512))
		why := errors.New("enough")
		var cancels []context.CancelCauseFunc
		var waiting []<-chan error
		for range 2 {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancels = append(cancels, cancel)
			waiting = append(waiting, begin(func() error { return x.Send(ctx, appserver.Message{Payload: []byte("never")}) }))
			blocks(t, waiting[len(waiting)-1])
		}
		for i := range cancels { // the one behind first
			cancels[1-i](why)
			if err := done(t, waiting[1-i]); err != why {
				t.Errorf("got %v, want the cause", err)
			}
		}
		w.take()
		a.send(receipt(1, 1))
		x.sent(t, "next")
		w.expect("a>data2@1(next)")
	})
}

// Whatever ends the connection wakes every sender.
func TestTheEndWakesSenders(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(w *world, a *stream, x *session)
		reason holdfastv1.CloseReason
	}{
		"closed by the client": {func(_ *world, a *stream, _ *session) { a.send(gone(1, 1)) }, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE},
		"closed by the handler": {
			func(_ *world, _ *stream, x *session) { x.end <- nil },
			holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED,
		},
		"lost": {func(_ *world, a *stream, _ *session) {
			a.finish(status.Error(codes.Unavailable, "broken pipe"))
		}, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST},
		"shutdown": {func(w *world, _ *stream, _ *session) { w.stop() }, holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, narrow, func(t *testing.T, w *world, a, _ *stream, x *session) {
				x.sent(t, strings.Repeat("x", 512))
				var waiting []<-chan error
				for range 3 {
					waiting = append(waiting, begin(func() error { return x.Send(context.Background(), appserver.Message{}) }))
				}
				blocks(t, waiting[2])
				c.end(w, a, x)
				outlast()
				for _, ch := range waiting {
					isClosed(t, done(t, ch), c.reason)
				}
			})
		})
	}
}

// Several goroutines send through a narrow window: each one's messages stay in order and each goes once.
func TestManySenders(t *testing.T) {
	const senders, each = 8, 40
	connected(t, func(w *world, _ *appserver.Config) {
		w.window = 512
		w.react = func(s *stream, f *holdfastv1.Frame, _ *holdfastv1.DrainingMessage) {
			if f.GetData() != nil {
				s.send(receipt(f.GetData().GetSeq(), 1))
			}
		}
	}, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for n := range each {
					if err := x.send(fmt.Sprintf("%d %d %s", sender, n, eighth[:50])); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		settle()
		var next [senders]int
		var seq uint64
		for _, f := range a.frames {
			d := f.GetData()
			if d == nil {
				continue
			}
			var sender, n int
			if _, err := fmt.Sscanf(string(d.GetPayload()), "%d %d", &sender, &n); err != nil {
				t.Fatal(err)
			}
			if seq++; d.GetSeq() != seq || n != next[sender] {
				t.Fatalf("message %d of sender %d has seq %d; want message %d and seq %d", n, sender, d.GetSeq(), next[sender], seq)
			}
			next[sender]++
		}
		if seq != senders*each {
			t.Errorf("%d messages came", seq)
		}
	})
}
