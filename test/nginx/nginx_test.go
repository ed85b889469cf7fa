// Package nginx_test reloads real nginx, and restarts a relay, under the traffic of 200 clients.
package nginx_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const (
	reloads = 10
	// Of each kind: plain and resumable.
	clients = 100
)

// result is what the demo prints; it has checked the content and the number of every message itself.
type result struct {
	Reloads []struct {
		Ingress               string
		Announced, Safe       bool
		Planned, Moved        int
		Disconnected          int
		DisconnectedElsewhere int `json:"disconnected_elsewhere"`
		DisconnectedResumable int `json:"disconnected_resumable"`
	}
	Restarts []struct {
		Disconnected          int
		DisconnectedResumable int `json:"disconnected_resumable"`
	}
	Moved              int
	Traffic, Resumable traffic
	Broken             []string
}

// traffic is what the clients of one kind saw.
type traffic struct {
	Sent, Received, Lost, Doubled, Reordered, Corrupted, Unfinished int
	Connections, Moves                                              int
	CutInFlight                                                     int `json:"cut_in_flight"`

	ByIngress []struct {
		Ingress      string
		Clients      int
		Disconnected int
	} `json:"by_ingress"`
}

// Ten reloads of the two ingresses in turn, half of them announced and half not, and then the restart of a relay: no plain client of
// the other ingress is disconnected by a reload, no resumable client by anything, and no message is lost, doubled or reordered.
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
		if reload.DisconnectedResumable != 0 {
			t.Errorf("reload %d disconnected resumable clients: %+v", i, reload)
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
	if len(r.Restarts) != 1 || r.Restarts[0].Disconnected == 0 || r.Restarts[0].DisconnectedResumable != 0 {
		t.Errorf("the restart of the relay should have cut plain clients, and no resumable ones: %+v", r.Restarts)
	}
	r.checkResumable(t)
	t.Logf("%d moves, %d messages sent, %d received; of resumable clients %d own moves, %d messages sent, %d received",
		r.Moved, r.Traffic.Sent, r.Traffic.Received, r.Resumable.Moves, r.Resumable.Sent, r.Resumable.Received)
}

// checkResumable checks that each resumable client had one logical connection to the end, over all its moves.
func (r result) checkResumable(t *testing.T) {
	t.Helper()
	x := r.Resumable
	if x.Lost+x.Doubled+x.Reordered+x.Corrupted+x.Unfinished+x.CutInFlight != 0 || x.Connections != clients || x.Sent < 10_000 {
		t.Errorf("the guarantee was broken for resumable clients: %+v", x)
	}
	for _, in := range x.ByIngress {
		if in.Disconnected != 0 {
			t.Errorf("resumable clients were disconnected: %+v", in)
		}
	}
	// The first reload finds half of them on its ingress, and each after that all.
	if most := clients/2 + (reloads-1)*clients; x.Moves < most/2 {
		t.Errorf("%d moves of resumable clients; want %d or so", x.Moves, most)
	}
}

func run(t *testing.T) result {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./services/relay", "./services/appserver", "./cmd/holdfast")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "holdfast"), "demo", "--ingress", "nginx", "--reloads", "10",
		"--announce", "half", "--clients", strconv.Itoa(clients), "--resumable", strconv.Itoa(clients), "--settle", "1s", "--grace", "4s", "--output", "json")
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
