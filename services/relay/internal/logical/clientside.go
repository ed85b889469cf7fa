package logical

import (
	"context"
	"errors"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Bounds of what the client's writer takes at once.
const (
	takeMessages = 128
	takeBytes    = 24 << 10
)

// ErrIdle is returned by Take when it was told to stop waiting.
var ErrIdle = errors.New("nothing came for the client")

// ToClient wakes whoever waits for something for the client: the writer in Take, or its owner when there is no writer. A wake
// may be for nothing.
func (c *Connection) ToClient() <-chan struct{} { return c.toClient }

// Take appends to into the next messages for the client, in order, and blocks until there is one, or with ErrIdle until idle
// is closed. When the connection has ended it returns the reason instead, after all messages that came before the end. It is
// called by the client's writer only, which frees the payloads when it has sent them.
func (c *Connection) Take(ctx context.Context, idle <-chan struct{}, into []ordering.Message) ([]ordering.Message, *Closure, error) {
	for {
		into, closure := c.tryTake(into)
		if len(into) > 0 || closure != nil {
			return into, closure, nil
		}
		select {
		case <-ctx.Done():
			return into, nil, context.Cause(ctx)
		case <-idle:
			return into, nil, ErrIdle
		case <-c.toClient:
		case <-c.over:
		}
	}
}

func (c *Connection) tryTake(into []ordering.Message) ([]ordering.Message, *Closure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	into = c.takeLocked(into)
	if len(into) == 0 && c.closure.Reason != 0 {
		closure := c.closure
		return into, &closure
	}
	return into, nil
}

// takeLocked takes out what is next for the client. A Close is taken alone: it ends the connection of a plain client, and is a
// message to a resumable one.
func (c *Connection) takeLocked(into []ordering.Message) []ordering.Message {
	bytes := 0
	for len(into) < takeMessages {
		m, ok := c.end.Inbox.Next()
		if !ok || (bytes > 0 && bytes+len(m.Payload) > takeBytes) {
			break
		}
		if m.Kind == ordering.Close {
			if len(into) > 0 {
				break
			}
			c.end.Inbox.Take()
			if !c.Resumable {
				c.setClosureLocked(closureOf(m))
				break
			}
			c.closing = closureOf(m)
			into = append(into, m)
			break
		}
		c.end.Inbox.Take()
		bytes += len(m.Payload)
		into = append(into, m)
	}
	c.giving = len(into) > 0
	return into
}

// Consume says that the client's transport took what Take gave out. It is called by the client's writer only.
func (c *Connection) Consume(messages int) {
	c.sent.Add(uint64(messages))
	c.mu.Lock()
	c.giving = false
	if c.ended {
		c.mu.Unlock()
		return
	}
	owed := c.oweLocked(c.end.Inbox.Consume())
	c.mu.Unlock()
	owed.pay()
}

// debt is a receipt that a lane is to be told of, once the lock is released.
type debt struct {
	lane *wire.Lane
	now  bool
}

// oweLocked returns what is owed to the app server, at once or shortly.
func (c *Connection) oweLocked(now bool) debt {
	owe := c.end.Inbox.Owes() && (now || !c.owing)
	c.owing = c.owing || owe
	if !owe {
		return debt{}
	}
	return debt{c.laneLocked(), now}
}

func (d debt) pay() {
	switch {
	case d.lane == nil: // nothing is owed, or a resume says it
	case d.now:
		d.lane.Ready(false)
	default:
		d.lane.Owe()
	}
}

// Holding is what is held for a connection.
type Holding struct {
	// Taken is how many messages the client's transport has taken; Blocked says that it has been given more.
	Taken   uint64
	Blocked bool
	// Retained is what was sent to the app server and not acknowledged, and is not retained elsewhere, Waiting what came from it and was
	// not, in bytes of the window.
	Retained, Waiting int
}

// Holding returns what is held now.
func (c *Connection) Holding() Holding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Holding{Taken: c.sent.Load(), Blocked: c.giving, Retained: c.end.Outbox.Retained(), Waiting: c.end.Inbox.Bytes()}
}

// Messages returns how many messages went either way.
func (c *Connection) Messages() uint64 { return c.received.Load() + c.sent.Load() }

// Snapshot is what a connection looks like at one moment.
type Snapshot struct {
	Info
	placement.Connection
	Epoch   ordering.Epoch
	Handoff ordering.InitiatorState
	// Server is the server connection that carries the connection, or did before it was parked; nil when it is over.
	Server         *serverconn.Conn
	Received, Sent uint64
	// Retained is what was sent to the app server and not acknowledged, Waiting what came from it and was not, in bytes of the
	// window.
	Retained, Waiting int
	// Closing: one side has closed; what is under way still arrives.
	Closing bool
	// Away: the stream of the resumable client is gone; the connection waits for it.
	Away bool
}

// Snapshot returns what the connection looks like now.
func (c *Connection) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Snapshot{
		Info: c.Info, Connection: c.viewLocked(), Epoch: c.end.Epoch(), Handoff: c.end.State(),
		Closing:  c.ended || c.closure.Reason != 0 || c.end.Inbox.Closed(),
		Received: c.received.Load(), Sent: c.sent.Load(), Away: c.away,
		Retained: c.end.Outbox.Bytes(), Waiting: c.end.Inbox.Bytes(),
	}
	if !c.ended {
		s.Server = c.last
	}
	return s
}

// View returns the connection as placement sees it.
func (c *Connection) View() placement.Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.viewLocked()
}

func (c *Connection) viewLocked() placement.Connection {
	v := placement.Connection{
		ID: c.ID, ClientIngress: c.ClientIngress, Path: c.end.Path(), Previous: c.end.Previous(), State: placement.InHandoff,
	}
	switch state := c.end.State(); {
	case c.ended:
		v.State = placement.Closing
	case state == ordering.Parked:
		v.State = placement.Parked
	case state == ordering.Settled:
		v.State = placement.Settled
	case state == ordering.Opening, state == ordering.Reopening, state == ordering.Adopting:
		v.State = placement.Opening
	}
	return v
}
