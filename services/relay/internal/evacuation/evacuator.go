// Package evacuation moves logical connections off draining paths. Whatever makes a path drain (a reload that
// was announced, an app server that saw the GOAWAY of an ingress), the same loop moves what is on it.
package evacuation

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// tick is how often overdue moves and reloads are looked for.
const tick = 250 * time.Millisecond

// Config bounds the moves.
type Config struct {
	// MaxInFlight is how many handoffs may be open at once; more wait their turn, so that the pause of each
	// stays short.
	MaxInFlight int
	// SlowAfter is for how long a handoff keeps its place among them.
	SlowAfter time.Duration
}

// Evacuator moves connections. Run does the work; the other methods are safe for concurrent use.
type Evacuator struct {
	// Set once.
	registry *registry.Registry
	log      *slog.Logger
	config   Config
	kick     chan struct{} // capacity 1
	slots    chan struct{} // one element for each open handoff that has a place

	mu sync.Mutex
	// Guarded by mu.
	inFlight map[uint64]*move
	reloads  map[string]*reload
}

// move is an open handoff.
type move struct {
	began time.Time
	// placed: it holds a place in slots.
	placed bool
	// result takes the outcome when somebody waits for it; capacity 1.
	result chan Outcome
}

// Outcome is how a move ended.
type Outcome struct {
	Moved  bool
	Paused time.Duration
}

// New returns an evacuator for the registry and has it told when there is something to move.
func New(r *registry.Registry, log *slog.Logger, config Config) *Evacuator {
	e := &Evacuator{
		registry: r, log: log, config: config,
		kick: make(chan struct{}, 1), slots: make(chan struct{}, config.MaxInFlight),
		inFlight: make(map[uint64]*move), reloads: make(map[string]*reload),
	}
	r.SetMover(e)
	return e
}

// Run moves what is to be moved until the context ends.
func (e *Evacuator) Run(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			e.expire(now)
		case <-e.kick:
			e.evacuate(ctx, ticker.C)
		}
	}
}

// Reconsider implements registry.Mover.
func (e *Evacuator) Reconsider() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// evacuate moves every connection that can be moved off a draining path now.
func (e *Evacuator) evacuate(ctx context.Context, ticks <-chan time.Time) {
	began, moves := time.Now(), 0
	for _, d := range e.plan() {
		target := e.registry.ServerConnection(d.Target)
		if target == nil {
			continue // not movable, or the target just went; its end makes us reconsider
		}
		if !e.takeSlot(ctx, ticks) {
			return
		}
		if from := e.registry.ServerConnection(d.From); from == nil || !e.leaving(from) { // the reload was cancelled
			<-e.slots
			continue
		}
		if e.leaving(target) { // while the move waited for its turn
			<-e.slots
			e.Reconsider()
			return
		}
		if e.begin(d.ID, target, &move{placed: true}) != nil {
			continue
		}
		moves++
	}
	if moves > 0 {
		e.log.Info("moves begun", "connections", moves, "elapsed", time.Since(began))
	}
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

// takeSlot waits for a place among the open handoffs.
func (e *Evacuator) takeSlot(ctx context.Context, ticks <-chan time.Time) bool {
	for {
		select {
		case e.slots <- struct{}{}:
			return true
		case now := <-ticks:
			e.expire(now)
		case <-ctx.Done():
			return false
		}
	}
}

// begin begins one handoff. When it fails, the place that the move holds is free again.
func (e *Evacuator) begin(id uint64, target *serverconn.Conn, m *move) error {
	c := e.registry.Connection(id)
	m.began = time.Now()
	e.mu.Lock()
	known := c != nil && e.inFlight[id] == nil
	if known {
		e.inFlight[id] = m
	}
	e.mu.Unlock()
	err := ordering.ErrNotMovable
	if known {
		if err = c.Migrate(target); err == nil {
			return nil
		}
		e.mu.Lock()
		known = e.inFlight[id] == m // else the connection has ended, and MoveEnded was faster
		if known {
			delete(e.inFlight, id)
		}
		e.mu.Unlock()
		if !known {
			return err
		}
	}
	if m.placed {
		<-e.slots
	}
	return err
}

// MoveEnded implements registry.Mover.
func (e *Evacuator) MoveEnded(id uint64, from *serverconn.Conn, moved bool, paused time.Duration) {
	e.mu.Lock()
	m := e.inFlight[id]
	delete(e.inFlight, id)
	if r := e.reloads[from.Ingress]; r != nil {
		r.count(moved)
	}
	e.mu.Unlock()
	if m == nil {
		return
	}
	if m.placed {
		<-e.slots
	}
	if m.result != nil {
		m.result <- Outcome{moved, paused}
	}
}

// MoveOne moves one connection to the target and waits until the handoff is over. It
// returns ordering.ErrNotMovable when the connection cannot be moved there now.
func (e *Evacuator) MoveOne(ctx context.Context, id uint64, target *serverconn.Conn) (Outcome, error) {
	m := &move{result: make(chan Outcome, 1)}
	if err := e.begin(id, target, m); err != nil {
		return Outcome{}, err
	}
	select {
	case o := <-m.result:
		return o, nil
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
}

// expire takes the place of overdue handoffs away, and returns ingresses to service whose time is up.
func (e *Evacuator) expire(now time.Time) {
	var late []uint64
	e.mu.Lock()
	for id, m := range e.inFlight {
		if m.placed && now.Sub(m.began) > e.config.SlowAfter {
			m.placed = false
			late = append(late, id)
		}
	}
	e.mu.Unlock()
	for _, id := range late {
		<-e.slots
		e.log.Warn("handoff is slow", "connection", wire.FormatID(id), "after", e.config.SlowAfter)
	}
	for ingress, at := range e.registry.Reloads() {
		if now.After(at) {
			e.endReload(ingress, "the deadline of the reload passed")
		}
	}
}
