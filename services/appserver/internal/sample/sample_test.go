package sample

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/verify"
)

// fakeConnection is a logical connection whose client's end is the test. Closing in is the half-close.
type fakeConnection struct {
	in  chan appserver.Message
	out chan appserver.Message
	// halfClosed is owned by the goroutine that receives.
	halfClosed bool
}

func (f *fakeConnection) Receive(ctx context.Context) (appserver.Message, error) {
	if f.halfClosed {
		<-ctx.Done()
		return appserver.Message{}, context.Cause(ctx)
	}
	select {
	case m, open := <-f.in:
		if !open {
			f.halfClosed = true
			return appserver.Message{}, io.EOF
		}
		return m, nil
	case <-ctx.Done():
		return appserver.Message{}, context.Cause(ctx)
	}
}

func (f *fakeConnection) Send(ctx context.Context, m appserver.Message) error {
	select {
	case f.out <- m:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run serves a connection inside a synctest bubble while client plays the other end.
func run(t *testing.T, client func(t *testing.T, f *fakeConnection, cut context.CancelCauseFunc)) error {
	t.Helper()
	var ended error
	synctest.Test(t, func(t *testing.T) {
		ctx, cut := context.WithCancelCause(t.Context())
		defer cut(nil)
		f := &fakeConnection{in: make(chan appserver.Message), out: make(chan appserver.Message, 100)}
		served := make(chan error, 1)
		go func() { served <- serve(ctx, f) }()
		client(t, f, cut)
		ended = <-served
	})
	return ended
}

func text(s string) appserver.Message { return appserver.Message{Payload: []byte(s), Text: true} }

func expect(t *testing.T, f *fakeConnection, want string) {
	t.Helper()
	if got := <-f.out; !got.Text || string(got.Payload) != want {
		t.Fatalf("got %q, text %v; want the text %q", got.Payload, got.Text, want)
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	err := run(t, func(t *testing.T, f *fakeConnection, _ context.CancelCauseFunc) {
		for _, m := range []appserver.Message{
			text("hello"), text(""), {Payload: []byte{0, 0xff}}, {}, text("count on me"), text("stop it"),
		} {
			f.in <- m
			if got := <-f.out; string(got.Payload) != string(m.Payload) || got.Text != m.Text {
				t.Errorf("sent %q, text %v; got %q, text %v", m.Payload, m.Text, got.Payload, got.Text)
			}
		}
		close(f.in)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCounter(t *testing.T) {
	t.Parallel()
	err := run(t, func(t *testing.T, f *fakeConnection, _ context.CancelCauseFunc) {
		f.in <- text("count 20ms")
		expect(t, f, "count 1")
		expect(t, f, "count 2")
		f.in <- text("between")
		expect(t, f, "between")
		expect(t, f, "count 3")
		f.in <- text("stop")
		expect(t, f, "stopped counted=3 received=2 lost=0 doubled=0 reordered=0 corrupted=0")
		time.Sleep(time.Second) // Nothing comes after that: the clock is the bubble's.
		if len(f.out) > 0 {
			t.Errorf("after the stop came %q", (<-f.out).Payload)
		}
		close(f.in)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCounterStartsAnew(t *testing.T) {
	t.Parallel()
	err := run(t, func(t *testing.T, f *fakeConnection, _ context.CancelCauseFunc) {
		f.in <- text("stop")
		expect(t, f, "stopped counted=0 received=0 lost=0 doubled=0 reordered=0 corrupted=0")
		f.in <- text("count 20ms")
		expect(t, f, "count 1")
		f.in <- text("count 1h")
		f.in <- text("stop")
		expect(t, f, "stopped counted=0 received=2 lost=0 doubled=0 reordered=0 corrupted=0")
		f.in <- text("count 1us")
		expect(t, f, "refused: count 1µs: the interval is 1ms or more")
		close(f.in)
	})
	if err != nil {
		t.Error(err)
	}
}

// A client that only listens gets the counter until its connection is closed.
func TestCounterOutlivesHalfClose(t *testing.T) {
	t.Parallel()
	gone := errors.New("the client is gone")
	err := run(t, func(t *testing.T, f *fakeConnection, cut context.CancelCauseFunc) {
		f.in <- text("count 1s")
		close(f.in)
		expect(t, f, "count 1")
		expect(t, f, "count 2")
		fill(f)
		cut(gone)
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want %v", err, gone)
	}
}

// fill makes the next Send of the application block, as a full window does.
func fill(f *fakeConnection) {
	for len(f.out) < cap(f.out) {
		f.out <- appserver.Message{}
	}
}

func TestStoppedReportsFaultsOnTheWayUp(t *testing.T) {
	t.Parallel()
	sound := make([][]byte, 6)
	for i := range sound {
		sound[i] = encode(t, uint64(i+1))
	}
	corrupted := slices.Clone(sound[2])
	corrupted[40] ^= 1
	cases := map[string]struct {
		send [][]byte
		want string
	}{
		"sound":     {sound, "received=6 lost=0 doubled=0 reordered=0 corrupted=0"},
		"lost":      {[][]byte{sound[0], sound[1], sound[4]}, "received=3 lost=2 doubled=0 reordered=0 corrupted=0"},
		"doubled":   {[][]byte{sound[0], sound[1], sound[1]}, "received=3 lost=0 doubled=1 reordered=0 corrupted=0"},
		"reordered": {[][]byte{sound[0], sound[2], sound[1]}, "received=3 lost=0 doubled=0 reordered=1 corrupted=0"},
		"corrupted": {[][]byte{sound[0], sound[1], corrupted}, "received=3 lost=0 doubled=0 reordered=0 corrupted=1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t, func(t *testing.T, f *fakeConnection, _ context.CancelCauseFunc) {
				for _, payload := range c.send {
					f.in <- appserver.Message{Payload: payload}
					if got := <-f.out; string(got.Payload) != string(payload) || got.Text {
						t.Errorf("the echo differs")
					}
				}
				f.in <- text("stop")
				if got := string((<-f.out).Payload); !strings.HasSuffix(got, c.want) {
					t.Errorf("got %q, want …%q", got, c.want)
				}
				close(f.in)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func encode(t *testing.T, number uint64) []byte {
	t.Helper()
	b, err := verify.Encode(verify.Header{Tag: 7, Number: number, Sent: time.Unix(1, 0)}, 64, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
