package faults_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	// A silent server connection is given up after three heartbeat intervals.
	heartbeat        = 500 * time.Millisecond
	silence          = 3 * heartbeat
	migrationTimeout = time.Second

	readyTimeout = 15 * time.Second
	// regainTimeout is how long a path may take to come back; the app server waits longer each time that it fails.
	regainTimeout = 40 * time.Second
	askTimeout    = 10 * time.Second
)

// system is a relay, and what the test knows of it through its admin listener.
type system struct {
	t       *testing.T
	bin     string // the folder of the relay and the app server
	tool    string
	at      place  // of the relay and the clients
	address string // of the relay
	admin   holdfastv1.AdminServiceClient
	events  *events
}

// dialer connects to an address; nil is the usual one.
type dialer func(context.Context, string) (net.Conn, error)

// builder returns the folder of the programs: fast or checked.
type builder func() (string, error)

// startSystem starts a relay on the loopback of its place, and on the other addresses of a place of its own.
func startSystem(t *testing.T, build builder, at place, dial dialer, flags ...string) *system {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	tool, err := fast() // The clients need no checking, and must not be what is slow.
	if err != nil {
		t.Fatal(err)
	}
	free := freeAddresses(t, 2)
	s := &system{t: t, bin: bin, tool: filepath.Join(tool, "holdfast"), at: at, address: free[0]}
	listen := free[0]
	if at != nil {
		_, port, _ := net.SplitHostPort(listen)
		listen = ":" + port
	}
	start(t, at, "relay", filepath.Join(bin, "relay"), slices.Concat([]string{
		"--listen", listen, "--admin-listen", free[1], "--insecure", "--shutdown-grace", "2s",
		"--heartbeat-interval", heartbeat.String(), "--migration-timeout", migrationTimeout.String(),
	}, flags)...)
	s.dial(free[1], dial)
	waitFor(t, "the relay serves", readyTimeout, func() bool {
		_, err := s.serverConnections()
		return err == nil
	})
	s.events = watch(t, s.admin)
	return s
}

func (s *system) dial(address string, dial dialer) {
	s.t.Helper()
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: pollEvery, Multiplier: 1, MaxDelay: pollEvery}}),
	}
	if dial != nil {
		options = append(options, grpc.WithContextDialer(dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	s.admin = holdfastv1.NewAdminServiceClient(conn)
}

// startAppServer starts the app server with one server connection to each address, and waits until it has them all.
func (s *system) startAppServer(at place, relays []string, flags ...string) {
	s.t.Helper()
	start(s.t, at, "appserver", filepath.Join(s.bin, "appserver"), slices.Concat([]string{
		"--relays", strings.Join(relays, ","), "--server-id", "app", "--listen", "127.0.0.1:0", "--shutdown-grace", "2s",
	}, flags)...)
	s.waitPaths(len(relays), readyTimeout)
}

// waitPaths waits until there are so many server connections.
func (s *system) waitPaths(n int, most time.Duration) {
	s.t.Helper()
	waitFor(s.t, fmt.Sprintf("%d server connections", n), most, func() bool {
		all, err := s.serverConnections()
		return err == nil && len(all) == n
	})
}

func (s *system) serverConnections() ([]*holdfastv1.ServerConnection, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	r, err := s.admin.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{})
	return r.GetServerConnections(), err
}

// clients returns all logical connections by their id.
func (s *system) clients() (map[string]*holdfastv1.ClientConnection, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	all := map[string]*holdfastv1.ClientConnection{}
	for token := ""; ; {
		r, err := s.admin.ListClientConnections(ctx, &holdfastv1.ListClientConnectionsRequest{PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, c := range r.GetClientConnections() {
			all[c.GetConnectionId()] = c
		}
		if token = r.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// load returns how many logical connections the server connections from these addresses carry.
func (s *system) load(from func(*holdfastv1.ServerConnection) bool) int {
	all, err := s.serverConnections()
	if err != nil {
		s.t.Errorf("list the server connections: %v", err)
	}
	load := 0
	for _, c := range all {
		if from(c) {
			load += int(c.GetLogicalConnections())
		}
	}
	return load
}

// waitClients waits until there are so many logical connections, none of them on its way from one path to another.
func (s *system) waitClients(n int) {
	s.t.Helper()
	waitFor(s.t, fmt.Sprintf("%d stable logical connections", n), regainTimeout, func() bool {
		all, err := s.clients()
		unstable := func(c *holdfastv1.ClientConnection) bool {
			return c.GetState() != holdfastv1.ConnectionState_CONNECTION_STATE_STABLE
		}
		return err == nil && len(all) == n && !slices.ContainsFunc(slices.Collect(maps.Values(all)), unstable)
	})
}

// waitProgress waits until messages of every logical connection have gone both ways.
func (s *system) waitProgress() {
	s.t.Helper()
	before, err := s.clients()
	if err != nil {
		s.t.Fatal(err)
	}
	waitFor(s.t, "messages of every client go both ways", readyTimeout, func() bool {
		after, err := s.clients()
		if err != nil {
			return false
		}
		for id, b := range before {
			a, lives := after[id]
			if !lives {
				before = after // Its client begins anew; whether it may is for others to judge.
				return false
			}
			if a.GetMessagesReceived() <= b.GetMessagesReceived() || a.GetMessagesSent() <= b.GetMessagesSent() {
				return false
			}
		}
		return true
	})
}

// moves returns how often the live logical connections have changed their path in all.
func (s *system) moves() int {
	all, err := s.clients()
	if err != nil {
		s.t.Fatal(err)
	}
	moves := 0
	for id, c := range all {
		_, move, _ := strings.Cut(c.GetEpoch(), ".")
		n, err := strconv.Atoi(move)
		if err != nil {
			s.t.Fatalf("epoch %q of %s: %v", c.GetEpoch(), id, err)
		}
		moves += n - 1
	}
	return moves
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
