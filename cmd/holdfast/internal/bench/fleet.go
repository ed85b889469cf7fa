package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/stats"
)

const (
	// connectAtOnce is how many TCP connections are made at a time: more overrun the queue of a listener.
	connectAtOnce = 16
	// connectTimeout is for how long connecting may take.
	connectTimeout = time.Minute
	// maxUnderWay bounds the bytes that a closed loop has under way on a stream. One goroutine sends and receives
	// there: were it more than the least flow control window, 64 KiB, both sides could wait for the other to read.
	maxUnderWay = 56 << 10
)

// inflightFor returns how many messages of a size may be under way on a stream when so many are wanted.
func inflightFor(wanted, size int) int { return max(1, min(wanted, maxUnderWay/size)) }

// order says what load is wanted of which subject.
type order struct {
	target            *subject
	streams           int
	streamsConnection int // streams on each TCP connection
	size, inflight    int
	patience          time.Duration
}

// fleet is a number of streams to one subject.
type fleet struct {
	order       order
	connections []connection
	lanes       []*lane

	begin time.Time
	// ctx ends the streams; its cause is what went wrong first.
	ctx    context.Context
	cancel context.CancelCauseFunc
	// stopping is set, and stopped closed after it, when nothing new is to be sent.
	stopping atomic.Bool
	stopped  chan struct{}
	running  sync.WaitGroup

	// rtt is where round trips are counted at the moment; nil: nowhere.
	rtt atomic.Pointer[stats.Histogram]
}

// now is the time on the fleet's own clock.
func (f *fleet) now() time.Duration { return time.Since(f.begin) }

// connect opens the streams and exchanges one message on each.
func connect(ctx context.Context, o order) (*fleet, error) {
	if o.streamsConnection == 0 {
		o.streamsConnection = streamsPerConnection
	}
	f := &fleet{order: o, begin: time.Now(), stopped: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancelCause(ctx)
	late := time.AfterFunc(connectTimeout, func() {
		f.cancel(fmt.Errorf("%d streams were not connected within %s", o.streams, connectTimeout))
	})
	defer late.Stop()
	var opening sync.WaitGroup
	slots := make(chan struct{}, connectAtOnce)
	f.lanes = make([]*lane, o.streams)
	for first := 0; first < o.streams && f.ctx.Err() == nil; first += o.streamsConnection {
		conn, err := o.target.dial(o.target.address, o.inflight)
		if err != nil {
			f.cancel(err)
			break
		}
		f.connections = append(f.connections, conn)
		mine := f.lanes[first:min(first+o.streamsConnection, o.streams)]
		slots <- struct{}{}
		opening.Go(func() {
			f.note(f.open(conn, mine))
			<-slots
		})
	}
	opening.Wait()
	if err := context.Cause(f.ctx); err != nil {
		f.close()
		return nil, fmt.Errorf("%s: connect %d streams: %w", o.target.name, o.streams, err)
	}
	return f, nil
}

// open opens the streams of one connection. All are asked before any is waited for.
func (f *fleet) open(conn connection, lanes []*lane) error {
	for i := range lanes {
		w, err := conn.open(f.ctx)
		if err != nil {
			return err
		}
		lanes[i] = &lane{
			fleet: f, wire: w, tape: newTape(f.order.size), wake: make(chan struct{}, 1), caughtUp: make(chan struct{}, 1),
		}
	}
	for _, l := range lanes {
		if err := l.sendNow(1); err != nil {
			return err
		}
	}
	for _, l := range lanes {
		if _, err := l.receive(); err != nil {
			return err
		}
	}
	return nil
}

// note ends the fleet when there is an error; the first one counts.
func (f *fleet) note(err error) {
	if err != nil {
		f.cancel(err)
	}
}

// saturate begins a closed loop on all streams.
func (f *fleet) saturate() {
	for _, l := range f.lanes {
		f.running.Go(func() { f.note(l.saturate(f.order.inflight)) })
	}
}

// finish stops the load, waits for everything that is under way and compares the counts. It closes the fleet.
func (f *fleet) finish() error {
	defer f.close()
	f.stopping.Store(true)
	close(f.stopped)
	late := time.AfterFunc(f.order.patience, func() {
		f.cancel(fmt.Errorf("%w: not all that was sent had come back within %s of the last", errMissing, f.order.patience))
	})
	f.running.Wait()
	late.Stop()
	if err := context.Cause(f.ctx); err != nil {
		return f.explain(err)
	}
	for _, l := range f.lanes {
		if l.tape.checked != l.tape.written {
			return fmt.Errorf("%w: a stream sent %d and got %d", errMissing, l.tape.written, l.tape.checked)
		}
	}
	return nil
}

// explain adds the counts to an error about messages that did not come back. All streams have ended.
func (f *fleet) explain(err error) error {
	if !errors.Is(err, errMissing) {
		return err
	}
	sent, came := uint64(0), uint64(0)
	for _, l := range f.lanes {
		sent, came = sent+l.tape.written, came+l.tape.checked
	}
	return fmt.Errorf("%w: %d sent, %d came back", err, sent, came)
}

// close ends everything at once.
func (f *fleet) close() {
	f.cancel(errors.New("the load was ended"))
	for _, c := range f.connections {
		c.close()
	}
	f.running.Wait()
}

// received returns how many echoes have come, and in how many batches.
func (f *fleet) received() (echoes, batches uint64) {
	for _, l := range f.lanes {
		echoes, batches = echoes+l.received.Load(), batches+l.batches.Load()
	}
	return echoes, batches
}
