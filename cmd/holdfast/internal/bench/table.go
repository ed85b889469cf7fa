package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// Write writes the result for people: the ratios first.
func (r *Result) Write(w io.Writer) error {
	p := &page{w: w}
	for _, failure := range r.Failures {
		p.line("FAILED: %s", failure)
	}
	if len(r.Failures) > 0 {
		p.line("With a failure the figures below are not to be relied on.\n")
	}
	for _, subject := range slices.Sorted(maps.Keys(r.Skipped)) {
		p.line("SKIPPED: %s: %s\n", subject, r.Skipped[subject])
	}
	p.goals(r)
	p.cells(r, "Messages a second", func(w *Window) string { return fmt.Sprintf("%.0f", w.PerSecond) })
	p.processes(r, "CPU seconds for a million messages", func(w *Window) map[string]float64 { return w.CPU },
		func(v float64) string { return fmt.Sprintf("%.2f", v) })
	p.processes(r, "Resident memory", func(w *Window) map[string]float64 { return w.RSS }, bytesText)
	p.cells(r, "Round trip, p50 / p99", func(w *Window) string {
		return microsecondsText(w.RTTp50) + " / " + microsecondsText(w.RTTp99)
	})
	p.cells(r, "Messages in a batch", func(w *Window) string { return fmt.Sprintf("%.1f", w.PerBatch) })
	p.scenarios(r)
	p.line("%s, grpc %s, nginx %s, haproxy %s, Linux %s, %d × %s; took %.0f s", r.Versions.Go, orNone(r.Versions.GRPC),
		orNone(r.Versions.Nginx), orNone(r.Versions.HAProxy), r.Versions.Kernel, r.Versions.Cores, r.Versions.CPU, r.Seconds)
	return p.err
}

func orNone(version string) string {
	if version == "" {
		return "none"
	}
	return version
}

// page writes until something goes wrong.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, values ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", values...)
	}
}

func (p *page) table(title string, heading []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	p.line("%s", title)
	if p.err == nil {
		p.err = output.Table(p.w, heading, rows)
	}
	p.line("")
}

func (p *page) goals(r *Result) {
	var rows [][]string
	for _, v := range r.Goals {
		bound := fmt.Sprintf(">= %.2f", v.Least)
		if v.Most > 0 {
			bound = fmt.Sprintf("<= %.2f", v.Most)
		}
		measured := "-"
		if v.Measured != nil {
			measured = fmt.Sprintf("%.3f", *v.Measured)
		}
		rows = append(rows, []string{v.Goal + " " + bound, measured, v.Verdict})
	}
	p.table("Ratios of medians; 64 byte messages at saturation unless said", []string{"GOAL", "MEASURED", "VERDICT"}, rows)
}

// place is a load without its subject.
type place struct {
	load          string
	size, streams int
}

// places returns the loads in the order in which they were measured, and the subjects.
func (r *Result) places() (places []place, subjects []string) {
	for _, c := range r.Cells {
		if at := (place{c.Load, c.Size, c.Streams}); !slices.Contains(places, at) {
			places = append(places, at)
		}
		if !slices.Contains(subjects, c.Subject) {
			subjects = append(subjects, c.Subject)
		}
	}
	return places, subjects
}

// cells writes one figure of every cell: a row for each load, a column for each subject.
func (p *page) cells(r *Result, title string, figure func(*Window) string) {
	places, subjects := r.places()
	heading := []string{"LOAD", "BYTES", "STREAMS"}
	for _, s := range subjects {
		heading = append(heading, strings.ToUpper(s))
	}
	var rows [][]string
	for _, at := range places {
		row := at.columns()
		for _, s := range subjects {
			text := "-"
			if c := r.find(s, at.load, at.size, at.streams); c != nil && c.Median != nil {
				text = figure(c.Median)
				if c.behind() {
					text += " (behind)"
				}
			}
			row = append(row, text)
		}
		rows = append(rows, row)
	}
	p.table(title, heading, rows)
}

func (a place) columns() []string {
	return []string{a.load, strconv.Itoa(a.size), strconv.Itoa(a.streams)}
}

