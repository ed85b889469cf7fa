package logical

import (
	"context"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Claim is what a client says that takes up a connection which it has had.
type Claim struct {
	// Token is the generation of the token that it showed, Newest the newest that the relay knows, 0 when it knows none.
	Token, Newest uint32
	// Received and Consumed are the numbers of the last messages that it has received and consumed.
	Received, Consumed uint64
}

// Adopt returns the connection of a client that has come anew, on the server connection, which its caller has acquired, for the owner
// to make known and then to Start. It is the client's once Ready is closed; until then it may be refused, which ends it.
func Adopt(info Info, s *serverconn.Conn, observer Observer, counters *telemetry.Counters, claim Claim) *Connection {
	info.Resumable = true
	return newConnection(info, s, observer, counters,
		ordering.NewAdopter(s.Path, s.Window, claim.Token, claim.Newest, claim.Received, claim.Consumed))
}

// Ready is closed when the app server has confirmed the connection of a resumable client, or its adoption.
func (c *Connection) Ready() <-chan struct{} { return c.ready }

// Refusal returns why the app server did not let the relay have the connection, or 0.
func (c *Connection) Refusal() ordering.Refusal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.Refusal()
}

// Generation returns the generation of the placement.
func (c *Connection) Generation() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.Epoch().Generation()
}

// Welcomed reports whether the client has taken its Welcome: then it shows no token of an older generation.
func (c *Connection) Welcomed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end.Welcomed()
}

// Numbers returns what a Welcome says: the window in bytes, and the last messages of the client's that the app server has received and
// consumed.
func (c *Connection) Numbers() (window int, received, consumed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.toldClient = c.end.Outbox.Acked()
	return c.end.Outbox.Window(), c.end.Outbox.Pushed(), c.toldClient
}

// ClientWelcomed says that the client has taken its Welcome.
func (c *Connection) ClientWelcomed() {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.end.Welcome()
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

// PushNumbered is Push for a message of a resumable client. It reports false for one that was pushed before; a number beyond the next
// is an *ordering.ProtocolError and changes nothing.
func (c *Connection) PushNumbered(ctx context.Context, seq uint64, m ordering.Message) (fresh bool, err error) {
	return c.push(ctx, seq, m)
}

// Given is what a resumable client is to be sent.
type Given struct {
	Messages []ordering.Message
	// First is the number of the first message.
	First uint64
	// Consumed is the last message of the client's that the application has consumed, when that is news to the client, else 0.
	Consumed uint64
}

// TakeNumbered is Take for a resumable client. It gives out the application's Close as a message, and may return with nothing: then
// something else was said by Wake.
func (c *Connection) TakeNumbered(ctx context.Context, idle <-chan struct{}, into []ordering.Message) (Given, *Closure, error) {
	if g, closure := c.tryTakeNumbered(into); len(g.Messages) > 0 || g.Consumed > 0 || closure != nil {
		return g, closure, nil
	}
	select {
	case <-ctx.Done():
		return Given{Messages: into}, nil, context.Cause(ctx)
	case <-idle:
		return Given{Messages: into}, nil, ErrIdle
	case <-c.toClient:
	case <-c.over:
	}
	g, closure := c.tryTakeNumbered(into)
	return g, closure, nil
}

func (c *Connection) tryTakeNumbered(into []ordering.Message) (Given, *Closure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := Given{First: c.end.Inbox.Taken() + 1}
	g.Messages = c.takeLocked(into)
	if acked := c.end.Outbox.Acked(); acked > c.toldClient {
		g.Consumed, c.toldClient = acked, acked
	}
	if len(g.Messages) == 0 && g.Consumed == 0 && c.closure.Reason != 0 {
		closure := c.closure
		return g, &closure
	}
	return g, nil
}

// Wake has TakeNumbered return, for something that its caller has to say to the client.
func (c *Connection) Wake() { signal(c.toClient) }

// Sent says that the client's transport took what TakeNumbered gave out. It is called by the client's writer only.
func (c *Connection) Sent(messages int) {
	c.sent.Add(uint64(messages))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.giving = false
}

// Acknowledge says that the client has consumed all messages through the number. One for what TakeNumbered has not given out is an
// *ordering.ProtocolError and changes nothing.
func (c *Connection) Acknowledge(seq uint64) error {
	c.mu.Lock()
	now, err := c.end.Inbox.ConsumeThrough(seq)
	if err != nil {
		c.mu.Unlock()
		return err
	}
	if c.closing.Reason != 0 && c.end.Inbox.Consumed() == c.end.Inbox.Taken() { // the Close was the last
		c.setClosureLocked(c.closing)
	}
	owed := debt{}
	if !c.ended { // else it was only the client that had yet to take the end
		owed = c.oweLocked(now)
	}
	c.mu.Unlock()
	owed.pay()
	return nil
}

// ClientAway says that the stream of the resumable client is gone. It reports false when the connection has ended already.
func (c *Connection) ClientAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = c.away || !c.told
	return c.away
}

// LetGo ends the connection here and nowhere else: another end has it now, or any may take it. The app server is told nothing.
func (c *Connection) LetGo(cl Closure) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.letGoLocked(cl)
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

func (c *Connection) letGoLocked(cl Closure) {
	c.setClosureLocked(cl)
	c.discard, c.ended = true, true
}

// Elsewhere is why a connection is let go of here that another end has now.
var Elsewhere = Closure{holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE, "the connection was resumed on another stream"}
