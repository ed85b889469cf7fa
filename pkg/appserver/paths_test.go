package appserver_test

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// gaps returns the times between attempts.
func (r *relay) gaps() []time.Duration {
	attempts := r.attemptsSoFar()
	var gaps []time.Duration
	for i := range attempts[1:] {
		gaps = append(gaps, attempts[i+1].at.Sub(attempts[i].at))
	}
	return gaps
}

// jittered checks that the waits start at 50 ms, double up to 15 s, and are each half as long to one and a half times as
// long, at random.
func jittered(t *testing.T, gaps []time.Duration) {
	t.Helper()
	nominal, odd := 50*time.Millisecond, false
	for i, gap := range gaps {
		if gap < nominal/2 || gap > nominal*3/2+time.Microsecond {
			t.Errorf("wait %d is %v; want %v, half as much or half as much again", i+1, gap, nominal)
		}
		odd = odd || gap < nominal*99/100 || gap > nominal*101/100
		nominal = min(2*nominal, 5*time.Second)
	}
	if !odd {
		t.Errorf("nothing is left to chance in %v", gaps)
	}
}

// Each server connection has a transport of its own, so that the state of the transport is the path's.
func TestServerConnectionsPerAddress(t *testing.T) {
	run(t, []string{"a", "b"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = 3
		w.script = through("direct") // or it would try to spread them
	}, func(t *testing.T, w *world) {
		time.Sleep(10 * time.Minute) // and not more with time
		for name, i := range w.ingresses {
			i.mu.Lock()
			if i.attached != 3 || i.dials != 3 {
				t.Errorf("ingress %s: %d server connections over %d transports, want 3 over 3", name, i.attached, i.dials)
			}
			i.mu.Unlock()
		}
		if n := w.server.Attached(); n != 6 {
			t.Errorf("%d server connections are live", n)
		}
	})
}

func TestRedialAfterRefusedHandshakes(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.script = func(attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			return nil, status.Error(codes.NotFound, "no such application")
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(5 * time.Minute)
		gaps := w.gaps()
		jittered(t, gaps)
		if n := len(gaps) + 1; n < 20 || n > 100 {
			t.Errorf("%d attempts in 5 minutes", n)
		}
		if n := w.server.Attached(); n != 0 {
			t.Errorf("%d server connections are live", n)
		}
	})
}

// A relay that cannot be reached is like one that refuses.
func TestRedialWhenNothingListens(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) { w.ingresses["a"].stop() }, func(t *testing.T, w *world) {
		time.Sleep(5 * time.Minute)
		i := w.ingresses["a"]
		i.mu.Lock()
		if i.dials < 20 || i.dials > 100 {
			t.Errorf("%d dials in 5 minutes", i.dials)
		}
		i.mu.Unlock()
		i.start()
		time.Sleep(30 * time.Second)
		if n := w.server.Attached(); n != 1 {
			t.Errorf("%d server connections are live once something listens", n)
		}
	})
}

// A path is not taken for one that is about to go while its transport is only becoming known as ready: many are dialled
// here, and none says that it is draining.
func TestNoDrainingWithoutAReason(t *testing.T) {
	run(t, []string{"a"}, func(w *world, cfg *appserver.Config) {
		cfg.ConnectionsPerRelay = 16
		w.script = through("direct")
		w.attached = func(s *stream) {
			time.Sleep(time.Millisecond) // a DrainingMessage has the time to arrive
			s.finish(status.Error(codes.Unavailable, "no upstream"))
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(2 * time.Minute)
		w.expect("")
		if n := len(w.attemptsSoFar()); n < 16*10 {
			t.Errorf("only %d attempts", n)
		}
	})
}

// A server connection that ends soon after each handshake is not redialled ever faster.
func TestRedialOfAServerConnectionThatFlaps(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.attached = func(s *stream) { s.finish(status.Error(codes.Unavailable, "no upstream")) }
	}, func(t *testing.T, w *world) {
		time.Sleep(5 * time.Minute)
		jittered(t, w.gaps())
	})
}

// One that lived for long is redialled as if nothing had happened before.
func TestRedialAfterALostStream(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if a.n <= 12 {
				return nil, errors.New("not yet")
			}
			return w.welcome(a.ingress), nil
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(5 * time.Minute)
		for n := 1; n <= 3; n++ {
			lost := time.Now()
			w.stream("a", n).finish(status.Error(codes.Unavailable, "cut"))
			time.Sleep(time.Minute)
			attempts := w.attemptsSoFar()
			last := attempts[len(attempts)-1]
			if gap := last.at.Sub(lost); last.n != 13+n || gap < 25*time.Millisecond || gap > 76*time.Millisecond {
				t.Errorf("%d attempts, the last %v after the stream was lost", last.n, gap)
			}
		}
	})
}

