// Package process starts processes and ends them again: each by its own id, each waited for.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// tailLines is how much of a log is told when a process ends by itself.
const tailLines = 10

// Group is a number of processes that are started one after the other and ended in reverse order. It is
// used by one goroutine.
type Group struct {
	// logs is the folder for what the processes write.
	logs string
	// lost is told when a process ends that was not asked to.
	lost    func(error)
	running []*Process
}

// NewGroup returns a group with no processes. What they write goes to files in the folder logs; lost is
// called, in a goroutine of the process, when one ends by itself.
func NewGroup(logs string, lost func(error)) *Group { return &Group{logs: logs, lost: lost} }

// Process is one running process.
type Process struct {
	name    string
	log     string
	command *exec.Cmd
	// settled says that it was asked to end, or that it was told that it ended by itself.
	settled atomic.Bool
	// ended is closed when it has ended and was waited for; result is set before that.
	ended  chan struct{}
	result error
}

// Start starts a process under a name of its own. It does not get the signals of the terminal.
func (g *Group) Start(name, path string, args ...string) (*Process, error) {
	p := &Process{name: name, log: filepath.Join(g.logs, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close() // The process has it open for itself.
	p.command = exec.Command(path, args...)
	p.command.Stdout, p.command.Stderr = log, log
	p.command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "HOLDFAST_") })
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.wait(g.lost)
	g.running = append(g.running, p)
	return p, nil
}

// Stop ends all processes, the last one first, and waits for each.
func (g *Group) Stop(grace time.Duration) error {
	var errs []error
	for _, p := range slices.Backward(g.running) {
		errs = append(errs, p.stop(grace))
	}
	g.running = nil
	return errors.Join(errs...)
}

// End ends one process, and waits for it. Another one may be started in its place then.
func (g *Group) End(p *Process, grace time.Duration) error {
	g.running = slices.DeleteFunc(g.running, func(o *Process) bool { return o == p })
	return p.stop(grace)
}

// PID returns the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error {
	if err := p.command.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s, process %d: %w", p.name, p.PID(), err)
	}
	return nil
}

// Kill ends the process at once, without a word to it, and waits for that. Nobody is told that it was lost.
func (p *Process) Kill() error {
	p.settled.Store(true)
	err := p.Signal(syscall.SIGKILL)
	<-p.ended
	return err
}

func (p *Process) wait(lost func(error)) {
	defer close(p.ended)
	p.result = p.command.Wait()
	if !p.settled.Swap(true) {
		lost(fmt.Errorf("%s ended by itself (%s); its last lines:\n%s", p.name, p.command.ProcessState, p.tail()))
	}
}

// stop asks the process to end and kills it when it does not within the grace.
func (p *Process) stop(grace time.Duration) error {
	if p.settled.Swap(true) {
		<-p.ended
		return nil
	}
	_ = p.command.Process.Signal(syscall.SIGTERM) // Fails only when it has just ended.
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		_ = p.command.Process.Kill()
		<-p.ended
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed; its last lines:\n%s", p.name, grace, p.tail())
	}
	if p.result != nil {
		return fmt.Errorf("%s: %w; its last lines:\n%s", p.name, p.result, p.tail())
	}
	return nil
}

// tail returns the last lines that the process wrote.
func (p *Process) tail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return "  " + strings.Join(lines[max(len(lines)-tailLines, 0):], "\n  ")
}
