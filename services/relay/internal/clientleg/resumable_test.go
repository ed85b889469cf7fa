package clientleg

import (
	"testing"
	"time"
)

// No moment of the window gets more than its share of the clients, and none of them waits for longer than the window.
func TestDelaysAreSpread(t *testing.T) {
	const n, bins, window = 5000, 100, 10 * time.Second
	var counts [bins]int
	for i := range n {
		d := delay(i, n, window)
		if d < 0 || d > window {
			t.Fatalf("client %d waits for %v", i, d)
		}
		counts[min(int(d*bins/window), bins-1)]++
	}
	for bin, count := range counts {
		if count > 2*n/bins || count == 0 {
			t.Errorf("bin %d of %d has %d of %d clients", bin, bins, count, n)
		}
	}
	if d := delay(0, 1, 0); d != 0 {
		t.Errorf("with no window one waits for %v", d)
	}
}
