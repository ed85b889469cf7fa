package clientleg

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/identity"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/resumetoken"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// notes is what is to be said to a resumable client beside messages. It is safe for concurrent use.
type notes struct {
	mu        sync.Mutex
	token     string
	reconnect *holdfastv1.Reconnect
}

// add adds what is not empty, in place of what was there.
func (n *notes) add(token string, reconnect *holdfastv1.Reconnect) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if token != "" {
		n.token = token
	}
	if reconnect != nil {
		n.reconnect = reconnect
	}
}

// take takes out what there is.
func (n *notes) take() (token string, reconnect *holdfastv1.Reconnect) {
	n.mu.Lock()
	defer n.mu.Unlock()
	token, reconnect = n.token, n.reconnect
	n.token, n.reconnect = "", nil
	return token, reconnect
}

// resume asks for the connection that the token of the hello names. It is the client's once it is ready.
func (s *Service) resume(ctx context.Context, origin ingress.Origin, client identity.Client, hello *holdfastv1.Hello) (*logical.Connection, error) {
	claims, err := s.config.Tokens.Verify(hello.GetResume().GetToken(), time.Now())
	if err != nil {
		return nil, err
	}
	if claims.Subject != client.Subject {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_FOREIGN,
			"the resume token is of another user; show the one that this user was given")
	}
	if name := hello.GetApplication(); name != "" && name != claims.Application {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
			"application %q beside a resume token of application %q; leave it empty", name, claims.Application)
	}
	info := logical.Info{
		ID: claims.Connection, Application: claims.Application, ClientSubject: claims.Subject,
		ClientIngress: origin.Ingress, ClientAddress: origin.Address,
	}
	process := serverconn.Instance{
		Application: claims.Application, ServerID: claims.ServerID, InstanceID: claims.InstanceID, Nonce: claims.Nonce,
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTries*s.config.AnswerTimeout, errNoAnswer)
	defer cancel()
	return s.registry.Adopt(ctx, info, process, logical.Claim{
		Token: claims.Generation, Received: hello.GetResume().GetReceivedSeq(), Consumed: hello.GetResume().GetConsumedSeq(),
	})
}

// answerTries is how often an app server that does not answer is asked.
const answerTries = 2

var errNoAnswer = wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER,
	"the app server of the connection did not answer in time; try another relay, or again later")

// awaitReady waits until the app server has confirmed the connection of a resumable client. One that does not answer is asked once
// more, by another server connection where there is one.
func (s *Service) awaitReady(ctx context.Context, c *logical.Connection) error {
	patience := time.NewTimer(s.config.AnswerTimeout)
	defer patience.Stop()
	for tries := answerTries; ; {
		select {
		case <-c.Ready():
			return nil
		case <-c.Over():
			closure := c.Closure()
			if why := c.Refusal(); why != 0 {
				return registry.Refused(holdfastv1.RefuseReason(why))
			}
			if err := wire.CloseStatus(closure.Reason, closure.Detail); err != nil {
				return err
			}
			return io.EOF // the application has closed it
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
		}
		if tries--; tries == 0 {
			return errNoAnswer
		}
		c.GiveUp()
		patience.Reset(s.config.AnswerTimeout)
	}
}

// welcome returns the Welcome of a resumable client, whose connection is ready.
func (s *Service) welcome(l *session, recovered bool) (*holdfastv1.Welcome, error) {
	token, err := s.token(l)
	if err != nil {
		return nil, err
	}
	window, received, consumed := l.conn.Numbers()
	return &holdfastv1.Welcome{
		ResumeToken: token, ReceivedSeq: received, ConsumedSeq: consumed, Recovered: recovered, WindowBytes: uint32(window),
		ResumeTime: durationpb.New(s.config.Resume.ResumeTime), RelayId: s.config.RelayID,
	}, nil
}

