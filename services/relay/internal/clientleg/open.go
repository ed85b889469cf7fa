package clientleg

import (
	"errors"
	"io"
	"runtime/debug"
	"sync/atomic"
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
func (s *Service) accept(st stream, heard *atomic.Bool) (*session, error) {
	origin := s.identifier.Identify(st.Context())
	for _, reason := range origin.Ignored {
		s.counters.Error(reason)
	}
	a, err := s.admit(st, origin)
	if err != nil {
		return nil, s.refused(origin.Ingress, "", err)
	}
	session, err := s.join(st, origin, a, heard)
	switch {
	case session == nil:
		s.config.Gate.Leave(a.guest)
	case err != nil: // its connection is another's, or nobody's
		s.leave(session)
		session = nil
	}
	if errors.Is(err, io.EOF) {
		return nil, nil // it ended before it began
	}
	return session, s.refused(origin.Ingress, "", err)
}

// arrival is whoever has been let in.
type arrival struct {
	client identity.Client
	guest  admission.Guest
	// crowded is the error for whoever has no good resume token: there are as many as are allowed, and one that takes the place of another
	// makes none more.
	crowded error
}

// admit decides on a stream before it is asked for a message.
func (s *Service) admit(st stream, origin ingress.Origin) (a arrival, err error) {
	if err = s.config.Gate.Overloaded(); err != nil {
		return a, err
	}
	if a.client, err = s.config.Identities.Check(st.Context()); err != nil {
		return a, err
	}
	if err = s.config.Gate.Knock(); err != nil {
		return a, err
	}
	a.guest = admission.Guest{Host: origin.Host, Identity: a.client.Subject}
	if err = s.config.Gate.Admit(a.guest); err != nil && s.config.Gate.Plead(a.guest) {
		a.crowded, err = err, nil
	}
	return a, err
}

// join takes the first message and opens the connection. A panic in it is an error of this stream alone. A session that comes with an
// error has a connection, but no client.
func (s *Service) join(st stream, origin ingress.Origin, a arrival, heard *atomic.Bool) (l *session, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("opening a connection panicked", "panic", p, "stack", string(debug.Stack()))
			l, err = nil, status.Error(codes.Internal, "internal error; the relay's log has the details")
		}
	}()
	first := &request{}
	err = st.RecvMsg(first)
	if a.crowded != nil {
		s.config.Gate.Pleaded()
	}
	if err != nil {
		return nil, s.recvError(err)
	}
	heard.Store(true)
	if err := s.check(first, true, false); err != nil {
		return nil, err
	}
	if a.crowded != nil && first.hello.GetResume() == nil {
		return nil, a.crowded
	}
	conn, err := s.open(st, origin, a.client, first.hello)
	if err != nil {
		return nil, err
	}
	l = &session{
		stream: st, conn: conn, guest: a.guest, expires: a.client.Expires, first: first, ended: make(chan error, 2), cut: make(chan error, 1),
		writer: writer{stream: st, conn: conn, clock: s.clock, batches: first.hello.GetBatches()},
		pulse:  pulse{moved: time.Now()},
	}
	l.writer.notes = &l.notes
	if n := s.config.Limits.MessageRate; n > 0 {
		l.rate = rate.NewLimiter(rate.Limit(n), n)
	}
	if conn.Resumable {
		if err := s.awaitReady(st.Context(), conn); err != nil {
			if first.hello.GetResume() == nil { // nobody has a token for it
				conn.ClientGone("the client's stream ended before the app server had confirmed the connection")
			}
			return l, err
		}
		s.back(conn.ID)
	}
	if first.hello != nil {
		if err := s.greet(l, first.hello); err != nil {
			return l, err
		}
	}
	s.mu.Lock()
	s.served[l] = struct{}{}
	s.mu.Unlock()
	return l, nil
}

// open places the connection, or takes up the one that the client has had.
func (s *Service) open(st stream, origin ingress.Origin, client identity.Client, hello *holdfastv1.Hello) (*logical.Connection, error) {
	if hello.GetResume() != nil {
		return s.resume(st.Context(), origin, client, hello)
	}
	info := logical.Info{
		ClientIngress: origin.Ingress, ClientAddress: origin.Address, ClientSubject: client.Subject, Resumable: hello.GetResumable(),
	}
	if hello != nil {
		info.Application = hello.GetApplication()
	} else if names := metadata.ValueFromIncomingContext(st.Context(), applicationHeader); len(names) > 0 {
		info.Application = names[0]
	}
	if info.Application != "" && !ingress.Printable(info.Application) {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_APPLICATION,
			"an application of %d bytes; a name is 1 to %d bytes of printable ASCII with no space", len(info.Application), ingress.MaxName)
	}
	return s.registry.Open(info)
}

// greet answers a hello.
func (s *Service) greet(l *session, hello *holdfastv1.Hello) error {
	welcome := &holdfastv1.Welcome{}
	if l.conn.Resumable {
		var err error
		if welcome, err = s.welcome(l, hello.GetResume() != nil); err != nil {
			return err
		}
	}
	welcome.ConnectionId, welcome.Application, welcome.Ingress = wire.FormatID(l.conn.ID), l.conn.Application, l.conn.ClientIngress
	welcome.MaxMessageBytes = uint32(s.config.MaxMessageBytes)
	return l.stream.Send(&holdfastv1.ConnectResponse{Welcome: welcome})
}
