package reports_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/pages"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// history tells a small history in two marketplaces and three currencies.
// The standard policy's fee is 5 %.
//
//	shop  a1 USD 100.00  paid 1st, shipped 2nd, delivered 3rd, released by its deadline 10th, matured 12th
//	      a2 USD  50.00  paid 5th with a3, held
//	      a3 USD   7.01  paid 5th with a2, shipped 6th, confirmed 7th
//	      a4 JPY   5000  paid 1st, shipped 2nd, disputed 4th, ruled 8th: 3000 to the seller, 2000 back
//	      a5 KWD 12.345  paid 2nd, 2.345 refunded 3rd
//	other b1 USD  10.00  paid 3rd, canceled 4th
//	      b2 JPY    300  paid 3rd, shipped 4th, disputed 5th
func history(t *testing.T) (w *world, shop, other uint32, ids map[string]ledger.ID) {
	t.Helper()
	w = newWorld(t)
	shop, other = w.marketplace("shop", jan(20, 0)), w.marketplace("other", jan(20, 0))
	ids = map[string]ledger.ID{}
	for _, o := range []struct {
		m         uint32
		reference string
		currency  string
		amount    int64
	}{{shop, "a1", "USD", 10000}, {shop, "a2", "USD", 5000}, {shop, "a3", "USD", 701}, {shop, "a4", "JPY", 5000},
		{shop, "a5", "KWD", 12345}, {other, "b1", "USD", 1000}, {other, "b2", "JPY", 300}} {
		ids[o.reference] = w.agree(o.m, o.reference, o.currency, o.amount, jan(1, 0))
	}
	w.pay(shop, jan(1, 12), ids["a1"])
	w.tell(shop, order.Ship, jan(2, 0), ids["a1"])
	w.tell(shop, order.Deliver, jan(3, 0), ids["a1"])
	w.tell(shop, order.ReleaseUnconfirmed, jan(10, 0), ids["a1"])
	w.tell(shop, order.Mature, jan(12, 0), ids["a1"])
	w.pay(shop, jan(5, 0), ids["a2"], ids["a3"])
	w.tell(shop, order.Ship, jan(6, 0), ids["a3"])
	w.tell(shop, order.Confirm, jan(7, 0), ids["a3"])
	w.pay(shop, jan(1, 12), ids["a4"])
	w.tell(shop, order.Ship, jan(2, 0), ids["a4"])
	w.tell(shop, order.Dispute, jan(4, 0), ids["a4"], reason)
	w.tell(shop, order.Rule, jan(8, 0), ids["a4"], func(c *order.Command) { c.ToSeller, c.ToBuyer, c.Reason = 3000, 2000, "half" })
	w.pay(shop, jan(2, 0), ids["a5"])
	w.tell(shop, order.Refund, jan(3, 0), ids["a5"], func(c *order.Command) { c.Amount = 2345 })
	w.pay(other, jan(3, 0), ids["b1"])
	w.tell(other, order.Cancel, jan(4, 0), ids["b1"])
	w.pay(other, jan(3, 0), ids["b2"])
	w.tell(other, order.Ship, jan(4, 0), ids["b2"])
	w.tell(other, order.Dispute, jan(5, 0), ids["b2"], reason)
	return w, shop, other, ids
}

