package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// rawConnection is the client's end of a raw TCP connection. A reader hands the payloads to their streams, a
// writer sends what all streams have written meanwhile.
type rawConnection struct {
	conn     net.Conn
	inflight int
	running  sync.WaitGroup
	// wake tells the writer that something is pending; over is closed with the connection.
	wake chan struct{}
	over chan struct{}

	mu      sync.Mutex
	pending []byte     // under mu: frames to be sent
	wires   []*rawWire // under mu, by stream id
	ended   error      // under mu: why the reader ended
}

// dialRaw makes a connection for streams that speak raw frames.
func dialRaw(address string, inflight int) (connection, error) {
	conn, err := net.DialTimeout("tcp", address, readyTimeout)
	if err != nil {
		return nil, err
	}
	c := &rawConnection{conn: conn, inflight: inflight, wake: make(chan struct{}, 1), over: make(chan struct{})}
	c.running.Go(c.write)
	c.running.Go(c.read)
	return c, nil
}

func (c *rawConnection) close() {
	close(c.over)
	_ = c.conn.Close()
	c.running.Wait()
}

// open opens a stream. It has no end of its own: it ends with the connection, which ends with ctx.
func (c *rawConnection) open(ctx context.Context) (wire, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return nil, c.ended
	}
	if len(c.wires) == 0 {
		context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	}
	w := &rawWire{conn: c, id: uint64(len(c.wires)), payloads: make(chan []byte, c.inflight+1), last: make([][]byte, 0, c.inflight+1)}
	// Payloads stand in the channel, in what was received last, and under the reader's hand.
	w.ring = make([][]byte, 2*cap(w.payloads)+1)
	c.wires = append(c.wires, w)
	return w, nil
}

func (c *rawConnection) wire(id uint64) *rawWire {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id < uint64(len(c.wires)) {
		return c.wires[id]
	}
	return nil
}

// read hands the payloads to their streams until the connection ends.
func (c *rawConnection) read() {
	in, err := newRawReader(c.conn), error(nil)
	for err == nil {
		err = c.readOne(in)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = fmt.Errorf("connection: %w", whole(err))
	for _, w := range c.wires {
		if !w.ended {
			w.err = c.ended
			close(w.payloads)
		}
	}
}

func (c *rawConnection) readOne(in *rawReader) error {
	id, length, err := in.head()
	if err != nil {
		return err
	}
	w := c.wire(id)
	if w == nil || w.ended {
		return fmt.Errorf("%w: a frame for stream %d, which is not open", errExtra, id)
	}
	if length == 0 {
		w.err, w.ended = io.EOF, true
		close(w.payloads)
		return nil
	}
	payload := w.slot(length)
	if _, err := io.ReadFull(in.in, payload); err != nil {
		return err
	}
	select {
	case w.payloads <- payload:
		return nil
	case <-c.over:
		return errors.New("the connection was closed")
	}
}

// write sends what is pending until the connection ends. While it sends, the streams fill the next buffer.
func (c *rawConnection) write() {
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.over:
			return
		}
		c.mu.Lock()
		full := c.pending
		c.pending = spare[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(full); err != nil {
			return // The reader learns it too.
		}
		spare = full
	}
}

// rawWire is one stream of a raw connection.
type rawWire struct {
	conn *rawConnection
	id   uint64

	// Owned by the reader of the connection; err is set before payloads is closed.
	ring  [][]byte
	next  int
	ended bool
	err   error

	payloads chan []byte
	// last is owned by the receiver.
	last [][]byte
}

// slot returns the buffer for the next payload.
func (w *rawWire) slot(length int) []byte {
	i := w.next % len(w.ring)
	w.next++
	if cap(w.ring[i]) < length {
		w.ring[i] = make([]byte, length)
	}
	return w.ring[i][:length]
}

func (w *rawWire) send(messages [][]byte) error {
	c := w.conn
	c.mu.Lock()
	for _, m := range messages {
		c.pending = binary.BigEndian.AppendUint32(c.pending, uint32(len(m)))
		c.pending = binary.BigEndian.AppendUint64(c.pending, w.id)
		c.pending = append(c.pending, m...)
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // The writer has not seen the last one yet.
	}
	return nil
}

// receive returns all that waits, but not more than fits beside the channel in the ring.
func (w *rawWire) receive() ([][]byte, error) {
	payload, ok := <-w.payloads
	if !ok {
		return nil, w.err
	}
	w.last = append(w.last[:0], payload)
	for len(w.last) < cap(w.last) {
		select {
		case payload, ok := <-w.payloads:
			if !ok {
				return w.last, nil // The next receive says why.
			}
			w.last = append(w.last, payload)
		default:
			return w.last, nil
		}
	}
	return w.last, nil
}

func (w *rawWire) closeSend() error { return w.send([][]byte{nil}) }
