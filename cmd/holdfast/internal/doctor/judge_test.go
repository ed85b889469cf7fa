package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// expect judges a finding: its outcome, and what must be in what was seen and in the change.
func expect(t *testing.T, f Finding, outcome Outcome, seen, change string) {
	t.Helper()
	changed := ""
	if f.Change != nil {
		changed = f.Change.What + "\n" + f.Change.Nginx + "\n" + f.Change.HAProxy + "\n" + f.Change.Envoy
	}
	if f.Outcome != outcome || !strings.Contains(f.Seen, seen) || !strings.Contains(changed, change) {
		t.Errorf("%s: %s, %q, %q; want %s, %q, %q", f.Check, f.Outcome, f.Seen, changed, outcome, seen, change)
	}
}

func TestJudgeHealth(t *testing.T) {
	fromIngress := func(code string) error {
		return status.Error(codes.Unavailable, "unexpected HTTP status code received from server: "+code+" (Text)")
	}
	expect(t, judgeHealth(healthv1.HealthCheckResponse_SERVING, nil), OK, "SERVING", "")
	expect(t, judgeHealth(healthv1.HealthCheckResponse_NOT_SERVING, nil), Failed, "NOT_SERVING", "shutting down")
	expect(t, judgeHealth(0, fromIngress("404")), Failed, "404", "location / {")
	expect(t, judgeHealth(0, fromIngress("502")), Failed, "502", "grpc_pass grpc://")
	expect(t, judgeHealth(0, fromIngress("403")), Failed, "403", "--token-file")
	expect(t, judgeHealth(0, status.Error(codes.Unimplemented, "unknown service")), Failed, "unknown service", "default_backend relay")
	expect(t, judgeHealth(0, status.Error(codes.DeadlineExceeded, "late")), Failed, "no answer", "proto h2")
}