// processes writes a figure that each process has for itself.
func (p *page) processes(r *Result, title string, figures func(*Window) map[string]float64, text func(float64) string) {
	var rows [][]string
	for _, c := range r.Cells {
		if c.Median == nil {
			continue
		}
		values := figures(c.Median)
		var each []string
		for _, name := range slices.Sorted(maps.Keys(values)) {
			each = append(each, name+" "+text(values[name]))
		}
		rows = append(rows, append(place{c.Load, c.Size, c.Streams}.columns(), c.Subject, strings.Join(each, ", ")))
	}
	p.table(title, []string{"LOAD", "BYTES", "STREAMS", "SUBJECT", "PROCESSES"}, rows)
}

func (p *page) scenarios(r *Result) {
	var idle [][]string
	for _, c := range r.Idle {
		idle = append(idle, []string{
			c.name(), bytesText(c.Relay), c.echoText(), c.ratioText(),
		})
	}
	p.table("Resident memory of an idle client", []string{"CLIENTS", "RELAY", "BARE ECHO SERVER", "RATIO"}, idle)
	if m := r.Migration; m != nil {
		p.table(fmt.Sprintf("Moving %d connections to and fro", m.Streams),
			[]string{"BEFORE", "DURING", "RATIO", "RELOADS", "MOVES", "PAUSE P50", "PAUSE P99", "RTT P99 BEFORE", "EVENTS MISSED", "UNFINISHED"},
			[][]string{{
				fmt.Sprintf("%.0f/s", m.Before.PerSecond), fmt.Sprintf("%.0f/s", m.During.PerSecond), fmt.Sprintf("%.3f", m.Ratio),
				strconv.Itoa(m.Reloads), fmt.Sprint(m.Moved), microsecondsText(m.PauseP50), microsecondsText(m.PauseP99),
				microsecondsText(m.Before.RTTp99), fmt.Sprint(m.Missed), strconv.Itoa(m.Unfinished),
			}})
	}
	if s := r.Slow; s != nil {
		p.table(fmt.Sprintf("%d streams beside a client that reads nothing", s.Streams), []string{"WITHOUT", "WITH", "RATIO"},
			[][]string{{fmt.Sprintf("%.0f/s", s.Without), fmt.Sprintf("%.0f/s", s.With), fmt.Sprintf("%.3f", s.Ratio)}})
	}
	p.growth(r.Growth)
	p.clients(r)
}

func (p *page) growth(curve *Curve) {
	if curve == nil {
		return
	}
	var rows [][]string
	for _, g := range curve.Points {
		rows = append(rows, []string{
			strconv.Itoa(g.Streams), fmt.Sprintf("%.0f", g.Window.PerSecond), fmt.Sprintf("%.2f µs", g.CPU), bytesText(g.RSS),
			g.moveText(),
		})
	}
	p.table("Growth", []string{"STREAMS", "MESSAGES A SECOND", "RELAY CPU A MESSAGE", "RELAY MEMORY A STREAM", "MOVES"}, rows)
	if curve.Stopped != "" {
		p.line("Growth stopped %s\n", curve.Stopped)
	}
}

// sayCells says in one line what the subjects did in a cell.
func (r *run) sayCells(cells []*Cell) {
	var each []string
	for _, c := range cells {
		text := "failed"
		if c.Median != nil {
			text = fmt.Sprintf("%.0f/s", c.Median.PerSecond)
		}
		each = append(each, c.Subject+" "+text)
	}
	if len(cells) > 0 {
		r.say("%s, %d streams, %d bytes: %s", cells[0].Load, cells[0].Streams, cells[0].Size, strings.Join(each, ", "))
	}
}

// bytesText says bytes for people.
func bytesText(b float64) string {
	switch {
	case b >= 1<<30:
		return fmt.Sprintf("%.1f GiB", b/(1<<30))
	case b >= 1<<20:
		return fmt.Sprintf("%.1f MiB", b/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", b/(1<<10))
}

// microsecondsText says microseconds for people.
func microsecondsText(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.2f s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.1f ms", us/1e3)
	}
	return fmt.Sprintf("%.0f µs", us)
}
