package ingress_test

import (
	"strings"
	"testing"
)

// What is wrong with the app servers, or with the relay, is found by the admin listener and by the way in.
func TestDoctorOfAppServers(t *testing.T) {
	find(t, "nginx")
	t.Run("no app server", func(t *testing.T) {
		s := newSystem(t)
		r := s.examine([]string{s.startNginx(goodNginx("a"))}, "--wait", "0s")
		fault{failed: []string{"server-connections", "welcome"}, seen: "no app server is there"}.judge(t, r)
	})
	t.Run("one ingress only", func(t *testing.T) {
		s := newSystem(t)
		a := s.startNginx(goodNginx("a"))
		s.startAppServer("sample", a)
		r := s.examine([]string{a}, "--wait", "0s")
		fault{failed: []string{"server-connections"}, seen: "app server sample/"}.judge(t, r)
	})
	t.Run("one ingress by two addresses", func(t *testing.T) {
		s := newSystem(t)
		both := []string{s.startNginx(goodNginx("a")), s.startNginx(goodNginx("a"))}
		s.startAppServer("sample", both...)
		r := s.examine(both, "--wait", "0s")
		fault{
			failed: []string{"different-ingresses", "server-connections"}, seen: `"a" at ` + both[0] + ", " + both[1],
		}.judge(t, r)
	})
	t.Run("an ingress that the relay does not trust", func(t *testing.T) {
		s := newSystem(t, "--trusted-networks", "192.0.2.0/24")
		both := []string{s.startNginx(goodNginx("a")), s.startNginx(goodNginx("b"))}
		s.startAppServer("sample", both...)
		r := s.examine(both, "--wait", "0s")
		fault{failed: []string{"ingress", "ingress", "server-connections"}, seen: "the relay does not believe it", nginx: "grpc_set_header"}.judge(t, r)
	})
	t.Run("out of service, and cut by a time-out", func(t *testing.T) {
		s := newSystem(t)
		short := goodNginx("b")
		short.server = strings.ReplaceAll(short.server, "grpc_read_timeout 1h", "grpc_read_timeout 1s")
		both := []string{s.startNginx(goodNginx("a")), s.startNginx(short)}
		s.startAppServer("sample", both...)
		r := s.examine(both, "--wait", "3s")
		fault{failed: []string{"idle"}, seen: "cut after 1s", nginx: "grpc_read_timeout 1h;"}.judge(t, r)
		if checks, told := r.with("warning"); len(checks) != 1 || checks[0] != "heartbeats" || !strings.Contains(told[0], "through b") {
			t.Errorf("warnings: %q, want that the heartbeats, every 15 s, come too late for ingress b", told)
		}
		s.takeOut("a")
		r = s.examine(both[:1], "--wait", "0s")
		if checks, told := r.with("warning"); len(checks) != 1 || checks[0] != "in-service" || !strings.Contains(told[0], `"a" is out of service`) {
			t.Errorf("warnings: %q", told)
		}
	})
	t.Run("another relay", func(t *testing.T) {
		s, other := newSystem(t), newSystem(t)
		both := []string{s.startNginx(goodNginx("a")), s.startNginx(goodNginx("b"))}
		s.startAppServer("sample", both...)
		others := []string{other.startNginx(goodNginx("c")), other.startNginx(goodNginx("d"))}
		other.startAppServer("sample", others...)
		mixed := &system{t: t, relay: s.relay, admin: other.admin, log: s.log}
		fault{failed: []string{"in-service"}, seen: `does not know ingress "a"`}.judge(t, mixed.examine(both, "--wait", "0s"))
	})
}
