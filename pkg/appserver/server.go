package appserver

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
)

// flushGrace is for how long the last messages may take after the shutdown grace.
const flushGrace = 2 * time.Second

// Server runs one application. Its methods are safe for concurrent use.
type Server struct {
	// Set once.
	config   Config
	nonce    uint64
	counters *counters
	tracer   trace.Tracer

	allTried chan struct{}

	lastPath atomic.Uint64
	// adrift: connections may have no server connection left.
	adrift   atomic.Bool
	handlers sync.WaitGroup
	streams  sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	connections map[uint64]*Connection
	ended       tombstones
	paths       map[ordering.Path]*serverConn
	// closing: nothing new is opened any more.
	closing bool
	// untried is how many server connections and lookups of names were not tried yet; allTried is closed when it is none.
	untried int
	// changed is closed and replaced when a path is gone.
	changed chan struct{}
}

// New returns a server that is not running yet. Its error says what is wrong with the configuration.
func New(config Config) (*Server, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	counters, err := newCounters(config.MeterProvider)
	if err != nil {
		return nil, err
	}
	return &Server{
		config: config, nonce: wire.NewID(), counters: counters, tracer: config.TracerProvider.Tracer(scope),
		connections: make(map[uint64]*Connection),
		paths:       make(map[ordering.Path]*serverConn),
		changed:     make(chan struct{}),
		untried:     len(config.Relays)*config.ConnectionsPerRelay + len(config.RelayNames),
		allTried:    make(chan struct{}),
	}, nil
}

// Attached returns how many server connections are live.
func (s *Server) Attached() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paths)
}

// Run keeps the server connections and serves until the context ends. Then it has the relay place new
// connections elsewhere where there is a choice, lets those that it has go on for the shutdown grace, closes what is left
// with SERVER_SHUTDOWN, and returns nil once every goroutine is done. It may be called once. Its error says that the metrics
// cannot be made.
func (s *Server) Run(ctx context.Context) error {
	unobserve, err := s.counters.observe(s)
	if err != nil {
		return err
	}
	defer unobserve()
	// Streams and handlers live on through the grace.
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	var slots sync.WaitGroup
	for _, address := range s.config.Relays {
		for range s.config.ConnectionsPerRelay {
			to := slot{target: target{name: address}, counted: true, over: func() bool { return false }}
			slots.Go(func() { s.keep(ctx, life, to) })
		}
	}
	for _, name := range s.config.RelayNames {
		f := &follower{server: s, name: name, kept: make(map[string]*kept)}
		slots.Go(func() { f.run(ctx, life) })
	}
	s.streams.Go(func() { s.expireAdrift(life) })
	<-ctx.Done()
	slots.Wait()
	s.shutdown()
	end(errShutdown)
	s.streams.Wait()
	s.handlers.Wait()
	for _, c := range s.all() { // the relay did not take their end any more
		c.abandon(&CloseError{Reason: holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN, Detail: errShutdown.Error()})
	}
	return nil
}

var errShutdown = errors.New("the app server is shutting down")

func (s *Server) shutdown() {
	for _, sc := range s.serverConns() {
		sc.drain("the app server is shutting down")
	}
	s.waitIdle(s.config.ShutdownGrace)
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	for _, c := range s.all() {
		c.finish(&CloseError{
			Reason: holdfastv1.CloseReason_CLOSE_REASON_SERVER_SHUTDOWN, Detail: errShutdown.Error(),
		})
	}
	s.waitIdle(flushGrace)
}

// waitIdle waits until no server connection is left, or the time is over. Without one the connections that are left cannot be
// resumed, as nothing is dialled any more.
func (s *Server) waitIdle(most time.Duration) {
	timer := time.NewTimer(max(most, 0))
	defer timer.Stop()
	for {
		s.mu.Lock()
		idle, changed := len(s.paths) == 0, s.changed
		s.mu.Unlock()
		if idle {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		}
	}
}

func (s *Server) serverConns() []*serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*serverConn, 0, len(s.paths))
	for _, sc := range s.paths {
		all = append(all, sc)
	}
	return all
}

func (s *Server) all() []*Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Connection, 0, len(s.connections))
	for _, c := range s.connections {
		all = append(all, c)
	}
	return all
}

// connection returns the connection, or nil and whether there was one that is over.
func (s *Server) connection(id uint64) (c *Connection, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c = s.connections[id]; c == nil {
		ended = s.ended.has(id)
	}
	return c, ended
}

func (s *Server) removeConnection(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, id)
	s.ended.add(id, time.Now())
}

// path returns the live server connection of the path, or nil.
func (s *Server) path(path ordering.Path) *serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paths[path]
}

func (s *Server) addPath(sc *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[sc.path] = sc
}

// removePath forgets a server connection that is gone. The connections that used it wait for the relay to resume them.
func (s *Server) removePath(sc *serverConn, cause error) {
	s.mu.Lock()
	delete(s.paths, sc.path)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	for _, c := range s.all() {
		c.lost(sc, cause)
	}
}

// adriftTick is how often connections with no server connection are looked at.
const adriftTick = 250 * time.Millisecond

// expireAdrift ends the connections that the relay has not resumed in time, until the context ends.
func (s *Server) expireAdrift(ctx context.Context) {
	ticker := time.NewTicker(adriftTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if !s.adrift.Swap(false) {
				continue
			}
			for _, c := range s.all() {
				if c.expire(now) {
					s.adrift.Store(true)
				}
			}
		}
	}
}

// expect notes that so many server connections are to be tried before allTried is closed, which it must not be.
func (s *Server) expect(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried += n
}

// tried notes that one more server connection, or name, was tried for the first time.
func (s *Server) tried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.untried--; s.untried == 0 {
		close(s.allTried)
	}
}

// crowded reports whether all server connections to the relay of this one, two at least, came in through the same
// ingress, so that its reload would take all of them. One that was told so has no say for the next: else all that ask at
// the same moment would leave, and none would be left.
func (s *Server) crowded(sc *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sc.ingress == directIngress {
		return false
	}
	siblings := 0
	for _, o := range s.paths {
		if o == sc || o.relayID != sc.relayID || o.spreading || o.isLeaving() {
			continue
		}
		if o.ingress != sc.ingress {
			return false
		}
		siblings++
	}
	sc.spreading = siblings > 0
	return sc.spreading
}

// directIngress is what the relay calls the way of a stream that came in through no ingress.
const directIngress = "direct"
