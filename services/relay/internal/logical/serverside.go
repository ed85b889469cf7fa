package logical

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Receive takes a frame that came by the server connection. Its error says which rule of the protocol the app
// server broke; the connection is closed for it already.
func (c *Connection) Receive(s *serverconn.Conn, raw *holdfastv1.Frame, f ordering.Frame) error {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil
	}
	before, from := c.end.State(), c.connLocked(c.end.Previous())
	verdict, err := c.receiveLocked(s.Path, f)
	if err != nil {
		fx := c.refuseLocked(s, Closure{holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, err.Error()})
		c.mu.Unlock()
		c.apply(fx)
		return err
	}
	if c.discard {
		c.consumeAllLocked()
	}
	fx := c.effectsLocked()
	fx.toClient, fx.room = c.end.Inbox.Waiting() > 0, f.Consumed > 0
	if fx.ended != nil && from != nil {
		fx.from = from
	}
	if !c.ended && before != ordering.Settled && c.end.State() == ordering.Settled {
		c.settleLocked(&fx, from, raw.GetReceipt().GetPausedMicros())
	}
	if verdict != ordering.Taken && f.Kind == ordering.Data { // a late handshake frame is answered with nothing
		c.dropLocked(&fx, verdict, raw, s)
	}
	c.mu.Unlock()
	c.apply(fx)
	return nil
}

func (c *Connection) receiveLocked(path ordering.Path, f ordering.Frame) (ordering.Verdict, error) {
	if m := f.Message; m.Kind == ordering.Text && !utf8.Valid(m.Payload) {
		return 0, fmt.Errorf("message %d is marked as text but is not UTF-8", f.Seq)
	} else if m.Kind == ordering.HalfClose {
		return 0, fmt.Errorf("message %d: a half-close is not for an app server to send", f.Seq)
	}
	return c.end.Receive(path, f)
}

// Refuse closes the connection on both sides, for what came by the server connection.
func (c *Connection) Refuse(s *serverconn.Conn, reason holdfastv1.CloseReason, detail string) {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	fx := c.refuseLocked(s, Closure{reason, detail})
	c.mu.Unlock()
	c.apply(fx)
}

func (c *Connection) refuseLocked(s *serverconn.Conn, cl Closure) effects {
	c.abandonLocked(cl)
	fx := c.effectsLocked()
	fx.reply, fx.replyTo = c.closeNow(cl), s
	return fx
}

// settleLocked lets go of the server connections that are not needed any more.
func (c *Connection) settleLocked(fx *effects, from *serverconn.Conn, pausedMicros uint64) {
	fx.settled, fx.from, fx.now = true, from, c.currentLocked()
	fx.paused = time.Duration(pausedMicros) * time.Microsecond
	c.uses = slices.DeleteFunc(c.uses, func(u use) bool {
		if c.end.Uses(u.conn.Path) {
			return false
		}
		fx.released = append(fx.released, u.conn)
		return true
	})
}

// dropLocked has the sender of a dropped frame told, once for each reason.
func (c *Connection) dropLocked(fx *effects, v ordering.Verdict, raw *holdfastv1.Frame, s *serverconn.Conn) {
	fx.dropped = v
	if bit := uint8(1) << v; c.rejected&bit == 0 {
		c.rejected |= bit
		fx.firstDrop = true
		fx.reply, fx.replyTo = wire.Reject(raw, v, c.end.Epoch()), s
	}
}

// PeerDoesNotKnow takes the word of the app server that it has no such connection.
func (c *Connection) PeerDoesNotKnow(m *holdfastv1.CloseConnectionMessage) {
	cl := newClosure(m.GetReason(), "the app server says: "+m.GetDetail())
	if cl.Reason == holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION {
		cl.Reason = holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST
	}
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	c.abandonLocked(cl)
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
}

// Lost says that the server connection is gone. A connection that uses it ends with SERVER_LOST; in a handoff the app
// server, which may not use it yet or any more, is told by the other one.
func (c *Connection) Lost(s *serverconn.Conn, detail string) {
	c.mu.Lock()
	if c.ended || c.connLocked(s.Path) == nil {
		c.mu.Unlock()
		return
	}
	cl := Closure{holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST, detail}
	var other *serverconn.Conn
	for _, u := range c.uses {
		if u.conn != s {
			other = u.conn
		}
	}
	c.abandonLocked(cl)
	fx := c.effectsLocked()
	if other != nil {
		fx.reply, fx.replyTo = c.closeNow(cl), other
	}
	c.mu.Unlock()
	c.apply(fx)
}

// closeNow returns the frame that closes the connection at once.
func (c *Connection) closeNow(cl Closure) *holdfastv1.Frame {
	return &holdfastv1.Frame{
		ConnectionId: c.ID, Epoch: uint64(c.end.Epoch()),
		Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{Reason: cl.Reason, Detail: cl.Detail}},
	}
}

// Migrate begins a graceful move to the target (step 3). It returns ordering.ErrNotMovable when the state does
// not allow one. How it ends is told to the observer: with Settled or with Ended.
func (c *Connection) Migrate(target *serverconn.Conn) error {
	c.mu.Lock()
	previous := c.currentLocked()
	if c.ended || !target.Acquire() {
		c.mu.Unlock()
		return ordering.ErrNotMovable
	}
	if err := c.end.Migrate(target.Path); err != nil {
		c.mu.Unlock()
		c.observer.Released(target, target.Release())
		return err
	}
	c.addUseLocked(target)
	previous.AddLoad(-1)
	target.AddLoad(1)
	fx := c.effectsLocked()
	c.mu.Unlock()
	c.apply(fx)
	if target.Ended() { // it went between the choice and now, and its end may not have seen us
		c.Lost(target, "the target of a handoff went away")
	}
	return nil
}

// Pull implements wire.Source.
func (c *Connection) Pull(lane *wire.Lane, batch *wire.Batch, quantum int) bool {
	c.mu.Lock()
	more := !c.ended && lane.Pull(batch, quantum, c.ID, c.end, c.completeLocked)
	fx := c.effectsLocked()
	fx.lanes = [2]laneWake{} // the result says what stands ready
	c.mu.Unlock()
	c.apply(fx)
	return more
}

// completeLocked follows a frame that is sent. An Open says who the client is.
func (c *Connection) completeLocked(f ordering.Frame, out *holdfastv1.Frame) {
	if f.Consumed > 0 {
		c.owing = false
	}
	if open := out.GetOpen(); open != nil {
		open.ClientIngress, open.ClientAddress = c.ClientIngress, c.ClientAddress
	}
}
