package books

import (
	"errors"
	"strings"
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// entry makes an entry and takes it through some events.
func (w *world) entry(t treasury.Terms, events ...treasury.Event) treasury.Entry {
	w.t.Helper()
	if t.Kind != treasury.BankDetails {
		t.Ledger = w.orders[0].Ledger
	}
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{New: &t}})
	w.must(err)
	e := *r.Entry
	for _, event := range events {
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{ID: e.ID,
			Command: treasury.Command{Event: event, Person: "max", Digest: e.Digest()}}})
		w.must(err)
		e = *r.Entry
	}
	return e
}

// account is the id of the ledger's account of a kind.
func (w *world) account(code chart.AccountCode, owner string) ledger.ID {
	w.t.Helper()
	var text string
	w.must(w.db.Get(&text, `SELECT id FROM accounts WHERE ledger = $1 AND code = $2 AND owner = $3`, w.orders[0].Ledger, int(code), owner))
	id, err := ledger.ParseUUID(text)
	w.must(err)
	return id
}

// What entries wait for is in the ledger, and what is there is an entry's.
func TestEntriesAgainstTheLedger(t *testing.T) {
	w := newWorld(t)
	// The seller has 1000 from a correction by hand: maturing is not today.
	w.entry(treasury.Terms{Kind: treasury.Adjustment, Amount: 1000, Reason: "r", Maker: "eve",
		Debit: treasury.Account{Code: chart.BankSafeguarded}, Credit: treasury.Account{Code: chart.SellerAvailable, Owner: "bob"}}, treasury.Approve)
	w.entry(treasury.Terms{Kind: treasury.BankDetails, Party: "bob", Details: []byte(`{"iban":"DE02"}`), Maker: "eve"}, treasury.Approve)
	w.entry(treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 100})
	w.entry(treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 200}, treasury.Accept)
	w.entry(treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 300}, treasury.Accept, treasury.Settle)
	w.entry(treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: 40})
	w.entry(treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: 50}, treasury.Send)
	w.entry(treasury.Terms{Kind: treasury.Receipt, Method: "card", Reference: "1", Amount: 7})
	w.entry(treasury.Terms{Kind: treasury.Adjustment, Amount: 2, Reason: "r", Maker: "eve",
		Debit: treasury.Account{Code: chart.Unidentified}, Credit: treasury.Account{Code: chart.BankSafeguarded}}, treasury.Approve)
	r := w.balanced()
	if want := (Waiting{"40", "200", "100", "5"}); r.Ledgers[0].Waiting != want || r.Ledgers[0].Entries != want {
		t.Errorf("%+v, want %v", r.Ledgers[0], want)
	}
	for _, c := range []struct {
		name string
		do   func() (undo func())
		want string
	}{
		{"a repayment is gone from the store", func() func() {
			w.exec(`UPDATE entries SET state = 'rejected' WHERE kind = 'repayment' AND state = 'due'`)
			return func() { w.exec(`UPDATE entries SET state = 'due' WHERE kind = 'repayment' AND state = 'rejected'`) }
		}, "entries have 0 of repayments due, the ledger 40"},
		{"a payout left the bank behind the store's back", func() func() {
			w.transfer(w.account(chart.PayoutClearing, ""), w.account(chart.BankSafeguarded, ""), 200, 0)
			return func() { w.transfer(w.account(chart.BankSafeguarded, ""), w.account(chart.PayoutClearing, ""), 200, 0) }
		}, "entries have 200 of payouts that the bank took, the ledger 0"},
		{"something unknown came in past the entries", func() func() {
			w.transfer(w.account(chart.PayinClearing, "card"), w.account(chart.Unidentified, ""), 9, 0)
			return func() { w.transfer(w.account(chart.Unidentified, ""), w.account(chart.PayinClearing, "card"), 9, 0) }
		}, "entries have 5 of receipts of nobody known, the ledger 14"},
		{"a payout is pending twice", func() func() {
			w.transfer(w.account(chart.SellerAvailable, "bob"), w.account(chart.PayoutClearing, ""), 1, ledger.TransferPending)
			return func() {}
		}, "entries have 100 of payouts on their way, the ledger 101"},
	} {
		undo := c.do()
		r, err := w.check()
		var unbalanced *Unbalanced
		if !errors.As(err, &unbalanced) || r.Differences != 1 || !strings.Contains(r.Listed[0].What, c.want) {
			t.Errorf("%s: %+v, %v; want %q", c.name, r.Listed, err, c.want)
		}
		undo()
	}
}
