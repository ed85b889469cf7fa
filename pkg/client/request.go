package client

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// Tags of ConnectRequest and ConnectResponse, of ClientMessage and of ClientClose: number and wire type.
const (
	tagHello    = 1<<3 | byte(protowire.BytesType)
	tagMessages = 4<<3 | byte(protowire.BytesType)
	tagFirstSeq = 5<<3 | byte(protowire.VarintType)
	tagConsumed = 6<<3 | byte(protowire.VarintType)
	tagWelcomed = 7<<3 | byte(protowire.VarintType)

	tagItemText      = 1<<3 | byte(protowire.BytesType)
	tagItemBinary    = 2<<3 | byte(protowire.BytesType)
	tagItemHalfClose = 3<<3 | byte(protowire.VarintType)
	tagItemClose     = 4<<3 | byte(protowire.BytesType)

	tagCloseReason = 1<<3 | byte(protowire.VarintType)
	tagCloseDetail = 2<<3 | byte(protowire.BytesType)
)

// Bounds of a request. It stays under 32 KiB, unless one message alone is larger.
const (
	maxRequestBytes    = 24 << 10
	maxRequestMessages = 128
	// itemHead bounds what stands beside the payload of a message: two tags and two lengths.
	itemHead = 12
)

// request is a ConnectRequest. It reuses its memory from one to the next.
type request struct {
	hello    *holdfastv1.Hello
	messages []ordering.Message
	first    uint64 // the number of the first message
	consumed uint64
	welcomed bool

	bytes int // of messages
}

// reset empties the request.
func (r *request) reset() {
	clear(r.messages)
	*r = request{messages: r.messages[:0]}
}

// add adds a frame that an ordering.Client gave out. Those of one request come one after the other.
func (r *request) add(f ordering.Frame) {
	r.consumed = max(r.consumed, f.Consumed)
	r.welcomed = r.welcomed || f.Welcomed
	if f.Kind != ordering.Data {
		return
	}
	if len(r.messages) == 0 {
		r.first = f.Seq
	}
	r.messages = append(r.messages, f.Message)
	r.bytes += itemHead + len(f.Message.Payload)
}

// full reports whether the request should be sent before more is added.
func (r *request) full() bool {
	return r.bytes >= maxRequestBytes || len(r.messages) >= maxRequestMessages
}

// empty reports whether there is nothing to send.
func (r *request) empty() bool {
	return len(r.messages) == 0 && r.consumed == 0 && !r.welcomed && r.hello == nil
}

// Size implements wire.Encoder.
func (r *request) Size() int {
	const numbers = 32 // first, consumed and welcomed
	size := numbers + r.bytes
	if r.hello != nil {
		size += itemHead + proto.Size(r.hello)
	}
	for i := range r.messages {
		if r.messages[i].Kind == ordering.Close {
			size += 2 * itemHead
		}
	}
	return size
}

// AppendTo implements wire.Encoder.
func (r *request) AppendTo(b []byte) ([]byte, error) {
	if r.hello != nil {
		encoded, err := proto.Marshal(r.hello)
		if err != nil {
			return b, err
		}
		b = protowire.AppendBytes(append(b, tagHello), encoded)
	}
	for i := range r.messages {
		b = appendItem(b, &r.messages[i])
	}
	if len(r.messages) > 0 {
		b = protowire.AppendVarint(append(b, tagFirstSeq), r.first)
	}
	if r.consumed > 0 {
		b = protowire.AppendVarint(append(b, tagConsumed), r.consumed)
	}
	if r.welcomed {
		b = append(b, tagWelcomed, 1)
	}
	return b, nil
}

func appendItem(b []byte, m *ordering.Message) []byte {
	b = append(b, tagMessages)
	switch m.Kind {
	case ordering.HalfClose:
		return append(b, 2, tagItemHalfClose, 1)
	case ordering.Close:
		size := 1 + protowire.SizeVarint(uint64(m.Reason)) + 1 + protowire.SizeBytes(len(m.Payload))
		b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(size)))
		b = protowire.AppendVarint(append(b, tagItemClose), uint64(size))
		b = protowire.AppendVarint(append(b, tagCloseReason), uint64(m.Reason))
		return protowire.AppendBytes(append(b, tagCloseDetail), m.Payload)
	}
	tag := tagItemBinary
	if m.Kind == ordering.Text {
		tag = tagItemText
	}
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(m.Payload))))
	return protowire.AppendBytes(append(b, tag), m.Payload)
}
