package appserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// directory resolves the one name that there is.
type directory struct {
	mu sync.Mutex
	// Guarded by mu.
	hosts   []string
	err     error
	lookups int
	asked   string // the host
}

func (d *directory) lookup(_ context.Context, host string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lookups, d.asked = d.lookups+1, host
	return slices.Clone(d.hosts), d.err
}

// looked returns how often the name was looked up.
func (d *directory) looked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lookups
}

func (d *directory) say(err error, hosts ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts, d.err = hosts, err
}

// named is a test with an app server that follows one name. There are relays at the addresses 10.0.0.1 to 10.0.0.3.
func named(t *testing.T, d *directory, change setup, test func(t *testing.T, w *world)) {
	places := []string{"10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"}
	run(t, places, func(w *world, cfg *appserver.Config) {
		cfg.Relays, cfg.RelayNames, cfg.LookupHost = nil, []string{"relays.test:7400"}, d.lookup
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) { return w.welcome("direct"), nil }
		if change != nil {
			change(w, cfg)
		}
	}, test)
}

// count returns how many handshakes were begun at each of the addresses, and checks how many server connections live.
func (w *world) count(attached int) string {
	w.t.Helper()
	settle()
	if n := w.server.Attached(); n != attached {
		w.t.Errorf("%d server connections are live, want %d", n, attached)
	}
	var n [4]int
	for _, a := range w.attemptsSoFar() {
		n[strings.IndexByte("123", a.ingress[len("10.0.0.")])+1]++
	}
	return fmt.Sprint(n[1:])
}

func (w *world) counts(want string, attached int) {
	w.t.Helper()
	if got := w.count(attached); got != want {
		w.t.Errorf("handshakes at the addresses: %s, want %s", got, want)
	}
}

// next lets the next lookup happen, and what follows.
func next() {
	time.Sleep(15*time.Second + time.Millisecond)
	settle()
}

// Addresses that come are dialled; one that has vanished keeps what is attached there, and is not dialled again.
func TestNameIsFollowed(t *testing.T) {
	d := &directory{hosts: []string{"10.0.0.2", "10.0.0.1", "10.0.0.2"}}
	named(t, d, func(_ *world, cfg *appserver.Config) { cfg.ConnectionsPerRelay = 2 }, func(t *testing.T, w *world) {
		w.counts("[2 2 0]", 4)
		next()
		w.counts("[2 2 0]", 4)
		d.say(nil, "10.0.0.2", "10.0.0.3")
		next()
		w.counts("[2 2 2]", 6)
		w.stream("10.0.0.1:7400", 1).finish(nil)
		w.stream("10.0.0.2:7400", 1).finish(nil)
		next()
		w.counts("[2 3 2]", 5)
		d.say(nil, "10.0.0.1", "10.0.0.2", "10.0.0.3") // is back, and one of its two lives on
		next()
		w.counts("[3 3 2]", 6)
		d.say(nil, "10.0.0.3")
		next()
		w.stream("10.0.0.1:7400", 2).finish(nil)
		w.stream("10.0.0.1:7400", 3).finish(nil)
		next()
		w.counts("[3 3 2]", 4)
		d.say(nil, "10.0.0.1", "10.0.0.3") // is back after all of it was gone
		next()
		w.counts("[5 3 2]", 6)
		if n := d.looked(); d.asked != "relays.test" || n != 8 {
			t.Errorf("%d lookups, of %q", n, d.asked)
		}
	})
}

// A server connection that drains is replaced when the name has the address, and lives on beside that; else it just lives on.
func TestDrainingAtAVanishedAddress(t *testing.T) {
	d := &directory{hosts: []string{"10.0.0.1", "10.0.0.2"}}
	named(t, d, nil, func(t *testing.T, w *world) {
		one, two := w.stream("10.0.0.1:7400", 1), w.stream("10.0.0.2:7400", 1)
		x := w.open(one, 1)
		d.say(nil, "10.0.0.2")
		next()
		for _, s := range []*stream{one, two} {
			s.sendMessage(&holdfastv1.AttachResponse{Draining: &holdfastv1.DrainingMessage{}})
		}
		next()
		w.counts("[1 2 0]", 3)
		w.alive(one, x, 1, 1)
	})
}

// An address that never answered is given up when the name has it no more.
func TestVanishedAddressThatIsDown(t *testing.T) {
	d := &directory{hosts: []string{"10.0.0.1", "10.0.0.2"}}
	named(t, d, func(w *world, _ *appserver.Config) {
		answer := w.script
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if strings.HasPrefix(a.ingress, "10.0.0.1") {
				return nil, errors.New("down")
			}
			return answer(a)
		}
	}, func(t *testing.T, w *world) {
		before := w.count(1)
		next()
		if now := w.count(1); now == before {
			t.Errorf("handshakes at the addresses: %s, as before: it was given up", now)
		}
		d.say(nil, "10.0.0.2")
		next()
		time.Sleep(10 * time.Second) // the last pause between two tries
		gone := w.count(1)
		next()
		next()
		w.counts(gone, 1)
	})
}