func TestTrialBalance(t *testing.T) {
	t.Parallel()
	w, _, _, _ := history(t)
	now := []string{
		"JPY 1100 pay-in clearing: 5300 0 = 5300",
		"JPY 2000 buyer: 5300 7300 = 2000",
		"JPY 2100 escrow: 5000 5300 = 300", // the open freeze of b2 and the lifted one of a4 count nothing
		"JPY 2200 seller pending: 0 2850 = 2850",
		"JPY 4100 fee revenue: 0 150 = 150",
		"KWD 1100 pay-in clearing: 12345 0 = 12345",
		"KWD 2000 buyer: 12345 14690 = 2345",
		"KWD 2100 escrow: 2345 12345 = 10000",
		"USD 1100 pay-in clearing: 16701 0 = 16701",
		"USD 2000 buyer: 16701 17701 = 1000",
		"USD 2100 escrow: 11701 16701 = 5000",
		"USD 2200 seller pending: 9500 10166 = 666",
		"USD 2210 seller available: 0 9500 = 9500",
		"USD 4100 fee revenue: 0 535 = 535", // 5 % of 7.01 is 0.3505: 0.35
	}
	tests := []struct {
		name string
		o    reports.Options
		want []string
	}{
		{"now", reports.Options{}, now},
		{"as of the clocks' now", reports.Options{AsOf: jan(20, 0)}, now},
		{"before anything", reports.Options{AsOf: jan(1, 11)}, []string{}},
		{"one marketplace by name", reports.Options{Marketplace: "other"}, []string{
			"JPY 1100 pay-in clearing: 300 0 = 300",
			"JPY 2000 buyer: 300 300 = 0",
			"JPY 2100 escrow: 0 300 = 300",
			"USD 1100 pay-in clearing: 1000 0 = 1000",
			"USD 2000 buyer: 1000 2000 = 1000",
			"USD 2100 escrow: 1000 1000 = 0",
		}},
		{"one marketplace by number, one currency, with a moment", reports.Options{Marketplace: "2", Currency: "usd", AsOf: jan(3, 0)}, []string{
			"USD 1100 pay-in clearing: 1000 0 = 1000",
			"USD 2000 buyer: 1000 1000 = 0",
			"USD 2100 escrow: 0 1000 = 1000",
		}},
		{"one currency of all marketplaces", reports.Options{Currency: "KWD", AsOf: jan(2, 23)}, []string{
			"KWD 1100 pay-in clearing: 12345 0 = 12345",
			"KWD 2000 buyer: 12345 12345 = 0",
			"KWD 2100 escrow: 0 12345 = 12345",
		}},
		{"the very moment of a release counts", reports.Options{Currency: "USD", Marketplace: "shop", AsOf: jan(10, 0)}, []string{
			"USD 1100 pay-in clearing: 15701 0 = 15701",
			"USD 2000 buyer: 15701 15701 = 0",
			"USD 2100 escrow: 10701 15701 = 5000",
			"USD 2200 seller pending: 0 10166 = 10166",
			"USD 4100 fee revenue: 0 535 = 535",
		}},
		{"a nanosecond before it does not", reports.Options{Currency: "USD", Marketplace: "shop", AsOf: jan(10, 0).Add(-1)}, []string{
			"USD 1100 pay-in clearing: 15701 0 = 15701",
			"USD 2000 buyer: 15701 15701 = 0",
			"USD 2100 escrow: 701 15701 = 15000",
			"USD 2200 seller pending: 0 666 = 666",
			"USD 4100 fee revenue: 0 35 = 35",
		}},
	}
	for _, test := range tests {
		r := w.trial(test.o)
		sameLines(t, test.name, trialLines(r), test.want)
		if r.Rows == nil && len(test.want) > 0 {
			t.Errorf("%s: no rows", test.name)
		}
	}

	r := w.trial(reports.Options{Currency: "USD"})
	if len(r.Totals) != 1 || r.Totals[0].Debits.String() != "54603" || r.Totals[0].Credits.String() != "54603" {
		t.Errorf("totals: %+v", r.Totals)
	}
	if !r.Head.AsOf.Equal(jan(20, 0)) || !r.Head.Open || r.Head.Basis != reports.Effective {
		t.Errorf("without a moment the report is dated by the marketplaces' clocks: %+v", r.Head)
	}
}

func TestTrialBalanceByAccount(t *testing.T) {
	t.Parallel()
	w, shop, other, ids := history(t)
	for _, o := range []reports.Options{{Currency: "USD", Now: machine}, {Currency: "USD", AsOf: jan(20, 0)}} {
		r, err := w.books.TrialBalanceByAccount(context.Background(), o)
		must(t, err)
		sound(t, r.Problems)
		type row struct {
			code         int
			owner, total string
			marketplace  uint32
		}
		want := []row{
			{1100, "card", "15701", shop}, {1100, "card", "1000", other},
			{2000, "ann", "0", shop}, {2000, "ann", "1000", other},
			{2100, "a1", "0", shop}, {2100, "a2", "5000", shop}, {2100, "a3", "0", shop}, {2100, "b1", "0", other},
			{2200, "bob", "666", shop}, {2210, "bob", "9500", shop}, {4100, "", "535", shop},
		}
		if len(r.Rows) != len(want) {
			t.Fatalf("%d rows, want %d: %+v", len(r.Rows), len(want), r.Rows)
		}
		left := map[row]int{}
		for i, got := range r.Rows {
			left[row{got.Code, got.Owner, got.Balance.String(), got.Marketplace}]++
			left[want[i]]--
			if got.Code == 2100 && got.AccountID != ids[got.Owner].UUID() {
				t.Errorf("escrow account of %s is %s, want the order's id %s", got.Owner, got.AccountID, ids[got.Owner].UUID())
			}
		}
		for k, n := range left {
			if n != 0 {
				t.Errorf("%+v: %+d", k, n)
			}
		}
	}
}

