package relay

import (
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// peer is an app server that says what it likes.
type peer struct {
	t      *testing.T
	stream holdfastv1.ServerConnectionService_AttachClient
}

func goodHandshake() *holdfastv1.HandshakeRequestMessage {
	return &holdfastv1.HandshakeRequestMessage{
		ProtocolVersion: 1, ServerId: "peer", InstanceId: "peer-1", ProcessNonce: 7, Application: "other",
	}
}

// peer opens a stream and sends the handshake, unless it is nil.
func (h *harness) peer(t *testing.T, handshake *holdfastv1.HandshakeRequestMessage) *peer {
	t.Helper()
	cc := h.conn(h.application, "")
	t.Cleanup(func() { _ = cc.Close() })
	stream, err := holdfastv1.NewServerConnectionServiceClient(cc).Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t, stream}
	if handshake != nil {
		p.send(&holdfastv1.AttachRequest{Handshake: handshake})
	}
	return p
}

func (p *peer) send(m *holdfastv1.AttachRequest) {
	p.t.Helper()
	if err := p.stream.Send(m); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) frames(f ...*holdfastv1.Frame) { p.send(&holdfastv1.AttachRequest{Frames: f}) }

// outcome receives until the stream fails, or a close or reject arrives, and returns the reason.
func (p *peer) outcome() string {
	for {
		m, err := p.stream.Recv()
		if err != nil {
			return reasonOrCode(err)
		}
		for _, f := range m.GetFrames() {
			if c := f.GetClose(); c != nil {
				return "close " + wire.CloseReasonName(c.GetReason())
			}
			if r := f.GetReject(); r != nil {
				return "reject " + strings.TrimPrefix(r.GetReason().String(), "REJECT_REASON_")
			}
		}
	}
}

// reasonOrCode returns the typed reason, or the code of an error that is gRPC's own.
func reasonOrCode(err error) string {
	if reason := wire.ErrorReasonOf(err); reason != "" {
		return reason
	}
	return status.Code(err).String()
}

// open waits until a connection is placed on the peer and returns the Open.
func (p *peer) open() *holdfastv1.Frame {
	p.t.Helper()
	return p.await(func(f *holdfastv1.Frame) bool { return f.GetOpen() != nil })
}

// resume waits for a resume via the peer.
func (p *peer) resume() *holdfastv1.Frame {
	p.t.Helper()
	return p.await(func(f *holdfastv1.Frame) bool {
		return f.GetMigrate().GetMode() == holdfastv1.MigrateMode_MIGRATE_MODE_RESUME
	})
}

func (p *peer) await(wanted func(*holdfastv1.Frame) bool) *holdfastv1.Frame {
	p.t.Helper()
	for {
		m, err := p.stream.Recv()
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range m.GetFrames() {
			if wanted(f) {
				return proto.Clone(f).(*holdfastv1.Frame)
			}
		}
	}
}

// withAck answers a frame with a MigrateConnectionWithAckMessage of its epoch.
func withAck(to *holdfastv1.Frame, received uint64) *holdfastv1.Frame {
	return &holdfastv1.Frame{ConnectionId: to.GetConnectionId(), Epoch: to.GetEpoch(), Body: &holdfastv1.Frame_MigrateWithAck{
		MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{ReceivedSeq: received},
	}}
}

func data(id, epoch, seq uint64, payload string) *holdfastv1.Frame {
	return &holdfastv1.Frame{ConnectionId: id, Epoch: epoch, Body: &holdfastv1.Frame_Data{
		Data: &holdfastv1.ConnectionDataMessage{Seq: seq, Payload: []byte(payload), Text: true},
	}}
}

// An answer to a resume by another path than the target is a breach, which ends the connection and nothing else.
func answerByTheWrongPath(t *testing.T, h *harness) string {
	p := h.peer(t, goodHandshake())
	synctest.Wait() // it is attached
	cc := h.conn(h.application, "")
	t.Cleanup(func() { _ = cc.Close() })
	client, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Send(hello("other")); err != nil {
		t.Fatal(err)
	}
	open := p.open()
	p.frames(&holdfastv1.Frame{ConnectionId: open.GetConnectionId(), Epoch: open.GetEpoch(), Body: &holdfastv1.Frame_Receipt{
		Receipt: &holdfastv1.ReceiptMessage{},
	}})
	synctest.Wait()
	target := h.peer(t, goodHandshake())
	synctest.Wait()
	if err := p.stream.CloseSend(); err != nil { // the first path goes
		t.Fatal(err)
	}
	resume := target.resume()
	wrong := h.peer(t, goodHandshake())
	wrong.frames(withAck(resume, 0))
	return wrong.outcome()
}
