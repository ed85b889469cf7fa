package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/client"
)

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// message is a request with one text message.
func message(seq uint64, text string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{FirstSeq: seq, Messages: []*holdfastv1.ClientMessage{
		{Content: &holdfastv1.ClientMessage_Text{Text: text}},
	}}
}

func TestMessagesAreNumberedAndDeliveredInOrder(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		w.sent("one")
		w.expect("1>1:one")
		w.sent("two")
		w.expect("1>2:two")
		s.send(1, "eins", "zwei")
		s.respond(&holdfastv1.ConnectResponse{FirstSeq: 3, Content: &holdfastv1.ConnectResponse_Text{Text: "drei"}})
		s.respond(&holdfastv1.ConnectResponse{FirstSeq: 4, Content: &holdfastv1.ConnectResponse_Binary{Binary: []byte("vier")}})
		w.receives("eins", "zwei", "drei", "vier")
		if m := w.conn.MaxMessageBytes(); m != 16<<10 {
			t.Errorf("the message limit is %d, want what the relay said", m)
		}
		if w.conn.ID() != "0000000000000001" || w.conn.Application() != "test" || w.conn.Relay() != "relay-"+w.home.name {
			t.Errorf("connection %s of application %s at %s", w.conn.ID(), w.conn.Application(), w.conn.Relay())
		}
	})
}

func TestBinaryMessages(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		for _, payload := range [][]byte{{0xff, 0x00}, nil} {
			if err := w.conn.Send(t.Context(), client.Message{Payload: payload}); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		w.expect("1>1:ff00 1>2:")
		w.stream(1).respond(&holdfastv1.ConnectResponse{FirstSeq: 1, Messages: []*holdfastv1.ClientMessage{
			{Content: &holdfastv1.ClientMessage_Binary{Binary: []byte{0xfe}}},
			{Content: &holdfastv1.ClientMessage_Text{Text: ""}},
		}})
		for _, want := range []client.Message{{Payload: []byte{0xfe}}, {Text: true}} {
			m, err := w.conn.Receive(t.Context())
			if err != nil || m.Text != want.Text || string(m.Payload) != string(want.Payload) {
				t.Errorf("received %v, %v; want %v", m, err, want)
			}
		}
	})
}

func TestSendRefusesWhatCannotBeSent(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		ctx := t.Context()
		if err := w.conn.Send(ctx, client.Message{Payload: make([]byte, 16<<10+1)}); !errors.Is(err, client.ErrMessageTooLarge) {
			t.Errorf("a large message: %v", err)
		}
		if err := w.conn.Send(ctx, client.Message{Payload: []byte{0xff}, Text: true}); !errors.Is(err, client.ErrNotUTF8) {
			t.Errorf("a text that is none: %v", err)
		}
		if err := w.conn.Send(ctx, client.Message{Payload: make([]byte, 16<<10)}); err != nil {
			t.Errorf("a message at the limit: %v", err)
		}
		w.sent("still here")
	})
}

func TestAFullWindowBlocksSend(t *testing.T) {
	run(t, both, func(w *world, _ *client.Config) { w.window = 10 * 164 }, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		payload := strings.Repeat("x", 100) // 164 bytes of the window
		for range 10 {
			w.sent(payload)
		}
		eleventh := begin(func() error { return w.send(payload) })
		blocks(t, eleventh)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.conn.Send(ctx, client.Message{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a Send behind a blocked one: %v", err)
		}
		s.receipt(1)
		if err := done(t, eleventh); err != nil {
			t.Errorf("after a receipt: %v", err)
		}
		twelfth := begin(func() error { return w.send(payload) })
		blocks(t, twelfth)
		s.receipt(11)
		if err := done(t, twelfth); err != nil {
			t.Errorf("after a receipt for all: %v", err)
		}
	})
}

func TestManySendersAtOnce(t *testing.T) {
	const senders, each = 8, 200
	run(t, both, func(w *world, _ *client.Config) { w.window = 4 << 10 }, func(t *testing.T, w *world) {
		var wg sync.WaitGroup
		for n := range senders {
			wg.Go(func() {
				for i := range each {
					if err := w.send(fmt.Sprint(n, ".", i)); err != nil {
						t.Errorf("sender %d: %v", n, err)
					}
				}
			})
		}
		wg.Wait()
		settle()
		w.relay.mu.Lock()
		defer w.relay.mu.Unlock()
		next := make(map[string]int) // by sender; the relay checks the numbers
		for _, note := range w.notes {
			_, list, _ := strings.Cut(note, ">")
			for item := range strings.SplitSeq(list, ",") {
				_, payload, _ := strings.Cut(item, ":")
				sender, i, _ := strings.Cut(payload, ".")
				if i != fmt.Sprint(next[sender]) {
					t.Fatalf("sender %s: message %s came when %d was due", sender, i, next[sender])
				}
				next[sender]++
			}
		}
		for n := range senders {
			if next[fmt.Sprint(n)] != each {
				t.Errorf("%d of the %d messages of sender %d came", next[fmt.Sprint(n)], each, n)
			}
		}
	})
}

func TestReceiptsRideOrComeShortly(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		pass(time.Second)
		s.send(1, "one")
		w.receives("one")
		w.expect("") // it waits for a message to ride on
		w.sent("two")
		w.expect("1>1:two+consumed1")
		s.send(2, "three", "four")
		w.receives("three")
		pass(19 * time.Millisecond)
		w.receives("four")
		w.expect("")
		pass(time.Millisecond)
		w.expect("1>consumed3")
		pass(time.Minute)
		w.expect("")
	})
}

