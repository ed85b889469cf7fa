package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Message is one message of the application or for it.
type Message struct {
	Payload []byte
	// Text says that the payload is text. It is UTF-8 then.
	Text bool
}

// Connection is one logical connection. Send may be called by any number of goroutines, Receive by one at a time, all other
// methods by anybody.
type Connection struct {
	// Set once, by Dial.
	config      Config
	log         *slog.Logger
	id          string
	application string
	window      int
	life        context.Context // of its streams
	cancel      context.CancelCauseFunc
	// busy ends with finish when nothing is left to be done, or with life.
	busy   context.Context
	finish context.CancelFunc

	lastPath atomic.Uint64
	max      atomic.Uint32 // bytes of a message
	// links waits for the goroutines of its streams.
	links sync.WaitGroup

	// Owned by the keeper.
	routes *routes
	events chan Event // nil when nobody is told

	// arrived and room wake Receive and Send; capacity 1. sending is held by the Send that waits for room; capacity 1.
	arrived, room, sending chan struct{}
	// over is closed when fate is set, gone when all is let go of.
	over, gone chan struct{}

	mu sync.Mutex
	// Guarded by mu.
	end *ordering.Client // nil before the first Welcome
	// current carries the connection; nil after a loss.
	current *link
	token   string // for the next resume
	// resumeTime is for how long the relay keeps the connection, and lostAt since when no stream carries it.
	resumeTime time.Duration
	lostAt     time.Time
	// fate is what Receive returns after all that came before, and loss why the connection was lost. Set once.
	fate error
	loss *CloseError
	// closing: Close was called, so that what comes is consumed unseen.
	closing bool
	// due: a receipt is to go at once. owing: the writer knows that one is owed.
	due, owing bool
	// faults counts faults of the relay with no progress between them, which came when progress was so far.
	faults   int
	progress uint64
	denied   int // attempts in a row that were refused for their token
	stats    Stats
}

// Stats counts what has happened to a connection.
type Stats struct {
	// Moves is how often another stream has taken the connection over.
	Moves uint64
	// Duplicates is how many messages were dropped as they had been received before.
	Duplicates uint64
}

// ID returns the connection's id: 16 hexadecimal digits.
func (c *Connection) ID() string { return c.id }

// Application returns the application that the relay has placed the connection on.
func (c *Connection) Application() string { return c.application }

// MaxMessageBytes returns the largest payload that Send takes, in bytes.
func (c *Connection) MaxMessageBytes() int { return int(c.max.Load()) }

// Ingress returns the ingress that the connection comes in through, as the relay sees it; "direct" when there is none, and empty
// while no stream carries the connection.
func (c *Connection) Ingress() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return ""
	}
	return c.current.ingress
}

// Relay returns the id of the relay that has the connection; empty while no stream carries it.
func (c *Connection) Relay() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return ""
	}
	return c.current.relay
}

// Stats returns what has happened so far.
func (c *Connection) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Done is closed when the connection has ended and all that it held is let go of. Messages that came before may still be received.
func (c *Connection) Done() <-chan struct{} { return c.gone }

