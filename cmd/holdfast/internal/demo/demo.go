package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/traffic"
)

const (
	// stopGrace is how long a process may take to end.
	stopGrace = 10 * time.Second
	// trafficGrace is how long the clients may take to end.
	trafficGrace = 10 * time.Second
)

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
	fleet     *traffic.Fleet
	ledger    *ledger
	observers []*observer // of the relays, in their order
}

// perform runs the show on a stage that stands.
func perform(ctx context.Context, st *stage, print *printer) (Result, error) {
	fleet, err := traffic.New(traffic.Config{
		Addresses: []string{st.ingresses[0].address, st.ingresses[1].address}, Clients: st.cfg.Clients, Application: application,
		Rate: st.cfg.Rate, Size: st.cfg.Size, CountInterval: st.cfg.CountInterval, StopGrace: trafficGrace,
	})
	if err != nil {
		return Result{}, err
	}
	s := &show{stage: st, print: print, fleet: fleet, ledger: newLedger()}
	var reloads []Reload
	var report traffic.Report
	if err = s.observeAll(ctx); err == nil {
		reloads, report, err = s.perform(ctx)
	}
	for _, o := range s.observers {
		err = errors.Join(err, o.stop())
	}
	if err != nil {
		return Result{}, err
	}
	return newResult(st.cfg.Kind, reloads, s.ledger.moves(), report), nil
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

// perform runs the traffic and reloads the ingresses meanwhile.
func (s *show) perform(ctx context.Context) ([]Reload, traffic.Report, error) {
	flowing, stopTraffic := context.WithCancel(ctx)
	defer stopTraffic()
	reported := make(chan traffic.Report, 1)
	go func() { reported <- s.fleet.Run(flowing) }()

	reloads, err := s.reloads(ctx)
	stopTraffic()
	report := <-reported
	if err == nil {
		s.print.say("traffic stopped in good order")
	}
	return reloads, report, err
}

// announces reports whether the nth reload, from 0, is announced.
func (s *show) announces(n int) bool {
	turn := n / len(s.stage.ingresses) // of the ingress; it shifts the pattern, so that each ingress has both kinds
	return s.stage.cfg.Announce == All || (s.stage.cfg.Announce == Half && (n+turn)%2 == 0)
}

func (s *show) reloads(ctx context.Context) ([]Reload, error) {
	begin := time.Now()
	if err := s.clientsReady(ctx); err != nil {
		return nil, err
	}
	s.print.say("%d clients connected within %s, half through each ingress; traffic flows both ways",
		s.stage.cfg.Clients, time.Since(begin).Round(time.Millisecond))
	if err := pause(ctx, s.stage.cfg.Settle); err != nil {
		return nil, err
	}
	var all []Reload
	for n := range s.stage.cfg.Reloads {
		r, err := s.reload(ctx, s.stage.ingresses[n%len(s.stage.ingresses)], s.announces(n))
		if err != nil {
			return nil, err
		}
		all = append(all, r)
		now := s.fleet.Snapshot()
		s.print.say("reload %d of %d is over: %d moved, %d clients of ingress %s disconnected and back, %d of the other; sent %d, received %d, %s",
			n+1, s.stage.cfg.Reloads, r.Moved, r.Disconnected, r.Ingress, r.DisconnectedElsewhere,
			now.Sent, now.Echoed+now.Counted, now.Faults())
	}
	return all, nil
}

func (s *show) clientsReady(ctx context.Context) error {
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	select {
	case <-s.fleet.Ready():
		return nil
	case <-timeout.C:
		return fmt.Errorf("only %d of %d clients were connected within %s; try fewer with --clients",
			s.fleet.Snapshot().Connected, s.stage.cfg.Clients, readyTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
