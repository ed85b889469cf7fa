// Package compose_test runs the deployment of docker-compose.yml on a real Docker engine: the same compose
// file, the same Dockerfile, and the reload that deploy/README.md documents.
package compose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	clients    = 20 // of each kind, as docker-compose.yml starts
	appServers = 2
)

var relays = []string{"relay-1", "relay-2"}

func TestComposeUp(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: the compose deployment takes minutes, and -short was given")
	}
	ctx := bounded(t)
	d := newDeployment(ctx, t)
	d.prepareImages(ctx)
	d.up(ctx)
	d.waitHealthy(ctx)
	d.waitServers(ctx)
	d.waitClients(ctx)

	moved := d.reloadIngressA(ctx)
	d.waitServers(ctx)
	d.checkStillThere(ctx, moved)

	resumed := d.killIngressA(ctx)
	d.checkStillThere(ctx, resumed)
	d.waitServers(ctx)
	d.waitClients(ctx)
	d.checkStillThere(ctx, resumed)

	d.restartRelay(ctx)

	checkPlain(t, d.stopClients(ctx, "clients"))
	checkResumable(t, d.stopClients(ctx, "resumable-clients"))
}

// restartRelay restarts a relay with its clients, and waits until all are back.
func (d *deployment) restartRelay(ctx context.Context) {
	d.t.Helper()
	d.mustCompose(ctx, "restart", relays[0])
	d.waitServers(ctx)
	d.eventually(ctx, "all clients are connected", func() (bool, string) {
		n := len(d.connections(ctx))
		return n == 2*clients, fmt.Sprint(n)
	})
}

// reloadIngressA is the documented reload. It returns the connections that had to be moved for it.
func (d *deployment) reloadIngressA(ctx context.Context) []string {
	d.t.Helper()
	var toMove []string
	for _, c := range d.connections(ctx) {
		if c.ClientIngress != "a" && c.ServerIngress == "a" {
			toMove = append(toMove, c.ID)
		}
	}
	if len(toMove) == 0 {
		d.t.Fatal("no client of ingress b runs over a server connection of ingress a: nothing to move")
	}

	d.onEachRelay(ctx, "reload", "a")
	d.checkOffIngressA(ctx, toMove)
	old := d.nginxWorkers(ctx, "ingress-a")
	d.mustCompose(ctx, "exec", "-T", "ingress-a", "nginx", "-s", "reload")
	d.eventually(ctx, "the old workers of ingress a are gone", func() (bool, string) {
		now := d.nginxWorkers(ctx, "ingress-a")
		left := slices.DeleteFunc(slices.Clone(old), func(pid string) bool { return !slices.Contains(now, pid) })
		return len(left) == 0, "left: " + strings.Join(left, " ")
	})
	d.onEachRelay(ctx, "complete", "a")
	d.t.Logf("ingress a reloaded, %d connections moved off it before", len(toMove))
	return toMove
}

// killIngressA kills the ingress with no notice, and starts it again once everything that ran over it runs over the other. It
// returns the connections of clients that did not come in through it.
func (d *deployment) killIngressA(ctx context.Context) []string {
	d.t.Helper()
	var others []string
	for _, c := range d.connections(ctx) {
		if c.ClientIngress == "a" {
			continue
		}
		others = append(others, c.ID)
		if c.ServerIngress != "a" { // the reload has moved them off a
			d.mustCompose(ctx, "exec", "-T", c.relay, "holdfast", "move", c.ID)
		}
	}
	before := d.connectionsByID(ctx)
	over := len(slices.DeleteFunc(slices.Clone(others), func(id string) bool { return before[id].ServerIngress != "a" }))
	if over == 0 {
		d.t.Fatal("no client of ingress b runs over a server connection of ingress a: nothing to resume")
	}
	d.mustCompose(ctx, "kill", "ingress-a")
	d.eventually(ctx, "all connections of ingress b run over server connections of ingress b", func() (bool, string) {
		now := d.connectionsByID(ctx)
		left := slices.DeleteFunc(slices.Clone(others), func(id string) bool { return now[id].ServerIngress == "b" })
		return len(left) == 0, "not yet: " + strings.Join(left, " ")
	})
	d.mustCompose(ctx, "start", "ingress-a")
	d.t.Logf("ingress a killed and started again, with %d connections of ingress b over it", over)
	return others
}

