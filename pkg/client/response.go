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
	return wire.FieldsAndNumbers(buffer.ReadOnlyData(), r.field, func(number protowire.Number, value uint64) {
		switch number {
		case 5:
			r.first = value
		case 6:
			r.consumed = value
		}
	})
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
	err = wire.FieldsAndNumbers(b, func(number protowire.Number, value []byte) (err error) {
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
	}, func(number protowire.Number, value uint64) {
		if number == 3 && value != 0 {
			m = ordering.Message{Kind: ordering.HalfClose}
		}
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
