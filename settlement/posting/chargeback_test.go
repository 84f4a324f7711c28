package posting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// The provider takes the money from the account through which it came, also of
// one payment for several orders, and of one that was authorised first; what is
// stored says the same at every moment.
func TestChargebackTakesItWhereItCame(t *testing.T) {
	w := newWorld(t, nil)
	both := []ledger.ID{w.agree("C-1").ID, w.agree("C-2").ID}
	_, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Orders: both,
		Command: order.Command{Event: order.Pay, Method: "wallet", At: start}})
	w.must(err)
	captured := w.agree("C-3").ID
	w.do(captured, order.Command{Event: order.Authorise, Method: "alipay", At: start})
	w.do(captured, order.Command{Event: order.Capture, At: start})
	card := w.agree("C-4").ID
	w.do(card, order.Command{Event: order.Pay, Method: "card", At: start})

	at := start.Add(time.Hour)
	for _, id := range append(both, captured, card) {
		o := w.do(id, order.Command{Event: order.TakeBackPayment, Amount: 4_000, Reason: "10.4", At: at})
		if o.State != order.ChargedBack || o.Held != 10_000 || o.Freeze.IsZero() || o.Aftermath.Chargeback.From != order.Held {
			t.Fatalf("charged back: %+v", o.Progress)
		}
	}
	w.balanced()
	through := func() map[string]int64 {
		t.Helper()
		sums := map[string]int64{}
		accounts, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Code: uint16(chart.PayinClearing), Limit: 10})
		w.must(err)
		for _, a := range accounts {
			var owner string
			w.must(w.db.Get(&owner, `SELECT owner FROM accounts WHERE id = $1`, a.ID.UUID()))
			sums[owner] = int64(a.DebitsPosted.Lo) - int64(a.CreditsPosted.Lo)
		}
		return sums
	}
	if got := fmt.Sprint(through()); got != "map[alipay:6000 card:6000 wallet:12000]" {
		t.Errorf("the providers have %s", got)
	}

	// Won in one process, lost in another: what they need is stored.
	o := w.do(card, order.Command{Event: order.WinChargeback, At: at.Add(time.Hour)})
	if o.State != order.Held || !o.DeadlineAt.Equal(start.AddDate(0, 0, 10).Add(time.Hour)) || !o.Freeze.IsZero() || !o.Aftermath.Won {
		t.Errorf("won: %+v, %+v", o.Progress, o.Aftermath)
	}
	for _, id := range append(both, captured) {
		w.do(id, order.Command{Event: order.LoseChargeback, At: at.Add(time.Hour)})
	}
	w.balanced()
	if got := fmt.Sprint(through()); got != "map[alipay:6000 card:10000 wallet:12000]" {
		t.Errorf("the providers have %s", got)
	}
	if got := w.books()[chart.ChargebackReceivable]; got != [2]int64{16_000, 16_000} {
		t.Errorf("receivable: %v", got)
	}
	o = w.order(both[1])
	if o.State != order.Held || o.Held != 6_000 || o.Refunded != 4_000 || o.Aftermath.Lost != 4_000 || o.Aftermath.Chargeback != nil {
		t.Errorf("lost: %+v, %+v", o.Progress, o.Aftermath)
	}
	line, err := w.store.Timeline(w.ctx, both[1])
	w.must(err)
	cb := line[2].After.Aftermath.Chargeback
	if len(line) != 4 || cb == nil || cb.Amount != 4_000 || cb.Clearing.IsZero() || !cb.OpenedAt.Equal(at) || cb.Deadline != order.ShipBy {
		t.Errorf("the timeline says %+v", cb)
	}
}

