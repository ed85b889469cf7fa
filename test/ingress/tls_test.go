package ingress_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs the certificates of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.key = newKey(t)
	a.cert = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, a.key)
	a.write("ca.pem", pemOf("CERTIFICATE", a.cert.Raw))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	parent := a.cert
	if parent == nil {
		parent = c
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return signed
}

// issue writes a certificate for the name, good until then, with its key, and returns the file.
func (a *authority) issue(name string, until time.Time) string {
	a.t.Helper()
	key := newKey(a.t)
	cert := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: until,
	}, key)
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+until.Format("20060102")+".pem", pemOf("CERTIFICATE", cert.Raw)+pemOf("EC PRIVATE KEY", raw))
}

func (a *authority) write(name, text string) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

func pemOf(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

// tlsNginx is a good nginx that ends TLS with the certificate of the file.
func tlsNginx(name, file string) nginx {
	n := goodNginx(name)
	n.listen = "ssl http2"
	n.server += " ssl_certificate " + file + "; ssl_certificate_key " + file + ";"
	return n
}

// What can be wrong with TLS is found and named.
func TestDoctorTLS(t *testing.T) {
	find(t, "nginx")
	find(t, "haproxy")
	const year = 365 * 24 * time.Hour
	ca := newAuthority(t)
	const name = "relay.test"
	lasting, expired := ca.issue(name, time.Now().Add(year)), ca.issue(name, time.Now().Add(-24*time.Hour))
	ending, foreign := ca.issue(name, time.Now().Add(72*time.Hour)), ca.issue("other.test", time.Now().Add(year))
	s := newSystem(t)
	good := []string{s.startNginx(tlsNginx("a", lasting)), s.startHAProxy(haproxy{
		timeout: "1h", bind: "ssl crt " + lasting + " alpn h2", frontend: "http-request set-header x-ingress-id b", server: "proto h2",
	})}
	s.startAppServer("sample", s.startNginx(goodNginx("inner-a")), s.startNginx(goodNginx("inner-b")))
	trust := []string{"--ca", filepath.Join(ca.dir, "ca.pem"), "--server-name", name}

	t.Run("no fault", func(t *testing.T) {
		r := s.on(t).examine(good, append(trust, "--wait", "1s")...)
		for _, outcome := range []string{"warning", "failed", "skipped"} {
			if _, told := r.with(outcome); len(told) > 0 {
				t.Errorf("%s: %q", outcome, told)
			}
		}
	})
	for _, f := range []fault{
		{
			name: "expired", address: func(s *system) string { return s.startNginx(tlsNginx("c", expired)) },
			flags: trust, failed: []string{"certificate"}, nginx: "ssl_certificate FILE;", seen: "expired on",
		},
		{
			name: "for another name", address: func(s *system) string { return s.startNginx(tlsNginx("c", foreign)) },
			flags: trust, failed: []string{"certificate"}, nginx: "ssl_certificate FILE;", seen: "for other.test, and not for relay.test",
		},
		{
			name: "of an authority that is not trusted", address: func(s *system) string { return s.startNginx(tlsNginx("c", lasting)) },
			flags: []string{"--server-name", name}, failed: []string{"certificate"}, haproxy: "crt FILE", seen: "not trusted here",
		},
		{
			name: "TLS where plaintext is expected", address: func(s *system) string { return s.startNginx(tlsNginx("c", lasting)) },
			failed: []string{"http2"}, seen: "speaks TLS",
		},
		{
			name: "no HTTP/2 by ALPN", address: func(s *system) string {
				n := tlsNginx("c", lasting)
				n.listen = "ssl"
				return s.startNginx(n)
			},
			flags: trust, failed: []string{"http2"}, nginx: "listen 443 ssl http2;", haproxy: "alpn h2", seen: `ALPN agrees on "http/1.1"`,
		},
	} {
		t.Run(f.name, func(t *testing.T) {
			s := s.on(t)
			f.judge(t, s.examine([]string{f.address(s)}, append([]string{"--wait", "0s", "--timeout", "5s"}, f.flags...)...))
		})
	}
	t.Run("ends soon", func(t *testing.T) {
		s := s.on(t)
		r := s.examine([]string{s.startNginx(tlsNginx("c", ending))}, append(trust, "--wait", "0s")...)
		checks, told := r.with("warning")
		if len(checks) != 1 || checks[0] != "certificate" || !strings.Contains(told[0], "in 2 days") && !strings.Contains(told[0], "in 3 days") {
			t.Errorf("warnings: %q", told)
		}
	})
}
