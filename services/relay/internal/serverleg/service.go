// Package serverleg serves the streams of app servers: one server connection each.
package serverleg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/identity"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Config is what the relay offers to app servers.
type Config struct {
	RelayID           string
	WindowBytes       int
	MaxMessageBytes   int
	HeartbeatInterval time.Duration
	// HandshakeTimeout is for how long a stream may take to its handshake.
	HandshakeTimeout time.Duration
	// Identities checks whom an app server shows to be; nil: nothing is asked for.
	Identities *identity.Servers
}

// Service implements ServerConnectionService.
type Service struct {
	holdfastv1.UnimplementedServerConnectionServiceServer
	config     Config
	registry   *registry.Registry
	identifier *ingress.Identifier
	counters   *telemetry.Counters
	log        *slog.Logger
	// loops waits for the readers and writers of streams, each of which ends when its stream does.
	loops sync.WaitGroup
}

// New returns the service.
func New(config Config, r *registry.Registry, id *ingress.Identifier, c *telemetry.Counters, log *slog.Logger) *Service {
	return &Service{config: config, registry: r, identifier: id, counters: c, log: log}
}

// Wait waits until no reader and no writer is left. Every stream must have ended, or be about to.
func (s *Service) Wait() { s.loops.Wait() }

type stream = holdfastv1.ServerConnectionService_AttachServer

// Attach implements ServerConnectionService.
func (s *Service) Attach(st stream) error {
	origin := s.identifier.Identify(st.Context())
	for _, reason := range origin.Ignored {
		s.counters.Error(reason)
	}
	conn, err := s.handshake(st, origin)
	if err != nil {
		s.refused(origin, err)
		return err
	}
	log := s.log.With("server_connection", conn.ID, "ingress", conn.Ingress)
	log.Info("server connection attached", "application", conn.Instance.Application, "instance", conn.Instance.InstanceID,
		"address", conn.Address)
	err = s.serve(st, conn)
	s.registry.Detach(conn, detailOf(err))
	log.Info("server connection ended", "cause", detailOf(err))
	return err
}

func detailOf(err error) string {
	if err == nil {
		return "ended on purpose"
	}
	return err.Error()
}

func (s *Service) refused(origin ingress.Origin, err error) {
	reason := wire.ErrorReasonOf(err)
	if reason == "" {
		return // it ended by itself
	}
	s.counters.Error(reason)
	s.log.Warn("server connection refused", "reason", reason, "error", err, "ingress", origin.Ingress, "address", origin.Address)
}

// handshake answers the handshake and makes the server connection known.
func (s *Service) handshake(st stream, origin ingress.Origin) (*serverconn.Conn, error) {
	names, err := s.config.Identities.Identify(st.Context(), origin)
	if err != nil {
		return nil, err // before anything that it sends is looked at
	}
	first, err := s.first(st)
	if err != nil {
		return nil, err
	}
	h := first.GetHandshake()
	if err := s.checkHandshake(first, h); err != nil {
		return nil, err
	}
	if err := s.config.Identities.Check(names, h.GetServerId(), h.GetApplication()); err != nil {
		return nil, err
	}
	if err := s.registry.CheckApplication(h.GetApplication()); err != nil {
		return nil, err
	}
	path := s.registry.NewPath()
	conn := &serverconn.Conn{
		Path: path, ID: fmt.Sprintf("%s/%d", h.GetServerId(), path),
		Instance: serverconn.Instance{
			Application: h.GetApplication(), ServerID: h.GetServerId(),
			InstanceID: h.GetInstanceId(), Nonce: h.GetProcessNonce(),
		},
		Ingress: origin.Ingress, Address: origin.Address, AttachedAt: time.Now(), Window: s.config.WindowBytes,
	}
	if w := int(h.GetWindowBytes()); w > 0 {
		conn.Window = min(w, s.config.WindowBytes)
	}
	interval := s.config.HeartbeatInterval
	if d := h.GetHeartbeatInterval().AsDuration(); d > 0 {
		interval = min(d, interval)
	}
	conn.Writer = wire.NewWriter(path, interval, s.sender(st))
	conn.Writer.RoundTrip = func(took time.Duration) { s.counters.RoundTrip(conn.Ingress, took) }
	response := &holdfastv1.HandshakeResponseMessage{
		ProtocolVersion: wire.ProtocolVersion, RelayId: s.config.RelayID, ServerConnectionId: conn.ID, Ingress: conn.Ingress,
		WindowBytes: uint32(conn.Window), MaxMessageBytes: uint32(s.config.MaxMessageBytes),
		HeartbeatInterval: durationpb.New(interval),
	}
	if err := s.registry.Attach(conn); err != nil {
		return nil, err
	}
	if err := st.Send(&holdfastv1.AttachResponse{Handshake: response}); err != nil {
		s.registry.Detach(conn, detailOf(err))
		return nil, err
	}
	return conn, nil
}

