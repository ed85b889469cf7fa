package hostile_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stopGrace is how long a process may take to end when it is asked to.
const stopGrace = 30 * time.Second

// process is a program that runs.
type process struct {
	name    string
	command *exec.Cmd
	log     string
	ended   chan struct{}
	result  error
}

// start starts a program. It is stopped, and waited for, when the test ends.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(t.ArtifactDir(), name+".log"), ended: make(chan struct{})}
	file, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	p.command = exec.Command(filepath.Join(programs, name), args...)
	p.command.Stdout, p.command.Stderr = file, file
	p.command.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.result = p.command.Wait()
	}()
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, p.tail())
		} else if t.Failed() {
			t.Logf("the last lines of %s:\n%s", name, p.tail())
		}
	})
	return p
}

// stop ends the process in good order, and returns what it ended with. It may be called again.
func (p *process) stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	late := time.NewTimer(stopGrace)
	defer late.Stop()
	select {
	case <-p.ended:
		return p.result
	case <-late.C:
		_ = p.command.Process.Kill()
		<-p.ended
		return fmt.Errorf("it did not end within %v and was killed", stopGrace)
	}
}

func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(len(lines)-20, 0):], "\n")
}

// resident returns the resident memory of the process in bytes.
func (p *process) resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("VmRSS:"))
	fields := strings.Fields(string(rest))
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// freeAddresses returns addresses that nobody listens on.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses[i] = l.Addr().String()
	}
	return addresses
}

// waitFor waits until there is what it waits for.
func waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	const most = 30 * time.Second
	over := time.NewTimer(most)
	defer over.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %v in vain for this: %s", most, what)
		}
	}
}
