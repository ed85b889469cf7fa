package faults_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/test/faults/tcpproxy"
)

// paths are proxies between the app server and the relay: one for each server connection.
type paths []*tcpproxy.Proxy

func newPaths(t *testing.T, n int, upstream string) paths {
	t.Helper()
	p := make(paths, n)
	for i := range p {
		proxy, err := tcpproxy.Listen(upstream)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		p[i] = proxy
	}
	return p
}

func (p paths) addresses() []string {
	addresses := make([]string, len(p))
	for i, proxy := range p {
		addresses[i] = proxy.Addr()
	}
	return addresses
}

// set does these faults to all paths.
func (p paths) set(f tcpproxy.Faults) {
	for _, proxy := range p {
		proxy.Set(f)
	}
}

// cut cuts all paths and returns how many connections there were.
func (p paths) cut() int {
	n := 0
	for _, proxy := range p {
		n += proxy.Cut()
	}
	return n
}

// byLoad returns the numbers of the paths, the one that carries most first, and what each path carries.
func (p paths) byLoad(s *system) (order, load []int) {
	load = make([]int, len(p))
	for i, proxy := range p {
		sources := proxy.Sources()
		load[i] = s.load(func(c *holdfastv1.ServerConnection) bool { return slices.Contains(sources, c.GetAddress()) })
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(load[b], load[a]) })
	return order, load
}

// tally is what the faults did.
type tally struct {
	steps, cuts int
	hit         int // logical connections on the paths of cutting faults
	kinds       map[kind]int
}

// suffer plays the steps and heals every path after the last.
func (p paths) suffer(t *testing.T, s *system, steps []step) tally {
	t.Helper()
	done := tally{kinds: map[kind]int{}}
	begin := time.Now()
	for _, step := range steps {
		sleep(t, step.pause)
		order, load := p.byLoad(s)
		if !step.busiest {
			order = step.order
		}
		for i, f := range step.faults {
			t.Logf("%5.1fs path %d, which carries %3d: %v", time.Since(begin).Seconds(), order[i], load[order[i]], f)
			done.add(f.kind, load[order[i]], begins(p[order[i]], f))
		}
		p.heal(t, order, step.faults)
		done.steps++
	}
	return done
}

// begins lets a fault begin and returns how many connections it cut.
func begins(proxy *tcpproxy.Proxy, f fault) int {
	proxy.Set(f.setting)
	switch f.kind {
	case cut:
		return proxy.Cut()
	case hangUp:
		return proxy.HangUp()
	}
	return 0
}

// heal ends the fault of each path when it has lasted its time.
func (p paths) heal(t *testing.T, order []int, faults []fault) {
	t.Helper()
	begin := time.Now()
	ends := make([]int, len(faults))
	for i := range faults {
		ends[i] = i
	}
	slices.SortFunc(ends, func(a, b int) int { return cmp.Compare(faults[a].lasts, faults[b].lasts) })
	for _, i := range ends {
		sleep(t, time.Until(begin.Add(faults[i].lasts)))
		p[order[i]].Set(tcpproxy.Faults{})
	}
}

func (d *tally) add(k kind, load, cuts int) {
	d.kinds[k]++
	d.cuts += cuts
	if slices.Contains(cutting, k) {
		d.hit += load
	}
}

// sleep lets a fault, or the time between two, last.
func sleep(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
