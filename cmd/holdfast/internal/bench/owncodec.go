package bench

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	pkgwire "github.com/holdfast/holdfast/pkg/wire"
)

// Tags of ConnectRequest and ClientMessage: number and wire type.
const (
	tagHello      = 1<<3 | byte(protowire.BytesType)
	tagBinary     = 3<<3 | byte(protowire.BytesType)
	tagMessages   = 4<<3 | byte(protowire.BytesType)
	tagFirstSeq   = 5<<3 | byte(protowire.VarintType)
	tagConsumed   = 6<<3 | byte(protowire.VarintType)
	tagWelcomed   = 7<<3 | byte(protowire.VarintType)
	tagItemBinary = 2<<3 | byte(protowire.BytesType)
	tagItemClose  = 4<<3 | byte(protowire.BytesType)
)

// ownRequest is a ConnectRequest that goes past the generated code: two dialects compared cost the client the same then.
type ownRequest struct {
	hello    *holdfastv1.Hello
	messages [][]byte
	// The rest is a resumable client's; what is 0 or false is not sent. Closing is a close after the messages.
	first, consumed   uint64
	welcomed, closing bool
}

// Size implements wire.Encoder.
func (r *ownRequest) Size() int {
	const numbers, head = 32, 12
	size := numbers
	if r.hello != nil {
		size += head + proto.Size(r.hello)
	}
	for _, m := range r.messages {
		size += head + len(m)
	}
	return size
}

// AppendTo implements wire.Encoder.
func (r *ownRequest) AppendTo(b []byte) ([]byte, error) {
	if r.hello != nil {
		encoded, err := proto.Marshal(r.hello)
		if err != nil {
			return b, err
		}
		b = protowire.AppendBytes(append(b, tagHello), encoded)
	}
	if len(r.messages) == 1 && !r.closing {
		b = protowire.AppendBytes(append(b, tagBinary), r.messages[0])
	} else {
		for _, m := range r.messages {
			b = protowire.AppendVarint(append(b, tagMessages), uint64(1+protowire.SizeBytes(len(m))))
			b = protowire.AppendBytes(append(b, tagItemBinary), m)
		}
	}
	if r.closing {
		b = append(b, tagMessages, 2, tagItemClose, 0)
	}
	for _, f := range []struct {
		tag   byte
		value uint64
	}{{tagFirstSeq, r.first}, {tagConsumed, r.consumed}, {tagWelcomed, protowire.EncodeBool(r.welcomed)}} {
		if f.value > 0 {
			b = protowire.AppendVarint(append(b, f.tag), f.value)
		}
	}
	return b, nil
}

// ownResponse is a ConnectResponse. Its messages are valid until the next is decoded.
type ownResponse struct {
	welcome         *holdfastv1.Welcome
	messages        [][]byte
	first, consumed uint64

	buffer mem.Buffer // has the messages
}

// Decode implements wire.Decoder.
func (r *ownResponse) Decode(buffer mem.Buffer) error {
	if r.buffer != nil {
		r.buffer.Free()
	}
	*r = ownResponse{messages: r.messages[:0], buffer: buffer}
	return pkgwire.FieldsAndNumbers(buffer.ReadOnlyData(), r.field, func(number protowire.Number, value uint64) {
		switch number {
		case 5:
			r.first = value
		case 6:
			r.consumed = value
		}
	})
}

func (r *ownResponse) field(number protowire.Number, value []byte) error {
	switch number {
	case 1:
		r.welcome = &holdfastv1.Welcome{}
		return proto.Unmarshal(value, r.welcome)
	case 3:
		r.messages = append(r.messages, value)
	case 4:
		return pkgwire.Fields(value, func(number protowire.Number, value []byte) error {
			if number != 2 {
				return fmt.Errorf("%w: a message of a batch has field %d, not binary", errCorrupted, number)
			}
			r.messages = append(r.messages, value)
			return nil
		})
	case 2:
		return fmt.Errorf("%w: a text came, though only binary was sent", errCorrupted)
	}
	return nil
}
