package posting_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// closed is an order of 100.00 that was released, and 95.00 of it matured.
func (w *world) closed(reference string) order.Order {
	w.t.Helper()
	id := w.agree(reference).ID
	for _, c := range []order.Command{{Event: order.Pay, Method: "card", At: start}, {Event: order.Ship, At: start}, {Event: order.Confirm, At: start}} {
		w.do(id, c)
	}
	return w.do(id, order.Command{Event: order.Mature, By: order.System, At: start.AddDate(0, 0, 2)})
}

// paidOut takes what the seller has available out of the books.
func (w *world) paidOut(o order.Order, amount int64) {
	w.t.Helper()
	id, bank := order.SellerAvailable(o.SellerAccount), ledger.U64(1)
	_, err := w.engine.CreateAccounts(w.ctx, []ledger.Account{{ID: bank, Ledger: o.Ledger, Code: uint16(chart.BankSafeguarded)}})
	w.must(err)
	res, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: ledger.U64(1), DebitAccountID: id, CreditAccountID: bank,
		Amount: ledger.U64(uint64(amount)), Ledger: o.Ledger, Code: uint16(chart.Adjustment)}})
	w.must(err)
	if res[0].Status != ledger.TransferCreated {
		w.t.Fatal(res[0].Status)
	}
}

// What was released and paid out goes back to the buyer: the seller's rest pays,
// and what is missing is his debt. All of it is stored, told as it was, and done
// once.
func TestRefundAfterRelease(t *testing.T) {
	w := newWorld(t, nil)
	o := w.closed("A-1")
	if o.State != order.Closed || o.Aftermath != nil {
		t.Fatalf("closed: %+v", o.Progress)
	}
	w.paidOut(o, 9_000)
	at := start.AddDate(0, 0, 30)
	refund := w.event(o.ID, order.Command{Event: order.RefundReleased, Amount: 6_000, At: at, Reason: "broken"})
	refund.Key, refund.Hash = "refund", [32]byte{1}
	r, err := w.poster.Do(w.ctx, refund)
	w.must(err)
	o = r.Orders[0]
	if o.State != order.Closed || o.Released != 4_000 || o.Refunded != 6_000 || o.FeeCharged != 200 || !o.Aftermath.ReleasedAt.Equal(start) || !o.DeadlineAt.IsZero() {
		t.Fatalf("refunded: %+v, %+v", o.Progress, o.Aftermath)
	}
	w.balanced()
	want := map[chart.AccountCode][2]int64{
		chart.PayinClearing: {10_000, 0}, chart.Buyer: {10_000, 16_000}, chart.Escrow: {10_000, 10_000},
		chart.SellerPending: {9_500, 9_500}, chart.SellerAvailable: {9_500, 9_500}, chart.SellerReserve: {0, 0},
		chart.SellerReceivable: {5_200, 0}, chart.SellerCollection: {5_700, 5_700}, chart.FeeRevenue: {300, 500}, chart.BankSafeguarded: {0, 9_000},
	}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}
	again, err := w.poster.Do(w.ctx, refund)
	w.must(err)
	if !again.Replayed || fmt.Sprint(again.Orders[0].Progress.Aftermath.ReleasedAt) != fmt.Sprint(o.Aftermath.ReleasedAt) || again.Orders[0].Released != 4_000 {
		t.Errorf("replayed: %+v", again)
	}
	if stored := w.order(o.ID); stored.Aftermath == nil || *stored.Aftermath != *o.Aftermath || stored.Released != o.Released {
		t.Errorf("stored %+v", stored.Progress)
	}
	o = w.do(o.ID, order.Command{Event: order.RefundReleased, By: order.Operator, At: at.Add(time.Hour), Reason: "the rest too"})
	if o.State != order.Refunded || o.Released != 0 || o.FeeCharged != 0 {
		t.Errorf("refunded: %+v", o.Progress)
	}
	w.balanced()
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	for i, e := range line {
		if (e.After.Aftermath != nil) != (i >= 5) {
			t.Errorf("after %s: %+v", e.Event, e.After.Aftermath)
		}
	}
	// All of the accounts are somebody's.
	accounts, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Limit: 100, Ledger: o.Ledger})
	w.must(err)
	for _, a := range accounts {
		var owner string
		if a.Code == uint16(chart.BankSafeguarded) {
			continue // this test's own
		}
		if err := w.db.Get(&owner, `SELECT owner FROM account_directory WHERE id = $1 AND code = $2`, a.ID.UUID(), a.Code); err != nil {
			t.Errorf("account %s of code %d: %v", a.ID.UUID(), a.Code, err)
		} else if seller := chart.AccountCode(a.Code).Scope() == chart.PerSeller; seller != (owner == "bob") {
			t.Errorf("account of code %d is %q's", a.Code, owner)
		}
	}
}

func TestRefundAfterReleaseRefusals(t *testing.T) {
	w := newWorld(t, nil)
	o := w.closed("R-1")
	before := w.books()
	at := start.AddDate(0, 0, 3)
	for name, c := range map[string]struct {
		cmd  order.Command
		want string
	}{
		"above":   {order.Command{Event: order.RefundReleased, Amount: 10_001, At: at, Reason: "x"}, "amount"},
		"buyer":   {order.Command{Event: order.RefundReleased, By: order.Buyer, At: at, Reason: "x"}, "role"},
		"late":    {order.Command{Event: order.RefundReleased, At: start.AddDate(0, 0, 60).Add(time.Microsecond), Reason: "x"}, "too-late"},
		"no word": {order.Command{Event: order.RefundReleased, At: at}, "reason"},
	} {
		var refusal *order.Refusal
		if _, err := w.poster.Do(w.ctx, w.event(o.ID, c.cmd)); !errors.As(err, &refusal) || refusal.Rule != c.want {
			t.Errorf("%s: %v, want rule %s", name, err, c.want)
		}
	}
	for code, v := range w.books() {
		if v != before[code] {
			t.Errorf("%d: %v, before the refusals %v", code, v, before[code])
		}
	}
	w.balanced()
}

// A reserve is stored with the order, and the schema keeps the two together.
func TestReserveIsStored(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.ReserveBps, p.ReserveFor = 2_000, 30*24*60*60
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	o := w.closed("S-1")
	if o.State != order.Reserved || o.Aftermath.Reserved != 1_900 || !o.DeadlineAt.Equal(start.AddDate(0, 0, 32)) {
		t.Fatalf("reserved: %+v, %+v", o.Progress, o.Aftermath)
	}
	w.balanced()
	if got := w.books(); got[chart.SellerReserve] != [2]int64{0, 1_900} || got[chart.SellerAvailable] != [2]int64{1_900, 9_500} {
		t.Errorf("%v", got)
	}
	for name, set := range map[string]string{
		"reserved without a reserve":  `aftermath = aftermath - 'reserved'`,
		"reserved and nothing noted":  `aftermath = NULL`,
		"a reserve of a closed order": `state = 'closed', deadline = NULL, deadline_at = NULL`,
		"another deadline":            `deadline = 'mature_at'`,
		"still maturing":              `maturing = 1`,
		"a refunded order's":          `state = 'refunded', refunded = 10000, released = 0, deadline = NULL, deadline_at = NULL`,
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+set+` WHERE id = $1`, o.ID.UUID()); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
	o = w.do(o.ID, order.Command{Event: order.ReleaseReserve, By: order.System, At: o.DeadlineAt})
	if o.State != order.Closed || o.Aftermath.Reserved != 0 || !o.ReleasedAt().Equal(start) {
		t.Errorf("freed: %+v, %+v", o.Progress, o.Aftermath)
	}
	w.balanced()
}
