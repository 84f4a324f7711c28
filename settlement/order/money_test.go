package order_test

import (
	"slices"
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// TestMoneyTable: the scenarios show every movement of the money table, so that
// it says nothing that never happens. That nothing else moves, Plan sees to.
func TestMoneyTable(t *testing.T) {
	type movement struct {
		effect order.Effect
		code   chart.TransferCode
		stage  order.Stage
	}
	seen := map[movement]bool{}
	for _, s := range readScenarios(t) {
		w := newWorld(t)
		s.play(t, w)
		for _, e := range w.orders {
			o := e.born
			for _, c := range e.done {
				row, _ := order.Lookup(o.State, c.Event)
				ch, err := order.Plan(o, c)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range ch.Legs {
					stage := l.Flags & (ledger.TransferPending | ledger.TransferPostPending | ledger.TransferVoidPending)
					seen[movement{row.Effect, chart.TransferCode(l.Code), order.Stage(stage)}] = true
				}
				o = ch.After
			}
		}
	}
	used := map[order.Effect]bool{}
	for _, r := range order.Rules {
		used[r.Effect] = true
	}
	for effect, row := range order.MoneyTable {
		if !used[effect] {
			t.Errorf("%q is in the money table and in no row of the state table", effect)
		}
		for i, m := range row {
			if !seen[movement{effect, m.Code, m.Stage}] {
				t.Errorf("%q: no scenario shows %s %s", effect, m.Stage, m.Code)
			}
			if info, ok := m.Code.Lookup(); !ok || (m.Stage == order.Outright) == info.Pending() {
				t.Errorf("%q: %s is not a %s leg in the chart", effect, m.Code, m.Stage)
			}
			if slices.ContainsFunc(row[:i], func(n order.Movement) bool { return n.Code == m.Code && n.Stage == m.Stage }) {
				t.Errorf("%q: %s stands there twice", effect, m.Code)
			}
		}
	}
}
