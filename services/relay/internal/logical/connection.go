// Package logical holds the relay's side of a logical connection: the ordering end under its lock, joined to
// the client's stream on one side and to the writers of server connections on the other.
package logical

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/payload"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Info says who a connection belongs to.
type Info struct {
	ID            uint64
	Application   string
	ClientIngress string
	ClientAddress string
	// ClientSubject is the subject of the token that the client showed.
	ClientSubject string
	ConnectedAt   time.Time
	// Resumable: the client numbers its messages and acknowledges, and may come anew.
	Resumable bool
}

// Observer is told what becomes of connections. It is called without locks held, from any goroutine, and must
// not block.
type Observer interface {
	// Settled: the app server confirmed the connection, or a move of it ended well.
	Settled(c *Connection, s Settlement)
	// Parked: no server connection carries the connection any more, as the one that did, from, is lost or does not
	// answer. Open is what became of the move that was open, or 0.
	Parked(c *Connection, from *serverconn.Conn, open Outcome)
	// Released: the connection does not use the server connection any more; end says that it is to be ended, as it
	// drains and this was the last connection on it.
	Released(s *serverconn.Conn, end bool)
	// Ended: the connection is over.
	Ended(c *Connection, e Ending)
	// Dropped: a frame for the connection was dropped; first says that it was the first for that reason.
	Dropped(c *Connection, v ordering.Verdict, first bool)
}

// Ending says how a connection ended.
type Ending struct {
	// From is where an open move was moving the connection from, or else where it was; Now is where it was placed.
	From, Now *serverconn.Conn
	// Moving: a move was open.
	Moving bool
	// Opened: the connection was opened here, or adopted; false when its adoption was refused, or came to nothing.
	Opened bool
	// Away: ClientAway has said that its client's stream is gone.
	Away bool
	Why  Closure
}

// Closure says why a connection ended.
type Closure struct {
	Reason holdfastv1.CloseReason
	Detail string
}

// ErrOver is returned by Push when the connection has ended; Take says why.
var ErrOver = errors.New("the connection has ended")

// Connection is one logical connection. Its methods are safe for concurrent use, but for those that say whose
// they are.
type Connection struct {
	// Set once.
	Info
	// Instance is the process of the app server that the connection belongs to.
	Instance serverconn.Instance
	observer Observer
	counters *telemetry.Counters

	// toClient and room wake the client's writer and reader; capacity 1.
	toClient, room chan struct{}
	// over is closed when the connection has ended for the client, with closure set before.
	over chan struct{}
	// ready is closed when the app server has confirmed the connection; nil unless the client is a resumable one.
	ready chan struct{}

	received, sent atomic.Uint64

	mu sync.Mutex
	// Guarded by mu.
	end  *ordering.Initiator
	uses []use // the server connections that end uses; one, two in a handoff, none while parked
	// last is the server connection that carries what the relay sends, or did before the connection was parked.
	last *serverconn.Conn
	// parked says since when and from where the connection is parked or being resumed.
	parked parking
	// passage is the move that is open, or nil.
	passage *passage
	// gapped: messages were missing once.
	gapped bool
	// discard: the client is gone, so that what comes for it is consumed unseen.
	discard bool
	// away: the stream of the resumable client is gone. If it comes anew it gets another Connection, so that this is for good.
	away bool
	// giving: the client's transport was given messages that it has not taken yet.
	giving bool
	// confirmed: ready is closed, or about to be.
	confirmed bool
	// toldClient is the last receipt of the app server's that a resumable client was given.
	toldClient uint64
	// closing is the application's Close once a resumable client was given it.
	closing Closure
	// owing: a lane was told that a receipt is owed since the last one was sent.
	owing    bool
	closure  Closure
	ended    bool // for the app server; told, once, to the observer
	told     bool
	rejected uint8 // the verdicts that the peer was told of, a bit each
}

// use is a server connection that carries the connection.
type use struct {
	conn *serverconn.Conn
	lane *wire.Lane
}

// New returns a connection on the server connection, which its caller has acquired, for the owner to make known and then
// to Start. Counters may be nil: then nobody follows its moves.
func New(info Info, s *serverconn.Conn, observer Observer, counters *telemetry.Counters) *Connection {
	end := ordering.NewInitiator(s.Path, s.Window)
	if info.Resumable {
		end.Number()
	}
	return newConnection(info, s, observer, counters, end)
}

func newConnection(info Info, s *serverconn.Conn, observer Observer, counters *telemetry.Counters, end *ordering.Initiator) *Connection {
	c := &Connection{
		Info: info, Instance: s.Instance, observer: observer, counters: counters,
		toClient: make(chan struct{}, 1), room: make(chan struct{}, 1), over: make(chan struct{}), end: end,
	}
	if info.Resumable {
		c.ready = make(chan struct{})
	}
	c.end.Outbox.Freed = payload.Free
	c.placeLocked(s)
	return c
}

// Over is closed when the connection has ended for the client.
func (c *Connection) Over() <-chan struct{} { return c.over }

