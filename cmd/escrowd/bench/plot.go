package bench

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/template"
)

// Axis is what a sweep goes over.
type Axis string

// The axes.
const (
	AxisConnections Axis = "connections"
	AxisBulk        Axis = "bulk"
	AxisBatch       Axis = "batch"
	AxisHistory     Axis = "history"
)

func (a Axis) of(p *Point) float64 {
	switch a {
	case AxisConnections:
		return float64(p.Connections)
	case AxisBulk:
		return float64(p.Bulk)
	case AxisBatch:
		return float64(p.Batch)
	}
	return float64(p.History)
}

func (a Axis) label() string {
	switch a {
	case AxisConnections:
		return "connections"
	case AxisBulk:
		return "items in a request"
	case AxisBatch:
		return "transfers in a request to the ledger"
	}
	return "closed orders before"
}

// series is a line to draw: a figure of each point.
type series struct {
	name, color string
	of          func(*Point) float64
}

// Plot draws the points over an axis as SVG, in up to three diagrams: orders a
// second, latency, and the share of the raw ledger's speed. It needs two
// points.
func (r *Report) Plot(w io.Writer, a Axis) error {
	if len(r.Points) < 2 {
		return errors.New("bench: a plot needs two points")
	}
	kinds := []struct {
		title string
		list  []series
	}{
		{"orders a second", []series{{"escrowd", "#1f5fa8", func(p *Point) float64 { return p.OrdersPerSecond }}}},
		{"latency of a request, ms", []series{
			{"p50", "#1b8a6b", func(p *Point) float64 { return p.Latency.P50 }},
			{"p99", "#c9541b", func(p *Point) float64 { return p.Latency.P99 }}}},
		{"orders a second, % of the raw ledger's", []series{{"escrowd", "#777777", func(p *Point) float64 { return 100 * p.RawShare }}}},
	}
	switch {
	case a == AxisBatch:
		kinds = kinds[:1]
		kinds[0].list[0].name = "the ledger alone"
	case r.Points[0].Settle:
		kinds = slices.Delete(kinds, 1, 2) // a job has no requests
	}
	var panels []panel
	for i, k := range kinds {
		panels = append(panels, newPanel(float64(i), k.title, a, r.Points, k.list))
	}
	return plotTemplate.Execute(w, map[string]any{
		"Width": plotWidth, "Height": float64(len(panels))*panelHeight + panelTop,
		"Title":  fmt.Sprintf("escrowd with the %s engine, over %s", r.Engine, a.label()),
		"Panels": panels,
	})
}

// Coordinates are pixels of the page, from its upper left corner.
const (
	plotWidth   = 720.0
	panelHeight = 270.0
	panelTop    = 40.0
	plotLeft    = 80.0
	plotRight   = 600.0
	plotHeight  = 190.0
)

// panel is one diagram, laid out.
type panel struct {
	Title               string
	Left, Right         float64
	Top, Bottom, Middle float64
	X, Y                []mark // of the axes
	XLabel              string
	Lines               []polyline
}

type mark struct {
	At   float64
	Text string
}

type polyline struct {
	Name, Color string
	Dots        []dot
	LegendY     float64
}

type dot struct {
	X, Y float64
	Text string // the figures, for who points at it
}

// Path is the polyline's points as SVG wants them.
func (l polyline) Path() string {
	parts := make([]string, len(l.Dots))
	for i, d := range l.Dots {
		parts[i] = fmt.Sprintf("%.1f,%.1f", d.X, d.Y)
	}
	return strings.Join(parts, " ")
}

