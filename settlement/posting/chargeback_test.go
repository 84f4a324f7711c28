package posting_test

import (
	"fmt"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
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
