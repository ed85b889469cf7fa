package placement

import (
	"slices"
	"testing"

	"github.com/holdfast/holdfast/pkg/ordering"
)

func path(id ordering.Path, instance string, load int) Path {
	return Path{ID: id, Instance: instance, Load: load}
}

func draining(p Path) Path {
	p.Draining = true
	return p
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name  string
		paths []Path
		want  ordering.Path // 0: none
	}{
		{"none at all", nil, 0},
		{"the only one", []Path{path(1, "x", 5)}, 1},
		{"least loaded path of one instance", []Path{path(1, "x", 5), path(2, "x", 4), path(3, "x", 6)}, 2},
		{
			"least loaded instance first, though its paths have more than another's least",
			[]Path{path(1, "x", 0), path(2, "x", 9), path(3, "y", 3), path(4, "y", 4)},
			3,
		},
		{"an idle path of an idle instance", []Path{path(1, "x", 1), path(2, "y", 0)}, 2},
		{"equal instances: by name, whatever the order", []Path{path(1, "y", 2), path(2, "x", 2)}, 2},
		{"equal paths: the one attached first", []Path{path(3, "x", 2), path(2, "x", 2)}, 2},
		{"a draining path is left out", []Path{draining(path(1, "x", 0)), path(2, "x", 100)}, 2},
		{"a draining instance is left out", []Path{draining(path(1, "x", 0)), path(2, "y", 100)}, 2},
		{
			"the load on a draining path does not count",
			[]Path{draining(path(1, "x", 100)), path(2, "x", 1), path(3, "y", 2)},
			2,
		},
		{"draining only: the best of them", []Path{draining(path(1, "x", 3)), draining(path(2, "x", 2))}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.paths)
			got, ok := Choose(c.paths)
			if got != c.want || ok != (c.want != 0) {
				t.Errorf("chose %d, %v; want %d", got, ok, c.want)
			}
			if !slices.Equal(before, c.paths) {
				t.Errorf("the caller's paths were changed to %v", c.paths)
			}
		})
	}
}
