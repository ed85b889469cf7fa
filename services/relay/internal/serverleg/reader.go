package serverleg

import (
	"errors"
	"fmt"
	"io"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// read takes what the app server sends until the stream ends. It returns nil when the app server ended it.
func (s *Service) read(st stream, conn *serverconn.Conn) error {
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.breach(conn, s.recvError(err))
		}
		conn.Writer.Heard()
		if m.GetHandshake() != nil {
			return s.breach(conn, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REPEATED,
				"server connection %s: a second handshake", conn.ID))
		}
		conn.Writer.Ping(m.GetPing())
		s.counters.FramesIn(len(m.GetFrames()))
		for _, f := range m.GetFrames() {
			if err := s.frame(conn, f); err != nil {
				return s.breach(conn, err)
			}
		}
		if d := m.GetDraining(); d != nil {
			s.registry.Draining(conn, d.GetDetail())
		}
	}
}

// breach counts and logs what ends the server connection, when it is the app server's fault.
func (s *Service) breach(conn *serverconn.Conn, err error) error {
	if reason := wire.ErrorReasonOf(err); reason != "" {
		s.counters.Error(reason)
		s.log.Warn("server connection broke the protocol", "server_connection", conn.ID, "reason", reason, "error", err)
	}
	return err
}

// frame hands a frame to its connection. Its error ends the server connection; what concerns one logical
// connection only ends that.
func (s *Service) frame(conn *serverconn.Conn, f *holdfastv1.Frame) error {
	if f.GetConnectionId() == 0 {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_FRAME, "a frame has no connection_id")
	}
	if r := f.GetReject(); r != nil {
		s.log.Warn("the app server dropped a frame of ours", "server_connection", conn.ID,
			"connection", wire.FormatID(f.GetConnectionId()), "reason", r.GetReason(), "detail", r.GetDetail())
		return nil
	}
	decoded, err := wire.Decode(f)
	if err != nil {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MALFORMED_FRAME, "%v", err)
	}
	c := s.registry.Connection(f.GetConnectionId())
	// A connection belongs to one process: to another it is as unknown as one that does not exist.
	if c == nil || c.Instance != conn.Instance {
		s.unknown(conn, f)
		return nil
	}
	if m := f.GetClose(); m != nil && m.GetSeq() == 0 {
		c.PeerDoesNotKnow(m)
		return nil
	}
	if len(decoded.Message.Payload) > s.config.MaxMessageBytes {
		c.Refuse(conn, holdfastv1.CloseReason_CLOSE_REASON_MESSAGE_TOO_LARGE, fmt.Sprintf(
			"message %d has %d bytes; the limit is %d", decoded.Seq, len(decoded.Message.Payload), s.config.MaxMessageBytes))
		s.connectionError(conn, c.ID, "MESSAGE_TOO_LARGE", nil)
		return nil
	}
	if err := c.Receive(conn, f, decoded); err != nil {
		s.connectionError(conn, c.ID, ruleOf(err), err)
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

func (s *Service) connectionError(conn *serverconn.Conn, id uint64, reason string, err error) {
	s.counters.Error(reason)
	s.log.Warn("connection broke the protocol and is closed", "server_connection", conn.ID,
		"connection", wire.FormatID(id), "reason", reason, "error", err)
}

// unknown answers a frame for a connection that is not there.
func (s *Service) unknown(conn *serverconn.Conn, f *holdfastv1.Frame) {
	s.counters.Dropped("UnknownConnection")
	if wire.WantsAnswer(f) && conn.Writer.Reply(wire.UnknownConnection(f)) && conn.FirstUnknown() {
		s.log.Warn("a frame is for an unknown connection; further ones are only counted", "server_connection", conn.ID,
			"connection", wire.FormatID(f.GetConnectionId()))
	}
}
