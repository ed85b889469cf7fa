package wire

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// Received is a message of a server connection as it came: an AttachRequest or an AttachResponse after the handshake. It
// reuses its memory from one message to the next.
type Received struct {
	// Handshake says that there is one, where none belongs.
	Handshake bool
	// Ping and Draining are nil when there is none.
	Ping     *holdfastv1.PingMessage
	Draining *holdfastv1.DrainingMessage

	buffer mem.Buffer
	frames [][]byte // in buffer
}

// Decode implements Decoder.
func (r *Received) Decode(buffer mem.Buffer) error {
	r.Release()
	r.buffer = buffer
	return Fields(buffer.ReadOnlyData(), r.field)
}

func (r *Received) field(number protowire.Number, value []byte) error {
	switch number {
	case 1:
		r.Handshake = true
	case 2:
		r.frames = append(r.frames, value)
	case 3:
		if r.Ping == nil {
			r.Ping = &holdfastv1.PingMessage{}
		}
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.Ping)
	case 4:
		if r.Draining == nil {
			r.Draining = &holdfastv1.DrainingMessage{}
		}
		return proto.UnmarshalOptions{Merge: true}.Unmarshal(value, r.Draining)
	}
	return nil
}

// Release lets go of the message: its frames are not valid any more.
func (r *Received) Release() {
	if r.buffer != nil {
		r.buffer.Free()
	}
	*r = Received{frames: r.frames[:0]}
}

// Frames returns how many frames there are.
func (r *Received) Frames() int { return len(r.frames) }

// Bytes returns how many bytes the message took.
func (r *Received) Bytes() int {
	if r.buffer == nil {
		return 0
	}
	return r.buffer.Len()
}

// Frame decodes frame i, from 0. Its payload is valid until Release.
func (r *Received) Frame(i int, into *Frame) error { return into.decode(r.frames[i]) }

// Frame is a frame that came.
type Frame struct {
	// Connection is its connection_id.
	Connection uint64
	// Step is what package ordering has to know. Its Kind is 0 for a reject.
	Step ordering.Frame
	// PausedMicros is from the receipt that confirms a handoff.
	PausedMicros uint64
	// Rare is the whole frame when it is none of those that come often: messages and receipts.
	Rare *holdfastv1.Frame
}

func (f *Frame) decode(b []byte) error {
	*f = Frame{}
	if f.decodeOften(b) {
		return nil
	}
	rare := &holdfastv1.Frame{}
	if err := proto.Unmarshal(b, rare); err != nil {
		return fmt.Errorf("decoding a frame: %w", err)
	}
	var err error
	*f, err = FrameOf(rare)
	return err
}

// decodeOften decodes a message or a receipt that is encoded as anybody would. It reports false for anything else.
func (f *Frame) decodeOften(b []byte) bool {
	body := false
	for len(b) > 0 {
		tag := b[0]
		b = b[1:]
		switch tag {
		case tagID:
			v, n := protowire.ConsumeFixed64(b)
			if n < 0 {
				return false
			}
			f.Connection, b = v, b[n:]
		case tagEpoch:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return false
			}
			f.Step.Epoch, b = ordering.Epoch(v), b[n:]
		case tagData, tagReceipt:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 || body || (tag == tagData && !f.decodeData(v)) || (tag == tagReceipt && !f.decodeReceipt(v)) {
				return false
			}
			body, b = true, b[n:]
		default:
			return false
		}
	}
	return body
}

func (f *Frame) decodeData(b []byte) bool {
	f.Step.Kind, f.Step.Message.Kind = ordering.Data, ordering.Binary
	for len(b) > 0 {
		tag := b[0]
		if tag == tagPayload {
			v, n := protowire.ConsumeBytes(b[1:])
			if n < 0 {
				return false
			}
			f.Step.Message.Payload, b = v, b[1+n:]
			continue
		}
		v, n := protowire.ConsumeVarint(b[1:])
		if n < 0 {
			return false
		}
		b = b[1+n:]
		switch tag {
		case tagSeq:
			f.Step.Seq = v
		case tagDataConsumed:
			f.Step.Consumed = v
		case tagText:
			f.Step.Message.Kind = ordering.Binary
			if v != 0 {
				f.Step.Message.Kind = ordering.Text
			}
		default:
			return false
		}
	}
	return true
}

func (f *Frame) decodeReceipt(b []byte) bool {
	f.Step.Kind = ordering.Receipt
	for len(b) > 0 {
		tag := b[0]
		v, n := protowire.ConsumeVarint(b[1:])
		if n < 0 {
			return false
		}
		b = b[1+n:]
		switch tag {
		case tagConsumed:
			f.Step.Consumed = v
		case tagPaused:
			f.PausedMicros = v
		case tagWelcomed:
			f.Step.Welcomed = v != 0
		default:
			return false
		}
	}
	return true
}
