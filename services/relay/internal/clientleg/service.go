// Package clientleg serves the streams of clients: one client connection each.
package clientleg

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/admission"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/identity"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/resumetoken"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// applicationHeader names the application for a client that sends no hello.
const applicationHeader = "x-holdfast-application"

// Service implements ClientConnectionService.
type Service struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
	config     Config
	registry   *registry.Registry
	identifier *ingress.Identifier
	counters   *telemetry.Counters
	log        *slog.Logger
	// loops waits for the readers and writers of streams, each of which ends when its stream does.
	loops sync.WaitGroup
	// sockets waits for the clients over WebSocket.
	sockets sync.WaitGroup
	clock   *clock

	mu sync.Mutex
	// served are the sessions whose client's stream lives, under mu. One whose connection has ended for the app server is among them
	// until its client has taken what came before the end.
	served map[*session]struct{}
	// away are the sessions whose resumable client's stream is gone, by the id of the connection, under mu. Their connections wait for it.
	away map[uint64][]*session

	// retained and waiting are what was held for all connections when they were last looked at, in bytes of the windows.
	retained, waiting atomic.Int64
}

// Config is what is asked of clients.
type Config struct {
	// MaxMessageBytes is the largest payload of one message.
	MaxMessageBytes int
	// SlowClientTimeout is after what time a client that takes none of the messages for it is closed.
	SlowClientTimeout time.Duration
	Limits            config.Limits
	// Identities checks tokens; nil: none is asked for.
	Identities *identity.Clients
	Gate       *admission.Gate
	// Tokens are what resumable clients come back with, and Resume says for how long they may.
	Tokens *resumetoken.Keys
	Resume config.Resume
	// AnswerTimeout is for how long an app server may take to confirm the connection of a resumable client before it is asked again.
	AnswerTimeout time.Duration
	RelayID       string
}

// New returns the service.
func New(cfg Config, r *registry.Registry, id *ingress.Identifier, c *telemetry.Counters, log *slog.Logger) *Service {
	return &Service{
		config: cfg, registry: r, identifier: id, counters: c, log: log, clock: newClock(), served: make(map[*session]struct{}),
		away: make(map[uint64][]*session),
	}
}

// Wait waits until no reader and no writer is left. Every stream must have ended, or be about to.
func (s *Service) Wait() { s.loops.Wait() }

// WaitSockets waits until no client over WebSocket is left.
func (s *Service) WaitSockets() { s.sockets.Wait() }

// stream is what a client's messages come and go by: a request at a time to RecvMsg, a response to SendMsg.
type stream interface {
	Context() context.Context
	RecvMsg(m any) error
	SendMsg(m any) error
	Send(m *holdfastv1.ConnectResponse) error
}

// session is the stream of one client from its first message on.
type session struct {
	stream stream
	conn   *logical.Connection
	guest  admission.Guest
	// expires is until when the client's token is good; zero when it showed none.
	expires time.Time
	// rate bounds the messages; nil: nothing does.
	rate   *rate.Limiter
	first  *request
	writer writer
	// notes is for a resumable client, and cut ends its stream with an error; capacity 1.
	notes notes
	cut   chan error
	// asked is the round in which it was asked to move, or nil, and left when it went away; under the service's mu.
	asked *round
	left  time.Time
	// pulse, and when a resume token is to be renewed, are owned by Care.
	pulse pulse
	renew time.Time
	// ended gets what the writer ended with, and the reader when that ends the stream; capacity 2.
	ended chan error
}

// Connect implements ClientConnectionService.
func (s *Service) Connect(st holdfastv1.ClientConnectionService_ConnectServer) error {
	return s.serve(st)
}

