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
	tagFirstSeq = 5<<3 | byte(protowire.VarintType)
	tagConsumed = 6<<3 | byte(protowire.VarintType)
	// tagToken and tagReconnect are a ConnectResponse's alone.
	tagToken     = 7<<3 | byte(protowire.BytesType)
	tagReconnect = 8<<3 | byte(protowire.BytesType)

	tagItemText   = 1<<3 | byte(protowire.BytesType)
	tagItemBinary = 2<<3 | byte(protowire.BytesType)
	tagItemClose  = 4<<3 | byte(protowire.BytesType)
)

// request is a ConnectRequest. It reuses its memory from one to the next.
type request struct {
	hello *holdfastv1.Hello
	// single is the text or binary; its Kind is 0 when there is neither.
	single ordering.Message
	// items are the messages of a batch. The Kind of one that is empty is 0.
	items []ordering.Message
	// firstSeq, consumed and welcomed are a resumable client's; 0 and false when they are absent.
	firstSeq, consumed uint64
	welcomed           bool

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
	return r.decode(buffer.ReadOnlyData())
}

func (r *request) decode(encoded []byte) error {
	return wire.FieldsAndNumbers(encoded, func(number protowire.Number, value []byte) error {
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
	}, func(number protowire.Number, value uint64) {
		switch number {
		case 5:
			r.firstSeq = value
		case 6:
			r.consumed = value
		case 7:
			r.welcomed = value != 0
		}
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
	err = wire.FieldsAndNumbers(b, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case 1:
			m, err = textMessage(value)
		case 2:
			m = binaryMessage(value)
		case 4:
			m, err = closeMessage(value)
		}
		return err
	}, func(number protowire.Number, value uint64) {
		if number == 3 {
			m = ordering.Message{}
			if value != 0 {
				m.Kind = ordering.HalfClose
			}
		}
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

// closeMessage reads a ClientClose. A client has one reason only.
func closeMessage(b []byte) (ordering.Message, error) {
	var m holdfastv1.ClientClose
	err := proto.Unmarshal(b, &m)
	return wire.CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, m.GetDetail()), err
}

// response is a ConnectResponse with one message, or with several when it is a batch.
type response struct {
	messages []ordering.Message
	batch    bool
	// The rest is for resumable clients; what is 0, empty or nil is not sent.
	firstSeq, consumed uint64
	token              string
	reconnect          *holdfastv1.Reconnect
}

// Size implements wire.Encoder.
func (r *response) Size() int {
	const head = 12 // two tags and two lengths
	size := 0
	for _, m := range r.messages {
		size += head + len(m.Payload)
	}
	if r.firstSeq > 0 || r.consumed > 0 || r.token != "" || r.reconnect != nil {
		const numbers, reconnect = 22, 32
		size += numbers + reconnect + len(r.token)
	}
	return size
}

// AppendTo implements wire.Encoder.
func (r *response) AppendTo(b []byte) ([]byte, error) {
	if r.firstSeq > 0 {
		b = protowire.AppendVarint(append(b, tagFirstSeq), r.firstSeq)
	}
	if r.consumed > 0 {
		b = protowire.AppendVarint(append(b, tagConsumed), r.consumed)
	}
	if r.token != "" {
		b = protowire.AppendString(append(b, tagToken), r.token)
	}
	if r.reconnect != nil {
		encoded, err := proto.Marshal(r.reconnect)
		if err != nil {
			return b, err
		}
		b = protowire.AppendBytes(append(b, tagReconnect), encoded)
	}
	for _, m := range r.messages {
		if m.Kind == ordering.Close {
			var err error
			if b, err = appendClose(b, m); err != nil {
				return b, err
			}
			continue
		}
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

// appendClose appends the application's Close, as a message of a batch.
func appendClose(b []byte, m ordering.Message) ([]byte, error) {
	encoded, err := proto.Marshal(&holdfastv1.ClientClose{Reason: holdfastv1.CloseReason(m.Reason), Detail: string(m.Payload)})
	if err != nil {
		return b, err
	}
	b = protowire.AppendVarint(append(b, tagMessages), uint64(1+protowire.SizeBytes(len(encoded))))
	return protowire.AppendBytes(append(b, tagItemClose), encoded), nil
}

// messages returns how many messages the request has.
func (r *request) messages() int {
	if r.single.Kind != 0 {
		return 1
	}
	return len(r.items)
}