func TestHeldFunds(t *testing.T) {
	t.Parallel()
	w, shop, _, ids := history(t)
	tests := []struct {
		name string
		o    reports.Options
		want []string
	}{
		// By the marketplaces' own clocks it is the 20th, whatever the machine says.
		{"now", reports.Options{}, []string{
			"JPY 15-30 disputed: 1 orders 300", "KWD 15-30 held: 1 orders 10000", "USD 15-30 held: 1 orders 5000"}},
		{"as of the 20th", reports.Options{AsOf: jan(20, 0)}, []string{
			"JPY 15-30 disputed: 1 orders 300", "KWD 15-30 held: 1 orders 10000", "USD 15-30 held: 1 orders 5000"}},
		{"as of the 9th", reports.Options{AsOf: jan(9, 13)}, []string{
			"JPY 0-7 disputed: 1 orders 300", "KWD 0-7 held: 1 orders 10000",
			"USD 0-7 held: 1 orders 5000", "USD 8-14 delivered: 1 orders 10000"}},
		{"as of the 5th", reports.Options{AsOf: jan(5, 0)}, []string{
			"JPY 0-7 disputed: 2 orders 5300", "KWD 0-7 held: 1 orders 10000",
			"USD 0-7 held: 2 orders 5701", "USD 0-7 delivered: 1 orders 10000"}},
		{"a nanosecond before the 5th", reports.Options{AsOf: jan(5, 0).Add(-1)}, []string{
			"JPY 0-7 shipped: 1 orders 300", "JPY 0-7 disputed: 1 orders 5000", "KWD 0-7 held: 1 orders 10000", "USD 0-7 delivered: 1 orders 10000"}},
		{"as of the 2nd, of one marketplace", reports.Options{AsOf: jan(2, 0), Marketplace: "shop"}, []string{
			"JPY 0-7 shipped: 1 orders 5000", "KWD 0-7 held: 1 orders 12345", "USD 0-7 shipped: 1 orders 10000"}},
		{"before anything", reports.Options{AsOf: jan(1, 0)}, []string{}},
		{"long after", reports.Options{AsOf: jan(20, 0).AddDate(0, 3, 0), Currency: "USD"}, []string{"USD 90+ held: 1 orders 5000"}},
	}
	for _, test := range tests {
		sameLines(t, test.name, heldLines(w.held(test.o)), test.want)
	}

	r := w.held(reports.Options{AsOf: jan(5, 0), Currency: "USD"})
	first := r.Rows[0]
	if first.Reason != order.HeldBecause(order.Held) || first.NextActor != "seller" || !first.Oldest.Equal(jan(5, 0)) ||
		!first.EarliestDeadline.Equal(jan(15, 0)) {
		t.Errorf("held: %+v", first)
	}
	if total := r.Totals[0]; total.Orders != 3 || total.Amount.String() != "15701" || !total.Oldest.Equal(jan(1, 12)) {
		t.Errorf("total: %+v", total)
	}

	byOrder, err := w.books.HeldFundsByOrder(context.Background(), reports.Options{AsOf: jan(12, 0).Add(time.Second), Currency: "USD"})
	must(t, err)
	sound(t, byOrder.Problems)
	if len(byOrder.Rows) != 1 {
		t.Fatalf("%d rows, want 1: %+v", len(byOrder.Rows), byOrder.Rows)
	}
	a2 := byOrder.Rows[0]
	want := reports.HeldOrderRow{Currency: "USD", Bucket: "0-7", State: "held", Reason: "paid, not yet shipped", NextActor: "seller",
		Amount: a2.Amount, Marketplace: shop, Reference: "a2", OrderID: ids["a2"].UUID(), Buyer: "ann", Seller: "bob",
		PaidAt: jan(5, 0), Days: 7, Deadline: "ship_by", DeadlineAt: jan(15, 0), Overdue: false,
		Otherwise: "The order is canceled and all that is held goes back to the buyer."}
	if a2 != want || a2.Amount.String() != "5000" {
		t.Errorf("got  %+v\nwant %+v", a2, want)
	}
	for at, overdue := range map[time.Time]bool{jan(15, 0): false, jan(15, 0).Add(time.Microsecond): true} {
		r, err := w.books.HeldFundsByOrder(context.Background(), reports.Options{AsOf: at, Currency: "USD"})
		must(t, err)
		if r.Rows[0].Overdue != overdue {
			t.Errorf("at %s overdue is %v", at, r.Rows[0].Overdue)
		}
	}
}

