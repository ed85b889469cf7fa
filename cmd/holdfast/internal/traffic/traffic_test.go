package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

func base() Config {
	return Config{
		Clients: 4, Application: "echo", Rate: 50, Size: 64,
		CountInterval: 20 * time.Millisecond, StopGrace: 2 * time.Second,
	}
}

// run runs the clients for a second of the bubble's time; during runs beside them.
func run(t *testing.T, cfg Config, relays []*fakeRelay, during func(t *testing.T, f *Fleet)) Report {
	t.Helper()
	var report Report
	synctest.Test(t, func(t *testing.T) {
		serve(t, &cfg, relays...)
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ran := make(chan Report, 1)
		go func() { ran <- f.Run(ctx) }()
		if during != nil {
			during(t, f)
		}
		report = <-ran
	})
	return report
}

func TestSoundTraffic(t *testing.T) {
	t.Parallel()
	for _, batch := range []bool{false, true} {
		a, b := newRelay("a"), newRelay("b")
		a.batch, b.batch = batch, batch
		r := run(t, base(), []*fakeRelay{a, b}, func(t *testing.T, f *Fleet) {
			<-f.Ready()
			s := f.Snapshot()
			if s.Connected != 4 || s.Echoed+s.Counted == 0 || !s.Faults().Clean() {
				t.Errorf("snapshot: %+v", s)
			}
			if in, ok := f.IngressOf("b-1"); !ok || in != "b" {
				t.Errorf("the ingress of b-1: %q, %v", in, ok)
			}
		})
		if err := r.Err(); err != nil {
			t.Error(err)
		}
		if r.Sent < 4*40 || r.Echoed != r.Sent || r.Counted < 4*40 || r.Received != r.Echoed+r.Counted || r.CutInFlight != 0 {
			t.Errorf("%+v", r)
		}
		if r.Up.Sent != r.Up.Received || r.Down.Sent != r.Down.Received || r.Up.Sent != r.Sent || r.Down.Received != r.Received {
			t.Errorf("up %+v, down %+v", r.Up, r.Down)
		}
		for n, name := range []string{"a", "b"} {
			if in := r.ByIngress[n]; in.Ingress != name || in.Clients != 2 || in.Disconnected != 0 {
				t.Errorf("%+v", in)
			}
		}
	}
}

// once returns paths that do something to the first numbered message from the tenth message on, with the
// one after it.
func once(fault func(first, second message) []message) func() path {
	return func() path {
		var first *message
		done := false
		return func(n int, m message) []message {
			switch {
			case done || n < 10 || m.text != "":
				return []message{m}
			case first == nil:
				first = &m
				return nil
			}
			done = true
			return fault(*first, m)
		}
	}
}

