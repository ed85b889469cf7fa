package ordering

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// TestRandomSchedules goes through long runs, in which paths break and are replaced all the time. HOLDFAST_SEED repeats one.
func TestRandomSchedules(t *testing.T) {
	runs, seed := 40, rand.Uint64()
	if testing.Short() || raceEnabled {
		runs = 4
	}
	if text := os.Getenv("HOLDFAST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs, seed = 1, n
	}
	for n := range runs {
		randomSchedule(t, seed+uint64(n))
	}
}

func randomSchedule(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	messages := [2][]Message{randomMessages(r), randomMessages(r)}
	s := newSchedule(messages, 200+r.IntN(2000), r.IntN(2) == 0)
	steps := scheduleSteps(s.w.plan, 10+r.IntN(100))
	for range 4 * (len(messages[0]) + len(messages[1])) {
		for ok := false; !ok; {
			var err error
			if ok, err = s.try(steps[r.IntN(len(steps))]); err != nil {
				t.Fatalf("HOLDFAST_SEED=%d: %d steps, the last of which are\n%s", seed, len(s.run), lastSteps(err, 60))
			}
		}
	}
	if err := s.finish(); err != nil {
		t.Fatalf("HOLDFAST_SEED=%d: %d steps, the last of which are\n%s", seed, len(s.run), lastSteps(err, 60))
	}
	t.Logf("HOLDFAST_SEED=%d: %s", seed, s.summary())
}

// randomMessages makes some thousand messages of many sizes, a few of which pass any window, with the ends that a direction
// may have.
func randomMessages(r *rand.Rand) []Message {
	ms := make([]Message, 500+r.IntN(2000))
	for n := range ms {
		size := 4 + r.IntN(100)
		if r.IntN(200) == 0 {
			size = 4000
		}
		payload := make([]byte, size)
		binary.BigEndian.PutUint32(payload, uint32(n))
		ms[n] = Message{Kind: Binary, Payload: payload}
	}
	if r.IntN(2) == 0 {
		ms = append(ms, Message{Kind: HalfClose})
	}
	if r.IntN(2) == 0 {
		ms = append(ms, Message{Kind: Close})
	}
	return ms
}
