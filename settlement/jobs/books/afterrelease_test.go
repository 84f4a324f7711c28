package books

import (
	"errors"
	"strings"
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// What went back after the release leaves the books as they should be, whoever
// paid; and a buyer who was paid by nobody is a difference.
func TestRefundsAfterRelease(t *testing.T) {
	w := newWorld(t)
	w.do(w.orders[4].ID, order.RefundReleased)
	if r := w.balanced(); !r.Ledgers[0].Collection.IsZero() {
		t.Errorf("%+v", r.Ledgers[0])
	}
	o := &w.orders[4]
	collection, debt := ledger.U64(7), order.AccountID(o.SellerAccount, chart.SellerReceivable)
	for id, code := range map[ledger.ID]chart.AccountCode{collection: chart.SellerCollection, debt: chart.SellerReceivable} {
		_, err := w.engine.CreateAccounts(w.ctx, []ledger.Account{{ID: id, Ledger: o.Ledger, Code: uint16(code), Flags: code.Flags()}})
		w.must(err)
	}
	w.balanced()
	w.transfer(collection, o.BuyerAccount, 30, 0)
	r, err := w.check()
	var unbalanced *Unbalanced
	if !errors.As(err, &unbalanced) || r.Differences != 1 || !strings.Contains(r.Listed[0].What, "30 less than was collected") {
		t.Errorf("%+v, %v; want one difference of 30", r, err)
	}
	w.transfer(debt, collection, 30, 0)
	w.balanced()
}

// Open chargebacks are advanced from one account, and what stands there is what
// the orders say; what is held of them is frozen.
func TestChargebacks(t *testing.T) {
	w := newWorld(t)
	held, disputed, released := &w.orders[1], &w.orders[3], &w.orders[4]
	for _, o := range []*order.Order{held, disputed, released} {
		w.do(o.ID, order.TakeBackPayment)
	}
	if r := w.balanced(); r.Ledgers[0].Advanced != ledger.U64(3000) || r.Ledgers[0].ChargedBack != ledger.U64(3000) {
		t.Errorf("%+v", r.Ledgers[0])
	}
	w.do(held.ID, order.WinChargeback)
	w.do(disputed.ID, order.LoseChargeback)
	w.do(released.ID, order.Represent)
	if r := w.balanced(); r.Ledgers[0].Advanced != ledger.U64(1000) {
		t.Errorf("%+v", r.Ledgers[0])
	}
	receivable := w.receivable()
	differs := func(what string) {
		t.Helper()
		r, err := w.check()
		var unbalanced *Unbalanced
		if !errors.As(err, &unbalanced) || r.Differences != 1 || !strings.Contains(r.Listed[0].What, what) {
			t.Errorf("%+v, %v; want one difference: %s", r, err, what)
		}
	}
	w.transfer(receivable, held.BuyerAccount, 30, 0)
	differs("orders have 1000 charged back, 1030 is receivable")
	w.transfer(held.BuyerAccount, receivable, 30, 0)
	w.balanced()
	w.do(released.ID, order.LoseChargeback)
	w.balanced()
	w.transfer(held.BuyerAccount, receivable, 20, 0)
	differs("20 more came back for chargebacks than was advanced")
}

func (w *world) receivable() ledger.ID {
	w.t.Helper()
	list, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Code: uint16(chart.ChargebackReceivable), Limit: 2})
	w.must(err)
	if len(list) != 1 {
		w.t.Fatalf("%d accounts of chargebacks", len(list))
	}
	return list[0].ID
}
