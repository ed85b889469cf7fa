package wire

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

func TestDecodeRefuses(t *testing.T) {
	migrate := func(m *holdfastv1.MigrateConnectionMessage) *holdfastv1.Frame {
		return &holdfastv1.Frame{ConnectionId: 0xab, Body: &holdfastv1.Frame_Migrate{Migrate: m}}
	}
	for _, c := range []struct {
		name  string
		frame *holdfastv1.Frame
		want  string
	}{
		{"no body", &holdfastv1.Frame{ConnectionId: 0xab, Epoch: 1}, "00000000000000ab has no body"},
		{"nothing at all", &holdfastv1.Frame{}, "no body"},
		{"nil", nil, "no body"},
		{"a move of no mode", migrate(&holdfastv1.MigrateConnectionMessage{}), "UNSPECIFIED"},
		{"a move of a mode to come", migrate(&holdfastv1.MigrateConnectionMessage{Mode: 77}), "77"},
		{"a move with nothing in it", migrate(nil), "UNSPECIFIED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := Decode(c.frame); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

// A body with nothing in it is all zeros, which package ordering judges.
func TestDecodeOfEmptyBodies(t *testing.T) {
	for _, c := range []struct {
		frame *holdfastv1.Frame
		want  ordering.Frame
	}{
		{&holdfastv1.Frame{Body: &holdfastv1.Frame_Data{}}, ordering.Frame{Kind: ordering.Data, Message: ordering.Message{Kind: ordering.Binary}}},
		{&holdfastv1.Frame{Body: &holdfastv1.Frame_HalfClose{}}, ordering.Frame{Kind: ordering.Data, Message: ordering.Message{Kind: ordering.HalfClose}}},
		{&holdfastv1.Frame{Body: &holdfastv1.Frame_Close{}}, ordering.Frame{Kind: ordering.Data, Message: ordering.Message{Kind: ordering.Close}}},
		{&holdfastv1.Frame{Body: &holdfastv1.Frame_Receipt{}}, ordering.Frame{Kind: ordering.Receipt}},
		{&holdfastv1.Frame{Body: &holdfastv1.Frame_Open{}}, ordering.Frame{Kind: ordering.Open}},
	} {
		if got, err := Decode(c.frame); err != nil || !same(got, c.want) {
			t.Errorf("%v: got %+v, %v; want %+v", c.frame, got, err, c.want)
		}
	}
}

func TestAnswersToUnknownConnections(t *testing.T) {
	wanted := map[ordering.FrameKind]bool{ordering.Data: true, ordering.Migrate: true, ordering.MigrateWithAck: true}
	var b Batch
	for _, f := range everyKind() {
		frame := b.Add(0xab, f)
		want := wanted[f.Kind] && f.Message.Kind != ordering.Close
		if got := WantsAnswer(frame); got != want {
			t.Errorf("%v %v: answered is %v, want %v", f.Kind, f.Message.Kind, got, want)
		}
		answer := UnknownConnection(frame)
		if c := answer.GetClose(); answer.GetConnectionId() != 0xab || answer.GetEpoch() != uint64(f.Epoch) || c.GetSeq() != 0 ||
			c.GetReason() != holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION || !strings.Contains(c.GetDetail(), "00000000000000ab") {
			t.Errorf("%v: the answer is %v", f.Kind, answer)
		}
		if WantsAnswer(answer) || WantsAnswer(Reject(frame, ordering.Duplicate, 1)) {
			t.Error("an answer is answered: two peers could go on for ever")
		}
	}
}

func TestReject(t *testing.T) {
	frame := &holdfastv1.Frame{ConnectionId: 3, Epoch: 1<<32 | 4}
	for verdict, reason := range map[ordering.Verdict]holdfastv1.RejectReason{
		ordering.StaleEpoch: holdfastv1.RejectReason_REJECT_REASON_STALE_EPOCH,
		ordering.WrongPath:  holdfastv1.RejectReason_REJECT_REASON_WRONG_PATH,
		ordering.Duplicate:  holdfastv1.RejectReason_REJECT_REASON_DUPLICATE,
	} {
		r := Reject(frame, verdict, 1<<32|5)
		detail := r.GetReject().GetDetail()
		if r.GetConnectionId() != 3 || r.GetEpoch() != frame.GetEpoch() || r.GetReject().GetReason() != reason ||
			!strings.Contains(detail, "1.4") || !strings.Contains(detail, "1.5") {
			t.Errorf("%v: %v", verdict, r)
		}
	}
}

// A detail that could not be encoded would end the server connection, and with it everybody on it.
func TestCloseDetailIsAlwaysUTF8(t *testing.T) {
	for detail, want := range map[string]string{"": "", "gewöhnlich": "gewöhnlich", "bad \xff\xfe end": "bad \uFFFD end"} {
		var b Batch
		f := b.Add(1, ordering.Frame{Kind: ordering.Data, Seq: 1, Message: CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, detail)})
		if got := overTheWire(t, f).GetClose().GetDetail(); got != want {
			t.Errorf("%q became %q, want %q", detail, got, want)
		}
	}
}

// Whatever bytes a peer sends, decoding does not panic, and what it accepts survives being sent on.
func FuzzDecode(f *testing.F) {
	var b Batch
	for _, kind := range everyKind() {
		encoded, err := proto.Marshal(b.Add(42, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Add([]byte{})
	f.Add([]byte{0x42, 0x02, 0x08, 0x02}) // a move in resume mode
	f.Fuzz(func(t *testing.T, encoded []byte) {
		frame := &holdfastv1.Frame{}
		if proto.Unmarshal(encoded, frame) != nil {
			return
		}
		if _, err := Decode(UnknownConnection(frame)); err != nil {
			t.Errorf("the answer for an unknown connection is not decodable: %v", err)
		}
		decoded, err := Decode(frame)
		if err != nil {
			return
		}
		var batch Batch
		again, err := Decode(overTheWire(t, batch.Add(frame.GetConnectionId(), decoded)))
		if err != nil || !same(again, decoded) {
			t.Errorf("sent on, %+v became %+v, %v", decoded, again, err)
		}
	})
}
