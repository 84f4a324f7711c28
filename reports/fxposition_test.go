package reports_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// exchanged is two marketplaces that were paid in other currencies, of which one
// has converted a refund back.
func exchanged(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	shop, other := w.marketplace("shop", jan(20, 0)), w.marketplace("other", jan(20, 0))
	pay := func(m uint32, reference, currency string, amount int64, at time.Time, fx order.FX) ledger.ID {
		id := w.agree(m, reference, currency, amount, jan(1, 0))
		w.tell(m, order.Pay, at, id, func(c *order.Command) { c.Method, c.FX = "card", fx })
		return id
	}
	a := pay(shop, "a", "USD", 10_050, jan(2, 0), order.FX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100})
	pay(shop, "b", "KWD", 12_346, jan(3, 0), order.FX{Currency: "USD", Amount: 4_015, Rate: "0.3075"})
	pay(other, "c", "JPY", 4_902, jan(4, 0), order.FX{Currency: "KWD", Amount: 10_005, Rate: "490.25", Spread: 5})
	w.tell(shop, order.Refund, jan(4, 0), a, func(c *order.Command) { c.Amount = 4_000 })
	entry := func(r posting.EntryRequest) treasury.Entry {
		res, err := w.poster.Do(context.Background(), posting.Request{Marketplace: shop, Entry: &r})
		must(t, err)
		return *res.Entry
	}
	e := entry(posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Conversion, Ledger: shop*1000 + 840, Party: "ann", Amount: 4_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: shop*1000 + 392, Amount: 5_821, Rate: "149.25", Spread: 100}}, Command: treasury.Command{At: jan(5, 0)}})
	entry(posting.EntryRequest{ID: e.ID, Command: treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest(), At: jan(6, 0)}})
	return w
}

func TestFXPosition(t *testing.T) {
	t.Parallel()
	w := exchanged(t)
	for _, c := range []struct {
		name string
		o    reports.Options
		want []string
	}{
		{"now", reports.Options{}, []string{
			"shop JPY: 5821 15000 = -9179, spread 100",
			"shop KWD: 12346 0 = 12346, spread 0",
			"shop USD: 10150 8015 = 2135, spread 100",
			"other JPY: 4902 0 = 4902, spread 0",
			"other KWD: 0 10000 = -10000, spread 5",
		}},
		{"before the conversion", reports.Options{AsOf: jan(5, 23), Marketplace: "shop"}, []string{
			"shop JPY: 0 15000 = -15000, spread 100",
			"shop KWD: 12346 0 = 12346, spread 0",
			"shop USD: 10050 4015 = 6035, spread 0",
		}},
		{"one currency", reports.Options{AsOf: jan(20, 0), Currency: "KWD"}, []string{
			"shop KWD: 12346 0 = 12346, spread 0",
			"other KWD: 0 10000 = -10000, spread 5",
		}},
		{"before anything", reports.Options{AsOf: jan(1, 0)}, []string{}},
		{"before anything was booked", reports.Options{AsOf: jan(20, 0), Basis: reports.Booked}, []string{}},
	} {
		r, err := w.books.FXPosition(context.Background(), c.o)
		must(t, err)
		sound(t, r.Problems)
		var lines []string
		for _, row := range r.Rows {
			lines = append(lines, fmt.Sprintf("%s %s: %s %s = %s, spread %s", row.Name, row.Currency, row.Debits, row.Credits, row.Position, row.Spread))
		}
		sameLines(t, c.name, lines, c.want)

		// The movements come to the same.
		moves, err := w.books.FXMovements(context.Background(), c.o)
		must(t, err)
		debits, credits := reports.Amount{}, reports.Amount{}
		for _, m := range moves.Rows {
			debits, credits = debits.Add(m.Debit), credits.Add(m.Credit)
		}
		for _, row := range r.Rows {
			debits, credits = debits.Sub(row.Debits), credits.Sub(row.Credits).Sub(row.Spread)
		}
		if debits.Sign() != 0 || credits.Sign() != 0 {
			t.Errorf("%s: the movements have %s and %s more than the positions", c.name, debits, credits)
		}
	}
	moves, err := w.books.FXMovements(context.Background(), reports.Options{Marketplace: "shop", AsOf: jan(2, 0)})
	must(t, err)
	var lines []string
	for _, m := range moves.Rows {
		lines = append(lines, fmt.Sprintf("%s %d %s, %s: %s %s", m.Currency, m.Code, m.Account, m.Movement, m.Debit, m.Credit))
	}
	sameLines(t, "movements of the first payment", lines, []string{
		"JPY 1400 FX position, payment received in another currency: 0 15000",
		"JPY 4110 FX spread, FX spread kept of a payment: 0 100",
		"USD 1400 FX position, converted, to the buyer: 10050 0",
	})
}

// A chargeback of what was paid in another currency goes through both positions,
// and back if it is won; lost, they bear what its rate was off.
func TestFXPositionOfChargebacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	var ids []ledger.ID
	for _, reference := range []string{"a", "b"} {
		id := w.agree(shop, reference, "USD", 10_050, jan(1, 0))
		w.tell(shop, order.Pay, jan(2, 0), id, func(c *order.Command) {
			c.Method, c.FX = "card", order.FX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100}
		})
		w.tell(shop, order.TakeBackPayment, jan(3, 0), id, func(c *order.Command) {
			c.Reason, c.FX = "10.4", order.FX{Currency: "JPY", Amount: 15_100, Rate: "0.0066556291"}
		})
		ids = append(ids, id)
	}
	w.tell(shop, order.WinChargeback, jan(4, 0), ids[0])
	w.tell(shop, order.LoseChargeback, jan(5, 0), ids[1])
	for _, c := range []struct {
		when string
		asOf time.Time
		want []string
	}{
		{"paid", jan(2, 0), []string{"JPY: 0 30000 = -30000, spread 200", "USD: 20100 0 = 20100, spread 0"}},
		{"taken", jan(3, 0), []string{"JPY: 30200 30000 = 200, spread 200", "USD: 20100 20100 = 0, spread 0"}},
		{"one won, one lost", jan(6, 0), []string{"JPY: 30200 45100 = -14900, spread 200", "USD: 30150 20100 = 10050, spread 0"}},
	} {
		r, err := w.books.FXPosition(context.Background(), reports.Options{AsOf: c.asOf})
		must(t, err)
		sound(t, r.Problems)
		var lines []string
		for _, row := range r.Rows {
			lines = append(lines, fmt.Sprintf("%s: %s %s = %s, spread %s", row.Currency, row.Debits, row.Credits, row.Position, row.Spread))
		}
		sameLines(t, c.when, lines, c.want)
	}
	moves, err := w.books.FXMovements(context.Background(), reports.Options{AsOf: jan(4, 0), Currency: "JPY"})
	must(t, err)
	var lines []string
	for _, m := range moves.Rows {
		if m.About == ids[0].UUID() && m.EffectiveAt.After(jan(2, 0)) {
			lines = append(lines, fmt.Sprintf("%s: %s %s", m.Movement, m.Debit, m.Credit))
		}
	}
	sameLines(t, "movements of the one that was won", lines, []string{"chargeback taken in the currency that was paid: 15100 0", "chargeback given back in the currency that was paid: 0 15100"})
}
