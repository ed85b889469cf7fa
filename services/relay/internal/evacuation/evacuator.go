// Package evacuation moves logical connections off draining paths, and resumes those whose path is lost. Whatever makes a
// path drain (a reload that was announced, an app server that saw the GOAWAY of an ingress), the same loop moves what is
// on it; whatever parks a connection (a path that broke, a move that was not answered), the same loop resumes it.
package evacuation

import (
	"context"
	"log/slog"
	"sync"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// tick is how often overdue moves, reloads and parked connections are looked for.
const tick = 250 * time.Millisecond

// Config bounds the moves.
type Config struct {
	// MaxInFlight is how many handoffs may be open at once for each process of an app server, and how many resumes; more wait
	// their turn.
	MaxInFlight int
	// MigrationTimeout is for how long a move may go unanswered before the connection is resumed elsewhere.
	MigrationTimeout time.Duration
	// ParkTime is for how long a connection may be without a server connection.
	ParkTime time.Duration
}

// Clients are asked to move by themselves.
type Clients interface {
	// Ask asks the resumable clients that came in through the ingress. The function that it returns says how many were asked, how
	// many have moved, and how many are still there.
	Ask(ingress string, reason holdfastv1.ReconnectReason) func() (asked, moved, waiting int)
}

// Evacuator moves connections. Run does the work; the other methods are safe for concurrent use.
type Evacuator struct {
	// Set once.
	registry *registry.Registry
	counters *telemetry.Counters
	log      *slog.Logger
	config   Config
	// kick and lost wake the loops that move and that resume; capacity 1.
	kick, lost        chan struct{}
	handoffs, resumes *places
	clients           Clients

	// Owned by the loop that moves. unanswered: connections stay on a draining path as no target answers.
	unanswered bool

	mu sync.Mutex
	// Guarded by mu.
	inFlight map[*logical.Connection]*move
	// parked holds what waits for a resume, by its process, the longest first. One that does not wait any more may stand there
	// for a while.
	parked     map[serverconn.Instance][]*waiter
	reloads    map[string]*reload
	evacuation evacuation
}

// move is a handoff or a resume.
type move struct {
	began time.Time
	// connection goes from a server connection to the target; from is nil in a resume.
	connection   *logical.Connection
	from, target *serverconn.Conn
	// planned is when the loop found the connection on a draining path.
	planned time.Time
	// place is where it holds a place, or nil.
	place *places
	// result takes the outcome when somebody waits for it; capacity 1.
	result chan Outcome
}

func (m *move) free() {
	if m.place != nil {
		m.place.free(m.target.Instance)
	}
}

// Outcome is how a move ended.
type Outcome struct {
	Result logical.Outcome
	Paused time.Duration
}

// New returns an evacuator for the registry and has it told when there is something to move.
func New(r *registry.Registry, counters *telemetry.Counters, log *slog.Logger, config Config) *Evacuator {
	e := &Evacuator{
		registry: r, counters: counters, log: log, config: config, clients: nobody{},
		kick: make(chan struct{}, 1), lost: make(chan struct{}, 1),
		handoffs: newPlaces(config.MaxInFlight), resumes: newPlaces(config.MaxInFlight),
		inFlight: make(map[*logical.Connection]*move), parked: make(map[serverconn.Instance][]*waiter), reloads: make(map[string]*reload),
	}
	r.SetMover(e)
	return e
}

// nobody stands for the clients until SetClients.
type nobody struct{}

func (nobody) Ask(string, holdfastv1.ReconnectReason) func() (asked, moved, waiting int) {
	return func() (asked, moved, waiting int) { return 0, 0, 0 }
}

// SetClients names who asks clients to move. It must be called before Reload.
func (e *Evacuator) SetClients(c Clients) { e.clients = c }

// Run moves and resumes what is to be moved and resumed until the context ends.
func (e *Evacuator) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { e.resumeParked(ctx) })
	e.moveDraining(ctx)
	wg.Wait()
}

func (e *Evacuator) moveDraining(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.expire(now)
			if e.unanswered { // a target may have been heard
				signal(e.kick)
			}
		case <-e.kick:
			e.evacuate(ctx, ticker.C)
		}
	}
}

