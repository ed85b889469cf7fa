package label

import (
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSetIsBounded(t *testing.T) {
	var s Set
	values := make(map[string]int)
	for i := range 10 * Most {
		values[s.Of(fmt.Sprintf("ingress-%d", i))]++
	}
	if len(values) != Most+1 || values[Other] != 9*Most {
		t.Errorf("%d values, %d of them names stand for %q; want %d and %d", len(values), values[Other], Other, Most+1, 9*Most)
	}
	if first, late := s.Of("ingress-0"), s.Of("ingress-100"); first != "ingress-0" || late != Other {
		t.Errorf("a second time: %q and %q", first, late)
	}
}

func TestSetIsBoundedUnderConcurrentUse(t *testing.T) {
	var s Set
	var mu sync.Mutex
	values := make(map[string]bool)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2 * Most {
				v := s.Of(fmt.Sprintf("%d-%d", g, i))
				mu.Lock()
				values[v] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(values) != Most+1 {
		t.Errorf("%d values; want %d", len(values), Most+1)
	}
}
