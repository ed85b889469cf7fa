// Package registry knows everything that is connected to the relay: ingresses, server connections and logical
// connections.
package registry

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Mover is told when there may be something to move. It must not block.
type Mover interface {
	// Reconsider: a path began to drain, a target appeared, or a connection settled on a draining path.
	Reconsider()
	// MoveEnded: an open move of the connection away from a path ended.
	MoveEnded(c *logical.Connection, from *serverconn.Conn, outcome logical.Outcome, paused time.Duration)
	// Left: a connection ended on the path, with no move open.
	Left(from *serverconn.Conn)
	// Parked: no server connection carries the connection; a resume is wanted.
	Parked(c *logical.Connection)
}

// Registry is safe for concurrent use. It implements logical.Observer.
type Registry struct {
	// Set once, by New and SetMover.
	events   *event.Hub
	counters *telemetry.Counters
	log      *slog.Logger
	allowed  []string // the applications that are served; empty means any
	mover    Mover

	lastPath    atomic.Uint64
	connections table
	generations generations
	// lettingGo: connections are let go of for other relays to take, so that of one that is not known here nothing may be said.
	lettingGo atomic.Bool

	mu sync.Mutex
	// Guarded by mu.
	paths        map[ordering.Path]*serverconn.Conn
	processes    processes
	applications map[string]bool // every application that was ever attached
	ingresses    map[string]*ingressState
	stopping     bool
}

type ingressState struct {
	// returnsAt is when the ingress returns to service by itself; zero when it is not being reloaded.
	returnsAt time.Time
	// requested is when the reload was announced, of the last one.
	requested time.Time
	// clients counts the logical connections whose clients came in through it, away those of them whose client's stream is gone.
	clients, away int
}

// New returns an empty registry. Allowed names the applications that are served; none means any. SetMover must
// be called before anything is attached.
func New(events *event.Hub, counters *telemetry.Counters, log *slog.Logger, allowed []string) *Registry {
	return &Registry{
		events: events, counters: counters, log: log, allowed: allowed,
		paths:        make(map[ordering.Path]*serverconn.Conn),
		processes:    make(processes),
		applications: make(map[string]bool),
		ingresses:    make(map[string]*ingressState),
	}
}

// SetMover names who is told when there may be something to move.
func (r *Registry) SetMover(m Mover) { r.mover = m }

// NewPath returns a number for a new server connection.
func (r *Registry) NewPath() ordering.Path { return ordering.Path(r.lastPath.Add(1)) }

// Stop refuses everything new from now on.
func (r *Registry) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

func (r *Registry) checkStoppingLocked() error {
	if r.stopping {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN, "the relay is shutting down")
	}
	return nil
}

// CheckApplication returns an error for an application that the relay does not serve.
func (r *Registry) CheckApplication(name string) error {
	if len(r.allowed) > 0 && !slices.Contains(r.allowed, name) {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_APPLICATION,
			"application %q is not served here; the relay serves: %s", name, strings.Join(r.allowed, ", "))
	}
	return nil
}

// Attach makes a server connection known, so that connections are placed on it.
func (r *Registry) Attach(s *serverconn.Conn) error {
	if err := r.attach(s); err != nil {
		return err
	}
	r.publish(holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ATTACHED, s, "")
	r.mover.Reconsider()
	return nil
}

func (r *Registry) attach(s *serverconn.Conn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkStoppingLocked(); err != nil {
		return err
	}
	for _, o := range r.paths {
		if o.Instance.InstanceID == s.Instance.InstanceID && o.Instance != s.Instance {
			return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INSTANCE_CONFLICT,
				"instance_id %q is attached already, as server_id %q from %s; give each process an instance_id of its own",
				s.Instance.InstanceID, o.Instance.ServerID, o.Address)
		}
	}
	r.paths[s.Path] = s
	r.processes.attached(s.Instance, time.Now())
	r.applications[s.Instance.Application] = true
	r.seenLocked(s.Ingress)
	return nil
}

// Detach forgets a server connection that is gone and parks the logical connections that use it.
func (r *Registry) Detach(s *serverconn.Conn, detail string) {
	s.SetEnded()
	r.mu.Lock()
	delete(r.paths, s.Path)
	r.processes.detached(s.Instance, time.Now())
	r.mu.Unlock()
	r.publish(holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ENDED, s, detail)
	for c := range r.connections.all() {
		c.Lost(s)
	}
	r.mover.Reconsider() // it may have been the target of moves that were planned
}

// Successor returns the process that took the place of the one that lost its server connections at the time, if there is one.
func (r *Registry) Successor(of serverconn.Instance, lostAt time.Time) (serverconn.Instance, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes.successor(of, lostAt)
}

// Draining takes the word of an app server that the path is about to go.
func (r *Registry) Draining(s *serverconn.Conn, detail string) {
	news, end := s.SetDraining()
	if !news {
		return
	}
	r.log.Info("server connection is draining", "server_connection", s.ID, "ingress", s.Ingress, "detail", detail)
	r.publish(holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_DRAINING, s, detail)
	r.Released(s, end)
	r.mover.Reconsider()
}

// Open places a new logical connection and sends its Open. An empty application means the only one there is.
func (r *Registry) Open(info logical.Info) (*logical.Connection, error) {
	for {
		c, err := r.place(&info)
		if err != nil {
			return nil, err
		}
		if c == nil {
			continue // the id or the path is not to be had; both are chosen anew
		}
		r.counters.Opened()
		on := c.Snapshot().Server
		r.logConnection(slog.LevelDebug, "connection opened", c, on, "application", c.Application, "client_ingress", c.ClientIngress)
		r.publishConnection(holdfastv1.EventKind_EVENT_KIND_CONNECTION_OPENED, c, on, nil)
		c.Start()
		return c, nil
	}
}