// token signs a token for the connection, and notes when the next one is due.
func (s *Service) token(l *session) (string, error) {
	now, c := time.Now(), l.conn
	l.renew = now.Add(s.config.Resume.ResumeTokenTime / 2)
	return s.config.Tokens.Sign(resumetoken.Claims{
		Connection: c.ID, Application: c.Application, ServerID: c.Instance.ServerID, InstanceID: c.Instance.InstanceID,
		Nonce: c.Instance.Nonce, Subject: c.ClientSubject, Generation: c.Generation(),
		Expires: now.Add(s.config.Resume.ResumeTokenTime),
	})
}

// renewToken sends the client a new token when it is time.
func (s *Service) renewToken(l *session, now time.Time) {
	if now.Before(l.renew) {
		return
	}
	token, err := s.token(l)
	if err != nil { // the client resumes with the one that it has while that is good
		s.log.Error("cannot sign a resume token", "connection", wire.FormatID(l.conn.ID), "error", err)
		return
	}
	l.notes.add(token, nil)
	l.conn.Wake()
}

// checkNumbered returns an error for a request that is not legal there, from a resumable client after its hello.
func (s *Service) checkNumbered(m *request) error {
	n := m.messages()
	switch {
	case n > 0 && m.firstSeq == 0:
		return unexpected("messages of a resumable client without first_seq")
	case n == 0 && m.firstSeq > 0:
		return unexpected("first_seq with no message")
	case n == 0 && m.consumed == 0 && !m.welcomed:
		return unexpected("a request with no message, no consumed_seq and no welcomed")
	}
	return nil
}

// receiveNumbered takes one request of a resumable client.
func (s *Service) receiveNumbered(ctx context.Context, l *session, m *request) error {
	if m.welcomed {
		l.conn.ClientWelcomed()
	}
	if m.consumed > 0 {
		if err := l.conn.Acknowledge(m.consumed); err != nil {
			return impossible(err)
		}
	}
	if m.single.Kind != 0 {
		return s.push(ctx, l, m.firstSeq, m.single)
	}
	for i, item := range m.items {
		if err := s.push(ctx, l, m.firstSeq+uint64(i), item); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) push(ctx context.Context, l *session, seq uint64, m ordering.Message) error {
	fresh, err := l.conn.PushNumbered(ctx, seq, m)
	if err != nil {
		return impossible(err)
	}
	if !fresh {
		s.counters.Dropped(ordering.Duplicate.String())
	}
	return nil
}

// impossible gives an error of package ordering its type: the client named a number that cannot be.
func impossible(err error) error {
	if breach := new(ordering.ProtocolError); errors.As(err, &breach) {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_IMPOSSIBLE_NUMBER, "%s", breach.Detail)
	}
	if errors.Is(err, ordering.ErrEnded) {
		return unexpected("a message after the half-close or close that ended its direction")
	}
	return err
}

// runNumbered is run for a resumable client.
func (w *writer) runNumbered(ctx context.Context) error {
	tick, busy := w.clock.next(), true
	for {
		if token, reconnect := w.notes.take(); token != "" || reconnect != nil {
			w.response = response{token: token, reconnect: reconnect}
			if err := w.stream.SendMsg(&w.response); err != nil {
				return err
			}
		}
		given, closure, err := w.conn.TakeNumbered(ctx, tick, w.taken[:0])
		w.taken = given.Messages
		switch {
		case errors.Is(err, logical.ErrIdle) && busy:
			tick, busy = w.clock.next(), false
			continue
		case err != nil:
			w.taken = nil // it may have grown
			return err
		case closure != nil && closure.Reason == holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE:
			return nil // as it wished
		case closure != nil:
			return wire.CloseStatus(closure.Reason, closure.Detail)
		}
		busy = true
		if len(given.Messages) == 0 && given.Consumed == 0 {
			continue
		}
		if err := w.sendNumbered(given); err != nil {
			return err
		}
	}
}

func (w *writer) sendNumbered(g logical.Given) error {
	w.response = response{messages: g.Messages, consumed: g.Consumed, batch: len(g.Messages) > 1}
	if len(g.Messages) > 0 {
		w.response.firstSeq = g.First
	}
	if err := w.stream.SendMsg(&w.response); err != nil {
		return err
	}
	w.forget()
	if n := len(g.Messages); n > 0 {
		w.conn.Sent(n)
	}
	return nil
}

