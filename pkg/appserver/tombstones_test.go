package appserver

import (
	"testing"
	"time"
)

func TestTombstones(t *testing.T) {
	var s tombstones
	now := time.Now()
	s.add(1, now)
	s.add(2, now.Add(tombstoneTime-1))
	s.add(3, now.Add(tombstoneTime))
	if !s.has(1) || !s.has(2) || !s.has(3) || s.has(4) {
		t.Error("forgets too early, or knows what never was")
	}
	s.add(4, now.Add(2*tombstoneTime))
	if s.has(1) || s.has(2) || !s.has(3) || !s.has(4) {
		t.Error("forgets too late, or too early")
	}
	for id := range uint64(3 * maxTombstones) {
		s.add(id, now.Add(2*tombstoneTime))
	}
	if n := len(s.recent) + len(s.older); n > 2*maxTombstones {
		t.Errorf("remembers %d", n)
	}
}
