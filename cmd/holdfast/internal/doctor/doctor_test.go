package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// quick is a configuration for the addresses of fakes.
func quick(addresses ...string) Config {
	return Config{Addresses: addresses, Application: "echo", Wait: 50 * time.Millisecond, Timeout: 5 * time.Second}
}

func run(t *testing.T, cfg Config) *Report {
	t.Helper()
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// outcomes returns "CHECK OUTCOME" of all findings, but of those that are ok.
func (r *Report) unwell() []string {
	var all []string
	for _, f := range r.Findings {
		if f.Outcome != OK {
			all = append(all, f.Check+" "+f.Outcome.String())
		}
	}
	slices.Sort(all)
	return all
}

func (r *Report) finding(t *testing.T, check string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no finding of %s: %+v", check, r.Findings)
	return Finding{}
}

func adminClient(t *testing.T, address string) holdfastv1.AdminServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return holdfastv1.NewAdminServiceClient(conn)
}

func TestNothingIsWrong(t *testing.T) {
	a, b, operators := &fake{name: "a", limit: 1 << 20}, &fake{name: "b", chatty: 3}, &fake{admin: true}
	cfg := quick(a.serve(t), b.serve(t))
	cfg.AdminAddress = operators.serve(t)
	cfg.Admin = adminClient(t, cfg.AdminAddress)
	var told []Finding
	cfg.Tell = func(f Finding) { told = append(told, f) }
	r := run(t, cfg)
	if unwell := r.unwell(); len(unwell) > 0 || r.OK != 2*11+5 || len(told) != len(r.Findings) {
		t.Errorf("%q, %s, %d told", unwell, r.Summary(), len(told))
	}
	documented(t, r)
	// One stream for the messages, one with a header of its own, one that is silent.
	if n := a.streams.Load(); n != 3 {
		t.Errorf("%d streams were opened through one address, want 3", n)
	}
	if n, want := a.messages.Load(), int64(1+longStream/chunk+1+1); n != want {
		t.Errorf("%d messages were sent through one address, want %d", n, want)
	}
}

// documented looks whether the documents have each check.
func documented(t *testing.T, r *Report) {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(r.Findings, Finding{Check: "certificate"}) {
		if !strings.Contains(string(text), "\n| `"+f.Check+"` |") {
			t.Errorf("docs/operations.md does not have the check %s", f.Check)
		}
	}
}

// Each fault is found, and what depends on it is skipped, not failed too.
func TestFaults(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, c := range []struct {
		name    string
		fake    *fake
		change  func(*Config)
		address string
		want    []string
	}{
		{name: "no echo", fake: &fake{name: "a", mute: true}, change: func(c *Config) { c.Timeout = 300 * time.Millisecond }, want: []string{
			"echo skipped", "large-message skipped", "long-stream skipped",
		}},
		{name: "too much besides", fake: &fake{name: "a", chatty: maxOther}, want: []string{
			"echo skipped", "large-message skipped", "long-stream skipped",
		}},
		{name: "no messages", fake: &fake{name: "a"}, change: func(c *Config) { c.NoMessages = true }, want: []string{
			"echo skipped", "large-message skipped", "long-stream skipped",
		}},
		{name: "no app server", fake: &fake{refuse: refusal(t, codes.Unavailable, "NO_APP_SERVER")}, want: []string{"idle skipped", "welcome failed"}},
		{name: "direct", fake: &fake{name: direct}, want: []string{"ingress failed"}},
		{name: "admin", fake: &fake{name: "a", admin: true}, want: []string{"admin-port failed"}},
		{name: "cut", fake: &fake{name: "a", silence: 2 * time.Second}, change: func(c *Config) { c.Wait = time.Minute }, want: []string{"idle failed"}},
		{name: "no wait", fake: &fake{name: "a"}, change: func(c *Config) { c.Wait = 0 }, want: []string{"idle skipped"}},
		{name: "token wanted", fake: &fake{name: "a", token: "secret"}, want: []string{"idle skipped", "welcome failed"}},
		{name: "token given", fake: &fake{name: "a", token: "secret"}, change: func(c *Config) { c.Token = "secret" }},
		{name: "nothing there", address: closed.Addr().String(), want: []string{"accepts failed", "idle skipped"}},
		{name: "no name", address: "name.invalid:80", want: []string{"accepts failed", "idle skipped"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.fake != nil {
				c.address = c.fake.serve(t)
			}
			cfg := quick(c.address)
			if c.change != nil {
				c.change(&cfg)
			}
			r := run(t, cfg)
			want := slices.Sorted(slices.Values(append(c.want, "different-ingresses skipped", "server-connections skipped")))
			if unwell := r.unwell(); !slices.Equal(unwell, want) {
				t.Errorf("%q, want %q", unwell, want)
			}
			for _, f := range r.Findings {
				if f.Seen == "" || (f.Outcome == Failed) != (f.Change != nil) {
					t.Errorf("%+v: a fault needs words and a change", f)
				}
			}
		})
	}
}

