package bench

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// lane is one stream of a load.
type lane struct {
	fleet *fleet
	wire  wire
	tape  *tape

	// Owned by the sender.
	batch [][]byte
	// Written by the receiver, for the windows: how many echoes came, and in how many batches.
	received, batches atomic.Uint64

	// Set before an open loop begins: when the first message is due and how long lies between two.
	phase, interval time.Duration
	// due is how many messages are due by now, and wake tells the sender that it grew. The pacer writes them.
	due  atomic.Uint64
	wake chan struct{}
	// caughtUp tells the sender that an echo came after it stopped.
	caughtUp chan struct{}
}

// send sends n messages, the ith stamped with stamp(i).
func (l *lane) send(n int, stamp func(int) time.Duration) error {
	l.batch = l.batch[:0]
	for i := range n {
		l.batch = append(l.batch, l.tape.write(i, stamp(i)))
	}
	return l.wire.send(l.batch)
}

// receive takes the echoes that came next, checks them, and returns how many they were.
func (l *lane) receive() (int, error) {
	echoes, err := l.wire.receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the other side ended the stream before its time")
		}
		return 0, err
	}
	return len(echoes), l.take(echoes)
}

// take checks echoes and counts them.
func (l *lane) take(echoes [][]byte) error {
	now, rtt := l.fleet.now(), l.fleet.rtt.Load()
	for _, echo := range echoes {
		stamp, err := l.tape.check(echo)
		if err != nil {
			return err
		}
		if rtt != nil {
			rtt.Add(now - stamp)
		}
	}
	l.received.Store(l.tape.checked)
	l.batches.Add(1)
	return nil
}

// sendNow sends n messages stamped with this moment. When the stream is over it returns why.
func (l *lane) sendNow(n int) error {
	now := l.fleet.now()
	err := l.send(n, func(int) time.Duration { return now })
	for errors.Is(err, io.EOF) { // What came before the end is no answer.
		if _, why := l.wire.receive(); why != nil {
			err = fmt.Errorf("the stream was ended: %w", whole(why))
		}
	}
	return err
}

// whole keeps the end of a stream from passing for anything else.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the other side ended it")
	}
	return err
}

// saturate keeps a number of messages under way until the fleet stops, and ends the stream then.
func (l *lane) saturate(inflight int) error {
	if err := l.sendNow(inflight); err != nil {
		return err
	}
	for {
		n, err := l.receive()
		if err != nil {
			return err
		}
		if !l.fleet.stopping.Load() {
			if err := l.sendNow(n); err != nil {
				return err
			}
		} else if l.tape.checked == l.tape.written {
			break
		}
	}
	if err := l.wire.closeSend(); err != nil {
		return err
	}
	return l.end()
}

// end waits for the end of the stream after closeSend: nothing may come before it.
func (l *lane) end() error {
	echoes, err := l.wire.receive()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("at the end of the stream: %w", err)
	}
	return fmt.Errorf("%w: %d after all %d had come back", errExtra, len(echoes), l.tape.checked)
}

// paceSend is the sender of an open loop: it sends what is due until the fleet stops, waits for what is under way,
// and says that nothing more will come.
func (l *lane) paceSend() error {
	first := l.tape.written
	for l.waitDue() {
		for !l.fleet.stopping.Load() {
			done := l.tape.written - first
			n := min(l.due.Load()-done, maxBurst)
			if n == 0 {
				break
			}
			err := l.send(int(n), func(i int) time.Duration { return l.phase + time.Duration(done+uint64(i))*l.interval })
			if errors.Is(err, io.EOF) {
				return nil // The receiver knows why.
			}
			if err != nil {
				return err
			}
		}
	}
	for l.received.Load() < l.tape.written {
		select {
		case <-l.caughtUp:
		case <-l.fleet.ctx.Done():
			return nil
		}
	}
	return l.wire.closeSend()
}

// maxBurst is how many messages an open loop that fell behind sends in one go.
const maxBurst = 32

// waitDue waits until something is due; false when nothing more is to be sent.
func (l *lane) waitDue() bool {
	select {
	case <-l.wake:
		return true
	case <-l.fleet.stopped:
	case <-l.fleet.ctx.Done():
	}
	return false
}

// paceReceive is the receiver of an open loop.
func (l *lane) paceReceive() error {
	for {
		echoes, err := l.wire.receive()
		if errors.Is(err, io.EOF) && l.fleet.stopping.Load() {
			return nil // The fleet compares the counts when all have ended.
		}
		if err != nil {
			return whole(err)
		}
		if err := l.take(echoes); err != nil {
			return err
		}
		if l.fleet.stopping.Load() {
			select {
			case l.caughtUp <- struct{}{}:
			default:
			}
		}
	}
}
