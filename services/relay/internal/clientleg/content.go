package clientleg

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Tags of ConnectRequest, ConnectResponse and ClientMessage: number and wire type.
const (
	tagText     = 2<<3 | byte(protowire.BytesType)
	tagBinary   = 3<<3 | byte(protowire.BytesType)
	tagMessages = 4<<3 | byte(protowire.BytesType)

	tagItemText   = 1<<3 | byte(protowire.BytesType)
	tagItemBinary = 2<<3 | byte(protowire.BytesType)
)

// request is a ConnectRequest. It reuses its memory from one to the next.
type request struct {
	hello *holdfastv1.Hello
	// single is the text or binary; its Kind is 0 when there is neither.
	single ordering.Message
	// items are the messages of a batch. The Kind of one that is empty is 0.
	items []ordering.Message

	buffer mem.Buffer // has the payloads
}

// maxItems bounds the messages of one request; an empty one takes ten times its bytes here. keptItems bounds the room for them that is
// kept for the next request.
const maxItems, keptItems = 4096, 256

var errNotUTF8 = errors.New("a text is not valid UTF-8")

// Decode implements wire.Decoder. The payloads are valid until Release.
func (r *request) Decode(buffer mem.Buffer) error {
	r.Release()
	r.buffer = buffer
	return wire.Fields(buffer.ReadOnlyData(), func(number protowire.Number, value []byte) error {
		var err error
		switch number {
		case 1:
			if r.hello == nil {
				r.hello = &holdfastv1.Hello{}
			}
			err = proto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.hello)
		case 2:
			r.single, err = textMessage(value)
		case 3:
			r.single = binaryMessage(value)
		case 4:
			var m ordering.Message
			m, err = decodeItem(value)
			if len(r.items) == maxItems {
				return unexpected("more than %d messages in a request; send several", maxItems)
			}
			r.items = append(r.items, m)
		}
		return err
	})
}

// Release lets go of the request.
func (r *request) Release() {
	if r.buffer != nil {
		r.buffer.Free()
	}
	items := r.items[:0]
	if cap(items) > keptItems {
		items = nil
	}
	clear(r.items)
	*r = request{items: items}
}

func decodeItem(b []byte) (m ordering.Message, err error) {
	err = wire.Fields(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case 1:
			m, err = textMessage(value)
		case 2:
			m = binaryMessage(value)
		}
		return err
	})
	return m, err
}

func textMessage(b []byte) (ordering.Message, error) {
	if !utf8.Valid(b) {
		return ordering.Message{}, errNotUTF8
	}
	return ordering.Message{Kind: ordering.Text, Payload: b}, nil
}

func binaryMessage(b []byte) ordering.Message {
	return ordering.Message{Kind: ordering.Binary, Payload: b}
}

// response is a ConnectResponse with one message, or with several when it is a batch.
type response struct {
	messages []ordering.Message
	batch    bool
}

// Size implements wire.Encoder.
func (r *response) Size() int {
	const head = 12 // two tags and two lengths
	size := 0
	for _, m := range r.messages {
		size += head + len(m.Payload)
	}
	return size
}

// AppendTo implements wire.Encoder.
func (r *response) AppendTo(b []byte) ([]byte, error) {
	for _, m := range r.messages {
		tag := tagBinary
		if m.Kind == ordering.Text {
			tag = tagText
		}
		if r.batch {
			b = protowire.AppendVarint(append(b, tagMessages), uint64(1+protowire.SizeBytes(len(m.Payload))))
			tag -= tagText - tagItemText // the fields of a batch's messages are numbered one lower
		}
		b = protowire.AppendBytes(append(b, tag), m.Payload)
	}
	return b, nil
}

// messages returns how many messages the request has.
func (r *request) messages() int {
	if r.single.Kind != 0 {
		return 1
	}
	return len(r.items)
}
