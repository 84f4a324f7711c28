package reports_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"escrowd/reports"
	"escrowd/settlement/order"
)

func TestOrderSheet(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, shop, other, ids := history(t)

	s, err := w.books.Order(ctx, "", "a4")
	must(t, err)
	if s.Order.ID != ids["a4"].UUID() || s.Order.State != "ruled" || s.Order.Held.Sign() != 0 || len(s.Problems) != 0 {
		t.Errorf("a4: %+v", s)
	}
	if !strings.Contains(s.Explanation.Why, "a ruling released JPY 3000 to the seller") {
		t.Errorf("why: %s", s.Explanation.Why)
	}
	var lines []string
	for _, l := range s.Escrow {
		lines = append(lines, fmt.Sprintf("%s, %s: %s %s frozen %s, balance %s", l.Movement, l.Against, l.Debit, l.Credit, l.Frozen, l.Balance))
	}
	sameLines(t, "T-account of a4", lines, []string{
		"held, 2000 buyer, ann: 0 5000 frozen 0, balance 5000",
		"frozen by a dispute, 2110 dispute suspense: 0 0 frozen 5000, balance 5000",
		"dispute freeze lifted, 2110 dispute suspense: 0 0 frozen -5000, balance 5000",
		"released to the seller by a ruling, 2200 seller pending, bob: 2850 0 frozen 0, balance 2150",
		"fee by a ruling, 4100 fee revenue: 150 0 frozen 0, balance 2000",
		"refunded to the buyer by a ruling, 2000 buyer, ann: 2000 0 frozen 0, balance 0",
	})
	var events []string
	for _, e := range s.Timeline {
		events = append(events, fmt.Sprintf("%d %s by %s at %s: %s, %s held", e.Seq, e.Event, e.By, e.EffectedAt.Format("02 15h"), e.State, e.Held))
		if e.BookedAt.Before(jan(20, 0)) {
			t.Errorf("%s was booked at %s, before this test ran", e.Event, e.BookedAt)
		}
	}
	sameLines(t, "timeline of a4", events, []string{
		"1 agree by operator at 01 00h: agreed, 0 held",
		"2 pay by buyer at 01 12h: held, 5000 held",
		"3 ship by seller at 02 00h: shipped, 5000 held",
		"4 dispute by buyer at 04 00h: disputed, 5000 held",
		"5 rule by operator at 08 00h: ruled, 0 held",
	})

	if s.Order.PaidIn != nil {
		t.Errorf("a4 was paid in its own currency, and has %+v", s.Order.PaidIn)
	}
	yen := order.FX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100}
	paid := w.agree(shop, "in yen", "USD", 10_050, jan(10, 0))
	w.tell(shop, order.Pay, jan(10, 1), paid, func(c *order.Command) { c.Method, c.FX = "card", yen })
	if s, err := w.books.Order(ctx, "", paid.UUID()); err != nil || s.Order.PaidIn == nil || *s.Order.PaidIn != yen || len(s.Problems) != 0 {
		t.Errorf("paid in yen: %+v, %v", s, err)
	}

	// By id, in its own marketplace alone.
	if s, err := w.books.Order(ctx, "", ids["b1"].UUID()); err != nil || s.Order.Reference != "b1" || s.Order.Marketplace != other {
		t.Errorf("by id: %+v, %v", s, err)
	}
	for _, marketplace := range []string{"shop", fmt.Sprint(shop)} {
		if _, err := w.books.Order(ctx, marketplace, "b1"); !errors.Is(err, reports.ErrNoOrder) {
			t.Errorf("another marketplace's order: %v", err)
		}
	}
	// A reference that two marketplaces use, and one that is another's id.
	w.agree(other, "a1", "USD", 5, jan(1, 0))
	twin := w.agree(other, ids["a2"].UUID(), "USD", 5, jan(1, 0))
	var bad *reports.BadOption
	if _, err := w.books.Order(ctx, "", "a1"); !errors.As(err, &bad) || bad.Option != "marketplace" {
		t.Errorf("a reference of two marketplaces: %v", err)
	}
	if s, err := w.books.Order(ctx, "other", "a1"); err != nil || s.Order.Amount.String() != "5" {
		t.Errorf("the other one's a1: %+v, %v", s, err)
	}
	if s, err := w.books.Order(ctx, "", ids["a2"].UUID()); err != nil || s.Order.Reference != "a2" {
		t.Errorf("an id goes before a reference: %+v, %v", s, err)
	}
	if s, err := w.books.Order(ctx, "other", ids["a2"].UUID()); err != nil || s.Order.ID != twin.UUID() {
		t.Errorf("where it is no id it is a reference: %+v, %v", s, err)
	}

	w.exec(`UPDATE orders SET held = 4999, refunded = refunded + 1 WHERE id = $1`, ids["a2"].UUID())
	s, err = w.books.Order(ctx, "shop", "a2")
	must(t, err)
	sameLines(t, "problems", s.Problems, []string{"the order holds 49.99 and its escrow account in the ledger 50.00"})
}

func TestOrders(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, _, _, _ := history(t)
	list := func(f reports.OrderFilter) (lines []string, r *reports.Of[reports.OrderRow]) {
		t.Helper()
		f.Now = machine
		r, err := w.books.Orders(ctx, f)
		must(t, err)
		for _, row := range r.Rows {
			lines = append(lines, fmt.Sprintf("%s %s %s %s", row.Reference, row.State, row.Currency, row.Held))
		}
		return lines, r
	}
	all := []string{"a1 closed USD 0", "a2 held USD 5000", "a3 released USD 0", "a4 ruled JPY 0", "a5 held KWD 10000", "b1 canceled USD 0", "b2 disputed JPY 300"}
	got, _ := list(reports.OrderFilter{})
	sameLines(t, "all", got, all)
	got, _ = list(reports.OrderFilter{State: "held", Marketplace: "shop"})
	sameLines(t, "held", got, []string{all[1], all[4]})
	got, _ = list(reports.OrderFilter{Currency: "JPY"})
	sameLines(t, "JPY", got, []string{all[3], all[6]})
	got, r := list(reports.OrderFilter{Limit: 3})
	sameLines(t, "three", got, all[:3])
	if len(r.Notes) != 1 {
		t.Errorf("notes: %q", r.Notes)
	}
	got, r = list(reports.OrderFilter{Limit: 4, After: r.Rows[2].OrderID})
	sameLines(t, "the rest", got, all[3:])
	if len(r.Notes) != 0 {
		t.Errorf("notes: %q", r.Notes)
	}
	for option, f := range map[string]reports.OrderFilter{"state": {State: "lost"}, "after": {After: "x"}, "marketplace": {Marketplace: "x"}} {
		var bad *reports.BadOption
		if _, err := w.books.Orders(ctx, f); !errors.As(err, &bad) || bad.Option != option {
			t.Errorf("bad %s: %v", option, err)
		}
	}
}
