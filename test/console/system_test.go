package console_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long anything that is waited for may take.
	patience  = 30 * time.Second
	pollEvery = 50 * time.Millisecond
	stopGrace = 15 * time.Second
)

// process is one running process. It is stopped, and waited for, when the test ends.
type process struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended
}

// start starts a program. What it writes is in the artifacts of the test, under its name.
func start(t *testing.T, name, path string, args ...string) *process {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(t.ArtifactDir(), name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{exec.Command(path, args...), make(chan struct{})}
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // how it ended is in its log
		_ = log.Close()
	}()
	t.Cleanup(func() {
		if !p.stop(syscall.SIGTERM) {
			t.Errorf("%s did not end within %v and was killed", name, stopGrace)
		}
	})
	return p
}

// stop ends the process with the signal. It reports false when it had to be killed.
func (p *process) stop(signal os.Signal) bool {
	select {
	case <-p.ended: // its number may be another's by now
		return true
	default:
	}
	_ = p.command.Process.Signal(signal) // fails only when it has just ended
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.ended:
		return true
	case <-grace.C:
		_ = p.command.Process.Kill()
		<-p.ended
		return false
	}
}

// system is a relay with two ingresses in front of it.
type system struct {
	t *testing.T
	// bin is the folder of the programs; address is where the relay serves, admin where its console is.
	bin, address, admin string
	ingresses           []string
	flags               []string
	relay               *process
}

// newSystem starts the relay, with these flags more, and the ingresses a and b.
func newSystem(t *testing.T, flags ...string) *system {
	t.Helper()
	return newSystemAt(t, "127.0.0.1", flags...)
}

// newSystemAt has the console at that address.
func newSystemAt(t *testing.T, host string, flags ...string) *system {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	free := freeAddresses(t, 4)
	_, port, err := net.SplitHostPort(free[1])
	if err != nil {
		t.Fatal(err)
	}
	s := &system{t: t, bin: bin, address: free[0], admin: net.JoinHostPort(host, port), ingresses: free[2:], flags: flags}
	s.startRelay()
	for i, id := range []string{"a", "b"} {
		start(t, "ingress-"+id, filepath.Join(bin, "holdfast"), "ingress", "--id", id, "--listen", s.ingresses[i], "--upstream", s.address)
		waitFor(t, "ingress "+id+" listens", func() bool { return listens(s.ingresses[i]) })
	}
	return s
}

func (s *system) startRelay() {
	s.t.Helper()
	s.relay = start(s.t, "relay", filepath.Join(s.bin, "relay"), slices.Concat([]string{
		"--listen", s.address, "--insecure", "--admin-listen", s.admin, "--relay-id", "relay-1", "--shutdown-grace", "1s",
	}, s.flags)...)
	waitFor(s.t, "the relay answers", func() bool {
		response, err := http.Get(s.url() + "api/state")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	s.t.Cleanup(http.DefaultClient.CloseIdleConnections)
}

func (s *system) url() string { return "http://" + s.admin + "/" }

// startAppServer starts an app server with one server connection through each ingress.
func (s *system) startAppServer(id string) *process {
	s.t.Helper()
	return start(s.t, id, filepath.Join(s.bin, "appserver"), "--relays", strings.Join(s.ingresses, ","), "--server-id", id,
		"--listen", "127.0.0.1:0", "--shutdown-grace", "1s")
}

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// freeAddresses returns loopback addresses that are free at the moment.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }() // not before all are chosen, so that they differ
		addresses[i] = l.Addr().String()
	}
	return addresses
}

// waitFor waits until there is what it waits for.
func waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !there() {
		if <-tick.C; time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for this: %s", patience, what)
		}
	}
}

// waitServers waits until there are so many server connections.
func (s *system) waitServers(n int) {
	s.t.Helper()
	waitFor(s.t, fmt.Sprintf("%d server connections", n), func() bool {
		response, err := http.Get(s.url() + "api/state")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		var state struct {
			ServerConnections []struct{ ID string } `json:"server_connections"`
		}
		return json.NewDecoder(response.Body).Decode(&state) == nil && len(state.ServerConnections) == n
	})
}
