package demo

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
)

// recoverTimeout is how long everything may take to stand again after the grace.
const recoverTimeout = 15 * time.Second

// Reload is what one reload did.
type Reload struct {
	Ingress   string `json:"ingress"`
	Announced bool   `json:"announced"`
	// Safe is what the relays said before an announced reload.
	Safe    bool   `json:"safe"`
	Planned uint32 `json:"planned"`
	Moved   int    `json:"moved"`
	// Disconnected and DisconnectedElsewhere count the plain clients of the reloaded ingress and of the other,
	// DisconnectedResumable the resumable clients of both.
	Disconnected          uint64  `json:"disconnected"`
	DisconnectedElsewhere uint64  `json:"disconnected_elsewhere"`
	DisconnectedResumable uint64  `json:"disconnected_resumable"`
	Seconds               float64 `json:"seconds"`
}

// reload reloads one ingress and waits until everything stands again.
func (s *show) reload(ctx context.Context, in *ingress, announced bool) (Reload, error) {
	begin := time.Now()
	before, movedBefore := s.fleets.plain.Snapshot().Disconnected, s.ledger.moves().total()
	_, resumableBefore := s.disconnected()
	r := Reload{Ingress: in.id, Announced: announced}
	old, err := s.serverConnections(ctx, in.id)
	if err != nil {
		return r, err
	}
	if r.Announced {
		if err := s.announce(ctx, in, &r); err != nil {
			return r, err
		}
	}
	if err := in.process.Signal(syscall.SIGHUP); err != nil {
		return r, err
	}
	s.print.say("ingress %s: RELOADED (SIGHUP to process %d); open streams run on for %s", in.id, in.process.PID(), s.stage.cfg.Grace)
	if err := s.stand(ctx, in.id, old); err != nil {
		return r, err
	}
	if r.Announced {
		for _, o := range s.observers {
			if err := o.complete(ctx, in.id); err != nil {
				return r, err
			}
		}
	}
	if err := pause(ctx, s.stage.cfg.Settle); err != nil {
		return r, err
	}
	for id, n := range s.fleets.plain.Snapshot().Disconnected {
		if id == in.id {
			r.Disconnected = n - before[id]
		} else {
			r.DisconnectedElsewhere += n - before[id]
		}
	}
	_, resumable := s.disconnected()
	r.DisconnectedResumable = resumable - resumableBefore
	r.Moved = s.ledger.moves().total() - movedBefore
	r.Seconds = milliseconds(time.Since(begin).Round(time.Millisecond)) / 1000
	return r, nil
}

// announce has the relays, all at once, move the logical connections off the ingress, and the resumable clients.
func (s *show) announce(ctx context.Context, in *ingress, r *Reload) error {
	done, errs := make([]*holdfastv1.ReloadIngressResponse, len(s.observers)), make([]error, len(s.observers))
	var all sync.WaitGroup
	for n, o := range s.observers {
		all.Go(func() { done[n], errs[n] = o.announce(ctx, in.id) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.Safe = true
	for n, o := range s.observers {
		r.Planned += done[n].GetPlanned()
		if !done[n].GetSafeToReload() {
			r.Safe = false
			s.print.say("%s: ingress %s is NOT safe to reload, left: %s", o.relay, in.id, admin.Left(done[n].GetLeft()))
		}
	}
	if r.Safe {
		s.print.say("ingress %s: SAFE to reload", in.id)
	}
	return nil
}

// stand waits until the grace is over, and then until the app servers have new server connections through
// the ingress and every client is connected.
func (s *show) stand(ctx context.Context, id string, old map[string]bool) error {
	if err := pause(ctx, s.stage.cfg.Grace); err != nil {
		return err
	}
	return poll(ctx, "new server connections through ingress "+id+" and all clients connected", recoverTimeout, func() bool {
		now, err := s.serverConnections(ctx, id)
		if err != nil || len(now) < len(old) {
			return false
		}
		for c := range now {
			if old[c] {
				return false
			}
		}
		return s.fleets.connected() == s.fleets.clients
	})
}

// serverConnections returns the server connections through an ingress, to all relays.
func (s *show) serverConnections(ctx context.Context, id string) (map[string]bool, error) {
	all := map[string]bool{}
	for _, o := range s.observers {
		own, err := o.serverConnections(ctx, id)
		if err != nil {
			return nil, err
		}
		for c := range own {
			all[o.relay+"/"+c] = true
		}
	}
	return all, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
