package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// everyKind has a frame of each kind and message kind that goes over the wire.
func everyKind() []ordering.Frame {
	message := func(kind ordering.MessageKind, payload string) ordering.Message {
		return ordering.Message{Kind: kind, Payload: []byte(payload)}
	}
	return []ordering.Frame{
		{Kind: ordering.Open, Epoch: ordering.FirstEpoch},
		{Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: 1, Message: message(ordering.Text, "text")},
		{Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: 2, Message: message(ordering.Binary, "\x00\xff"), Consumed: 7},
		{Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: 3, Message: message(ordering.Text, "")},
		{Kind: ordering.Receipt, Epoch: ordering.FirstEpoch, Consumed: 9},
		{Kind: ordering.Receipt, Epoch: ordering.FirstEpoch},
		{Kind: ordering.Migrate, Epoch: ordering.FirstEpoch.NextMove()},
		{Kind: ordering.MigrateWithAck, Epoch: ordering.FirstEpoch.NextMove()},
		{Kind: ordering.Ack, Epoch: ordering.FirstEpoch.NextMove()},
		{Kind: ordering.Data, Epoch: 5<<32 | 6, Seq: 4, Message: ordering.Message{Kind: ordering.HalfClose}},
		{Kind: ordering.Data, Epoch: 5<<32 | 6, Seq: 5, Message: ordering.Message{
			Kind: ordering.Close, Reason: int32(holdfastv1.CloseReason_CLOSE_REASON_OPERATOR), Payload: []byte("why"),
		}},
	}
}

// overTheWire encodes the frame and decodes it again.
func overTheWire(t *testing.T, f *holdfastv1.Frame) *holdfastv1.Frame {
	t.Helper()
	encoded, err := proto.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	got := &holdfastv1.Frame{}
	if err := proto.Unmarshal(encoded, got); err != nil {
		t.Fatal(err)
	}
	return got
}

// same compares frames; a missing payload is an empty one.
func same(a, b ordering.Frame) bool {
	equal := bytes.Equal(a.Message.Payload, b.Message.Payload)
	a.Message.Payload, b.Message.Payload = nil, nil
	return equal && reflect.DeepEqual(a, b)
}

func TestEveryKindOfFrameComesBack(t *testing.T) {
	var b Batch
	for _, want := range everyKind() {
		b.Reset()
		out := overTheWire(t, b.Add(42, want))
		got, err := Decode(out)
		if err != nil || !same(got, want) || out.GetConnectionId() != 42 {
			t.Errorf("%v: got %+v, %v of connection %d; want %+v", want.Kind, got, err, out.GetConnectionId(), want)
		}
	}
}

// What a slot of the batch held before must not show through what it holds now.
func TestReusedBatchHasTheContentOfAFreshOne(t *testing.T) {
	all := everyKind()
	var reused Batch
	for shift := range all {
		reused.Reset()
		var fresh Batch
		for i := range all {
			f := all[(i+shift)%len(all)]
			got, want := reused.Add(uint64(i+1), f), fresh.Add(uint64(i+1), f)
			if !proto.Equal(got, want) {
				t.Errorf("round %d, frame %d:\n got %v\nwant %v", shift, i, got, want)
			}
		}
		for _, f := range reused.Frames() {
			if r := f.GetReceipt(); r != nil {
				r.PausedMicros = 5 // as the app server library completes some
			}
		}
	}
}

func TestAddFrameBesideAdd(t *testing.T) {
	all := everyKind()
	var b Batch
	for round := range 3 {
		b.Reset()
		foreign := UnknownConnection(&holdfastv1.Frame{ConnectionId: 99})
		b.Add(1, all[1])
		b.AddFrame(foreign)
		b.Add(2, all[2])
		b.AddFrame(foreign)
		b.Add(3, all[4])
		if len(b.Frames()) != 5 || b.Frames()[1] != foreign || b.Frames()[3] != foreign {
			t.Fatalf("round %d: frames are %v", round, b.Frames())
		}
		for i, want := range map[int]ordering.Frame{0: all[1], 2: all[2], 4: all[4]} {
			got, err := Decode(overTheWire(t, b.Frames()[i]))
			if err != nil || !same(got, want) {
				t.Errorf("round %d, frame %d: got %+v, %v; want %+v", round, i, got, err, want)
			}
		}
	}
}

// Without this a batch that stands empty would keep the last messages of each connection in memory.
func TestResetLetsGoOfPayloads(t *testing.T) {
	var b Batch
	f := b.Add(1, everyKind()[1])
	b.Reset()
	if f.GetData().GetPayload() != nil {
		t.Error("the batch still holds the payload")
	}
}

func TestBatchBounds(t *testing.T) {
	for _, c := range []struct {
		name    string
		payload int
		frames  int // how many make it full
	}{
		{"empty messages: the number of frames", 0, maxBatchFrames},
		{"small messages: the bytes", 64, (maxBatchBytes + 63 + frameOverhead) / (64 + frameOverhead)},
		{"one below the bound leaves room", maxBatchBytes - frameOverhead - 1, 2},
		{"one large message", maxBatchBytes - frameOverhead, 1},
		{"one huge message", 1 << 20, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Batch
			message := ordering.Message{Kind: ordering.Binary, Payload: []byte(strings.Repeat("x", c.payload))}
			for i := range c.frames {
				if b.Full() {
					t.Fatalf("full after %d frames, want %d", i, c.frames)
				}
				b.Add(NewID(), ordering.Frame{Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: 1 << 30, Consumed: 1 << 30, Message: message})
			}
			if !b.Full() || b.Bytes() != c.frames*(c.payload+frameOverhead) {
				t.Errorf("after %d frames: full is %v, %d bytes", c.frames, b.Full(), b.Bytes())
			}
			size := proto.Size(&holdfastv1.AttachRequest{Frames: b.Frames()})
			if c.payload <= 64 && size >= 32<<10 {
				t.Errorf("%d bytes on the wire; the buffer pool jumps at 32 KiB", size)
			}
			if b.Reset(); b.Full() || !b.Empty() || b.Bytes() != 0 {
				t.Errorf("after Reset: full %v, empty %v, %d bytes", b.Full(), b.Empty(), b.Bytes())
			}
		})
	}
}

func TestRidersMakeABatch(t *testing.T) {
	for _, fill := range []func(*Batch){
		func(b *Batch) { b.Ping = &holdfastv1.PingMessage{} },
		func(b *Batch) { b.Draining = &holdfastv1.DrainingMessage{} },
		func(b *Batch) { b.AddFrame(&holdfastv1.Frame{}) },
	} {
		var b Batch
		if !b.Empty() {
			t.Error("a new batch is not empty")
		}
		fill(&b)
		if b.Empty() {
			t.Errorf("%+v counts as empty", &b)
		}
		if b.Reset(); !b.Empty() {
			t.Errorf("%+v is not empty after Reset", &b)
		}
	}
}
