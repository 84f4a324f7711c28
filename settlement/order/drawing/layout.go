package drawing

import (
	"math"
	"slices"
)

// Lengths in pixels.
const (
	titleSize = 16.0
	eventSize = 13.0
	noteSize  = 12.0
	padding   = 10.0 // within a box
	between   = 16.0 // between nodes of a column
	portStep  = 11.0 // between the lines at a box's side
	margin    = 24.0
	heading   = 34.0 // height of a panel's name
	legend    = 44.0 // height of the legend below
)

// layout gives each node its place: columns, the order within each, heights.
func (g *graph) layout() {
	for _, n := range g.nodes {
		n.measure()
	}
	g.rank()
	g.bend()
	g.fillRanks()
	g.untangle()
	g.columns()
	g.heights()
}

// measure is how much room a node's text and lines take. Widths of letters are
// those of a wide font, so that a narrower one fits too.
func (n *node) measure() {
	for _, l := range n.lines {
		n.w = max(n.w, width(l))
		n.h += height(l)
	}
	switch n.kind {
	case start:
		n.w, n.h = 14, 14
	case junction:
		n.w, n.h = 6, 6
	case label:
		n.w, n.h = n.w+2*6, n.h+2*4
	case bend:
		n.w, n.h = 0, 4
	default:
		ports := float64(max(len(n.in), len(n.out)))
		n.w, n.h = n.w+2*padding, max(n.h+2*padding, ports*portStep+padding)
	}
}

func width(l line) float64 {
	letters := float64(len([]rune(l.text)))
	switch l.role {
	case title:
		return letters * titleSize * 0.66
	case event:
		return letters * eventSize * 0.61 // of a font whose letters are all as wide
	}
	return letters * noteSize * 0.57
}

func height(l line) float64 {
	switch l.role {
	case title:
		return titleSize * 1.3
	case event:
		return eventSize * 1.35
	}
	return noteSize * 1.3
}

// rank puts each node one column right of the last that leads to it. Rows go
// forth in an order's life and labels that go back are turned round, so there
// is no circle.
func (g *graph) rank() {
	var visit func(n *node) int
	seen := map[*node]bool{}
	visit = func(n *node) int {
		if seen[n] {
			return n.rank
		}
		seen[n] = true
		for _, e := range n.in {
			n.rank = max(n.rank, visit(e.from)+1)
		}
		return n.rank
	}
	for _, n := range g.nodes {
		visit(n)
	}
	// What begins, or comes from the other panel, stands beside what it leads to.
	for _, n := range g.nodes {
		if n.kind == start && len(n.out) > 0 {
			if first := n.out[0].to; len(first.in) == 1 && len(first.out) > 0 {
				first.rank = leftmost(first.out) - 1
			}
			n.rank = leftmost(n.out) - 1
		}
	}
	// A label that goes back stands beside the state that it leaves.
	for _, n := range g.nodes {
		if n.kind == label && len(n.in) > 0 && n.in[0].back {
			n.rank = leftmost(n.out) - 1
		}
	}
}

func leftmost(edges []*edge) int {
	least := edges[0].to.rank
	for _, e := range edges {
		least = min(least, e.to.rank)
	}
	return least
}

// bend gives each line a place in every column that it passes. Lines of one
// node to, or from, another column share their places as far as they can: those
// that end at the same node.
func (g *graph) bend() {
	edges := g.edges
	g.edges = nil
	for _, n := range g.nodes {
		n.in, n.out = nil, nil
	}
	type place struct {
		end  *node
		rank int
		kind [3]bool
	}
	shared := map[place]*node{}
	for _, e := range edges {
		last := e.from
		for r := e.from.rank + 1; r < e.to.rank; r++ {
			// All lines into one node of the same kind are one as soon as they
			// are in the same column.
			p := place{e.to, r, [3]bool{e.dashed, e.back, e.head}}
			b := shared[p]
			if b == nil {
				b = g.add(&node{kind: bend, rank: r, dashed: e.dashed})
				b.measure()
				shared[p] = b
			}
			g.joinOnce(last, b, e)
			last = b
		}
		g.joinOnce(last, e.to, e)
	}
}

// joinOnce joins two nodes like e does, unless they are joined so already.
func (g *graph) joinOnce(from, to *node, e *edge) {
	for _, known := range from.out {
		if known.to == to && known.dashed == e.dashed && known.back == e.back {
			return
		}
	}
	head := e.head && to == e.to && !e.back || e.head && from == e.from && e.back
	g.join(from, to, e.dashed, e.back, head)
}

func (g *graph) fillRanks() {
	last := 0
	for _, n := range g.nodes {
		last = max(last, n.rank)
	}
	g.ranks = make([][]*node, last+1)
	// In the order in which a walk from the start comes to them, which keeps
	// together what belongs together.
	seen := map[*node]bool{}
	var walk func(n *node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		n.pos = len(g.ranks[n.rank])
		g.ranks[n.rank] = append(g.ranks[n.rank], n)
		for _, e := range n.out {
			walk(e.to)
		}
	}
	for _, n := range g.nodes {
		walk(n)
	}
}

// untangle orders the columns so that few lines cross: each node moves to the
// middle of its neighbours in the column before, then after, and again; the
// best order that was seen stays.
func (g *graph) untangle() {
	best, fewest := g.order(), g.crossings()
	for round := range 60 {
		for i := range g.ranks {
			r := i
			if round%2 == 1 {
				r = len(g.ranks) - 1 - i
			}
			sortRank(g.ranks[r], round%2 == 0)
		}
		g.swapNeighbours()
		if c := g.crossings(); c < fewest {
			best, fewest = g.order(), c
		}
	}
	for i, rank := range best {
		g.ranks[i] = rank
		renumber(rank)
	}
}

