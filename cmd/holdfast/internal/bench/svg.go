package bench

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The measures of a plot, in pixels.
const (
	plotWidth, plotHeight = 760, 420
	plotLeft, plotRight   = 80, 180 // The legend stands on the right.
	plotTop, plotBottom   = 44, 56
)

// palette has colours that differ in brightness too, for those who do not see all of them.
var palette = []string{"#0b5fa5", "#d1495b", "#2e8b57", "#edae49", "#6a4c93", "#555555", "#00a6a6"}

// drawing is an SVG file in the making. It brings its own white ground, so that it reads the same on a dark page.
type drawing struct{ b strings.Builder }

func newDrawing(title string) *drawing {
	d := &drawing{}
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" `+
		`font-family="sans-serif" font-size="12" color="#222222" fill="currentColor">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&d.b, "<title>%s</title>\n", html.EscapeString(title))
	d.rect(0, 0, plotWidth, plotHeight, "#ffffff")
	fmt.Fprintf(&d.b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", plotLeft, html.EscapeString(title))
	return d
}

func (d *drawing) bytes() []byte { return []byte(d.b.String() + "</svg>\n") }

func (d *drawing) rect(x, y, width, height float64, colour string) {
	fmt.Fprintf(&d.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, width, height, colour)
}

// text writes at a place; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, text string) {
	fmt.Fprintf(&d.b, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}

// upright writes along the vertical axis.
func (d *drawing) upright(x, y float64, text string) {
	fmt.Fprintf(&d.b, `<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="middle">%s</text>`+"\n", x, y, html.EscapeString(text))
}

func (d *drawing) rule(x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(&d.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, colour)
}

func (d *drawing) path(points [][2]float64, colour string, dashed bool) {
	var at []string
	for _, p := range points {
		at = append(at, fmt.Sprintf("%.1f,%.1f", p[0], p[1]))
	}
	dashes := ""
	if dashed {
		dashes = ` stroke-dasharray="6 5"`
	}
	fmt.Fprintf(&d.b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.Join(at, " "), colour, dashes)
	for _, p := range points {
		if !dashed {
			fmt.Fprintf(&d.b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", p[0], p[1], colour)
		}
	}
}

// legend names a colour.
func (d *drawing) legend(nth int, colour, name string) {
	y := float64(plotTop + 10 + 20*nth)
	d.rect(plotWidth-plotRight+14, y-5, 18, 5, colour)
	d.text(plotWidth-plotRight+38, y+1, "start", name)
}

// axes draws the frame and what the axes are called.
func (d *drawing) axes(x, y string) {
	const bottom, right = float64(plotHeight - plotBottom), float64(plotWidth - plotRight)
	d.rule(plotLeft, bottom, right, bottom, "currentColor")
	d.rule(plotLeft, plotTop, plotLeft, bottom, "currentColor")
	d.text((plotLeft+right)/2, plotHeight-14, "middle", x)
	d.upright(18, (plotTop+bottom)/2, y)
}

// scale maps figures to pixels.
type scale struct {
	least, most float64
	log         bool
	from, to    float64
}

func (s scale) at(v float64) float64 {
	least, most := s.least, s.most
	if s.log {
		v, least, most = math.Log10(max(v, s.least)), math.Log10(least), math.Log10(most)
	}
	if most <= least {
		return (s.from + s.to) / 2
	}
	return s.from + (v-least)/(most-least)*(s.to-s.from)
}

// steps returns round figures along a scale from 0.
func steps(most float64) []float64 {
	if most <= 0 {
		return []float64{0}
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, finer := range []float64{0.5, 0.4} { // 1, 0.5, 0.2 of a power of ten
		if most/step < 4 {
			step *= finer
		}
	}
	var all []float64
	for i := 0.0; i*step <= most*1.0001; i++ {
		all = append(all, i*step)
	}
	return all
}

// decades returns round figures along a logarithmic scale: 1, 2 and 5 of each power of ten.
func decades(least, most float64) []float64 {
	var all []float64
	for exponent := math.Floor(math.Log10(least)); exponent <= math.Log10(most); exponent++ {
		for _, digit := range []float64{1, 2, 5} {
			if v := digit * math.Pow(10, exponent); v >= least*0.999 && v <= most*1.001 {
				all = append(all, v)
			}
		}
	}
	return all
}

// short writes a figure in few characters.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e4:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
