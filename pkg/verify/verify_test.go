package verify_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast/holdfast/pkg/verify"
)

func TestSequence(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		saw  []uint64
		sent uint64
		want verify.Tally
	}{
		"nothing sent":              {nil, 0, verify.Tally{}},
		"all in order":              {[]uint64{1, 2, 3, 4}, 4, verify.Tally{}},
		"one lost":                  {[]uint64{1, 2, 4}, 4, verify.Tally{Lost: 1}},
		"the first lost":            {[]uint64{2, 3}, 3, verify.Tally{Lost: 1}},
		"the last lost":             {[]uint64{1, 2}, 3, verify.Tally{Lost: 1}},
		"all lost":                  {nil, 3, verify.Tally{Lost: 3}},
		"one doubled":               {[]uint64{1, 2, 2, 3}, 3, verify.Tally{Doubled: 1}},
		"an old one doubled":        {[]uint64{1, 2, 3, 1}, 3, verify.Tally{Doubled: 1}},
		"two reordered":             {[]uint64{1, 3, 2, 4}, 4, verify.Tally{Reordered: 1}},
		"late into a wide gap":      {[]uint64{1, 6, 3, 5}, 6, verify.Tally{Lost: 2, Reordered: 2}},
		"late, and late once more":  {[]uint64{1, 3, 2, 2}, 3, verify.Tally{Reordered: 1, Doubled: 1}},
		"number 0":                  {[]uint64{0, 1}, 1, verify.Tally{Corrupted: 1}},
		"a number never sent":       {[]uint64{1, 2, 3}, 2, verify.Tally{Corrupted: 1}},
		"one lost and one doubled":  {[]uint64{1, 3, 3}, 3, verify.Tally{Lost: 1, Doubled: 1}},
		"both ends of a gap filled": {[]uint64{5, 1, 4, 2, 3}, 5, verify.Tally{Reordered: 4}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s verify.Sequence
			for _, n := range c.saw {
				s.Saw(n)
			}
			if got := s.Complete(c.sent); got != c.want {
				t.Errorf("saw %v of %d: got %v, want %v", c.saw, c.sent, got, c.want)
			}
		})
	}
}

// A cut direction has to be an exact prefix: its end may be missing, and nothing before it.
func TestSequencePrefix(t *testing.T) {
	t.Parallel()
	var s verify.Sequence
	s.Saw(1)
	s.Saw(2)
	if got := s.Prefix(); !got.Clean() {
		t.Errorf("1, 2 is a prefix; got %v", got)
	}
	s.Saw(4)
	if got, want := s.Prefix(), (verify.Tally{Lost: 1}); got != want {
		t.Errorf("1, 2, 4 is no prefix; got %v, want %v", got, want)
	}
}

