// Package label bounds the values of an attribute of metrics: each value costs memory here and at everyone who stores them.
package label

import "sync"

// Other stands for all values that are one too many.
const Other = "other"

// Most is how many values a Set tells apart.
const Most = 64

// Set is the set of values that an attribute has had. The first Most stand for themselves, for as long as the Set lives, and
// every other one for Other. The zero Set is ready to use; its methods are safe for concurrent use.
type Set struct {
	mu   sync.RWMutex
	seen map[string]struct{} // guarded by mu
}

// Of returns the value to use for a name.
func (s *Set) Of(name string) string {
	s.mu.RLock()
	_, known := s.seen[name]
	full := len(s.seen) >= Most
	s.mu.RUnlock()
	switch {
	case known:
		return name
	case full:
		return Other
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = make(map[string]struct{})
	}
	if _, known := s.seen[name]; !known && len(s.seen) >= Most { // others were faster
		return Other
	}
	s.seen[name] = struct{}{}
	return name
}