// After a payout the seller has a debt, or the marketplace a loss; the accounts
// are there whoever pays.
func TestLostChargebacksOfClosedOrders(t *testing.T) {
	w := newWorld(t, nil)
	o := w.closed("L-1")
	w.paidOut(o, 9_000)
	at := start.AddDate(0, 1, 0)
	o = w.do(o.ID, order.Command{Event: order.TakeBackPayment, Reason: "13.1", At: at})
	if o.Aftermath.Chargeback.Kept.IsZero() || !o.Freeze.IsZero() || !o.DeadlineAt.Equal(at.AddDate(0, 0, 14)) {
		t.Errorf("charged back: %+v, %+v", o.Progress, o.Aftermath.Chargeback)
	}
	w.balanced()
	o = w.do(o.ID, order.Command{Event: order.LoseUnrepresented, By: order.System, At: o.DeadlineAt})
	if o.State != order.Refunded || o.Refunded != 10_000 || o.FeeCharged != 0 {
		t.Errorf("lost: %+v", o.Progress)
	}
	w.balanced()
	want := map[chart.AccountCode][2]int64{
		chart.PayinClearing: {10_000, 10_000}, chart.ChargebackReceivable: {10_000, 10_000}, chart.Buyer: {10_000, 10_000}, chart.Escrow: {10_000, 10_000},
		chart.SellerPending: {9_500, 9_500}, chart.SellerAvailable: {9_500, 9_500}, chart.SellerReceivable: {9_000, 0},
		chart.SellerCollection: {9_500, 9_500}, chart.FeeRevenue: {500, 500}, chart.BankSafeguarded: {0, 9_000},
	}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}

	p := order.Standard()
	p.ChargebackBorneBy = order.BorneByMarketplace
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	o = w.closed("L-2")
	w.do(o.ID, order.Command{Event: order.TakeBackPayment, Reason: "13.1", At: at})
	o = w.do(o.ID, order.Command{Event: order.LoseChargeback, At: at})
	if o.State != order.Closed || o.Released != 10_000 || o.Aftermath.Absorbed != 10_000 {
		t.Errorf("lost by the marketplace: %+v, %+v", o.Progress, o.Aftermath)
	}
	w.balanced()
	if got := w.books()[chart.ChargebackLoss]; got != [2]int64{10_000, 0} {
		t.Errorf("loss: %v", got)
	}
}

// The schema refuses what the code above would have to be wrong for.
func TestSchemaOfChargebacks(t *testing.T) {
	w := newWorld(t, nil)
	held, released := w.agree("S-1").ID, w.closed("S-2").ID
	w.do(held, order.Command{Event: order.Pay, Method: "card", At: start})
	quiet := w.closed("S-3").ID
	for _, id := range []ledger.ID{held, released} {
		w.do(id, order.Command{Event: order.TakeBackPayment, Reason: "x", At: start.AddDate(0, 0, 3)})
	}
	for name, c := range map[string]struct {
		set string
		id  ledger.ID
	}{
		"held and not frozen":                 {"freeze_id = NULL", held},
		"frozen and nothing held":             {"freeze_id = id", released},
		"charged back without a chargeback":   {"aftermath = NULL", held},
		"an open chargeback of a closed one":  {"state = 'closed', deadline = NULL, deadline_at = NULL", released},
		"another deadline":                    {"deadline = 'decision_by'", held},
		"represented by the wrong deadline":   {"state = 'represented'", released},
		"a claim without a freeze":            {"claim = '{}'", released},
		"charged back without a case to show": {"state = 'charged_back', deadline = 'represent_by', deadline_at = at", quiet},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.id.UUID()); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}

// paidInYen is an order of 100.00 that was paid in yen, 100 of them a spread.
func (w *world) paidInYen(reference string) order.Order {
	w.t.Helper()
	return w.do(w.agree(reference).ID, order.Command{Event: order.Pay, At: start, Method: "card",
		FX: order.FX{Currency: "JPY", Amount: 15_025, Rate: "0.0067", Spread: 100}})
}

