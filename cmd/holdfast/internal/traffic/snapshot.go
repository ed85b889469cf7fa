package traffic

import "maps"

// Snapshot is what the clients saw so far.
type Snapshot struct {
	// Connected is the number of live logical connections.
	Connected int
	// Disconnected counts by ingress how often a client of it was disconnected.
	Disconnected map[string]uint64
	Totals
}

// Snapshot returns what the clients saw so far. What is under way counts as in flight.
func (f *Fleet) Snapshot() Snapshot {
	f.mu.Lock()
	snapshot := Snapshot{Connected: len(f.live), Disconnected: map[string]uint64{}, Totals: f.ended}
	for name, in := range f.ingresses {
		snapshot.Disconnected[name] = in.disconnected
	}
	live := maps.Clone(f.live)
	f.mu.Unlock()
	for _, s := range live {
		s.mu.Lock()
		snapshot.Totals = snapshot.plus(s.runningLocked())
		s.mu.Unlock()
	}
	return snapshot
}

// IngressOf returns the ingress that the client of a live logical connection came in through.
func (f *Fleet) IngressOf(connectionID string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.live[connectionID]
	if !ok {
		return "", false
	}
	if now := s.link.ingress(); now != "" {
		return now, true
	}
	return s.ingress, true
}
