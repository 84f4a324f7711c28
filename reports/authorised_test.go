package reports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"escrowd/reports"
	"escrowd/settlement/order"
)

// Money that is authorised is not held and posted nowhere, at any moment; of a
// part that is captured, that part is.
func TestAuthorisedIsNotHeld(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	card := func(c *order.Command) { c.Method = "card" }
	waits, part, expired := w.agree(shop, "waits", "USD", 10000, jan(1, 0)), w.agree(shop, "part", "USD", 10000, jan(1, 0)), w.agree(shop, "expired", "USD", 300, jan(1, 0))
	w.tell(shop, order.Authorise, jan(2, 0), part, card)
	w.tell(shop, order.Authorise, jan(3, 0), expired, card)
	w.tell(shop, order.Authorise, jan(4, 0), waits, card)
	w.tell(shop, order.Capture, jan(5, 0), part, func(c *order.Command) { c.By, c.Amount = order.Operator, 6000 })
	w.tell(shop, order.ExpireAuthorisation, jan(10, 0), expired)

	for _, c := range []struct {
		asOf  time.Time // zero: now
		held  []string
		trial []string
	}{
		{jan(4, 12), []string{}, []string{}},
		{jan(6, 0), []string{"USD 0-7 held: 1 orders 6000"},
			[]string{"USD 1100 pay-in clearing: 6000 0 = 6000", "USD 2000 buyer: 6000 6000 = 0", "USD 2100 escrow: 0 6000 = 6000"}},
		{time.Time{}, []string{"USD 15-30 held: 1 orders 6000"},
			[]string{"USD 1100 pay-in clearing: 6000 0 = 6000", "USD 2000 buyer: 6000 6000 = 0", "USD 2100 escrow: 0 6000 = 6000"}},
	} {
		o := reports.Options{AsOf: c.asOf, Basis: reports.Effective, Now: machine}
		held, err := w.books.HeldFunds(ctx, o)
		must(t, err)
		sameLines(t, "held funds as of "+c.asOf.String(), heldLines(held), c.held)
		trial, err := w.books.TrialBalance(ctx, o)
		must(t, err)
		sameLines(t, "trial balance as of "+c.asOf.String(), trialLines(trial), c.trial)
		if len(held.Problems)+len(trial.Problems) > 0 {
			t.Errorf("as of %s: %q %q", c.asOf, held.Problems, trial.Problems)
		}
	}

	list, err := w.books.Orders(ctx, reports.OrderFilter{Now: machine})
	must(t, err)
	for i, want := range []struct{ state, amount, next string }{{"authorised", "10000", "operator"}, {"held", "6000", "seller"}, {"expired", "300", ""}} {
		if row := list.Rows[i]; row.State != want.state || row.Amount.String() != want.amount || row.NextActor != want.next {
			t.Errorf("%s: %+v, want %+v", row.Reference, row, want)
		}
	}
	s, err := w.books.Order(ctx, "", "part")
	must(t, err)
	if s.Order.Amount.String() != "6000" || s.Order.Agreed.String() != "10000" || len(s.Problems) > 0 ||
		!strings.Contains(s.Explanation.Why, "Of the USD 100.00 agreed USD 60.00 was captured") {
		t.Errorf("part: %+v", s)
	}
	if s, err = w.books.Order(ctx, "", "waits"); err != nil || len(s.Escrow) > 0 || len(s.Problems) > 0 || !strings.Contains(s.Explanation.Why, "Nothing is held yet") {
		t.Errorf("waits: %+v, %v", s, err)
	}
}
