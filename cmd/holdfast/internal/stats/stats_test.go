package stats

import (
	"math"
	"testing"
	"time"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	last := -1
	for v := uint64(0); v < 1<<62; v += v/64 + 1 {
		b := bucket(v)
		if b < last || b >= buckets {
			t.Fatalf("value %d is in bucket %d, after bucket %d of %d", v, b, last, buckets)
		}
		last = b
		if off := math.Abs(float64(middle(b)) - float64(v)); off > float64(v)/32+1 {
			t.Fatalf("value %d is given as %d", v, middle(b))
		}
	}
	if b := bucket(math.MaxInt64); b >= buckets {
		t.Fatalf("the longest duration is in bucket %d of %d", b, buckets)
	}
}

func TestPercentiles(t *testing.T) {
	t.Parallel()
	var h Histogram
	var ds []time.Duration
	for i := range 1000 {
		d := time.Duration(1000-i) * time.Millisecond
		h.Add(d)
		ds = append(ds, d)
	}
	for fraction, want := range map[float64]time.Duration{
		0: time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second,
	} {
		if got := Percentile(ds, fraction); got != want {
			t.Errorf("exact, fraction %v: got %s, want %s", fraction, got, want)
		}
		if got := h.Percentile(fraction); (got - want).Abs() > want/32+1 {
			t.Errorf("histogram, fraction %v: got %s, want about %s", fraction, got, want)
		}
	}
}

func TestPercentilesOfNothing(t *testing.T) {
	t.Parallel()
	var h Histogram
	if got := h.Percentile(0.5); got != 0 {
		t.Errorf("histogram: got %s", got)
	}
	if got := Percentile(nil, 0.5); got != 0 {
		t.Errorf("exact: got %s", got)
	}
	h.Add(-time.Second)
	if got := h.Percentile(0.5); got != 0 {
		t.Errorf("a negative duration: got %s", got)
	}
}
