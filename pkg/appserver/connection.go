package appserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Message is one message of a client or for it.
type Message struct {
	Payload []byte
	// Text says that the payload is text. It is UTF-8 then.
	Text bool
}

// Connection is one logical connection, as its handler sees it. Send may be called by any number of goroutines,
// Receive by one at a time.
type Connection struct {
	// Set once.
	server  *Server
	id      uint64
	subject string
	max     int
	cancel  context.CancelCauseFunc

	// arrived and room wake Receive and Send; capacity 1. sending is held by the Send that waits for room;
	// capacity 1.
	arrived, room, sending chan struct{}
	// over is closed when closed was set for a reason other than the peer's own close.
	over chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	end *ordering.Responder
	// ingress and address are those by which the client came in, the last time that it did.
	ingress, address string

	uses []use // the live server connections that end uses; one, two in a handoff, none after a loss
	// adrift says for how long it may go on when there is none.
	adrift adrift
	// closed is why the connection ends; messages that came before may still wait.
	closed *CloseError
	// discard: the handler is done, so that what comes for it is consumed unseen.
	discard bool
	// owing: a lane was told that a receipt is owed since the last one was sent.
	owing    bool
	gone     bool
	pausedAt time.Time
	paused   time.Duration // of the last handoff, until it was told
	passage  *passage      // the move that is open, or nil
	passed   []*passage    // the moves that are over, until they were told
	rejected uint8         // the verdicts that the peer was told of, a bit each
}

// adrift is what a connection with no server connection left remembers.
type adrift struct {
	until time.Time
	why   string
}

// use is a server connection that carries the connection.
type use struct {
	path ordering.Path
	lane *wire.Lane
	conn *serverConn
}

func (c *Connection) useOf(sc *serverConn) use { return use{sc.path, wire.NewLane(sc.writer, c), sc} }

// open makes a connection for an Open frame and starts its handler. A server that takes nothing new says so to the relay. It
// returns the connection when there is one already.
func (s *Server) open(sc *serverConn, f *wire.Frame) *Connection {
	ctx, cancel := context.WithCancelCause(sc.life)
	c := &Connection{
		server: s, id: f.Connection, ingress: f.Rare.GetOpen().GetClientIngress(), address: f.Rare.GetOpen().GetClientAddress(),
		subject: f.Rare.GetOpen().GetClientSubject(),
		max:     sc.maxMessage, cancel: cancel,
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1), sending: make(chan struct{}, 1), over: make(chan struct{}),
		end: ordering.NewResponder(sc.path, f.Step, sc.window),
	}
	c.uses = []use{c.useOf(sc)}
	s.mu.Lock()
	closing, other := s.closing, s.connections[c.id]
	if !closing && other == nil {
		s.connections[c.id] = c
	}
	s.mu.Unlock()
	switch {
	case other != nil:
		cancel(nil)
		return other
	case closing:
		cancel(errShutdown)
		sc.writer.Reply(f.CloseNow(holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN, errShutdown.Error()))
		return nil
	}
	c.mu.Lock()
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
	s.handlers.Go(func() { s.handle(ctx, c) })
	return nil
}

func (s *Server) handle(ctx context.Context, c *Connection) {
	defer c.cancel(nil)
	why := &CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED}
	if err := s.config.Handler.ServeConnection(ctx, c); err != nil {
		why = &CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, Detail: err.Error()}
		if closed := new(CloseError); errors.As(err, &closed) && closed.Reason != 0 {
			why = closed // the handler passes on why its connection ended
		}
	}
	c.finish(why)
}

// ID returns the connection's id: 16 hexadecimal digits.
func (c *Connection) ID() string { return wire.FormatID(c.id) }

// ClientIngress returns the ingress that the client came in through, "direct" when there was none. It changes when a resumable
// client comes anew.
func (c *Connection) ClientIngress() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ingress
}

// ClientAddress returns the network address that the relay saw for the client. It changes when a resumable client comes anew.
func (c *Connection) ClientAddress() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address
}

// ClientSubject returns the subject of the token that the client showed to the relay, empty when the relay checks none.
func (c *Connection) ClientSubject() string { return c.subject }

// Receive returns the next message of the client, in order, and blocks until there is one. It returns io.EOF once
// when the client has said that it sends no more; the client still receives then. It returns a *CloseError when the
// connection has ended, after everything that came before.
func (c *Connection) Receive(ctx context.Context) (Message, error) {
	for {
		m, ok, err := c.take()
		switch {
		case err != nil:
			return Message{}, err
		case ok && m.Kind == ordering.HalfClose:
			return Message{}, io.EOF
		case ok:
			return Message{Payload: m.Payload, Text: m.Kind == ordering.Text}, nil
		}
		select {
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		case <-c.arrived:
		case <-c.over:
		}
	}
}

func (c *Connection) take() (ordering.Message, bool, error) {
	c.mu.Lock()
	m, ok := c.end.Inbox.Take()
	if !ok {
		defer c.mu.Unlock()
		if c.closed != nil {
			return m, false, c.closed
		}
		return m, false, nil
	}
	now := c.end.Inbox.Consume()
	owe := !c.gone && (now || !c.owing)
	c.owing = c.owing || owe
	var lane *wire.Lane
	if owe {
		lane = c.laneLocked()
	}
	c.mu.Unlock()
	switch {
	case lane == nil:
	case now:
		lane.Ready(false)
	default:
		lane.Owe()
	}
	if m.Kind == ordering.Close {
		return c.take()
	}
	return m, true, nil
}

// Send hands a message over for delivery, in order and exactly once, and blocks while the window is full. It returns
// ErrMessageTooLarge, ErrNotUTF8, a *CloseError when the connection has ended, or the cause of the context. The
// payload must not be changed afterwards.
func (c *Connection) Send(ctx context.Context, m Message) error {
	message := ordering.Message{Kind: ordering.Binary, Payload: m.Payload}
	if len(m.Payload) > c.max {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrMessageTooLarge, len(m.Payload), c.max)
	}
	if m.Text {
		if !utf8.Valid(m.Payload) {
			return ErrNotUTF8
		}
		message.Kind = ordering.Text
	}
	select {
	case c.sending <- struct{}{}:
	default: // another one waits for room
		select {
		case c.sending <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	defer func() { <-c.sending }()
	for {
		err := c.push(message)
		if !errors.Is(err, ordering.ErrWindowFull) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-c.room:
		case <-c.over:
		}
	}
}

func (c *Connection) push(m ordering.Message) error {
	c.mu.Lock()
	if c.closed != nil {
		defer c.mu.Unlock()
		return c.closed
	}
	_, err := c.end.Outbox.Push(m)
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
	return err
}

// laneLocked returns the lane by which the end sends.
func (c *Connection) laneLocked() *wire.Lane {
	for _, u := range c.uses {
		if u.path == c.end.Path() {
			return u.lane
		}
	}
	return nil
}
