package appserver_test

import (
	"fmt"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// The frames below are of connection 1 and of generation 1.

func frame(move uint32) *holdfastv1.Frame {
	return &holdfastv1.Frame{ConnectionId: 1, Epoch: 1<<32 | uint64(move)}
}

// on makes a frame one of another connection.
func on(id uint64, f *holdfastv1.Frame) *holdfastv1.Frame {
	f.ConnectionId = id
	return f
}

func open() *holdfastv1.Frame {
	f := frame(1)
	f.Body = &holdfastv1.Frame_Open{Open: &holdfastv1.OpenConnectionMessage{
		ClientIngress: "c", ClientAddress: "192.0.2.1:5000",
	}}
	return f
}

func data(seq uint64, move uint32, payload string) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Data{Data: &holdfastv1.ConnectionDataMessage{Seq: seq, Payload: []byte(payload)}}
	return f
}

func text(seq uint64, move uint32, payload string) *holdfastv1.Frame {
	f := data(seq, move, payload)
	f.GetData().Text = true
	return f
}

func halfClose(seq uint64, move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_HalfClose{HalfClose: &holdfastv1.HalfCloseMessage{Seq: seq}}
	return f
}

func closing(seq uint64, move uint32, reason holdfastv1.CloseReason, detail string) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{Seq: seq, Reason: reason, Detail: detail}}
	return f
}

// gone is the close of a client that went away.
func gone(seq uint64, move uint32) *holdfastv1.Frame {
	return closing(seq, move, holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, "the client went away")
}

func receipt(consumed uint64, move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{ConsumedSeq: consumed}}
	return f
}

func migrate(move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
		Mode: holdfastv1.MigrateMode_MIGRATE_MODE_GRACEFUL,
	}}
	return f
}

func migrateWithAck(move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{}}
	return f
}

func ack(move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Ack{Ack: &holdfastv1.AckMessage{}}
	return f
}

func reject(move uint32) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Reject{Reject: &holdfastv1.RejectMessage{
		Reason: holdfastv1.RejectReason_REJECT_REASON_DUPLICATE, Detail: "a frame was dropped",
	}}
	return f
}

// describe returns a frame as the notes of the relay have it: what it is, its sequence number, the move of its epoch,
// its content, and its connection when that is not 1.
func describe(f *holdfastv1.Frame) string {
	note := fmt.Sprintf("%T", f.GetBody())
	switch b := f.GetBody().(type) {
	case *holdfastv1.Frame_Data:
		note = describeData(b.Data, uint32(f.GetEpoch()))
	case *holdfastv1.Frame_Receipt:
		note = fmt.Sprintf("receipt%d@%d", b.Receipt.GetConsumedSeq(), uint32(f.GetEpoch()))
		if p := b.Receipt.GetPausedMicros(); p > 0 {
			note += fmt.Sprintf("(paused %v)", time.Duration(p)*time.Microsecond)
		}
	case *holdfastv1.Frame_MigrateWithAck:
		note = fmt.Sprintf("withack@%d", uint32(f.GetEpoch()))
		if n := b.MigrateWithAck.GetReceivedSeq(); n > 0 {
			note = fmt.Sprintf("withack%d@%d", n, uint32(f.GetEpoch()))
		}
	case *holdfastv1.Frame_Close:
		note = fmt.Sprintf("close%d@%d(%s)", b.Close.GetSeq(), uint32(f.GetEpoch()), wire.CloseReasonName(b.Close.GetReason()))
	case *holdfastv1.Frame_Reject:
		note = fmt.Sprintf("reject@%d(%v)", uint32(f.GetEpoch()), b.Reject.GetReason())
	}
	if f.GetConnectionId() != 1 {
		note += fmt.Sprintf("#%d", f.GetConnectionId())
	}
	return note
}

func describeData(d *holdfastv1.ConnectionDataMessage, move uint32) string {
	kind := "data"
	if d.GetText() {
		kind = "text"
	}
	note := fmt.Sprintf("%s%d@%d(%s)", kind, d.GetSeq(), move, d.GetPayload())
	if d.GetConsumedSeq() > 0 {
		note += fmt.Sprintf("+receipt%d", d.GetConsumedSeq())
	}
	return note
}

// resume says that the relay has received the messages through that number.
func resume(move uint32, received uint64) *holdfastv1.Frame {
	f := frame(move)
	f.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{
		Mode: holdfastv1.MigrateMode_MIGRATE_MODE_RESUME, ReceivedSeq: received,
	}}
	return f
}
