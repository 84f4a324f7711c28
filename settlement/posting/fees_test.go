package posting_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// ruled gives the marketplace a policy with fees by method and tier, and tax by
// jurisdiction.
func (w *world) ruled() {
	w.t.Helper()
	p := order.Standard()
	p.Fees = map[string]order.Fee{"*": {Bps: 1_000}}
	p.FeeRules = []order.FeeRule{
		{Method: "wallet", Fee: order.Fee{Bps: 400}, BorneBy: order.BuyerBears},
		{Method: "card", Fee: order.Fee{Bps: 300}, BorneBy: order.BothBear, BuyerBps: 5_000},
		{Tier: "gold", Fee: order.Fee{Bps: 200}, BorneBy: order.BuyerBears},
	}
	p.Taxes = map[string]int64{"DE": 1_900, "US-CA": 0}
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
}

func (w *world) agreeWith(reference, tier, jurisdiction string) order.Order {
	w.t.Helper()
	r := w.agreement(reference)
	r.Agreement.SellerTier, r.Agreement.Jurisdiction = tier, jurisdiction
	done, err := w.poster.Do(w.ctx, r)
	w.must(err)
	return done.Orders[0]
}

// What the buyer bears of a fee is held with the goods' price, and paid out or
// back with it; what is stored is what was decided, at every step.
func TestFeesByMethodAndTier(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	o := w.agreeWith("F-1", "gold", "DE")
	if o.Fee != 200 || o.Tax != 38 || o.BuyerShare != 238 || o.SellerTier != "gold" || o.Jurisdiction != "DE" || o.Held != 0 {
		t.Fatalf("agreed: %+v", o.Terms)
	}
	pay := func(id ledger.ID, method string) order.Order {
		return w.do(id, order.Command{Event: order.Pay, Method: method, At: start})
	}
	step := func(o order.Order, held int64, charge order.Charge) {
		t.Helper()
		if o.Held != held || o.Charge() != charge {
			t.Errorf("%d held of %+v, want %d of %+v", o.Held, o.Charge(), held, charge)
		}
		if got := w.order(o.ID); got.Progress != o.Progress || !reflect.DeepEqual(got.Terms, o.Terms) {
			t.Errorf("stored   %+v\n%+v\nanswered %+v\n%+v", got.Terms, got.Progress, o.Terms, o.Progress)
		}
		w.balanced()
	}
	step(o, 0, order.Charge{Amount: 10_000, Fee: 200, Tax: 38, BuyerShare: 238})

	wallet := order.Charge{Amount: 10_000, Fee: 400, Tax: 76, BuyerShare: 476}
	step(pay(o.ID, "wallet"), 10_476, wallet)
	w.do(o.ID, order.Command{Event: order.Ship, At: start})
	step(w.do(o.ID, order.Command{Event: order.Confirm, At: start}), 0, wallet)
	want := map[chart.AccountCode][2]int64{chart.PayinClearing: {10_476, 0}, chart.Buyer: {10_476, 10_476}, chart.Escrow: {10_476, 10_476},
		chart.SellerPending: {0, 10_000}, chart.FeeRevenue: {0, 400}, chart.TaxPayable: {0, 76}}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	for i, e := range line {
		if settled := i > 0; (e.After.Captured == wallet) != settled || (e.After.Method == "wallet") != settled {
			t.Errorf("after %s: %+v by %q", e.Event, e.After.Captured, e.After.Method)
		}
	}

	// By a method that no rule names the terms hold.
	voucher := w.agreeWith("F-2", "gold", "US-CA")
	step(pay(voucher.ID, "voucher"), 10_200, order.Charge{Amount: 10_000, Fee: 200, BuyerShare: 200})
	step(w.do(voucher.ID, order.Command{Event: order.Cancel, At: start}), 0, order.Charge{Amount: 10_000, Fee: 200, BuyerShare: 200})
	plain := w.agreeWith("F-3", "", "")
	step(pay(plain.ID, "voucher"), 10_000, order.Charge{Amount: 10_000, Fee: 1_000})

	// Authorised by one method, and a part captured, as if that had been agreed.
	part := w.agreeWith("F-4", "", "")
	card := order.Charge{Amount: 10_000, Fee: 300, BuyerShare: 150}
	step(w.do(part.ID, order.Command{Event: order.Authorise, Method: "card", At: start}), 0, card)
	step(w.do(part.ID, order.Command{Event: order.Capture, By: order.Operator, Amount: 4_060, At: start}), 4_060,
		order.Charge{Amount: 4_000, Fee: 120, BuyerShare: 60})
	void := w.agreeWith("F-5", "", "")
	w.do(void.ID, order.Command{Event: order.Authorise, Method: "card", At: start})
	step(w.do(void.ID, order.Command{Event: order.Void, At: start}), 0, card)

	// Another process reads what this one would have remembered.
	second := w.another()
	r, err := second.Do(w.ctx, w.event(part.ID, order.Command{Event: order.Refund, Amount: 60, At: start}))
	w.must(err)
	step(r.Orders[0], 4_000, order.Charge{Amount: 4_000, Fee: 120, BuyerShare: 60})
}

