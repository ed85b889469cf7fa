package logical

import (
	"errors"
	"fmt"
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
	before, from, moving := c.end.State(), c.movedFromLocked(), c.movingLocked()
	verdict, err := c.receiveLocked(s.Path, f)
	if err != nil {
		fx := c.breachLocked(s, err)
		c.mu.Unlock()
		c.apply(fx)
		return err
	}
	if c.discard {
		c.consumeAllLocked()
	}
	fx := c.effectsLocked()
	fx.toClient, fx.room = c.end.Inbox.Waiting() > 0, f.Consumed > 0
	if fx.ended != nil {
		fx.ended.From, fx.ended.Moving = from, moving
	}
	if !c.ended && before != ordering.Settled && c.end.State() == ordering.Settled {
		c.settleLocked(&fx, before, from, raw.GetReceipt().GetPausedMicros())
	}
	if verdict != ordering.Taken {
		c.dropLocked(&fx, verdict, f.Kind, raw, s)
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

// breachLocked answers a breach of the protocol. Messages that are missing are asked for again, once: the peer replays
// what follows the last one that came. Anything else ends the connection.
func (c *Connection) breachLocked(s *serverconn.Conn, err error) effects {
	var breach *ordering.ProtocolError
	if errors.As(err, &breach) && breach.Rule == ordering.RuleGap && !c.gapped {
		c.gapped = true
		return c.parkLocked(Gap, nil)
	}
	return c.refuseLocked(s, Closure{holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR, err.Error()})
}

// dropLocked has a dropped frame counted. The sender of a message is told, once for each reason; a late handshake frame is
// answered with nothing.
func (c *Connection) dropLocked(fx *effects, v ordering.Verdict, kind ordering.FrameKind, raw *holdfastv1.Frame, s *serverconn.Conn) {
	fx.dropped = v
	if bit := uint8(1) << v; kind == ordering.Data && c.rejected&bit == 0 {
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

// closeNow returns the frame that closes the connection at once.
func (c *Connection) closeNow(cl Closure) *holdfastv1.Frame {
	return &holdfastv1.Frame{
		ConnectionId: c.ID, Epoch: uint64(c.end.Epoch()),
		Body: &holdfastv1.Frame_Close{Close: &holdfastv1.CloseConnectionMessage{Reason: cl.Reason, Detail: cl.Detail}},
	}
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
