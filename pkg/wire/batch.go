package wire

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// Bounds of a batch. It stays under 32 KiB, where the denser tiers of grpc's buffer pool end, unless one
// message alone is larger.
const (
	maxBatchBytes  = 24 << 10
	maxBatchFrames = 512
	// keptBytes is how much room an empty batch keeps.
	keptBytes = 64 << 10
)

// Tags of the fields that are encoded and decoded here: number and wire type. AttachRequest and AttachResponse have the same.
const (
	tagFrames   = 2<<3 | byte(protowire.BytesType)
	tagPing     = 3<<3 | byte(protowire.BytesType)
	tagDraining = 4<<3 | byte(protowire.BytesType)

	tagID      = 1<<3 | byte(protowire.Fixed64Type)
	tagEpoch   = 2<<3 | byte(protowire.VarintType)
	tagData    = 4<<3 | byte(protowire.BytesType)
	tagReceipt = 7<<3 | byte(protowire.BytesType)

	tagSeq          = 1<<3 | byte(protowire.VarintType)
	tagPayload      = 2<<3 | byte(protowire.BytesType)
	tagText         = 3<<3 | byte(protowire.VarintType)
	tagDataConsumed = 4<<3 | byte(protowire.VarintType)

	tagConsumed = 1<<3 | byte(protowire.VarintType)
	tagPaused   = 2<<3 | byte(protowire.VarintType)
	tagWelcomed = 3<<3 | byte(protowire.VarintType)
)

// Batch gathers frames for one message of a stream: an AttachRequest or an AttachResponse, which differ in their handshake
// only. A frame is encoded when it is added, under the lock of the connection that it belongs to, so that nothing of the
// connection is held on to. It reuses its memory.
type Batch struct {
	encoded []byte
	frames  int
	err     error
	// Ping and Draining ride on the batch when not nil.
	Ping     *holdfastv1.PingMessage
	Draining *holdfastv1.DrainingMessage
}

// Reset empties the batch.
func (b *Batch) Reset() {
	if cap(b.encoded) > keptBytes {
		b.encoded = nil
	}
	b.encoded, b.frames, b.err, b.Ping, b.Draining = b.encoded[:0], 0, nil, nil, nil
}

// Empty reports whether there is nothing to send.
func (b *Batch) Empty() bool { return b.frames == 0 && b.Ping == nil && b.Draining == nil }

// Full reports whether the batch should be sent before more is added.
func (b *Batch) Full() bool { return len(b.encoded) >= maxBatchBytes || b.frames >= maxBatchFrames }

// Frames returns how many frames it has.
func (b *Batch) Frames() int { return b.frames }

// Bytes returns how many bytes its frames take.
func (b *Batch) Bytes() int { return len(b.encoded) }

// Extra is what the owner of an end adds to its frames.
type Extra struct {
	// PausedMicros goes into a receipt.
	PausedMicros uint64
	// ClientIngress, ClientAddress and ClientSubject go into an Open, and the first two into an Adopt.
	ClientIngress, ClientAddress, ClientSubject string
	// Traceparent goes into a Migrate, Resume or Adopt.
	Traceparent string
}

// Add adds a frame of the connection.
func (b *Batch) Add(id uint64, f ordering.Frame, x Extra) {
	switch {
	case f.Kind == ordering.Data && (f.Message.Kind == ordering.Text || f.Message.Kind == ordering.Binary):
		b.addData(id, f)
	case f.Kind == ordering.Receipt:
		b.addReceipt(id, f, x.PausedMicros)
	default:
		b.AddFrame(rareFrame(id, f, x))
	}
}

func (b *Batch) addData(id uint64, f ordering.Frame) {
	payload := f.Message.Payload
	size := 1 + protowire.SizeVarint(f.Seq)
	if len(payload) > 0 {
		size += 1 + protowire.SizeBytes(len(payload))
	}
	if f.Message.Kind == ordering.Text {
		size += 2
	}
	if f.Consumed > 0 {
		size += 1 + protowire.SizeVarint(f.Consumed)
	}
	e := b.appendHead(id, f.Epoch, tagData, size)
	e = protowire.AppendVarint(append(e, tagSeq), f.Seq)
	if len(payload) > 0 {
		e = protowire.AppendBytes(append(e, tagPayload), payload)
	}
	if f.Message.Kind == ordering.Text {
		e = append(e, tagText, 1)
	}
	if f.Consumed > 0 {
		e = protowire.AppendVarint(append(e, tagDataConsumed), f.Consumed)
	}
	b.encoded = e
}

