// Package placement decides, on a snapshot and without side effects, which server connection carries a
// logical connection.
package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/holdfast/holdfast/pkg/ordering"
)

// Path is a server connection as placement sees it.
type Path struct {
	ID ordering.Path
	// Instance names the process of the app server.
	Instance string
	Ingress  string
	// Draining: the path itself is about to go, or its ingress is being reloaded.
	Draining bool
	// IngressReloading: its ingress is being reloaded, so that clients through that ingress are cut too.
	IngressReloading bool
	// Suspect: a move over it was not answered in time, and nothing was heard from it since.
	Suspect bool
	// Load is the number of logical connections placed on it.
	Load int
}

// State is what matters of a logical connection's state.
type State uint8

// The states of a logical connection as placement sees it.
const (
	Settled State = iota + 1
	Opening
	InHandoff
	Closing
	// Parked: no path carries it.
	Parked
)

// Connection is a logical connection as placement sees it.
type Connection struct {
	ID            uint64
	ClientIngress string
	Path          ordering.Path
	// Previous is the path that an open handoff moves away from, or 0.
	Previous ordering.Path
	State    State
}

// Reason says why a connection on a draining path is not moved.
type Reason uint8

// The reasons.
const (
	// ClientThroughIngress: its client came in through the ingress that is being reloaded.
	ClientThroughIngress Reason = iota + 1
	// NoOtherServerConnection: its app server has no other server connection.
	NoOtherServerConnection
	// TargetDraining: every other server connection of its app server is draining.
	TargetDraining
	// HandoffOpen: a handoff of it is open.
	HandoffOpen
	// NotConfirmed: the app server has not confirmed it yet.
	NotConfirmed
	// TargetSuspect: a move to each other server connection of its app server was not answered. The path that works is not
	// given up for one of those: each try would stop the traffic for the migration timeout.
	TargetSuspect
)

var reasonNames = [...]string{
	ClientThroughIngress: "client through the ingress", NoOtherServerConnection: "no other server connection",
	TargetDraining: "every target draining", HandoffOpen: "in a handoff", NotConfirmed: "not confirmed",
	TargetSuspect: "no target answers",
}

// String says the reason for people.
func (r Reason) String() string {
	if r > 0 && int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Passing reports whether waiting a moment may help.
func (r Reason) Passing() bool { return r == HandoffOpen || r == NotConfirmed || r == TargetSuspect }

// Decision is what becomes of one connection on a draining path: a target to move it to, or a reason.
type Decision struct {
	ID     uint64
	From   ordering.Path
	Target ordering.Path
	Reason Reason
}

// Choose returns the least loaded path of the least loaded instance. Paths that are suspect count only when there is no
// other, and likewise those that are draining. It returns false when there is none at all.
func Choose(paths []Path) (ordering.Path, bool) {
	for _, bad := range []func(Path) bool{
		func(p Path) bool { return p.Suspect },
		func(p Path) bool { return p.Draining },
	} {
		if rest := slices.DeleteFunc(slices.Clone(paths), bad); len(rest) > 0 {
			paths = rest
		}
	}
	if len(paths) == 0 {
		return 0, false
	}
	loads := make(map[string]int, len(paths))
	for _, p := range paths {
		loads[p.Instance] += p.Load
	}
	best := slices.MinFunc(paths, func(a, b Path) int {
		return cmp.Or(
			cmp.Compare(loads[a.Instance], loads[b.Instance]),
			cmp.Compare(a.Instance, b.Instance),
			cmp.Compare(a.Load, b.Load),
			cmp.Compare(a.ID, b.ID),
		)
	})
	return best.ID, true
}

// Resume returns the best path to resume a connection of the instance on, and counts it there: one that is not suspect if
// there is one, then one that is not draining, then the preferred one, then the least loaded. It returns false when there
// is none at all.
func Resume(paths []Path, instance string, prefer ordering.Path) (ordering.Path, bool) {
	var best *Path
	for i := range paths {
		if p := &paths[i]; p.Instance == instance && (best == nil || p.betterThan(best, prefer)) {
			best = p
		}
	}
	if best == nil {
		return 0, false
	}
	best.Load++
	return best.ID, true
}

func (p *Path) betterThan(o *Path, prefer ordering.Path) bool {
	switch {
	case p.Suspect != o.Suspect:
		return o.Suspect
	case p.Draining != o.Draining:
		return o.Draining
	case p.ID == prefer || o.ID == prefer:
		return p.ID == prefer
	}
	return p.Load < o.Load
}

// Plan decides for every connection that runs over a draining path. Targets are other paths of the same
// instance that are neither draining nor suspect, the least loaded first, counting what the plan itself adds.
func Plan(connections []Connection, paths []Path) []Decision {
	p := planner{byID: make(map[ordering.Path]*Path, len(paths)), byInstance: make(map[string][]*Path)}
	for i := range paths {
		path := &paths[i]
		p.byID[path.ID] = path
		p.byInstance[path.Instance] = append(p.byInstance[path.Instance], path)
	}
	var decisions []Decision
	for _, c := range connections {
		if d, ok := p.decide(c); ok {
			decisions = append(decisions, d)
		}
	}
	return decisions
}

type planner struct {
	byID       map[ordering.Path]*Path
	byInstance map[string][]*Path
}

// decide returns false for a connection that uses no draining path, or that is ending anyway.
func (p *planner) decide(c Connection) (Decision, bool) {
	if c.State == Closing {
		return Decision{}, false
	}
	from := p.byID[c.Path]
	if prev := p.byID[c.Previous]; prev != nil && prev.Draining {
		from = prev
	}
	if from == nil || !from.Draining {
		return Decision{}, false
	}
	d := Decision{ID: c.ID, From: from.ID}
	switch {
	case c.State == InHandoff:
		d.Reason = HandoffOpen
	case c.State == Opening:
		d.Reason = NotConfirmed
	case from.IngressReloading && c.ClientIngress == from.Ingress:
		d.Reason = ClientThroughIngress
	default:
		d.Target, d.Reason = p.target(from)
	}
	return d, true
}

func (p *planner) target(from *Path) (ordering.Path, Reason) {
	siblings := p.byInstance[from.Instance]
	if len(siblings) < 2 {
		return 0, NoOtherServerConnection
	}
	var best *Path
	reason := TargetDraining
	for _, s := range siblings {
		switch {
		case s.Draining:
		case s.Suspect:
			reason = TargetSuspect
		case best == nil || s.Load < best.Load:
			best = s
		}
	}
	if best == nil {
		return 0, reason
	}
	best.Load++
	from.Load--
	return best.ID, 0
}
