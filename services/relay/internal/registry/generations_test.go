package registry

import (
	"testing"
	"time"
)

func TestGenerations(t *testing.T) {
	var g generations
	now := time.Now()
	if n := g.newest(1); n != 0 {
		t.Errorf("of nothing it remembers %d", n)
	}
	g.remember(1, 7, now)
	g.remember(1, 3, now) // an end that was refused leaves late
	if n := g.newest(1); n != 7 {
		t.Errorf("it remembers %d, want 7", n)
	}
	g.remember(2, 1, now.Add(rememberTime))
	if n := g.newest(1); n != 7 {
		t.Errorf("after a turn it remembers %d, want 7", n)
	}
	g.remember(3, 1, now.Add(2*rememberTime))
	if n := g.newest(1); n != 0 {
		t.Errorf("after two turns it remembers %d", n)
	}
	for id := range uint64(5 * maxRemembered) {
		g.remember(id, 1, now)
	}
	if n := len(g.recent) + len(g.older); n > 2*maxRemembered {
		t.Errorf("it holds %d", n)
	}
}