func (g *graph) order() [][]*node {
	order := make([][]*node, len(g.ranks))
	for i, r := range g.ranks {
		order[i] = slices.Clone(r)
	}
	return order
}

func renumber(rank []*node) {
	for i, n := range rank {
		n.pos = i
	}
}

func sortRank(rank []*node, byLeft bool) {
	middle := make(map[*node]float64, len(rank))
	for _, n := range rank {
		middle[n] = float64(n.pos)
		sum, count := 0.0, 0.0
		if byLeft {
			for _, e := range n.in {
				sum, count = sum+float64(e.from.pos), count+1
			}
		} else {
			for _, e := range n.out {
				sum, count = sum+float64(e.to.pos), count+1
			}
		}
		if count > 0 {
			middle[n] = sum / count
		}
	}
	slices.SortStableFunc(rank, func(a, b *node) int {
		switch {
		case middle[a] < middle[b]:
			return -1
		case middle[a] > middle[b]:
			return 1
		}
		return 0
	})
	renumber(rank)
}

// swapNeighbours swaps two neighbours wherever that saves crossings.
func (g *graph) swapNeighbours() {
	for better := true; better; {
		better = false
		for _, rank := range g.ranks {
			for i := range len(rank) - 1 {
				a, b := rank[i], rank[i+1]
				if crossingsOf(b, a) < crossingsOf(a, b) {
					rank[i], rank[i+1] = b, a
					a.pos, b.pos = i+1, i
					better = true
				}
			}
		}
	}
}

// crossingsOf counts how the lines of two nodes cross if a stands above b.
func crossingsOf(a, b *node) (n int) {
	for _, x := range a.in {
		for _, y := range b.in {
			if x.from.pos > y.from.pos {
				n++
			}
		}
	}
	for _, x := range a.out {
		for _, y := range b.out {
			if x.to.pos > y.to.pos {
				n++
			}
		}
	}
	return n
}

func (g *graph) crossings() (n int) {
	for _, rank := range g.ranks {
		for i, a := range rank {
			for _, b := range rank[i+1:] {
				for _, x := range a.out {
					for _, y := range b.out {
						if x.to.pos > y.to.pos {
							n++
						}
					}
				}
			}
		}
	}
	return n
}

// heights moves the nodes of each column to the middle of their neighbours, as
// far as their order and size admit. A line that passes columns is kept
// straight before all others.
func (g *graph) heights() {
	for _, rank := range g.ranks {
		y := 0.0
		for _, n := range rank {
			y += n.h/2 + between
			n.y = y
			y += n.h / 2
		}
	}
	for round := range 200 {
		for i := range g.ranks {
			r := i
			if round%2 == 1 {
				r = len(g.ranks) - 1 - i
			}
			settle(g.ranks[r])
		}
	}
	top, bottom := math.Inf(1), math.Inf(-1)
	for _, n := range g.nodes {
		top, bottom = min(top, n.y-n.h/2), max(bottom, n.y+n.h/2)
	}
	for _, n := range g.nodes {
		n.y = math.Round(n.y - top + margin + heading)
	}
	g.high = math.Round(bottom - top + margin + heading + between)
}

// block is a run of a column's nodes that touch: they move as one.
type block struct {
	sum, weight float64 // of where its nodes want it to be
	nodes       int
}

// settle places a column's nodes as near as possible, by least squares, to
// where their neighbours want them, each below the one before: nodes that would
// come too near are joined and move to their common middle.
func settle(rank []*node) {
	offsets := make([]float64, len(rank)) // from the first node, all as near as may be
	for i := 1; i < len(rank); i++ {
		offsets[i] = offsets[i-1] + rank[i-1].h/2 + between + rank[i].h/2
	}
	var blocks []block
	for i, n := range rank {
		at, weight := wish(n)
		blocks = append(blocks, block{float64(weight * (at - offsets[i])), weight, 1})
		for len(blocks) > 1 {
			a, b := blocks[len(blocks)-2], blocks[len(blocks)-1]
			if a.sum/a.weight <= b.sum/b.weight {
				break
			}
			blocks = append(blocks[:len(blocks)-2], block{a.sum + b.sum, a.weight + b.weight, a.nodes + b.nodes})
		}
	}
	i := 0
	for _, b := range blocks {
		for range b.nodes {
			rank[i].y = b.sum/b.weight + offsets[i]
			i++
		}
	}
}

// wish is where a node's neighbours want it, and how much that counts. The
// product is rounded by itself: some processors would fuse it with the sum, and
// the picture must come out the same on all.
func wish(n *node) (at, weight float64) {
	ask := func(other *node) {
		w := 1.0
		if n.kind == bend || other.kind == bend {
			w = 2
		}
		if n.kind == bend && other.kind == bend {
			w = 8
		}
		at += float64(w * other.y)
		weight += w
	}
	for _, e := range n.in {
		ask(e.from)
	}
	for _, e := range n.out {
		ask(e.to)
	}
	if weight == 0 {
		return n.y, 1
	}
	return at / weight, weight
}

// columns gives each column its x. A gap is the wider, the steeper the lines in
// it would be; that is guessed from the order.
func (g *graph) columns() {
	x := margin
	for r, rank := range g.ranks {
		widest := 0.0
		for _, n := range rank {
			widest = max(widest, n.w)
		}
		lines := 0
		for _, n := range rank {
			n.x = math.Round(x + widest/2)
			lines += len(n.out)
		}
		x += widest
		if r < len(g.ranks)-1 {
			x += 24 + 1.5*float64(min(lines, 20))
		}
	}
	g.width = math.Round(x + margin)
}
