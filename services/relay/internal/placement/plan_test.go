package placement

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/pkg/ordering"
)

// The paths of most cases: instance x has one through each of the ingresses a, b and c; y has one through a.
func paths(change ...func(id ordering.Path, p *Path)) []Path {
	all := []Path{
		{ID: 1, Instance: "x", Ingress: "a", Load: 1},
		{ID: 2, Instance: "x", Ingress: "b", Load: 5},
		{ID: 3, Instance: "x", Ingress: "c", Load: 7},
		{ID: 4, Instance: "y", Ingress: "a"},
	}
	for i := range all {
		for _, f := range change {
			f(all[i].ID, &all[i])
		}
	}
	return all
}

// reloading marks the paths through an ingress as the registry does when that ingress is being reloaded.
func reloading(ingress string) func(ordering.Path, *Path) {
	return func(_ ordering.Path, p *Path) {
		if p.Ingress == ingress {
			p.Draining, p.IngressReloading = true, true
		}
	}
}

// said marks a path as its app server does.
func said(path ordering.Path) func(ordering.Path, *Path) {
	return func(id ordering.Path, p *Path) { p.Draining = p.Draining || id == path }
}

func suspect(path ordering.Path) func(ordering.Path, *Path) {
	return func(id ordering.Path, p *Path) { p.Suspect = p.Suspect || id == path }
}

func TestPlanDecides(t *testing.T) {
	none := []Decision(nil)
	for _, c := range []struct {
		name       string
		paths      []Path
		connection Connection
		want       []Decision
	}{
		{"nothing drains", paths(), Connection{ID: 9, Path: 1, State: Settled}, none},
		{"on a path that does not drain", paths(reloading("a")), Connection{ID: 9, Path: 2, State: Settled}, none},
		{"on a path that is gone", paths(reloading("a")), Connection{ID: 9, Path: 77, State: Settled}, none},
		{
			"its own client came through, but it runs elsewhere", paths(reloading("a")),
			Connection{ID: 9, ClientIngress: "a", Path: 2, State: Settled},
			none,
		},
		{
			"to the least loaded other path", paths(reloading("a")),
			Connection{ID: 9, ClientIngress: "b", Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Target: 2}},
		},
		{
			"not to a draining one", paths(reloading("a"), said(2)),
			Connection{ID: 9, Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Target: 3}},
		},
		{
			"client through the ingress that is reloading", paths(reloading("a")),
			Connection{ID: 9, ClientIngress: "a", Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Reason: ClientThroughIngress}},
		},
		{
			"client through the ingress of a path that only its app server called draining: moving it keeps it",
			paths(said(1)),
			Connection{ID: 9, ClientIngress: "a", Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Target: 2}},
		},
		{
			"no other server connection of its app server", paths(reloading("a")),
			Connection{ID: 9, Path: 4, State: Settled},
			[]Decision{{ID: 9, From: 4, Reason: NoOtherServerConnection}},
		},
		{
			"every target draining", paths(reloading("a"), reloading("b"), said(3)),
			Connection{ID: 9, Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Reason: TargetDraining}},
		},
		{
			"not to a suspect one", paths(reloading("a"), suspect(2)),
			Connection{ID: 9, Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Target: 3}},
		},
		{
			"every target suspect or draining: the path that works is not given up", paths(reloading("a"), suspect(2), said(3)),
			Connection{ID: 9, Path: 1, State: Settled},
			[]Decision{{ID: 9, From: 1, Reason: TargetSuspect}},
		},
		{
			"not confirmed", paths(reloading("a")),
			Connection{ID: 9, Path: 1, State: Opening},
			[]Decision{{ID: 9, From: 1, Reason: NotConfirmed}},
		},
		{
			"in a handoff away from a draining path", paths(reloading("a")),
			Connection{ID: 9, Path: 2, Previous: 1, State: InHandoff},
			[]Decision{{ID: 9, From: 1, Reason: HandoffOpen}},
		},
		{
			"in a handoff to a path that began to drain", paths(reloading("b")),
			Connection{ID: 9, Path: 2, Previous: 1, State: InHandoff},
			[]Decision{{ID: 9, From: 2, Reason: HandoffOpen}},
		},
		{
			"in a handoff from draining to draining: it must leave the previous first", paths(reloading("a"), reloading("b")),
			Connection{ID: 9, Path: 2, Previous: 1, State: InHandoff},
			[]Decision{{ID: 9, From: 1, Reason: HandoffOpen}},
		},
		{
			"in a handoff whose previous is gone", paths(reloading("b")),
			Connection{ID: 9, Path: 2, Previous: 77, State: InHandoff},
			[]Decision{{ID: 9, From: 2, Reason: HandoffOpen}},
		},
		{"in a handoff between paths that stay", paths(reloading("c")), Connection{ID: 9, Path: 2, Previous: 1, State: InHandoff}, none},
		{"closing", paths(reloading("a")), Connection{ID: 9, Path: 1, State: Closing}, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Plan([]Connection{c.connection}, c.paths); !slices.Equal(got, c.want) {
				t.Errorf("decided %+v, want %+v", got, c.want)
			}
		})
	}
}

// Targets are filled up evenly, what the plan itself adds counted.
func TestPlanSpreadsTargetsByLoad(t *testing.T) {
	all := []Path{
		{ID: 1, Instance: "x", Ingress: "a", Draining: true, Load: 6},
		{ID: 2, Instance: "x", Ingress: "b", Load: 4},
		{ID: 3, Instance: "x", Ingress: "c", Load: 0},
		{ID: 4, Instance: "x", Ingress: "d", Load: 1},
		{ID: 5, Instance: "y", Ingress: "b", Load: 0}, // another process is never a target
	}
	var connections []Connection
	for id := range uint64(6) {
		connections = append(connections, Connection{ID: id + 1, Path: 1, State: Settled})
	}
	decisions := Plan(connections, all)
	added := make(map[ordering.Path]int)
	for i, d := range decisions {
		if d.ID != connections[i].ID || d.From != 1 || d.Reason != 0 {
			t.Errorf("decision %d: %+v", i, d)
		}
		added[d.Target]++
	}
	if len(decisions) != 6 || added[2] != 0 || added[3] != 4 || added[4] != 2 { // loads are 4, 4 and 3 then
		t.Errorf("targets: %v, want 4 to path 3 and 2 to path 4", added)
	}
}

func TestReasons(t *testing.T) {
	seen := make(map[string]bool)
	for r := ClientThroughIngress; r <= TargetSuspect; r++ {
		if s := r.String(); s == "" || strings.HasPrefix(s, "Reason(") || seen[s] {
			t.Errorf("reason %d is called %q", uint8(r), s)
		}
		seen[r.String()] = true
		if got, want := r.Passing(), r == HandoffOpen || r == NotConfirmed || r == TargetSuspect; got != want {
			t.Errorf("%v: passing is %v, want %v", r, got, want)
		}
	}
	if got := Reason(99).String(); got != "Reason(99)" {
		t.Errorf("an unknown reason is called %q", got)
	}
}
