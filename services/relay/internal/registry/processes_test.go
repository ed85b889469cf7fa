package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

func named(server, instance string) serverconn.Instance {
	return serverconn.Instance{Application: "x", ServerID: server, InstanceID: instance, Nonce: 1}
}

// The process one of the app server s is lost at second 10. Who took its place?
func TestSuccessor(t *testing.T) {
	one, two, three := named("s", "one"), named("s", "two"), named("s", "three")
	sameID := one
	sameID.Nonce = 2
	for _, c := range []struct {
		name  string
		steps func(processes)
		want  serverconn.Instance
	}{
		{"nobody", func(processes) {}, serverconn.Instance{}},
		{"itself", func(ps processes) { ps.attached(one, at(11)) }, serverconn.Instance{}},
		{"a new process", func(ps processes) { ps.attached(two, at(11)) }, two},
		{"a new process under the same instance_id", func(ps processes) { ps.attached(sameID, at(11)) }, sameID},
		{"another app server", func(ps processes) { ps.attached(named("t", "two"), at(11)) }, serverconn.Instance{}},
		{"one that was there before and dials once more", func(ps processes) {
			ps.attached(two, at(5))
			ps.attached(two, at(11))
		}, serverconn.Instance{}},
		{"one that was there before, lost as well, and back", func(ps processes) {
			ps.attached(two, at(5))
			ps.detached(two, at(10).Add(time.Millisecond))
			ps.attached(two, at(11))
		}, serverconn.Instance{}},
		{"a new one, but it may have replaced another of that name", func(ps processes) {
			ps.attached(two, at(5))
			ps.attached(three, at(11))
		}, serverconn.Instance{}},
		{"a new one, and another that was gone before", func(ps processes) {
			ps.attached(two, at(1))
			ps.detached(two, at(2))
			ps.attached(three, at(11))
		}, three},
	} {
		t.Run(c.name, func(t *testing.T) {
			ps := make(processes)
			ps.attached(one, at(0))
			ps.detached(one, at(10))
			c.steps(ps)
			got, ok := ps.successor(one, at(10))
			if got != c.want || ok != (c.want != serverconn.Instance{}) {
				t.Errorf("got %+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
}

// What is gone is forgotten when there is too much of it; what is there never is.
func TestProcessesAreForgotten(t *testing.T) {
	ps := make(processes)
	here := named("here", "1")
	ps.attached(here, at(0))
	for i := range 3 * maxProcesses {
		i := named("flood", fmt.Sprint(i))
		ps.attached(i, at(1))
		ps.detached(i, at(1))
	}
	if len(ps) > maxProcesses || ps[here] == nil {
		t.Errorf("%d are remembered, the one that is here: %v", len(ps), ps[here] != nil)
	}
}