// Closure says why the connection has ended. It is valid once Over is closed.
func (c *Connection) Closure() Closure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closure
}

// Start sends the Open. The connection must be known to the reader of the server connection by now.
func (c *Connection) Start() {
	c.mu.Lock()
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

// Push sends a message of the client to the app server; it blocks while the window is full. The payload is copied. It is called
// by the client's reader only. Its error is the cause of the context, ErrOver, or ordering.ErrEnded after a half-close.
func (c *Connection) Push(ctx context.Context, m ordering.Message) error {
	_, err := c.push(ctx, 0, m)
	return err
}

// push pushes a message that its sender has numbered, or has not when the number is 0.
func (c *Connection) push(ctx context.Context, seq uint64, m ordering.Message) (fresh bool, err error) {
	m.Payload = payload.Clone(m.Payload)
	for {
		c.mu.Lock()
		if c.ended || c.closure.Reason != 0 {
			c.mu.Unlock()
			return false, ErrOver
		}
		fresh, err = c.pushLocked(seq, m)
		fx := c.effectsLocked()
		c.mu.Unlock()
		switch {
		case err == nil && !fresh:
			payload.Free(m.Payload)
			return false, nil
		case err == nil:
			if m.Kind == ordering.Text || m.Kind == ordering.Binary {
				c.received.Add(1)
			}
			c.apply(fx)
			return true, nil
		case !errors.Is(err, ordering.ErrWindowFull):
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-c.room:
		case <-c.over:
		}
	}
}

func (c *Connection) pushLocked(seq uint64, m ordering.Message) (fresh bool, err error) {
	if seq == 0 {
		_, err = c.end.Outbox.Push(m)
		return err == nil, err
	}
	// After a Close, what is for the client still is: it may come anew before the application has taken that.
	return c.end.Outbox.PushNumbered(seq, m)
}

// ClientGone says that the client is not there any more: what it sent still arrives, followed by the reason.
func (c *Connection) ClientGone(detail string) {
	c.closeWith(Closure{holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE, detail})
}

// Close ends the connection for a reason of the relay's: the client is told at once, the app server after what
// was sent before.
func (c *Connection) Close(reason holdfastv1.CloseReason, detail string) {
	c.closeWith(Closure{reason, detail})
}

func (c *Connection) closeWith(cl Closure) {
	c.mu.Lock()
	c.setClosureLocked(cl)
	if c.ended { // the app server had the last word already; the client had yet to take it
		c.mu.Unlock()
		return
	}
	if c.end.Opened() {
		c.discard = true
		c.consumeAllLocked()
		// An error means that the direction was closed already.
		_, _ = c.end.Outbox.Push(wire.CloseMessage(cl.Reason, cl.Detail))
	} else { // it was not given to this relay yet, and is not the relay's to close
		c.letGoLocked(cl)
	}
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

// setClosureLocked tells the client's side, once, that the connection has ended.
func (c *Connection) setClosureLocked(cl Closure) {
	if c.closure.Reason == 0 {
		c.closure = cl
		close(c.over)
	}
}

// abandonLocked ends the connection at once: nobody is left to wait for. When the application's own Close is here already,
// the client is told that, after the messages before it.
func (c *Connection) abandonLocked(cl Closure) {
	if c.end.Inbox.Closed() && !c.discard {
		c.ended = true
		return
	}
	c.setClosureLocked(cl)
	c.discard = true
	c.ended = true
}

// consumeAllLocked consumes what waits for a client that is gone.
func (c *Connection) consumeAllLocked() {
	for {
		m, ok := c.end.Inbox.Take()
		if !ok {
			break
		}
		if m.Kind == ordering.Close {
			c.setClosureLocked(closureOf(m))
		}
	}
	c.end.Inbox.Consume()
}

// closureOf reads a Close. One that gives no reason, or none that is known, is a fault of the application.
func closureOf(m ordering.Message) Closure {
	return newClosure(holdfastv1.CloseReason(m.Reason), string(m.Payload))
}

func newClosure(reason holdfastv1.CloseReason, detail string) Closure {
	if holdfastv1.CloseReason_name[int32(reason)] == "" || reason == holdfastv1.CloseReason_CLOSE_REASON_UNSPECIFIED {
		return Closure{holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_ERROR, fmt.Sprintf("close reason %d: %s", reason, detail)}
	}
	return Closure{reason, detail}
}

// placeLocked places the connection on a server connection that was acquired.
func (c *Connection) placeLocked(s *serverconn.Conn) {
	c.uses = append(c.uses, use{s, wire.NewLane(s.Writer, c)})
	c.last = s
	s.AddLoad(1)
}

// laneLocked returns the lane by which the end sends, or nil while parked.
func (c *Connection) laneLocked() *wire.Lane {
	if len(c.uses) == 0 {
		return nil
	}
	return c.uses[len(c.uses)-1].lane // a target comes after its previous
}

func (c *Connection) connLocked(path ordering.Path) *serverconn.Conn {
	for _, u := range c.uses {
		if u.conn.Path == path {
			return u.conn
		}
	}
	return nil
}
