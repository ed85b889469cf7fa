package appserver

import "time"

// Bounds of what is remembered of connections that are over.
const (
	tombstoneTime = 2 * time.Minute
	maxTombstones = 1 << 17
)

// tombstones remembers the ids of connections that are over, for tombstoneTime at least unless there are more than
// maxTombstones in that time. The relay opens a connection again when it has not heard that it was opened; one that lived
// and ended meanwhile must not live twice.
type tombstones struct {
	recent, older map[uint64]struct{}
	turned        time.Time
}

func (t *tombstones) add(id uint64, now time.Time) {
	if t.recent == nil || len(t.recent) >= maxTombstones || now.Sub(t.turned) >= tombstoneTime {
		t.recent, t.older, t.turned = make(map[uint64]struct{}), t.recent, now
	}
	t.recent[id] = struct{}{}
}

func (t *tombstones) has(id uint64) bool {
	_, recent := t.recent[id]
	_, older := t.older[id]
	return recent || older
}
