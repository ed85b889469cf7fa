package verify

import "slices"

// maxGaps bounds the memory of a Sequence: above it the oldest gap is given up as lost.
const maxGaps = 1024

// Sequence judges the numbers that arrive in one direction of one logical connection: from 1, each once,
// in order, without a gap. The zero Sequence has seen nothing.
type Sequence struct {
	highest uint64 // the highest number that was seen
	gaps    []gap  // what was not seen below highest; ascending, apart from each other
	tally   Tally  // its Lost has only what was given up; see Tally
}

// gap is a range of numbers that were not seen, both ends included.
type gap struct{ first, last uint64 }

// Saw judges the next number that arrived.
func (s *Sequence) Saw(number uint64) {
	switch {
	case number == 0:
		s.tally.Corrupted++
	case number > s.highest:
		s.advance(number)
	case s.fill(number):
		s.tally.Reordered++
	default:
		s.tally.Doubled++
	}
}

// SawCorrupted notes a message that is not what was sent. Where its number is the next one it takes that
// place, so that one fault is not counted as two.
func (s *Sequence) SawCorrupted(number uint64) {
	s.tally.Corrupted++
	if number == s.highest+1 {
		s.advance(number)
	}
}

// Highest returns the highest number that was seen, 0 when there was none.
func (s *Sequence) Highest() uint64 { return s.highest }

// Prefix judges what arrived so far, for a direction that was cut: all up to the highest number had to
// arrive, and nothing is known of what comes after it.
func (s *Sequence) Prefix() Tally {
	t := s.tally
	for _, g := range s.gaps {
		t.Lost += g.last - g.first + 1
	}
	return t
}

// Complete judges a direction in which all through sent had to arrive. Numbers above sent were never
// sent: they count as corrupted.
func (s *Sequence) Complete(sent uint64) Tally {
	t := s.Prefix()
	if sent > s.highest {
		t.Lost += sent - s.highest
	} else {
		t.Corrupted += s.highest - sent
	}
	return t
}

func (s *Sequence) advance(number uint64) {
	if number > s.highest+1 {
		s.gaps = append(s.gaps, gap{s.highest + 1, number - 1})
	}
	s.highest = number
	if len(s.gaps) > maxGaps {
		s.tally.Lost += s.gaps[0].last - s.gaps[0].first + 1
		s.gaps = slices.Delete(s.gaps, 0, 1)
	}
}

// fill takes number out of the gap that it is in and reports whether there was one.
func (s *Sequence) fill(number uint64) bool {
	i, found := slices.BinarySearchFunc(s.gaps, number, func(g gap, n uint64) int {
		switch {
		case g.last < n:
			return -1
		case g.first > n:
			return 1
		}
		return 0
	})
	if !found {
		return false
	}
	g := s.gaps[i]
	var rest []gap
	if g.first < number {
		rest = append(rest, gap{g.first, number - 1})
	}
	if number < g.last {
		rest = append(rest, gap{number + 1, g.last})
	}
	s.gaps = slices.Replace(s.gaps, i, i+1, rest...)
	return true
}