// newPanel lays out the n-th diagram. The x axis is logarithmic, with a place
// for 0 a step left of the least; the y axis begins at 0.
func newPanel(n float64, title string, a Axis, points []Point, list []series) panel {
	p := panel{Title: title, Left: plotLeft, Right: plotRight, Middle: (plotLeft + plotRight) / 2, XLabel: a.label()}
	p.Top = panelTop + n*panelHeight + 20
	p.Bottom = p.Top + plotHeight

	least, most, top := math.Inf(1), 0.0, 0.0
	zero := false
	for i := range points {
		x := a.of(&points[i])
		if most = max(most, x); x > 0 {
			least = min(least, x)
		} else {
			zero = true
		}
		for _, s := range list {
			top = max(top, s.of(&points[i]))
		}
	}
	from, to := math.Log10(min(least, most)), math.Log10(most)
	if math.IsInf(from, 0) || math.IsInf(to, 0) { // every x is 0
		from, to = 0, 0
	}
	if zero {
		from -= max(0.5, (to-from)/4)
	}
	if to == from {
		from, to = from-1, to+1
	}
	atX := func(x float64) float64 {
		at := from
		if x > 0 {
			at = math.Log10(x)
		}
		return plotLeft + (at-from)/(to-from)*(plotRight-plotLeft)
	}
	step := niceStep(top / 4)
	highest := step * math.Max(1, math.Ceil(top/step))
	atY := func(y float64) float64 { return p.Bottom - y/highest*plotHeight }

	for i := range points {
		x := a.of(&points[i])
		m := mark{atX(x), count(int(x))}
		if !slices.Contains(p.X, m) {
			p.X = append(p.X, m)
		}
	}
	for i := range int(math.Round(highest/step)) + 1 {
		y := step * float64(i)
		p.Y = append(p.Y, mark{atY(y), short(y)})
	}
	for i, s := range list {
		l := polyline{Name: s.name, Color: s.color, LegendY: p.Top + 16*float64(i) + 8}
		for j := range points {
			v := &points[j]
			l.Dots = append(l.Dots, dot{atX(a.of(v)), atY(s.of(v)), fmt.Sprintf("%s %s: %s", count(int(a.of(v))), a.label(), figure(s.of(v)))})
		}
		p.Lines = append(p.Lines, l)
	}
	return p
}

// niceStep is the least of 1, 2 and 5 times a power of ten that is not below v.
func niceStep(v float64) float64 {
	if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if n*power >= v {
			return n * power
		}
	}
	return 10 * power
}

// short writes a mark of the y axis without needless digits.
func short(v float64) string {
	if v >= 1000 {
		return count(int(math.Round(v)))
	}
	return fmt.Sprintf("%.4g", v)
}

// All text in it is ours and needs no escaping.
var plotTemplate = template.Must(template.New("plot").Parse(`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" viewBox="0 0 {{.Width}} {{.Height}}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<text x="20" y="26" font-size="16">{{.Title}}</text>
{{- range $p := .Panels}}
<g>
<text x="{{.Left}}" y="{{.Top}}" dy="-8" font-size="13">{{.Title}}</text>
{{- range .Y}}
<line x1="{{$p.Left}}" x2="{{$p.Right}}" y1="{{printf "%.1f" .At}}" y2="{{printf "%.1f" .At}}" stroke="#dddddd"/>
<text x="{{$p.Left}}" y="{{printf "%.1f" .At}}" dx="-8" dy="4" text-anchor="end">{{.Text}}</text>
{{- end}}
{{- range .X}}
<line x1="{{printf "%.1f" .At}}" x2="{{printf "%.1f" .At}}" y1="{{$p.Bottom}}" y2="{{$p.Bottom}}" stroke="black"/>
<text x="{{printf "%.1f" .At}}" y="{{$p.Bottom}}" dy="18" text-anchor="middle">{{.Text}}</text>
{{- end}}
<line x1="{{.Left}}" x2="{{.Right}}" y1="{{.Bottom}}" y2="{{.Bottom}}" stroke="black"/>
<text x="{{.Middle}}" y="{{.Bottom}}" dy="36" text-anchor="middle">{{.XLabel}}</text>
{{- range .Lines}}
{{- $color := .Color}}
<polyline points="{{.Path}}" fill="none" stroke="{{.Color}}" stroke-width="2"/>
{{- range .Dots}}
<circle cx="{{printf "%.1f" .X}}" cy="{{printf "%.1f" .Y}}" r="3.5" fill="{{$color}}"><title>{{.Text}}</title></circle>
{{- end}}
<text x="{{$p.Right}}" y="{{.LegendY}}" dx="14" fill="{{.Color}}">{{.Name}}</text>
{{- end}}
</g>
{{- end}}
</svg>
`))
