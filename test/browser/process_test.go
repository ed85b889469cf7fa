package browser_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience is how long anything that is waited for may take.
	patience  = 20 * time.Second
	pollEvery = 20 * time.Millisecond
	stopGrace = 10 * time.Second
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
	p.command.Env = cleanEnvironment()
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
		if out, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("%s wrote at last:\n%s", name, out[max(0, len(out)-3000):])
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

// children returns the process ids of its children.
func (p *process) children(t *testing.T) []int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for text := range strings.FieldsSeq(string(raw)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// cleanEnvironment is ours without the settings of the programs.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
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

func listens(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
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