func TestWords(t *testing.T) {
	for want, err := range map[string]error{
		"first (Unavailable)":                         status.Error(codes.Unavailable, "first\nsecond"),
		strings.Repeat("x", maxWords) + "… (Unknown)": status.Error(codes.Unknown, strings.Repeat("x", maxWords+1)),
		"other": errors.New("other"),
	} {
		if got := words(err); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestJudgeSpoofing(t *testing.T) {
	for _, c := range []struct {
		honest, lied string
		outcome      Outcome
		seen, change string
	}{
		{"a", "a", OK, `still known by "a"`, ""},
		{direct, direct, OK, "not believed", ""},
		{"a", "ours", Failed, "is believed", "grpc_set_header x-ingress-id NAME;"},
		{direct, "ours", Failed, "is believed", "not pass it on"},
		{"a", direct, Failed, "hides its ingress", "not add-header"},
		{"a", "b", Warning, `"a" and "b"`, "one ingress"},
	} {
		expect(t, judgeSpoofing(c.honest, c.lied, "ours"), c.outcome, c.seen, c.change)
	}
}

func TestJudgeNames(t *testing.T) {
	patients := func(names ...string) (all []*patient) {
		for i, name := range names {
			p := &patient{address: string(rune('0'+i)) + ":1"}
			if name != "" {
				p.welcome = &holdfastv1.Welcome{Ingress: name}
			}
			all = append(all, p)
		}
		return all
	}
	expect(t, judgeNames(patients("a", "b")), OK, `"a" at 0:1; "b" at 1:1`, "")
	expect(t, judgeNames(patients("a")), Skipped, "only one address", "")
	expect(t, judgeNames(patients("a", "b", "a")), Failed, `"a" at 0:1, 2:1; "b" at 1:1`, "of its own")
	expect(t, judgeNames(patients("a", "")), Skipped, "1 of 2", "")
	expect(t, judgeNames(patients("a", direct)), Skipped, "1 of 2", "")
}

func TestJudgeWelcome(t *testing.T) {
	expect(t, judgeWelcome(nil), OK, "welcomed", "")
	expect(t, judgeWelcome(refusal(t, codes.Unavailable, "NO_APP_SERVER")), Failed, "no app server", "--relays")
	expect(t, judgeWelcome(refusal(t, codes.NotFound, "UNKNOWN_APPLICATION")), Failed, "refused", "--application")
	expect(t, judgeWelcome(refusal(t, codes.Internal, "OTHER")), Failed, "OTHER", "log")
	expect(t, judgeWelcome(status.Error(codes.Unauthenticated, "who")), Failed, "who", "--token-file")
	expect(t, judgeWelcome(&lateError{time.Second}), Failed, "within 1s", "no option http-buffer-request")
	expect(t, judgeWelcome(status.Error(codes.Unimplemented, "no")), Failed, "ClientConnectionService", "location / {")
	expect(t, judgeWelcome(errNoWelcome), Failed, "no welcome", "grpc_pass")
}

func TestJudgeAdminPort(t *testing.T) {
	expect(t, judgeAdminPort(nil), Failed, "answers here", "7401")
	expect(t, judgeAdminPort(status.Error(codes.Unimplemented, "")), OK, "cannot be reached", "")
	expect(t, judgeAdminPort(status.Error(codes.Unauthenticated, "who")), Warning, "who", "7401")
	expect(t, judgeAdminPort(status.Error(codes.Internal, "odd")), Warning, "odd", "UNIMPLEMENTED")
}

func TestJudgeIdle(t *testing.T) {
	cut := status.Error(codes.Internal, "RST_STREAM")
	expect(t, judgeIdle(silence{wait: 10 * time.Second, held: 10 * time.Second}), OK, "silent for 10s, and it lives; a longer --wait would show the timeout client", "")
	expect(t, judgeIdle(silence{wait: time.Minute, held: time.Minute, echoed: true}), OK, "carries messages; a longer --wait would show nginx's", "")
	expect(t, judgeIdle(silence{wait: 61 * time.Second, held: 61 * time.Second}), OK, "a longer --wait would show Envoy's stream_idle_timeout (5m0s)", "")
	expect(t, judgeIdle(silence{wait: time.Second, held: time.Second, said: 3}), OK, "sent 3 messages", "")
	expect(t, judgeIdle(silence{wait: time.Minute, held: 2 * time.Second, err: cut}), Failed, "cut after 2s", "grpc_read_timeout 1h;")
	expect(t, judgeIdle(silence{wait: time.Minute, held: time.Minute, err: errNoEcho}), Failed, "carries nothing any more", "timeout server 1h")
	expect(t, judgeIdle(silence{wait: time.Minute, held: 2 * time.Second, err: io.EOF}), Skipped, "closed", "")
	expect(t, judgeIdle(silence{wait: time.Minute, err: refusal(t, codes.Unavailable, "RELAY_SHUTDOWN")}), Skipped, "RELAY_SHUTDOWN", "")
	expect(t, judgeIdle(silence{wait: time.Minute, err: context.Canceled}), Skipped, "interrupted", "")
	if f := judgeIdle(silence{wait: time.Hour, held: time.Hour}); strings.Contains(f.Seen, "longer") {
		t.Errorf("%+v: an hour is longer than all defaults", f)
	}
}

func TestJudgeLongStream(t *testing.T) {
	expect(t, judgeLongStream(longStream, nil), OK, "1.5 MiB", "")
	expect(t, judgeLongStream(960<<10, errors.New("gone")), Failed, "after 960 KiB from the client: gone", "client_max_body_size 0;")
	expect(t, judgeLongStream(100, errors.New("gone")), Failed, "after 100 bytes", "")
}

func TestJudgeServers(t *testing.T) {
	old, young := noon.Add(-time.Hour), noon.Add(-10*time.Second)
	draining := connection("3", "s", "b", old)
	draining.Draining = true
	for _, c := range []struct {
		all          []*holdfastv1.ServerConnection
		outcome      Outcome
		seen, change string
	}{
		{nil, Failed, "none", "start an app server"},
		{[]*holdfastv1.ServerConnection{connection("1", "s", "a", old), connection("2", "s", "b", old)}, OK, "1 app server processes", ""},
		{[]*holdfastv1.ServerConnection{connection("1", "s", "a", old), connection("2", "s", "b", young)}, OK, "10s old, too young", ""},
		{[]*holdfastv1.ServerConnection{connection("1", "s", "a", old), connection("2", "s", "a", old)}, Failed, "app server s/i has 1 ingresses that are in service (a)", "--relays"},
		{[]*holdfastv1.ServerConnection{connection("1", "s", "a", old), draining}, Failed, "has 1 ingresses", "--relays"},
		{[]*holdfastv1.ServerConnection{connection("1", "s", "a", old), connection("2", "s", direct, old)}, Failed, "no ingress", "grpc_set_header"},
	} {
		expect(t, judgeServers(c.all, noon), c.outcome, c.seen, c.change)
	}
}

func TestJudgeLasting(t *testing.T) {
	one, two := connection("1", "s", "a", noon.Add(-time.Hour)), connection("2", "s", "b", noon.Add(-time.Minute))
	all := []*holdfastv1.ServerConnection{one, two}
	expect(t, judgeLasting(all, all, time.Minute, noon), OK, "outlived 1m0s; the oldest has lived for 1h0m0s", "")
	expect(t, judgeLasting(all, all[:1], time.Minute, noon), Warning, "1 of 2 server connections ended within 1m0s: 2 through b", "--heartbeat-interval")
	two.Draining = true // It was about to go.
	expect(t, judgeLasting(all, all[:1], time.Minute, noon), OK, "outlived", "")
}

func TestJudgeInService(t *testing.T) {
	known := []*holdfastv1.Ingress{{Name: "a"}, {Name: "b", Draining: true, ReturnsAt: timestamppb.New(noon)}}
	expect(t, judgeInService(known, []string{"a"}, "r:1"), OK, "a", "")
	expect(t, judgeInService(known, []string{"a", "b"}, "r:1"), Warning, `"b" is out of service until 2030-06-01 12:00:00`, "holdfast complete b")
	expect(t, judgeInService(known, []string{"c"}, "r:1"), Failed, `r:1 does not know ingress "c"`, "admin listener")
	expect(t, judgeInService(known, nil, "r:1"), Skipped, "no address", "")
}

func TestJudgeClock(t *testing.T) {
	later := noon.Add(time.Second)
	expect(t, judgeClock(noon.Add(time.Millisecond), noon, later), OK, "less than 1.001s", "")
	expect(t, judgeClock(later.Add(2*time.Second), noon, later), OK, "less than 2.001s", "")
	expect(t, judgeClock(noon.Add(-time.Minute), noon, later), Warning, "off by -1m0s", "NTP")
	expect(t, judgeClock(later.Add(time.Hour), noon, later), Warning, "off by 1h0m0s", "NTP")
}

func TestJudgeCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make := func(from, to time.Time) *x509.Certificate {
		c := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "it"}, DNSNames: []string{"relay.test"},
			IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}, NotBefore: from, NotAfter: to,
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = x509.ParseCertificate(raw); err != nil {
			t.Fatal(err)
		}
		return c
	}
	const day = 24 * time.Hour
	good := make(noon.Add(-day), noon.Add(30*day))
	roots := x509.NewCertPool()
	roots.AddCert(good)
	judge := func(c *x509.Certificate, name string, now time.Time) Finding {
		return judgeCertificate([]*x509.Certificate{c}, roots, name, now)
	}
	expect(t, judge(good, "relay.test", noon), OK, "for relay.test, 192.0.2.1, from CN=it, good until 2030-07-01", "")
	expect(t, judge(good, "192.0.2.1", noon), OK, "relay.test", "")
	expect(t, judge(good, "relay.test", noon.Add(20*day)), Warning, "in 10 days", "renew")
	expect(t, judge(good, "relay.test", noon.Add(30*day-time.Hour)), Warning, "in 1h0m0s", "renew")
	expect(t, judge(good, "relay.test", noon.Add(31*day)), Failed, "expired on 2030-07-01", "ssl_certificate FILE;")
	expect(t, judge(good, "relay.test", noon.Add(-2*day)), Failed, "not good before 2030-05-31", "clock")
	expect(t, judge(good, "other.test", noon), Failed, "for relay.test, 192.0.2.1, and not for other.test", "--server-name")
	expect(t, judgeCertificate([]*x509.Certificate{good}, x509.NewCertPool(), "relay.test", noon), Failed, "not trusted here", "--ca")
	expect(t, judgeCertificate(nil, nil, "relay.test", noon), Failed, "none", "")
}