// An order in dollars that was paid in yen: the provider takes yen, at its own
// rate. Won in another process, exactly that is back in both ledgers; lost, the
// FX position has the difference, and the rest is as ever.
func TestChargebackInAnotherCurrency(t *testing.T) {
	w := newJournalWorld(t)
	o := w.paidInYen("Y-1")
	paid := map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925, "1400 USD": 10_000, "2100 USD": -10_000}
	w.stands("paid", paid)
	at := start.Add(time.Hour)
	// All 15025 yen, of which the spread was not the order's: 15025 * 0.0066555740 are 99.99999935.
	take := order.Command{Event: order.TakeBackPayment, Reason: "10.4", At: at, FX: order.FX{Currency: "JPY", Amount: 15_025, Rate: "0.006655574"}}
	req := w.event(o.ID, take)
	req.Key, req.Data = "k", json.RawMessage(`{"reason":"10.4"}`)
	for _, replayed := range []bool{false, true} {
		r, err := w.poster.Do(w.ctx, req)
		if err != nil || r.Replayed != replayed || r.Orders[0].State != order.ChargedBack || r.Orders[0].Held != 10_000 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	w.stands("taken", map[string]int64{"4110 JPY": -100, "1400 JPY": 100, "1300 USD": 10_000, "2100 USD": -10_000})
	o = w.order(o.ID)
	cb := o.Aftermath.Chargeback
	if cb.Method != "card" || cb.FX == nil || cb.FX.Ledger != w.in("JPY") || cb.FX.Amount != 15_025 || cb.FX.Position.IsZero() || cb.FX.PaidPosition.IsZero() {
		t.Errorf("it is stored as %+v, %+v", cb, cb.FX)
	}
	if why := order.Explain(&o).Why; !strings.HasPrefix(why, "The buyer's bank has taken JPY 15025 back, which is USD 100.00 at the rate 0.006655574; the marketplace has advanced that.") {
		t.Errorf("it explains itself: %s", why)
	}
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	var said struct {
		Reason string
		FX     order.FX
	}
	w.must(json.Unmarshal(line[2].Data, &said))
	if said.Reason != "10.4" || said.FX != take.FX {
		t.Errorf("the timeline has %s", line[2].Data)
	}

	w.poster = posting.New(w.db, w.engine, posting.Options{}) // another process
	t.Cleanup(func() { w.must(w.poster.Close(context.Background())) })
	w.do(o.ID, order.Command{Event: order.Represent, At: at})
	o = w.do(o.ID, order.Command{Event: order.WinChargeback, At: at})
	if o.State != order.Held || !o.Freeze.IsZero() {
		t.Errorf("won: %+v", o.Progress)
	}
	w.stands("won", paid)

	second := take
	second.Event, second.Amount, second.FX = order.SecondChargeback, 4_000, order.FX{Currency: "JPY", Amount: 6_500, Rate: "0.006153846"}
	w.do(o.ID, second)
	w.stands("taken a second time", map[string]int64{"1100 JPY": 8_525, "4110 JPY": -100, "1400 JPY": -8_425, "1400 USD": 6_000, "1300 USD": 4_000, "2100 USD": -10_000})
	o = w.do(o.ID, order.Command{Event: order.LoseChargeback, At: at})
	if o.State != order.Held || o.Held != 6_000 || o.Refunded != 4_000 {
		t.Errorf("lost: %+v", o.Progress)
	}
	w.stands("lost", map[string]int64{"1100 JPY": 8_525, "4110 JPY": -100, "1400 JPY": -8_425, "1400 USD": 6_000, "2100 USD": -6_000})

	// After the release the seller pays, in the order's currency.
	w.do(o.ID, order.Command{Event: order.Ship, At: at})
	w.do(o.ID, order.Command{Event: order.Confirm, At: at})
	w.do(o.ID, order.Command{Event: order.Mature, By: order.System, At: at.AddDate(0, 0, 2)})
	next := w.paidInYen("Y-2")
	w.do(next.ID, order.Command{Event: order.Ship, At: at})
	w.do(next.ID, order.Command{Event: order.Confirm, At: at})
	w.do(next.ID, order.Command{Event: order.Mature, By: order.System, At: at.AddDate(0, 0, 2)})
	w.do(next.ID, order.Command{Event: order.TakeBackPayment, Reason: "13.1", At: at.AddDate(0, 0, 3), FX: order.FX{Currency: "JPY", Amount: 14_925, Rate: "0.0067"}})
	if o := w.do(next.ID, order.Command{Event: order.LoseChargeback, At: at.AddDate(0, 0, 4)}); o.State != order.Refunded {
		t.Errorf("lost after the release: %+v", o.Progress)
	}
	w.stands("lost after the release", map[string]int64{"1100 JPY": 8_525 + 100, "4110 JPY": -200, "1400 JPY": -8_425,
		"1400 USD": 6_000, "2210 USD": -5_700, "4100 USD": -300})
	w.checkBooks()
}

