package drawing

import (
	"regexp"
	"slices"
	"strings"

	"escrowd/settlement/order"
)

type kind int

const (
	start     kind = iota // where an order begins, or comes from the other panel
	state                 // a state that waits for something
	frozen                // a state in which what is held is frozen
	final                 // a state that nothing leaves
	elsewhere             // a state of the other panel
	label                 // events that lead on
	junction              // where lines to the same states meet
	bend                  // a place for a line that passes a column
)

// line is one line of a node's text.
type line struct {
	text string
	role role
}

type role int

const (
	title role = iota
	event
	note
)

// node is something that has a place in the picture. Lengths are pixels; x and
// y are the middle.
type node struct {
	kind   kind
	dashed bool // label, junction, bend: of what a deadline causes
	lines  []line
	w, h   float64
	x, y   float64
	rank   int // column, from 0
	pos    int // place in the column, from 0
	in     []*edge
	out    []*edge
}

// edge joins nodes of which from has the lower rank. The arrow's head is at to,
// or at from where back is set, or nowhere where the edge leads to a label.
type edge struct {
	from, to *node
	dashed   bool
	back     bool
	head     bool
}

type graph struct {
	name  string
	nodes []*node
	edges []*edge
	ranks [][]*node
	width float64
	high  float64
}

func (g *graph) add(n *node) *node {
	g.nodes = append(g.nodes, n)
	return n
}

func (g *graph) join(from, to *node, dashed, back, head bool) *edge {
	e := &edge{from: from, to: to, dashed: dashed, back: back, head: head}
	g.edges = append(g.edges, e)
	from.out = append(from.out, e)
	to.in = append(to.in, e)
	return e
}

// move is a label to be: events that lead from any of some states to one of
// others, to the right or back to the left.
type move struct {
	lines    []line
	from, to []order.State
	dashed   bool
	back     bool
}

// fromRules is the graph of the rows that leave the states which are in it.
func fromRules(name string, all []order.Row, states []order.State, in func(order.State) bool, until map[order.State][]order.Deadline) *graph {
	g := &graph{name: name}
	rules := slices.DeleteFunc(slices.Clone(all), func(r order.Row) bool { return !in(r.From) })
	boxes := map[order.State]*node{order.None: {kind: start}}
	if in(order.None) {
		g.add(boxes[order.None])
	}
	for _, s := range states {
		switch {
		case in(s):
			boxes[s] = g.add(box(s, rules, until[s]))
		case slices.ContainsFunc(rules, func(r order.Row) bool { return slices.Contains(r.To, s) }):
			boxes[s] = g.add(&node{kind: elsewhere, lines: []line{{string(s), title}}})
		}
	}
	g.enter(all, boxes, in)
	moves := movesOf(rules, states, in)
	shared := sharedTargets(moves)
	meet := map[string]*node{}
	for _, m := range moves {
		l := g.add(&node{kind: label, dashed: m.dashed, lines: m.lines})
		to := m.to
		if m.back {
			for _, s := range m.from {
				g.join(l, boxes[s], m.dashed, true, false)
			}
			for _, s := range to {
				g.join(boxes[s], l, m.dashed, true, true)
			}
			continue
		}
		for _, s := range m.from {
			g.join(boxes[s], l, m.dashed, false, false)
		}
		if set := within(shared, to); set != nil {
			key := join(set)
			if m.dashed {
				key += " dashed"
			}
			if meet[key] == nil {
				meet[key] = g.add(&node{kind: junction, dashed: m.dashed})
				for _, s := range set {
					g.join(meet[key], boxes[s], m.dashed, false, true)
				}
			}
			g.join(l, meet[key], m.dashed, false, false)
			to = slices.DeleteFunc(slices.Clone(to), func(s order.State) bool { return slices.Contains(set, s) })
		}
		for _, s := range to {
			g.join(l, boxes[s], m.dashed, false, true)
		}
	}
	return g
}

// enter marks the states to which only rows of the other panel lead.
func (g *graph) enter(all []order.Row, boxes map[order.State]*node, in func(order.State) bool) {
	for _, s := range order.States {
		leads := func(r order.Row) bool { return slices.Contains(r.To, s) && r.From != s }
		here := slices.ContainsFunc(all, func(r order.Row) bool { return in(r.From) && leads(r) })
		if in(s) && !here && slices.ContainsFunc(all, leads) {
			g.join(g.add(&node{kind: start}), boxes[s], false, false, true)
		}
	}
}

