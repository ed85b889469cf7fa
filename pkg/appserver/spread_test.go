package appserver_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// script answers handshakes.
type script = func(attempt) (*holdfastv1.HandshakeResponseMessage, error)

// through has the nth attempt come in through the nth ingress of those, and all others through the last.
func through(ingresses ...string) script {
	return func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
		h := (&relay{window: 256 << 10, largest: 1 << 20}).welcome(ingresses[min(a.n, len(ingresses))-1])
		return h, nil
	}
}

// inTurn answers the attempts one after the other, also when they come at the same moment, so that the app server knows
// of each before the next.
func inTurn(answer script) script {
	return func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
		time.Sleep(time.Duration(a.n) * time.Millisecond)
		return answer(a)
	}
}

// endDrained does what a relay does with a draining server connection that carries nothing.
func endDrained(s *stream, _ *holdfastv1.Frame, d *holdfastv1.DrainingMessage) {
	if d != nil {
		s.finish(nil)
	}
}

// All server connections through one ingress: some are dialled again, in the hope of another. An address that leads
// through a load balancer is one for which that helps.
func TestSpreading(t *testing.T) {
	for name, c := range map[string]struct {
		script      script
		connections int
		attempts    int
	}{
		"one ingress only":            {through("a"), 2, 2 + 3},
		"another at the first redial": {through("a", "a", "b"), 2, 2 + 1},
		"another at the last redial":  {through("a", "a", "a", "a", "b"), 2, 2 + 3},
		"no ingress":                  {through("direct"), 2, 2},
		"spread already":              {through("a", "b"), 2, 2},
		"spread but for two":          {through("a", "b", "b"), 3, 3},
		"a single one":                {through("a"), 1, 1},
		"different relays": {func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			h, err := through("a")(a)
			h.RelayId = fmt.Sprint("relay-", a.n)
			return h, err
		}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, []string{"lb"}, func(w *world, cfg *appserver.Config) {
				cfg.ConnectionsPerRelay = c.connections
				w.script, w.react = inTurn(c.script), endDrained
			}, func(t *testing.T, w *world) {
				time.Sleep(10 * time.Minute)
				if n := len(w.attemptsSoFar()); n != c.attempts {
					t.Errorf("%d attempts, want %d", n, c.attempts)
				}
				if n := w.server.Attached(); n != c.connections {
					t.Errorf("%d server connections are live, want %d", n, c.connections)
				}
				drained := 0
				for n := range c.attempts {
					if w.stream("lb", n+1).isOver() {
						drained++
					}
				}
				if drained != c.attempts-c.connections {
					t.Errorf("%d were drained, want %d", drained, c.attempts-c.connections)
				}
			})
		})
	}
}

// When all come in at the same moment each may be redialled, but none more than three times.
func TestSpreadingIsBounded(t *testing.T) {
	const connections = 8
	run(t, []string{"lb"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = connections
		w.script, w.react = through("a"), endDrained
	}, func(t *testing.T, w *world) {
		time.Sleep(10 * time.Minute)
		if n := len(w.attemptsSoFar()); n < connections+3 || n > connections*4 {
			t.Errorf("%d attempts for %d server connections", n, connections)
		}
		if n := w.server.Attached(); n != connections {
			t.Errorf("%d server connections are live", n)
		}
	})
}

// When all are judged at the same moment one stays where it is, or the relay would have none to use for a while. What
// happens is left to chance, so it is tried often.
func TestSpreadingLeavesOne(t *testing.T) {
	for range 30 {
		run(t, []string{"lb"}, func(w *world, cfg *appserver.Config) {
			cfg.ConnectionsPerRelay = 2
			w.script, w.react = through("a"), endDrained
		}, func(t *testing.T, w *world) {
			time.Sleep(time.Millisecond)
			settle()
			if w.stream("lb", 1).isOver() && w.stream("lb", 2).isOver() {
				t.Error("both were drained")
			}
			time.Sleep(10 * time.Second) // three redials take less
			if n := len(w.attemptsSoFar()); n != 2+3 {
				t.Errorf("%d attempts", n)
			}
		})
	}
}

// One that is about to go does not count: its ingress is covered by nothing once it is gone.
func TestSpreadingOfAReplacement(t *testing.T) {
	run(t, []string{"lb"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = 2
		w.script = inTurn(through("a", "b", "a", "b"))
	}, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		w.stream("lb", 2).sendMessage(&holdfastv1.AttachResponse{Draining: &holdfastv1.DrainingMessage{}})
		time.Sleep(time.Minute)
		if n := len(w.attemptsSoFar()); n != 4 {
			t.Errorf("%d attempts; want two, a replacement through the same ingress as the other, and one more", n)
		}
	})
}

// What leads to another relay, or to none, has no say in whether those to one relay are spread.
func TestSpreadingBesideAnotherAddress(t *testing.T) {
	for name, other := range map[string]script{
		"another relay that answers later": func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			time.Sleep(time.Second)
			h, err := through("a", "b")(a)
			h.RelayId = "relay-2"
			return h, err
		},
		"an ingress that is down": func(attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			return nil, errors.New("down")
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, []string{"lb", "other"}, func(w *world, cfg *appserver.Config) {
				cfg.ConnectionsPerRelay = 2
				began := time.Now()
				w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
					if a.ingress == "other" {
						return other(a)
					}
					if a.at.Equal(began) {
						return w.welcome("a"), nil // both at first
					}
					return w.welcome("b"), nil
				}
			}, func(t *testing.T, w *world) {
				time.Sleep(time.Minute)
				through := 0
				for _, a := range w.attemptsSoFar() {
					if a.ingress == "lb" {
						through++
					}
				}
				if through < 3 {
					t.Errorf("%d attempts; both server connections stay on one ingress", through)
				}
			})
		})
	}
}

// A server connection that is drained to be spread is no reason to drop what is on it.
func TestSpreadingKeepsConnections(t *testing.T) {
	run(t, []string{"lb"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = 2
		w.script = inTurn(through("a", "a", "b"))
	}, func(t *testing.T, w *world) {
		time.Sleep(2 * time.Millisecond)
		settle()
		second := w.stream("lb", 2)
		x := w.open(second, 1)
		time.Sleep(time.Minute)
		if n := w.server.Attached(); n != 3 {
			t.Errorf("%d server connections are live, want the one that is drained and two", n)
		}
		w.alive(second, x, 1, 1)
	})
}
