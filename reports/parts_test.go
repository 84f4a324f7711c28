package reports_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/reports"
	"escrowd/reports/render"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// An order in parts is held as one, by the state and the deadline of the part
// that is next, at any moment; its sheet says where each part is.
func TestPartsAreHeld(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	r, err := w.poster.Do(ctx, posting.Request{Marketplace: shop, Command: order.Command{Event: order.Agree, At: jan(1, 0)},
		Agreement: &posting.Agreement{Reference: "boat", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000,
			Parts: []order.PartTerms{{Name: "hull", Amount: 6_000}, {Name: "mast", Amount: 3_000}, {Name: "sail"}}}})
	must(t, err)
	id := r.Orders[0].ID
	for _, c := range []order.Command{
		{Event: order.Pay, Method: "card", At: jan(1, 0)},
		{Event: order.ShipPart, Parts: []string{"hull", "mast"}, At: jan(2, 0)},
		{Event: order.ReleasePart, Parts: []string{"hull"}, At: jan(4, 0)},
		{Event: order.Refund, Parts: []string{"mast"}, Amount: 500, At: jan(5, 0)},
		{Event: order.MaturePart, By: order.System, At: jan(6, 0)},
		{Event: order.CancelUnshipped, By: order.System, At: jan(11, 0)},
	} {
		_, err := w.poster.Do(ctx, posting.Request{Marketplace: shop, Orders: []ledger.ID{id}, Command: c})
		must(t, err)
	}
	for _, c := range []struct {
		asOf                      time.Time // zero: now
		held, deadline, otherwise string
	}{
		{jan(3, 0), "USD 0-7 part_shipped: 1 orders 10000", "ship_by", "goes back to the buyer"},
		{jan(5, 0), "USD 0-7 part_shipped: 1 orders 3500", "mature_part_at",
			"What the seller has of hull becomes available. At 2024-01-11T00:00:00Z, ship_by: What is held of sail goes back to the buyer."},
		{jan(6, 0), "USD 0-7 part_shipped: 1 orders 3500", "ship_by", "What is held of sail goes back to the buyer."},
		{time.Time{}, "USD 15-30 shipped: 1 orders 2500", "confirm_part_by", "less its share of the fee"},
	} {
		o := reports.Options{AsOf: c.asOf, Basis: reports.Effective, Now: machine}
		held, err := w.books.HeldFunds(ctx, o)
		must(t, err)
		sameLines(t, "held funds as of "+c.asOf.String(), heldLines(held), []string{c.held})
		byOrder, err := w.books.HeldFundsByOrder(ctx, o)
		must(t, err)
		if row := byOrder.Rows[0]; row.Deadline != c.deadline || !strings.Contains(row.Otherwise, c.otherwise) || len(held.Problems)+len(byOrder.Problems) > 0 {
			t.Errorf("as of %s: %+v", c.asOf, row)
		}
	}
	s, err := w.books.Order(ctx, "", "boat")
	must(t, err)
	if s.Order.Maturing.String() != "0" || s.Order.Parts[0].Maturing != nil || s.Order.Parts[0].ReleasedAt == nil || !s.Order.Parts[0].ReleasedAt.Equal(jan(4, 0)) {
		t.Errorf("hull: %+v of %+v", s.Order.Parts[0], s.Order)
	}
	var parts []string
	for _, p := range s.Order.Parts {
		parts = append(parts, fmt.Sprintf("%s %s %s: %s held, %s refunded, %s", p.Name, p.Amount, p.State, p.Held, p.Refunded, p.Deadline))
	}
	sameLines(t, "parts", parts, []string{"hull 6000 released: 0 held, 0 refunded, ", "mast 3000 shipped: 2500 held, 500 refunded, confirm_part_by",
		"sail 1000 refunded: 0 held, 1000 refunded, "})
	if len(s.Problems) > 0 {
		t.Errorf("%q", s.Problems)
	}
	var text bytes.Buffer
	must(t, render.Order(&text, render.Table, s))
	for _, want := range []string{"\nParts\n", "hull", "25.00", "confirm_part_by", "2024-01-17"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
