package adminport

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listener gives out what is in the channel: an error, or a connection.
type listener struct {
	accepts chan any
	closed  chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepts:
		if err, ok := a.(error); ok {
			return nil, err
		}
		return a.(net.Conn), nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	close(l.closed)
	return nil
}

func (*listener) Addr() net.Addr { return &net.TCPAddr{} }

// A listener that cannot accept for a while, as there are too many open files, goes on when it can.
func TestSplitOutlivesTemporaryErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{accepts: make(chan any, 10), closed: make(chan struct{})}
		http2, http1 := Split(l)
		full := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
		here, there := net.Pipe()
		for range 5 {
			l.accepts <- full
		}
		l.accepts <- here
		go func() { _, _ = io.WriteString(there, "GET / HTTP/1.1\r\n") }()
		c, err := http1.Accept()
		if err != nil {
			t.Fatal(err)
		}
		first := make([]byte, 3)
		if _, err := io.ReadFull(c, first); err != nil || string(first) != "GET" {
			t.Errorf("read %q, %v", first, err)
		}
		_ = c.Close()
		_ = there.Close()
		_ = http2.Close()
		http2.Wait()
		if _, err := http2.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// The token is read at each call; callers are not told why one that is good does not do.
func TestToken(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "token")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("short")
	if _, err := NewToken(name, nil); err == nil || !strings.Contains(err.Error(), "5 bytes; want 16 or more") {
		t.Errorf("a short one: %v", err)
	}
	write("the-first-token-of-all\n")
	var why error
	token, err := NewToken(name, func(err error) { why = err })
	if err != nil {
		t.Fatal(err)
	}
	if err := token.check("the-first-token-of-all"); err != nil {
		t.Error(err)
	}
	write("the-second-token-of-all")
	if err := token.check("the-first-token-of-all"); !errors.Is(err, errNoToken) {
		t.Errorf("the old one: %v", err)
	}
	if err := token.check("the-second-token-of-all"); err != nil {
		t.Error(err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := token.check("the-second-token-of-all"); !errors.Is(err, errNoToken) || !errors.Is(why, os.ErrNotExist) {
		t.Errorf("with no file the caller is told %v, the log %v", err, why)
	}
}
