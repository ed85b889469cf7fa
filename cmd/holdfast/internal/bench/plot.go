package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// plotStreams is the number of streams of the plot of CPU time; where it was not measured, the largest one that was.
const plotStreams = 1000

// WritePlots writes a plot of everything that there are figures for into a folder.
func (r *Result) WritePlots(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var errs []error
	for name, plot := range r.plots() {
		errs = append(errs, os.WriteFile(filepath.Join(dir, name), plot, 0o644))
	}
	return errors.Join(errs...)
}

// plots returns the plots by the names of their files.
func (r *Result) plots() map[string][]byte {
	plots := map[string][]byte{}
	if c := r.throughputChart(); len(c.lines) > 0 {
		plots["throughput.svg"] = c.draw()
	}
	if b := r.cpuBars(); len(b.names) > 0 {
		plots["cpu.svg"] = b.draw()
	}
	if r.Growth != nil && len(r.Growth.Points) > 0 {
		for name, c := range r.growthCharts() {
			plots[name] = c.draw()
		}
	}
	return plots
}

// throughputChart shows the throughput over the number of streams. The raw relay is far above all others, so the
// scale is logarithmic.
func (r *Result) throughputChart() chart {
	c := chart{title: "Throughput at saturation, 64 byte messages", y: "messages a second (logarithmic)", logY: true}
	_, subjects := r.places()
	for _, subject := range subjects {
		l := line{name: subject}
		for _, streams := range r.measuredStreams() {
			if w := r.cell(subject, Saturation, goalSize, streams); w != nil && w.PerSecond > 0 {
				l.points = append(l.points, [2]float64{float64(streams), w.PerSecond})
			}
		}
		if len(l.points) > 0 {
			c.lines = append(c.lines, l)
		}
	}
	return c
}

// measuredStreams returns the numbers of streams that were measured at saturation, the least first.
func (r *Result) measuredStreams() []int {
	var all []int
	for _, c := range r.Cells {
		if c.Load == Saturation && c.Size == goalSize && c.Median != nil {
			all = append(all, c.Streams)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// cpuBars shows where the CPU time of a message goes.
func (r *Result) cpuBars() bars {
	measured := r.measuredStreams()
	if len(measured) == 0 {
		return bars{}
	}
	streams := plotStreams
	if !slices.Contains(measured, streams) {
		streams = measured[len(measured)-1]
	}
	b := bars{
		title: fmt.Sprintf("CPU time of a message at saturation, 64 bytes, %d streams", streams), x: "subject", y: "µs a message",
		parts: []string{client, "nginx", "haproxy", "relay", "echo", "appserver"},
	}
	_, subjects := r.places()
	for _, subject := range subjects {
		if w := r.cell(subject, Saturation, goalSize, streams); w != nil {
			// Seconds for a million are microseconds for one.
			b.names, b.values = append(b.names, subject), append(b.values, w.CPU)
		}
	}
	return b
}

// growthCharts shows how the relay does with more and more streams, each beside what would be ideal: the same cost
// for each, and a time that grows with their number and no faster.
func (r *Result) growthCharts() map[string]chart {
	points := r.Growth.Points
	series := func(name string, figure func(GrowthPoint) float64) line {
		l := line{name: name}
		for _, p := range points {
			l.points = append(l.points, [2]float64{float64(p.Streams), figure(p)})
		}
		return l
	}
	cost := func(p GrowthPoint) float64 { return p.CPU }
	memory := func(p GrowthPoint) float64 { return p.RSS / (1 << 10) }
	moves := line{name: "relay"}
	for _, p := range points {
		if p.Unmoved == "" {
			moves.points = append(moves.points, [2]float64{float64(p.Streams), p.MoveSeconds})
		}
	}
	// The smallest number carries what the process costs by itself; the ideal starts at the next one.
	base := points[min(1, len(points)-1)]
	flat := func(v float64) line {
		l := series("flat", func(GrowthPoint) float64 { return v })
		l.ideal = true
		return l
	}
	linear := series("linear", func(p GrowthPoint) float64 { return base.MoveSeconds * float64(p.Streams) / float64(base.Streams) })
	linear.ideal = true
	charts := map[string]chart{
		"growth-cost.svg": {
			title: "Relay CPU time of a message", y: "µs a message", lines: []line{series("relay", cost), flat(base.CPU)},
		},
		"growth-memory.svg": {
			title: "Relay memory of a stream", y: "KiB a stream", lines: []line{series("relay", memory), flat(memory(base))},
		},
	}
	if len(moves.points) > 0 && base.Unmoved == "" {
		charts["growth-moves.svg"] = chart{
			title: "Time to move all connections under load", y: "seconds (logarithmic)", logY: true, lines: []line{moves, linear},
		}
	}
	return charts
}
