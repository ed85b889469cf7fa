package demo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/traffic"
	"github.com/holdfast/holdfast/pkg/verify"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func base() Config {
	return Config{Kind: Embedded, Announce: All, Reloads: 1, Clients: 2, Rate: 1, Size: 64, Grace: time.Second}
}

func TestConfigRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		`--ingress: "x"`:  func(c *Config) { c.Kind = "x" },
		`--announce: "x"`: func(c *Config) { c.Announce = "x" },
		"--reloads: 0":    func(c *Config) { c.Reloads = 0 },
		"--clients: 1":    func(c *Config) { c.Clients = 1 },
		"--resumable: -1": func(c *Config) { c.Resumable = -1 },
		"--grace: 0s":     func(c *Config) { c.Grace = 0 },
		"--grace: 1.5s":   func(c *Config) { c.Grace = 1500 * time.Millisecond },
		"--settle: -1ns":  func(c *Config) { c.Settle = -1 },
		"is missing; the": func(*Config) {}, // No relay lies beside the test's own program.
	} {
		cfg := base()
		change(&cfg)
		if _, err := Run(t.Context(), cfg, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Events of single connections are gathered; others stand alone, after what came before them.
func TestNarrator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		groupOf := func(id string) (string, bool) { return "b", id != "gone" }
		l := newLedger()
		n := newNarrator("relay-1", &printer{begin: time.Now(), w: &out}, l, groupOf)
		n.servers["s/1"] = "s through a"
		events := make(chan *holdfastv1.WatchEventsResponse)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			n.run(events)
		}()
		kind := func(k holdfastv1.EventKind) *holdfastv1.WatchEventsResponse {
			return &holdfastv1.WatchEventsResponse{Kind: k}
		}
		moved := func(id string, pause time.Duration) *holdfastv1.WatchEventsResponse {
			return &holdfastv1.WatchEventsResponse{
				Kind: holdfastv1.EventKind_EVENT_KIND_CONNECTION_MOVED, ConnectionId: id,
				PreviousServerConnectionId: "s/1", ServerConnectionId: "s/2", Pause: durationpb.New(pause),
			}
		}
		events <- kind(holdfastv1.EventKind_EVENT_KIND_WATCHING)
		events <- &holdfastv1.WatchEventsResponse{
			Kind: holdfastv1.EventKind_EVENT_KIND_SERVER_CONNECTION_ATTACHED, ServerConnectionId: "s/2", ServerId: "s", Ingress: "b",
		}
		for range 3 {
			events <- kind(holdfastv1.EventKind_EVENT_KIND_CONNECTION_OPENED)
		}
		events <- &holdfastv1.WatchEventsResponse{Kind: holdfastv1.EventKind_EVENT_KIND_RELOAD_STARTED, Ingress: "a"}
		time.Sleep(gather + gather/2) // The bubble's time.
		events <- moved("1", 2*time.Millisecond)
		events <- moved("2", time.Millisecond)
		events <- moved("gone", time.Millisecond)
		closed := kind(holdfastv1.EventKind_EVENT_KIND_CONNECTION_CLOSED)
		closed.CloseReason = holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST
		events <- closed
		events <- &holdfastv1.WatchEventsResponse{Kind: holdfastv1.EventKind_EVENT_KIND_MISSED, Missed: 7}
		close(events)
		<-ended

		want := `   0.00s  relay-1: server connection attached: s through b
   0.00s  relay-1: 3 logical connections opened
   0.00s  relay-1: reload started: a
   0.15s  relay-1: 7 events were missed
   0.15s  relay-1: 1 logical connections closed (server lost)
   0.15s  relay-1: 1 logical connections with clients through ? moved from s through a to s through b; the longest pause was 1ms
   0.15s  relay-1: 2 logical connections with clients through b moved from s through a to s through b; the longest pause was 2ms
`
		if out.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
		}
		if m := l.moves(); m.total() != 3 || m.by["b"] != 2 || m.missed != 7 {
			t.Errorf("%+v", m)
		}
	})
}

// judged is a result of reloads with traffic.
func judged(reloads []Reload, m moves, plain traffic.Report, resumable *traffic.Report) Result {
	r := Result{IngressKind: Embedded, Reloads: reloads, Traffic: plain, Resumable: resumable}
	r.judge(m)
	return r
}