// An application that gets no message for being no echo gets no other.
func TestNoMessages(t *testing.T) {
	f := &fake{name: "a"}
	cfg := quick(f.serve(t))
	cfg.NoMessages = true
	run(t, cfg)
	if n := f.messages.Load(); n != 0 {
		t.Errorf("%d messages were sent, want none", n)
	}
	f = &fake{name: "a", mute: true}
	cfg = quick(f.serve(t))
	cfg.Timeout = 300 * time.Millisecond
	run(t, cfg)
	if n := f.messages.Load(); n != 1 {
		t.Errorf("an application that does not echo got %d messages, want 1", n)
	}
}

// Something that accepts and then says nothing, or nonsense, holds nothing up.
func TestNoHTTP2(t *testing.T) {
	for answer, want := range map[string]string{
		"": "no answer", "HTTP/1.1 400 Bad Request\r\n\r\n": `it answers "HTTP/1.1 400 Bad Request"`, "no": `it answers "no"`,
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, len(preface)))
				_, _ = conn.Write([]byte(answer))
				_ = conn.Close()
			}
		}()
		r := run(t, quick(listener.Addr().String()))
		_ = listener.Close()
		<-served
		if f := r.finding(t, "http2"); f.Outcome != Failed || !strings.Contains(f.Seen, want) || !strings.Contains(f.Change.Nginx, "http2") {
			t.Errorf("%q: %+v", answer, f)
		}
	}
}

func TestAdminThatDoesNotAnswer(t *testing.T) {
	f := &fake{name: "a"}
	address := f.serve(t)
	for _, wanted := range []bool{false, true} {
		cfg := quick(address)
		cfg.Admin, cfg.AdminAddress, cfg.AdminWanted = adminClient(t, "127.0.0.1:1"), "127.0.0.1:1", wanted
		want := map[bool]Outcome{false: Skipped, true: Failed}[wanted]
		if f := run(t, cfg).finding(t, "server-connections"); f.Outcome != want || !strings.Contains(f.Seen, "127.0.0.1:1") {
			t.Errorf("wanted %t: %+v", wanted, f)
		}
	}
}

// An interruption ends the wait, and is no fault of the deployment.
func TestInterrupted(t *testing.T) {
	f := &fake{name: "a"}
	cfg := quick(f.serve(t))
	cfg.Wait = time.Hour
	for _, at := range []func() bool{
		func() bool { return true },                      // Before the silent stream is open.
		func() bool { return f.streams.Load() >= 2*2+1 }, // While it is open.
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		cfg.Tell = func(f Finding) {
			if f.Check == "server-connections" { // The last before the wait.
				all.Go(func() {
					for !at() {
						time.Sleep(time.Millisecond)
					}
					cancel()
				})
			}
		}
		r, err := Run(ctx, cfg)
		cancel()
		all.Wait()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if f := r.finding(t, "idle"); f.Outcome != Skipped || !strings.Contains(f.Seen, "interrupted") {
			t.Errorf("%+v", f)
		}
	}
}

func TestUsage(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"--addresses: 0 addresses":          func(c *Config) { c.Addresses = nil },
		`--addresses: "x" is not allowed`:   func(c *Config) { c.Addresses = []string{"x"} },
		`--addresses: ":80" is not allowed`: func(c *Config) { c.Addresses = []string{":80"} },
		`"x:1" is there twice`:              func(c *Config) { c.Addresses = []string{"x:1", "x:1"} },
		"--wait: -1ns is not allowed":       func(c *Config) { c.Wait = -1 },
		"--timeout: 0s is not allowed":      func(c *Config) { c.Timeout = 0 },
		"--ca: open":                        func(c *Config) { c.CA = filepath.Join("nowhere", "ca.pem") },
		"has no certificate in PEM form":    func(c *Config) { c.CA = "doctor_test.go" },
	} {
		cfg := quick("127.0.0.1:1")
		change(&cfg)
		_, err := Run(t.Context(), cfg)
		if wrong := new(UsageError); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestReport(t *testing.T) {
	r := &Report{}
	for _, f := range []Finding{
		ok("one", "%d seen", 1), skipped("two", "no way"), warning("three", asIs("look"), "odd"), failed("four", adviseBody, "cut"),
	} {
		f.Address = "a:1"
		r.add(f)
	}
	var text bytes.Buffer
	for _, f := range r.Findings {
		if err := f.Write(&text); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"ok       one                  a:1: 1 seen\n", "skipped  two", "warning  three                a:1: odd\n           change:  look\n",
		"failed   four", "nginx:   client_max_body_size 0;",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	raw, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(raw), `"check":"three","address":"a:1","outcome":"warning","seen":"odd","change":{"what":"look"}`) ||
		!strings.Contains(string(raw), `"ok":1,"warnings":1,"failed":1,"skipped":1`) {
		t.Errorf("%s, %v", raw, err)
	}
	if got := Outcome(9).String(); got != "Outcome(9)" {
		t.Errorf("got %q", got)
	}
}
