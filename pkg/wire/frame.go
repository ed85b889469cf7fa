package wire

import (
	"fmt"
	"strings"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// FrameOf translates a frame. It returns an error for a frame that no state allows: such a frame ends the
// server connection that it came by. A RejectMessage, and a CloseConnectionMessage with seq 0, are no
// business of package ordering: the caller looks for them first.
func FrameOf(f *holdfastv1.Frame) (Frame, error) {
	out := Frame{Connection: f.GetConnectionId(), Rare: f}
	step := &out.Step
	step.Epoch = ordering.Epoch(f.GetEpoch())
	switch body := f.GetBody().(type) {
	case *holdfastv1.Frame_Data:
		step.Kind, step.Seq, step.Consumed = ordering.Data, body.Data.GetSeq(), body.Data.GetConsumedSeq()
		step.Message = ordering.Message{Kind: ordering.Binary, Payload: body.Data.GetPayload()}
		if body.Data.GetText() {
			step.Message.Kind = ordering.Text
		}
	case *holdfastv1.Frame_HalfClose:
		step.Kind, step.Seq = ordering.Data, body.HalfClose.GetSeq()
		step.Message.Kind = ordering.HalfClose
	case *holdfastv1.Frame_Close:
		step.Kind, step.Seq = ordering.Data, body.Close.GetSeq()
		step.Message = CloseMessage(body.Close.GetReason(), body.Close.GetDetail())
	case *holdfastv1.Frame_Receipt:
		step.Kind, step.Consumed = ordering.Receipt, body.Receipt.GetConsumedSeq()
		out.PausedMicros, step.Welcomed = body.Receipt.GetPausedMicros(), body.Receipt.GetWelcomed()
	case *holdfastv1.Frame_Open:
		step.Kind = ordering.Open
	case *holdfastv1.Frame_Migrate:
		switch body.Migrate.GetMode() {
		case holdfastv1.MigrateMode_MIGRATE_MODE_GRACEFUL:
			step.Kind = ordering.Migrate
		case holdfastv1.MigrateMode_MIGRATE_MODE_RESUME:
			step.Kind, step.Received = ordering.Resume, body.Migrate.GetReceivedSeq()
		case holdfastv1.MigrateMode_MIGRATE_MODE_CLIENT:
			step.Kind, step.Generation = ordering.Adopt, body.Migrate.GetTokenGeneration()
			step.Received, step.Consumed = body.Migrate.GetReceivedSeq(), body.Migrate.GetConsumedSeq()
		default:
			return out, fmt.Errorf("migrate mode %v is not spoken here", body.Migrate.GetMode())
		}
	case *holdfastv1.Frame_MigrateWithAck:
		m := body.MigrateWithAck
		step.Kind, step.Received, step.Consumed = ordering.MigrateWithAck, m.GetReceivedSeq(), m.GetConsumedSeq()
		step.Window, step.Outstanding = m.GetWindowBytes(), m.GetOutstandingBytes()
		switch {
		case m.GetClosed():
			step.Ended = ordering.Close
		case m.GetHalfClosed():
			step.Ended = ordering.HalfClose
		}
	case *holdfastv1.Frame_Refuse:
		step.Kind, step.Generation = ordering.Refuse, body.Refuse.GetGeneration()
		step.Refusal = ordering.Refusal(body.Refuse.GetReason())
	case *holdfastv1.Frame_Ack:
		step.Kind = ordering.Ack
	case *holdfastv1.Frame_Reject:
	default:
		return out, fmt.Errorf("a frame of connection %s has no body", FormatID(f.GetConnectionId()))
	}
	return out, nil
}

// GoneAtOnce returns the close of a peer that does not know the connection, or lets go of it at once; nil for anything else.
func (f *Frame) GoneAtOnce() *holdfastv1.CloseConnectionMessage {
	if m := f.Rare.GetClose(); m != nil && m.GetSeq() == 0 {
		return m
	}
	return nil
}

// maxDetail bounds the detail of a close, in bytes: it travels to the client in the trailers of a stream, which ingresses
// bound to a few KiB.
const maxDetail = 1 << 10

// CloseMessage returns the message that closes a connection for the reason. A long detail is cut, and what is not UTF-8
// in it replaced: it could not be encoded, which would end the whole server connection.
func CloseMessage(reason holdfastv1.CloseReason, detail string) ordering.Message {
	return ordering.Message{Kind: ordering.Close, Reason: int32(reason), Payload: []byte(Detail(detail))}
}

// Detail returns the text as it can stand in a message for people.
func Detail(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxDetail)], "\uFFFD")
}

// UnknownConnection answers a frame for a connection that its receiver does not know.
func (f *Frame) UnknownConnection() *holdfastv1.Frame {
	return f.CloseNow(holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION, "no connection "+FormatID(f.Connection)+" is known here")
}

// CloseNow answers a frame for a connection that its receiver lets go of at once.
func (f *Frame) CloseNow(reason holdfastv1.CloseReason, detail string) *holdfastv1.Frame {
	return &holdfastv1.Frame{
		ConnectionId: f.Connection, Epoch: uint64(f.Step.Epoch),
		Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{Reason: reason, Detail: detail}},
	}
}

// WantsAnswer reports whether a frame for an unknown connection is answered. What may still be on its way
// when a connection is over is not: receipts, closes, and messages that say something about another frame.
func (f *Frame) WantsAnswer() bool {
	switch f.Step.Kind {
	case ordering.Data:
		return f.Step.Message.Kind != ordering.Close
	case ordering.Migrate, ordering.Resume, ordering.Adopt, ordering.MigrateWithAck:
		return true
	}
	return false
}

// Refuse returns the frame of the connection that an ordering.Responder gave out as a reply. The refusals have the numbers of
// RefuseReason.
func Refuse(id uint64, f ordering.Frame) *holdfastv1.Frame {
	return &holdfastv1.Frame{
		ConnectionId: id, Epoch: uint64(f.Epoch),
		Body: &holdfastv1.Frame_Refuse{Refuse: &holdfastv1.RefuseMessage{
			Reason: holdfastv1.RefuseReason(f.Refusal), Generation: f.Generation,
		}},
	}
}

var rejectReasons = map[ordering.Verdict]holdfastv1.RejectReason{
	ordering.StaleEpoch: holdfastv1.RejectReason_REJECT_REASON_STALE_EPOCH,
	ordering.WrongPath:  holdfastv1.RejectReason_REJECT_REASON_WRONG_PATH,
	ordering.Duplicate:  holdfastv1.RejectReason_REJECT_REASON_DUPLICATE,
}

// Reject tells the sender of a dropped frame why it was dropped.
func (f *Frame) Reject(v ordering.Verdict, inForce ordering.Epoch) *holdfastv1.Frame {
	return &holdfastv1.Frame{
		ConnectionId: f.Connection, Epoch: uint64(f.Step.Epoch),
		Body: &holdfastv1.Frame_Reject{Reject: &holdfastv1.RejectMessage{
			Reason: rejectReasons[v],
			Detail: fmt.Sprintf("%v: the frame is of epoch %v, in force is %v", v, f.Step.Epoch, inForce),
		}},
	}
}
