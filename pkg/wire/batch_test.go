package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
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
		{Kind: ordering.Resume, Epoch: ordering.FirstEpoch.NextMove(), Received: 3},
		{Kind: ordering.MigrateWithAck, Epoch: ordering.FirstEpoch.NextMove()},
		{Kind: ordering.Ack, Epoch: ordering.FirstEpoch.NextMove()},
		{Kind: ordering.Data, Epoch: 5<<32 | 6, Seq: 4, Message: ordering.Message{Kind: ordering.HalfClose}},
		{Kind: ordering.Data, Epoch: 5<<32 | 6, Seq: 5, Message: ordering.Message{
			Kind: ordering.Close, Reason: int32(holdfastv1.CloseReason_CLOSE_REASON_OPERATOR), Payload: []byte("why"),
		}},
	}
}

// message returns the batch as the generated code decodes it.
func message(t testing.TB, b *Batch) *holdfastv1.AttachRequest {
	t.Helper()
	m := &holdfastv1.AttachRequest{}
	encoded, err := b.AppendTo(nil)
	if err == nil {
		err = proto.Unmarshal(encoded, m)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(m.GetFrames()) != b.Frames() || len(encoded) > b.Size() {
		t.Fatalf("%d frames in %d bytes came of %d in at most %d", len(m.GetFrames()), len(encoded), b.Frames(), b.Size())
	}
	return m
}

// added returns the frame as the generated code decodes it.
func added(t testing.TB, id uint64, f ordering.Frame) *holdfastv1.Frame {
	t.Helper()
	var b Batch
	b.Add(id, f, Extra{})
	return message(t, &b).GetFrames()[0]
}

// received returns the batch as the other side of the stream takes it.
func received(t testing.TB, b *Batch) *Received {
	t.Helper()
	encoded, err := Codec{}.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	defer encoded.Free()
	r := &Received{}
	if err := (Codec{}).Unmarshal(encoded, r); err != nil {
		t.Fatal(err)
	}
	return r
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
		b.Add(42, want, Extra{PausedMicros: 7, ClientIngress: "a", ClientAddress: "b"})
		r := received(t, &b)
		var got Frame
		if err := r.Frame(0, &got); err != nil || r.Frames() != 1 || !same(got.Step, want) || got.Connection != 42 {
			t.Errorf("%v: got %+v, %v of %d; want %+v", want.Kind, got, err, r.Frames(), want)
		}
		often := want.Kind == ordering.Receipt || (want.Kind == ordering.Data && want.Message.Kind <= ordering.Text)
		if (got.Rare == nil) != often {
			t.Errorf("%v %v went past the generated code: %v", want.Kind, want.Message.Kind, got.Rare == nil)
		}
		if (got.PausedMicros == 7) != (want.Kind == ordering.Receipt) {
			t.Errorf("%v: paused for %d µs", want.Kind, got.PausedMicros)
		}
		if o := got.Rare.GetOpen(); want.Kind == ordering.Open && (o.GetClientIngress() != "a" || o.GetClientAddress() != "b") {
			t.Errorf("opened as %v", o)
		}
		r.Release()
	}
}

// The generated code on the other side must see what this code sends, and the other way round.
func TestBatchIsWhatTheGeneratedCodeSays(t *testing.T) {
	all := everyKind()
	var b Batch
	for round := range 2 {
		b.Reset()
		for i, f := range all {
			b.Add(uint64(i+1), f, Extra{})
		}
		foreign := (&Frame{Connection: 99}).UnknownConnection()
		b.AddFrame(foreign)
		b.Ping, b.Draining = &holdfastv1.PingMessage{Nonce: 5, Answer: true}, &holdfastv1.DrainingMessage{Detail: "soon"}
		m := message(t, &b)
		if !proto.Equal(m.GetPing(), b.Ping) || !proto.Equal(m.GetDraining(), b.Draining) || m.GetHandshake() != nil {
			t.Errorf("round %d: %v", round, m)
		}
		for i, f := range all {
			if got, err := FrameOf(m.GetFrames()[i]); err != nil || !same(got.Step, f) || got.Connection != uint64(i+1) {
				t.Errorf("round %d, frame %d: got %+v, %v; want %+v", round, i, got, err, f)
			}
		}
		if !proto.Equal(m.GetFrames()[len(all)], foreign) {
			t.Errorf("round %d: got %v, want %v", round, m.GetFrames()[len(all)], foreign)
		}
		r := received(t, &b)
		if !proto.Equal(r.Ping, b.Ping) || !proto.Equal(r.Draining, b.Draining) || r.Handshake || r.Frames() != len(all)+1 {
			t.Errorf("round %d: received %+v", round, r)
		}
		r.Release()
	}
	m := &holdfastv1.AttachResponse{Handshake: &holdfastv1.HandshakeResponseMessage{RelayId: "x"}}
	encoded, err := Codec{}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var r Received
	if err := (Codec{}).Unmarshal(encoded, &r); err != nil || !r.Handshake {
		t.Errorf("a handshake is %v, %v", r.Handshake, err)
	}
	r.Release()
}

