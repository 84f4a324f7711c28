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
