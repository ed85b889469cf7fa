package clients_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	askTimeout = 20 * time.Second
	// shutdownGrace is for how long a relay may take to end.
	shutdownGrace = 4 * time.Second
)

// system is two relays that share their keys, two ingresses in front of both, and an app server that is attached to each relay through
// each ingress.
type system struct {
	t         *testing.T
	relays    []*relay
	ingresses []*nginx
	// metrics is where the app server shows them.
	metrics string
}

// relay is one relay, which is started anew at the same addresses.
type relay struct {
	id                     string
	listen, sockets, admin string
	flags                  []string
	process                *process
	operator               holdfastv1.AdminServiceClient
	watched                []*events // one for each time that it was started
}

// startSystem starts it all. The flags are those of both relays.
func startSystem(t *testing.T, flags ...string) *system {
	t.Helper()
	findNginx(t)
	s := &system{t: t}
	keys := filepath.Join(t.TempDir(), "resume-keys")
	key, err := exec.CommandContext(t.Context(), program(t, "holdfast"), "keygen").Output()
	if err == nil {
		err = os.WriteFile(keys, key, 0o600)
	}
	if err != nil {
		t.Fatalf("make a key: %v", err)
	}
	free := freeAddresses(t, 8)
	for i, id := range []string{"one", "two"} {
		at := free[3*i:]
		r := &relay{id: id, listen: at[0], sockets: at[1], admin: at[2]}
		r.flags = slices.Concat([]string{
			"--listen", r.listen, "--websocket-listen", r.sockets, "--admin-listen", r.admin, "--relay-id", id,
			"--resume-key-file", keys, "--heartbeat-interval", "5s", "--shutdown-grace", shutdownGrace.String(), "--log-level", "warn",
		}, flags)
		r.start(t)
		r.dial(t)
		s.relays = append(s.relays, r)
	}
	var servers []string
	for _, id := range []string{"a", "b"} {
		in := newNginx(t, id, s.relays)
		s.ingresses = append(s.ingresses, in)
		servers = append(servers, in.servers...)
	}
	s.metrics = free[6]
	start(t, nil, "appserver", program(t, "appserver"), "--relays", strings.Join(servers, ","), "--server-id", "app",
		"--listen", free[7], "--metrics-listen", s.metrics, "--shutdown-grace", "2s")
	for _, r := range s.relays {
		s.waitAttached(r)
		r.watch(t)
	}
	return s
}

func (r *relay) start(t *testing.T) {
	t.Helper()
	r.process = start(t, nil, "relay-"+r.id, program(t, "relay"), r.flags...)
}

func (r *relay) dial(t *testing.T) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.admin, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: pollEvery, Multiplier: 1, MaxDelay: pollEvery}, MinConnectTimeout: askTimeout,
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	r.operator = holdfastv1.NewAdminServiceClient(conn)
}

// waitAttached waits until the app server is attached to the relay through every ingress, and none of that is about to go.
func (s *system) waitAttached(r *relay) {
	s.t.Helper()
	waitFor(s.t, fmt.Sprintf("the app server is attached to relay %s through %d ingresses", r.id, len(s.ingresses)), func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
		defer cancel()
		all, err := r.operator.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{})
		through := map[string]bool{}
		for _, c := range all.GetServerConnections() {
			if !c.GetDraining() {
				through[c.GetIngress()] = true
			}
		}
		return err == nil && len(through) == len(s.ingresses)
	})
}

// announce asks the relay to take the ingress out of service, and returns what it says in the end.
func (r *relay) announce(ctx context.Context, ingress string) (*holdfastv1.ReloadIngressResponse, error) {
	stream, err := r.operator.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: ingress})
	if err != nil {
		return nil, fmt.Errorf("relay %s, reload of ingress %s: %w", r.id, ingress, err)
	}
	for {
		p, err := stream.Recv()
		if err != nil {
			return nil, fmt.Errorf("relay %s, reload of ingress %s: %w", r.id, ingress, err)
		}
		if p.GetDone() {
			return p, nil
		}
	}
}

// freeAddresses returns loopback addresses that are free at the moment.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() // Not before all are chosen, so that they differ.
		addresses[i] = listener.Addr().String()
	}
	return addresses
}
