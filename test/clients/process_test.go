package clients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// stopGrace is how long a process may take to end when it is asked to.
	stopGrace    = 20 * time.Second
	readyTimeout = time.Minute
	pollEvery    = 50 * time.Millisecond
	tailLines    = 25
)

// process is one running process. It is stopped, and waited for, when the test ends.
type process struct {
	name    string
	log     string // the file that it writes to
	command *exec.Cmd
	// stopping says that it was asked to end.
	stopping atomic.Bool
	// ended is closed when it has ended; result is set before that.
	ended  chan struct{}
	result error
}

// start starts a process in a group of its own. Its name names the file that it writes to. Prepare may change the command.
func start(t *testing.T, prepare func(*exec.Cmd), name, path string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(t.ArtifactDir(), name+".log"), ended: make(chan struct{})}
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) // one that is started anew goes on in it
	if err != nil {
		t.Fatal(err)
	}
	p.command = exec.Command(path, args...)
	p.command.Stdout, p.command.Stderr = out, out
	p.command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if prepare != nil {
		prepare(p.command)
	}
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.result = p.command.Wait()
	}()
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = out.Close()
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", name, p.tail())
		}
	})
	return p
}

// stop asks the process to end, and kills it when it does not. A second stop does nothing.
func (p *process) stop() error {
	if p.stopping.Swap(true) {
		<-p.ended
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("it ended by itself: %v", p.command.ProcessState)
	default:
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // Fails only when it has just ended.
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-p.ended:
		return p.result
	case <-timer.C:
		p.kill()
		return fmt.Errorf("it did not end within %v and was killed", stopGrace)
	}
}

// kill ends the process and all that it started, with no chance to say anything.
func (p *process) kill() {
	p.stopping.Store(true)
	select {
	case <-p.ended: // The number may be another's by now.
	default:
		_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// tail returns the last lines that the process wrote, without those about calls, of which there are many.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimRight(string(raw), "\n"), "\n"),
		func(line string) bool { return strings.Contains(line, "finished call") })
	return strings.Join(lines[max(len(lines)-tailLines, 0):], "\n")
}

// waitFor waits until there is what it waits for.
func waitFor(t *testing.T, what string, there func() bool) {
	t.Helper()
	if !await(t, there) {
		t.Fatalf("waited %v in vain for this: %s", readyTimeout, what)
	}
}

// await reports whether there was in time what it waits for.
func await(t *testing.T, there func() bool) bool {
	t.Helper()
	over := time.NewTimer(readyTimeout)
	defer over.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-over.C:
			return false
		case <-t.Context().Done():
			return false
		}
	}
	return true
}

// sleep lets time pass.
func sleep(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
