package clientleg

import (
	"context"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// writer is the only writer of a client's stream. It pulls from the connection.
type writer struct {
	stream  stream
	conn    *logical.Connection
	batches bool

	// Reused from one response to the next: grpc has encoded a message when Send returns.
	taken    []ordering.Message
	response holdfastv1.ConnectResponse
	text     holdfastv1.ConnectResponse_Text
	binary   holdfastv1.ConnectResponse_Binary
	items    []*batchItem
}

// run writes until the connection or the stream ends, and returns the status for the client.
func (w *writer) run(ctx context.Context) error {
	for {
		taken, closure, err := w.conn.Take(ctx, w.taken[:0])
		if err != nil {
			return err
		}
		if closure != nil {
			return wire.CloseStatus(closure.Reason, closure.Detail)
		}
		w.taken = taken
		if err := w.send(taken); err != nil {
			return err
		}
		w.forget()
		w.conn.Consume(len(taken))
	}
}

// forget lets go of what was sent: an idle client must not keep its last messages alive.
func (w *writer) forget() {
	for i := range w.taken {
		w.taken[i] = ordering.Message{}
		if i < len(w.items) {
			w.items[i].text.Text, w.items[i].binary.Binary = "", nil
		}
	}
	w.text.Text, w.binary.Binary = "", nil
}

func (w *writer) send(messages []ordering.Message) error {
	if w.batches && len(messages) > 1 {
		w.response.Content = nil
		w.response.Messages = w.response.GetMessages()[:0]
		for i, m := range messages {
			w.response.Messages = append(w.response.Messages, w.item(i, m))
		}
		return w.stream.Send(&w.response)
	}
	w.response.Messages = w.response.GetMessages()[:0]
	for _, m := range messages {
		if m.Kind == ordering.Text {
			w.text.Text = textOf(m.Payload)
			w.response.Content = &w.text
		} else {
			w.binary.Binary = m.Payload
			w.response.Content = &w.binary
		}
		if err := w.stream.Send(&w.response); err != nil {
			return err
		}
	}
	return nil
}

// batchItem holds the parts of one message of a batch.
type batchItem struct {
	message holdfastv1.ClientMessage
	text    holdfastv1.ClientMessage_Text
	binary  holdfastv1.ClientMessage_Binary
}

func (w *writer) item(i int, m ordering.Message) *holdfastv1.ClientMessage {
	if i == len(w.items) {
		w.items = append(w.items, &batchItem{})
	}
	item := w.items[i]
	if m.Kind == ordering.Text {
		item.text.Text = textOf(m.Payload)
		item.message.Content = &item.text
	} else {
		item.binary.Binary = m.Payload
		item.message.Content = &item.binary
	}
	return &item.message
}