func TestJudgement(t *testing.T) {
	t.Parallel()
	m := moves{by: map[string]int{"b": 2, "resumable": 3}, pauses: []time.Duration{time.Millisecond, 3 * time.Millisecond}}
	plain := traffic.Report{ByIngress: []traffic.Ingress{
		{Ingress: "a", Clients: 1, Disconnected: 1, Reasons: map[string]uint64{"Unavailable": 1}}, {Ingress: "b", Clients: 1},
	}}
	resumable := traffic.Report{
		Clients: 4, Connections: 4, Moves: 5, MovesCut: 1, LongestCut: 12.3,
		ByIngress: []traffic.Ingress{{Ingress: "a", Clients: 3}, {Ingress: "b", Clients: 1}},
	}
	kept := judged([]Reload{{Ingress: "a", Announced: true, Safe: true, Moved: 2, Disconnected: 1}}, m, plain, &resumable)
	if err := kept.Err(); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := kept.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"plain, through a  1        1       0      0          1             Unavailable: 1",
		"plain, through b  0        1       2      0          0             -",
		"resumable         1        4       3      5          0             -",
		"p50 1.00 ms, p99 3.00 ms", "4 with 4 logical connections; 5 own moves, 1 of them after the stream had gone, for 12 ms",
		"the guarantee was KEPT", "neither a resumable client nor its application saw a disconnect",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	faulty, lost := plain, verify.Tally{Lost: 1}
	faulty.Tally = lost
	for want, r := range map[string]Result{
		"plain clients: lost=1":  judged([]Reload{{Moved: 2}}, m, faulty, nil),
		"could not make it safe": judged([]Reload{{Announced: true, Moved: 2}}, m, plain, nil),
		"1 clients of the other": judged([]Reload{{DisconnectedElsewhere: 1, Moved: 2}}, m, plain, nil),
		"nothing was moved":      judged([]Reload{{Ingress: "a"}, {Ingress: "b"}}, moves{}, plain, nil),
	} {
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, change := range map[string]func(*traffic.Report){
		"resumable clients: lost=1":             func(r *traffic.Report) { r.Tally = lost },
		"4 resumable clients had 5 logical":     func(r *traffic.Report) { r.Connections = 5 },
		"2 logical connections of resumable":    func(r *traffic.Report) { r.Unfinished = 2 },
		"7 messages of resumable clients were ": func(r *traffic.Report) { r.CutInFlight = 7 },
		"no resumable client has moved":         func(r *traffic.Report) { r.Moves = 0 },
	} {
		bad := resumable
		change(&bad)
		if err := judged([]Reload{{Moved: 2}}, m, plain, &bad).Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestNginxConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args, err := writeNginx(dir, &ingress{id: "a", address: "127.0.0.1:1", forwards: []string{"127.0.0.1:4", "127.0.0.1:5"}},
		[]string{"127.0.0.1:2", "127.0.0.1:3"}, 3*time.Second, 200)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "nginx-a", "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"daemon off;", "worker_shutdown_timeout 3s;", "worker_connections 1824;", "listen 127.0.0.1:1 http2;",
		"upstream relays {\n    server 127.0.0.1:2 fail_timeout=1s;\n    server 127.0.0.1:3 fail_timeout=1s;\n  }",
		"listen 127.0.0.1:1 http2;\n    location / { grpc_pass grpc://relays; }",
		"listen 127.0.0.1:4 http2;\n    location / { grpc_pass grpc://127.0.0.1:2; }",
		"listen 127.0.0.1:5 http2;\n    location / { grpc_pass grpc://127.0.0.1:3; }", "grpc_set_header x-ingress-id a;", "client_max_body_size 0;",
	} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("no %q in:\n%s", want, raw)
		}
	}
	if !strings.Contains(strings.Join(args, " "), "-c "+filepath.Join(dir, "nginx-a", "nginx.conf")) {
		t.Errorf("arguments %q", args)
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		if err := poll(t.Context(), "the third time", time.Second, func() bool { asked++; return asked == 3 }); err != nil {
			t.Error(err)
		}
		if err := poll(t.Context(), "nothing", time.Second, func() bool { return false }); err == nil || !strings.Contains(err.Error(), "nothing") {
			t.Errorf("got %v", err)
		}
		lost := errors.New("the relay ended by itself")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(lost)
		if err := poll(ctx, "nothing", time.Second, func() bool { return false }); !errors.Is(err, lost) {
			t.Errorf("got %v, want %v", err, lost)
		}
	})
}

func TestFreeAddressesDiffer(t *testing.T) {
	t.Parallel()
	addresses, err := process.FreeAddresses(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addresses {
		seen[a] = true
	}
	if len(seen) != 20 {
		t.Errorf("%d different ones of 20", len(seen))
	}
}