// A text that cannot be encoded must not go out as something else.
func TestBatchThatCannotBeEncoded(t *testing.T) {
	var b Batch
	b.AddFrame((&Frame{Connection: 1}).CloseNow(holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, "bad \xff"))
	if _, err := (Codec{}).Marshal(&b); err == nil {
		t.Error("sent")
	}
	b.Reset()
	b.Add(1, everyKind()[1], Extra{})
	if _, err := (Codec{}).Marshal(&b); err != nil {
		t.Errorf("the next batch: %v", err)
	}
}

// A peer that is cut off in the middle of a field, or sends what is no protobuf, is told so.
func TestReceivedRefuses(t *testing.T) {
	var b Batch
	for _, f := range everyKind() {
		b.Add(1, f, Extra{})
	}
	encoded, err := b.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{encoded[:len(encoded)-1], {0xff}, {0x12, 0x05, 1}, {0x08}, {0x1a, 0x02, 0x08, 0x80}} {
		var r Received
		if err := (Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(bad)}, &r); err == nil {
			t.Errorf("%x is taken for %+v", bad, r)
		}
		r.Release()
	}
	var r Received
	if err := (Codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer{0x78, 0x01, 0x12, 0x00}}, &r); err != nil || r.Frames() != 1 {
		t.Errorf("a field to come is not passed over: %v, %d frames", err, r.Frames())
	}
	if err := r.Frame(0, &Frame{}); err == nil {
		t.Error("a frame with nothing in it is taken")
	}
}

func TestBatchBounds(t *testing.T) {
	// full returns how long a frame with such a payload is, in bytes.
	add := func(b *Batch, payload int) {
		b.Add(NewID()|1<<63, ordering.Frame{
			Kind: ordering.Data, Epoch: ordering.FirstEpoch, Seq: 1 << 30, Consumed: 1 << 30,
			Message: ordering.Message{Kind: ordering.Binary, Payload: []byte(strings.Repeat("x", payload))},
		}, Extra{})
	}
	full := func(payload int) int {
		var b Batch
		add(&b, payload)
		return len(b.encoded)
	}
	for _, c := range []struct {
		name    string
		payload int
		frames  int // how many make it full
	}{
		{"empty messages: the number of frames", 0, maxBatchFrames},
		{"small messages: the bytes", 64, (maxBatchBytes + full(64) - 1) / full(64)},
		{"one below the bound leaves room", maxBatchBytes - 1 - full(maxBatchBytes) + maxBatchBytes, 2},
		{"one large message", maxBatchBytes, 1},
		{"one huge message", 1 << 20, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b Batch
			for i := range c.frames {
				if b.Full() {
					t.Fatalf("full after %d frames, want %d", i, c.frames)
				}
				add(&b, c.payload)
			}
			if !b.Full() || b.Frames() != c.frames {
				t.Errorf("after %d frames: full is %v", b.Frames(), b.Full())
			}
			if c.payload <= 64 && b.Size() >= 32<<10 {
				t.Errorf("%d bytes on the wire; the default buffer pool of a peer jumps at 32 KiB", b.Size())
			}
			if b.Reset(); b.Full() || !b.Empty() || b.Frames() != 0 {
				t.Errorf("after Reset: full %v, empty %v, %d frames", b.Full(), b.Empty(), b.Frames())
			}
			if cap(b.encoded) > keptBytes {
				t.Errorf("an empty batch keeps %d bytes", cap(b.encoded))
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
