package logical

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/pkg/wire/wiretest"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// wide returns a settled rig whose window lets many messages wait.
func wide(t *testing.T) *rig {
	return settledWith(t, &serverconn.Conn{Path: 1, ID: "1", Window: 1 << 20, Writer: wire.NewWriter(1, time.Hour, nil)})
}

// settledOn returns a settled rig whose path 1 has that writer.
func settledOn(t *testing.T, w *wire.Writer) *rig {
	return settledWith(t, &serverconn.Conn{Path: 1, ID: "1", Window: window, Writer: w})
}

func settledWith(t *testing.T, s *serverconn.Conn) *rig {
	r := newRig(t)
	if r.paths[1] = s; !s.Acquire() {
		t.Fatal("a new server connection is ending")
	}
	r.Connection = New(Info{ID: 42}, s, r, nil)
	r.pull(1)
	r.must(r.receive(1, 1, receipt(0)))
	r.told = nil
	return r
}

// What the client's writer takes at once is bounded, and the end is not taken with messages.
func TestTakeIsBounded(t *testing.T) {
	for _, c := range []struct {
		name           string
		messages, size int
		takes          []int
	}{
		{"few", 3, 10, []int{3}},
		{"many small ones", 300, 10, []int{128, 128, 44}},
		{"by size", 5, 10 << 10, []int{2, 2, 1}},
		{"one over the size is taken alone", 3, 30 << 10, []int{1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := wide(t)
			for i := range c.messages {
				r.must(r.receive(1, 1, data(uint64(i+1), fmt.Sprintf("%d %s", i, strings.Repeat("x", c.size-5)))))
			}
			r.must(r.receive(1, 1, closing(uint64(c.messages+1), holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED)))
			next := 0
			for _, want := range c.takes {
				got, closure := r.take()
				if len(got) != want || closure != nil {
					t.Fatalf("took %d messages and %v, want %d", len(got), closure, want)
				}
				select {
				case <-r.Over(): // the client may still be at these messages
					t.Fatal("over before the last message was taken")
				default:
				}
				for _, m := range got {
					if !strings.HasPrefix(m, fmt.Sprintf("%d ", next)) {
						t.Fatalf("message %d is %.10q", next, m)
					}
					next++
				}
			}
			if got, closure := r.take(); len(got) != 0 || closure == nil || closure.Detail != "why" {
				t.Errorf("at the end: %d messages and %v", len(got), closure)
			}
		})
	}
}

func TestTakeWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig, cancel func())
		want string
	}{
		{"for a message", func(r *rig, _ func()) { r.must(r.receive(1, 1, data(1, "x"))) }, "1 messages"},
		{"for the end", func(r *rig, _ func()) { r.lose("cut") }, "0 messages, SERVER_LOST"},
		{"for its context", func(_ *rig, cancel func()) { cancel() }, "0 messages, context canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := settled(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				result := make(chan string, 1)
				go func() {
					taken, closure, err := r.Take(ctx, nil, nil)
					words := fmt.Sprintf("%d messages", len(taken))
					if closure != nil {
						words += ", " + strings.TrimPrefix(closure.Reason.String(), "CLOSE_REASON_")
					}
					if err != nil {
						words += ", " + err.Error()
					}
					result <- words
				}()
				synctest.Wait()
				if len(result) != 0 {
					t.Fatalf("did not wait: %s", <-result)
				}
				c.end(r, cancel)
				if got := <-result; got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
			})
		})
	}
}

// A receipt says what the client's transport took, no more: that is the credit of the app server.
func TestReceiptFollowsConsumption(t *testing.T) {
	r := settled(t)
	for i := range 4 {
		r.must(r.receive(1, 1, data(uint64(i+1), "x")))
	}
	if got := r.pull(1); got != "" {
		t.Errorf("before anything was consumed: %s", got)
	}
	r.take()
	if got := r.pull(1); got != "" {
		t.Errorf("taken but not sent to the client: %s", got)
	}
	r.Consume(4)
	if got := r.pull(1); got != "Receipt@1" {
		t.Errorf("consumed: sent %q, want a receipt", got)
	}
	if s := r.Snapshot(); s.Sent != 4 {
		t.Errorf("%d messages are counted", s.Sent)
	}
	r.Consume(0)
	if got := r.pull(1); got != "" {
		t.Errorf("said again: %s", got)
	}
}

