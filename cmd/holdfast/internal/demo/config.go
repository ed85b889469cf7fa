// Package demo starts everything as real processes, reloads an ingress under traffic and judges the result.
package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The kinds of ingress that the demo can use.
const (
	Embedded = "embedded"
	Nginx    = "nginx"
)

// The reloads that can be announced. Half is every other one, of each ingress some.
const (
	All  = "all"
	Half = "half"
	None = "none"
)

// Config says what the demo does.
type Config struct {
	// Kind is Embedded or Nginx.
	Kind string
	// Announce says which reloads are announced: All, None or Half.
	Announce string
	// Reloads is the number of reloads; they take turns between the ingresses.
	Reloads int
	// Restart says that a relay is restarted after the reloads.
	Restart bool
	// Clients is the number of plain clients, Resumable of those that move by themselves.
	Clients, Resumable int
	// Rate is the number of messages that each client sends in a second.
	Rate float64
	// Size is the size of each message in bytes.
	Size          int
	CountInterval time.Duration
	// Grace is for how long a reloading ingress lets open streams run on.
	Grace time.Duration
	// Settle is for how long traffic flows before the first reload and after each one.
	Settle time.Duration
	// Keep keeps the folder with what the processes wrote.
	Keep bool
}

func (c Config) check() error {
	var errs []error
	if c.Kind != Embedded && c.Kind != Nginx {
		errs = append(errs, fmt.Errorf("--ingress: %q is not allowed; %s or %s is", c.Kind, Embedded, Nginx))
	}
	if c.Announce != All && c.Announce != Half && c.Announce != None {
		errs = append(errs, fmt.Errorf("--announce: %q is not allowed; %s, %s or %s is", c.Announce, All, Half, None))
	}
	if c.Reloads < 1 {
		errs = append(errs, fmt.Errorf("--reloads: %d is not allowed; 1 and more is", c.Reloads))
	}
	if c.Clients < 2 {
		errs = append(errs, fmt.Errorf("--clients: %d is not allowed; 2 and more is, one for each ingress", c.Clients))
	}
	if c.Resumable < 0 {
		errs = append(errs, fmt.Errorf("--resumable: %d is not allowed; 0 and more is", c.Resumable))
	}
	if c.Grace < time.Second || c.Grace%time.Second != 0 {
		errs = append(errs, fmt.Errorf("--grace: %s is not allowed; whole seconds from 1s are", c.Grace))
	}
	if c.Settle < 0 {
		errs = append(errs, fmt.Errorf("--settle: %s is not allowed; 0s and more is", c.Settle))
	}
	return errors.Join(errs...)
}

// programs has the paths of the programs that the demo starts.
type programs struct{ holdfast, relay, appserver, nginx string }

// find looks for the programs of the project beside the tool's own, and for nginx when it is wanted.
func find(kind string) (programs, error) {
	own, err := os.Executable()
	if err == nil {
		own, err = filepath.EvalSymlinks(own)
	}
	if err != nil {
		return programs{}, fmt.Errorf("find the tool's own program: %w", err)
	}
	dir := filepath.Dir(own)
	p := programs{holdfast: own, relay: filepath.Join(dir, "relay"), appserver: filepath.Join(dir, "appserver")}
	for _, path := range []string{p.relay, p.appserver} {
		if _, err := os.Stat(path); err != nil {
			return programs{}, fmt.Errorf("%s is missing; the demo needs it beside %s: build all of them with make build", path, own)
		}
	}
	if kind == Nginx {
		p.nginx, err = findNginx()
	}
	return p, err
}

func findNginx() (string, error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("nginx is not installed; install it, or leave out --ingress nginx")
}
