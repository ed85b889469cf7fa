package serverleg

import (
	"errors"
	"fmt"
	"io"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// read takes what the app server sends until the stream ends. It returns nil when the app server ended it.
func (s *Service) read(st stream, conn *serverconn.Conn) error {
	var m wire.Received
	defer m.Release()
	var f wire.Frame
	for {
		err := st.RecvMsg(&m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.received(conn, &m, &f)
		} else {
			err = s.recvError(err)
		}
		if err != nil {
			return s.breach(conn, err)
		}
		m.Release()
	}
}

// received takes one message; f is room for a frame.
func (s *Service) received(conn *serverconn.Conn, m *wire.Received, f *wire.Frame) error {
	conn.Writer.Heard()
	if m.Handshake {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REPEATED, "server connection %s: a second handshake", conn.ID)
	}
	conn.Writer.Ping(m.Ping)
	s.counters.BatchIn(m.Frames(), m.Bytes())
	for i := range m.Frames() {
		if err := m.Frame(i, f); err != nil {
			return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_FRAME, "%v", err)
		}
		if err := s.frame(conn, f); err != nil {
			return err
		}
	}
	if m.Draining != nil {
		s.registry.Draining(conn, m.Draining.GetDetail())
	}
	return nil
}

// breach counts and logs what ends the server connection, when it is the app server's fault.
func (s *Service) breach(conn *serverconn.Conn, err error) error {
	if reason := wire.ErrorReasonOf(err); reason != "" {
		s.counters.Error(reason)
		s.log.Warn("server connection broke the protocol", "server_connection", conn.ID, "ingress", conn.Ingress,
			"reason", reason, "error", err)
	}
	return err
}

// frame hands a frame to its connection. Its error ends the server connection; what concerns one logical
// connection only ends that.
func (s *Service) frame(conn *serverconn.Conn, f *wire.Frame) error {
	if f.Connection == 0 {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_FRAME, "a frame has no connection_id")
	}
	if r := f.Rare.GetReject(); r != nil {
		s.log.Warn("the app server dropped a frame of ours", "server_connection", conn.ID, "ingress", conn.Ingress,
			"connection", wire.FormatID(f.Connection), "epoch", f.Step.Epoch, "reason", r.GetReason(), "detail", r.GetDetail())
		return nil
	}
	c, known := s.registry.Addressee(f.Connection, f.Step.Epoch)
	if c == nil && known { // it is of a generation that has lost the connection
		s.counters.Dropped(ordering.StaleEpoch.String())
		return nil
	}
	// A connection belongs to one process: to another it is as unknown as one that does not exist.
	if c == nil || c.Instance != conn.Instance {
		s.unknown(conn, f)
		return nil
	}
	if gone := f.GoneAtOnce(); gone != nil {
		if f.Step.Epoch.Generation() < c.Generation() {
			s.counters.Dropped(ordering.StaleEpoch.String())
		} else {
			c.PeerDoesNotKnow(gone)
		}
		return nil
	}
	if m := f.Step.Message; len(m.Payload) > s.config.MaxMessageBytes {
		c.Refuse(conn, holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_TOO_LARGE, fmt.Sprintf(
			"message %d has %d bytes; the limit is %d", f.Step.Seq, len(m.Payload), s.config.MaxMessageBytes))
		s.connectionError(conn, f, "MESSAGE_TOO_LARGE", nil)
		return nil
	}
	if err := c.Receive(conn, f); err != nil {
		s.connectionError(conn, f, ruleOf(err), err)
	}
	return nil
}

func ruleOf(err error) string {
	var breach *ordering.ProtocolError
	if errors.As(err, &breach) {
		return "RULE_" + breach.Rule.String()
	}
	return "PROTOCOL_ERROR"
}

func (s *Service) connectionError(conn *serverconn.Conn, f *wire.Frame, reason string, err error) {
	s.counters.Error(reason)
	s.log.Warn("connection broke the protocol and is closed", "server_connection", conn.ID, "ingress", conn.Ingress,
		"connection", wire.FormatID(f.Connection), "epoch", f.Step.Epoch, "reason", reason, "error", err)
}

// unknown answers a frame for a connection that is not there.
func (s *Service) unknown(conn *serverconn.Conn, f *wire.Frame) {
	s.counters.Dropped(telemetry.UnknownConnection)
	if f.WantsAnswer() && conn.Writer.Reply(f.UnknownConnection()) && conn.FirstUnknown() {
		s.log.Warn("a frame is for an unknown connection; further ones are only counted", "server_connection", conn.ID,
			"ingress", conn.Ingress, "connection", wire.FormatID(f.Connection), "epoch", f.Step.Epoch)
	}
}
