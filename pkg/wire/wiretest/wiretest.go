// Package wiretest shows tests what package wire has encoded.
package wiretest

import (
	"testing"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Message returns the batch as its receiver sees it.
func Message(t testing.TB, b *wire.Batch) *holdfastv1.AttachRequest {
	t.Helper()
	m := &holdfastv1.AttachRequest{}
	encoded, err := b.AppendTo(nil)
	if err == nil {
		err = proto.Unmarshal(encoded, m)
	}
	if err != nil {
		t.Errorf("a batch cannot be decoded: %v", err)
	}
	return m
}

// Frames returns the frames of the batch.
func Frames(t testing.TB, b *wire.Batch) []*holdfastv1.Frame {
	t.Helper()
	return Message(t, b).GetFrames()
}

// Received returns the frames that came.
func Received(t testing.TB, r *wire.Received) []*holdfastv1.Frame {
	t.Helper()
	var all []*holdfastv1.Frame
	for i := range r.Frames() {
		var f wire.Frame
		if err := r.Frame(i, &f); err != nil {
			t.Errorf("frame %d of %d: %v", i, r.Frames(), err)
			continue
		}
		all = append(all, message(&f))
	}
	return all
}

func message(f *wire.Frame) *holdfastv1.Frame {
	if f.Rare != nil {
		return f.Rare
	}
	m := &holdfastv1.Frame{ConnectionId: f.Connection, Epoch: uint64(f.Step.Epoch)}
	if f.Step.Kind == ordering.Receipt {
		m.Body = &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{
			ConsumedSeq: f.Step.Consumed, PausedMicros: f.PausedMicros,
		}}
		return m
	}
	m.Body = &holdfastv1.Frame_Data{Data: &holdfastv1.ConnectionDataMessage{
		Seq: f.Step.Seq, Payload: append([]byte(nil), f.Step.Message.Payload...), Text: f.Step.Message.Kind == ordering.Text,
		ConsumedSeq: f.Step.Consumed,
	}}
	return m
}
