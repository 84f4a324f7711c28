package posting_test

import (
	"errors"
	"testing"
	"time"

	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// The kuna gave way to the euro on this day.
var euroDay = time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)

// zagreb makes the world's marketplace one whose clock stands two days before
// that. Its ledgers are market*1000 + 191 and + 978.
func (w *world) zagreb() {
	w.t.Helper()
	m, err := w.store.CreateMarketplace(w.ctx, "zagreb", orderdb.TestClock, euroDay.AddDate(0, 0, -2))
	w.must(err)
	w.market = m
}

func (w *world) in(currency string) uint32 {
	return w.market.ID*1000 + map[string]uint32{"HRK": 191, "EUR": 978, "JPY": 392, "KWD": 414, "USD": 840}[currency]
}

func (w *world) agreeIn(reference, currency string, amount int64, at time.Time) (order.Order, error) {
	w.t.Helper()
	r := w.agreement(reference)
	r.Agreement.Currency, r.Agreement.Amount, r.Command.At = currency, amount, at
	res, err := w.poster.Do(w.ctx, r)
	if err != nil {
		return order.Order{}, err
	}
	return res.Orders[0], nil
}

// What was agreed in a currency goes on when it is withdrawn, to the payout;
// nothing new is agreed or received in it.
func TestCurrencyIsWithdrawn(t *testing.T) {
	w := newWorld(t, nil)
	w.zagreb()
	const gone = "HRK was withdrawn on 2023-01-01: EUR took its place"
	invalid := func(what string, err error) {
		t.Helper()
		var bad *posting.Invalid
		if !errors.As(err, &bad) || bad.Field != "currency" || bad.Detail != gone {
			t.Errorf("%s: %v", what, err)
		}
	}
	paid, err := w.agreeIn("paid", "HRK", 75_345, time.Time{})
	w.must(err)
	w.do(paid.ID, order.Command{Event: order.Pay, Method: "card"})
	unpaid, err := w.agreeIn("unpaid", "HRK", 10_000, time.Time{})
	w.must(err)

	w.clock(euroDay.AddDate(0, 0, 1))
	_, err = w.agreeIn("new", "HRK", 100, time.Time{})
	invalid("agreed now", err)
	_, err = w.agreeIn("new", "HRK", 100, euroDay)
	invalid("agreed on the day", err)
	_, err = posting.Quote(w.ctx, w.store, w.market, posting.Agreement{Currency: "HRK", Amount: 100}, time.Time{}, time.Now())
	invalid("quoted", err)
	_, err = w.agreeIn("late", "HRK", 100, euroDay.Add(-time.Microsecond))
	if err != nil {
		t.Errorf("agreed before and booked late: %v", err)
	}
	_, err = w.agreeIn("gold", "XAU", 100, time.Time{})
	if err == nil || err.Error() != "currency: XAU, gold, has no minor unit" {
		t.Errorf("gold: %v", err)
	}

	entry := func(k treasury.Terms) (treasury.Entry, error) {
		k.Ledger = w.in("HRK")
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{New: &k}})
		if err != nil {
			return treasury.Entry{}, err
		}
		return *r.Entry, nil
	}
	var refusal *order.Refusal
	_, err = entry(treasury.Terms{Kind: treasury.Receipt, Party: "ann", Method: "card", Reference: "line 1", Amount: 5})
	if !errors.As(err, &refusal) || refusal.Rule != order.RuleCurrency || refusal.Detail != gone {
		t.Errorf("a receipt: %v", err)
	}

	w.do(unpaid.ID, order.Command{Event: order.Pay, Method: "card"})
	if o := w.do(unpaid.ID, order.Command{Event: order.Cancel}); o.Refunded != 10_000 {
		t.Errorf("what was agreed before: %+v", o.Progress)
	}
	w.do(paid.ID, order.Command{Event: order.Ship})
	o := w.do(paid.ID, order.Command{Event: order.Confirm})
	w.clock(o.DeadlineAt)
	o = w.do(paid.ID, order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt})
	w.verify("bob")
	for _, k := range []treasury.Terms{
		{Kind: treasury.Payout, Party: "bob", Amount: o.Released - o.FeeCharged - o.TaxCharged},
		{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: 10_000},
	} {
		if _, err := entry(k); err != nil {
			t.Errorf("%s of what was there before: %v", k.Kind, err)
		}
	}
	w.balanced()
}