func (b *Batch) addReceipt(id uint64, f ordering.Frame, pausedMicros uint64) {
	size := 0
	if f.Consumed > 0 {
		size += 1 + protowire.SizeVarint(f.Consumed)
	}
	if pausedMicros > 0 {
		size += 1 + protowire.SizeVarint(pausedMicros)
	}
	if f.Welcomed {
		size += 2
	}
	e := b.appendHead(id, f.Epoch, tagReceipt, size)
	if f.Consumed > 0 {
		e = protowire.AppendVarint(append(e, tagConsumed), f.Consumed)
	}
	if pausedMicros > 0 {
		e = protowire.AppendVarint(append(e, tagPaused), pausedMicros)
	}
	if f.Welcomed {
		e = append(e, tagWelcomed, 1)
	}
	b.encoded = e
}

// appendHead counts a frame and returns what is encoded with all of it up to its body.
func (b *Batch) appendHead(id uint64, epoch ordering.Epoch, tagBody byte, bodySize int) []byte {
	b.frames++
	const idSize = 1 + 8
	size := idSize + 1 + protowire.SizeVarint(uint64(epoch)) + 1 + protowire.SizeBytes(bodySize)
	e := protowire.AppendVarint(append(b.encoded, tagFrames), uint64(size))
	e = protowire.AppendFixed64(append(e, tagID), id)
	e = protowire.AppendVarint(append(e, tagEpoch), uint64(epoch))
	return protowire.AppendVarint(append(e, tagBody), uint64(bodySize))
}

// AddFrame adds a frame that is translated already.
func (b *Batch) AddFrame(f *holdfastv1.Frame) {
	b.frames++
	b.encoded, b.err = appendMessage(b.encoded, tagFrames, f, b.err)
}

// appendMessage appends a field. An error says that a text is not UTF-8; the first is kept.
func appendMessage(e []byte, tag byte, m proto.Message, before error) ([]byte, error) {
	e = protowire.AppendVarint(append(e, tag), uint64(proto.Size(m)))
	e, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(e, m)
	if err != nil {
		err = fmt.Errorf("encoding a frame: %w", err)
	}
	return e, errors.Join(before, err)
}

// Size implements Encoder.
func (b *Batch) Size() int {
	const riders = 64 // but for the detail
	return len(b.encoded) + riders + len(b.Draining.GetDetail())
}

// AppendTo implements Encoder.
func (b *Batch) AppendTo(e []byte) ([]byte, error) {
	e, err := append(e, b.encoded...), b.err
	if b.Ping != nil {
		e, err = appendMessage(e, tagPing, b.Ping, err)
	}
	if b.Draining != nil {
		e, err = appendMessage(e, tagDraining, b.Draining, err)
	}
	return e, err
}

// rareFrame translates a frame of a kind that does not come often.
func rareFrame(id uint64, f ordering.Frame, x Extra) *holdfastv1.Frame {
	out := &holdfastv1.Frame{ConnectionId: id, Epoch: uint64(f.Epoch)}
	switch f.Kind {
	case ordering.Open:
		out.Body = &holdfastv1.Frame_Open{Open: &holdfastv1.OpenConnectionMessage{
			// What is not UTF-8 would fail the whole batch, and with it the server connection.
			ClientIngress: strings.ToValidUTF8(x.ClientIngress, "?"), ClientAddress: strings.ToValidUTF8(x.ClientAddress, "?"),
			ClientSubject: strings.ToValidUTF8(x.ClientSubject, "?"),
		}}
	case ordering.Migrate:
		out.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
			Mode: holdfastv1.MigrateMode_MIGRATE_MODE_GRACEFUL, Traceparent: x.Traceparent,
		}}
	case ordering.Resume:
		out.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
			Mode: holdfastv1.MigrateMode_MIGRATE_MODE_RESUME, ReceivedSeq: f.Received, Traceparent: x.Traceparent,
		}}
	case ordering.Adopt:
		out.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
			Mode: holdfastv1.MigrateMode_MIGRATE_MODE_CLIENT, ReceivedSeq: f.Received, ConsumedSeq: f.Consumed,
			TokenGeneration: f.Generation, Traceparent: x.Traceparent,
			ClientIngress: strings.ToValidUTF8(x.ClientIngress, "?"), ClientAddress: strings.ToValidUTF8(x.ClientAddress, "?"),
		}}
	case ordering.MigrateWithAck:
		out.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{
			ReceivedSeq: f.Received, ConsumedSeq: f.Consumed, WindowBytes: f.Window, OutstandingBytes: f.Outstanding,
			HalfClosed: f.Ended == ordering.HalfClose, Closed: f.Ended == ordering.Close,
		}}
	case ordering.Refuse:
		return Refuse(id, f)
	case ordering.Ack:
		out.Body = &holdfastv1.Frame_Ack{Ack: &holdfastv1.AckMessage{}}
	default: // a Data frame of a message that ends its direction
		if f.Message.Kind == ordering.HalfClose {
			out.Body = &holdfastv1.Frame_HalfClose{HalfClose: &holdfastv1.HalfCloseMessage{Seq: f.Seq}}
		} else {
			out.Body = &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{
				Seq: f.Seq, Reason: holdfastv1.CloseReason(f.Message.Reason), Detail: string(f.Message.Payload),
			}}
		}
	}
	return out
}
