// Package nginx_test reloads real nginx under the traffic of 200 clients.
package nginx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	reloads = 10
	clients = 200
)

// result is what the demo prints; it has checked the content and the number of every message itself.
type result struct {
	Reloads []struct {
		Ingress               string
		Announced, Safe       bool
		Planned, Moved        int
		Disconnected          int
		DisconnectedElsewhere int `json:"disconnected_elsewhere"`
	}
	Moved   int
	Traffic struct {
		Sent, Received, Lost, Doubled, Reordered, Corrupted, Unfinished int

		ByIngress []struct {
			Ingress      string
			Clients      int
			Disconnected int
		} `json:"by_ingress"`
	}
	Broken []string
}

// Ten reloads of the two ingresses in turn, half of them announced and half not: no client of the other ingress is
// disconnected, and no message is lost, doubled or reordered.
func TestReloadsUnderTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a minute")
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		if _, err := os.Stat("/usr/sbin/nginx"); err != nil {
			t.Skip("SKIPPED: nginx is not installed, so that no real ingress was reloaded; make setup installs it")
		}
	}
	r := run(t)
	if len(r.Reloads) != reloads || r.Traffic.Sent < 10_000 || r.Moved < clients {
		t.Errorf("too little happened: %d reloads, %d messages sent, %d moves", len(r.Reloads), r.Traffic.Sent, r.Moved)
	}
	announced := 0
	for i, reload := range r.Reloads {
		if reload.Announced {
			announced++
			if !reload.Safe || reload.Moved < reload.Planned {
				t.Errorf("reload %d was announced, but is not safe: %+v", i, reload)
			}
		}
		if reload.DisconnectedElsewhere != 0 {
			t.Errorf("reload %d disconnected clients of the other ingress: %+v", i, reload)
		}
		if reload.Disconnected != clients/2 {
			t.Errorf("reload %d was none: nginx should have cut its own %d clients: %+v", i, clients/2, reload)
		}
	}
	if announced != reloads/2 {
		t.Errorf("%d reloads were announced, want half of %d", announced, reloads)
	}
	if x := r.Traffic; x.Lost+x.Doubled+x.Reordered+x.Corrupted+x.Unfinished != 0 || len(r.Broken) != 0 {
		t.Errorf("the guarantee was broken: %+v", r)
	}
	t.Logf("%d moves, %d messages sent, %d received", r.Moved, r.Traffic.Sent, r.Traffic.Received)
}

func run(t *testing.T) result {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./services/relay", "./services/appserver", "./cmd/holdfast")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "holdfast"), "demo", "--ingress", "nginx", "--reloads", "10",
		"--announce", "half", "--clients", "200", "--settle", "1s", "--grace", "4s", "--output", "json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends what it started
	cmd.WaitDelay = 20 * time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("the demo failed: %v\n%s", err, stderr.Bytes())
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("the demo's result: %v\n%s", err, out)
	}
	return r
}