// Reconsider implements registry.Mover.
func (e *Evacuator) Reconsider() {
	signal(e.kick)
	signal(e.lost)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// evacuate moves every connection that can be moved off a draining path now, each as soon as there is a place for it.
func (e *Evacuator) evacuate(ctx context.Context, ticks <-chan time.Time) {
	e.plans(true)
	defer e.plans(false)
	began, begun := time.Now(), 0
	defer func() {
		if begun > 0 {
			e.log.Info("moves begun", "connections", begun, "elapsed", time.Since(began))
		}
	}()
	for waiting := e.planMoves(); len(waiting) > 0; {
		for process, moves := range waiting {
			n, rest := e.beginHandoffs(moves)
			begun += n
			if waiting[process] = rest; len(rest) == 0 {
				delete(waiting, process)
			}
		}
		if len(waiting) == 0 {
			return
		}
		select {
		case <-e.handoffs.freed:
		case now := <-ticks:
			e.expire(now)
		case <-e.kick:
			waiting = e.planMoves()
		case <-ctx.Done():
			return
		}
	}
}

// planMoves returns the moves that are to be made now, by the process of the app server.
func (e *Evacuator) planMoves() map[serverconn.Instance][]*move {
	moves := make(map[serverconn.Instance][]*move)
	e.unanswered = false
	now := time.Now()
	for _, d := range e.plan() {
		e.unanswered = e.unanswered || d.Reason == placement.TargetSuspect
		m := &move{
			connection: e.registry.Connection(d.ID), place: e.handoffs, planned: now,
			from: e.registry.ServerConnection(d.From), target: e.registry.ServerConnection(d.Target),
		}
		if m.connection != nil && m.from != nil && m.target != nil { // else not movable, or just gone
			moves[m.target.Instance] = append(moves[m.target.Instance], m)
		}
	}
	return moves
}

// beginHandoffs begins moves of one process until there is no place. It returns how many it began, and those that are left.
func (e *Evacuator) beginHandoffs(moves []*move) (begun int, left []*move) {
	for i, m := range moves {
		switch {
		case !e.leaving(m.from): // the reload was cancelled
			continue
		case e.leaving(m.target) || m.target.Suspected(): // while the move waited for its turn
			e.Reconsider()
			return begun, nil
		case !e.handoffs.take(m.target.Instance):
			return begun, moves[i:]
		}
		if e.beginHandoff(m) == nil { // else it is not movable just now
			begun++
		}
	}
	return begun, nil
}

func (e *Evacuator) leaving(s *serverconn.Conn) bool {
	return s.Ended() || s.Draining() || e.registry.Reloading(s.Ingress)
}

// plan decides on a fresh snapshot. It is empty when no path drains.
func (e *Evacuator) plan() []placement.Decision {
	paths := e.registry.Paths()
	draining := false
	for _, p := range paths {
		draining = draining || p.Draining
	}
	if !draining {
		return nil
	}
	var views []placement.Connection
	for c := range e.registry.Connections() {
		views = append(views, c.View())
	}
	return placement.Plan(views, paths)
}

// beginHandoff begins one handoff. When it fails, the place that the move holds is free again.
func (e *Evacuator) beginHandoff(m *move) error {
	why := logical.Why{Reason: logical.Operator, Planned: m.planned}
	if !m.planned.IsZero() {
		why.Reason, why.Requested = logical.Draining, e.registry.ReloadRequested(m.from.Ingress)
	}
	if !why.Requested.IsZero() {
		why.Reason = logical.Reload
	}
	return e.begin(m, func() error { return m.connection.Migrate(m.target, why) })
}

func (e *Evacuator) begin(m *move, start func() error) error {
	c := m.connection
	m.began = time.Now()
	e.mu.Lock()
	moving := e.inFlight[c] != nil
	if !moving {
		e.inFlight[c] = m
		if m.place == e.handoffs {
			e.evacuation.beginLocked(m.began)
		}
	}
	e.mu.Unlock()
	if moving {
		m.free()
		return ordering.ErrNotMovable
	}
	err := start()
	if err != nil {
		e.mu.Lock()
		delete(e.inFlight, c)
		if m.place == e.handoffs {
			e.evacuation.abortLocked()
		}
		ended := e.evacuation.takeLocked()
		e.mu.Unlock()
		e.tell(ended)
		m.free()
	}
	return err
}

// MoveEnded implements registry.Mover.
func (e *Evacuator) MoveEnded(c *logical.Connection, from *serverconn.Conn, outcome logical.Outcome, paused time.Duration) {
	e.mu.Lock()
	m := e.inFlight[c]
	delete(e.inFlight, c)
	if r := e.reloads[from.Ingress]; r != nil {
		r.count(outcome)
	}
	if m != nil && m.place == e.handoffs {
		e.evacuation.endLocked()
	}
	over := e.evacuation.takeLocked()
	e.mu.Unlock()
	e.tell(over)
	if m == nil {
		return
	}
	m.free()
	if m.result != nil {
		m.result <- Outcome{outcome, paused}
	}
}

// Left implements registry.Mover.
func (e *Evacuator) Left(from *serverconn.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.reloads[from.Ingress]; r != nil {
		r.count(logical.ConnectionEnded)
	}
}

// MoveOne moves one connection to the target and waits until the handoff is over. It
// returns ordering.ErrNotMovable when the connection cannot be moved there now.
func (e *Evacuator) MoveOne(ctx context.Context, id uint64, from, target *serverconn.Conn) (Outcome, error) {
	m := &move{connection: e.registry.Connection(id), from: from, target: target, result: make(chan Outcome, 1)}
	if m.connection == nil {
		return Outcome{}, ordering.ErrNotMovable
	}
	if err := e.beginHandoff(m); err != nil {
		return Outcome{}, err
	}
	select {
	case o := <-m.result:
		return o, nil
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
}

// expire gives up overdue moves, and returns ingresses to service whose time is up.
func (e *Evacuator) expire(now time.Time) {
	var late []*move
	e.mu.Lock()
	for _, m := range e.inFlight {
		if now.Sub(m.began) > e.config.MigrationTimeout {
			late = append(late, m)
		}
	}
	e.mu.Unlock()
	for _, m := range late {
		e.log.Warn("a move is not answered; the connection is resumed elsewhere", "connection", wire.FormatID(m.connection.ID),
			"epoch", m.connection.Snapshot().Epoch, "server_connection", m.target.ID, "ingress", m.target.Ingress,
			"after", e.config.MigrationTimeout)
		m.target.Suspect(m.began)
		if m.from != nil {
			m.from.Suspect(m.began)
		}
		m.connection.GiveUp()
	}
	for ingress, at := range e.registry.Reloads() {
		if now.After(at) {
			e.endReload(ingress, "the deadline of the reload passed")
		}
	}
}