// first returns the first message, or an error when none comes in time.
func (s *Service) first(st stream) (*holdfastv1.AttachRequest, error) {
	type received struct {
		message *holdfastv1.AttachRequest
		err     error
	}
	came := make(chan received, 1)
	s.loops.Go(func() {
		m, err := st.Recv()
		came <- received{m, err}
	})
	late := time.NewTimer(s.config.HandshakeTimeout)
	defer late.Stop()
	select {
	case r := <-came:
		if r.err != nil {
			return nil, s.recvError(r.err)
		}
		return r.message, nil
	case <-late.C:
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_TIMEOUT,
			"no handshake came within %v; begin with one", s.config.HandshakeTimeout)
	}
}

// nameRule says what a name must be: names go into log lines, and are held for as long as the relay runs.
var nameRule = fmt.Sprintf("must be 1 to %d bytes of printable ASCII with no space", ingress.MaxName)

// minHeartbeat is the shortest heartbeat interval that an app server may ask for.
const minHeartbeat = 10 * time.Millisecond

func (s *Service) checkHandshake(first *holdfastv1.AttachRequest, h *holdfastv1.HandshakeRequestMessage) error {
	switch {
	case h == nil || len(first.GetFrames()) > 0 || first.GetPing() != nil || first.GetDraining() != nil:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REQUIRED,
			"the first message must have a handshake and nothing else")
	case h.GetProtocolVersion() != wire.ProtocolVersion:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNSUPPORTED_VERSION,
			"protocol version %d is not spoken here; the relay speaks version %d", h.GetProtocolVersion(), wire.ProtocolVersion)
	case len(h.GetCapabilities()) > 0:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNSUPPORTED_CAPABILITY,
			"capability %q is not known here; the relay knows none", h.GetCapabilities()[0])
	case !ingress.Printable(h.GetServerId()):
		return invalid("server_id", nameRule)
	case !ingress.Printable(h.GetInstanceId()):
		return invalid("instance_id", nameRule)
	case h.GetProcessNonce() == 0:
		return invalid("process_nonce", "is 0; draw one at random when the process starts")
	case !ingress.Printable(h.GetApplication()):
		return invalid("application", nameRule)
	case h.GetHeartbeatInterval() != nil && h.GetHeartbeatInterval().AsDuration() < minHeartbeat:
		return invalid("heartbeat_interval", fmt.Sprintf("is %v; the least is %v", h.GetHeartbeatInterval().AsDuration(), minHeartbeat))
	}
	return nil
}

func invalid(field, problem string) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "%s %s", field, problem)
}

// sender returns how the writer of the stream sends a batch.
func (s *Service) sender(st stream) func(*wire.Batch) error {
	return func(b *wire.Batch) error {
		s.counters.BatchOut(b.Frames(), b.Bytes())
		return st.SendMsg(b)
	}
}

// serve runs the writer and the reader until either ends. When this returns the stream ends, and with it whichever
// still waits for it.
func (s *Service) serve(st stream, conn *serverconn.Conn) error {
	ctx, cancel := context.WithCancelCause(st.Context())
	defer cancel(nil)
	s.loops.Go(func() {
		err := s.read(st, conn)
		if err == nil {
			err = wire.ErrEnded
		}
		cancel(err)
	})
	err := conn.Writer.Run(ctx)
	s.loops.Go(conn.Writer.Wait)
	switch {
	case errors.Is(err, wire.ErrEnded):
		return nil
	case errors.Is(err, wire.ErrSilent):
		s.counters.Error(wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_SILENT_PEER))
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_SILENT_PEER, "%v", err)
	case errors.Is(err, io.EOF) && context.Cause(ctx) != nil: // Send says only that the stream is over
		return context.Cause(ctx)
	}
	return err
}

// recvError gives an error of Recv its type. For a gRPC message over the limit grpc has told the app server already.
func (s *Service) recvError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_REQUIRED, "the stream ended before a handshake")
	case status.Code(err) == codes.ResourceExhausted:
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE,
			"%s; the largest payload is %d bytes", status.Convert(err).Message(), s.config.MaxMessageBytes)
	}
	return err
}