// Each fault on each way is found, counted once, and on the way on which it happened.
func TestInjectedFaults(t *testing.T) {
	t.Parallel()
	faults := map[string]struct {
		fault func(first, second message) []message
		want  verify.Tally
	}{
		"lost":      {func(_, second message) []message { return []message{second} }, verify.Tally{Lost: 1}},
		"doubled":   {func(first, second message) []message { return []message{first, first, second} }, verify.Tally{Doubled: 1}},
		"reordered": {func(first, second message) []message { return []message{second, first} }, verify.Tally{Reordered: 1}},
		"corrupted": {func(first, second message) []message {
			corrupted := slices.Clone(first.binary)
			corrupted[40] ^= 1
			return []message{{binary: corrupted}, second}
		}, verify.Tally{Corrupted: 1}},
	}
	for name, fault := range faults {
		for _, way := range []string{"up", "down"} {
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				relay := newRelay("a")
				if way == "up" {
					relay.up = once(fault.fault)
				} else {
					relay.down = once(fault.fault)
				}
				cfg := base()
				cfg.Clients = 1
				r := run(t, cfg, []*fakeRelay{relay}, nil)
				hit, spared := r.Up.Tally, r.Down.Tally
				if way == "down" {
					hit, spared = spared, hit
				}
				if hit != fault.want || !spared.Clean() {
					t.Errorf("got %s, want %s; the other direction %s", hit, fault.want, spared)
				}
				if err := r.Err(); err == nil || !strings.Contains(err.Error(), "guarantee was broken") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// The counter is judged too.
func TestLossOfACount(t *testing.T) {
	t.Parallel()
	relay := newRelay("a")
	relay.down = func() path {
		return func(n int, m message) []message {
			if n == 10 {
				return nil
			}
			return []message{m}
		}
	}
	cfg := base()
	cfg.Clients, cfg.Rate = 1, 0
	r := run(t, cfg, []*fakeRelay{relay}, nil)
	if want := (verify.Tally{Lost: 1}); r.Down.Tally != want || !r.Up.Clean() {
		t.Errorf("up %s, down %s", r.Up.Tally, r.Down.Tally)
	}
}

func TestLossOfTheLastMessage(t *testing.T) {
	t.Parallel()
	relay := newRelay("a")
	relay.up = func() path {
		var held []message
		return func(_ int, m message) []message {
			if m.text == "" { // Each numbered message waits for the next one, so that the last never arrives.
				m, held = message{}, append(held, m)
				if len(held) == 1 {
					return nil
				}
				m, held = held[0], held[1:]
			}
			return []message{m}
		}
	}
	cfg := base()
	cfg.Clients = 1
	r := run(t, cfg, []*fakeRelay{relay}, nil)
	if want := (verify.Tally{Lost: 1}); r.Up.Tally != want || !r.Down.Clean() {
		t.Errorf("up %s, down %s", r.Up.Tally, r.Down.Tally)
	}
}

// A client that is disconnected comes back; what was under way is not lost, what came before has to be a
// prefix.
func TestDisconnected(t *testing.T) {
	t.Parallel()
	a, b := newRelay("a"), newRelay("b")
	r := run(t, base(), []*fakeRelay{a, b}, func(_ *testing.T, f *Fleet) {
		<-f.Ready()
		time.Sleep(300 * time.Millisecond) // Of the bubble's time: traffic flows meanwhile.
		a.cutAll("SERVER_LOST")
	})
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	in := r.ByIngress
	if in[0].Disconnected != 2 || in[0].Clients != 2 || in[0].Reasons["Unavailable SERVER_LOST"] != 2 || in[1].Disconnected != 0 {
		t.Errorf("%+v", in)
	}
	if got := a.connections.Load(); got != 4 {
		t.Errorf("a has seen %d connections, want 2 and 2 that came back", got)
	}
	if r.Up.Sent != r.Up.Received+r.Up.CutInFlight || r.CutInFlight != r.Up.CutInFlight {
		t.Errorf("up %+v", r.Up)
	}
}

func TestLossBeforeADisconnect(t *testing.T) {
	t.Parallel()
	relay := newRelay("a")
	relay.down = func() path {
		return func(n int, m message) []message {
			if n == 10 {
				return nil
			}
			return []message{m}
		}
	}
	cfg := base()
	cfg.Clients, cfg.Rate = 1, 0
	r := run(t, cfg, []*fakeRelay{relay}, func(_ *testing.T, f *Fleet) {
		<-f.Ready()
		time.Sleep(400 * time.Millisecond)
		relay.cutAll("SERVER_LOST")
	})
	// Once on the connection that was cut, once on the next.
	if want := (verify.Tally{Lost: 2}); r.Down.Tally != want {
		t.Errorf("got %s, want %s", r.Down.Tally, want)
	}
}

func TestUnfinished(t *testing.T) {
	t.Parallel()
	relay := newRelay("a")
	relay.deaf = true
	r := run(t, base(), []*fakeRelay{relay}, nil)
	if r.Unfinished != 4 || r.Err() == nil {
		t.Errorf("%d unfinished, %v", r.Unfinished, r.Err())
	}
}

func TestNobodyCouldConnect(t *testing.T) {
	t.Parallel()
	cfg := base()
	cfg.Application = "unknown"
	r := run(t, cfg, []*fakeRelay{newRelay("a")}, nil)
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1: NotFound") {
		t.Errorf("got %v", err)
	}
}

func TestReportForms(t *testing.T) {
	t.Parallel()
	r := Report{
		Clients: 2, Sent: 10, Tally: verify.Tally{Lost: 1}, Up: Direction{Sent: 10, Received: 9, Tally: verify.Tally{Lost: 1}},
		ByIngress: []Ingress{{"a", 2, 1, map[string]uint64{"Unavailable": 1}}}, RTTP50: 1.25,
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"clients":2`, `"sent":10`, `"lost":1`, `"cut_in_flight":0`, `"rtt_p50_ms":1.25`, `"max_gap_p99_ms":0`,
		`"by_ingress":[{"ingress":"a","clients":2,"disconnected":1,"reasons":{"Unavailable":1}}]`,
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%s does not have %s", raw, want)
		}
	}
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "moves of the clients") {
		t.Errorf("plain clients are said to move:\n%s", text.String())
	}
	r.Moves, r.MovesCut, r.LongestCut = 3, 1, 12.3
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"moves of the clients: 3, 1 of them after the stream had gone, for 12 ms at most", "to the application  10", "Unavailable: 1", "round trip p50 1.2 ms",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text does not have %q:\n%s", want, text.String())
		}
	}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		"addresses: is empty":   func(c *Config) { c.Addresses = nil },
		`addresses: "x"`:        func(c *Config) { c.Addresses = []string{"x"} },
		"clients: 0":            func(c *Config) { c.Clients = 0 },
		"rate: -1":              func(c *Config) { c.Rate = -1 },
		"size: 31":              func(c *Config) { c.Size = 31 },
		"--count-interval: 1ns": func(c *Config) { c.CountInterval = 1 },
		"both 0":                func(c *Config) { c.CountInterval, c.Rate = 0, 0 },
		"--stop-grace: 0s":      func(c *Config) { c.StopGrace = 0 },
	} {
		cfg := base()
		cfg.Addresses = []string{"127.0.0.1:1"}
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
