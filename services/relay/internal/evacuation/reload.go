package evacuation

import (
	"context"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
)

// progressInterval is how often the progress of a reload is looked at.
const progressInterval = 50 * time.Millisecond

// reload counts what happened to connections of an ingress that is being reloaded; guarded by Evacuator.mu.
type reload struct {
	moved, closed int
	began         time.Time
	// clients says how far the clients are that were asked to move.
	clients func() (asked, moved, waiting int)
	// last is the progress as it was measured; followed says that the caller of Reload still measures it.
	last     Progress
	measured time.Time
	followed bool
}

func (r *reload) count(o logical.Outcome) {
	switch o {
	case logical.Moved, logical.Resumed:
		r.moved++
	case logical.ConnectionEnded:
		r.closed++
	}
}

// Progress is how far the reload of an ingress is.
type Progress struct {
	Ingress string
	// Planned counts the connections that could be moved, Moved those that were, Closed those that ended for
	// reasons of their own.
	Planned, Moved, Closed int
	// ClientsAsked counts the resumable clients that came in through the ingress and were asked to move, ClientsMoved those
	// that have.
	ClientsAsked, ClientsMoved int
	// Left counts those still there, by reason; those whose turn has not come are not among them.
	Left      map[placement.Reason]int
	Elapsed   time.Duration
	Done      bool
	Safe      bool
	ReturnsAt time.Time
}

// Reload takes the ingress out of service and reports the progress until all that can be moved is moved, or the
// wait is over, or the context ends; the ingress stays out of service until EndReload or the deadline. Report is
// called from this goroutine, the last time with Done.
func (e *Evacuator) Reload(ctx context.Context, ingress string, wait, deadline time.Duration, report func(Progress) error) error {
	began := time.Now()
	returnsAt := began.Add(deadline)
	if err := e.registry.BeginReload(ingress, returnsAt); err != nil {
		return err
	}
	r := &reload{
		clients: e.clients.Ask(ingress, holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD),
		began:   began, last: Progress{Ingress: ingress, ReturnsAt: returnsAt}, followed: true,
	}
	e.mu.Lock()
	e.reloads[ingress] = r
	e.mu.Unlock()
	defer e.unfollow(r)
	e.log.Info("reload began", "ingress", ingress, "returns_at", returnsAt)
	e.registry.PublishIngress(holdfastv1.EventKind_EVENT_KIND_RELOAD_STARTED, ingress, "")
	e.Reconsider()
	return e.follow(ctx, r, r.last, wait, report)
}

func (e *Evacuator) follow(ctx context.Context, r *reload, p Progress, wait time.Duration, report func(Progress) error) error {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	last := Progress{Planned: -1}
	for {
		pending, waiting := e.measure(r, &p)
		p.Elapsed = time.Since(r.began)
		ended := !e.registry.Reloading(p.Ingress)
		clear := pending == 0 && p.onlyOwnClients()
		p.Done = ended || (clear && waiting == 0) || p.Elapsed >= wait
		p.Safe = clear && !ended
		e.note(r, p)
		if p.Done || p.differs(last) {
			if err := report(p); err != nil {
				return err
			}
			last = p
		}
		if p.Done {
			e.log.Info("reload is ready", "ingress", p.Ingress, "safe", p.Safe, "moved", p.Moved, "elapsed", p.Elapsed)
			detail := "safe to reload"
			if !p.Safe {
				detail = "not safe to reload"
			}
			e.registry.PublishIngress(holdfastv1.EventKind_EVENT_KIND_RELOAD_READY, p.Ingress, detail)
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// measure updates the progress and returns how many connections are to be moved or are in a handoff, and how many clients were
// asked to move and have not. Those connections that only lack a target are not among them; one may attach while the reload waits.
func (e *Evacuator) measure(r *reload, p *Progress) (pending, waiting int) {
	p.ClientsAsked, p.ClientsMoved, waiting = r.clients()
	e.tally(p) // before the snapshot, so that no connection is counted as moved and as pending
	paths := make(map[ordering.Path]bool)
	for _, path := range e.registry.Paths() {
		paths[path.ID] = path.Ingress == p.Ingress
	}
	decisions := e.plan()
	p.Left = make(map[placement.Reason]int)
	for _, d := range decisions {
		switch {
		case !paths[d.From]:
		case d.Target != 0:
			pending++
		default:
			p.Left[d.Reason]++
			if d.Reason.Passing() {
				pending++
			}
		}
	}
	p.Planned = max(p.Planned, p.Moved+pending)
	if pending == 0 { // with those that ended while the snapshot was taken
		e.tally(p)
		p.Planned = max(p.Planned, p.Moved)
	}
	return pending, waiting
}

func (e *Evacuator) tally(p *Progress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.reloads[p.Ingress]; r != nil {
		p.Moved, p.Closed = r.moved, r.closed
	}
}

func (p *Progress) onlyOwnClients() bool {
	for reason, n := range p.Left {
		if n > 0 && reason != placement.ClientThroughIngress {
			return false
		}
	}
	return true
}

func (p *Progress) differs(o Progress) bool {
	return p.Planned != o.Planned || p.Moved != o.Moved || p.Closed != o.Closed || p.ClientsMoved != o.ClientsMoved ||
		len(p.Left) != len(o.Left)
}

// EndReload returns the ingress to service.
func (e *Evacuator) EndReload(ingress, why string) error {
	err := e.registry.EndReload(ingress, why)
	if err == nil {
		e.mu.Lock()
		delete(e.reloads, ingress)
		e.mu.Unlock()
	}
	return err
}

// endReload is EndReload for a deadline: somebody else may have been faster.
func (e *Evacuator) endReload(ingress, why string) { _ = e.EndReload(ingress, why) }