// Memory stays bounded when every second number is missing, and the loss is still counted.
func TestSequenceManyGaps(t *testing.T) {
	t.Parallel()
	var s verify.Sequence
	const through = 100_000
	for n := uint64(2); n <= through; n += 2 {
		s.Saw(n)
	}
	if got, want := s.Complete(through), (verify.Tally{Lost: through / 2}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	random := rand.NewChaCha8([32]byte{1})
	h := verify.Header{Tag: 7, Number: 3, Sent: time.Unix(5, 17)}
	for _, size := range []int{verify.MinSize, verify.MinSize + 1, 64, 4096} {
		b, err := verify.Encode(h, size, random)
		if err != nil {
			t.Fatal(err)
		}
		got, err := verify.Decode(b)
		if err != nil || got.Tag != h.Tag || got.Number != h.Number || !got.Sent.Equal(h.Sent) || len(b) != size {
			t.Errorf("size %d: got %+v, %d bytes, %v", size, got, len(b), err)
		}
	}
	if _, err := verify.Encode(h, verify.MinSize-1, random); err == nil {
		t.Error("a message below the least size was made")
	}
}

// Every single bit that changes on the way is found.
func TestMessageCorruption(t *testing.T) {
	t.Parallel()
	sound := encode(t, 7, 3)
	for i := range len(sound) * 8 {
		b := bytes.Clone(sound)
		b[i/8] ^= 1 << (i % 8)
		if _, err := verify.Decode(b); err == nil {
			t.Fatalf("bit %d changed and the message was taken for sound", i)
		}
	}
	if _, err := verify.Decode(sound[:len(sound)-1]); !errors.Is(err, verify.ErrChecksum) {
		t.Errorf("a shortened message: got %v, want %v", err, verify.ErrChecksum)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	corrupted := encode(t, 7, 2)
	corrupted[40] ^= 1
	otherForm := encode(t, 7, 2)
	otherForm[0] ^= 1
	cases := map[string]struct {
		saw  [][]byte
		want verify.Tally
	}{
		"sound":                    {[][]byte{encode(t, 7, 1), encode(t, 7, 2)}, verify.Tally{}},
		"lost":                     {[][]byte{encode(t, 7, 1)}, verify.Tally{Lost: 1}},
		"doubled":                  {[][]byte{encode(t, 7, 1), encode(t, 7, 1), encode(t, 7, 2)}, verify.Tally{Doubled: 1}},
		"reordered":                {[][]byte{encode(t, 7, 2), encode(t, 7, 1)}, verify.Tally{Reordered: 1}},
		"corrupted":                {[][]byte{encode(t, 7, 1), corrupted}, verify.Tally{Corrupted: 1}},
		"of another connection":    {[][]byte{encode(t, 7, 1), encode(t, 8, 2)}, verify.Tally{Corrupted: 1, Lost: 1}},
		"its form made unreadable": {[][]byte{encode(t, 7, 1), otherForm}, verify.Tally{Corrupted: 1, Lost: 1}},
	}
	for name, c := range cases {
		for _, tag := range []uint64{0, 7} {
			j := verify.NewJudge(tag)
			for _, payload := range c.saw {
				j.Saw(payload)
			}
			if got := j.Complete(2); got != c.want {
				t.Errorf("%s, tag %d: got %v, want %v", name, tag, got, c.want)
			}
		}
	}
}

// What a person types is no fault of the traffic.
func TestJudgeLetsOtherFormsThrough(t *testing.T) {
	t.Parallel()
	j := verify.NewJudge(0)
	if _, sound := j.Saw([]byte("good morning")); sound || !j.Prefix().Clean() {
		t.Errorf("sound %v, %v", sound, j.Prefix())
	}
}

func TestTallyBeyond(t *testing.T) {
	t.Parallel()
	echo, up := verify.Tally{Lost: 3, Doubled: 1}, verify.Tally{Lost: 2, Reordered: 1}
	if got, want := echo.Beyond(up), (verify.Tally{Lost: 1, Doubled: 1}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	if d, ok := verify.ParseStartCount(verify.StartCount(20 * time.Millisecond)); !ok || d != 20*time.Millisecond {
		t.Errorf("start: got %v, %v", d, ok)
	}
	if n, ok := verify.ParseCount(verify.Count(17)); !ok || n != 17 {
		t.Errorf("count: got %d, %v", n, ok)
	}
	stopped := verify.Stopped{Counted: 5, Received: 9, Tally: verify.Tally{Lost: 1, Doubled: 2, Reordered: 3, Corrupted: 4}}
	const line = "stopped counted=5 received=9 lost=1 doubled=2 reordered=3 corrupted=4"
	if got := stopped.String(); got != line {
		t.Errorf("got %q, want %q", got, line)
	}
	if got, ok := verify.ParseStopped(line); !ok || got != stopped {
		t.Errorf("stopped: got %+v, %v", got, ok)
	}
	for _, text := range []string{"", "count", "count ", "count on me", "stop", "stopped", line + " more", "Count 1"} {
		_, start := verify.ParseStartCount(text)
		_, count := verify.ParseCount(text)
		_, stopped := verify.ParseStopped(text)
		if start || count || stopped {
			t.Errorf("%q was taken for a line: %v %v %v", text, start, count, stopped)
		}
	}
}

func encode(t *testing.T, tag, number uint64) []byte {
	t.Helper()
	b, err := verify.Encode(verify.Header{Tag: tag, Number: number, Sent: time.Unix(1, 0)}, 64, rand.NewChaCha8([32]byte{2}))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
