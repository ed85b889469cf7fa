package demo

import (
	"context"
	"slices"
	"time"
)

// Restart is what the restart of a relay did.
type Restart struct {
	Relay string `json:"relay"`
	// Disconnected counts the plain clients that were cut, DisconnectedResumable the others.
	Disconnected          uint64  `json:"disconnected"`
	DisconnectedResumable uint64  `json:"disconnected_resumable"`
	Seconds               float64 `json:"seconds"`
}

// restart ends the first relay and starts it again, and waits until everything stands again.
func (s *show) restart(ctx context.Context) (Restart, error) {
	begin := time.Now()
	r, o := s.stage.relays[0], s.observers[0]
	before, beforeResumable := s.disconnected()
	s.print.say("%s: STOPPED (SIGTERM to process %d); its resumable clients have %s to move to the other", r.id, r.process.PID(), relayGrace)
	if err := s.stage.processes.End(r.process, stopGrace); err != nil {
		return Restart{}, err
	}
	s.observers = s.observers[1:]
	_ = o.stop() // It tells that the relay has ended.
	s.print.say("%s: ended; it is STARTED again", r.id)
	if err := s.stage.runRelay(ctx, r, r.id+"-again"); err != nil {
		return Restart{}, err
	}
	o, err := s.observe(ctx, r)
	if err != nil {
		return Restart{}, err
	}
	s.observers = slices.Insert(s.observers, 0, o)
	if err := poll(ctx, "all clients connected", recoverTimeout, func() bool { return s.fleets.connected() == s.fleets.clients }); err != nil {
		return Restart{}, err
	}
	if err := pause(ctx, s.stage.cfg.Settle); err != nil {
		return Restart{}, err
	}
	after, afterResumable := s.disconnected()
	result := Restart{
		Relay: r.id, Disconnected: after - before, DisconnectedResumable: afterResumable - beforeResumable,
		Seconds: milliseconds(time.Since(begin).Round(time.Millisecond)) / 1000,
	}
	s.print.say("%s: the restart is over: %d plain clients disconnected and back, %d resumable ones; %s",
		r.id, result.Disconnected, result.DisconnectedResumable, s.soFar())
	return result, nil
}
