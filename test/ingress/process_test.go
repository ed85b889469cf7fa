package ingress_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	readyTimeout = 20 * time.Second
	pollInterval = 20 * time.Millisecond
)

// start starts a program; it is ended, and waited for, at the end of the test.
func start(t *testing.T, env []string, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(cleanEnvironment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.CreateTemp(t.TempDir(), filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		_ = cmd.Wait() // HAProxy ends with the number of the signal.
		_ = log.Close()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("%s: %s\n%s", filepath.Base(path), cmd.ProcessState, tail(string(out), 30))
		}
	})
	return cmd
}

// output runs one of our programs to its end and returns what it wrote and its exit code.
func output(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, name), args...)
	cmd.Env = cleanEnvironment()
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// cleanEnvironment is ours without the settings of the programs.
func cleanEnvironment() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOLDFAST_") {
			env = append(env, v)
		}
	}
	return env
}

func tail(s string, lines int) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(all[max(len(all)-lines, 0):], "\n")
}

// children returns the process ids of the children of a process.
func children(t *testing.T, pid int) []string {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(raw))
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, there func() bool) {
	t.Helper()
	over := time.NewTimer(readyTimeout)
	defer over.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-over.C:
			t.Fatalf("waited %s in vain for this: %s", readyTimeout, what)
		case <-t.Context().Done():
			t.Fatal("the test is over")
		}
	}
}

// free returns loopback addresses that are free at the moment.
func free(t *testing.T, n int) []string {
	t.Helper()
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // Not before all are chosen, so that they differ.
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// accepts waits until something listens there.
func accepts(t *testing.T, address string) {
	t.Helper()
	eventually(t, address+" accepts connections", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}
