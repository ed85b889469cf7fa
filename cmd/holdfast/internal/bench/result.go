package bench

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Result is everything that a run found out.
type Result struct {
	Versions Versions  `json:"versions"`
	Config   Config    `json:"config"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	// Skipped says, by subject, why it was left out.
	Skipped map[string]string `json:"skipped,omitempty"`
	// Failures are messages lost, doubled, reordered or corrupted, and what could not be measured at all. With one
	// of them the figures are not to be relied on.
	Failures []string `json:"failures,omitempty"`

	Cells     []*Cell     `json:"cells,omitempty"`
	Idle      []IdleCase  `json:"idle,omitempty"`
	Migration *Moves      `json:"migration,omitempty"`
	Slow      *SlowReader `json:"slow,omitempty"`
	Growth    *Curve      `json:"growth,omitempty"`
	Clients   []*Pair     `json:"clients,omitempty"`
	Resume    *Resumes    `json:"resume,omitempty"`
	Goals     []Verdict   `json:"goals"`
}

// Cell is one load on one subject.
type Cell struct {
	Subject string `json:"subject"`
	Load    string `json:"load"`
	Size    int    `json:"size"`
	Streams int    `json:"streams"`
	// Inflight is the number of messages that each stream had under way; in an open loop 0.
	Inflight int `json:"inflight,omitempty"`
	// Rate is the number of messages that an open loop sends in a second.
	Rate   float64  `json:"rate,omitempty"`
	Rounds []Window `json:"rounds"`
	// Median has the median of each figure by itself; nil when a round failed.
	Median *Window `json:"median"`
}

// name says which cell it is.
func (c *Cell) name() string {
	return fmt.Sprintf("%s, %s, %d streams, %d bytes", c.Subject, c.Load, c.Streams, c.Size)
}

// settle computes the medians when all rounds are there.
func (c *Cell) settle(rounds int) {
	if len(c.Rounds) != rounds {
		return
	}
	c.Median = medians(c.Rounds)
}

// medians returns the median of each figure by itself.
func medians(rounds []Window) *Window {
	of := func(get func(Window) float64) float64 {
		var values []float64
		for _, w := range rounds {
			values = append(values, get(w))
		}
		return median(values)
	}
	m := &Window{
		Seconds:   of(func(w Window) float64 { return w.Seconds }),
		Messages:  uint64(of(func(w Window) float64 { return float64(w.Messages) })),
		PerSecond: of(func(w Window) float64 { return w.PerSecond }),
		PerBatch:  of(func(w Window) float64 { return w.PerBatch }),
		RTTp50:    of(func(w Window) float64 { return w.RTTp50 }),
		RTTp99:    of(func(w Window) float64 { return w.RTTp99 }),
		CPU:       map[string]float64{}, RSS: map[string]float64{},
	}
	for name := range rounds[0].CPU {
		m.CPU[name] = of(func(w Window) float64 { return w.CPU[name] })
	}
	for name := range rounds[0].RSS {
		m.RSS[name] = of(func(w Window) float64 { return w.RSS[name] })
	}
	return m
}

// median returns the middle one, or the mean of the middle two; 0 when there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// ratio returns a/b, and false when there is no such number.
func ratio(a, b float64) (float64, bool) {
	if b <= 0 || a < 0 {
		return 0, false
	}
	return a / b, true
}

// find returns a cell; nil when it was not measured.
func (r *Result) find(subject, load string, size, streams int) *Cell {
	for _, c := range r.Cells {
		if c.Subject == subject && c.Load == load && c.Size == size && c.Streams == streams {
			return c
		}
	}
	return nil
}

// cell returns the medians of a cell; nil when it was not measured, or failed.
func (r *Result) cell(subject, load string, size, streams int) *Window {
	if c := r.find(subject, load, size, streams); c != nil {
		return c.Median
	}
	return nil
}

// behind reports that an open loop got back clearly less than it sent: its round trips say how long the queue grew,
// and no more.
func (c *Cell) behind() bool {
	return c.Rate > 0 && c.Median != nil && c.Median.PerSecond < 0.95*c.Rate
}

// Err returns an error when something failed. Goals that were missed are figures, and no failures.
func (r *Result) Err() error {
	var errs []error
	for _, f := range r.Failures {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}
