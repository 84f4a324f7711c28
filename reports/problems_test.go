package reports_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/reports"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// found runs both reports and wants the problem in one of them.
func (w *world) found(o reports.Options, want string) {
	w.t.Helper()
	o.Now = machine
	var all []string
	for _, kind := range reports.Kinds {
		for _, detail := range []bool{false, true} {
			r, err := kind.Run(context.Background(), w.books, o, detail)
			must(w.t, err)
			problems, _ := r.Findings()
			all = append(all, problems...)
		}
	}
	if !strings.Contains(strings.Join(all, "\n"), want) {
		w.t.Errorf("want a problem %q, got %q", want, all)
	}
}

func TestPlantedDifferences(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	tests := []struct {
		name  string
		plant func(w *world, id ledger.ID)
		asOf  bool // also in a report as of a moment: the journal itself is wrong
		want  string
	}{
		{
			name: "the order holds less than its account",
			plant: func(w *world, id ledger.ID) {
				w.exec(`UPDATE orders SET held = held - 1, refunded = refunded + 1 WHERE id = $1`, id.UUID())
			},
			asOf: true,
			want: "USD of marketplace 1 shop: the orders hold 9.99 and the ledger's escrow accounts (2100) 10.00: a difference of 0.01",
		},
		{
			name: "the ledger moved money that no order knows of",
			plant: func(w *world, id ledger.ID) {
				o, err := w.store.Order(ctx, 1, id)
				must(t, err)
				results, err := w.engine.CreateTransfers(ctx, []ledger.Transfer{{ID: ledger.U64(77), DebitAccountID: id, CreditAccountID: o.BuyerAccount,
					Amount: ledger.U64(300), UserData64: uint64(jan(3, 0).UnixMicro()), Ledger: o.Ledger, Code: uint16(chart.RefundToBuyer)}})
				must(t, err)
				if results[0].Status != ledger.TransferCreated {
					t.Fatal(results[0].Status)
				}
			},
			asOf: true,
			want: "the orders hold 10.00 and the ledger's escrow accounts (2100) 7.00: a difference of 3.00",
		},
		{
			name: "an account's balance was changed by hand",
			plant: func(w *world, _ ledger.ID) {
				w.exec(`UPDATE ledger_accounts SET debits_posted = debits_posted + 5 WHERE code = 1100`)
			},
			want: "USD of marketplace 1 shop: debits 20.05 and credits 20.00 differ by 0.05",
		},
		{
			name: "the journal has a transfer of accounts that are not there",
			plant: func(w *world, _ ledger.ID) {
				w.exec(`INSERT INTO ledger_transfers SELECT '00000000-0000-0000-0000-00000000abcd', '00000000-0000-0000-0000-00000000aaaa', credit_account_id,
					pending_id, user_data_128, user_data_64, timestamp + 1000000, user_data_32, timeout, ledger, code, 0, 1 FROM ledger_transfers WHERE code = 101`)
			},
			asOf: true,
			want: "USD of marketplace 1 shop: the journal has transfers of accounts that do not exist",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.agree(w.marketplace("shop", jan(20, 0)), "a1", "USD", 1000, jan(1, 0))
			w.pay(1, jan(2, 0), id)
			w.trial(reports.Options{})
			w.held(reports.Options{})
			test.plant(w, id)
			if test.asOf {
				w.found(reports.Options{AsOf: jan(20, 0)}, test.want)
			}
			if !strings.Contains(test.want, "do not exist") { // now-reports take the balances of the accounts that are there
				w.found(reports.Options{}, test.want)
			}
		})
	}
}

func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	res, err := w.db.Exec(query, args...)
	must(w.t, err)
	if n, _ := res.RowsAffected(); n != 1 {
		w.t.Fatalf("%d rows, want 1: %s", n, query)
	}
}

// slowEngine has booked a batch and keeps the answer to itself for a while:
// the moment at which a crash hurts most.
type slowEngine struct {
	ledger.Engine
	booked, answer chan struct{}
	over           chan struct{} // closed when the test has ended, however it did
}

func (e *slowEngine) CreateTransfers(ctx context.Context, list []ledger.Transfer) ([]ledger.TransferResult, error) {
	results, err := e.Engine.CreateTransfers(ctx, list)
	select {
	case e.booked <- struct{}{}:
	case <-e.over:
	}
	select {
	case <-e.answer:
	case <-e.over:
	}
	return results, err
}

