package tcpproxy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/test/faults/tcpproxy"
)

// bound is how long anything may take that has to come; quiet is for how long nothing may come.
const (
	bound = 10 * time.Second
	quiet = 100 * time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair is a connection through a proxy: near is the end that connected, far the one that was connected to.
type pair struct{ near, far *net.TCPConn }

func TestForwardsBothWays(t *testing.T) {
	_, connect := start(t)
	p := connect()
	var all sync.WaitGroup
	for n, way := range [][2]*net.TCPConn{{p.near, p.far}, {p.far, p.near}} {
		sent := noise(1<<20, uint64(n))
		all.Go(func() {
			write(t, way[0], sent)
			if err := way[0].CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			got, err := io.ReadAll(way[1])
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("direction %d: %d of %d bytes, not the same or with an error: %v", n, len(got), len(sent), err)
			}
		})
	}
	all.Wait()
}

func TestCutResetsBothSides(t *testing.T) {
	proxy, connect := start(t)
	pairs := []pair{connect(), connect()}
	if n := proxy.Cut(); n != len(pairs) {
		t.Errorf("%d connections were cut, want %d", n, len(pairs))
	}
	for _, p := range pairs {
		for _, c := range []*net.TCPConn{p.near, p.far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
		}
	}
	exchange(t, connect())
}

func TestHangUpEndsBothSides(t *testing.T) {
	proxy, connect := start(t)
	p := connect()
	if n := proxy.HangUp(); n != 1 {
		t.Errorf("%d connections were ended, want 1", n)
	}
	for _, c := range []*net.TCPConn{p.near, p.far} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
	}
}

// A stalled direction keeps what comes and tells nobody, not even of the end; the other one goes on.
func TestStall(t *testing.T) {
	proxy, connect := start(t)
	for name, c := range map[string]struct {
		faults  tcpproxy.Faults
		reverse bool
	}{
		"up":   {tcpproxy.Faults{StallUp: true}, false},
		"down": {tcpproxy.Faults{StallDown: true}, true},
	} {
		p := connect()
		from, to := p.near, p.far
		if c.reverse {
			from, to = to, from
		}
		proxy.Set(c.faults)
		write(t, from, []byte("kept"))
		if err := from.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		silent(t, to)
		write(t, to, []byte("open"))
		read(t, from, "open")
		proxy.Set(tcpproxy.Faults{})
		read(t, to, "kept")
		if _, err := to.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s: got %v, want the end", name, err)
		}
	}
}

// What a stalled connection keeps is bounded, and it can still be cut.
func TestStallIsBounded(t *testing.T) {
	proxy, connect := start(t)
	p := connect()
	proxy.Set(tcpproxy.Faults{StallUp: true, StallDown: true})
	const much = 64 << 20
	_ = p.near.SetWriteDeadline(time.Now().Add(time.Second))
	if n, err := p.near.Write(make([]byte, much)); err == nil || n == much {
		t.Errorf("%d bytes went into a stalled connection: %v", n, err)
	}
	if n := proxy.Cut(); n != 1 {
		t.Errorf("%d connections were cut, want 1", n)
	}
	if _, err := p.far.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestDelay(t *testing.T) {
	proxy, connect := start(t)
	p := connect()
	const delay = 50 * time.Millisecond
	proxy.Set(tcpproxy.Faults{Delay: delay})
	sent := noise(300<<10, 7)
	begin := time.Now()
	var all sync.WaitGroup
	all.Go(func() { write(t, p.near, sent) })
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(p.far, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("not what was sent, in its order: %v", err)
	}
	all.Wait()
	if took := time.Since(begin); took < delay {
		t.Errorf("it took %v, less than the delay of %v", took, delay)
	}
	begin = time.Now()
	exchange(t, p)
	if took := time.Since(begin); took < 2*delay {
		t.Errorf("there and back took %v, less than twice the delay of %v", took, delay)
	}
}

func TestThrottle(t *testing.T) {
	proxy, connect := start(t)
	p := connect()
	proxy.Set(tcpproxy.Faults{Rate: 100 << 10})
	sent := noise(50<<10, 8)
	begin := time.Now()
	var all sync.WaitGroup
	all.Go(func() { write(t, p.far, sent) })
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(p.near, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("not what was sent, in its order: %v", err)
	}
	all.Wait()
	// Half a second, less the first piece, which waits for nothing.
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("it took %v; the rate was not kept", took)
	}
}

func TestRefuse(t *testing.T) {
	proxy, connect := start(t)
	old := connect()
	proxy.Set(tcpproxy.Faults{Refuse: true})
	refused(t, proxy)
	exchange(t, old)
	proxy.Set(tcpproxy.Faults{})
	exchange(t, connect())
}

// A dead upstream is told to whoever connects, and an upstream that resets its connection too.
func TestUpstreamFails(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.Close()
	refused(t, listen(t, dead.Addr().String()))
	_, connect := start(t)
	p := connect()
	_ = p.far.SetLinger(0)
	_ = p.far.Close()
	if _, err := p.near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset by the upstream: got %v, want a reset", err)
	}
}

func TestSourcesAreThoseThatTheUpstreamSees(t *testing.T) {
	proxy, connect := start(t)
	p := connect()
	if got, want := proxy.Sources(), p.far.RemoteAddr().String(); len(got) != 1 || got[0] != want {
		t.Errorf("got %v, want %s", got, want)
	}
	proxy.Cut()
	if got := proxy.Sources(); len(got) != 0 {
		t.Errorf("got %v after a cut", got)
	}
}

// start starts a proxy; connect makes a connection through it that works.
func start(t *testing.T) (proxy *tcpproxy.Proxy, connect func() pair) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	proxy = listen(t, listener.Addr().String())
	return proxy, func() pair {
		t.Helper()
		near := dial(t, proxy.Addr())
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := pair{near, bounded(t, far)}
		exchange(t, p)
		return p
	}
}

func listen(t *testing.T, upstream string) *tcpproxy.Proxy {
	t.Helper()
	proxy, err := tcpproxy.Listen(upstream)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	return proxy
}

func dial(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return bounded(t, c)
}

func refused(t *testing.T, proxy *tcpproxy.Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", proxy.Addr()) // The reset may come before this returns.
	if err == nil {
		_, err = bounded(t, c).Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func bounded(t *testing.T, c net.Conn) *net.TCPConn {
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(bound))
	return c.(*net.TCPConn)
}

func exchange(t *testing.T, p pair) {
	t.Helper()
	write(t, p.near, []byte("ping"))
	read(t, p.far, "ping")
	write(t, p.far, []byte("pong"))
	read(t, p.near, "pong")
}

func write(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func silent(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(quiet))
	n, err := c.Read(make([]byte, 1))
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%d bytes came, %v; nothing should have", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(bound))
}

func noise(size int, seed uint64) []byte {
	b := make([]byte, size)
	var key [32]byte
	key[0] = byte(seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}
