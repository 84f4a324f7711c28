package reports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/reports"
	"escrowd/settlement/order"
)

// What is charged back while held is held and frozen; what goes back after the
// release moves between the accounts as the ledger decided, and at each moment
// of the past the reports say what was so then.
func TestAfterTheRelease(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(28, 0))
	card := func(c *order.Command) { c.Method = "card" }
	because := func(c *order.Command) { c.Reason = "because" }
	held, released := w.agree(shop, "held", "USD", 10000, jan(1, 0)), w.agree(shop, "released", "USD", 10000, jan(1, 0))
	for _, o := range []ledger.ID{held, released} {
		w.tell(shop, order.Pay, jan(2, 0), o, card)
	}
	w.tell(shop, order.Ship, jan(3, 0), released)
	w.tell(shop, order.Confirm, jan(4, 0), released)
	w.tell(shop, order.Mature, jan(6, 0), released)
	w.tell(shop, order.TakeBackPayment, jan(8, 0), held, because)
	w.tell(shop, order.RefundReleased, jan(9, 0), released, because, func(c *order.Command) { c.Amount = 4000 })
	w.tell(shop, order.TakeBackPayment, jan(10, 0), released, because)
	w.tell(shop, order.LoseChargeback, jan(12, 0), held)
	w.tell(shop, order.LoseChargeback, jan(13, 0), released)

	for _, c := range []struct {
		asOf  time.Time
		held  []string
		trial []string
	}{
		{jan(8, 12), []string{"USD 0-7 charged_back: 1 orders 10000"},
			[]string{"USD 1100 pay-in clearing: 20000 10000 = 10000", "USD 1300 chargeback receivable: 10000 0 = 10000", "USD 2000 buyer: 20000 20000 = 0",
				"USD 2100 escrow: 10000 20000 = 10000", "USD 2200 seller pending: 9500 9500 = 0", "USD 2210 seller available: 0 9500 = 9500", "USD 4100 fee revenue: 0 500 = 500"}},
		{jan(14, 0), []string{},
			[]string{"USD 1100 pay-in clearing: 20000 16000 = 4000", "USD 1300 chargeback receivable: 16000 16000 = 0", "USD 1320 seller collection: 9500 9500 = 0",
				"USD 2000 buyer: 20000 24000 = 4000", "USD 2100 escrow: 20000 20000 = 0", "USD 2200 seller pending: 9500 9500 = 0", "USD 2210 seller available: 9500 9500 = 0",
				"USD 4100 fee revenue: 500 500 = 0"}},
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
	sheet, err := w.books.Order(ctx, "shop", "released")
	must(t, err)
	if len(sheet.Problems) > 0 || sheet.Order.State != "refunded" || !strings.Contains(sheet.Explanation.Why, "USD 60.00 of the payment was lost to a chargeback") {
		t.Errorf("%+v %q", sheet.Order, sheet.Problems)
	}
}

// Held funds by order say of each step of a dispute or a chargeback what happens
// otherwise, at any moment.
func TestHeldOrdersExplainThemselves(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	p := order.Standard()
	d := order.Seconds(24 * 60 * 60)
	p.RespondWithin, p.NegotiateWithin, p.EvidenceWithin, p.AppealWithin, p.ReturnWithin, p.InspectWithin = 5*d, 10*d, 4*d, 2*d, 10*d, 3*d
	_, err := w.store.AddPolicy(ctx, shop, p)
	must(t, err)
	o, taken := w.agree(shop, "disputed", "USD", 10000, jan(1, 0)), w.agree(shop, "taken", "USD", 500, jan(1, 0))
	card := func(c *order.Command) { c.Method = "card" }
	because := func(c *order.Command) { c.Reason = "because" }
	toBuyer := func(c *order.Command) { c.ToBuyer, c.Return, c.ToSeller = 9000, true, 1000 }
	w.tell(shop, order.Pay, jan(2, 0), o, card)
	w.tell(shop, order.Ship, jan(3, 0), o)
	w.tell(shop, order.Dispute, jan(4, 0), o, because)
	w.tell(shop, order.Contest, jan(5, 0), o, because)
	w.tell(shop, order.MakeOffer, jan(6, 0), o, toBuyer)
	w.tell(shop, order.AcceptOffer, jan(7, 0), o, toBuyer, func(c *order.Command) { c.By = order.Buyer })
	w.tell(shop, order.ShipBack, jan(8, 0), o)
	w.tell(shop, order.Pay, jan(2, 0), taken, card)
	w.tell(shop, order.TakeBackPayment, jan(4, 0), taken, because)
	for at, want := range map[time.Time][2]string{
		jan(4, 12): {"goes back to the buyer", "The chargeback is lost"},
		jan(5, 12): {"is escalated", "The chargeback is lost"},
		jan(6, 12): {"is escalated", "The chargeback is lost"},
		jan(7, 12): {"released to the seller", "The chargeback is lost"},
		jan(8, 12): {"USD 90.00 goes back", "The chargeback is lost"},
	} {
		list, err := w.books.HeldFundsByOrder(ctx, reports.Options{AsOf: at, Basis: reports.Effective, Now: machine})
		must(t, err)
		sound(t, list.Problems)
		if len(list.Rows) != 2 || !strings.Contains(list.Rows[0].Otherwise, want[0]) || !strings.Contains(list.Rows[1].Otherwise, want[1]) {
			t.Errorf("as of %s: %+v, want %q", at, list.Rows, want)
		}
	}
	list, err := w.books.HeldFundsByOrder(ctx, reports.Options{Now: machine})
	must(t, err)
	if len(list.Rows) != 2 || !strings.Contains(list.Rows[0].Otherwise, "USD 90.00 goes back") {
		t.Errorf("now: %+v", list.Rows)
	}
}
