package faults_test

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
	stopGrace = 20 * time.Second
	pollEvery = 50 * time.Millisecond
	tailLines = 25
)

// place is where a process is started: the command that stands in front of it. The zero place is here.
type place []string

// process is one running process. It is stopped, and waited for, when the test ends.
type process struct {
	name        string
	out, errors string // files
	command     *exec.Cmd
	// stopping says that it was asked to end.
	stopping atomic.Bool
	// ended is closed when it has ended; result is set before that.
	ended  chan struct{}
	result error
}

// start starts a process in a group of its own. Its name names the files that it writes to.
func start(t *testing.T, at place, name, path string, args ...string) *process {
	t.Helper()
	dir := t.ArtifactDir()
	p := &process{
		name: name, out: filepath.Join(dir, name+".out"), errors: filepath.Join(dir, name+".log"), ended: make(chan struct{}),
	}
	line := slices.Concat(at, []string{path}, args)
	p.command = exec.Command(line[0], line[1:]...)
	p.command.Stdout, p.command.Stderr = appendTo(t, p.out), appendTo(t, p.errors)
	p.command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		p.result = p.command.Wait()
	}()
	t.Cleanup(func() {
		if err := p.stop(syscall.SIGTERM); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("the last lines of %s:\n%s", name, p.tail())
		}
	})
	return p
}

// appendTo opens a file until the test ends. A process that is started anew goes on in it.
func appendTo(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// stop asks the process to end, and kills it when it does not. A second stop does nothing.
func (p *process) stop(signal syscall.Signal) error {
	if p.stopping.Swap(true) {
		<-p.ended
		return nil
	}
	select {
	case <-p.ended:
		return fmt.Errorf("it ended by itself: %v", p.command.ProcessState)
	default:
	}
	_ = p.command.Process.Signal(signal) // Fails only when it has just ended.
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

// tail returns the last lines that the process wrote for people, without those about calls, of which there are many.
func (p *process) tail() string {
	raw, err := os.ReadFile(p.errors)
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimRight(string(raw), "\n"), "\n"),
		func(line string) bool { return strings.Contains(line, "finished call") })
	return strings.Join(lines[max(len(lines)-tailLines, 0):], "\n")
}

// run runs a command to its end.
func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// waitFor waits until there is what it waits for.
func waitFor(t *testing.T, what string, most time.Duration, there func() bool) {
	t.Helper()
	if !await(t, most, there) {
		t.Fatalf("waited %v in vain for this: %s", most, what)
	}
}

// await reports whether there was in time what it waits for.
func await(t *testing.T, most time.Duration, there func() bool) bool {
	t.Helper()
	over := time.NewTimer(most)
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
