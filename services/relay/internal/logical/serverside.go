package logical

import (
	"errors"
	"fmt"
	"unicode/utf8"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/payload"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Receive takes a frame that came by the server connection. Its error says which rule of the protocol the app
// server broke; the connection is closed for it already. The payload of a message is copied.
func (c *Connection) Receive(s *serverconn.Conn, in *wire.Frame) error {
	f := in.Step
	if err := check(f); err != nil {
		return c.breach(s, err)
	}
	if in.Rare == nil {
		f.Message.Payload = payload.Clone(f.Message.Payload)
	}
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil
	}
	before, from, moving := c.end.State(), c.movedFromLocked(), c.movingLocked()
	verdict, err := c.end.Receive(s.Path, f)
	if err != nil {
		fx := c.breachLocked(s, err)
		c.mu.Unlock()
		c.apply(fx)
		return err
	}
	if c.discard {
		c.consumeAllLocked()
	}
	if c.end.State() == ordering.Dismissed {
		c.letGoLocked(Elsewhere) // or it was never given to this end: Refusal says that
	}
	fx := c.effectsLocked()
	fx.toClient, fx.room = c.end.Inbox.Waiting() > 0 || (c.Resumable && c.end.Outbox.Acked() > c.toldClient), f.Consumed > 0
	if fx.ended != nil {
		fx.ended.From, fx.ended.Moving = from, moving
	}
	if before == ordering.Migrating && c.end.State() == ordering.Confirming {
		c.passage.move.WithAck()
	}
	if !c.ended && before != ordering.Settled && c.end.State() == ordering.Settled {
		c.settleLocked(&fx, before, from, in.PausedMicros)
	}
	if verdict != ordering.Taken {
		c.dropLocked(&fx, verdict, in, s)
	}
	c.mu.Unlock()
	c.apply(fx)
	return nil
}

// check returns an error for a message that an app server must not send.
func check(f ordering.Frame) error {
	if m := f.Message; m.Kind == ordering.Text && !utf8.Valid(m.Payload) {
		return fmt.Errorf("message %d is marked as text but is not UTF-8", f.Seq)
	} else if m.Kind == ordering.HalfClose {
		return fmt.Errorf("message %d: a half-close is not for an app server to send", f.Seq)
	}
	return nil
}

func (c *Connection) breach(s *serverconn.Conn, err error) error {
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil
	}
	fx := c.breachLocked(s, err)
	c.mu.Unlock()
	c.apply(fx)
	return err
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
func (c *Connection) dropLocked(fx *effects, v ordering.Verdict, in *wire.Frame, s *serverconn.Conn) {
	fx.dropped = v
	if bit := uint8(1) << v; in.Step.Kind == ordering.Data && c.rejected&bit == 0 {
		c.rejected |= bit
		fx.firstDrop = true
		fx.reply, fx.replyTo = in.Reject(v, c.end.Epoch()), s
	}
}

// PeerDoesNotKnow takes the word of the app server that it has no such connection.
func (c *Connection) PeerDoesNotKnow(m *holdfastv1.CloseConnectionMessage) {
	cl := newClosure(m.GetReason(), "the app server says: "+m.GetDetail())
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return
	}
	// A client that has come anew may have waited for the end only, and had its part in it.
	if cl.Reason == holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION && c.end.Opened() {
		cl.Reason = holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST
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
	more := !c.ended && lane.Pull(batch, quantum, c.ID, c.end, c.extraLocked)
	fx := c.effectsLocked()
	fx.lanes = [2]laneWake{} // the result says what stands ready
	c.mu.Unlock()
	c.apply(fx)
	return more
}

// extraLocked follows a frame that is sent. An Open and an Adopt say who the client is.
func (c *Connection) extraLocked(f ordering.Frame) (x wire.Extra) {
	if f.Consumed > 0 {
		c.owing = false
	}
	if f.Kind == ordering.Open || f.Kind == ordering.Adopt {
		x.ClientIngress, x.ClientAddress, x.ClientSubject = c.ClientIngress, c.ClientAddress, c.ClientSubject
	}
	if c.passage != nil {
		c.passage.sent(f.Kind, &x)
	}
	return x
}
