package process

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// role makes the test binary play a process: see play.
const role = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if r := os.Getenv(role); r != "" {
		play(r)
	}
	goleak.VerifyTestMain(m)
}

// play is what the processes of the tests do.
func play(r string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	if r == "fail" {
		_, _ = os.Stderr.WriteString("out of luck\n")
		os.Exit(3)
	}
	if len(os.Environ()) == 0 || os.Getenv("HOLDFAST_TEST") != "" {
		os.Exit(4)
	}
	_, _ = os.Stdout.WriteString("ready\n")
	for s := range signals {
		_, _ = os.Stdout.WriteString(s.String() + "\n")
		if s == syscall.SIGTERM && r == "obedient" {
			os.Exit(0)
		}
	}
}

func start(t *testing.T, g *Group, name, r string) *Process {
	t.Helper()
	t.Setenv(role, r)
	p, err := g.Start(name, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// waitFor waits until the process has written the line.
func waitFor(t *testing.T, p *Process, line string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.tail(), line) {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

func unexpected(t *testing.T) func(error) { return func(err error) { t.Error(err) } }

func TestStop(t *testing.T) {
	t.Setenv("HOLDFAST_TEST", "is kept from the processes")
	g := NewGroup(t.TempDir(), unexpected(t))
	first, second := start(t, g, "first", "obedient"), start(t, g, "second", "obedient")
	waitFor(t, first, "ready")
	waitFor(t, second, "ready")
	if err := second.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, second, "hangup")
	if err := g.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	for _, p := range []*Process{first, second} {
		if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", p.PID(), err)
		}
	}
	if err := g.Stop(time.Second); err != nil {
		t.Errorf("a second stop: %v", err)
	}
}

func TestStopKillsWhatDoesNotEnd(t *testing.T) {
	g := NewGroup(t.TempDir(), unexpected(t))
	p := start(t, g, "it", "stubborn")
	waitFor(t, p, "ready")
	if err := g.Stop(50 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v", err)
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", p.PID(), err)
	}
}

func TestKill(t *testing.T) {
	g := NewGroup(t.TempDir(), unexpected(t))
	p := start(t, g, "it", "stubborn")
	waitFor(t, p, "ready")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(p.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", p.PID(), err)
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("killed twice: %v", err)
	}
	if err := g.Stop(time.Second); err != nil {
		t.Errorf("the group has ended it again: %v", err)
	}
}

func TestLost(t *testing.T) {
	lost := make(chan error, 1)
	g := NewGroup(t.TempDir(), func(err error) { lost <- err })
	start(t, g, "it", "fail")
	err := <-lost
	for _, want := range []string{"it ended by itself", "exit status 3", "out of luck"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not have %q", err, want)
		}
	}
	if err := g.Stop(time.Second); err != nil {
		t.Error(err)
	}
}

func TestStartOfNothing(t *testing.T) {
	g := NewGroup(t.TempDir(), unexpected(t))
	if _, err := g.Start("nothing", filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("no error")
	}
}