// end ends the stream of a resumable client with the error; the connection goes on.
func (l *session) end(err error) {
	select {
	case l.cut <- err:
	default: // it is ending
	}
}

// round is one time that clients were asked to move. It is guarded by the service's mu.
type round struct {
	asked, moved, left int
}

// verdictTime is for how long a client that was asked, and whose stream is gone, may have moved unheard: one that moves to another relay
// lets go of its stream here when that one welcomes it, and the app server's word for it may come later.
const verdictTime = 2 * time.Second

// noteMovedLocked counts a session whose connection is over, and which is forgotten, when it has moved as it was asked to.
func (l *session) noteMovedLocked() {
	if l.asked != nil && l.hasMoved() {
		l.asked.moved++
	}
}

func (l *session) hasMoved() bool {
	return l.conn.Closure().Reason == holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE
}

// progressLocked returns how far the round is.
func (s *Service) progressLocked(r *round, now time.Time) (asked, moved, waiting int) {
	moved, waiting = r.moved, r.asked-r.left
	if r.left == r.moved {
		return r.asked, moved, waiting
	}
	for _, sessions := range s.away {
		for _, l := range sessions {
			switch {
			case l.asked != r:
			case !isOver(l.conn):
				if now.Sub(l.left) < verdictTime {
					waiting++
				}
			case l.hasMoved():
				moved++ // and is about to be forgotten
			}
		}
	}
	return r.asked, moved, waiting
}

// Ask asks the resumable clients that came in through the ingress, or all when it is empty, to move, spread over the configured window.
// The function that it returns says how far that is: how many were asked, how many have resumed on another stream, and of how
// many the streams are still there, or went just now and may have.
func (s *Service) Ask(through string, reason holdfastv1.ReconnectReason) func() (asked, moved, waiting int) {
	return s.ask(through, reason, s.config.Resume.ReconnectWindow)
}

func (s *Service) ask(through string, reason holdfastv1.ReconnectReason, window time.Duration) func() (asked, moved, waiting int) {
	r := &round{}
	var clients []*session
	s.mu.Lock()
	for l := range s.served {
		if l.conn.Resumable && (through == "" || l.conn.ClientIngress == through) {
			l.asked = r
			clients = append(clients, l)
		}
	}
	r.asked = len(clients)
	s.mu.Unlock()
	for i, l := range clients {
		l.notes.add("", &holdfastv1.Reconnect{Reason: reason, Delay: durationpb.New(delay(i, len(clients), window))})
		l.conn.Wake()
	}
	return func() (asked, moved, waiting int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.progressLocked(r, time.Now())
	}
}

// Farewell ends the streams of all clients because the relay is shutting down, until the context ends. Plain ones are cut with their
// connections; resumable ones are asked to move, and what is left of them at the end is let go of, for any relay to take.
func (s *Service) Farewell(ctx context.Context, window time.Duration) {
	const detail = "the relay is shutting down"
	for c := range s.registry.Connections() {
		if !c.Resumable {
			c.Close(holdfastv1.CloseReason_CLOSE_REASON_RELAY_SHUTDOWN, detail)
		}
	}
	progress := s.ask("", holdfastv1.ReconnectReason_RECONNECT_REASON_RELAY_SHUTDOWN, window)
	ticker := time.NewTicker(farewellTick)
	defer ticker.Stop()
	for {
		asked, moved, waiting := progress()
		if waiting == 0 || ctx.Err() != nil {
			if asked > 0 {
				s.log.Info("resumable clients were asked to move", "asked", asked, "moved", moved, "left", waiting)
			}
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	s.registry.LetGo(logical.Closure{Reason: holdfastv1.CloseReason_CLOSE_REASON_RELAY_SHUTDOWN, Detail: detail})
}

// farewellTick is how often the relay looks whether the clients have moved.
const farewellTick = 20 * time.Millisecond

// delay returns the delay of client i of n: one in each nth of the window, at random within it, so that no moment gets more than its
// share.
func delay(i, n int, window time.Duration) time.Duration {
	share := float64(window) / float64(n)
	return time.Duration((float64(i) + rand.Float64()) * share).Round(time.Millisecond)
}
