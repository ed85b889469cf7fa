package client

import (
	"errors"
	"fmt"
	"io"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
)

// maxWindow bounds the window that a relay may set, in bytes.
const maxWindow = 1 << 30

func (c *Connection) newPath() ordering.Path { return ordering.Path(c.lastPath.Add(1)) }

// hello returns the first word on the link of that path.
func (c *Connection) hello(path ordering.Path) *holdfastv1.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return &holdfastv1.Hello{Application: c.config.Application, Resumable: true}
	}
	c.end.Join(path)
	f, _ := c.end.Next(path) // a link that is being joined is always given its Hello
	return &holdfastv1.Hello{Resumable: true, Resume: &holdfastv1.ResumeRequest{
		Token: c.token, ReceivedSeq: f.Received, ConsumedSeq: f.Consumed,
	}}
}

// adopt takes the first response on the link, has the link carry the connection, and lets go of the one before: its relay ends it
// when it hears of that from the app server.
func (c *Connection) adopt(l *link) error {
	c.mu.Lock()
	old := c.current
	err := c.welcomeLocked(l, &l.response)
	if err == nil {
		c.links.Go(l.run)
	}
	c.mu.Unlock()
	if err == nil && old != nil {
		time.AfterFunc(linger, func() { old.cancel(errMoved) })
	}
	return err
}

func (c *Connection) welcomeLocked(l *link, r *response) error {
	if l.ctx.Err() != nil {
		return errOver // the caller looks for the cause
	}
	w := r.welcome
	if err := c.checkLocked(w, r); err != nil {
		return fault{err}
	}
	if c.end == nil {
		c.id, c.application, c.window = w.GetConnectionId(), w.GetApplication(), int(w.GetWindowBytes())
		c.end = ordering.NewClient(l.path, c.window)
		c.log = c.log.With("connection", c.id)
	} else {
		f := ordering.Frame{Kind: ordering.Welcome, Received: w.GetReceivedSeq(), Consumed: w.GetConsumedSeq()}
		if _, err := c.end.Receive(l.path, f); err != nil {
			return breached(err)
		}
		c.stats.Moves++
	}
	l.ingress, l.relay, l.since = w.GetIngress(), w.GetRelayId(), time.Now()
	c.current, c.token, c.denied = l, w.GetResumeToken(), 0
	c.max.Store(w.GetMaxMessageBytes())
	c.resumeTime = w.GetResumeTime().AsDuration()
	c.owing = false
	signal(c.room)
	c.finishLocked()
	return nil
}

// checkLocked returns an error for a Welcome that cannot be.
func (c *Connection) checkLocked(w *holdfastv1.Welcome, r *response) error {
	switch {
	case w == nil:
		return errors.New("the relay's first response has no welcome")
	case len(r.messages) > 0 || r.consumed > 0:
		return errors.New("the relay's welcome has messages or a receipt beside it")
	case w.GetResumeToken() == "":
		return errors.New("the relay's welcome has no resume token; it serves no resumable clients")
	case w.GetWindowBytes() == 0 || w.GetWindowBytes() > maxWindow || w.GetMaxMessageBytes() == 0:
		return fmt.Errorf("the relay's welcome has a window of %d bytes and a message limit of %d", w.GetWindowBytes(), w.GetMaxMessageBytes())
	case c.end == nil && (w.GetRecovered() || w.GetReceivedSeq() > 0 || w.GetConsumedSeq() > 0):
		return errors.New("the relay's welcome resumes what was not asked for")
	case c.end != nil && (!w.GetRecovered() || w.GetConnectionId() != c.id):
		return fmt.Errorf("the relay answers a resume of connection %s with connection %s, recovered: %t", c.id, w.GetConnectionId(),
			w.GetRecovered())
	}
	return nil
}

// receive takes what came by the link. Its error ends the link.
func (c *Connection) receive(l *link, r *response) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l {
		return nil // the one that carries the connection brings it again
	}
	err := c.receiveLocked(l, r)
	if r.token != "" {
		c.token = r.token
	}
	if r.reconnect != nil {
		select {
		case l.asked <- r.reconnect:
		default: // one at a time
		}
	}
	if m, ok := c.end.Inbox.Closing(); ok {
		c.fateLocked(fateOf(m))
	}
	if c.closing {
		c.discardLocked()
	}
	if c.end.Inbox.Waiting() > 0 {
		signal(c.arrived)
	}
	if r.consumed > 0 {
		signal(c.room)
	}
	if c.closing {
		c.wakeLocked()
	}
	c.finishLocked()
	if err != nil {
		return breached(err)
	}
	return nil
}

