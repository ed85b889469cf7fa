package clients_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	fleetSize    = 500
	browserCount = 100
	// reconnectWindow is what clients that are asked to move are spread over.
	reconnectWindow = 2 * time.Second
	// A killed relay is started again after this time.
	relayAway = 3 * time.Second
	// How often the TCP connection of a client is cut, of either kind.
	cutEvery = time.Second
)

// lasts is the environment variable that says for how long TestFleet goes on, two minutes when it is not set.
const lasts = "HOLDFAST_FLEET_TIME"

// step is one thing that is done to the system.
type step struct {
	name string
	do   func(*system, *causes)
}

// plan has each ingress reloaded with an announcement and without, and each relay taken away.
var plan = []step{
	{"reload ingress a, announced", func(s *system, c *causes) { s.reload(c, s.ingresses[0], true) }},
	{"reload ingress b", func(s *system, c *causes) { s.reload(c, s.ingresses[1], false) }},
	{"kill relay one", func(s *system, c *causes) { s.killRelay(c, s.relays[0]) }},
	{"reload ingress b, announced", func(s *system, c *causes) { s.reload(c, s.ingresses[1], true) }},
	{"shut relay two down", func(s *system, c *causes) { s.restartRelay(c, s.relays[1]) }},
	{"reload ingress a", func(s *system, c *causes) { s.reload(c, s.ingresses[0], false) }},
	{"reload ingress a, announced", func(s *system, c *causes) { s.reload(c, s.ingresses[0], true) }},
	{"reload ingress b", func(s *system, c *causes) { s.reload(c, s.ingresses[1], false) }},
}

// Resumable clients go on while reloads of both ingresses, the death of a relay, the shutdown of the other and cut sockets come one
// after the other: nothing is lost, doubled or reordered, and their application sees one connection from beginning to end. Plain
// clients are cut by that, and each end of theirs is one that was caused here.
func TestFleet(t *testing.T) {
	length := long(2*time.Minute, 30*time.Second)
	steps := long(plan, plan[:5])
	if text := os.Getenv(lasts); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s=%q: %v", lasts, text, err)
		}
	}
	s := startSystem(t, "--reconnect-window", reconnectWindow.String())
	f := startFleet(t, fleetSize, []string{s.ingresses[0].clients, s.ingresses[1].clients})
	b := startBrowsers(t, browserCount, s.ingresses)
	caused, begin := newCauses(), time.Now()
	uncut := s.keepCutting(f, b)
	for i, step := range steps {
		sleep(t, time.Until(begin.Add(length*time.Duration(i)/time.Duration(len(steps)))))
		t.Logf("after %v: %s", time.Since(begin).Round(time.Second), step.name)
		step.do(s, caused)
	}
	sleep(t, time.Until(begin.Add(length)))
	uncut()
	s.conclude(f, b, caused)
}

// conclude waits until everything is quiet, stops all clients and fails the test for everything that was noticed.
func (s *system) conclude(f *fleet, b *browsers, caused *causes) {
	s.t.Helper()
	for _, r := range s.relays {
		s.waitAttached(r)
	}
	b.waitProgress()
	f.waitProgress()
	s.waitHandlers(len(f.clients) + len(b.clients))
	ids := f.ids()
	for _, r := range s.relays {
		for _, problem := range r.ended(ids) {
			s.t.Errorf("relay %s: %s", r.id, problem)
		}
	}
	ends, problems := b.stop(caused)
	problems = append(problems, f.stop()...)
	problems = append(problems, wrongCauses(f.causes)...)
	const shown = 20
	for i, problem := range problems {
		if i == shown {
			s.t.Errorf("and %d problems more", len(problems)-shown)
			break
		}
		s.t.Error(problem)
	}
	for _, end := range []string{endShutdown, endCut, endKilled, endReloaded} {
		if ends[end] == 0 {
			s.t.Errorf("no session of a plain client ended so: %s", end)
		}
	}
	s.t.Log(f.summary())
	s.t.Logf("%d plain clients: their sessions ended as %v; refused: %v", browserCount, ends, b.refusals())
}

// reload reloads the ingress; where that is announced, the relays are told before and after.
func (s *system) reload(caused *causes, in *nginx, announced bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), readyTimeout)
	defer cancel()
	if announced {
		if err := each(s.relays, func(i int) error {
			p, err := s.relays[i].announce(ctx, in.id)
			if err == nil && !p.GetSafeToReload() {
				return fmt.Errorf("relay %s says that ingress %s is not safe to reload: %v", s.relays[i].id, in.id, p)
			}
			return err
		}); err != nil {
			s.t.Fatal(err)
		}
	}
	caused.note(caused.reloads, in.id)
	in.reload(s.t)
	for _, r := range s.relays {
		if !announced {
			break
		}
		if _, err := r.operator.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: in.id}); err != nil {
			s.t.Fatalf("relay %s: complete the reload of ingress %s: %v", r.id, in.id, err)
		}
	}
}

// killRelay kills the relay and starts it again.
func (s *system) killRelay(caused *causes, r *relay) {
	s.t.Helper()
	caused.note(caused.kills, r.sockets)
	r.process.kill()
	sleep(s.t, relayAway)
	s.startAgain(r)
}

// restartRelay shuts the relay down in good order and starts it again.
func (s *system) restartRelay(caused *causes, r *relay) {
	s.t.Helper()
	caused.note(caused.shutdowns, r.sockets)
	if err := r.process.stop(); err != nil {
		s.t.Errorf("relay %s: %v", r.id, err)
	}
	s.startAgain(r)
}

func (s *system) startAgain(r *relay) {
	s.t.Helper()
	r.start(s.t)
	s.waitAttached(r)
	r.watch(s.t)
}

// keepCutting cuts sockets of clients until the function that it returns is called.
func (s *system) keepCutting(f *fleet, b *browsers) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var cutting sync.WaitGroup
	for _, cut := range []func(*rand.Rand){f.sockets.any, b.cutAny} {
		cutting.Go(func() {
			random := newRandom()
			every(ctx, cutEvery, random, func() { cut(random) })
		})
	}
	stop = func() {
		cancel()
		cutting.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// waitHandlers waits until the app server runs so many handlers, which it says in its metrics.
func (s *system) waitHandlers(want int) {
	s.t.Helper()
	var got int
	if !await(s.t, func() (there bool) {
		var err error
		if got, err = s.handlers(); err != nil {
			s.t.Error(err)
		}
		return got == want
	}) {
		s.t.Errorf("the app server has %d logical connections, want %d: one for each client", got, want)
	}
}

func (s *system) handlers() (int, error) {
	const name = "holdfast_appserver_connections"
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0, fmt.Errorf("ask for the app server's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("read the app server's metrics: %w", err)
	}
	for line := range strings.Lines(string(page)) {
		if fields := strings.Fields(line); len(fields) == 2 && (fields[0] == name || strings.HasPrefix(fields[0], name+"{")) {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("the app server's metrics have no %s:\n%s", name, page)
}
