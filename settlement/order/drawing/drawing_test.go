package drawing

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"escrowd/settlement/order"
)

// more are rows that the table does not have, so that the picture does not only
// hold for those that it has.
func more() (rules []order.Row, states []order.State) {
	rules, states = slices.Clone(order.Rules), slices.Clone(order.States)
	row := func(from order.State, e order.Event, to ...order.State) {
		rules = append(rules, order.Row{From: from, Event: e, Who: []order.Role{order.Buyer, order.Seller, order.Carrier, order.Operator}, Effect: order.NoMoney, To: to})
	}
	states = append(states, "part_shipped")
	row(order.Held, "ship_a_part_of_it", "part_shipped")
	row("part_shipped", order.Ship, order.Shipped)
	row("part_shipped", "take_it_all_back_again", order.Held, order.Agreed)
	row(order.Closed, "charge_back", order.Disputed, order.Agreed)
	row(order.Arbitration, "skip", order.Closed, order.Expired, order.Negotiating)
	return rules, states
}

func TestNothingOverlaps(t *testing.T) {
	rules, states := more()
	for name, in := range map[string]func(order.State) bool{
		"life":    func(s order.State) bool { return !s.Frozen() },
		"dispute": order.State.Frozen,
		"all":     func(order.State) bool { return true },
	} {
		for _, g := range []*graph{
			fromRules(name, order.Rules, order.States, in, nil),
			fromRules(name, rules, states, in, nil),
		} {
			g.layout()
			for r, rank := range g.ranks {
				for i, n := range rank {
					if n.x-n.w/2 < 0 || n.x+n.w/2 > g.width || n.y-n.h/2 < 0 || n.y+n.h/2 > g.high {
						t.Errorf("%s: %v is beyond the picture", name, n.lines)
					}
					if i > 0 && rank[i-1].y+rank[i-1].h/2 > n.y-n.h/2 {
						t.Errorf("%s: %v and %v overlap", name, rank[i-1].lines, n.lines)
					}
					if r > 0 && slices.ContainsFunc(g.ranks[r-1], func(other *node) bool { return other.x+other.w/2 > n.x-n.w/2 }) {
						t.Errorf("%s: the column before overlaps %v", name, n.lines)
					}
				}
			}
			for _, e := range g.edges {
				if e.to.rank != e.from.rank+1 {
					t.Errorf("%s: a line from %v to %v passes a column without a place in it", name, e.from.lines, e.to.lines)
				}
			}
		}
	}
}

// Each row is there, once: its event and role, dashed if a deadline causes it.
func TestEveryRowIsDrawn(t *testing.T) {
	g := fromRules("all", order.Rules, order.States, func(order.State) bool { return true }, nil)
	for _, r := range order.Rules {
		words := strings.ReplaceAll(string(r.Event)+who(r), " ", "")
		for _, to := range r.To {
			leads := func(n *node) bool {
				if n.kind != label || to == r.From {
					return to == r.From && n.is(to) && strings.Contains(n.text(), words)
				}
				return strings.Contains(n.text(), words) && n.dashed == (order.DueAt(r.Event) != order.NoDeadline) && n.joins(r.From, to)
			}
			if !slices.ContainsFunc(g.nodes, leads) {
				t.Errorf("%s of an order that is %q, to %s, is not in the picture", r.Event, r.From, to)
			}
		}
	}
}

// text is all of a node's words.
func (n *node) text() string {
	var b strings.Builder
	for _, l := range n.lines {
		b.WriteString(strings.ReplaceAll(l.text, " ", ""))
	}
	return b.String()
}

func (n *node) is(s order.State) bool {
	return n.kind == start && s == order.None || len(n.lines) > 0 && n.lines[0].role == title && n.lines[0].text == string(s)
}

// joins tells whether lines lead from a state to the label and on to another,
// or the other way round where they go back.
func (n *node) joins(from, to order.State) bool {
	var leads func(n *node, s order.State, next func(*node) []*node) bool
	leads = func(n *node, s order.State, next func(*node) []*node) bool {
		return slices.ContainsFunc(next(n), func(other *node) bool {
			return other.is(s) || other.kind == junction && leads(other, s, next)
		})
	}
	before := func(n *node) (ns []*node) {
		for _, e := range n.in {
			ns = append(ns, e.from)
		}
		return ns
	}
	after := func(n *node) (ns []*node) {
		for _, e := range n.out {
			ns = append(ns, e.to)
		}
		return ns
	}
	return leads(n, from, before) && leads(n, to, after) || leads(n, from, after) && leads(n, to, before)
}

func TestPictureIsXMLAndTheSameEachTime(t *testing.T) {
	first := States(nil)
	if !bytes.Equal(first, States(nil)) {
		t.Error("the same rules make two pictures")
	}
	d := xml.NewDecoder(bytes.NewReader(first))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
