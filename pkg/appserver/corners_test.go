package appserver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// A Close that waited in the buffer of a handoff is dropped with the buffer by a resume. The handler must not be told of it
// before the messages that are replayed in front of it.
func TestCloseOfADroppedBufferOvertakesTheReplay(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2))
		w.expect("a>withack@2")
		b.send(data(1, 2, "one"), gone(2, 2)) // both wait in the buffer
		x.nothing(t)
		a.send(resume(3, 0)) // b is lost for the relay; the buffer is dropped
		got := begin(x.receive)
		settle()
		a.send(data(1, 3, "one"), gone(2, 3))
		if first := done(t, got); first.payload != "one" || first.err != nil {
			t.Errorf("received %q, %v; want the message that was sent before the close", first.payload, first.err)
		}
	})
}

// The target of a handoff is lost, then the Ack comes by the previous path: no path carries the connection now. It must end
// when the relay does not resume it.
func TestAdriftAfterAckIsNeverExpired(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		b.send(migrate(2))
		w.expect("a>withack@2")
		b.finish(errors.New("cut"))
		settle()
		a.send(ack(2))
		settle()
		a.finish(errors.New("cut")) // the relay is gone
		settle()
		time.Sleep(10 * time.Minute)
		settle()
		if x.ctx.Err() == nil {
			t.Error("the handler still waits for a connection that nothing carries")
		}
	})
}

// The Open of a path that was slow and the one that opens again by another arrive at the same moment.
func TestOpenedTwiceAtOnce(t *testing.T) {
	const n = 2000
	var mu sync.Mutex
	runs := make(map[string]int)
	run(t, []string{"a", "b"}, func(_ *world, cfg *appserver.Config) {
		cfg.Handler = appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
			mu.Lock()
			runs[c.ID()]++
			mu.Unlock()
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}, func(t *testing.T, w *world) {
		a, b := w.stream("a", 1), w.stream("b", 1)
		var first, again []*holdfastv1.Frame
		for id := range uint64(n) {
			first = append(first, on(id+1, open()))
			f := on(id+1, open())
			f.Epoch++
			again = append(again, f)
		}
		go a.send(first...)
		go b.send(again...)
		pause()
		twice := 0
		mu.Lock()
		for _, k := range runs {
			if k > 1 {
				twice++
			}
		}
		mu.Unlock()
		if twice > 0 {
			t.Errorf("%d of %d connections were given to two handlers", twice, n)
		}
	})
}

// Nothing is dialled any more once the context of Run has ended, so that a connection without a path cannot be resumed.
func TestShutdownWaitsForWhatCannotComeBack(t *testing.T) {
	run(t, []string{"a"}, func(_ *world, cfg *appserver.Config) { cfg.ShutdownGrace = time.Hour }, func(t *testing.T, w *world) {
		a := w.stream("a", 1)
		w.open(a, 1)
		w.ingresses["a"].stop()
		settle()
		began := time.Now()
		w.stop()
		<-w.returned
		if took := w.ended.Sub(began); took > 10*time.Second {
			t.Errorf("Run returned after %v", took)
		}
	})
}
