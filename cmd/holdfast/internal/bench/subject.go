package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/process"
)

const (
	// readyTimeout is how long a subject may take to answer a message.
	readyTimeout = 20 * time.Second
	pollInterval = 50 * time.Millisecond
	// stopGrace is how long a process may take to end.
	stopGrace = 15 * time.Second
)

// part is one process of a subject.
type part struct {
	name string
	pid  int
}

// subject is what a load runs against.
type subject struct {
	name    string
	address string
	dial    dialer
	parts   []part
}

// as returns the same processes for clients of another kind.
func (s *subject) as(name, address string, dial dialer) *subject {
	return &subject{name: name, address: address, dial: dial, parts: s.parts}
}

// part returns the process with a name.
func (s *subject) pid(name string) int {
	for _, p := range s.parts {
		if p.name == name {
			return p.pid
		}
	}
	return 0
}

// notInstalled is the error of a subject whose program this machine does not have.
type notInstalled struct{ program string }

func (e *notInstalled) Error() string { return e.program + " is not installed" }

// programs has the paths of the programs that the subjects need.
type programs struct{ own, relay string }

// findPrograms looks for the programs of the project beside the tool's own. They are not needed for every run;
// starting one that is missing says so.
func findPrograms(cfg *Config) (programs, error) {
	own := cfg.Own
	if own == "" {
		path, err := os.Executable()
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			return programs{}, fmt.Errorf("find the tool's own program: %w", err)
		}
		own = path
	}
	p := programs{own: own, relay: cfg.Relay}
	if p.relay == "" {
		p.relay = filepath.Join(filepath.Dir(own), "relay")
	}
	return p, nil
}

// find returns the path of a program of this machine.
func find(program string) (string, error) {
	for _, name := range []string{program, "/usr/sbin/" + program, "/usr/local/sbin/" + program, "/opt/homebrew/bin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", &notInstalled{program}
}

// theatre starts the processes of subjects and ends them again.
type theatre struct {
	programs  programs
	dir       string
	processes *process.Group
	started   int // makes the names of the processes differ
}

func newTheatre(p programs, dir string, lost func(error)) *theatre {
	return &theatre{programs: p, dir: dir, processes: process.NewGroup(dir, lost)}
}

// run starts a process as a part of a subject.
func (t *theatre) run(s *subject, name, path string, args ...string) error {
	_, err := t.start(s, name, path, args...)
	return err
}

// start is run, and returns the process.
func (t *theatre) start(s *subject, name, path string, args ...string) (*process.Process, error) {
	t.started++
	p, err := t.processes.Start(fmt.Sprintf("%s-%s-%d", s.name, name, t.started), path, args...)
	if err != nil {
		return nil, err
	}
	s.parts = append(s.parts, part{name, p.PID()})
	return p, nil
}

// stop ends all processes. One that ends by the very SIGTERM that it is sent, as haproxy does, has ended well.
func (t *theatre) stop() error {
	err := t.processes.Stop(stopGrace)
	if all, ok := err.(interface{ Unwrap() []error }); ok { // The group joins one for each process.
		return errors.Join(slices.DeleteFunc(slices.Clone(all.Unwrap()), terminated)...)
	}
	return err
}

func terminated(err error) bool {
	exit := new(exec.ExitError)
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGTERM
}

// build starts a subject and waits until it answers a message.
func (t *theatre) build(ctx context.Context, name string) (*subject, error) {
	build := map[string]func(*subject) error{
		Direct: t.buildDirect, Nginx: t.buildNginx, HAProxy: t.buildHAProxy, Raw: t.buildRaw,
		Holdfast: t.buildHoldfast, Batch: t.buildHoldfast,
	}
	dial := map[string]dialer{Raw: dialRaw, Batch: dialBatch}
	s := &subject{name: name, dial: dialPlain}
	if d, ok := dial[name]; ok {
		s.dial = d
	}
	if err := build[name](s); err != nil {
		return nil, err
	}
	return s, ready(ctx, s)
}

// ready waits until the subject answers a message.
func ready(ctx context.Context, s *subject) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, errNotReady)
	defer cancel()
	for {
		f, err := connect(ctx, order{target: s, streams: 1, size: minSize, inflight: 1, patience: readyTimeout})
		if err == nil {
			f.close()
			return nil
		}
		if waited := pause(ctx, pollInterval); errors.Is(waited, errNotReady) {
			return fmt.Errorf("%s did not answer a message within %s; at the last try: %w", s.name, readyTimeout, err)
		} else if waited != nil {
			return waited
		}
	}
}

var errNotReady = errors.New("not ready in time")

// buildDirect starts the bare echo server.
func (t *theatre) buildDirect(s *subject) error {
	address, err := t.echo(s)
	s.address = address
	return err
}

// echo starts an echo server as a part of a subject and returns its address.
func (t *theatre) echo(s *subject) (string, error) {
	addresses, err := process.FreeAddresses(1)
	if err != nil {
		return "", err
	}
	return addresses[0], t.run(s, "echo", t.programs.own, "bench-part", "echo", "--listen", addresses[0])
}

// buildRaw starts the raw relay and the raw echo server behind it.
func (t *theatre) buildRaw(s *subject) error {
	addresses, err := process.FreeAddresses(2)
	if err != nil {
		return err
	}
	s.address = addresses[0]
	if err := t.run(s, "echo", t.programs.own, "bench-part", "raw-echo", "--listen", addresses[1]); err != nil {
		return err
	}
	return t.run(s, "relay", t.programs.own, "bench-part", "raw-relay", "--listen", addresses[0], "--upstream", addresses[1])
}

// buildHoldfast starts a relay and an app server that is attached to it directly.
func (t *theatre) buildHoldfast(s *subject) error {
	if _, err := t.relay(s, 0); err != nil {
		return err
	}
	return t.appServer(s, s.address)
}

// relay starts a relay as a part of a subject. It returns addresses: the relay's two and so many others.
func (t *theatre) relay(s *subject, others int) ([]string, error) {
	addresses, err := process.FreeAddresses(2 + others)
	if err != nil {
		return nil, err
	}
	s.address = addresses[0]
	_, err = t.relayAt(s, addresses)
	return addresses, err
}

// relayAt starts a relay as a part of a subject at the first two addresses.
func (t *theatre) relayAt(s *subject, addresses []string, args ...string) (*process.Process, error) {
	return t.start(s, "relay", t.programs.relay, append([]string{
		"--listen", addresses[0], "--admin-listen", addresses[1], "--trusted-networks", "127.0.0.0/8", "--shutdown-grace=1s",
	}, args...)...)
}

// buildWithSockets is buildHoldfast, with a relay that serves WebSocket too, and returns the address of that.
func (t *theatre) buildWithSockets(ctx context.Context) (s *subject, sockets string, err error) {
	addresses, err := process.FreeAddresses(3)
	if err != nil {
		return nil, "", err
	}
	s = &subject{name: Holdfast, address: addresses[0], dial: dialPlain}
	if _, err = t.relayAt(s, addresses, "--websocket-listen", addresses[2]); err == nil {
		err = t.appServer(s, s.address)
	}
	if err == nil {
		err = ready(ctx, s)
	}
	return s, addresses[2], err
}

// appServer starts an app server as bare as the echo server is, as a part of a subject.
func (t *theatre) appServer(s *subject, relays ...string) error {
	return t.run(s, "appserver", t.programs.own, "bench-part", "app", "--relays", strings.Join(relays, ","))
}