// A relay that says the wrong thing first, or nothing, is not attached to, and asked again.
func TestBadHandshakeResponses(t *testing.T) {
	for name, change := range map[string]func(*holdfastv1.HandshakeResponseMessage){
		"wrong version":    func(h *holdfastv1.HandshakeResponseMessage) { h.ProtocolVersion = 2 },
		"capabilities":     func(h *holdfastv1.HandshakeResponseMessage) { h.Capabilities = []string{"time travel"} },
		"no window":        func(h *holdfastv1.HandshakeResponseMessage) { h.WindowBytes = 0 },
		"no message limit": func(h *holdfastv1.HandshakeResponseMessage) { h.MaxMessageBytes = 0 },
		"no heartbeat":     func(h *holdfastv1.HandshakeResponseMessage) { h.HeartbeatInterval = nil },
		"wrong heartbeat":  func(h *holdfastv1.HandshakeResponseMessage) { h.HeartbeatInterval = durationpb.New(-time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			run(t, []string{"a"}, func(w *world, cfg *appserver.Config) {
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
					h := w.welcome(a.ingress)
					if a.n <= 3 {
						change(h)
					}
					return h, nil
				}
			}, func(t *testing.T, w *world) {
				time.Sleep(time.Minute)
				jittered(t, w.gaps())
				if n := len(w.attemptsSoFar()); n != 4 {
					t.Errorf("%d attempts; want 3 bad ones and a good one", n)
				}
				for n := 1; n <= 3; n++ {
					if !w.stream("a", n).isOver() {
						t.Errorf("server connection %d is left open", n)
					}
				}
				if n := strings.Count(log.String(), "attached to the relay"); n != 1 {
					t.Errorf("%d were taken for good", n)
				}
				good := w.stream("a", 4)
				w.alive(good, w.open(good, 1), 1, 1)
			})
		})
	}
}

func TestFramesBeforeTheHandshakeResponse(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.greet = func(s *stream) bool {
			if s.name == "a" {
				s.send(open())
				return false
			}
			return true
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(time.Minute)
		if n := len(w.attemptsSoFar()); n != 2 || len(w.sessions) > 0 {
			t.Errorf("%d attempts and %d connections", n, len(w.sessions))
		}
	})
}

// A relay that does not answer is given up after ten seconds.
func TestSilentHandshake(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) {
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if a.n == 1 {
				return nil, nil
			}
			return w.welcome(a.ingress), nil
		}
	}, func(t *testing.T, w *world) {
		time.Sleep(9 * time.Second)
		if n := len(w.attemptsSoFar()); n != 1 {
			t.Errorf("%d attempts after 9 s", n)
		}
		time.Sleep(2 * time.Second)
		if n := len(w.attemptsSoFar()); n != 2 || w.server.Attached() != 1 {
			t.Errorf("%d attempts and %d server connections after 11 s", n, w.server.Attached())
		}
	})
}

// What is on a server connection that is lost waits for the relay to resume it: the park time of 30 s, and the three heartbeat
// intervals of 15 s that the relay may need to notice. When it does not, it is lost, and nothing else is.
func TestServerConnectionLost(t *testing.T) {
	for name, lose := range map[string]func(w *world, a *stream){
		"ended by the relay": func(_ *world, a *stream) { a.finish(nil) },
		"failed":             func(_ *world, a *stream) { a.finish(status.Error(codes.Unavailable, "cut")) },
		"transport cut":      func(w *world, _ *stream) { w.ingresses["a"].cut() },
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
				second, other := w.open(a, 2), w.open(b, 3)
				waiting := begin(x.receive)
				blocks(t, waiting)
				lose(w, a)
				time.Sleep(72 * time.Second)
				blocks(t, waiting)
				w.alive(b, other, 3, 1)
				time.Sleep(2 * time.Second)
				isClosed(t, done(t, waiting).err, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST)
				x.lost(t, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST)
				second.lost(t, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST)
				w.alive(b, other, 3, 2)
				again := w.stream("a", 2)
				w.alive(again, w.open(again, 4), 4, 1)
				if n := w.server.Attached(); n != 2 {
					t.Errorf("%d server connections are live", n)
				}
				again.send(data(5, 1, "forgotten"))
				w.expect("a2>close0@1(UNKNOWN_CONNECTION)")
			})
		})
	}
}

// Heartbeats go when nothing else does, and a relay that says nothing for three intervals is left.
func TestHeartbeat(t *testing.T) {
	run(t, []string{"a"}, nil, func(t *testing.T, w *world) {
		time.Sleep(151 * time.Second)
		settle()
		w.mu.Lock()
		nonces := make(map[uint64]bool)
		for _, p := range w.pings {
			nonces[p.GetNonce()] = !p.GetAnswer()
		}
		if len(w.pings) != 10 || len(nonces) != 10 || slices.Contains(slices.Collect(maps.Values(nonces)), false) {
			t.Errorf("pings in 10 intervals: %v", w.pings)
		}
		w.pings, w.mute = nil, true
		w.mu.Unlock()
		a := w.stream("a", 1)
		a.sendMessage(&holdfastv1.AttachResponse{Ping: &holdfastv1.PingMessage{Nonce: 77}})
		settle()
		w.mu.Lock()
		if len(w.pings) != 1 || w.pings[0].GetNonce() != 77 || !w.pings[0].GetAnswer() {
			t.Errorf("answer to a ping: %v", w.pings)
		}
		w.mu.Unlock()
		time.Sleep(44 * time.Second)
		if a.isOver() {
			t.Error("left before three intervals")
		}
		time.Sleep(2 * time.Second)
		if !a.isOver() || len(w.attemptsSoFar()) != 2 {
			t.Errorf("after three intervals of silence: over %v, attempts %d", a.isOver(), len(w.attemptsSoFar()))
		}
	})
}

// An address that cannot even be dialled disturbs no other.
func TestAnAddressThatIsNone(t *testing.T) {
	run(t, []string{"a"}, func(_ *world, cfg *appserver.Config) {
		cfg.Relays = append(cfg.Relays, "no:such:scheme:///\x00")
	}, func(_ *testing.T, w *world) {
		time.Sleep(time.Minute)
		a := w.stream("a", 1)
		w.alive(a, w.open(a, 1), 1, 1)
	})
}