// An order is in the next bucket when its day is over, to the microsecond, be the
// moment that of the report or of the marketplace's own clock.
func TestHeldFundsAtTheEdges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(1, 12))
	w.pay(shop, jan(1, 12), w.agree(shop, "a", "USD", 1, jan(1, 0)))
	for _, c := range []struct {
		days          int
		before, after string
	}{{1, "0-7", "0-7"}, {8, "0-7", "8-14"}, {15, "8-14", "15-30"}, {31, "15-30", "31-60"}, {61, "31-60", "61-90"}, {91, "61-90", "90+"}, {2000, "90+", "90+"}} {
		day := jan(1, 12).AddDate(0, 0, c.days)
		for at, bucket := range map[time.Time]string{day.Add(-1): c.before, day.Add(-time.Microsecond): c.before, day: c.after, day.Add(999): c.after} {
			sameLines(t, "as of "+at.String(), heldLines(w.held(reports.Options{AsOf: at})), []string{"USD " + bucket + " held: 1 orders 1"})
		}
		for _, at := range []time.Time{day.Add(-time.Microsecond), day} {
			_, err := w.store.AdvanceClock(context.Background(), shop, at, jan(1, 12))
			must(t, err)
			bucket := map[bool]string{true: c.before, false: c.after}[at.Before(day)]
			sameLines(t, "when it is "+at.String(), heldLines(w.held(reports.Options{})), []string{"USD " + bucket + " held: 1 orders 1"})
		}
	}
	// Before it was paid it is no younger than 0 days: clocks may differ.
	live, err := w.store.CreateMarketplace(context.Background(), "live", orderdb.LiveClock, time.Time{})
	must(t, err)
	w.pay(live.ID, machine.Add(time.Hour), w.agree(live.ID, "b", "KWD", 1, machine))
	sameLines(t, "two clocks", heldLines(w.held(reports.Options{})), []string{"KWD 0-7 held: 1 orders 1", "USD 90+ held: 1 orders 1"})
}

// Pages that do not fit the journal are not used, and the report says so.
func TestUnfitPages(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w, _, _, _ := history(t)
	o := reports.Options{AsOf: jan(9, 0)}
	trial, held := trialLines(w.trial(o)), heldLines(w.held(o))
	_, err := pages.Close(ctx, w.db, 3, nil)
	must(t, err)
	sameLines(t, "closed: trial balance", trialLines(w.trial(o)), trial)
	sameLines(t, "closed: held funds", heldLines(w.held(o)), held)
	w.exec(`DELETE FROM ledger_pages WHERE after = (SELECT after FROM ledger_pages ORDER BY after OFFSET 1 LIMIT 1)`)
	for _, kind := range reports.Kinds {
		r, err := kind.Run(ctx, w.books, o, false)
		must(t, err)
		problems, notes := r.Findings()
		sound(t, problems)
		// Dormant balances are read account by account, and need no pages.
		told := slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, "closed pages") })
		if told != (kind.Name != "dormant") {
			t.Errorf("%s: notes %q", kind.Name, notes)
		}
	}
	sameLines(t, "a page is missing", trialLines(w.trial(o)), trial)
}