// A receipt waits a little for a message to ride on, but not when half the window is consumed: the sender may stand still.
func TestReceiptIsDueAtHalfTheWindow(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		want time.Duration
	}{
		{"less", window/2 - ordering.MessageOverhead - 1, 20 * time.Millisecond},
		{"half", window/2 - ordering.MessageOverhead, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := make(chan time.Duration, 10)
				began := time.Now()
				r := settledOn(t, wire.NewWriter(1, time.Hour, func(b *wire.Batch) error {
					for _, f := range wiretest.Frames(t, b) {
						if f.GetReceipt() != nil {
							sent <- time.Since(began)
						}
					}
					return nil
				}))
				w := r.paths[1].Writer
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { _ = w.Run(ctx) })
				synctest.Wait()
				r.must(r.receive(1, 1, data(1, strings.Repeat("x", c.size))))
				r.take()
				r.Consume(1)
				if got := <-sent; got != c.want {
					t.Errorf("the receipt went after %v, want %v", got, c.want)
				}
				cancel()
				wg.Wait()
				w.Wait()
			})
		})
	}
}

// What still comes for a client that is gone is consumed unseen, or its sender would stand still before the window.
func TestWhatComesForAClientThatIsGoneIsConsumed(t *testing.T) {
	r := settled(t)
	r.must(r.receive(1, 1, data(1, "waits")))
	r.ClientGone("")
	r.pull(1)
	r.must(r.receive(1, 1, data(2, "comes")))
	if got := r.pull(1); got != "Receipt@1" {
		t.Errorf("sent %q, want a receipt", got)
	}
	if got, closure := r.take(); len(got) != 0 || closure == nil {
		t.Errorf("took %q and %v, want the end only", got, closure)
	}
}

// What the app server may not send ends this connection and says which rule it broke.
func TestReceiveRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		move uint64
		f    *holdfastv1.Frame
		want string
	}{
		{"text that is not UTF-8", 1, data(1, "\xff"), "UTF-8"},
		{"a half-close", 1, &holdfastv1.Frame{Body: &holdfastv1.Frame_HalfClose{HalfClose: &holdfastv1.HalfCloseMessage{Seq: 1}}}, "half-close"},
		{"an epoch of the future", 2, data(1, "x"), "Epoch"},
		{"an Open", 1, &holdfastv1.Frame{Body: &holdfastv1.Frame_Open{}}, "Order"},
		{"an Ack", 1, &holdfastv1.Frame{Body: &holdfastv1.Frame_Ack{}}, "Order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := settled(t)
			if err := r.receive(1, c.move, c.f); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			r.expect("released 1", "ended on 1 PROTOCOL_ERROR")
			if _, closure := r.take(); closure == nil || closure.Reason != holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR {
				t.Errorf("the client is told %v", closure)
			}
		})
	}
}

// Messages that are missing are asked for again, once.
func TestGap(t *testing.T) {
	r := settled(t)
	r.must(r.receive(1, 1, data(1, "one")))
	if err := r.receive(1, 1, data(3, "three")); err == nil || !strings.Contains(err.Error(), "Gap") {
		t.Errorf("got %v", err)
	}
	r.expect("parked from 1") // which may be the only one there is
	r.must(r.Resume(r.paths[2]))
	r.expect("released 1")
	if got := r.pull(2); got != "Resume@2" {
		t.Errorf("sent %s", got)
	}
	r.must(r.receive(2, 2, &holdfastv1.Frame{Body: &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{}}}))
	r.must(r.receive(2, 2, data(2, "two")))
	r.told = nil
	if err := r.receive(2, 2, data(4, "four")); err == nil {
		t.Error("a second gap is taken")
	}
	r.expect("released 2", "ended on 2 PROTOCOL_ERROR")
}

func TestDroppedFramesAreTold(t *testing.T) {
	r := settled(t)
	r.must(r.receive(1, 1, data(1, "x")))
	r.must(r.receive(1, 1, data(1, "x")))
	r.must(r.receive(1, 1, data(1, "x")))
	r.must(r.receive(2, 1, data(2, "x")))
	r.must(r.receive(1, 0, data(2, "x")))
	r.expect("dropped Duplicate true", "dropped Duplicate false", "dropped WrongPath true", "dropped StaleEpoch true")
	if got, _ := r.take(); len(got) != 1 {
		t.Errorf("the client gets %q, want the message once", got)
	}
}

// The target may go between its choice and the begin of the move: then nobody would tell the connection of its end.
func TestMigrateToAPathThatHasEnded(t *testing.T) {
	r := settled(t)
	r.paths[2].SetEnded()
	if err := r.Migrate(r.paths[2], Why{}); err == nil {
		r.expect("released 2", "parked from 1 path_lost")
	}
	if r.View().State == placement.InHandoff {
		t.Error("it waits for an answer that cannot come")
	}
}

func TestLostPathOfAnotherIsNone(t *testing.T) {
	r := settled(t)
	r.Lost(r.paths[2])
	r.expect()
	r.must(r.Push(t.Context(), ordering.Message{Kind: ordering.Text}))
}
