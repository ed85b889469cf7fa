package demo

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/resumekey"
)

const (
	application = "echo"
	// readyTimeout is how long a process may take to serve.
	readyTimeout = 15 * time.Second
	pollInterval = 50 * time.Millisecond
	// reconnectWindow is over what time a relay spreads the resumable clients that it asks to move.
	reconnectWindow = time.Second
	// relayGrace is for how long a relay lets streams run on at its end: resumable clients move in half of that.
	relayGrace = 4 * time.Second
)

// relay is one of the two relays.
type relay struct {
	id             string
	address, admin string
	process        *process.Process
}

// ingress is one of the two ingresses.
type ingress struct {
	id string
	// address is for clients; behind it are both relays.
	address string
	// forwards are for app servers: the nth leads to the nth relay.
	forwards []string
	process  *process.Process
}

// stage is what stands before the traffic begins: the relays, the ingresses and the app servers.
type stage struct {
	cfg       Config
	programs  programs
	dir       string
	processes *process.Group

	relays     []*relay
	ingresses  []*ingress
	appServers []string // their ids
}

// build starts the processes, each when the one that it needs serves.
func (s *stage) build(ctx context.Context) error {
	addresses, err := process.FreeAddresses(12)
	if err != nil {
		return err
	}
	next := func() string {
		first := addresses[0]
		addresses = addresses[1:]
		return first
	}
	if _, err := resumekey.Keep(s.keyFile()); err != nil {
		return fmt.Errorf("key for the relays: %w", err)
	}
	for _, id := range []string{"relay-1", "relay-2"} {
		if err := s.startRelay(ctx, &relay{id: id, address: next(), admin: next()}); err != nil {
			return err
		}
	}
	for _, id := range []string{"a", "b"} {
		if err := s.startIngress(ctx, &ingress{id: id, address: next(), forwards: []string{next(), next()}}); err != nil {
			return err
		}
	}
	for _, id := range []string{"sample-1", "sample-2"} {
		if err := s.startAppServer(ctx, id, next()); err != nil {
			return err
		}
	}
	return nil
}

// keyFile is where the relays find the key that they share.
func (s *stage) keyFile() string { return filepath.Join(s.dir, "resume-keys") }

func (s *stage) startRelay(ctx context.Context, r *relay) error {
	s.relays = append(s.relays, r)
	return s.runRelay(ctx, r, r.id)
}

// runRelay starts the process of the relay and waits until it serves. What it writes goes by the name.
func (s *stage) runRelay(ctx context.Context, r *relay, name string) (err error) {
	r.process, err = s.processes.Start(
		name, s.programs.relay, "--relay-id", r.id, "--listen", r.address, "--admin-listen", r.admin,
		"--resume-key-file", s.keyFile(), "--reconnect-window", reconnectWindow.String(),
		"--log-format", "text", "--shutdown-grace", relayGrace.String(),
	)
	if err != nil {
		return err
	}
	return serving(ctx, r.id, r.address)
}

// upstreams are the addresses of the relays.
func (s *stage) upstreams() []string {
	var all []string
	for _, r := range s.relays {
		all = append(all, r.address)
	}
	return all
}

func (s *stage) startIngress(ctx context.Context, in *ingress) error {
	path, args := s.programs.holdfast, []string{
		"ingress", "--id", in.id, "--listen", in.address, "--upstream", strings.Join(s.upstreams(), ","), "--grace", s.cfg.Grace.String(),
	}
	for n, upstream := range s.upstreams() {
		args = append(args, "--forward", in.forwards[n]+"="+upstream)
	}
	var err error
	if s.cfg.Kind == Nginx {
		path = s.programs.nginx
		if args, err = writeNginx(s.dir, in, s.upstreams(), s.cfg.Grace, s.cfg.Clients); err != nil {
			return err
		}
	}
	if in.process, err = s.processes.Start("ingress-"+in.id, path, args...); err != nil {
		return err
	}
	s.ingresses = append(s.ingresses, in)
	return serving(ctx, "ingress "+in.id, in.address)
}

func (s *stage) startAppServer(ctx context.Context, id, health string) error {
	args := []string{
		"--server-id", id, "--application", application, "--listen", health, "--log-format", "text", "--shutdown-grace", "2s",
	}
	for _, in := range s.ingresses {
		args = append(args, "--relays", strings.Join(in.forwards, ","))
	}
	if _, err := s.processes.Start("appserver-"+id, s.programs.appserver, args...); err != nil {
		return err
	}
	s.appServers = append(s.appServers, id)
	return serving(ctx, "app server "+id, health)
}

// attached waits until every app server has a server connection to the relay through every ingress.
func (s *stage) attached(ctx context.Context, relay string, client holdfastv1.AdminServiceClient) error {
	return poll(ctx, "app servers attached to "+relay+" through both ingresses", readyTimeout, func() bool {
		response, err := client.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{Application: application})
		if err != nil {
			return false
		}
		seen := map[[2]string]bool{}
		for _, c := range response.GetServerConnections() {
			seen[[2]string{c.GetServerId(), c.GetIngress()}] = true
		}
		return len(seen) == len(s.appServers)*len(s.ingresses)
	})
}

// serving waits until a gRPC server answers that it serves.
func serving(ctx context.Context, name, address string) error {
	fast := backoff.Config{BaseDelay: pollInterval, Multiplier: 1.2, MaxDelay: 4 * pollInterval}
	conn, err := grpc.NewClient(
		address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{Backoff: fast}),
	)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer conn.Close()
	health := grpc_health_v1.NewHealthClient(conn)
	return poll(ctx, name+" serves at "+address, readyTimeout, func() bool {
		response, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		return err == nil && response.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING
	})
}

// poll waits until there is what it waits for.
func poll(ctx context.Context, what string, most time.Duration, there func() bool) error {
	over := time.NewTimer(most)
	defer over.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-over.C:
			return fmt.Errorf("waited %s in vain for this: %s", most, what)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
