package reports_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"escrowd/reports"
	"escrowd/settlement/order"
)

// Orders at the steps of a dispute are among the held funds, now and then, each
// with what becomes of its money if nobody acts.
func TestHeldFundsInDispute(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	m := w.marketplace("shop", jan(31, 0))
	p := order.Standard()
	d := order.Seconds(24 * 60 * 60)
	p.RespondWithin, p.NegotiateWithin, p.EvidenceWithin, p.AppealWithin = 5*d, 10*d, 4*d, 2*d
	p.ReturnWithin, p.InspectWithin, p.ReplaceWithin = 10*d, 3*d, 7*d
	_, err := w.store.AddPolicy(ctx, m, p)
	must(t, err)
	path := []order.Command{{Event: order.Dispute, Amount: 400, Reason: "torn"}, {Event: order.Contest, Reason: "no"}}
	offer := func(c order.Command) []order.Command {
		c.Event, c.By = order.MakeOffer, order.Seller
		accept := order.Command{Event: order.AcceptOffer, By: order.Buyer, ToBuyer: c.ToBuyer, Replacement: c.Replacement}
		return append(path[:2:2], c, accept)
	}
	returned := append(offer(order.Command{ToBuyer: 900, Return: true}), order.Command{Event: order.ShipBack})
	want := map[string]string{}
	at := jan(3, 0)
	for reference, c := range map[string]struct {
		path      []order.Command
		otherwise string
	}{
		"disputed":    {path[:1], "What is claimed goes back"},
		"negotiating": {path, "escalated"},
		"replacing":   {offer(order.Command{Replacement: true}), "What is claimed goes back"},
		"returned":    {returned, "USD 9.00 goes back"},
		"escalated":   {append(returned[:5:5], order.Command{Event: order.RefuseReturn, Amount: 100, Reason: "torn"}), "no evidence of the damage, USD 9.00"},
		"decided":     {append(path[:1:1], order.Command{Event: order.Rule, ToSeller: 1000}), "The ruling is carried out"},
	} {
		id := w.agree(m, reference, "USD", 1000, jan(1, 0))
		w.pay(m, jan(1, 0), id)
		w.tell(m, order.Ship, jan(2, 0), id)
		for _, step := range c.path {
			w.tell(m, step.Event, at, id, func(to *order.Command) {
				when := to.At
				*to = step
				to.At = when
			})
		}
		want[reference] = c.otherwise
	}
	for _, o := range []reports.Options{{Currency: "USD"}, {Currency: "USD", AsOf: at.Add(time.Hour)}} {
		o.Now = machine
		r, err := w.books.HeldFundsByOrder(ctx, o)
		must(t, err)
		if len(r.Rows) != len(want) {
			t.Errorf("%d orders, want %d", len(r.Rows), len(want))
		}
		for _, row := range r.Rows {
			if row.State != row.Reference || row.Amount.Cmp(reports.Units(1000)) != 0 || !strings.Contains(row.Otherwise, want[row.Reference]) {
				t.Errorf("%s: %+v", row.Reference, row)
			}
		}
	}
}
