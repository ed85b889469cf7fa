// Package clientleg serves the streams of clients: one client connection each.
package clientleg

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// applicationHeader names the application for a client that sends no hello.
const applicationHeader = "x-holdfast-application"

// Service implements ClientConnectionService.
type Service struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	maxMessage int
	registry   *registry.Registry
	identifier *ingress.Identifier
	counters   *telemetry.Counters
	log        *slog.Logger
	// readers waits for the readers of streams, each of which ends when its stream does.
	readers sync.WaitGroup
}

// New returns the service. MaxMessage is the largest payload of one message, in bytes.
func New(maxMessage int, r *registry.Registry, id *ingress.Identifier, c *telemetry.Counters, log *slog.Logger) *Service {
	return &Service{maxMessage: maxMessage, registry: r, identifier: id, counters: c, log: log}
}

// Wait waits until no reader is left. Every stream must have ended, or be about to.
func (s *Service) Wait() { s.readers.Wait() }

type stream = holdfastv1.ClientConnectionService_ConnectServer

// Connect implements ClientConnectionService. It runs the writer; the reader runs beside it and ends with the
// stream.
func (s *Service) Connect(st stream) error {
	origin := s.identifier.Identify(st.Context())
	if origin.Ignored {
		s.counters.Error("INGRESS_HEADER_IGNORED")
	}
	first, err := st.Recv()
	if errors.Is(err, io.EOF) {
		return nil // it ended before it began
	}
	if err != nil {
		return s.refused("", s.recvError(err))
	}
	conn, err := s.open(st, origin, first)
	if err != nil {
		return s.refused("", err)
	}
	ctx, cancel := context.WithCancelCause(st.Context())
	defer cancel(nil)
	s.readers.Go(func() { s.read(ctx, cancel, st, conn, first) })
	w := writer{stream: st, conn: conn, batches: first.GetHello().GetBatches()}
	err = w.run(ctx)
	conn.ClientGone("the client's stream ended")
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return err
}

// open places the connection and answers a hello.
func (s *Service) open(st stream, origin ingress.Origin, first *holdfastv1.ConnectRequest) (*logical.Connection, error) {
	info := logical.Info{ClientIngress: origin.Ingress, ClientAddress: origin.Address}
	hello := first.GetHello()
	if hello != nil {
		info.Application = hello.GetApplication()
	} else if names := metadata.ValueFromIncomingContext(st.Context(), applicationHeader); len(names) > 0 {
		info.Application = names[0]
	}
	conn, err := s.registry.Open(info)
	if err != nil || hello == nil {
		return conn, err
	}
	err = st.Send(&holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{
		ConnectionId: wire.FormatID(conn.ID), Application: conn.Application, Ingress: conn.ClientIngress,
		MaxMessageBytes: uint32(s.maxMessage),
	}})
	if err != nil {
		conn.ClientGone(err.Error())
	}
	return conn, err
}

// refused counts and logs an error that is the client's fault, and returns it.
func (s *Service) refused(connection string, err error) error {
	if reason := wire.ErrorReasonOf(err); reason != "" {
		s.counters.Error(reason)
		s.log.Warn("client stream refused", "reason", reason, "error", err, "connection", connection)
	}
	return err
}

// read takes what the client sends until the stream ends, or the client breaks a rule: then the cause says so.
func (s *Service) read(ctx context.Context, cancel context.CancelCauseFunc, st stream, conn *logical.Connection, m *holdfastv1.ConnectRequest) {
	first := true
	for {
		err := s.receive(ctx, conn, m, first)
		if err == nil {
			m, err = st.Recv()
		}
		if errors.Is(err, io.EOF) {
			err = conn.Push(ctx, ordering.Message{Kind: ordering.HalfClose})
			if err == nil {
				return
			}
		}
		if errors.Is(err, logical.ErrOver) {
			return // the writer knows why
		}
		if err != nil {
			cancel(s.refused(wire.FormatID(conn.ID), s.recvError(err)))
			return
		}
		first = false
	}
}

// receive pushes the messages of one request.
func (s *Service) receive(ctx context.Context, conn *logical.Connection, m *holdfastv1.ConnectRequest, first bool) error {
	single, has := fromContent(m.GetContent())
	switch {
	case m.GetHello() != nil && (!first || has || len(m.GetMessages()) > 0):
		return unexpected("a hello is legal only as the first message, and alone")
	case has && len(m.GetMessages()) > 0:
		return unexpected("text or binary beside messages; send either")
	case has:
		return s.push(ctx, conn, single)
	}
	for i, item := range m.GetMessages() {
		message, has := fromContent(item.GetContent())
		if !has {
			return unexpected("message %d of a batch has neither text nor binary", i+1)
		}
		if err := s.push(ctx, conn, message); err != nil {
			return err
		}
	}
	if m.GetHello() == nil && len(m.GetMessages()) == 0 {
		return unexpected("a request with no hello, no text, no binary and no messages")
	}
	return nil
}

func (s *Service) push(ctx context.Context, conn *logical.Connection, m ordering.Message) error {
	if len(m.Payload) > s.maxMessage {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE,
			"a message has %d bytes; the limit is %d", len(m.Payload), s.maxMessage)
	}
	return conn.Push(ctx, m)
}

func unexpected(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNEXPECTED_MESSAGE, format, args...)
}

// recvError gives an error of Recv its type. For a gRPC message over the limit grpc has told the client already.
func (s *Service) recvError(err error) error {
	if status.Code(err) == codes.ResourceExhausted && wire.ErrorReasonOf(err) == "" {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE,
			"%s; the largest payload is %d bytes", status.Convert(err).Message(), s.maxMessage)
	}
	return err
}
