package clientleg

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/holdfast/holdfast/pkg/ordering"
)

// What a frame of WebSocket says in its first two bytes.
const (
	frameFinal  = 0x80
	frameKind   = 0x0f
	frameText   = 1
	frameBinary = 2
	frameClose  = 8
	framePing   = 9

	frameLength16, frameLength64 = 126, 127
	frameHead                    = 10 // the longest head of a frame that has no mask, in bytes
)

const (
	// readBuffer is what each socket keeps to read into, in bytes; headBuffer and controlBuffer are what package websocket needs beside that
	// for the head of a frame, and to write a frame of control, which has at most 127.
	readBuffer, headBuffer, controlBuffer = 960, 16, 128
	// writeBuffer is what is written at once, in bytes. Sockets share them: one that writes nothing has none.
	writeBuffer = 8 << 10
)

var writeBuffers = sync.Pool{New: func() any { return new([writeBuffer]byte) }}

// socketConn is the connection under a socket. Package websocket reads by it, and writes frames of control, each with one Write; the
// messages go past it, as many in one write as wait: it would make a write of each.
type socketConn struct {
	net.Conn
	// reading and writing hold a value while somebody reads or writes.
	reading, writing chan struct{}

	// Owned by who reads: what was read and not given out yet.
	buffer [readBuffer]byte
	unread []byte

	// Owned by who writes: a close frame was written, and nothing may follow that.
	closing bool
}

func newSocketConn(conn net.Conn) *socketConn {
	return &socketConn{Conn: conn, reading: make(chan struct{}, 1), writing: make(chan struct{}, 1)}
}

// wait returns when there is something to read, or the connection is broken: Read says that.
func (c *socketConn) wait() {
	c.reading <- struct{}{}
	if len(c.unread) == 0 {
		n, _ := c.Conn.Read(c.buffer[:])
		c.unread = c.buffer[:n]
	}
	<-c.reading
}

// Read implements net.Conn.
func (c *socketConn) Read(b []byte) (n int, err error) {
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	if len(c.unread) == 0 {
		if len(b) >= readBuffer {
			return c.Conn.Read(b)
		}
		if n, err = c.Conn.Read(c.buffer[:]); n == 0 {
			return 0, err
		}
		c.unread = c.buffer[:n] // an error beside it comes again
	}
	n = copy(b, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// Write implements net.Conn.
func (c *socketConn) Write(b []byte) (int, error) {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if len(b) > 0 && b[0]&frameKind == frameClose {
		c.closing = true
	}
	return c.Conn.Write(b)
}

// ping writes a ping and counts it. While somebody else writes it does neither, unless one is unanswered: that write may be stuck.
func (c *socketConn) ping(unanswered *atomic.Int32) {
	select {
	case c.writing <- struct{}{}:
	default:
		if unanswered.Load() > 0 {
			unanswered.Add(1)
		}
		return
	}
	defer func() { <-c.writing }()
	if !c.closing {
		unanswered.Add(1)
		_, _ = c.Conn.Write([]byte{frameFinal | framePing, 0}) // what is broken is read as well
	}
}

// send writes a frame for each message.
func (c *socketConn) send(messages []ordering.Message) error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	if c.closing {
		return net.ErrClosed
	}
	buffer := writeBuffers.Get().(*[writeBuffer]byte)
	defer writeBuffers.Put(buffer)
	b := buffer[:0]
	for _, m := range messages {
		if len(b)+frameHead+len(m.Payload) > writeBuffer {
			if _, err := c.Conn.Write(b); err != nil {
				return err
			}
			b = buffer[:0]
		}
		b = appendFrameHead(b, m)
		if frameHead+len(m.Payload) <= writeBuffer {
			b = append(b, m.Payload...)
			continue
		}
		parts := net.Buffers{b, m.Payload}
		if _, err := parts.WriteTo(c.Conn); err != nil {
			return err
		}
		b = buffer[:0]
	}
	if len(b) == 0 {
		return nil
	}
	_, err := c.Conn.Write(b)
	return err
}

// appendFrameHead appends the head of the frame that has the message.
func appendFrameHead(b []byte, m ordering.Message) []byte {
	kind := byte(frameFinal | frameBinary)
	if m.Kind == ordering.Text {
		kind = frameFinal | frameText
	}
	switch n := len(m.Payload); {
	case n < frameLength16:
		return append(b, kind, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, kind, frameLength16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, kind, frameLength64), uint64(n))
	}
}

// upgrade is the response that becomes a socket. It gives package websocket a socketConn, and small buffers in place of those of
// package http, which are ten times what an idle client needs.
type upgrade struct {
	http.ResponseWriter
	conn *socketConn
	in   *bufio.Reader
}

// Hijack implements http.Hijacker.
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, had, err := http.NewResponseController(u.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	u.conn = newSocketConn(conn)
	early, _ := had.Peek(had.Reader.Buffered()) // of a client that did not wait for the answer
	u.conn.unread = bytes.Clone(early)
	u.in = bufio.NewReaderSize(u.conn, headBuffer)
	return u.conn, bufio.NewReadWriter(u.in, bufio.NewWriterSize(u.conn, controlBuffer)), nil
}
