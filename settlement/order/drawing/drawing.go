// Package drawing draws the state table of package order as an SVG picture:
// states as boxes from left to right, and between them the events, each a label
// on the line from the states that admit it to those that it leads to. What a
// deadline causes is dashed. Everything in the picture comes from order.Rules.
//
//	graph.go   rows to boxes, labels and lines; rows that say the same share a label
//	layout.go  a layered layout: columns, order in a column, heights
//	svg.go     the picture
//
// A label is a node of the layout as a state is, and a line that passes a
// column has a place there of its own. So nothing can overlap, whatever rows
// are added.
//
// The life of an order without a dispute, the dispute and the chargeback are
// panels, one below the other, so that the picture fits a screen. A row stands
// once, in the panel of the state that it leaves; where it leads to another panel
// it ends at a pale box of the state's name. That a payment is taken back, which
// every state with money admits, would be lines from all of them: a dot leads to
// the panel of what comes of it, whose name says where from.
package drawing

import (
	"slices"

	"escrowd/settlement/order"
)

// States is the picture of the state table, as SVG. until has the deadlines
// that an order can have in a state, which the rows do not say.
func States(until map[order.State][]order.Deadline) []byte {
	charged := func(s order.State) bool { return s == order.ChargedBack || s == order.Represented }
	others := slices.DeleteFunc(slices.Clone(order.Rules), func(r order.Row) bool { return r.Effect == order.TakePayment })
	panels := []*graph{
		fromRules("An order", others, order.States, func(s order.State) bool { return !s.Frozen() }, until),
		fromRules("A dispute: all that is held is frozen until it ends", others, order.States, func(s order.State) bool { return s.Frozen() && !charged(s) }, until),
		fromRules("A chargeback, from every state in which there is money: it stands still until the bank has decided", order.Rules, order.States, charged, until),
	}
	for _, g := range panels {
		g.layout()
	}
	return svg("The states of an order", panels)
}
