package appserver_test

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/tlsfiles/tlstest"
)

func valid() appserver.Config {
	return appserver.Config{
		Relays: []string{"relay:1"}, Application: "test",
		Handler: appserver.HandlerFunc(func(context.Context, *appserver.Connection) error { return nil }),
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*appserver.Config)
		want   string
	}{
		"a name without port":  {func(c *appserver.Config) { c.RelayNames = []string{"a:1", "relays"} }, `relay name "relays"; want HOST:PORT`},
		"a port without name":  {func(c *appserver.Config) { c.RelayNames = []string{":1"} }, `relay name ":1"; want HOST:PORT`},
		"no relay":             {func(c *appserver.Config) { c.Relays = nil }, "no relay address"},
		"no application":       {func(c *appserver.Config) { c.Application = "" }, "application has no name"},
		"no handler":           {func(c *appserver.Config) { c.Handler = nil }, "no handler"},
		"negative connections": {func(c *appserver.Config) { c.ConnectionsPerRelay = -1 }, "-1 connections per relay; want 1 to 16"},
		"many connections":     {func(c *appserver.Config) { c.ConnectionsPerRelay = 17 }, "17 connections per relay; want 1 to 16"},
		"negative window":      {func(c *appserver.Config) { c.WindowBytes = -1 }, "window of -1 bytes; want 0 to 1073741824"},
		"huge window":          {func(c *appserver.Config) { c.WindowBytes = 1<<30 + 1 }, "window of 1073741825 bytes; want 0 to 1073741824"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := valid()
			c.change(&cfg)
			server, err := appserver.New(cfg)
			if err == nil || server != nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error that says %q", server, err, c.want)
			}
		})
	}
}

func TestConfigTakesTheBounds(t *testing.T) {
	cfg := valid()
	cfg.ConnectionsPerRelay, cfg.WindowBytes = 16, 1<<30
	if _, err := appserver.New(cfg); err != nil {
		t.Error(err)
	}
	cfg.Relays, cfg.RelayNames = nil, []string{"[::1]:1"}
	if _, err := appserver.New(cfg); err != nil {
		t.Error(err)
	}
}

// What a handshake says is what was configured.
func TestHandshakeHasTheConfiguration(t *testing.T) {
	run(t, []string{"a"}, func(_ *world, cfg *appserver.Config) {
		cfg.ServerID, cfg.InstanceID, cfg.Application = "app-7", "instance-7", "chat"
		cfg.WindowBytes, cfg.HeartbeatInterval = 1234, 7*time.Second
	}, func(t *testing.T, w *world) {
		r := w.attemptsSoFar()[0].request
		if r.GetServerId() != "app-7" || r.GetInstanceId() != "instance-7" || r.GetApplication() != "chat" ||
			r.GetWindowBytes() != 1234 || r.GetHeartbeatInterval().AsDuration() != 7*time.Second || r.GetProtocolVersion() != 1 {
			t.Errorf("handshake: %v", r)
		}
	})
}

func TestHandshakeHasTheDefaults(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Skip("the host has no name")
	}
	run(t, []string{"a", "b"}, func(_ *world, cfg *appserver.Config) { cfg.ServerID = "" }, func(t *testing.T, w *world) {
		attempts := w.attemptsSoFar()
		if len(attempts) != 2 {
			t.Fatalf("%d server connections to 2 addresses", len(attempts))
		}
		r, other := attempts[0].request, attempts[1].request
		if r.GetServerId() != host || r.GetWindowBytes() != 0 || r.GetHeartbeatInterval() != nil || r.GetProcessNonce() == 0 {
			t.Errorf("handshake: %v", r)
		}
		if !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(r.GetInstanceId()) {
			t.Errorf("instance id %q", r.GetInstanceId())
		}
		if other.GetInstanceId() != r.GetInstanceId() || other.GetProcessNonce() != r.GetProcessNonce() {
			t.Errorf("two server connections of one process differ: %v, %v", r, other)
		}
	})
}

// accepting tells of the first handshake.
type accepting struct {
	holdfastv1.UnimplementedServerConnectionServiceServer
	request chan *holdfastv1.HandshakeRequestMessage
}

func (a accepting) Attach(raw holdfastv1.ServerConnectionService_AttachServer) error {
	m, err := raw.Recv()
	if err == nil {
		a.request <- m.GetHandshake()
	}
	return err
}

// With no dial options the server connections are plaintext over the network.
func TestDialsPlaintextByDefault(t *testing.T) {
	dials(t, func(cfg *appserver.Config, address string) { cfg.Relays = []string{address} })
}

// A relay that a name leads to shows a certificate for the name, and none for the address.
func TestCertificateIsForTheName(t *testing.T) {
	authority := tlstest.New(t)
	own := authority.Issue(func(c *x509.Certificate) { c.IPAddresses = nil }, "relays.test")
	server, err := credentials.NewServerTLSFromFile(own.Cert, own.Key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := credentials.NewClientTLSFromFile(authority.File, "")
	if err != nil {
		t.Fatal(err)
	}
	dials(t, func(cfg *appserver.Config, address string) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Relays, cfg.RelayNames = nil, []string{"relays.test:" + port}
		cfg.LookupHost = func(context.Context, string) ([]string, error) { return []string{host}, nil }
		cfg.DialOptions = []grpc.DialOption{grpc.WithTransportCredentials(client)}
	}, grpc.Creds(server))
}

// dials checks that an app server attaches to a relay, over the network, when it is configured for its address.
func dials(t *testing.T, change func(cfg *appserver.Config, address string), options ...grpc.ServerOption) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service, relay := accepting{request: make(chan *holdfastv1.HandshakeRequestMessage, 100)}, grpc.NewServer(options...)
	holdfastv1.RegisterServerConnectionServiceServer(relay, service)
	served := begin(func() error { return relay.Serve(l) })
	cfg := valid()
	cfg.ShutdownGrace, cfg.Logger = -1, slog.New(slog.DiscardHandler)
	change(&cfg, l.Addr().String())
	server, err := appserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := begin(func() error { return server.Run(ctx) })
	select {
	case r := <-service.request:
		if r.GetApplication() != "test" {
			t.Errorf("handshake: %v", r)
		}
	case <-time.After(10 * time.Second):
		t.Error("no handshake came")
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	relay.Stop()
	<-served
}

func TestConfigRefusesANegativeHeartbeat(t *testing.T) {
	cfg := valid()
	cfg.HeartbeatInterval = -time.Second
	if _, err := appserver.New(cfg); err == nil || !strings.Contains(err.Error(), "heartbeat") {
		t.Errorf("got %v", err)
	}
}

func TestConfigRefusesAnEmptyAddress(t *testing.T) {
	cfg := valid()
	cfg.Relays = []string{"relay:1", ""}
	if _, err := appserver.New(cfg); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("got %v", err)
	}
}
