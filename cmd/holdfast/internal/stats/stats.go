// Package stats measures durations: many of them in bounded memory, or few of them exactly.
package stats

import (
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// Each power of two is divided into so many buckets: a percentile is at most 1/32 off.
	subBits = 5
	buckets = (64 - subBits) << subBits
)

// Histogram counts durations in buckets that grow with them. It is safe for concurrent use; the zero
// Histogram is empty.
type Histogram struct {
	counts [buckets]atomic.Uint64
	total  atomic.Uint64
}

// Add counts one duration. Negative ones count as 0.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))].Add(1)
	h.total.Add(1)
}

// Percentile returns the duration that a fraction of those counted does not pass; 0 when there is none.
func (h *Histogram) Percentile(fraction float64) time.Duration {
	left := rank(fraction, h.total.Load())
	for b := range h.counts {
		n := h.counts[b].Load()
		if n >= left && n > 0 {
			return time.Duration(middle(b))
		}
		left -= min(n, left)
	}
	return 0
}

// Percentile returns the duration that a fraction of ds does not pass; 0 when ds is empty. It sorts ds.
func Percentile(ds []time.Duration, fraction float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[rank(fraction, uint64(len(ds)))-1]
}

// rank returns which one of total, from 1, is at the fraction.
func rank(fraction float64, total uint64) uint64 {
	n := uint64(fraction * float64(total))
	if float64(n) < fraction*float64(total) {
		n++
	}
	return max(n, 1)
}

// bucket returns where a value is counted: values below 2^subBits have a bucket each.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// middle returns the value in the middle of a bucket.
func middle(b int) uint64 {
	shift := max(b>>subBits-1, 0)
	low := uint64(b-shift<<subBits) << shift
	return low + 1<<shift/2
}
