// Package tcpproxy is a TCP proxy that does to its connections what bad networks do.
package tcpproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	dialTimeout = 5 * time.Second
	// bufferSize is what one direction of a connection keeps, beside what the sockets take.
	bufferSize = 128 << 10
	// throttledWrites is in how many pieces a throttled direction writes what it may in a second.
	throttledWrites = 20
)

// Faults is what is done to the connections. The zero Faults is a good network.
type Faults struct {
	// StallUp and StallDown forward nothing to the upstream, or from it. Nobody is told; what comes is kept.
	StallUp, StallDown bool
	// Delay makes everything arrive that much later, or up to twice that, in order.
	Delay time.Duration
	// Rate lets only so many bytes through in a second, for each connection and direction; 0 is no limit.
	Rate int
	// Refuse resets every new connection.
	Refuse bool
}

// Proxy is one proxy. Its methods are safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	life     context.Context
	end      context.CancelFunc
	loops    sync.WaitGroup

	mu      sync.Mutex
	faults  Faults             // under mu
	changed chan struct{}      // under mu; closed and replaced when faults changes
	links   map[*link]struct{} // under mu
}

// Listen starts a proxy on a free port of the loopback. Its caller closes it.
func Listen(upstream string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy for %s: %w", upstream, err)
	}
	p := &Proxy{upstream: upstream, listener: listener, changed: make(chan struct{}), links: map[*link]struct{}{}}
	p.life, p.end = context.WithCancel(context.Background())
	p.loops.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // Close closed the listener.
			}
			p.loops.Go(func() { p.serve(conn.(*net.TCPConn)) })
		}
	})
	return p, nil
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Sources returns the addresses from which the proxy is connected to the upstream.
func (p *Proxy) Sources() (sources []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		sources = append(sources, l.far.LocalAddr().String())
	}
	return sources
}

// Set does these faults from now on, and no others.
func (p *Proxy) Set(f Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
	close(p.changed)
	p.changed = make(chan struct{})
}

// Cut resets every connection, on both sides, and returns how many there were.
func (p *Proxy) Cut() int { return p.endAll(0) }

// HangUp ends every connection with a FIN, on both sides, and returns how many there were.
func (p *Proxy) HangUp() int { return p.endAll(-1) }

// Close resets everything and returns when every goroutine is done.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
	p.end()
	p.Cut() // what was about to begin
	p.loops.Wait()
}

func (p *Proxy) endAll(linger int) int {
	p.mu.Lock()
	links := slices.Collect(maps.Keys(p.links))
	clear(p.links)
	p.mu.Unlock()
	for _, l := range links {
		l.close(linger)
	}
	return len(links)
}

// serve serves one connection until it is over.
func (p *Proxy) serve(near *net.TCPConn) {
	far, err := p.dial()
	if err != nil {
		_ = errors.Join(near.SetLinger(0), near.Close())
		return
	}
	l := &link{proxy: p, near: near, far: far.(*net.TCPConn)}
	l.life, l.end = context.WithCancel(p.life)
	p.mu.Lock()
	p.links[l] = struct{}{}
	refused := p.faults.Refuse || p.life.Err() != nil // A Cut that came meanwhile has missed it.
	p.mu.Unlock()
	if refused {
		l.close(0)
	}
	var directions sync.WaitGroup
	directions.Go(func() { l.forward(l.near, l.far, func(f Faults) bool { return f.StallUp }) })
	directions.Go(func() { l.forward(l.far, l.near, func(f Faults) bool { return f.StallDown }) })
	directions.Wait()
	l.close(-1)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

func (p *Proxy) dial() (net.Conn, error) {
	if f, _ := p.now(); f.Refuse {
		return nil, errors.New("refused")
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(p.life, "tcp", p.upstream)
}

func (p *Proxy) now() (Faults, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults, p.changed
}

// link is one connection through the proxy: near is the side that connected, far the upstream.
type link struct {
	proxy     *Proxy
	near, far *net.TCPConn
	life      context.Context
	end       context.CancelFunc
	closing   sync.Once
}

// close closes both sides: with 0 by a reset, with -1 by a FIN.
func (l *link) close(linger int) {
	l.closing.Do(func() {
		for _, c := range []*net.TCPConn{l.near, l.far} {
			_ = errors.Join(c.SetLinger(linger), c.Close())
		}
		l.end() // Not before: what is kept would be written.
	})
}

// forward forwards one direction until it ends. An end waits like the bytes: a stalled path does not tell of it.
func (l *link) forward(from, to *net.TCPConn, stalled func(Faults) bool) {
	var next time.Time // when a throttled direction may write again
	for b := make([]byte, bufferSize); ; {
		n, err := from.Read(b)
		came := time.Now()
		for rest := b[:n]; len(rest) > 0; {
			rate := l.hold(came, next, stalled)
			piece := rest[:min(len(rest), max(1, rate/throttledWrites))]
			if _, err := to.Write(piece); err != nil {
				l.close(0)
				return
			}
			rest = rest[len(piece):]
			next = time.Now().Add(time.Second * time.Duration(len(piece)) / time.Duration(rate))
		}
		if err != nil {
			l.hold(came, next, stalled)
			if !errors.Is(err, io.EOF) || to.CloseWrite() != nil {
				l.close(0)
			}
			return
		}
	}
}

// hold waits until what came at that time may go on, or the link is over, and returns at what rate.
func (l *link) hold(came, next time.Time, stalled func(Faults) bool) int {
	for {
		f, changed := l.proxy.now()
		left := max(time.Until(came.Add(f.Delay)), time.Until(next))
		if stalled(f) {
			left = time.Hour
		}
		if left <= 0 || l.life.Err() != nil {
			return cmp.Or(f.Rate, math.MaxInt)
		}
		select {
		case <-time.After(left):
		case <-changed:
		case <-l.life.Done():
		}
	}
}
