package clientleg

import (
	"errors"
	"io"
	"runtime/debug"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/admission"
	"github.com/holdfast/holdfast/services/relay/internal/identity"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// accept takes the first message and opens the connection. It returns no session when the stream ends with that.
func (s *Service) accept(st stream) (*session, error) {
	origin := s.identifier.Identify(st.Context())
	for _, reason := range origin.Ignored {
		s.counters.Error(reason)
	}
	client, guest, err := s.admit(st, origin)
	if err != nil {
		return nil, s.refused(origin.Ingress, "", err)
	}
	session, err := s.join(st, origin, client, guest)
	if session == nil {
		s.config.Gate.Leave(guest)
	}
	if errors.Is(err, io.EOF) {
		return nil, nil // it ended before it began
	}
	return session, s.refused(origin.Ingress, "", err)
}

// admit decides on a stream before it is asked for a message.
func (s *Service) admit(st stream, origin ingress.Origin) (client identity.Client, guest admission.Guest, err error) {
	if err = s.config.Gate.Overloaded(); err != nil {
		return client, guest, err
	}
	if client, err = s.config.Identities.Check(st.Context()); err != nil {
		return client, guest, err
	}
	if err = s.config.Gate.Knock(); err != nil {
		return client, guest, err
	}
	guest = admission.Guest{Host: origin.Host, Identity: client.Subject}
	return client, guest, s.config.Gate.Admit(guest)
}

// join takes the first message and opens the connection. A panic in it is an error of this stream alone.
func (s *Service) join(st stream, origin ingress.Origin, client identity.Client, guest admission.Guest) (l *session, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("opening a connection panicked", "panic", p, "stack", string(debug.Stack()))
			l, err = nil, status.Error(codes.Internal, "internal error; the relay's log has the details")
		}
	}()
	first := &request{}
	if err := st.RecvMsg(first); err != nil {
		return nil, s.recvError(err)
	}
	if err := s.check(first, true); err != nil {
		return nil, err
	}
	conn, err := s.open(st, origin, client, first)
	if err != nil {
		return nil, err
	}
	l = &session{
		stream: st, conn: conn, guest: guest, expires: client.Expires, first: first, ended: make(chan error, 2),
		writer: writer{stream: st, conn: conn, clock: s.clock, batches: first.hello.GetBatches()},
		pulse:  pulse{moved: time.Now()},
	}
	if n := s.config.Limits.MessageRate; n > 0 {
		l.rate = rate.NewLimiter(rate.Limit(n), n)
	}
	s.mu.Lock()
	s.served[l] = struct{}{}
	s.mu.Unlock()
	return l, nil
}

// open places the connection and answers a hello.
func (s *Service) open(st stream, origin ingress.Origin, client identity.Client, first *request) (*logical.Connection, error) {
	info := logical.Info{ClientIngress: origin.Ingress, ClientAddress: origin.Address, ClientSubject: client.Subject}
	hello := first.hello
	if hello != nil {
		info.Application = hello.GetApplication()
	} else if names := metadata.ValueFromIncomingContext(st.Context(), applicationHeader); len(names) > 0 {
		info.Application = names[0]
	}
	if info.Application != "" && !ingress.Printable(info.Application) {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_APPLICATION,
			"an application of %d bytes; a name is 1 to %d bytes of printable ASCII with no space", len(info.Application), ingress.MaxName)
	}
	conn, err := s.registry.Open(info)
	if err != nil || hello == nil {
		return conn, err
	}
	err = st.Send(&holdfastv1.ConnectResponse{Welcome: &holdfastv1.Welcome{
		ConnectionId: wire.FormatID(conn.ID), Application: conn.Application, Ingress: conn.ClientIngress,
		MaxMessageBytes: uint32(s.config.MaxMessageBytes),
	}})
	if err != nil {
		conn.ClientGone(err.Error())
	}
	return conn, err
}
