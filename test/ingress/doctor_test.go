package ingress_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// report is what the doctor says.
type report struct {
	Findings []struct {
		Check, Address, Outcome, Seen string
		Change                        struct{ What, Nginx, HAProxy, Envoy string }
	}
	OK, Warnings, Failed, Skipped int
}

// examine runs the doctor on the addresses. The exit code must fit what it found.
func (s *system) examine(addresses []string, flags ...string) report {
	s.t.Helper()
	args := append([]string{"--admin", s.admin, "doctor", "--json", "--addresses", strings.Join(addresses, ",")}, flags...)
	out, errs, code := output(s.t, "holdfast", args...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		s.t.Fatalf("the report: %v\n%s\n%s", err, out, errs)
	}
	if (code == 1) != (r.Failed > 0) || code > 1 {
		s.t.Errorf("exit code %d with %d failed checks", code, r.Failed)
	}
	return r
}

// with returns "CHECK: SEEN" for the findings of an outcome.
func (r report) with(outcome string) (checks, told []string) {
	for _, f := range r.Findings {
		if f.Outcome == outcome {
			checks = append(checks, f.Check)
			told = append(told, f.Check+": "+f.Seen)
		}
	}
	slices.Sort(checks)
	return checks, told
}

// fault is something that is wrong with an ingress, and what the doctor has to say about it.
type fault struct {
	name    string
	address func(s *system) string
	flags   []string
	// failed are the checks that must fail, and no other.
	failed []string
	// directive must be named, by the field of the kind of ingress, in the change for each of the checks.
	nginx, haproxy string
	// seen must be among what was seen.
	seen string
}

// A deployment with no fault is found to have none, and each fault of an ingress is found and named.
func TestDoctor(t *testing.T) {
	find(t, "nginx")
	find(t, "haproxy")
	s := newSystem(t)
	good := []string{s.startNginx(goodNginx("a")), s.startHAProxy(goodHAProxy("b"))}
	s.startAppServer("sample", good...)
	t.Run("no fault", func(t *testing.T) {
		r := s.on(t).examine(good, "--wait", "2s")
		for _, outcome := range []string{"warning", "failed", "skipped"} {
			if _, told := r.with(outcome); len(told) > 0 {
				t.Errorf("%s: %q", outcome, told)
			}
		}
		if want := 11*len(good) + 5; r.OK != want { // 11 checks of each address, 5 of the whole.
			t.Errorf("%d checks are ok, want %d: %+v", r.OK, want, r.Findings)
		}
	})
	t.Run("nothing is left", func(t *testing.T) {
		eventually(t, "no client is connected", func() bool {
			out, _, code := output(t, "holdfast", "--admin", s.admin, "--output", "json", "list", "clients")
			return code == 0 && !strings.Contains(out, `"connection_id"`)
		})
		log, err := os.ReadFile(s.log.Name())
		if err != nil || strings.Contains(string(log), "level=ERROR") || strings.Contains(string(log), "level=WARN") {
			t.Errorf("the relay was disturbed: %v\n%s", err, log)
		}
	})
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			s := s.on(t)
			r := s.examine([]string{f.address(s)}, append([]string{"--wait", "0s", "--timeout", "5s"}, f.flags...)...)
			f.judge(t, r)
		})
	}
}

// A wait as long as the doctor's own default shows the time-outs that ingresses have when nobody sets them.
func TestDoctorFindsDefaultTimeouts(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	find(t, "nginx")
	find(t, "haproxy")
	s := newSystem(t)
	good, bare, debian := goodNginx("a"), goodNginx("b"), goodHAProxy("c")
	bare.server, debian.timeout = "client_max_body_size 0;", "50s"
	addresses := []string{s.startNginx(good), s.startNginx(bare), s.startHAProxy(debian)}
	s.startAppServer("sample", addresses...)
	fault{failed: []string{"idle", "idle"}, nginx: "grpc_read_timeout 1h;", haproxy: "timeout client 1h"}.judge(t, s.examine(addresses))
}

// on returns the system for a test of its own, which ends what it starts.
func (s *system) on(t *testing.T) *system {
	return &system{t: t, relay: s.relay, admin: s.admin, sockets: s.sockets, log: s.log}
}

func (f fault) judge(t *testing.T, r report) {
	t.Helper()
	checks, told := r.with("failed")
	if !slices.Equal(checks, slices.Sorted(slices.Values(f.failed))) {
		t.Errorf("failed: %q, want %q", told, f.failed)
	}
	if !strings.Contains(strings.Join(told, "\n"), f.seen) {
		t.Errorf("seen: %q, want %q in it", told, f.seen)
	}
	for _, x := range r.Findings {
		if x.Outcome != "failed" {
			continue
		}
		if !strings.Contains(x.Change.Nginx, f.nginx) || !strings.Contains(x.Change.HAProxy, f.haproxy) || x.Change.What == "" {
			t.Errorf("%s: the change is %+v, want %q for nginx and %q for HAProxy", x.Check, x.Change, f.nginx, f.haproxy)
		}
	}
	t.Logf("%q", told)
}

