package bench

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// clients writes how kinds of clients compare, and how they come back.
func (p *page) clients(r *Result) {
	var rows [][]string
	for _, c := range r.Clients {
		figure := func(get func(*Window) string) string { return get(c.Median) + " / " + get(c.BesideMedian) }
		rows = append(rows, []string{
			c.Kind + " / " + c.Beside, strconv.Itoa(c.Streams), strconv.Itoa(c.PerConnection), fmt.Sprintf("%.3f", c.Ratio), spread(c.Ratios),
			figure(func(w *Window) string { return fmt.Sprintf("%.2f", w.CPU["relay"]) }),
			figure(func(w *Window) string { return fmt.Sprintf("%.0f", w.PerSecond) }),
			figure(func(w *Window) string { return fmt.Sprintf("%.1f", w.PerBatch) }), fmt.Sprintf("%.4f", c.Alone),
		})
	}
	p.table("Kinds of clients through one relay, in turn: medians; the ratio is that of the relay's CPU a message in one round", []string{
		"KINDS", "STREAMS", "A TCP CONNECTION", "RATIO", "LEAST TO MOST", "RELAY CPU, µs", "MESSAGES A SECOND", "IN A BATCH", "RECEIPTS ALONE, A MESSAGE",
	}, rows)
	if r.Resume == nil {
		return
	}
	rows = nil
	for _, round := range append(slices.Clone(r.Resume.Rounds), r.Resume.Median) {
		var cpu []string
		for _, name := range slices.Sorted(maps.Keys(round.CPU)) {
			cpu = append(cpu, fmt.Sprintf("%s %.2f s", name, round.CPU[name]))
		}
		rows = append(rows, []string{
			strconv.Itoa(len(rows) + 1), fmt.Sprintf("%.3f s", round.Welcomed), fmt.Sprintf("%.3f s", round.Asked),
			fmt.Sprintf("%.3f s", round.Echoed), fmt.Sprintf("%.0f", round.Resent), fmt.Sprintf("%.0f", round.Replayed), strings.Join(cpu, ", "),
		})
	}
	rows[len(rows)-1][0] = "median"
	p.table(fmt.Sprintf("%d clients resume at another relay when theirs is killed, %d a TCP connection", r.Resume.Streams, r.Resume.PerConnection),
		[]string{"ROUND", "KILL TO LAST WELCOME", "FIRST HELLO TO LAST WELCOME", "KILL TO LAST ECHO", "RESENT", "REPLAYED", "CPU"}, rows)
}

// spread returns the least and the most.
func spread(values []float64) string {
	return fmt.Sprintf("%.3f to %.3f", slices.Min(values), slices.Max(values))
}