func (c *Connection) receiveLocked(l *link, r *response) error {
	switch {
	case r.welcome != nil:
		return fault{errors.New("the relay sent a second welcome")}
	case len(r.messages) > 0 && r.first == 0:
		return fault{errors.New("the relay sent messages with no number")}
	}
	if r.consumed > 0 {
		if _, err := c.end.Receive(l.path, ordering.Frame{Kind: ordering.Receipt, Consumed: r.consumed}); err != nil {
			return err
		}
	}
	for i, m := range r.messages {
		if m.Kind == 0 || m.Kind == ordering.HalfClose {
			return fault{fmt.Errorf("message %d of the relay's has no content that is for a client", r.first+uint64(i))}
		}
		verdict, err := c.end.Receive(l.path, ordering.Frame{Kind: ordering.Data, Seq: r.first + uint64(i), Message: m})
		if err != nil {
			return err
		}
		if verdict == ordering.Duplicate {
			c.stats.Duplicates++
		}
	}
	return nil
}

// pull fills the link's request with what is to be sent. Late says that a receipt may not wait any more. It reports whether one is
// owed that still may.
func (c *Connection) pull(l *link, late bool) (owes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != l {
		return false
	}
	for !l.request.full() && (c.end.Ready(l.path) || (late || c.due) && c.end.Owes()) {
		f, ok := c.end.Next(l.path)
		if !ok {
			break
		}
		l.request.add(f)
		if f.Consumed > 0 {
			c.due, c.owing = false, false
		}
	}
	c.finishLocked()
	return c.end.Owes()
}

// left says that the link has ended with the error, or was never welcomed.
func (c *Connection) left(l *link) {
	c.mu.Lock()
	if c.end != nil {
		c.end.Leave(l.path)
	}
	mine := c.current == l
	if mine {
		c.current, c.lostAt = nil, time.Now()
		if errors.Is(l.err, io.EOF) && c.end.Inbox.Closed() {
			c.finish() // the relay did not wait for the receipt
		}
	}
	c.mu.Unlock()
	if mine {
		c.judge(l.err, false)
	}
}

// judge decides on the error of a stream, or of an attempt to open one. It returns why the connection is lost when it is. While a
// stream carries the connection, only what that one ends with can be final: who refuses an attempt may be wrong.
func (c *Connection) judge(err error, attempt bool) *CloseError {
	if errors.Is(err, errOver) {
		return nil
	}
	c.mu.Lock()
	lost := false
	switch what := reactionTo(err); {
	case attempt && c.current != nil:
	case what == final:
		lost = true
	case what == renew:
		if attempt {
			c.denied++
		}
		lost = c.config.Token == nil || c.denied > 1
	case what == once:
		lost = c.faultLocked()
	}
	c.mu.Unlock()
	if !lost {
		return nil
	}
	why := closeErrorOf(err)
	c.lose(why)
	return why
}

// faultLocked counts a fault of the relay, and reports whether it is one after another with no progress between.
func (c *Connection) faultLocked() bool {
	progress := uint64(0)
	if c.end != nil {
		progress = c.end.Inbox.Received() + c.end.Outbox.Acked()
	}
	if progress > c.progress {
		c.faults = 0
	}
	c.progress = progress
	c.faults++
	return c.faults > 1
}

// lose ends the connection at once.
func (c *Connection) lose(why *CloseError) {
	c.mu.Lock()
	if c.busy.Err() == nil && (c.end == nil || !c.end.Inbox.Closed()) { // else it was over
		c.loss = why
		c.fateLocked(why)
	}
	c.mu.Unlock()
	c.cancel(errOver)
}

// lossLocked returns why the connection ended, when that was neither by its application nor by Close.
func (c *Connection) lossLocked() *CloseError {
	if c.loss != nil {
		return c.loss
	}
	if why := new(CloseError); errors.As(c.fate, &why) && why.Reason != ReasonApplicationError {
		return why
	}
	return nil
}
