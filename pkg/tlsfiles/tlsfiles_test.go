package tlsfiles_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast/holdfast/pkg/tlsfiles"
	"github.com/holdfast/holdfast/pkg/tlsfiles/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// refresh is short, so that a test that waits for a change does not wait long.
const refresh = 20 * time.Millisecond

func open(t *testing.T, f tlsfiles.Files) *tlsfiles.Source {
	t.Helper()
	f.Refresh = refresh
	s, err := tlsfiles.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// shake makes a handshake over a connection in memory, and returns what each side saw of it.
func shake(t *testing.T, server, client *tls.Config) (atServer, atClient tls.ConnectionState, err error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	var wg sync.WaitGroup
	var serverErr error
	wg.Go(func() {
		if serverErr = s.Handshake(); serverErr == nil {
			_, _ = s.Write([]byte{1})
			_, _ = s.Read(make([]byte, 1))
		}
		_ = a.Close()
	})
	if err = c.Handshake(); err == nil {
		_, err = io.ReadFull(c, make([]byte, 1)) // with TLS 1.3 a refusal of the client's certificate comes after the handshake
	}
	_ = b.Close()
	wg.Wait()
	return s.ConnectionState(), c.ConnectionState(), err
}

func TestMutual(t *testing.T) {
	ca := tlstest.New(t)
	serverFiles, clientFiles := ca.Issue(nil, "relay.example"), ca.Issue(nil, "spiffe://example/app-1")
	server := open(t, tlsfiles.Files{Cert: serverFiles.Cert, Key: serverFiles.Key, CA: ca.File})
	clients := open(t, tlsfiles.Files{Cert: clientFiles.Cert, Key: clientFiles.Key, CA: ca.File})
	client, err := clients.Client("relay.example")
	if err != nil {
		t.Fatal(err)
	}
	atServer, _, err := shake(t, server.Server("h2"), client)
	if err != nil {
		t.Fatal(err)
	}
	if got := tlsfiles.Names(atServer.PeerCertificates[0]); !slices.Equal(got, []string{"spiffe://example/app-1"}) {
		t.Errorf("the server saw %q", got)
	}

	bare := client.Clone()
	bare.GetClientCertificate = nil
	if _, _, err := shake(t, server.Server("h2"), bare); err != nil {
		t.Errorf("a client with no certificate: %v; that is for its service to refuse", err)
	}
	stranger := tlstest.New(t).Issue(nil, "spiffe://example/app-1")
	pair, err := tls.LoadX509KeyPair(stranger.Cert, stranger.Key)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bare.Clone()
	wrong.Certificates = []tls.Certificate{pair}
	if _, _, err := shake(t, server.Server("h2"), wrong); err == nil {
		t.Error("a certificate of another authority was taken")
	}
}

// A renewed certificate is shown by the next handshake; one that is broken leaves the last good one in use.
func TestReload(t *testing.T) {
	ca := tlstest.New(t)
	files := ca.Issue(nil, "old.example")
	server := open(t, tlsfiles.Files{Cert: files.Cert, Key: files.Key}).Server("h2")
	clients := open(t, tlsfiles.Files{CA: ca.File})
	name := func() string {
		client, err := clients.Client("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		_, state, err := shake(t, server, client)
		if err != nil {
			t.Fatal(err)
		}
		return tlsfiles.Names(state.PeerCertificates[0])[0]
	}
	if got := name(); got != "old.example" {
		t.Fatalf("it shows %s", got)
	}
	ca.Renew(files, nil, "new.example")
	for deadline := time.Now().Add(10 * time.Second); name() != "new.example"; {
		if time.Now().After(deadline) {
			t.Fatal("the renewed certificate is not shown")
		}
		time.Sleep(refresh)
	}
	if err := os.WriteFile(files.Cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(refresh)
		if got := name(); got != "new.example" {
			t.Fatalf("it shows %s", got)
		}
	}
}

// A listener for browsers and gRPC uses the first of its protocols that the client offers.
func TestProtocols(t *testing.T) {
	ca := tlstest.New(t)
	files := ca.Issue(nil, "x")
	server := open(t, tlsfiles.Files{Cert: files.Cert, Key: files.Key}).Server("http/1.1", "h2")
	client, err := open(t, tlsfiles.Files{CA: ca.File}).Client("x")
	if err != nil {
		t.Fatal(err)
	}
	for want, offered := range map[string][]string{"h2": {"h2"}, "http/1.1": {"h2", "http/1.1"}, "": nil} {
		c := client.Clone()
		c.NextProtos = offered
		if _, state, err := shake(t, server, c); err != nil || state.NegotiatedProtocol != want {
			t.Errorf("%v: got %q, %v", offered, state.NegotiatedProtocol, err)
		}
	}
	c := client.Clone()
	c.NextProtos = []string{"spdy/1"}
	if _, _, err := shake(t, server, c); err == nil {
		t.Error("an unknown protocol was taken")
	}
}

func TestBadFiles(t *testing.T) {
	ca := tlstest.New(t)
	one, other := ca.Issue(nil, "x"), ca.Issue(nil, "x")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]tlsfiles.Files{
		"/nowhere.pem": {Cert: "/nowhere.pem", Key: one.Key},
		other.Key:      {Cert: one.Cert, Key: other.Key},
		empty:          {CA: empty},
	} {
		f.Refresh = refresh
		s, err := tlsfiles.Open(f)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v", f, err)
		}
	}
}

func TestNames(t *testing.T) {
	cert := &x509.Certificate{}
	cert.Subject.CommonName = "cn"
	if got := tlsfiles.Names(cert); !slices.Equal(got, []string{"cn"}) {
		t.Errorf("got %q", got)
	}
	cert.DNSNames = []string{"dns"}
	if got := tlsfiles.Names(cert); !slices.Equal(got, []string{"dns"}) {
		t.Errorf("a certificate with DNS names also goes by its common name: %q", got)
	}
}
