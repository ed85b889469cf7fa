package clients_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// cuts has the TCP connections of clients, to cut them.
type cuts struct {
	mu   sync.Mutex
	open []*socket // under mu
	made int       // how many were ever opened, under mu
	cut  int       // under mu
}

// socket is the TCP connection of a client.
type socket struct {
	net.Conn
	of *cuts
}

// dial dials, for whoever wants a context dialer.
func (c *cuts) dial(ctx context.Context, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, of: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = append(c.open, s)
	c.made++
	return s, nil
}

// Close closes it in good order.
func (s *socket) Close() error {
	s.of.take(func(o *socket) bool { return o == s })
	return s.Conn.Close()
}

// take takes out the first one that is wanted, or returns nil.
func (c *cuts) take(wanted func(*socket) bool) *socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, s := range c.open {
		if wanted(s) {
			last := len(c.open) - 1
			c.open[i] = c.open[last]
			c.open = c.open[:last]
			return s
		}
	}
	return nil
}

// any cuts one of them, in either way that a network does: the other end hears of it with a FIN, or with a reset.
func (c *cuts) any(random *rand.Rand) {
	c.mu.Lock()
	n := len(c.open)
	c.mu.Unlock()
	if n == 0 {
		return
	}
	skip := random.IntN(n)
	s := c.take(func(*socket) bool { skip--; return skip < 0 })
	if s == nil {
		return // it was closed in this moment
	}
	if random.IntN(2) == 0 {
		s.reset()
	}
	_ = s.Conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut++
}

func (s *socket) reset() {
	if tcp, ok := s.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
}

// counts returns how many were opened, and how many were cut.
func (c *cuts) counts() (made, cut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.made, c.cut
}

// every calls it at that interval, give or take a half, until the context ends.
func every(ctx context.Context, interval time.Duration, random *rand.Rand, do func()) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		do()
		timer.Reset(interval/2 + rand.N(interval))
	}
}
