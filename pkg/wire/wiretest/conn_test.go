package wiretest

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// late is a connection that says once too often that its deadline has passed.
type late struct {
	net.Conn
	strikes atomic.Int32
}

func (l *late) Read(b []byte) (int, error) {
	if l.strikes.Add(-1) >= 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, "x"), nil
}

func (*late) SetReadDeadline(time.Time) error { return nil }

func TestLateStrikeIsNoTimeout(t *testing.T) {
	l := &late{}
	c := &conn{Conn: l}
	b := make([]byte, 1)
	for _, deadline := range []time.Time{{}, time.Now().Add(time.Hour)} {
		l.strikes.Store(3)
		if err := c.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(b); n != 1 || err != nil {
			t.Errorf("with a deadline at %v: %d, %v", deadline, n, err)
		}
	}
	l.strikes.Store(1)
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}