// Who refuses a chargeback, and who does not: where the money came in is known of
// an order that was paid by a method, and has to be said of one that was paid
// from the balance. A slip of the method leaves no account of it behind.
func TestWhereAChargebackIsTaken(t *testing.T) {
	w := newJournalWorld(t)
	receipt := func(currency, method, line string, amount int64) {
		t.Helper()
		_, err := w.entryIn(currency, treasury.Terms{Kind: treasury.Receipt, Party: "ann", Method: method, Reference: line, Amount: amount})
		w.must(err)
	}
	receipt("USD", "bank_transfer", "1", 3_000)
	receipt("USD", "wallet", "2", 3_000)
	receipt("JPY", "alipay", "3", 6_000)
	e, err := w.entryIn("JPY", treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 6_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("USD"), Amount: 4_000, Rate: "0.006666666667"}})
	w.must(err)
	_, err = w.then(e, treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()})
	w.must(err)
	balance, yen, card := w.agree("B-1"), w.paidInYen("B-2"), w.agree("B-3")
	w.do(balance.ID, order.Command{Event: order.Pay, Method: order.Balance, At: start})
	w.do(card.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	before := w.stand()

	jpy := order.FX{Currency: "JPY", Amount: 6_000, Rate: "0.006666666667"}
	for _, c := range []struct {
		name   string
		id     ledger.ID
		method string
		amount int64
		fx     order.FX
		rule   string
		detail string
	}{
		{"balance, no method", balance.ID, "", 0, order.FX{}, order.RuleMethod, "the order was paid from the buyer's balance: say by which method the money that the bank takes had come in"},
		{"balance, from the balance", balance.ID, order.Balance, 0, order.FX{}, order.RuleMethod, "a bank takes nothing from the buyer's balance: say by which method the money had come in"},
		{"balance, a slip", balance.ID, "walet", 0, order.FX{}, order.RuleMethod, "nothing has ever come in by walet in USD"},
		{"balance, a method of the other currency", balance.ID, "alipay", 4_000, order.FX{}, order.RuleMethod, "nothing has ever come in by alipay in USD"},
		{"balance, a currency of the other method", balance.ID, "wallet", 4_000, jpy, order.RuleMethod, "nothing has ever come in by wallet in JPY"},
		{"card, another method", card.ID, "wallet", 0, order.FX{}, order.RuleMethod, "the order was paid by card, not by wallet"},
		{"card, another currency", card.ID, "", 4_000, jpy, order.RuleCurrency, "the order was paid in USD, not in JPY"},
		{"yen, no word of them", yen.ID, "", 0, order.FX{}, order.RuleCurrency, "the order was paid in JPY: say how much of that the provider took, and at which rate it comes to what is charged back"},
		{"yen, another currency", yen.ID, "", 0, order.FX{Currency: "EUR", Amount: 9_000, Rate: "1.1111"}, order.RuleCurrency, "the order was paid in JPY, not in EUR"},
		{"yen, a cent off", yen.ID, "", 0, order.FX{Currency: "JPY", Amount: 14_925, Rate: "0.0066"}, order.RuleRate, "JPY 14925 at the rate 0.0066 would be USD 98.50, not 100.00"},
		{"yen, with a spread", yen.ID, "", 0, order.FX{Currency: "JPY", Amount: 15_025, Rate: "0.0067", Spread: 100}, order.RuleAmount, "of a chargeback nobody keeps a spread"},
	} {
		cmd := order.Command{Event: order.TakeBackPayment, Reason: "x", At: start, Method: c.method, Amount: c.amount, FX: c.fx}
		_, err := w.poster.Do(w.ctx, w.event(c.id, cmd))
		var refusal *order.Refusal
		if !errors.As(err, &refusal) || refusal.Rule != c.rule || refusal.Detail != c.detail {
			t.Errorf("%s: %v", c.name, err)
		}
		// What would be refused is refused.
		_, foretold := posting.Preview(w.ctx, w.store, w.market, w.order(c.id), cmd, start)
		if fmt.Sprint(foretold) != fmt.Sprint(err) {
			t.Errorf("%s is foretold: %v", c.name, foretold)
		}
	}
	w.stands("refused", before)
	var rows int
	w.must(w.db.Get(&rows, `SELECT count(*) FROM accounts WHERE code = 1100 AND (owner = 'walet' OR owner = 'alipay' AND ledger = $1 OR ledger = $2)`, w.in("USD"), w.in("EUR")))
	if rows != 0 {
		t.Errorf("refusals left %d accounts behind", rows)
	}

	// Three methods take back what had come in by each of them, one after the other.
	at := start
	for _, c := range []order.Command{{Method: "wallet", Amount: 3_000}, {Method: "alipay", Amount: 4_000, FX: jpy}, {Method: "bank_transfer"}} {
		c.Event, c.Reason, c.At = order.TakeBackPayment, "fraud", at
		what, err := posting.Preview(w.ctx, w.store, w.market, w.order(balance.ID), c, start)
		w.must(err)
		taken := w.do(balance.ID, c)
		if what.Change.After.State != taken.State || what.Change.After.Aftermath.Chargeback.Method != c.Method || taken.Aftermath.Chargeback.Method != c.Method {
			t.Errorf("%s: %+v", c.Method, taken.Aftermath.Chargeback)
		}
		w.do(balance.ID, order.Command{Event: order.LoseChargeback, At: at})
	}
	if o := w.order(balance.ID); o.State != order.Refunded || o.Aftermath.Lost != 10_000 {
		t.Errorf("%+v, %+v", o.Progress, o.Aftermath)
	}
	w.stands("all taken back", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925, "1100 USD": 10_000, "1400 USD": 10_000, "2100 USD": -20_000})
}
