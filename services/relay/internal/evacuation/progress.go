package evacuation

import (
	"cmp"
	"slices"
	"time"
)

// measureInterval is how often the progress of a reload that nobody follows is measured, at most.
const measureInterval = time.Second

// Reloads returns how far each reload is, in the order of the ingresses' names. It costs nothing while the caller of Reload
// follows the progress; without one, each reload is measured anew once a second at most.
func (e *Evacuator) Reloads() []Progress {
	var all []Progress
	for ingress := range e.registry.Reloads() {
		if p, ok := e.progress(ingress, time.Now()); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Progress) int { return cmp.Compare(a.Ingress, b.Ingress) })
	return all
}

func (e *Evacuator) progress(ingress string, now time.Time) (Progress, bool) {
	e.mu.Lock()
	r := e.reloads[ingress]
	if r == nil {
		e.mu.Unlock()
		return Progress{}, false
	}
	p := r.last
	p.Moved, p.Closed = r.moved, r.closed
	p.Planned = max(p.Planned, p.Moved)
	due := !r.followed && now.Sub(r.measured) >= measureInterval
	if due {
		r.measured = now // another caller at the same time takes what there is
	}
	e.mu.Unlock()
	if due {
		pending, _ := e.measure(r, &p)
		p.Safe = pending == 0 && p.onlyOwnClients()
		p.Done = p.Done || p.Safe
		e.note(r, p)
	}
	return p, true
}

// note keeps the progress for those who ask. Its map is not changed any more.
func (e *Evacuator) note(r *reload, p Progress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.last, r.measured = p, time.Now()
}

func (e *Evacuator) unfollow(r *reload) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.followed = false
}
