package client

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// response is a ConnectResponse. It reuses its memory from one to the next; the payloads are copies, which go to the application.
type response struct {
	welcome   *holdfastv1.Welcome
	messages  []ordering.Message
	first     uint64 // the number of the first message
	consumed  uint64
	token     string
	reconnect *holdfastv1.Reconnect
}

// keptMessages bounds the room for messages that is kept for the next response.
const keptMessages = 256

var errNotUTF8 = errors.New("a text is not valid UTF-8")

// Decode implements wire.Decoder.
func (r *response) Decode(buffer mem.Buffer) error {
	defer buffer.Free()
	r.reset()
	b := buffer.ReadOnlyData()
	if err := wire.Fields(b, r.field); err != nil {
		return err
	}
	r.first, r.consumed = number(b, tagFirstSeq>>3), number(b, tagConsumed>>3)
	return nil
}

// reset lets go of the response.
func (r *response) reset() {
	messages := r.messages[:0]
	if cap(messages) > keptMessages {
		messages = nil
	}
	clear(r.messages)
	*r = response{messages: messages}
}

func (r *response) field(number protowire.Number, value []byte) (err error) {
	var m ordering.Message
	switch number {
	case 1:
		r.welcome = new(holdfastv1.Welcome)
		return proto.Unmarshal(value, r.welcome)
	case 2:
		m, err = textMessage(value)
	case 3:
		m = binaryMessage(value)
	case 4:
		m, err = decodeItem(value)
	case 7:
		r.token = string(value)
		return nil
	case 8:
		r.reconnect = new(holdfastv1.Reconnect)
		return proto.Unmarshal(value, r.reconnect)
	default:
		return nil
	}
	r.messages = append(r.messages, m)
	return err
}

// decodeItem decodes a ClientMessage. The Kind of one that is empty is 0.
func decodeItem(b []byte) (m ordering.Message, err error) {
	if number(b, tagItemHalfClose>>3) != 0 {
		m.Kind = ordering.HalfClose
	}
	err = wire.Fields(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case 1:
			m, err = textMessage(value)
		case 2:
			m = binaryMessage(value)
		case 4:
			closing := &holdfastv1.ClientClose{}
			err = proto.Unmarshal(value, closing)
			m = wire.CloseMessage(closing.GetReason(), closing.GetDetail())
		}
		return err
	})
	return m, err
}

func textMessage(b []byte) (ordering.Message, error) {
	if !utf8.Valid(b) {
		return ordering.Message{}, errNotUTF8
	}
	return ordering.Message{Kind: ordering.Text, Payload: bytes.Clone(b)}, nil
}

func binaryMessage(b []byte) ordering.Message {
	return ordering.Message{Kind: ordering.Binary, Payload: bytes.Clone(b)}
}

// number returns the last varint field of that number in a message that wire.Fields has passed or will, or 0.
func number(b []byte, field byte) (v uint64) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return v
		}
		b = b[n:]
		if kind == protowire.VarintType && number == protowire.Number(field) {
			v, _ = protowire.ConsumeVarint(b)
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return v
		}
		b = b[n:]
	}
	return v
}