// serve serves one client to its end, and returns the status for it. An idle client keeps two goroutines, this one and the reader, and
// neither needs more than 4 KiB of stack then: what goes deeper, the opening, is done by one of its own, whose stack is gone with it.
func (s *Service) serve(st stream) error {
	l, err := s.begin(st)
	if l == nil {
		return err
	}
	defer s.leave(l)
	s.loops.Go(func() { s.read(l) })
	return ended(s.write(l))
}

// begin waits until the connection is open. It returns no session when the stream ends with that.
func (s *Service) begin(st stream) (*session, error) {
	type result struct {
		session *session
		err     error
	}
	opened := make(chan result, 1)
	var heard atomic.Bool
	s.loops.Go(func() {
		session, err := s.accept(st, &heard)
		opened <- result{session, err}
	})
	late := time.NewTimer(s.config.Limits.HandshakeTimeout)
	defer late.Stop()
	overdue := late.C
	for {
		select {
		case r := <-opened:
			return r.session, r.err
		case <-overdue:
			if overdue = nil; heard.Load() { // it is the app server that is asked now, and that has a time of its own
				continue
			}
		}
		s.loops.Go(func() {
			if r := <-opened; r.session != nil { // the first message came in this instant
				s.leave(r.session)
			}
		})
		return nil, s.refused(s.identifier.Identify(st.Context()).Ingress, "", wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_HANDSHAKE_TIMEOUT,
			"no message came within %v; begin with one", s.config.Limits.HandshakeTimeout))
	}
}

// leave ends what accept began. The connection of a resumable client waits for it.
func (s *Service) leave(l *session) {
	s.mu.Lock()
	delete(s.served, l)
	waits := l.conn.Resumable && !isOver(l.conn)
	if l.asked != nil {
		l.asked.left++
	}
	if waits {
		s.waitLocked(l)
	} else {
		l.noteMovedLocked()
	}
	s.mu.Unlock()
	if waits {
		s.registry.ClientAway(l.conn)
		return
	}
	l.conn.ClientGone("the client's stream ended")
	s.config.Gate.Leave(l.guest)
}

// ended returns the status for a client whose session ended with the error.
func ended(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	return err
}

// flushTime is for how long a client that takes nothing may hold up the end of its connection.
const flushTime = time.Second

// write runs the writer while there is something to write, and returns the status for the client when the connection or the
// stream ends: an idle client costs no goroutine for its writer. A writer that is blocked in a send does not hold up the end:
// the stream ends with this, and with it the send.
func (s *Service) write(l *session) error {
	running := false
	over, flushed := l.conn.Over(), (<-chan time.Time)(nil)
	for {
		wake := l.conn.ToClient()
		if running {
			wake = nil
		}
		select {
		case <-wake:
			running = true
			s.startWriter(l)
		case err := <-l.ended:
			if !errors.Is(err, logical.ErrIdle) {
				return err
			}
			if running = over == nil; running {
				s.startWriter(l) // the end came when it had just given up
			}
		case err := <-l.cut:
			return err
		case <-l.stream.Context().Done():
			return context.Cause(l.stream.Context())
		case <-over:
			over = nil
			flush := time.NewTimer(flushTime)
			defer flush.Stop()
			flushed = flush.C
			if !running {
				running = true
				s.startWriter(l) // for what came before the end
			}
		case <-flushed:
			closure := l.conn.Closure()
			return wire.CloseStatus(closure.Reason, closure.Detail)
		}
	}
}

func (s *Service) startWriter(l *session) {
	run := l.writer.run
	if l.conn.Resumable {
		run = l.writer.runNumbered
	}
	s.loops.Go(func() { l.ended <- run(l.stream.Context()) })
}

// refused counts and logs an error that is the client's fault, and returns it.
func (s *Service) refused(ingress, connection string, err error) error {
	if reason := wire.ErrorReasonOf(err); reason != "" {
		s.counters.Error(reason)
		log := s.log
		if connection != "" { // else it is refused before it has one
			log = log.With("connection", connection)
		}
		log.Warn("client stream refused", "ingress", ingress, "reason", reason, "error", err)
	}
	return err
}

