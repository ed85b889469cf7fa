package telemetry_test

import (
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	clients    = 12
	most       = 30 * time.Second // for anything that is waited for
	stopGrace  = 20 * time.Second
	pollEvery  = 50 * time.Millisecond
	askTimeout = 10 * time.Second
)

// system is a relay, an app server behind two ingresses, and traffic, as processes.
type system struct {
	t                     *testing.T
	bin                   string
	relay, admin, metrics string // addresses
	processes             map[string]*process
	operator              holdfastv1.AdminServiceClient
	client                holdfastv1.ClientConnectionServiceClient
}

// process is one running process.
type process struct {
	command *exec.Cmd
	log     string
	stopped bool
}

// startSystem builds and starts everything, with what the programs export going to the address, and waits until all clients are
// connected.
func startSystem(t *testing.T, otlp string) *system {
	t.Helper()
	s := &system{t: t, bin: t.TempDir(), processes: make(map[string]*process)}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.bin, "./services/relay", "./services/appserver", "./cmd/holdfast")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	free := freeAddresses(t, 5)
	s.relay, s.admin, s.metrics = free[0], free[1], free[2]
	environment := []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + otlp, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=200",
	}
	s.start(environment, "relay", "relay", "--listen", s.relay, "--admin-listen", s.admin, "--relay-id", "relay-1",
		"--heartbeat-interval", "300ms", "--migration-timeout", "2s", "--shutdown-grace", "2s")
	for i, id := range []string{"a", "b"} {
		s.start(nil, "ingress-"+id, "holdfast", "ingress", "--id", id, "--listen", free[3+i], "--upstream", s.relay)
	}
	s.start(environment, "appserver", "appserver", "--server-id", "app", "--instance-id", "app-1", "--listen", "127.0.0.1:0",
		"--metrics-listen", s.metrics, "--relays", free[3]+","+free[4], "--shutdown-grace", "2s")
	s.operator = holdfastv1.NewAdminServiceClient(dial(t, s.admin))
	s.client = holdfastv1.NewClientConnectionServiceClient(dial(t, s.relay))
	s.await("two server connections", func() bool { return len(s.paths()) == 2 })
	s.start(nil, "traffic", "holdfast", "traffic", "--addresses", s.relay, "--clients", "12", "--rate", "20")
	s.await("all clients", func() bool { return s.settled("") == clients })
	return s
}

func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // not before all are chosen, so that they differ
		addresses[i] = l.Addr().String()
	}
	return addresses
}

func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// start starts a program under a name of its own, with none of the variables of this process that it would read.
func (s *system) start(environment []string, name, program string, args ...string) {
	s.t.Helper()
	p := &process{command: exec.Command(filepath.Join(s.bin, program), args...), log: filepath.Join(s.bin, name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close() // the process has it open for itself
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HOLDFAST_") || strings.HasPrefix(v, "OTEL_")
	}), environment...)
	if err := p.command.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.processes[name] = p
	s.t.Cleanup(func() {
		s.end(name, syscall.SIGTERM)
		if s.t.Failed() {
			out, _ := os.ReadFile(p.log)
			s.t.Logf("the log of %s:\n%s", name, out[max(len(out)-4000, 0):])
		}
	})
}

// end ends a process, and waits for it.
func (s *system) end(name string, signal syscall.Signal) {
	s.t.Helper()
	p := s.processes[name]
	if p.stopped {
		return
	}
	p.stopped = true
	_ = p.command.Process.Signal(signal) // fails only when it has just ended
	timer := time.AfterFunc(stopGrace, func() { _ = p.command.Process.Kill() })
	defer timer.Stop()
	if err := p.command.Wait(); err != nil && signal != syscall.SIGKILL {
		s.t.Errorf("%s ended: %v", name, err)
	}
}

// stop ends the app server and the relay in good order.
func (s *system) stop() {
	s.end("appserver", syscall.SIGTERM)
	s.end("relay", syscall.SIGTERM)
}

func (s *system) await(what string, there func() bool) {
	s.t.Helper()
	over := time.NewTimer(most)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-over.C:
			s.t.Fatalf("waited %v in vain for %s", most, what)
		}
	}
}

func (s *system) paths() []*holdfastv1.ServerConnection {
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	r, err := s.operator.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r.GetServerConnections()
}

// settled returns how many logical connections are stable on server connections through the ingress; empty stands for any.
func (s *system) settled(ingress string) int {
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	r, err := s.operator.ListClientConnections(ctx, &holdfastv1.ListClientConnectionsRequest{PageSize: 1000, ServerIngress: ingress})
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, c := range r.GetClientConnections() {
		if c.GetState() == holdfastv1.ConnectionState_CONNECTION_STATE_STABLE {
			n++
		}
	}
	return n
}

// moveAndResume has everything moved off ingress a, returns it to service, and kills ingress b under what runs over it.
func (s *system) moveAndResume() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), most)
	defer cancel()
	reload, err := s.operator.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{Ingress: "a"})
	if err != nil {
		s.t.Fatal(err)
	}
	for done := false; !done; {
		p, err := reload.Recv()
		if err != nil {
			s.t.Fatal(err)
		}
		if done = p.GetDone(); done && (p.GetMoved() == 0 || !p.GetSafeToReload()) {
			s.t.Fatalf("the reload ended with %v", p)
		}
	}
	if _, err := reload.Recv(); err != io.EOF {
		s.t.Fatalf("the reload goes on: %v", err)
	}
	if _, err := s.operator.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: "a"}); err != nil {
		s.t.Fatal(err)
	}
	if n := s.settled("b"); n != clients {
		s.t.Fatalf("%d of %d connections are on b", n, clients)
	}
	s.end("ingress-b", syscall.SIGKILL)
	s.await("all to be resumed over a", func() bool { return s.settled("a") == clients })
}

// breakARule has a client refused.
func (s *system) breakARule() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), askTimeout)
	defer cancel()
	stream, err := s.client.Connect(ctx)
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{})
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		s.t.Fatal("an empty request was taken")
	}
}

// stopTraffic ends the clients, and waits until the relay knows.
func (s *system) stopTraffic() {
	s.t.Helper()
	s.end("traffic", syscall.SIGINT)
	s.await("no client to be left", func() bool { return s.settled("") == 0 })
}
