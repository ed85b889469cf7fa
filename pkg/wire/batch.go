package wire

import (
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// Bounds of a batch. It stays under 32 KiB, where the denser tiers of grpc's buffer pool end, unless one
// message alone is larger.
const (
	maxBatchBytes  = 24 << 10
	maxBatchFrames = 512
	// frameOverhead is about what a frame takes beside its payload, in bytes.
	frameOverhead = 40
)

// Batch gathers frames for one message of a stream. It reuses its memory: what Frames returned is valid
// until Reset.
type Batch struct {
	frames []*holdfastv1.Frame
	slots  []*slot
	bytes  int
	// Ping and Draining ride on the batch when not nil.
	Ping     *holdfastv1.PingMessage
	Draining *holdfastv1.DrainingMessage
}

// slot holds the parts of one frame of the two kinds that come often.
type slot struct {
	frame       holdfastv1.Frame
	data        holdfastv1.ConnectionDataMessage
	dataBody    holdfastv1.Frame_Data
	receipt     holdfastv1.ReceiptMessage
	receiptBody holdfastv1.Frame_Receipt
}

// Reset empties the batch.
func (b *Batch) Reset() {
	for i := range b.frames {
		b.slots[i].data.Payload = nil
	}
	b.frames, b.bytes, b.Ping, b.Draining = b.frames[:0], 0, nil, nil
}

// Empty reports whether there is nothing to send.
func (b *Batch) Empty() bool { return len(b.frames) == 0 && b.Ping == nil && b.Draining == nil }

// Full reports whether the batch should be sent before more is added.
func (b *Batch) Full() bool { return b.bytes >= maxBatchBytes || len(b.frames) >= maxBatchFrames }

// Frames returns the frames in order.
func (b *Batch) Frames() []*holdfastv1.Frame { return b.frames }

// Bytes returns about how long the batch is on the wire, in bytes.
func (b *Batch) Bytes() int { return b.bytes }

// Add translates a frame of the connection, adds it and returns it for its caller to complete: the
// addresses of an Open, the pause of a Receipt.
func (b *Batch) Add(id uint64, f ordering.Frame) *holdfastv1.Frame {
	s := b.slot()
	out := &s.frame
	out.ConnectionId, out.Epoch = id, uint64(f.Epoch)
	switch f.Kind {
	case ordering.Data:
		s.setMessage(f)
	case ordering.Receipt:
		s.receipt.ConsumedSeq, s.receipt.PausedMicros = f.Consumed, 0
		out.Body = &s.receiptBody
	case ordering.Open:
		out.Body = &holdfastv1.Frame_Open{Open: &holdfastv1.OpenConnectionMessage{}}
	case ordering.Migrate:
		out.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
			Mode: holdfastv1.MigrateMode_MIGRATE_MODE_GRACEFUL,
		}}
	case ordering.Resume:
		out.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
			Mode: holdfastv1.MigrateMode_MIGRATE_MODE_RESUME, ReceivedSeq: f.Received,
		}}
	case ordering.MigrateWithAck:
		out.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{ReceivedSeq: f.Received}}
	case ordering.Ack:
		out.Body = &holdfastv1.Frame_Ack{Ack: &holdfastv1.AckMessage{}}
	}
	b.frames = append(b.frames, out)
	b.bytes += len(f.Message.Payload) + frameOverhead
	return out
}

// AddFrame adds a frame that is translated already.
func (b *Batch) AddFrame(f *holdfastv1.Frame) {
	b.slot()
	b.frames = append(b.frames, f)
	b.bytes += frameOverhead
}

// slot returns the slot for the next frame.
func (b *Batch) slot() *slot {
	if len(b.frames) == len(b.slots) {
		s := &slot{}
		s.dataBody.Data, s.receiptBody.Receipt = &s.data, &s.receipt
		b.slots = append(b.slots, s)
	}
	return b.slots[len(b.frames)]
}

func (s *slot) setMessage(f ordering.Frame) {
	switch f.Message.Kind {
	case ordering.HalfClose:
		s.frame.Body = &holdfastv1.Frame_HalfClose{HalfClose: &holdfastv1.HalfCloseMessage{Seq: f.Seq}}
	case ordering.Close:
		s.frame.Body = &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{
			Seq: f.Seq, Reason: holdfastv1.CloseReason(f.Message.Reason), Detail: string(f.Message.Payload),
		}}
	default:
		s.data.Seq, s.data.Payload, s.data.ConsumedSeq = f.Seq, f.Message.Payload, f.Consumed
		s.data.Text = f.Message.Kind == ordering.Text
		s.frame.Body = &s.dataBody
	}
}