// box is a state's box: its name, its deadlines, and the events that leave an
// order in it.
func box(s order.State, rules []order.Row, until []order.Deadline) *node {
	n := &node{kind: state, lines: []line{{string(s), title}}}
	switch {
	case !s.Open():
		n.kind = final
	case s.Frozen():
		n.kind = frozen
	}
	for _, d := range until {
		n.lines = append(n.lines, wrap("until "+string(d), note, boxLine)...)
	}
	for _, r := range rules {
		if r.From == s && slices.Contains(r.To, s) {
			n.lines = append(n.lines, line{"\u21ba " + string(r.Event), event})
			n.lines = append(n.lines, wrap(who(r), note, boxLine)...)
		}
	}
	return n
}

// who says who causes a row's event: the roles, or the deadline that passes.
func who(r order.Row) string {
	if d := order.DueAt(r.Event); d != order.NoDeadline {
		return string(d) + " passes"
	}
	words := make([]string, len(r.Who))
	for i, by := range r.Who {
		words[i] = string(by)
	}
	return strings.Join(words, ", ")
}

// How many letters a line has at most, if it can be broken.
const (
	labelLine = 14
	boxLine   = 18
)

// breaks are the words of a text: an event's name has underscores between them.
var breaks = map[role]*regexp.Regexp{event: regexp.MustCompile(`[^_]+_?`), note: regexp.MustCompile(`[^ ]+ ?`)}

// wrap breaks a text into lines of at most so many letters.
func wrap(text string, r role, letters int) (lines []line) {
	for _, word := range breaks[r].FindAllString(text, -1) {
		if n := len(lines); n > 0 && len(lines[n-1].text)+len(strings.TrimSpace(word)) <= letters {
			lines[n-1].text += word
			continue
		}
		lines = append(lines, line{word, r})
	}
	return lines
}

// movesOf are the rows as labels. Rows of one event by the same roles to the
// same states are one label, and so are events between the same states.
func movesOf(rules []order.Row, states []order.State, in func(order.State) bool) []*move {
	place := func(s order.State) int {
		if s != order.None && !in(s) {
			return len(states) // after all of this panel
		}
		return slices.Index(states, s) // None: -1, before all
	}
	var moves []*move
	known := map[string]*move{}
	for _, r := range rules {
		// To the right go those that come later in an order's life.
		var right, left []order.State
		for _, s := range r.To {
			switch {
			case place(s) > place(r.From):
				right = append(right, s)
			case s != r.From:
				left = append(left, s)
			}
		}
		for _, to := range [][]order.State{right, left} {
			if len(to) == 0 {
				continue
			}
			m := &move{lines: append(wrap(string(r.Event), event, labelLine), wrap(who(r), note, labelLine)...), from: []order.State{r.From}, to: to,
				dashed: order.DueAt(r.Event) != order.NoDeadline, back: place(to[0]) < place(r.From)}
			key := string(r.Event) + "|" + who(r) + "|" + join(to)
			if other := known[key]; other != nil && other.back == m.back && mayShare(other, r.From, place) {
				other.from = append(other.from, r.From)
				continue
			}
			known[key] = m
			moves = append(moves, m)
		}
	}
	return together(moves)
}

// mayShare tells whether one more state can share a label without the label
// standing on the wrong side of it.
func mayShare(m *move, from order.State, place func(order.State) int) bool {
	for _, s := range m.to {
		if place(s) < place(from) != m.back {
			return false
		}
	}
	return true
}

// together makes one label of those between the same states.
func together(moves []*move) (merged []*move) {
	known := map[string]*move{}
	for _, m := range moves {
		key := join(m.from) + "|" + join(m.to)
		if m.dashed {
			key += "|dashed"
		}
		if other := known[key]; other != nil {
			other.lines = append(other.lines, m.lines...)
			continue
		}
		known[key] = m
		merged = append(merged, m)
	}
	return merged
}

// sharedTargets are the sets of two states or more to which more than one label
// leads, the largest first: their lines meet before they part.
func sharedTargets(moves []*move) (sets [][]order.State) {
	count := map[string]int{}
	for _, m := range moves {
		if len(m.to) < 2 || m.back {
			continue
		}
		key := join(m.to)
		if count[key]++; count[key] == 2 {
			sets = append(sets, m.to)
		}
	}
	slices.SortStableFunc(sets, func(a, b []order.State) int { return len(b) - len(a) })
	return sets
}

// within is the largest of some sets that is a part of another, nil for none.
func within(sets [][]order.State, whole []order.State) []order.State {
	for _, set := range sets {
		if !slices.ContainsFunc(set, func(s order.State) bool { return !slices.Contains(whole, s) }) {
			return set
		}
	}
	return nil
}

func join(states []order.State) string {
	words := make([]string, len(states))
	for i, s := range states {
		words[i] = string(s)
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