func TestAReceiptIsDueAtHalfTheWindow(t *testing.T) {
	run(t, both, func(w *world, _ *client.Config) { w.window = 10 * 164 }, func(t *testing.T, w *world) {
		s := w.stream(1)
		pass(time.Second)
		payload := strings.Repeat("x", 100)
		for seq := range uint64(10) {
			s.send(seq+1, payload)
		}
		w.receives(payload, payload, payload, payload)
		w.expect("")
		w.receives(payload)
		w.expect("1>consumed5")
	})
}

func TestWhatIsNotTakenIsNotAcknowledged(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.stream(1).send(1, "one", "two")
		pass(time.Minute)
		w.expect("")
		ctx, cancel := context.WithCancel(t.Context())
		w.receives("one", "two")
		nothing := begin(func() error { _, err := w.conn.Receive(ctx); return err })
		blocks(t, nothing)
		cancel()
		if err := done(t, nothing); !errors.Is(err, context.Canceled) {
			t.Errorf("Receive: %v", err)
		}
	})
}

func TestMessagesThatWaitGoInBoundedBatches(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		// With no stream there is nothing to send by, so that all of them wait.
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, nil })
		w.stream(1).finish(wireError(holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED))
		settle()
		for i := range 300 {
			w.sent(fmt.Sprint(i))
		}
		w.sent(strings.Repeat("y", 10<<10), strings.Repeat("y", 10<<10), strings.Repeat("y", 10<<10), strings.Repeat("y", 5<<10))
		w.answers(nil)
		pass(time.Minute)
		s := w.stream(2)
		w.relay.mu.Lock()
		defer w.relay.mu.Unlock()
		var sizes []int
		for _, note := range w.notes {
			sizes = append(sizes, 1+strings.Count(note, ","))
		}
		// 300 small messages, and four large ones of which the first three fill a request.
		if got := fmt.Sprint(sizes); got != "[128 128 47 1]" || s.logical.received != 304 {
			t.Errorf("%d messages came in requests of %s", s.logical.received, got)
		}
	})
}

func TestTheApplicationCloses(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		pass(time.Second)
		s.send(1, "last")
		s.closes(2, holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED, "")
		settle()
		if err := w.send("too late"); !errors.Is(err, io.EOF) {
			t.Errorf("Send: %v", err)
		}
		w.receives("last")
		w.expect("")
		if got := done(t, begin(w.receive)); got.err != io.EOF {
			t.Errorf("received %v", got)
		}
		w.expect("1>consumed2")
		s.finish(nil)
		settle()
		<-w.conn.Done()
		if err := w.conn.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if events := w.told(); len(events) > 0 {
			t.Errorf("events: %v", events)
		}
	})
}

func TestTheApplicationFails(t *testing.T) {
	for _, reason := range []holdfastv1.CloseReason{
		holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN,
	} {
		run(t, both, nil, func(t *testing.T, w *world) {
			s := w.stream(1)
			s.closes(1, reason, "out of paper")
			settle()
			name := client.Reason(strings.TrimPrefix(reason.String(), "CLOSE_REASON_"))
			if why := isClosed(t, done(t, begin(w.receive)).err, name); why.Detail != "out of paper" {
				t.Errorf("the detail is %q", why.Detail)
			}
			w.expect("1>consumed1")
			pass(500 * time.Millisecond)
			if s.isOver() {
				t.Error("the client did not wait for the relay to end the stream")
			}
			pass(500 * time.Millisecond)
			if !s.isOver() {
				t.Error("the client waits on for the relay to end the stream")
			}
			_, lost := append(w.told(), nil)[0].(client.Lost)
			if want := name != client.ReasonApplicationError; lost != want {
				t.Errorf("%s: Lost was told: %t", name, lost)
			}
		})
	}
}

func TestCloseSend(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		w.sent("last")
		w.expect("1>1:last")
		if err := w.conn.CloseSend(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.expect("1>2:half_close")
		if err := w.send("too late"); !errors.Is(err, client.ErrSendClosed) {
			t.Errorf("Send: %v", err)
		}
		s.send(1, "still")
		settle()
		w.receives("still")
	})
}

func TestClose(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		s := w.stream(1)
		s.quiet()
		s.send(1, "unseen")
		w.sent("last")
		w.expect("1>1:last")
		receiving := begin(func() error { _, _ = w.conn.Receive(t.Context()); _, err := w.conn.Receive(t.Context()); return err })
		closing := begin(func() error { return w.conn.Close(t.Context()) })
		blocks(t, closing)
		w.expect("1>2:close+consumed1")
		s.send(2, "unseen too")
		w.expect("1>consumed2")
		if err := done(t, receiving); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Receive: %v", err)
		}
		if err := w.send("too late"); !errors.Is(err, client.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		s.receipt(2)
		s.finish(nil)
		if err := done(t, closing); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := w.conn.Close(t.Context()); err != nil {
			t.Errorf("Close again: %v", err)
		}
	})
}

func TestCloseSaysWhenItDidNotArrive(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.stream(1).quiet()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.sent("lost maybe")
		err := w.conn.Close(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "0 of 2 messages") {
			t.Errorf("Close: %v", err)
		}
		settle()
		if !w.stream(1).isOver() {
			t.Error("the stream is still there")
		}
	})
}
