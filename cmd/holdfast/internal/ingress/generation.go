package ingress

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxStreams is how many streams one connection may have open.
	maxStreams = 1 << 20
	// A stream that nobody reads must not take the window of its whole connection.
	connectionWindow = 1<<22 - 1
	streamWindow     = 1 << 18
)

// generation is what one configuration of the ingress serves: its client side and its upstream side.
type generation struct {
	number   int
	server   *http.Server
	listener *handListener
	upstream *upstream
	// served is closed when the server takes no connections any more.
	served   chan struct{}
	retiring atomic.Bool

	// handlers counts the requests in flight; it grows only under mu and while ended is false.
	handlers sync.WaitGroup
	mu       sync.Mutex
	ended    bool // under mu
}

// newGeneration starts a generation. The caller has to retire it.
func newGeneration(number int, cfg Config) *generation {
	g := &generation{
		number: number, listener: newHandListener(), upstream: newUpstream(), served: make(chan struct{}),
	}
	log := cfg.Logger.With("ingress", cfg.ID, "generation", number)
	g.server = &http.Server{
		Protocols: unencryptedHTTP2(),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: connectionWindow,
			MaxReceiveBufferPerStream:     streamWindow,
		},
		Handler:   g.counted(newProxy(cfg, g.upstream.transport)),
		ConnState: g.connState,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(g.served)
		_ = g.server.Serve(g.listener) // Ends with ErrServerClosed, in retire.
	}()
	return g
}

func unencryptedHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// hand gives the generation a new connection. It is false when the generation takes none any more.
func (g *generation) hand(conn net.Conn) bool {
	select {
	case g.listener.conns <- conn:
		return true
	case <-g.listener.closed:
		return false
	}
}

// retire says GOAWAY on every connection, lets the open streams run on for the grace, or until cut is
// done, and closes everything then.
func (g *generation) retire(cut context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(cut, grace)
	defer cancel()
	g.retiring.Store(true)
	_ = g.server.Shutdown(ctx) // Its error says only that the grace is over.
	_ = g.server.Close()
	<-g.served
	g.upstream.close()
	g.mu.Lock()
	g.ended = true
	g.mu.Unlock()
	g.handlers.Wait()
}

// counted makes retire wait for the requests in flight.
func (g *generation) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		ended := g.ended
		if !ended {
			g.handlers.Add(1)
		}
		g.mu.Unlock()
		if !ended {
			defer g.handlers.Done()
			h.ServeHTTP(w, r)
		}
	})
}

// connState sees to it that a connection that was handed over just before the retirement hears of it.
func (g *generation) connState(_ net.Conn, state http.ConnState) {
	if state != http.StateActive || !g.retiring.Load() {
		return
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = g.server.Shutdown(over) // Says GOAWAY on the connections that have not heard it, and returns.
}

// handListener is a listener that gets its connections by hand.
type handListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newHandListener() *handListener {
	return &handListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept returns the next connection that was handed over.
func (l *handListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *handListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is only for messages; the real address is that of the ingress.
func (l *handListener) Addr() net.Addr { return handAddr{} }

type handAddr struct{}

func (handAddr) Network() string { return "tcp" }
func (handAddr) String() string  { return "ingress" }