func nginxWith(change func(*nginx)) func(*system) string {
	return func(s *system) string {
		n := goodNginx("c")
		change(&n)
		return s.startNginx(n)
	}
}

func haproxyWith(change func(*haproxy)) func(*system) string {
	return func(s *system) string {
		h := goodHAProxy("c")
		change(&h)
		return s.startHAProxy(h)
	}
}

var faults = []fault{
	{
		name: "nothing listens", address: func(s *system) string { return free(s.t, 1)[0] },
		failed: []string{"accepts"}, nginx: "listen ", haproxy: "bind :", seen: "connection refused",
	},
	{
		name:    "nginx, the default limit on the body",
		address: nginxWith(func(n *nginx) { n.server = strings.ReplaceAll(n.server, "client_max_body_size 0;", "") }),
		failed:  []string{"long-stream"}, nginx: "client_max_body_size 0;", seen: "was cut after 960 KiB",
	},
	{
		name: "nginx, a short time-out of the relay",
		address: nginxWith(func(n *nginx) {
			n.server = strings.ReplaceAll(n.server, "grpc_read_timeout 1h", "grpc_read_timeout 1s")
		}),
		flags: []string{"--wait", "3s"}, failed: []string{"idle"}, nginx: "grpc_read_timeout 1h;", seen: "cut after 1s",
	},
	{
		name: "nginx, a short time-out of the client",
		address: nginxWith(func(n *nginx) {
			n.server = strings.ReplaceAll(n.server, "client_body_timeout 1h", "client_body_timeout 1s")
		}),
		flags: []string{"--wait", "3s"}, failed: []string{"idle"}, nginx: "client_body_timeout 1h;", seen: "cut after 1s",
	},
	{
		name:    "HAProxy, short time-outs",
		address: haproxyWith(func(h *haproxy) { h.timeout = "1s" }),
		flags:   []string{"--wait", "3s"}, failed: []string{"idle"}, haproxy: "timeout client 1h", seen: "cut after 1s",
	},
	{
		name:    "nginx, no header set, and that of the client passed on",
		address: nginxWith(func(n *nginx) { n.location = "grpc_pass grpc://RELAY;" }),
		failed:  []string{"ingress", "spoofing"}, nginx: "grpc_set_header x-ingress-id NAME;", seen: "is believed",
	},
	{
		name:    "nginx, the header taken away",
		address: nginxWith(func(n *nginx) { n.location = `grpc_pass grpc://RELAY; grpc_set_header x-ingress-id "";` }),
		failed:  []string{"ingress"}, nginx: "grpc_set_header x-ingress-id NAME;", seen: `("direct")`,
	},
	{
		name: "HAProxy, the header of the client passed on",
		address: haproxyWith(func(h *haproxy) {
			h.frontend = "http-request set-header x-ingress-id c unless { req.hdr(x-ingress-id) -m found }"
		}),
		failed: []string{"spoofing"}, haproxy: "http-request set-header x-ingress-id NAME", seen: "is believed",
	},
	{
		name:    "HAProxy, the header set beside that of the client",
		address: haproxyWith(func(h *haproxy) { h.frontend = "http-request add-header x-ingress-id c" }),
		failed:  []string{"spoofing"}, haproxy: "not add-header", seen: "hides its ingress",
	},
	{
		name:    "nginx, HTTP/1 to the relay",
		address: nginxWith(func(n *nginx) { n.location = "proxy_pass http://RELAY; proxy_set_header x-ingress-id c;" }),
		failed:  []string{"health"}, nginx: "grpc_pass grpc://",
	},
	{
		name:    "HAProxy, HTTP/1 to the relay",
		address: haproxyWith(func(h *haproxy) { h.server = "" }),
		failed:  []string{"health"}, haproxy: "proto h2", seen: "502",
	},
	{
		name: "HAProxy, streams held back until they end",
		address: haproxyWith(func(h *haproxy) {
			h.frontend = "option http-buffer-request\n  http-request set-header x-ingress-id c"
		}),
		failed: []string{"welcome"}, haproxy: "no option http-buffer-request", seen: "no answer within 5s",
	},
	{
		name:    "nginx, HTTP/1 from the clients",
		address: nginxWith(func(n *nginx) { n.listen = "" }),
		failed:  []string{"http2"}, nginx: "listen 8080 http2;", seen: "HTTP/1.1 400",
	},
	{
		name:    "nginx, only some paths passed on",
		address: nginxWith(func(n *nginx) { n.location = "return 404;" }),
		failed:  []string{"health"}, nginx: "location / {", seen: "404",
	},
	{
		name: "nginx, the admin listener within reach",
		address: nginxWith(func(n *nginx) {
			n.extra = "location /holdfast.v1.AdminService { grpc_pass grpc://ADMIN; }"
		}),
		failed: []string{"admin-port"}, nginx: "not the admin port", seen: "AdminService answers here",
	},
	{
		name:    "plaintext where TLS is wanted",
		address: nginxWith(func(*nginx) {}),
		flags:   []string{"--tls"}, failed: []string{"http2"}, nginx: "listen 443 ssl http2;", haproxy: "alpn h2", seen: "it speaks plaintext",
	},
}
