package drawing

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

const style = `text{font-family:"DejaVu Sans",Verdana,sans-serif;font-size:12px;fill:#475569}
.h{font-size:18px;font-weight:bold;fill:#0f172a}
.t{font-size:16px;font-weight:bold;fill:#0f172a}
.e{font-family:"DejaVu Sans Mono",Menlo,Consolas,monospace;font-size:13px;fill:#0f172a}
.l{fill:none;stroke:#334155;stroke-width:1.4}
.d{fill:none;stroke:#b45309;stroke-width:1.4;stroke-dasharray:6 4}
.state{fill:#e0f2fe;stroke:#0369a1;stroke-width:1.5}
.frozen{fill:#ede9fe;stroke:#6d28d9;stroke-width:1.5}
.final{fill:#f1f5f9;stroke:#334155;stroke-width:1.5}
.elsewhere{fill:#fff;stroke:#94a3b8;stroke-width:1.5}
.inner{fill:none;stroke:#334155;stroke-width:1}
.label{fill:#fff;stroke:#94a3b8}
.due{fill:#fffbeb;stroke:#b45309;stroke-dasharray:6 4}
.dot{fill:#334155}
.duedot{fill:#b45309}
`

// svg is the picture of graphs that have their layout, one below the other.
func svg(name string, panels []*graph) []byte {
	var b bytes.Buffer
	w, h := 1640.0, legend+margin // at least as wide as the legend
	for _, g := range panels {
		w, h = max(w, g.width), h+g.high
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`+"\n", w, h, w, h)
	fmt.Fprintf(&b, "<title>%s</title>\n<style>%s</style>\n", name, style)
	b.WriteString(arrowhead("a", "#334155") + arrowhead("ad", "#b45309"))
	fmt.Fprintf(&b, `<rect width="%.0f" height="%.0f" fill="#fff"/>`+"\n", w, h)
	y := 0.0
	for _, g := range panels {
		fmt.Fprintf(&b, `<g transform="translate(0 %.0f)">`+"\n", y)
		g.svg(&b)
		b.WriteString("</g>\n")
		y += g.high
	}
	signs(&b, h-legend/2)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (g *graph) svg(b *bytes.Buffer) {
	fmt.Fprintf(b, `<text class="h" x="%.0f" y="%.0f">%s</text>`+"\n", margin, margin+titleSize/2, escape(g.name))
	for _, n := range g.nodes {
		if n.kind == bend {
			g.pass(b, n)
		}
	}
	for _, e := range g.edges {
		b.WriteString(e.svg())
	}
	for _, n := range g.nodes {
		n.svg(b)
	}
}

func arrowhead(id, colour string) string {
	return fmt.Sprintf(`<marker id="%s" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="%s"/></marker>`+"\n", id, colour)
}

// class is how lines of what people do, and of what deadlines cause, look.
func class(dashed bool) (line, head string) {
	if dashed {
		return "d", "ad"
	}
	return "l", "a"
}

// half is half the width of the column that a node stands in.
func (g *graph) half(n *node) float64 {
	widest := 0.0
	for _, other := range g.ranks[n.rank] {
		widest = max(widest, other.w)
	}
	return widest / 2
}

// pass draws a line straight through the column that it passes.
func (g *graph) pass(b *bytes.Buffer, n *node) {
	half := g.half(n)
	n.w = 2 * half
	line, _ := class(n.dashed)
	fmt.Fprintf(b, `<path class="%s" d="M%.0f %.0fH%.0f"/>`+"\n", line, n.x-half, n.y, n.x+half)
}

// ends are where an edge leaves one node and comes to the next.
func (e *edge) ends() (x1, y1, x2, y2 float64) {
	return e.from.x + e.from.w/2, e.from.port(e, e.from.out), e.to.x - e.to.w/2, e.to.port(e, e.to.in)
}

// port is the height at which an edge meets a node: for a state each edge has
// its own, in the order of where they come from or lead to.
func (n *node) port(e *edge, side []*edge) float64 {
	if n.kind != state && n.kind != frozen && n.kind != final && n.kind != elsewhere {
		return n.y
	}
	far := func(e *edge) float64 {
		if e.from == n {
			return e.to.y
		}
		return e.from.y
	}
	sorted := slices.Clone(side)
	slices.SortStableFunc(sorted, func(a, b *edge) int { return cmp.Compare(far(a), far(b)) })
	step := min(2*portStep, (n.h-padding)/float64(len(sorted)))
	i := slices.Index(sorted, e)
	return math.Round(n.y + float64((float64(i)-float64(len(sorted)-1)/2)*step))
}

func (e *edge) svg() string {
	x1, y1, x2, y2 := e.ends()
	line, head := class(e.dashed)
	marker := ""
	if e.head && e.back {
		marker = fmt.Sprintf(` marker-start="url(#%s)"`, head)
	} else if e.head {
		marker = fmt.Sprintf(` marker-end="url(#%s)"`, head)
	}
	middle := (x1 + x2) / 2
	return fmt.Sprintf(`<path class="%s"%s d="M%.0f %.0fC%.0f %.0f %.0f %.0f %.0f %.0f"/>`+"\n", line, marker, x1, y1, middle, y1, middle, y2, x2, y2)
}

func (n *node) svg(b *bytes.Buffer) {
	left, top := math.Round(n.x-n.w/2), math.Round(n.y-n.h/2)
	rect := func(class string, inset, radius float64) {
		fmt.Fprintf(b, `<rect class="%s" x="%.0f" y="%.0f" width="%.0f" height="%.0f" rx="%.0f"/>`+"\n",
			class, left+inset, top+inset, n.w-2*inset, n.h-2*inset, radius)
	}
	colour := ""
	if n.dashed {
		colour = "due"
	}
	switch n.kind {
	case bend:
		return
	case start:
		fmt.Fprintf(b, `<circle class="dot" cx="%.0f" cy="%.0f" r="7"/>`+"\n", n.x, n.y)
	case junction:
		fmt.Fprintf(b, `<circle class="%sdot" cx="%.0f" cy="%.0f" r="3.5"/>`+"\n", colour, n.x, n.y)
	case label:
		if !n.dashed {
			colour = "label"
		}
		rect(colour, 0, 8)
	case final:
		rect("final", 0, 6)
		rect("inner", 3, 4)
	case frozen:
		rect("frozen", 0, 6)
	case elsewhere:
		rect("elsewhere", 0, 6)
	default:
		rect("state", 0, 6)
	}
	n.words(b)
}

func (n *node) words(b *bytes.Buffer) {
	y := n.y
	for _, l := range n.lines {
		y -= height(l) / 2
	}
	for _, l := range n.lines {
		y += height(l)
		class := map[role]string{title: ` class="t"`, event: ` class="e"`, note: ""}[l.role]
		fmt.Fprintf(b, `<text%s x="%.0f" y="%.1f" text-anchor="middle">%s</text>`+"\n", class, n.x, y-height(l)*0.26, escape(l.text))
	}
}

func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	return b.String()
}

// signs says below the picture what its signs mean.
func signs(b *bytes.Buffer, y float64) {
	x := margin
	word := func(text string) {
		fmt.Fprintf(b, `<text x="%.0f" y="%.0f">%s</text>`+"\n", x, y+4, text)
		x += float64(len([]rune(text)))*noteSize*0.6 + 24
	}
	sign := func(class string, inner bool) {
		fmt.Fprintf(b, `<rect class="%s" x="%.0f" y="%.0f" width="26" height="16" rx="4"/>`+"\n", class, x, y-8)
		if inner {
			fmt.Fprintf(b, `<rect class="inner" x="%.0f" y="%.0f" width="20" height="10" rx="2"/>`+"\n", x+3, y-5)
		}
		x += 34
	}
	stroke := func(class string) {
		fmt.Fprintf(b, `<path class="%s" d="M%.0f %.0fh34"/>`+"\n", class, x, y)
		x += 42
	}
	sign("state", false)
	word("waits for something")
	sign("frozen", false)
	word("what is held is frozen")
	sign("final", true)
	word("final")
	sign("elsewhere", false)
	word("a state of the other part")
	fmt.Fprintf(b, `<circle class="dot" cx="%.0f" cy="%.0f" r="7"/>`+"\n", x+7, y)
	x += 22
	word("begins, or comes from the other part")
	stroke("l")
	word("somebody does it")
	stroke("d")
	word("a deadline passes")
	word("\u21ba the order stays in the state")
}
