// Package adminport serves HTTP/1 beside gRPC on the admin listener.
package adminport

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	// preface is how each HTTP/2 connection begins; no request of HTTP/1 does.
	preface = "PRI"
	// prefaceTimeout is for how long a connection may say nothing.
	prefaceTimeout = 5 * time.Second
	// minPause and maxPause are how long a listener rests that could not accept for a while; a close may have to wait for that.
	minPause, maxPause = 5 * time.Millisecond, time.Second
)

// Split returns two listeners for the connections of l: those that speak HTTP/2, and the others. Closing the first closes l
// and ends both; then Wait of it waits for the goroutines.
func Split(l net.Listener) (http2 *Half, http1 *Half) {
	s := &splitter{listener: l, ended: make(chan struct{})}
	http2 = &Half{s, make(chan net.Conn)}
	http1 = &Half{s, make(chan net.Conn)}
	s.loops.Go(func() { s.accept(http2, http1) })
	return http2, http1
}

// Half is one of the two listeners.
type Half struct {
	*splitter
	accepted chan net.Conn
}

// Accept implements net.Listener.
func (h *Half) Accept() (net.Conn, error) {
	select {
	case c := <-h.accepted:
		return c, nil
	case <-h.ended:
		return nil, h.err
	}
}

// splitter is what both halves have in common.
type splitter struct {
	listener net.Listener
	loops    sync.WaitGroup
	// ended is closed when the listener has ended, with err set before.
	ended chan struct{}
	err   error
}

// Close implements net.Listener.
func (s *splitter) Close() error { return s.listener.Close() }

// Addr implements net.Listener.
func (s *splitter) Addr() net.Addr { return s.listener.Addr() }

// Wait waits for the goroutines. The listener must have been closed.
func (s *splitter) Wait() { s.loops.Wait() }

func (s *splitter) accept(http2, http1 *Half) {
	pause := minPause
	for {
		c, err := s.listener.Accept()
		if err != nil && !isTemporary(err) {
			s.err = err
			close(s.ended)
			return
		}
		if err != nil { // such as too many open files, which passes
			time.Sleep(pause)
			pause = min(2*pause, maxPause)
			continue
		}
		pause = minPause
		s.loops.Go(func() { s.sort(c, http2, http1) })
	}
}

// isTemporary reports whether the next Accept may well succeed.
func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

// sort gives the connection to the half that it belongs to.
func (s *splitter) sort(c net.Conn, http2, http1 *Half) {
	peeked := &peekedConn{c, bufio.NewReaderSize(c, 16)}
	first, err := s.peek(peeked)
	if err != nil {
		_ = c.Close()
		return
	}
	half := http1
	if string(first) == preface {
		half = http2
	}
	select {
	case half.accepted <- peeked:
	case <-s.ended:
		_ = c.Close()
	}
}

// peek returns the first bytes of a connection. The end of the listener ends the wait for them.
func (s *splitter) peek(c *peekedConn) ([]byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(prefaceTimeout)) // fails only when it has ended
	came := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-s.ended:
			_ = c.SetReadDeadline(time.Now())
		case <-came:
		}
	})
	first, err := c.reader.Peek(len(preface))
	close(came)
	watch.Wait()
	_ = c.SetReadDeadline(time.Time{})
	return first, err
}

// peekedConn is a connection whose first bytes were looked at.
type peekedConn struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (c *peekedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }
