package bench

import (
	"context"
	"encoding/binary"
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
	w := &rawWire{conn: c, id: uint64(len(c.wires)), handover: newHandover(c.inflight)}
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
		w.end(c.ended)
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
		w.end(io.EOF)
		return nil
	}
	payload := w.slot(length)
	if _, err := io.ReadFull(in.in, payload); err != nil {
		return err
	}
	return w.put(payload, c.over)
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
	*handover
	conn *rawConnection
	id   uint64
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

func (w *rawWire) closeSend() error { return w.send([][]byte{nil}) }