// A movement that is booked late counts effectively from when it took effect,
// and as booked only from when the ledger had it.
func TestBookedLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	a1, a2 := w.agree(shop, "a1", "USD", 1000, jan(1, 0)), w.agree(shop, "a2", "USD", 200, jan(1, 0))
	start := w.machineNow()
	w.pay(shop, jan(1, 12), a1)
	paid := w.machineNow()
	w.tell(shop, order.Ship, jan(2, 0), a1) // moves no money, and has its time in the books all the same
	first := w.machineNow()
	w.tell(shop, order.Confirm, jan(9, 0), a1)
	second := w.machineNow()
	w.pay(shop, jan(1, 6), a2) // took effect before all others, booked last
	third := w.machineNow()

	for _, test := range []struct {
		name string
		o    reports.Options
		want []string
	}{
		{"effective, at noon of the 1st", reports.Options{AsOf: jan(1, 12)}, []string{"USD 0-7 held: 2 orders 1200"}},
		{"effective, at 6 of the 1st", reports.Options{AsOf: jan(1, 6)}, []string{"USD 0-7 held: 1 orders 200"}},
		{"booked, before anything", reports.Options{AsOf: start, Basis: reports.Booked}, []string{}},
		{"booked, after a1 was paid", reports.Options{AsOf: paid, Basis: reports.Booked}, []string{"USD 90+ held: 1 orders 1000"}},
		{"booked, after a1 was shipped", reports.Options{AsOf: first, Basis: reports.Booked}, []string{"USD 90+ shipped: 1 orders 1000"}},
		{"booked, after a1 was confirmed", reports.Options{AsOf: second, Basis: reports.Booked}, []string{}},
		{"booked, after a2 was paid", reports.Options{AsOf: third, Basis: reports.Booked}, []string{"USD 90+ held: 1 orders 200"}},
		{"booked, now", reports.Options{Basis: reports.Booked}, []string{"USD 15-30 held: 1 orders 200"}},
		{"booked, when 2024 was all that the marketplace knew", reports.Options{AsOf: jan(20, 0), Basis: reports.Booked}, []string{}},
	} {
		sameLines(t, test.name, heldLines(w.held(test.o)), test.want)
	}
	sameLines(t, "trial balance, booked", trialLines(w.trial(reports.Options{AsOf: first, Basis: reports.Booked})), []string{
		"USD 1100 pay-in clearing: 1000 0 = 1000", "USD 2000 buyer: 1000 1000 = 0", "USD 2100 escrow: 0 1000 = 1000"})
}

// machineNow is the database's clock, which dates what moves no money.
func (w *world) machineNow() time.Time {
	w.t.Helper()
	var now time.Time
	must(w.t, w.db.Get(&now, `SELECT clock_timestamp()`))
	return now
}

// A moment between two legs of one event shows none of it: half a payment was
// never in the books.
func TestBookedInsideAChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	w.pay(shop, jan(2, 0), w.agree(shop, "a1", "USD", 1000, jan(1, 0)), w.agree(shop, "a2", "USD", 500, jan(1, 0)))
	var stamps []int64
	must(t, w.db.Select(&stamps, `SELECT timestamp FROM ledger_transfers ORDER BY timestamp`))
	if len(stamps) != 3 {
		t.Fatalf("%d transfers, want the receipt and two holds", len(stamps))
	}
	for i, stamp := range stamps {
		o := reports.Options{AsOf: time.Unix(0, stamp), Basis: reports.Booked}
		want := []string{}
		if i == 2 {
			want = []string{"USD 90+ held: 2 orders 1500"}
		}
		sameLines(t, "held funds at a leg", heldLines(w.held(o)), want)
		if got := len(w.trial(o).Rows); (got > 0) != (i == 2) {
			t.Errorf("at leg %d the trial balance has %d rows", i+1, got)
		}
	}
}

func TestEmptyBooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range []reports.Options{{}, {AsOf: machine}, {AsOf: machine, Basis: reports.Booked}, {AsOf: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), Basis: reports.Booked}} {
		trial, held := w.trial(o), w.held(o)
		if len(trial.Rows)+len(held.Rows)+len(trial.Totals)+len(held.Totals) != 0 {
			t.Errorf("empty books have rows: %+v %+v", trial, held)
		}
		if trial.Head.LedgerTimestamp != 0 {
			t.Errorf("ledger timestamp %d of an empty journal", trial.Head.LedgerTimestamp)
		}
		if o.AsOf.IsZero() && !trial.Head.AsOf.Equal(machine) {
			t.Errorf("without marketplaces the machine dates a report: %s", trial.Head.AsOf)
		}
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.marketplace("shop", jan(1, 0))
	for option, o := range map[string]reports.Options{
		"marketplace": {Marketplace: "nobody"},
		"currency":    {Currency: "XYZ"},
		"basis":       {Basis: "guessed"},
	} {
		for _, kind := range reports.Kinds {
			_, err := kind.Run(context.Background(), w.books, o, false)
			var bad *reports.BadOption
			if !errors.As(err, &bad) || bad.Option != option {
				t.Errorf("%s with a bad %s: %v", kind.Name, option, err)
			}
		}
	}
}
