package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	// maxReceive is the largest gRPC message that is taken, in bytes: the largest payload that a relay can be set to, and
	// room for what is around it.
	maxReceive = 17 << 20
	// maxOther is how many other messages of the application may come before an echo.
	maxOther = 16
	// goodbye is for how long the application may take to end its half of a stream.
	goodbye = time.Second
)

// errNoEcho says that the application is no echo.
var errNoEcho = errors.New("no echo came")

// session is one stream of a client. It is used by one goroutine, and one more of its own receives.
type session struct {
	stream  holdfastv1.ClientConnectionService_ConnectClient
	timeout time.Duration
	welcome *holdfastv1.Welcome
	cancel  context.CancelCauseFunc
	life    context.Context

	// received has what came, and is closed at the end of the stream; ended is set before that.
	received chan *holdfastv1.ConnectResponse
	ended    error
}

// open says hello and returns the session that was welcomed. The pairs are headers, as for metadata.Pairs.
func (p *patient) open(ctx context.Context, pairs ...string) (*session, error) {
	s := &session{timeout: p.Timeout, received: make(chan *holdfastv1.ConnectResponse)}
	s.life, s.cancel = context.WithCancelCause(ctx)
	if err := s.greet(p, pairs); err != nil {
		s.cancel(nil)
		return nil, err
	}
	go s.receive()
	return s, nil
}

func (s *session) greet(p *patient, pairs []string) error {
	late := s.bound()
	defer late.Stop()
	ctx := metadata.AppendToOutgoingContext(s.life, pairs...)
	var err error
	if s.stream, err = holdfastv1.NewClientConnectionServiceClient(p.conn).Connect(ctx); err != nil {
		return s.why(err)
	}
	hello := &holdfastv1.Hello{Application: p.Application}
	// The status of a stream that failed is told by Recv, not by Send.
	_ = s.stream.Send(&holdfastv1.ConnectRequest{Hello: hello})
	first, err := s.stream.Recv()
	if err != nil {
		return s.why(err)
	}
	if s.welcome = first.GetWelcome(); s.welcome == nil {
		return errNoWelcome
	}
	return nil
}

// bound ends the stream when the step that begins takes too long. The caller stops the timer.
func (s *session) bound() *time.Timer {
	return time.AfterFunc(s.timeout, func() { s.cancel(&lateError{s.timeout}) })
}

// lateError says that a step took too long.
type lateError struct{ after time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("no answer within %s", e.after) }

// why returns the better of two reasons for the end of the stream: the one for which it was ended here, if it was.
func (s *session) why(err error) error {
	if cause := context.Cause(s.life); cause != nil {
		return cause
	}
	return err
}

func (s *session) receive() {
	defer close(s.received)
	for {
		m, err := s.stream.Recv()
		if err != nil {
			s.ended = s.why(err)
			return
		}
		select {
		case s.received <- m:
		case <-s.life.Done():
			s.ended = s.why(context.Cause(s.life))
			return
		}
	}
}

// echo sends a binary message and waits until it comes back. errNoEcho means that the stream lives, but that something else
// came or nothing did.
func (s *session) echo(payload []byte) error {
	late := s.bound() // A send blocks for as long as the other side takes nothing.
	err := s.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: payload}})
	late.Stop()
	if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the receiver has the status.
		return err
	}
	silence := time.NewTimer(s.timeout)
	defer silence.Stop()
	for range maxOther {
		select {
		case m, ok := <-s.received:
			if !ok {
				return s.ended
			}
			if bytes.Equal(m.GetBinary(), payload) {
				return nil
			}
		case <-silence.C:
			return errNoEcho
		}
	}
	return errNoEcho
}

// silent waits until the stream ends or the time is over, and returns for how long the stream lived, and why it ended if it
// did. What the application says meanwhile is counted: such a stream was not silent.
func (s *session) silent(wait time.Duration) (held time.Duration, said int, err error) {
	begin := time.Now()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		select {
		case _, ok := <-s.received:
			if !ok {
				return time.Since(begin), said, s.ended
			}
			said++
		case <-over.C:
			return wait, said, nil
		}
	}
}

// close ends the stream in good order: the application is told, and has a moment to say goodbye.
func (s *session) close() {
	_ = s.stream.CloseSend()
	late := time.AfterFunc(goodbye, func() { s.cancel(nil) })
	defer late.Stop()
	for range s.received { // Until the receiver is gone.
	}
	s.cancel(nil)
}
