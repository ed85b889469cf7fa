package logical

import (
	"context"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Bounds of what the client's writer takes at once.
const (
	takeMessages = 128
	takeBytes    = 24 << 10
)

// Take appends to into the next messages for the client, in order, and blocks until there is one. When the
// connection has ended it returns the reason instead, after all messages that came before the end. It is called
// by the client's writer only.
func (c *Connection) Take(ctx context.Context, into []ordering.Message) ([]ordering.Message, *Closure, error) {
	for {
		into, closure := c.tryTake(into)
		if len(into) > 0 || closure != nil {
			return into, closure, nil
		}
		select {
		case <-ctx.Done():
			return into, nil, context.Cause(ctx)
		case <-c.toClient:
		case <-c.over:
		}
	}
}

func (c *Connection) tryTake(into []ordering.Message) ([]ordering.Message, *Closure) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
			c.setClosureLocked(closureOf(m))
			break
		}
		c.end.Inbox.Take()
		bytes += len(m.Payload)
		into = append(into, m)
	}
	if len(into) == 0 && c.closure.Reason != 0 {
		closure := c.closure
		return into, &closure
	}
	return into, nil
}

// Consume says that the client's transport took what Take gave out. It is called by the client's writer only.
func (c *Connection) Consume(messages int) {
	c.sent.Add(uint64(messages))
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	now := c.end.Inbox.Consume()
	owe := c.end.Inbox.Owes() && (now || !c.owing)
	c.owing = c.owing || owe
	lane := c.uses[len(c.uses)-1].lane // the one that end sends by: a target comes after its previous
	c.mu.Unlock()
	switch {
	case owe && now:
		lane.Ready(false)
	case owe:
		lane.Owe()
	}
}

// Snapshot is what a connection looks like at one moment.
type Snapshot struct {
	Info
	placement.Connection
	Epoch          ordering.Epoch
	Handoff        ordering.InitiatorState
	Server         *serverconn.Conn // nil when the connection is over
	Received, Sent uint64
	// Closing: one side has closed; what is under way still arrives.
	Closing bool
}

// Snapshot returns what the connection looks like now.
func (c *Connection) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Snapshot{
		Info: c.Info, Connection: c.viewLocked(), Epoch: c.end.Epoch(), Handoff: c.end.State(),
		Closing: c.ended || c.closure.Reason != 0 || c.end.Inbox.Closed(),
		Server:  c.currentLocked(), Received: c.received.Load(), Sent: c.sent.Load(),
	}
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
	switch {
	case c.ended:
		v.State = placement.Closing
	case c.end.State() == ordering.Settled:
		v.State = placement.Settled
	case c.end.State() == ordering.Opening:
		v.State = placement.Opening
	}
	return v
}