// One payment of several orders is of all that they come to by the method.
func TestOnePaymentWithShares(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	a, b := w.agreeWith("P-1", "", ""), w.agreeWith("P-2", "gold", "DE")
	pay := posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{a.ID, b.ID},
		Command: order.Command{Event: order.Pay, Method: "wallet", Amount: 20_000, At: start}}
	_, err := w.poster.Do(w.ctx, pay)
	if r := new(order.Refusal); !errors.As(err, &r) || r.Rule != order.RuleAmount || r.Detail != "20876 is to be paid for 2 orders, 20000 was paid" {
		t.Fatalf("%v", err)
	}
	pay.Command.Amount = 20_876
	r, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	if r.Orders[0].Held != 10_400 || r.Orders[1].Held != 10_476 {
		t.Errorf("held %d and %d", r.Orders[0].Held, r.Orders[1].Held)
	}
	w.balanced()
}

// What cannot be agreed on, and what a quote says of the rest.
func TestFeesInAgreements(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	for want, a := range map[string]posting.Agreement{
		"seller_tier: must be a lower-case letter, then letters, digits, _ or -, 32 at most": {Amount: 1, SellerTier: "Gold"},
		"jurisdiction: must be a country like DE or a part of one like US-CA":                {Amount: 1, Jurisdiction: "Germany"},
		"jurisdiction: policy standard has no tax for FR":                                    {Amount: 1, Jurisdiction: "FR"},
		"amount: with the buyer's share of the fee it is more than 9007199254740991 minor units": {
			Amount: order.MaxAmount, SellerTier: "gold"},
	} {
		r := w.agreement(want)
		a.Reference, a.Buyer, a.Seller, a.Currency = "bad", "ann", "bob", "USD"
		*r.Agreement = a
		_, done := w.poster.Do(w.ctx, r)
		_, quoted := posting.Quote(w.ctx, w.store, w.market, a, time.Time{}, time.Now())
		for _, err := range []error{done, quoted} {
			if bad := new(posting.Invalid); !errors.As(err, &bad) || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
	q, err := posting.Quote(w.ctx, w.store, w.market, posting.Agreement{Currency: "USD", Amount: 10_000, SellerTier: "gold", Jurisdiction: "DE"}, start, start)
	w.must(err)
	if o := w.agreeWith("quoted", "gold", "DE"); o.Charge() != q.Charge() {
		t.Errorf("agreed %+v, quoted %+v", o.Charge(), q.Charge())
	}
}

// The schema refuses what the code above would have to be wrong for.
func TestSchemaOfShares(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	gold, card := w.agreeWith("S-1", "gold", "DE"), w.agreeWith("S-2", "", "")
	w.do(gold.ID, order.Command{Event: order.Pay, Method: "voucher", At: start})
	w.do(card.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	waits := w.agreeWith("S-3", "gold", "")
	for name, c := range map[string]struct {
		set string
		id  ledger.ID
	}{
		"a share of nothing":                   {"buyer_share = 0", gold.ID},
		"a share above fee and tax":            {"buyer_share = 239, held = 10239", gold.ID},
		"held without the share":               {"held = 10000", gold.ID},
		"captured without the share":           {"captured_share = NULL", card.ID},
		"a share without what was captured":    {"captured_share = 1", gold.ID},
		"a share of no method":                 {"method = NULL", card.ID},
		"captured above the goods' price":      {"captured = 10001, held = 10151", card.ID},
		"settled by a method, and only agreed": {"captured = 10000, captured_fee = 0, captured_tax = 0, method = 'card'", waits.ID},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.id.UUID()); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}