// notes takes what is logged.
type notes struct {
	mu  sync.Mutex
	all bytes.Buffer // guarded by mu
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.all.Write(b)
}

func (n *notes) count(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.all.String(), text)
}

// What is known stays and is dialled again while lookups fail, and the log says so once.
func TestFailedLookupChangesNothing(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("10.1.0.", i)
	}
	for name, fail := range map[string]func(*directory){
		"an error":           func(d *directory) { d.say(errors.New("no such host")) },
		"no address":         func(d *directory) { d.say(nil) },
		"too many addresses": func(d *directory) { d.say(nil, many...) },
	} {
		t.Run(name, func(t *testing.T) {
			d, log := &directory{hosts: []string{"10.0.0.1"}}, &notes{}
			named(t, d, func(_ *world, cfg *appserver.Config) { cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
				const cannot, again = "cannot look up the addresses", "can be looked up again"
				fail(d)
				for range 3 {
					next()
				}
				w.stream("10.0.0.1:7400", 1).finish(nil)
				next()
				w.counts("[2 0 0]", 1)
				if log.count(cannot) != 1 || log.count(again) != 0 {
					t.Errorf("the log says %d times that it fails, %d times that it works again; want 1, 0", log.count(cannot), log.count(again))
				}
				d.say(nil, "10.0.0.1", "10.0.0.2")
				next()
				w.counts("[2 1 0]", 2)
				fail(d)
				next()
				if log.count(cannot) != 2 || log.count(again) != 1 {
					t.Errorf("the log says %d times that it fails, %d times that it works again; want 2, 1", log.count(cannot), log.count(again))
				}
			})
		})
	}
}

// A name that has no address at first, as one whose relays are just starting, is looked up each second.
func TestNameWithNoAddressYet(t *testing.T) {
	d := &directory{err: errors.New("no such host")}
	named(t, d, nil, func(t *testing.T, w *world) {
		time.Sleep(2500 * time.Millisecond)
		w.counts("[0 0 0]", 0)
		d.say(nil, "10.0.0.1", "10.0.0.3")
		time.Sleep(time.Second)
		w.counts("[1 0 1]", 2)
		if n := d.looked(); n != 4 {
			t.Errorf("%d lookups; want 4 in the first three seconds", n)
		}
		next()
		if n := d.looked(); n != 5 {
			t.Errorf("%d lookups; want one more in 15 s", n)
		}
	})
}

// A lookup that does not answer is given up, and does not hold up the end.
func TestLookupThatHangs(t *testing.T) {
	d, log := &directory{hosts: []string{"10.0.0.1"}}, &notes{}
	hanging := func(ctx context.Context, host string) ([]string, error) {
		if d.looked() == 1 {
			return d.lookup(ctx, host)
		}
		_, _ = d.lookup(ctx, host)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	named(t, d, func(w *world, cfg *appserver.Config) {
		w.react = endDrained
		cfg.LookupHost, cfg.Logger = hanging, slog.New(slog.NewTextHandler(log, nil))
	}, func(t *testing.T, w *world) {
		time.Sleep(10*time.Second + time.Millisecond)
		settle()
		if d.looked() != 1 || log.count("deadline exceeded") != 1 {
			t.Errorf("%d lookups, %d given up; want 1, 1", d.looked(), log.count("deadline exceeded"))
		}
		time.Sleep(time.Second)
		w.counts("[1 0 0]", 1)
		next()
		began := time.Now()
		w.stop()
		<-w.returned
		if took := w.ended.Sub(began); took != 0 || log.count("cannot look up") != 1 {
			t.Errorf("the end took %v, and %d lookups are said to have failed", took, log.count("cannot look up"))
		}
	})
}

// Server connections are judged for their ingresses when those of the first lookup were tried too: here the other way to the relay.
func TestSpreadingWaitsForNames(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		want     string
		attached int
	}{
		"the name has the other ingress": {nil, "[2 2 0]", 4},
		"the name has no address":        {errors.New("no such host"), "[5 0 0]", 2},
	} {
		t.Run(name, func(t *testing.T) {
			d := &directory{hosts: []string{"10.0.0.2"}, err: c.err}
			named(t, d, func(w *world, cfg *appserver.Config) {
				cfg.Relays, cfg.RelayNames = []string{"passthrough:///10.0.0.1:7400"}, []string{"relays.test:7400"}
				cfg.ConnectionsPerRelay = 2
				cfg.LookupHost = func(ctx context.Context, host string) ([]string, error) {
					time.Sleep(5 * time.Second)
					return d.lookup(ctx, host)
				}
				w.react = endDrained
				w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
					return w.welcome(map[bool]string{true: "a", false: "b"}[strings.HasPrefix(a.ingress, "10.0.0.1")]), nil
				}
			}, func(t *testing.T, w *world) {
				time.Sleep(time.Second)
				w.counts("[2 0 0]", 2) // nothing is known of the name yet
				time.Sleep(3 * time.Minute)
				settle()
				w.counts(c.want, c.attached)
			})
		})
	}
}
