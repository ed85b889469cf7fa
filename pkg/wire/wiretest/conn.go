package wiretest

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// conn is a connection of bufconn whose read deadline holds: there the timer of one that was taken back may still strike, as when package
// http ends a read to hand the connection over.
type conn struct {
	net.Conn
	mu       sync.Mutex
	deadline time.Time // for reads, under mu
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if n > 0 || err == nil || !timedOut(err) || c.due() {
			return n, err
		}
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// due reports whether the deadline has passed; when it has not, it is set anew.
func (c *conn) due() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return true
	}
	_ = c.Conn.SetReadDeadline(c.deadline)
	return false
}
