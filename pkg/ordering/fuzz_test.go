package ordering

import "testing"

// FuzzSchedule lets the input choose every step of a long run. The first bytes choose the window, whether owners are slow,
// and how the directions end.
func FuzzSchedule(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a connection that is moved back and forth while its paths break"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var choice [3]byte
		n := copy(choice[:], input)
		input = input[n:min(len(input), 1000)]
		window := []int{tightWindow, 6 * tightWindow, wideWindow}[choice[0]%3]
		s := newSchedule([2][]Message{fuzzMessages(choice[1]), fuzzMessages(choice[2])}, window, choice[0] >= 128)
		steps := scheduleSteps(s.w.plan, 0)
		for _, b := range input {
			if _, err := s.try(steps[int(b)%len(steps)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.finish(); err != nil {
			t.Fatal(err)
		}
	})
}

// fuzzMessages makes some dozen messages and the ends that the byte chooses.
func fuzzMessages(choice byte) []Message {
	ends := [][]MessageKind{nil, {HalfClose}, {Close}, {HalfClose, Close}}[choice%4]
	ms := smalls(0, int(choice/4), nil)
	if choice >= 128 {
		ms = append(ms, large(255))
	}
	return append(ms, smalls(0, 0, ends)...)
}

// FuzzLegSchedule lets the input choose every step of a long run of the whole chain. The first bytes choose the window, whether
// owners and writers are slow, and how the directions end.
func FuzzLegSchedule(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("a client that moves back and forth between two relays while its links and their paths break"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var choice [3]byte
		n := copy(choice[:], input)
		input = input[n:min(len(input), 1000)]
		window := []int{tightWindow, 6 * tightWindow, wideWindow}[choice[0]%3]
		s := newLegSchedule(fuzzMessages(choice[1]), fuzzMessages(choice[2]), window, choice[0] >= 128, choice[0]%128 >= 64)
		for _, b := range input {
			if _, err := s.try(s.steps[int(b)%len(s.steps)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.finish(); err != nil {
			t.Fatal(err)
		}
	})
}