func (r *Registry) place(info *logical.Info) (*logical.Connection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.checkStoppingLocked(); err != nil {
		return nil, err
	}
	if err := r.resolveLocked(info); err != nil {
		return nil, err
	}
	path, ok := placement.Choose(r.pathsLocked(func(s *serverconn.Conn) bool {
		return s.Instance.Application == info.Application && !s.Ending()
	}))
	if !ok {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER,
			"no app server of application %q is attached at the moment; try again later", info.Application)
	}
	if !r.paths[path].Acquire() {
		return nil, nil // it began to end since it was chosen, and is not chosen again
	}
	r.seenLocked(info.ClientIngress)
	info.ID, info.ConnectedAt = wire.NewID(), time.Now()
	c := logical.New(*info, r.paths[path], r, r.counters)
	if !r.connections.add(c) {
		r.paths[path].AddLoad(-1)
		r.paths[path].Release()
		return nil, nil
	}
	r.ingresses[info.ClientIngress].clients++
	return c, nil
}

// resolveLocked fills in the default application and refuses unknown ones.
func (r *Registry) resolveLocked(info *logical.Info) error {
	known := slices.Collect(func(yield func(string) bool) {
		for name := range r.applications {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range r.allowed {
		if !r.applications[name] {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	if info.Application == "" && len(known) == 1 {
		info.Application = known[0]
	}
	if slices.Contains(known, info.Application) {
		return nil
	}
	if len(known) == 0 {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NO_APP_SERVER,
			"no app server is attached at the moment; try again later")
	}
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_APPLICATION,
		"application %q is not known here; name one of these in the hello or in the header x-holdfast-application: %s",
		info.Application, strings.Join(known, ", "))
}

// Connection returns the logical connection, or nil.
func (r *Registry) Connection(id uint64) *logical.Connection { return r.connections.get(id) }

// Addressee returns whom a frame of the epoch is for, or nil, and whether anything of the id is known: what is for nobody then is late.
func (r *Registry) Addressee(id uint64, epoch ordering.Epoch) (c *logical.Connection, known bool) {
	c, known = r.connections.addressee(id, epoch)
	return c, known || r.lettingGo.Load()
}

// Connections yields all logical connections, in no order.
func (r *Registry) Connections() iter.Seq[*logical.Connection] { return r.connections.all() }

// ServerConnection returns the server connection, or nil.
func (r *Registry) ServerConnection(path ordering.Path) *serverconn.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.paths[path]
}

// ServerConnections returns the live server connections in the order of their attachment.
func (r *Registry) ServerConnections() []*serverconn.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*serverconn.Conn, 0, len(r.paths))
	for _, s := range r.paths {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *serverconn.Conn) int { return cmp.Compare(a.Path, b.Path) })
	return all
}

// Paths returns the live server connections as placement sees them, in the order of their attachment, but for those that
// are ending, which nothing runs over.
func (r *Registry) Paths() []placement.Path {
	r.mu.Lock()
	defer r.mu.Unlock()
	paths := r.pathsLocked(func(s *serverconn.Conn) bool { return !s.Ending() })
	slices.SortFunc(paths, func(a, b placement.Path) int { return cmp.Compare(a.ID, b.ID) })
	return paths
}

func (r *Registry) pathsLocked(want func(*serverconn.Conn) bool) []placement.Path {
	var paths []placement.Path
	for _, s := range r.paths {
		if !want(s) {
			continue
		}
		reloading := r.reloadingLocked(s.Ingress)
		paths = append(paths, placement.Path{
			ID: s.Path, Instance: s.Instance.Process(), Ingress: s.Ingress, Load: s.Load(),
			Draining: s.Draining() || reloading, IngressReloading: reloading, Suspect: s.Suspected(),
		})
	}
	return paths
}

// logConnection logs what happened to a connection on a server connection.
func (r *Registry) logConnection(level slog.Level, what string, c *logical.Connection, s *serverconn.Conn, more ...any) {
	if !r.log.Enabled(context.Background(), level) {
		return
	}
	attributes := []any{"connection", wire.FormatID(c.ID), "epoch", c.Snapshot().Epoch}
	if s != nil {
		attributes = append(attributes, "server_connection", s.ID, "ingress", s.Ingress)
	}
	r.log.Log(context.Background(), level, what, append(attributes, more...)...)
}

func (r *Registry) logEnded(c *logical.Connection, on *serverconn.Conn, why logical.Closure) {
	level := slog.LevelDebug
	if reason := why.Reason; reason == holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST || reason == holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR {
		level = slog.LevelWarn
	}
	r.logConnection(level, "connection closed", c, on, "reason", wire.CloseReasonName(why.Reason), "detail", why.Detail)
}

func (r *Registry) publish(kind holdfastv1.EventKind, s *serverconn.Conn, detail string) {
	r.events.Publish(func() *event.Event {
		return &event.Event{
			Kind: kind, Ingress: s.Ingress, ServerId: s.Instance.ServerID, ServerConnectionId: s.ID, Detail: detail,
		}
	})
}

func (r *Registry) publishConnection(kind holdfastv1.EventKind, c *logical.Connection, s *serverconn.Conn, complete func(*event.Event)) {
	r.events.Publish(func() *event.Event {
		e := &event.Event{Kind: kind, ConnectionId: wire.FormatID(c.ID)}
		if s != nil {
			e.Ingress, e.ServerId, e.ServerConnectionId = s.Ingress, s.Instance.ServerID, s.ID
		}
		if complete != nil {
			complete(e)
		}
		return e
	})
}
