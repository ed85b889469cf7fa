package hostile_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/tlsfiles/tlstest"
)

const (
	adminToken  = "the-token-of-operators"
	perIdentity = 3
	messageRate = 500
	// handshake is the time that a stream has for its first message.
	handshake = time.Second
)

// stage is the running system with everything on that keeps attackers out, and clients that behave.
type stage struct {
	t       *testing.T
	signer  *signer
	ca      *tlstest.Authority
	address string // of clients and app servers
	sockets string // of clients over WebSocket
	admin   string
	// resumeKey signs the tokens with which resumable clients come back.
	resumeKey []byte
	relay     *process
	// well are the clients that behave; their process ends well when nothing was lost.
	well *process
}

// write writes a file of the stage and returns its name.
func (s *stage) write(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func newStage(t *testing.T) *stage {
	t.Helper()
	build(t)
	s := &stage{t: t, signer: newSigner(t), ca: tlstest.New(t), resumeKey: bytes.Repeat([]byte("k"), 32)}
	free := freeAddresses(t, 3)
	s.address, s.admin, s.sockets = free[0], free[1], free[2]
	relay, appServer := s.ca.Issue(nil, "relay.test"), s.ca.Issue(nil, "spiffe://test/app")
	identities := s.write("identities.yaml", `
- {identity: "spiffe://test/app", server-ids: [app-1], applications: [echo]}
- {identity: "spiffe://test/rogue", server-ids: ["rogue-*"], applications: [rogue]}
`)
	operator := s.write("token", adminToken)
	resume := s.write("resume.keys", base64.StdEncoding.EncodeToString(s.resumeKey))
	s.relay = start(t, "relay", "--listen", s.address, "--admin-listen", s.admin, "--trusted-networks", "127.0.0.1/32",
		"--tls-cert", relay.Cert, "--tls-key", relay.Key, "--admin-tls-cert", relay.Cert, "--admin-tls-key", relay.Key,
		"--admin-token-file", operator, "--server-ca", s.ca.File, "--server-identities", identities,
		"--jwt-jwks", s.signer.file, "--jwt-issuer", issuer, "--jwt-audience", audience, "--jwt-leeway", "0s",
		"--applications", "echo,rogue", "--handshake-timeout", handshake.String(), "--max-connections-per-identity", "3",
		"--message-rate", "500", "--shutdown-grace", "2s", "--heartbeat-interval", "1s", "--websocket-listen", s.sockets,
		"--resume-key-file", resume, "--resume-time", "2s", "--migration-timeout", "1s", "--park-time", "5s")
	start(t, "appserver", "--relays", s.address, "--connections-per-relay", "2", "--server-id", "app-1", "--listen", "127.0.0.1:0",
		"--tls-ca", s.ca.File, "--tls-cert", appServer.Cert, "--tls-key", appServer.Key, "--shutdown-grace", "2s")
	client := holdfastv1.NewAdminServiceClient(s.dialAdmin())
	waitFor(t, "the app server is attached", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := client.ListServerConnections(authorized(ctx, adminToken), &holdfastv1.ListServerConnectionsRequest{})
		return err == nil && len(r.GetServerConnections()) == 2
	})
	s.well = start(t, "holdfast", "traffic", "--addresses", s.address, "--clients", "3", "--application", "echo", "--rate", "50",
		"--report", "0s", "--ca", s.ca.File, "--token-file", s.write("well", s.signer.good("well")))
	waitFor(t, "clients that behave are connected", func() bool { return s.clients(t) == 3 })
	return s
}

// clients returns how many client connections there are.
func (s *stage) clients(t *testing.T) int {
	t.Helper()
	conn := s.dialAdmin()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := holdfastv1.NewAdminServiceClient(conn).ListClientConnections(authorized(ctx, adminToken), &holdfastv1.ListClientConnectionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return int(r.GetTotal())
}

// tls is the configuration of somebody who believes the stage's authority.
func (s *stage) tls() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.ca.File)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

func (s *stage) dialAdmin() *grpc.ClientConn {
	s.t.Helper()
	conn, err := grpc.NewClient(s.admin, grpc.WithTransportCredentials(credentials.NewTLS(s.tls())))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// fromAbroad dials from an address that is not trusted.
func fromAbroad(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext(ctx, "tcp", address)
}
