package clientleg

import (
	"context"
	"errors"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/payload"
)

// writer is the only writer of a client's stream. It pulls from the connection.
type writer struct {
	stream  stream
	conn    *logical.Connection
	clock   *clock
	batches bool
	// notes is what a resumable client is told beside messages.
	notes *notes

	// Reused from one response to the next: grpc has encoded a message when Send returns.
	taken    []ordering.Message
	response response
}

// run writes until the connection or the stream ends, and returns the status for the client; or until nothing was to be
// written from one tick to the next, and returns logical.ErrIdle: then it may be run again.
func (w *writer) run(ctx context.Context) error {
	tick, busy := w.clock.next(), true
	for {
		taken, closure, err := w.conn.Take(ctx, tick, w.taken[:0])
		if errors.Is(err, logical.ErrIdle) && busy {
			tick, busy = w.clock.next(), false
			continue
		}
		if err != nil {
			w.taken = nil // it may have grown
			return err
		}
		if closure != nil {
			return wire.CloseStatus(closure.Reason, closure.Detail)
		}
		w.taken, busy = taken, true
		if err := w.send(taken); err != nil {
			return err
		}
		w.forget()
		w.conn.Consume(len(taken))
	}
}

// forget lets go of what was sent.
func (w *writer) forget() {
	for i := range w.taken {
		payload.Free(w.taken[i].Payload)
		w.taken[i] = ordering.Message{}
	}
	w.response = response{}
}

func (w *writer) send(messages []ordering.Message) error {
	if w.batches && len(messages) > 1 {
		w.response.messages, w.response.batch = messages, true
		return w.stream.SendMsg(&w.response)
	}
	w.response.batch = false
	for i := range messages {
		w.response.messages = messages[i : i+1]
		if err := w.stream.SendMsg(&w.response); err != nil {
			return err
		}
	}
	return nil
}