// Receive returns the next message of the application, in order, and blocks until there is one; also while no stream carries the
// connection. What it has returned counts as consumed. After everything that came before it returns io.EOF when the application
// has closed without an error, a *CloseError when the connection has ended otherwise, and ErrClosed after Close. When the
// context ends it returns its cause, and nothing is lost.
func (c *Connection) Receive(ctx context.Context) (Message, error) {
	for {
		m, ok, err := c.take()
		if err != nil {
			return Message{}, err
		}
		if ok {
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
	defer c.mu.Unlock()
	if c.closing {
		return ordering.Message{}, false, ErrClosed
	}
	m, ok := c.end.Inbox.Take()
	if !ok {
		return m, false, c.fate
	}
	c.consumedLocked(c.end.Inbox.Consume())
	if m.Kind == ordering.Close {
		return m, false, c.fate
	}
	return m, true, nil
}

// consumedLocked has the writer say what was consumed: at once when that is due, else shortly.
func (c *Connection) consumedLocked(due bool) {
	tell := due && !c.due || !c.owing && c.end.Owes()
	c.due = c.due || due
	if tell {
		c.owing = true
		c.wakeLocked()
	}
}

// wakeLocked has the writer look for something to send.
func (c *Connection) wakeLocked() {
	if c.current != nil {
		signal(c.current.wake)
	}
}

// Send hands a message over for delivery, in order and exactly once, and blocks while the window is full: until the application
// has consumed enough of what was sent before. A message is accepted also while no stream carries the connection. It returns
// ErrMessageTooLarge, ErrNotUTF8, ErrSendClosed after CloseSend, ErrClosed after Close, io.EOF or a *CloseError when the connection has
// ended, or the cause of the context: the message was not accepted then. The payload must not be changed afterwards.
func (c *Connection) Send(ctx context.Context, m Message) error {
	message := ordering.Message{Kind: ordering.Binary, Payload: m.Payload}
	if most := c.MaxMessageBytes(); len(m.Payload) > most {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrMessageTooLarge, len(m.Payload), most)
	}
	if m.Text {
		if !utf8.Valid(m.Payload) {
			return ErrNotUTF8
		}
		message.Kind = ordering.Text
	}
	return c.send(ctx, message)
}

// CloseSend says that nothing more is sent, after everything that was. Receive goes on. It blocks while a Send does, and returns
// the errors of Send.
func (c *Connection) CloseSend(ctx context.Context) error {
	return c.send(ctx, ordering.Message{Kind: ordering.HalfClose})
}

func (c *Connection) send(ctx context.Context, m ordering.Message) error {
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
		err := c.push(m)
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
	defer c.mu.Unlock()
	if c.fate != nil {
		return c.fate
	}
	if _, err := c.end.Outbox.Push(m); err != nil {
		if errors.Is(err, ordering.ErrEnded) {
			return ErrSendClosed
		}
		return err
	}
	c.wakeLocked()
	return nil
}

// Close ends the connection after everything that was sent, and waits until the application has consumed that and all is let go
// of. When the context ends first it lets go at once and returns an error: what was sent last may then not arrive. It also returns
// an error when the connection was lost before; and nil when it was over. What was received and not yet taken is dropped.
func (c *Connection) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closing {
		c.closing = true
		c.discardLocked()
		if c.fate == nil {
			c.fateLocked(ErrClosed)
			// An error means that the direction was closed already.
			_, _ = c.end.Outbox.Push(wire.CloseMessage(holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, "the client has closed the connection"))
		}
		c.wakeLocked()
	}
	c.mu.Unlock()
	select {
	case <-c.gone:
	case <-ctx.Done():
		c.cancel(errOver)
		<-c.gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.end.Done() || c.end.Inbox.Closed():
		return nil
	case c.loss == nil: // this context has ended, or that of another Close
		return fmt.Errorf("the application may not have got all that was sent: %d of %d messages are acknowledged: %w",
			c.end.Outbox.Acked(), c.end.Outbox.Pushed(), cmp.Or(context.Cause(ctx), ErrClosed))
	case c.loss.Reason == ReasonUnknownConnection && c.end.Outbox.Ended() && !c.end.Outbox.Ready():
		return nil // it ended there when the Close came, and the receipt was lost
	}
	return c.loss
}

// discardLocked consumes what waits for an application that takes nothing more.
func (c *Connection) discardLocked() {
	for {
		if _, ok := c.end.Inbox.Take(); !ok {
			break
		}
	}
	c.end.Inbox.Consume()
	c.due = true
}

// fateLocked sets what Receive returns in the end, if that is not set.
func (c *Connection) fateLocked(err error) {
	if c.fate == nil {
		c.fate = err
		close(c.over)
	}
}

// finishLocked says that nothing is left to be done, when that is so.
func (c *Connection) finishLocked() {
	if c.end.Done() {
		c.finish()
	}
}
