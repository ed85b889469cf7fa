package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
	"github.com/holdfast/holdfast/pkg/verify"
)

// stopGrace is how long a process may take to end.
const stopGrace = 10 * time.Second

// Run runs the demo and tells on lines what happens. It leaves no process and no file behind, unless the
// configuration keeps them.
func Run(ctx context.Context, cfg Config, lines io.Writer) (result Result, err error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	found, err := find(cfg.Kind)
	if err != nil {
		return Result{}, err
	}
	dir, err := os.MkdirTemp("", "holdfast-demo-")
	if err != nil {
		return Result{}, fmt.Errorf("temporary folder: %w", err)
	}
	print := &printer{begin: time.Now(), w: lines}
	if cfg.Keep {
		print.say("what the processes write is in %s", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	st := &stage{cfg: cfg, programs: found, dir: dir, processes: process.NewGroup(dir, lost)}
	defer func() { err = errors.Join(err, st.processes.Stop(stopGrace)) }()
	if err := st.build(ctx); err != nil {
		return Result{}, err
	}
	for _, r := range st.relays {
		print.say("%s at %s, admin at %s", r.id, r.address, r.admin)
	}
	print.say("%s ingresses a at %s and b at %s, each in front of both; app servers %v",
		cfg.Kind, st.ingresses[0].address, st.ingresses[1].address, st.appServers)
	return perform(ctx, st, print)
}

// show is the part of the demo with an audience: traffic, reloads, events.
type show struct {
	stage     *stage
	print     *printer
	fleets    *fleets
	ledger    *ledger
	observers []*observer // of the relays
}

// perform runs the show on a stage that stands.
func perform(ctx context.Context, st *stage, print *printer) (Result, error) {
	fleets, err := newFleets(st.cfg, []string{st.ingresses[0].address, st.ingresses[1].address})
	if err != nil {
		return Result{}, err
	}
	s := &show{stage: st, print: print, fleets: fleets, ledger: newLedger()}
	var result Result
	if err = s.observeAll(ctx); err == nil {
		result, err = s.perform(ctx)
	}
	for _, o := range s.observers {
		err = errors.Join(err, o.stop())
	}
	if err != nil {
		return Result{}, err
	}
	result.judge(s.ledger.moves())
	return result, nil
}

// observeAll begins to tell the events of the relays.
func (s *show) observeAll(ctx context.Context) error {
	servers := 0
	for _, r := range s.stage.relays {
		o, err := s.observe(ctx, r)
		if err != nil {
			return err
		}
		s.observers = append(s.observers, o)
		servers += len(o.narrator.servers)
	}
	s.print.say("%d server connections: each app server has one through each ingress to each relay", servers)
	return nil
}

// perform runs the traffic, and the reloads meanwhile.
func (s *show) perform(ctx context.Context) (Result, error) {
	flowing, stopTraffic := context.WithCancel(ctx)
	defer stopTraffic()
	result := Result{IngressKind: s.stage.cfg.Kind}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result.Traffic, result.Resumable = s.fleets.run(flowing)
	}()
	reloads, restarts, err := s.acts(ctx)
	stopTraffic()
	<-ended
	if err == nil {
		s.print.say("traffic stopped in good order")
	}
	result.Reloads, result.Restarts = reloads, restarts
	return result, err
}

// announces reports whether the nth reload, from 0, is announced.
func (s *show) announces(n int) bool {
	turn := n / len(s.stage.ingresses) // of the ingress; it shifts the pattern, so that each ingress has both kinds
	return s.stage.cfg.Announce == All || (s.stage.cfg.Announce == Half && (n+turn)%2 == 0)
}

// acts are the reloads of the ingresses, and the restart of a relay.
func (s *show) acts(ctx context.Context) ([]Reload, []Restart, error) {
	begin := time.Now()
	if err := s.fleets.ready(ctx); err != nil {
		return nil, nil, err
	}
	s.print.say("%d plain clients, half through each ingress, and %d resumable ones connected within %s; traffic flows both ways",
		s.stage.cfg.Clients, s.stage.cfg.Resumable, time.Since(begin).Round(time.Millisecond))
	if err := pause(ctx, s.stage.cfg.Settle); err != nil {
		return nil, nil, err
	}
	var reloads []Reload
	for n := range s.stage.cfg.Reloads {
		r, err := s.reload(ctx, s.stage.ingresses[n%len(s.stage.ingresses)], s.announces(n))
		if err != nil {
			return nil, nil, err
		}
		reloads = append(reloads, r)
		s.print.say("reload %d of %d is over: %d moved; plain clients: %d of ingress %s disconnected and back, %d of the other; resumable ones: %d; %s",
			n+1, s.stage.cfg.Reloads, r.Moved, r.Disconnected, r.Ingress, r.DisconnectedElsewhere, r.DisconnectedResumable, s.soFar())
	}
	if !s.stage.cfg.Restart {
		return reloads, nil, nil
	}
	r, err := s.restart(ctx)
	return reloads, []Restart{r}, err
}

// soFar says what the clients sent and received.
func (s *show) soFar() string {
	var sent, received uint64
	var faults verify.Tally
	for _, f := range s.fleets.all() {
		now := f.Snapshot()
		sent, received, faults = sent+now.Sent, received+now.Echoed+now.Counted, faults.Plus(now.Faults())
	}
	return fmt.Sprintf("sent %d, received %d, %s", sent, received, faults)
}

// disconnected returns how often plain and resumable clients were disconnected so far.
func (s *show) disconnected() (plain, resumable uint64) {
	for _, n := range s.fleets.plain.Snapshot().Disconnected {
		plain += n
	}
	if s.fleets.resumable == nil {
		return plain, 0
	}
	for _, n := range s.fleets.resumable.Snapshot().Disconnected {
		resumable += n
	}
	return plain, resumable
}
