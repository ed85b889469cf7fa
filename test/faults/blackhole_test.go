package faults_test

import (
	"net"
	"slices"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// Paths take every packet and tell nobody: both ways or one, one path, two or all at once. The app server is in a
// network namespace of its own, with three links to that of the relay and the clients.
func testBlackHole(t *testing.T) {
	n := newNetwork(t, pathCount)
	s := startSystem(t, checked, within(n.relay), n.dial)
	_, port, _ := net.SplitHostPort(s.address)
	var relays []string
	for i := range n.links {
		relays = append(relays, net.JoinHostPort(host(i, 1), port))
	}
	s.startAppServer(within(n.app), relays)
	f := s.startFleet("clients", size(t, 200, 50), small, s.address)
	s.waitClients(f.clients)
	for _, round := range []struct {
		name   string
		spaces []string // whose ends get nothing
		links  int
		long   bool
	}{
		{"both ways", []string{n.relay, n.app}, 1, false},
		{"from the relay", []string{n.app}, 1, false},
		{"from the app server", []string{n.relay}, 1, false},
		{"both ways, two paths", []string{n.relay, n.app}, 2, true},
		{"from the relay, two paths", []string{n.app}, 2, true},
		{"both ways, all paths", []string{n.relay, n.app}, 3, false},
	} {
		if round.long && testing.Short() {
			continue
		}
		s.waitProgress()
		lost, resumed := s.events.pathsLost(), s.events.resumes()
		hit := s.blackHole(n, round.spaces, round.links)
		s.waitPaths(n.links, regainTimeout)
		s.waitClients(f.clients)
		t.Logf("%s: %d connections on it, %d server connections lost, %d resumes", round.name, hit,
			s.events.pathsLost()-lost, s.events.resumes()-resumed)
		if hit == 0 || s.events.pathsLost() == lost {
			t.Errorf("%s: the black hole hit nothing", round.name)
		}
	}
	if s.events.resumes() == 0 {
		t.Error("nothing was resumed, so that nothing was proved")
	}
	s.waitProgress()
	f.unharmed()
}

// blackHole black-holes the busiest links until the relay has given up the server connections there, and returns how
// many logical connections they carried.
func (s *system) blackHole(n *network, spaces []string, links int) (hit int) {
	s.t.Helper()
	lost := s.events.pathsLost()
	var holes []hole
	for _, i := range s.busiestLinks(n)[:links] {
		hit += s.load(over(i))
		holes = append(holes, hole{i, spaces})
	}
	before := 0
	for _, space := range spaces {
		before += dropped(s.t, space)
	}
	for _, h := range holes {
		if err := h.open(); err != nil {
			s.t.Fatal(err)
		}
	}
	waitFor(s.t, "the relay gives up the server connections of black-holed paths", readyTimeout, func() bool {
		return s.events.pathsLost() >= lost+links
	})
	for _, h := range holes {
		if err := h.heal(); err != nil {
			s.t.Fatal(err)
		}
	}
	after := 0
	for _, space := range spaces {
		after += dropped(s.t, space)
	}
	if after == before {
		s.t.Error("the black hole took no packet")
	}
	return hit
}

// over says of a server connection whether it goes over a link.
func over(i int) func(*holdfastv1.ServerConnection) bool {
	return func(c *holdfastv1.ServerConnection) bool {
		at, _, _ := net.SplitHostPort(c.GetAddress())
		return at == host(i, 2)
	}
}

func (s *system) busiestLinks(n *network) []int {
	order, load := make([]int, n.links), make([]int, n.links)
	for i := range order {
		order[i], load[i] = i, s.load(over(i))
	}
	slices.SortStableFunc(order, func(a, b int) int { return load[b] - load[a] })
	return order
}
