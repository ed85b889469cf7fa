package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// comeback is a fleet of resumable clients whose relay is killed, and which come back at another. Each has had one echo; it sends one
// message about when the relay is killed, and one more once it has resumed.
type comeback struct {
	fleet *fleet
	to    *subject
	// sent counts the clients that have sent their second message; when half have, due is closed.
	sent atomic.Int64
	due  chan struct{}
	// shares is what the clients of each TCP connection did; owned by their goroutine until it has ended.
	shares []share
}

// share is what the clients of one TCP connection did. Times are on the fleet's clock.
type share struct {
	// asked is when the first asked, welcomed when the last was welcomed, and echoed when the last had its echoes.
	asked, welcomed, echoed time.Duration
	resent, replayed        uint64
}

func newComeback(f *fleet, to *subject) *comeback {
	return &comeback{fleet: f, to: to, due: make(chan struct{}), shares: make([]share, len(f.connections))}
}

// cpu returns what those have used that have to do with the resumes.
func (c *comeback) cpu() (map[string]time.Duration, error) {
	own, err := ownCPU()
	used := map[string]time.Duration{client: own}
	for _, p := range c.to.parts {
		u, failed := systemProc.usage(p.pid)
		used[p.name], err = u.cpu, errors.Join(err, failed)
	}
	return used, err
}

// run kills the relay when half of the clients have sent, so that messages and echoes are lost at all places, and waits for all echoes.
func (c *comeback) run(kill func() error) (ResumeRound, error) {
	f := c.fleet
	for i := range f.connections {
		f.running.Go(func() { f.note(c.client(i)) })
	}
	select {
	case <-c.due:
	case <-f.ctx.Done():
	}
	killed := f.now()
	f.note(kill())
	f.running.Wait()
	if f.ctx.Err() != nil {
		return ResumeRound{}, context.Cause(f.ctx)
	}
	all, round := c.shares[0], ResumeRound{}
	for _, s := range c.shares {
		all.asked, all.welcomed, all.echoed = min(all.asked, s.asked), max(all.welcomed, s.welcomed), max(all.echoed, s.echoed)
		round.Resent, round.Replayed = round.Resent+float64(s.resent), round.Replayed+float64(s.replayed)
	}
	round.Welcomed, round.Echoed = (all.welcomed - killed).Seconds(), (all.echoed - killed).Seconds()
	round.Asked = (all.welcomed - all.asked).Seconds()
	return round, nil
}

// client is the clients that share a TCP connection: they send, lose it, and come back by another.
func (c *comeback) client(i int) error {
	f := c.fleet
	first := i * f.order.streamsConnection
	lanes := f.lanes[first:min(first+f.order.streamsConnection, len(f.lanes))]
	for _, l := range lanes {
		now := f.now()
		err := l.send(1, func(int) time.Duration { return now })
		if err != nil && !errors.Is(err, io.EOF) { // io.EOF: the relay is gone by now
			return err
		}
		if c.sent.Add(1) == int64(len(f.lanes)+1)/2 {
			close(c.due)
		}
	}
	for _, l := range lanes {
		if err := l.outlive(); err != nil {
			return err
		}
	}
	f.connections[i].close()
	conn, err := dialOwn(c.to.address, true)
	if err != nil {
		return err
	}
	f.connections[i] = conn
	return c.resume(conn, lanes, &c.shares[i])
}

// outlive takes what comes until the stream breaks.
func (l *lane) outlive() error {
	for {
		echoes, err := l.wire.receive()
		if status.Code(err) == codes.Unavailable {
			return nil
		}
		if err == nil {
			err = l.take(echoes)
		}
		if err != nil {
			return fmt.Errorf("before the relay was killed: %w", whole(err))
		}
	}
}

// resume takes all connections up by another TCP connection, sends again what was lost and a message more, and waits for the echoes.
// All are asked before any is waited for.
func (c *comeback) resume(conn *ownConnection, lanes []*lane, s *share) error {
	f := c.fleet
	s.asked = f.now()
	former := make([]*ownWire, len(lanes))
	for i, l := range lanes {
		former[i] = l.wire.(*ownWire)
		w, err := former[i].again(f.ctx, conn)
		if err != nil {
			return err
		}
		l.wire = w
	}
	for i, l := range lanes {
		if err := l.goOn(former[i], s); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
	}
	for _, l := range lanes {
		for l.tape.checked < l.tape.written {
			if _, err := l.receive(); err != nil {
				return err
			}
		}
		s.echoed = f.now()
	}
	return nil
}

// again resumes on a stream of another connection.
func (w *ownWire) again(ctx context.Context, conn *ownConnection) (*ownWire, error) {
	came := w.came.Load()
	next, err := conn.hello(ctx, &holdfastv1.Hello{
		Resume: &holdfastv1.ResumeRequest{Token: w.welcome.GetResumeToken(), ReceivedSeq: came, ConsumedSeq: came},
	})
	if err != nil {
		return nil, err
	}
	next.came.Store(came)
	return next, nil
}

// goOn waits for the Welcome, and sends what the app server has not got and one message more. Former is the stream before, on which the
// first message had its echo, and whose others are in the buffers of the tape.
func (l *lane) goOn(former *ownWire, s *share) error {
	w := l.wire.(*ownWire)
	if err := w.greet(); err != nil {
		return whole(err)
	}
	s.welcomed = l.fleet.now()
	received, came := w.welcome.GetReceivedSeq(), former.came.Load()
	if !w.welcome.GetRecovered() || received < came || received > former.sent {
		return fmt.Errorf("%w: %d were sent and %d came back, and the Welcome says recovered %v, received %d",
			errLost, former.sent, came, w.welcome.GetRecovered(), received)
	}
	w.sent = received
	s.resent += former.sent - received
	s.replayed += former.sent - came
	messages := slices.Clone(l.tape.buffers[received-1 : former.sent-1])
	return w.send(append(messages, l.tape.write(len(l.tape.buffers), l.fleet.now())))
}

// leave ends the connections in good order: nothing more may come.
func (c *comeback) leave() error {
	f := c.fleet
	for _, l := range f.lanes {
		f.note(l.wire.closeSend())
	}
	for _, l := range f.lanes {
		f.note(l.end())
	}
	return f.finish()
}