// read takes what the client sends until the stream ends, or the client breaks a rule: that ends the stream.
func (s *Service) read(l *session) {
	ctx, m, first := l.stream.Context(), l.first, true
	l.first = nil
	defer m.Release()
	for {
		err := s.receive(ctx, l, m, first)
		if err == nil {
			m.Release()
			err = l.stream.RecvMsg(m)
		}
		if errors.Is(err, io.EOF) && l.conn.Resumable { // that says nothing of the connection
			l.ended <- nil
			return
		}
		if errors.Is(err, io.EOF) {
			err = l.conn.Push(ctx, ordering.Message{Kind: ordering.HalfClose})
			if err == nil {
				return
			}
		}
		if errors.Is(err, logical.ErrOver) {
			return // the writer knows why
		}
		if err != nil {
			l.ended <- s.refused(l.conn.ClientIngress, wire.FormatID(l.conn.ID), s.recvError(err))
			return
		}
		first = false
	}
}

// check returns an error for a request that is not legal there.
func (s *Service) check(m *request, first, resumable bool) error {
	has, numbers := m.single.Kind != 0, m.firstSeq > 0 || m.consumed > 0 || m.welcomed
	switch {
	case m.hello != nil && (!first || has || len(m.items) > 0 || numbers):
		return unexpected("a hello is legal only as the first message, and alone")
	case has && len(m.items) > 0:
		return unexpected("text or binary beside messages; send either")
	case m.hello == nil && resumable:
		if err := s.checkNumbered(m); err != nil {
			return err
		}
	case numbers:
		return unexpected("first_seq, consumed_seq or welcomed from a client whose hello did not say resumable")
	case m.hello == nil && slices.ContainsFunc(m.items, endsDirection):
		return unexpected("half_close or close from a client whose hello did not say resumable; end the stream")
	}
	switch {
	case has:
		return s.checkSize(m.single)
	case m.hello == nil && len(m.items) == 0 && !resumable:
		return unexpected("a request with no hello, no text, no binary and no messages")
	}
	for i, item := range m.items {
		if item.Kind == 0 {
			return unexpected("message %d of a batch has neither text nor binary", i+1)
		}
		if err := s.checkSize(item); err != nil {
			return err
		}
	}
	return nil
}

func endsDirection(m ordering.Message) bool {
	return m.Kind == ordering.HalfClose || m.Kind == ordering.Close
}

func (s *Service) checkSize(m ordering.Message) error {
	if len(m.Payload) > s.config.MaxMessageBytes {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE,
			"a message has %d bytes; the limit is %d", len(m.Payload), s.config.MaxMessageBytes)
	}
	return nil
}

// receive pushes the messages of one request.
func (s *Service) receive(ctx context.Context, l *session, m *request, first bool) error {
	if err := s.check(m, first, l.conn.Resumable); err != nil {
		return err
	}
	if l.rate != nil {
		if err := s.pace(ctx, l, m.messages()); err != nil {
			return err
		}
	}
	if l.conn.Resumable {
		if first { // the hello
			return nil
		}
		return s.receiveNumbered(ctx, l, m)
	}
	if m.single.Kind != 0 {
		return l.conn.Push(ctx, m.single)
	}
	for _, item := range m.items {
		if err := l.conn.Push(ctx, item); err != nil {
			return err
		}
	}
	return nil
}

func unexpected(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNEXPECTED_MESSAGE, format, args...)
}

// recvError gives an error of Recv its type. For a gRPC message over the limit grpc has told the client already.
func (s *Service) recvError(err error) error {
	if status.Code(err) == codes.ResourceExhausted && wire.ErrorReasonOf(err) == "" {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_MESSAGE_TOO_LARGE,
			"%s; the largest payload is %d bytes", status.Convert(err).Message(), s.config.MaxMessageBytes)
	}
	return err
}
