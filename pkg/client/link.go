package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// receiptDelay is for how long a receipt may wait for a message to ride on.
const receiptDelay = 20 * time.Millisecond

var (
	errMoved     = errors.New("another stream carries the connection")
	errNoWelcome = errors.New("the relay did not answer the hello")
)

// link is one stream to a relay.
type link struct {
	// Set once, by join.
	conn      *Connection
	path      ordering.Path
	route     *route
	transport *transport
	stream    grpc.ClientStream
	ctx       context.Context
	cancel    context.CancelCauseFunc
	ingress   string
	relay     string
	since     time.Time

	// wake has the writer look for something to send; capacity 1. asked gets the relay's Reconnect; capacity 1.
	wake  chan struct{}
	asked chan *holdfastv1.Reconnect
	// gone is closed when both loops are done. Err says then why.
	gone chan struct{}
	err  error

	request  request  // owned by the writer
	response response // owned by the reader
}

// join opens a stream to the route and has it carry the connection from its Welcome on. It is served in a goroutine of the
// connection's until it ends.
func (c *Connection) join(ctx context.Context, to *route) (*link, error) {
	l := &link{
		conn: c, path: c.newPath(), route: to, transport: c.config.Dialer.acquire(to.address),
		wake: make(chan struct{}, 1), asked: make(chan *holdfastv1.Reconnect, 1), gone: make(chan struct{}),
	}
	l.ctx, l.cancel = context.WithCancelCause(c.life)
	stop := context.AfterFunc(ctx, func() { l.cancel(context.Cause(ctx)) })
	late := time.AfterFunc(c.config.AttemptTimeout, func() { l.cancel(errNoWelcome) })
	err := l.open()
	inTime, goOn := late.Stop(), stop()
	if err == nil && inTime && goOn {
		err = c.adopt(l)
	} else if err == nil {
		<-l.ctx.Done() // which says why
		err = context.Cause(l.ctx)
	}
	if err == nil {
		return l, nil
	}
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause
	}
	l.cancel(err)
	c.left(l)
	if closing := l.transport.release(broke(err)); closing != nil {
		c.log.Warn("after a failed attempt", "error", closing)
	}
	return nil, err
}

// open dials, says hello and takes the first response.
func (l *link) open() error {
	ctx := l.ctx
	if token := l.conn.config.Token; token != nil {
		shown, err := token(ctx)
		if err != nil {
			return fmt.Errorf("asking for a token: %w", err)
		}
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+shown)
	}
	cc, err := l.transport.connect()
	if err != nil {
		return fmt.Errorf("address %q: %w", l.route.address, err)
	}
	if l.stream, err = holdfastv1.NewClientConnectionServiceClient(cc).Connect(ctx); err != nil {
		return err
	}
	l.request.hello = l.conn.hello(l.path)
	if err := l.stream.SendMsg(&l.request); err != nil && !errors.Is(err, io.EOF) {
		return err
	} // io.EOF says only that the stream is over; RecvMsg says why
	l.request.reset()
	if err := l.stream.RecvMsg(&l.response); err != nil {
		return err
	}
	l.transport.works()
	return nil
}

// broke reports whether a stream that ended with the error says that its path is not good.
func broke(err error) bool {
	breach := new(fault)
	return !errors.Is(err, errMoved) && !errors.Is(err, errOver) && !errors.As(err, breach) && wire.ErrorReasonOf(err) == ""
}

// run serves the stream until it ends: the reader here, the writer beside it.
func (l *link) run() {
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := l.write(); !errors.Is(err, io.EOF) { // io.EOF: the reader knows why
			l.cancel(err)
		}
	})
	err := l.read()
	if l.ctx.Err() != nil {
		err = context.Cause(l.ctx)
	}
	l.cancel(err)
	writer.Wait()
	if err := l.transport.release(broke(err)); err != nil {
		l.conn.log.Warn("after a stream", "error", err)
	}
	l.err = err
	l.conn.left(l)
	close(l.gone)
}

// read takes what the relay sends until the stream ends.
func (l *link) read() error {
	for {
		if err := l.stream.RecvMsg(&l.response); err != nil {
			return err
		}
		if err := l.conn.receive(l, &l.response); err != nil {
			return err
		}
		l.response.reset()
	}
}

// write sends what there is to send until the stream ends.
func (l *link) write() error {
	timer := time.NewTimer(receiptDelay)
	defer timer.Stop()
	waiting, late := true, false // for the timer; the receipt is late
	for {
		owes := l.conn.pull(l, late)
		late = false
		if !l.request.empty() {
			if err := l.stream.SendMsg(&l.request); err != nil {
				return err
			}
			l.request.reset()
			continue
		}
		if owes && !waiting {
			waiting = true
			timer.Reset(receiptDelay)
		}
		select {
		case <-l.wake:
		case <-timer.C:
			waiting, late = false, true
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// signal wakes whoever waits on the channel.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
