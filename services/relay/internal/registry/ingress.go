package registry

import (
	"maps"
	"slices"
	"strings"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/event"
)

// BeginReload takes the ingress out of service until the time.
func (r *Registry) BeginReload(ingress string, returnsAt time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	state, err := r.ingressLocked(ingress)
	if err != nil {
		return err
	}
	if !state.returnsAt.IsZero() {
		return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RELOAD_IN_PROGRESS,
			"ingress %q is being reloaded already; complete or cancel that first, or wait until it returns by itself at %s",
			ingress, state.returnsAt.Format(time.RFC3339))
	}
	state.requested, state.returnsAt = time.Now(), returnsAt
	return nil
}

// EndReload returns the ingress to service.
func (r *Registry) EndReload(ingress, why string) error {
	r.mu.Lock()
	state, err := r.ingressLocked(ingress)
	if err == nil && state.returnsAt.IsZero() {
		err = wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NO_RELOAD, "ingress %q is not being reloaded", ingress)
	}
	if err != nil {
		r.mu.Unlock()
		return err
	}
	state.returnsAt = time.Time{}
	r.mu.Unlock()
	r.log.Info("ingress is in service", "ingress", ingress, "detail", why)
	r.PublishIngress(holdfastv1.EventKind_EVENT_KIND_INGRESS_IN_SERVICE, ingress, why)
	r.mover.Reconsider()
	return nil
}

// PublishIngress tells watchers about an ingress.
func (r *Registry) PublishIngress(kind holdfastv1.EventKind, ingress, detail string) {
	r.events.Publish(func() *event.Event { return &event.Event{Kind: kind, Ingress: ingress, Detail: detail} })
}

// Reloading reports whether the ingress is being reloaded.
func (r *Registry) Reloading(ingress string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reloadingLocked(ingress)
}

// ReloadRequested returns when the reload of the ingress was announced; zero when it is not being reloaded.
func (r *Registry) ReloadRequested(ingress string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.reloadingLocked(ingress) {
		return time.Time{}
	}
	return r.ingresses[ingress].requested
}

// Reloads returns the ingresses that are being reloaded, and when each returns to service by itself.
func (r *Registry) Reloads() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	reloads := make(map[string]time.Time)
	for name, s := range r.ingresses {
		if !s.returnsAt.IsZero() {
			reloads[name] = s.returnsAt
		}
	}
	return reloads
}

// Ingresses returns the names of all ingresses that were seen, sorted.
func (r *Registry) Ingresses() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.ingresses))
}

// Clients returns how many logical connections there are by the ingress that their clients came in through, and of how many of them
// the client's stream is gone. It counts none of them: its cost is that of the ingresses.
func (r *Registry) Clients() (clients, away map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clients, away = make(map[string]int, len(r.ingresses)), make(map[string]int, len(r.ingresses))
	for name, s := range r.ingresses {
		clients[name] = s.clients
		away[name] = max(s.away, 0) // one that ended in this instant may be uncounted before it is counted
	}
	return clients, away
}

func (r *Registry) clientAway(ingress string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.ingresses[ingress]; s != nil {
		s.away++
	}
}

func (r *Registry) clientLeft(ingress string, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.ingresses[ingress]
	if s == nil {
		return
	}
	s.clients--
	if away {
		s.away--
	}
}

func (r *Registry) ingressLocked(name string) (*ingressState, error) {
	if s := r.ingresses[name]; s != nil {
		return s, nil
	}
	return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_INGRESS,
		"ingress %q is not known; the relay has seen: %s", name, strings.Join(slices.Sorted(maps.Keys(r.ingresses)), ", "))
}

func (r *Registry) seenLocked(ingress string) {
	if r.ingresses[ingress] == nil {
		r.ingresses[ingress] = &ingressState{}
	}
}

func (r *Registry) reloadingLocked(ingress string) bool {
	s := r.ingresses[ingress]
	return s != nil && !s.returnsAt.IsZero()
}
