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
			if got, err := FrameOf(c.frame); err == nil || !strings.Contains(err.Error(), c.want) {
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
		if got, err := FrameOf(c.frame); err != nil || !same(got.Step, c.want) {
			t.Errorf("%v: got %+v, %v; want %+v", c.frame, got, err, c.want)
		}
	}
}

func TestAnswersToUnknownConnections(t *testing.T) {
	wanted := map[ordering.FrameKind]bool{ordering.Data: true, ordering.Migrate: true, ordering.Resume: true, ordering.MigrateWithAck: true}
	for _, f := range everyKind() {
		frame := Frame{Connection: 0xab, Step: f}
		want := wanted[f.Kind] && f.Message.Kind != ordering.Close
		if got := frame.WantsAnswer(); got != want {
			t.Errorf("%v %v: answered is %v, want %v", f.Kind, f.Message.Kind, got, want)
		}
		answer := frame.UnknownConnection()
		if c := answer.GetClose(); answer.GetConnectionId() != 0xab || answer.GetEpoch() != uint64(f.Epoch) || c.GetSeq() != 0 ||
			c.GetReason() != holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION || !strings.Contains(c.GetDetail(), "00000000000000ab") {
			t.Errorf("%v: the answer is %v", f.Kind, answer)
		}
		for _, m := range []*holdfastv1.Frame{answer, frame.Reject(ordering.Duplicate, 1)} {
			if back, err := FrameOf(m); err != nil || back.WantsAnswer() {
				t.Errorf("an answer is answered (%v): two peers could go on for ever", err)
			}
		}
		if gone, err := FrameOf(answer); err != nil || gone.GoneAtOnce() == nil || frame.GoneAtOnce() != nil {
			t.Errorf("%v: gone at once is %v, and %v of the frame itself", f.Kind, gone.GoneAtOnce(), frame.GoneAtOnce())
		}
	}
}

func TestReject(t *testing.T) {
	frame := Frame{Connection: 3, Step: ordering.Frame{Epoch: 1<<32 | 4}}
	for verdict, reason := range map[ordering.Verdict]holdfastv1.RejectReason{
		ordering.StaleEpoch: holdfastv1.RejectReason_REJECT_REASON_STALE_EPOCH,
		ordering.WrongPath:  holdfastv1.RejectReason_REJECT_REASON_WRONG_PATH,
		ordering.Duplicate:  holdfastv1.RejectReason_REJECT_REASON_DUPLICATE,
	} {
		r := frame.Reject(verdict, 1<<32|5)
		detail := r.GetReject().GetDetail()
		if r.GetConnectionId() != 3 || r.GetEpoch() != 1<<32|4 || r.GetReject().GetReason() != reason ||
			!strings.Contains(detail, "1.4") || !strings.Contains(detail, "1.5") {
			t.Errorf("%v: %v", verdict, r)
		}
	}
}

// A detail that could not be encoded would end the server connection, and with it everybody on it.
func TestCloseDetailIsAlwaysUTF8(t *testing.T) {
	for detail, want := range map[string]string{"": "", "gewöhnlich": "gewöhnlich", "bad \xff\xfe end": "bad \uFFFD end"} {
		f := added(t, 1, ordering.Frame{Kind: ordering.Data, Seq: 1, Message: CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, detail)})
		if got := f.GetClose().GetDetail(); got != want {
			t.Errorf("%q became %q, want %q", detail, got, want)
		}
	}
}

// Whatever bytes a peer sends, decoding does not panic, agrees with the generated code, and what it accepts survives being
// sent on.
func FuzzDecode(f *testing.F) {
	for _, kind := range everyKind() {
		encoded, err := proto.Marshal(added(f, 42, kind))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(encoded)
	}
	f.Add([]byte{})
	f.Add([]byte{0x42, 0x02, 0x08, 0x02}) // a move in resume mode
	f.Add([]byte{0x22, 0x00, 0x3a, 0x00}) // two bodies
	f.Add([]byte{0x22, 0x02, 0x18, 0x02}) // text that is neither 0 nor 1
	f.Fuzz(func(t *testing.T, encoded []byte) {
		message := &holdfastv1.Frame{}
		want, wantErr := Frame{}, proto.Unmarshal(encoded, message)
		if wantErr == nil {
			want, wantErr = FrameOf(message)
		}
		var got Frame
		err := got.decode(encoded)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("decoding failed with %v, that of the generated code with %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if got.Connection != want.Connection || got.PausedMicros != want.PausedMicros || !same(got.Step, want.Step) {
			t.Fatalf("got %+v, the generated code %+v", got, want)
		}
		if _, err := FrameOf(got.UnknownConnection()); err != nil {
			t.Errorf("the answer for an unknown connection is not decodable: %v", err)
		}
		if got.Rare.GetReject() != nil {
			return
		}
		again, err := FrameOf(added(t, got.Connection, got.Step))
		if err != nil || !same(again.Step, got.Step) {
			t.Errorf("sent on, %+v became %+v, %v", got.Step, again.Step, err)
		}
	})
}
