package payload

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCloneOfEverySize(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 127, 128, 129, 1 << 10, 1<<14 - 1, 1 << 14, 1<<14 + 1, 1 << 20} {
		for range 3 { // a fresh one, and ones that were used before
			want := bytes.Repeat([]byte{byte(n)}, n)
			got := Clone(want)
			if !bytes.Equal(got, want) {
				t.Fatalf("the copy of %d bytes has %d", n, len(got))
			}
			if n > 0 && &got[0] == &want[0] {
				t.Fatalf("%d bytes are shared with what was copied", n)
			}
			if n > 0 && n <= 1<<maxBits && cap(got) > max(2*n, 1<<minBits) {
				t.Errorf("%d bytes take room for %d", n, cap(got))
			}
			clear(got)
			Free(got)
		}
	}
}

// What has a room of no class is left alone.
func TestFreeOfOthers(*testing.T) {
	for _, b := range [][]byte{nil, {}, make([]byte, 1), make([]byte, 65), make([]byte, 1<<20), make([]byte, 100)[:0:70]} {
		Free(b)
	}
}

// No two callers ever hold the same memory.
func TestNothingIsLentTwice(t *testing.T) {
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			want := bytes.Repeat([]byte{byte(worker)}, 1<<maxBits)
			var held [][]byte
			for range 20_000 {
				if len(held) < 50 {
					held = append(held, Clone(want[:1+random.IntN(300)]))
					continue
				}
				i := random.IntN(len(held))
				if !bytes.Equal(held[i], want[:len(held[i])]) {
					t.Error("somebody else wrote into it")
					return
				}
				Free(held[i])
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
			}
		})
	}
	wg.Wait()
}
