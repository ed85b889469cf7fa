package ingress

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// dialTimeout bounds how long a request waits for a relay that does not answer.
const dialTimeout = 5 * time.Second

// upstream is the pool of upstream connections of one generation. When a connection has as many streams
// as the relay allows, the transport opens another. A relay that allows fewer than 100, which RFC 9113
// advises against, may refuse some of the first ones.
type upstream struct {
	transport *http.Transport

	mu     sync.Mutex
	conns  map[*upstreamConn]struct{} // under mu; nil after close
	dialed int                        // under mu
}

func newUpstream() *upstream {
	u := &upstream{conns: map[*upstreamConn]struct{}{}}
	u.transport = &http.Transport{
		Protocols:          unencryptedHTTP2(),
		DialContext:        u.dial,
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream:     streamWindow,
		},
	}
	return u
}

func (u *upstream) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &upstreamConn{Conn: conn, pool: u}
	u.mu.Lock()
	open := u.conns != nil
	if open {
		u.conns[c] = struct{}{}
		u.dialed++
	}
	u.mu.Unlock()
	if !open {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// close cuts every connection; the pool makes no new one.
func (u *upstream) close() {
	u.mu.Lock()
	conns := u.conns
	u.conns = nil
	u.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close()
	}
	u.transport.CloseIdleConnections()
}

// upstreamConn leaves its pool when it is closed.
type upstreamConn struct {
	net.Conn
	pool *upstream
}

// Close closes the connection and takes it out of its pool.
func (c *upstreamConn) Close() error {
	c.pool.mu.Lock()
	delete(c.pool.conns, c)
	c.pool.mu.Unlock()
	return c.Conn.Close()
}