// What the ledger has and the order store is about to have is no difference.
func TestMovementUnderWay(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.Open(t)
	inner, err := pgengine.New(db)
	must(t, err)
	t.Cleanup(func() { must(t, inner.Close()) })
	slow := &slowEngine{inner, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	w := newWorldOn(t, db, slow)
	t.Cleanup(func() { close(slow.over) })
	shop := w.marketplace("shop", jan(20, 0))
	a1, a2 := w.agree(shop, "a1", "USD", 1000, jan(1, 0)), w.agree(shop, "a2", "USD", 500, jan(1, 0))
	during := func(event func(), check func()) {
		done := make(chan struct{})
		go func() { event(); close(done) }()
		<-slow.booked
		check()
		slow.answer <- struct{}{}
		<-done
	}
	want := func(notes int, lines ...string) {
		t.Helper()
		for _, o := range []reports.Options{{Now: machine}, {AsOf: jan(20, 0)}, {AsOf: w.machineNow(), Basis: reports.Booked}} {
			r, err := w.books.HeldFunds(ctx, o)
			must(t, err)
			sound(t, r.Problems)
			if len(r.Notes) != notes {
				t.Errorf("notes %q, want %d", r.Notes, notes)
			}
			var got []string
			for _, row := range r.Rows {
				got = append(got, fmt.Sprintf("%s %s", row.State, row.Amount))
			}
			sameLines(t, "held funds", got, lines)
		}
	}
	during(func() { w.pay(shop, jan(2, 0), a1, a2) }, func() {
		want(1)
		sheet, err := w.books.Order(ctx, "shop", "a1")
		must(t, err)
		if sheet.Order.State != "agreed" || len(sheet.Escrow) != 1 || len(sheet.Problems) != 0 {
			t.Errorf("a payment that is about to be recorded: %+v", sheet)
		}
	})
	want(0, "held 1500")
	during(func() { w.tell(shop, order.Cancel, jan(3, 0), a1) }, func() { want(1, "held 1500") })
	want(0, "held 500")
}

// While money moves all the time, every report still adds up: its numbers are
// of one moment.
func TestReportsWhileBusy(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	shop := w.marketplace("shop", jan(20, 0))
	const rounds, each = 6, 30
	var ids [rounds][]ledger.ID
	for r := range rounds {
		var reqs []posting.Request
		for i := range each {
			reqs = append(reqs, posting.Request{Marketplace: shop, Command: order.Command{Event: order.Agree, At: jan(1, 0)},
				Agreement: &posting.Agreement{Reference: fmt.Sprint(r, "/", i), Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 1000}})
		}
		for _, a := range w.poster.DoAll(ctx, reqs) {
			must(t, a.Err)
			ids[r] = append(ids[r], a.Result.Orders[0].ID)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for r := range rounds {
			var reqs []posting.Request
			for _, id := range ids[r] {
				for i, e := range []order.Event{order.Pay, order.Ship, order.Confirm} {
					reqs = append(reqs, posting.Request{Marketplace: shop, Orders: []ledger.ID{id},
						Command: order.Command{Event: e, At: jan(2+i, 0), Method: "card"}})
				}
			}
			for _, a := range w.poster.DoAll(ctx, reqs) {
				if a.Err != nil {
					t.Error(a.Err)
				}
			}
		}
	}()
	for busy, n := true, 0; busy || n == 0; n++ {
		select {
		case <-done:
			busy = false
		default:
		}
		for _, o := range []reports.Options{{Now: machine}, {AsOf: jan(20, 0)}, {AsOf: w.machineNow(), Basis: reports.Booked}} {
			for _, kind := range reports.Kinds {
				r, err := kind.Run(ctx, w.books, o, n%2 == 0)
				must(t, err)
				problems, _ := r.Findings()
				sound(t, problems)
			}
		}
	}
	sameLines(t, "afterwards", trialLines(w.trial(reports.Options{})), []string{
		"USD 1100 pay-in clearing: 180000 0 = 180000", "USD 2000 buyer: 180000 180000 = 0", "USD 2100 escrow: 180000 180000 = 0",
		"USD 2200 seller pending: 0 171000 = 171000", "USD 4100 fee revenue: 0 9000 = 9000"})
}

// Pending money does not count, a post counts with its own amount, a void
// counts nothing though its row carries what it set free.
func TestTwoPhase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	const books = 1840
	clearing, buyer := ledger.U64(1), ledger.U64(2)
	accounts, err := w.engine.CreateAccounts(ctx, []ledger.Account{
		{ID: clearing, Ledger: books, Code: uint16(chart.PayinClearing)}, {ID: buyer, Ledger: books, Code: uint16(chart.Buyer)}})
	must(t, err)
	transfers, err := w.engine.CreateTransfers(ctx, []ledger.Transfer{
		{ID: ledger.U64(10), DebitAccountID: clearing, CreditAccountID: buyer, Amount: ledger.U64(100), Flags: ledger.TransferPending,
			Ledger: books, Code: uint16(chart.PaymentAuthorised), UserData64: uint64(jan(1, 0).UnixMicro())},
		{ID: ledger.U64(11), DebitAccountID: clearing, CreditAccountID: buyer, Amount: ledger.U64(900), Flags: ledger.TransferPending,
			Ledger: books, Code: uint16(chart.PaymentAuthorised), UserData64: uint64(jan(1, 0).UnixMicro())},
		{ID: ledger.U64(12), PendingID: ledger.U64(10), Amount: ledger.U64(60), Flags: ledger.TransferPostPending,
			Ledger: books, Code: uint16(chart.PaymentAuthorised), UserData64: uint64(jan(2, 0).UnixMicro())},
		{ID: ledger.U64(13), PendingID: ledger.U64(11), Flags: ledger.TransferVoidPending,
			Ledger: books, Code: uint16(chart.PaymentAuthorised), UserData64: uint64(jan(3, 0).UnixMicro())},
	})
	must(t, err)
	for _, a := range accounts {
		if a.Status != ledger.AccountCreated {
			t.Fatal(a.Status)
		}
	}
	for _, r := range transfers {
		if r.Status != ledger.TransferCreated {
			t.Fatal(r.Status)
		}
	}
	posted := []string{"USD 1100 pay-in clearing: 60 0 = 60", "USD 2000 buyer: 0 60 = 60"}
	for _, o := range []reports.Options{{}, {AsOf: jan(2, 0)}, {AsOf: jan(9, 0)}, {AsOf: w.machineNow(), Basis: reports.Booked}} {
		sameLines(t, "two phases", trialLines(w.trial(o)), posted)
	}
	sameLines(t, "only pending", trialLines(w.trial(reports.Options{AsOf: jan(1, 23)})), []string{})
}

// Sums may pass 2^53 and even the ledger's 2^128, and stay exact.
func TestLargeAmounts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	var transfers []ledger.Transfer
	half := ledger.Amount{Hi: 1 << 63}
	for i := range uint64(3) {
		l := uint32(1000*(i+1) + 840)
		_, err := w.engine.CreateAccounts(ctx, []ledger.Account{
			{ID: ledger.U64(100 + i), Ledger: l, Code: uint16(chart.BankSafeguarded)}, {ID: ledger.U64(200 + i), Ledger: l, Code: uint16(chart.Unidentified)}})
		must(t, err)
		transfers = append(transfers, ledger.Transfer{ID: ledger.U64(300 + i), DebitAccountID: ledger.U64(100 + i), CreditAccountID: ledger.U64(200 + i),
			Amount: half, Ledger: l, Code: uint16(chart.Adjustment), UserData64: 1})
	}
	_, err := w.engine.CreateTransfers(ctx, transfers)
	must(t, err)
	const sum = "510423550381407695195061911147652317184" // 3 * 2^127
	for _, o := range []reports.Options{{}, {AsOf: machine}} {
		r := w.trial(o)
		sameLines(t, "large", trialLines(r), []string{
			"USD 1010 safeguarded bank: " + sum + " 0 = " + sum, "USD 2900 unidentified receipts: 0 " + sum + " = " + sum})
		text, err := json.Marshal(r.Rows[0])
		must(t, err)
		if !strings.Contains(string(text), `"debits":`+sum+`,`) {
			t.Errorf("JSON: %s", text)
		}
	}
}
