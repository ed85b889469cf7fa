package bench

import "slices"

// chart has lines over the number of streams, which is drawn to a logarithmic scale.
type chart struct {
	title, y string
	logY     bool
	lines    []line
}

type line struct {
	name   string
	points [][2]float64
	// ideal is a line to compare with.
	ideal bool
}

func (c chart) draw() []byte {
	d := newDrawing(c.title)
	d.axes("streams (logarithmic)", c.y)
	x, y := c.scales()
	c.ticks(d, x, y)
	for i, l := range c.lines {
		colour := palette[i%len(palette)]
		if l.ideal {
			colour = "#999999"
		}
		var points [][2]float64
		for _, p := range l.points {
			points = append(points, [2]float64{x.at(p[0]), y.at(p[1])})
		}
		d.path(points, colour, l.ideal)
		d.legend(i, colour, l.name)
	}
	return d.bytes()
}

// scales returns scales that all points fit in.
func (c chart) scales() (x, y scale) {
	var xs, ys []float64
	for _, l := range c.lines {
		for _, p := range l.points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	x = scale{slices.Min(xs), slices.Max(xs), true, plotLeft, plotWidth - plotRight}
	y = scale{0, slices.Max(ys) * 1.05, false, plotHeight - plotBottom, plotTop}
	if c.logY {
		y.least, y.log = max(slices.Min(ys), y.most/1e9), true
	}
	return x, y
}

func (c chart) ticks(d *drawing, x, y scale) {
	var streams []float64
	for _, l := range c.lines {
		for _, p := range l.points {
			if !slices.Contains(streams, p[0]) {
				streams = append(streams, p[0])
			}
		}
	}
	for _, v := range streams {
		d.rule(x.at(v), plotHeight-plotBottom, x.at(v), plotHeight-plotBottom+5, "currentColor")
		d.text(x.at(v), plotHeight-plotBottom+19, "middle", short(v))
	}
	values := steps(y.most)
	if c.logY {
		values = decades(y.least, y.most)
	}
	for _, v := range values {
		d.heightMark(y, v)
	}
}

// heightMark draws a figure of the vertical axis with its line.
func (d *drawing) heightMark(y scale, v float64) {
	if v > y.least {
		d.rule(plotLeft, y.at(v), plotWidth-plotRight, y.at(v), "#e4e4e4")
	}
	d.text(plotLeft-8, y.at(v)+4, "end", short(v))
}

// bars has a bar for each name, stacked of parts.
type bars struct {
	title, x, y string
	names       []string
	parts       []string
	values      []map[string]float64 // by name, then part
}

func (b bars) draw() []byte {
	d := newDrawing(b.title)
	most := 0.0
	for _, parts := range b.values {
		sum := 0.0
		for _, v := range parts {
			sum += v
		}
		most = max(most, sum)
	}
	y := scale{0, most * 1.05, false, plotHeight - plotBottom, plotTop}
	for _, v := range steps(y.most) {
		d.heightMark(y, v)
	}
	slot := float64(plotWidth-plotRight-plotLeft) / float64(max(len(b.names), 1))
	for i, name := range b.names {
		left, base := plotLeft+slot*(float64(i)+0.2), 0.0
		for p, part := range b.parts {
			if v := b.values[i][part]; v > 0 {
				d.rect(left, y.at(base+v), slot*0.6, y.at(base)-y.at(base+v), palette[p%len(palette)])
				base += v
			}
		}
		d.text(left+slot*0.3, plotHeight-plotBottom+19, "middle", name)
	}
	for p, part := range b.parts {
		d.legend(p, palette[p%len(palette)], part)
	}
	d.axes(b.x, b.y)
	return d.bytes()
}
