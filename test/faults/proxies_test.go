package faults_test

import (
	"slices"
	"testing"
	"time"
)

const pathCount = 3

// scenario is a system whose app server comes in through proxies, with clients that come in directly.
type scenario struct {
	*system
	paths  paths
	fleets []*fleet
}

// newScenario starts it. The flags are for the relay and the app server.
func newScenario(t *testing.T, build builder, clients int, flags ...string) *scenario {
	t.Helper()
	s := startSystem(t, build, nil, nil, flags...)
	p := newPaths(t, pathCount, s.address)
	s.startAppServer(nil, p.addresses(), flags...)
	f := s.startFleet("clients", clients, small, s.address)
	s.waitClients(clients)
	return &scenario{s, p, []*fleet{f}}
}

// addLarge adds clients with large messages.
func (s *scenario) addLarge(clients int) {
	s.t.Helper()
	s.fleets = append(s.fleets, s.startFleet("clients-large", clients, large, s.address))
	s.waitClients(s.clientCount())
}

func (s *scenario) clientCount() int {
	n := 0
	for _, f := range s.fleets {
		n += f.clients
	}
	return n
}

// conclude waits until everything stands again and works, and judges what the clients saw.
func (s *scenario) conclude() {
	s.t.Helper()
	s.waitPaths(pathCount, regainTimeout)
	s.waitClients(s.clientCount())
	s.waitProgress()
	for _, f := range s.fleets {
		f.unharmed()
	}
}

// With no fault at all there is nothing to see: what the other tests find is not of the harness.
func testNone(t *testing.T) {
	s := newScenario(t, fast, size(t, 500, 50))
	s.waitProgress()
	if moves, lost := s.moves(), s.events.pathsLost(); moves != 0 || lost != 0 {
		t.Errorf("%d moves and %d lost paths with no fault", moves, lost)
	}
	s.conclude()
}

// Paths that are slow for a while lose nothing.
func testSlow(t *testing.T) {
	s := newScenario(t, fast, size(t, 500, 50))
	steps := schedule(seed(t), pathCount, slowing, time.Duration(size(t, 12, 4))*time.Second)
	done := s.paths.suffer(t, s.system, steps)
	t.Logf("%d steps, %v; %d server connections were lost", done.steps, done.kinds, s.events.pathsLost())
	s.conclude()
}

// Paths break in every way, one, two or all at once, while connections are moved between them all the time.
func testProxies(t *testing.T) {
	s := newScenario(t, fast, size(t, 490, 45))
	s.addLarge(size(t, 10, 5))
	steps := schedule(seed(t), pathCount, slices.Concat(slowing, cutting), time.Duration(size(t, 60, 8))*time.Second)
	stop := s.keepMoving()
	done := s.paths.suffer(t, s.system, steps)
	moved := stop()
	s.waitClients(s.clientCount())
	t.Logf("%d steps, %v: %d connections cut, %d paths lost, %d logical connections on paths that were broken",
		done.steps, done.kinds, done.cuts, s.events.pathsLost(), done.hit)
	t.Logf("%d handoffs (%d asked for and answered), %d parked, %d resumed; %d moves by their epochs",
		s.events.handoffs(), moved, s.events.parked(), s.events.resumes(), s.moves())
	if done.cuts == 0 || done.hit == 0 || s.events.pathsLost() == 0 {
		t.Error("no fault hit anything, so that nothing was proved")
	}
	if s.events.resumes() == 0 {
		t.Error("nothing was resumed, so that nothing was proved")
	}
	s.conclude()
}

// size returns how much to do.
func size(t *testing.T, long, short int) int {
	t.Helper()
	if testing.Short() {
		return short
	}
	return long
}