func (d *deployment) checkOffIngressA(ctx context.Context, ids []string) {
	d.t.Helper()
	now := d.connectionsByID(ctx)
	for _, id := range ids {
		if c, ok := now[id]; !ok || c.ServerIngress != "b" {
			d.t.Errorf("connection %s after the reload command: %+v (there: %t), want server ingress b", id, c, ok)
		}
	}
}

func (d *deployment) checkStillThere(ctx context.Context, ids []string) {
	d.t.Helper()
	now := d.connectionsByID(ctx)
	for _, id := range ids {
		if _, ok := now[id]; !ok {
			d.t.Errorf("connection %s of ingress b did not outlive what was done to ingress a", id)
		}
	}
}

// onEachRelay runs a command of the tool at one relay after the other.
func (d *deployment) onEachRelay(ctx context.Context, command ...string) {
	d.t.Helper()
	for _, relay := range relays {
		d.mustCompose(ctx, append([]string{"exec", "-T", relay, "holdfast"}, command...)...)
	}
}

// waitServers waits until every app server is attached to both relays through both ingresses.
func (d *deployment) waitServers(ctx context.Context) {
	d.t.Helper()
	d.eventually(ctx, "every app server is attached to both relays through both ingresses", func() (bool, string) {
		paths := map[string]bool{}
		for _, s := range d.servers(ctx) {
			paths[s.ServerID+" to "+s.relay+" through "+s.Ingress] = true
		}
		return len(paths) == 2*len(relays)*appServers, strings.Join(slices.Sorted(maps.Keys(paths)), ", ")
	})
}

func (d *deployment) waitClients(ctx context.Context) {
	d.t.Helper()
	d.eventually(ctx, "all clients are connected, to both relays", func() (bool, string) {
		of := map[string]int{} // the relays
		for _, c := range d.connections(ctx) {
			of[c.relay]++
		}
		return of[relays[0]]+of[relays[1]] == 2*clients && of[relays[0]] > 0 && of[relays[1]] > 0, fmt.Sprint(of)
	})
}

// checkPlain checks that reloads and a killed ingress disconnected the plain clients of that ingress alone, but for the relay that
// was restarted: its own came back once more.
func checkPlain(t *testing.T, r report) {
	t.Helper()
	checkMessages(t, r)
	b := slices.IndexFunc(r.ByIngress, func(i ingressReport) bool { return i.Ingress == "b" })
	if b < 0 || r.ByIngress[b].Clients <= 0 {
		t.Fatalf("no client of ingress b in the report: %+v", r.ByIngress)
	}
	for reason := range r.ByIngress[b].Reasons {
		if !strings.Contains(reason, "RELAY_SHUTDOWN") {
			t.Errorf("clients of ingress b were disconnected: %+v", r.ByIngress[b])
		}
	}
}

// checkResumable checks that no resumable client was disconnected: each has had one logical connection.
func checkResumable(t *testing.T, r report) {
	t.Helper()
	checkMessages(t, r)
	if r.Connections != clients || r.Moves == 0 {
		t.Errorf("%d logical connections of %d resumable clients, which moved %d times", r.Connections, clients, r.Moves)
	}
	for _, in := range r.ByIngress {
		if in.Disconnected != "0" {
			t.Errorf("resumable clients were disconnected: %+v", in)
		}
	}
}

func checkMessages(t *testing.T, r report) {
	t.Helper()
	t.Logf("final report: %+v", r)
	for name, n := range map[string]json.Number{
		"lost": r.Lost, "doubled": r.Doubled, "reordered": r.Reordered, "corrupted": r.Corrupted,
	} {
		if n != "0" {
			t.Errorf("%s: %q messages, want 0", name, n)
		}
	}
	if r.Sent <= 0 || r.Received <= 0 {
		t.Errorf("sent %d, received %d: no traffic", r.Sent, r.Received)
	}
}
