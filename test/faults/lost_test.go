package faults_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/holdfast/holdfast/test/faults/tcpproxy"
)

// lose cuts every path, lets none come back, and returns when it began.
func (s *scenario) lose() time.Time {
	s.t.Helper()
	s.waitProgress()
	begin := time.Now()
	s.paths.set(tcpproxy.Faults{Refuse: true})
	if n := s.paths.cut(); n != pathCount {
		s.t.Errorf("%d paths were cut, want %d", n, pathCount)
	}
	s.waitPaths(0, readyTimeout)
	return begin
}

// All paths are lost at once and come back within the park time: no client notices.
func testAllLostAndBack(t *testing.T) {
	clients := size(t, 200, 50)
	s := newScenario(t, checked, clients)
	s.lose()
	sleep(t, time.Duration(size(t, 5, 2))*time.Second)
	s.paths.set(tcpproxy.Faults{})
	s.waitPaths(pathCount, regainTimeout)
	s.waitClients(clients)
	// Each was on a lost path. The watcher hears of a resume a moment after it is over.
	waitFor(t, fmt.Sprintf("%d resumes", clients), regainTimeout, func() bool { return s.events.resumes() >= clients })
	s.conclude()
}

// All paths are lost for longer than the park time: every client is told so, not before that and soon after, and is
// served again when the paths are back.
func testAllLost(t *testing.T) {
	const parkTime = 3 * time.Second
	clients := size(t, 200, 50)
	s := newScenario(t, checked, clients, "--park-time", parkTime.String())
	begin := s.lose()
	count := func() int {
		all, err := s.clients()
		if err != nil {
			t.Error(err)
		}
		return len(all)
	}
	waitFor(t, "a client is closed", readyTimeout, func() bool { return count() < clients })
	if took := time.Since(begin); took < parkTime {
		t.Errorf("a client was closed after %v, before the park time of %v was over", took, parkTime)
	}
	waitFor(t, "every client is closed", readyTimeout, func() bool { return count() == 0 })
	s.paths.set(tcpproxy.Faults{})
	s.waitPaths(pathCount, regainTimeout)
	s.waitClients(clients)
	s.waitProgress()
	r := s.fleets[0].stop()
	for _, problem := range r.faults() {
		t.Error(problem)
	}
	if got, want := r.disconnected(), map[string]uint64{"Unavailable SERVER_LOST": uint64(clients)}; !maps.Equal(got, want) {
		t.Errorf("disconnected: %v, want %v", got, want)
	}
	// While no path is there, whoever comes back is refused, and told why as well.
	for _, reason := range slices.Sorted(maps.Keys(r.Refused)) {
		if want := s.address + ": Unavailable NO_APP_SERVER"; reason != want {
			t.Errorf("refused %d times: %q, want %q only", r.Refused[reason], reason, want)
		}
	}
}
