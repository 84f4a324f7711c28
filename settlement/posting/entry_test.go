package posting_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

const usd = 1840

// earned gives bob 9500 that is available: an order of 10000, less the fee.
func (w *world) earned(reference string) order.Order {
	w.t.Helper()
	o := w.agree(reference)
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Ship}, {Event: order.Confirm}} {
		c.At = start
		o = w.do(o.ID, c)
	}
	return w.do(o.ID, order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt})
}

func (w *world) make(t treasury.Terms) (treasury.Entry, error) {
	if t.Kind != treasury.BankDetails {
		t.Ledger = usd
	}
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{New: &t}})
	if err != nil {
		return treasury.Entry{}, err
	}
	return *r.Entry, nil
}

func (w *world) then(e treasury.Entry, c treasury.Command) (treasury.Entry, error) {
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{ID: e.ID, Command: c}})
	if err != nil {
		return treasury.Entry{}, err
	}
	return *r.Entry, nil
}

func (w *world) verify(seller string) treasury.Entry {
	w.t.Helper()
	e, err := w.make(treasury.Terms{Kind: treasury.BankDetails, Party: seller, Details: []byte(`{"iban": "DE02120300000000202051"}`), Maker: "eve"})
	w.must(err)
	e, err = w.then(e, treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()})
	w.must(err)
	return e
}

// available is what bob has in 2210, and what of it is on its way out.
func (w *world) available(o *order.Order) (posted, pending uint64) {
	w.t.Helper()
	list, err := w.engine.LookupAccounts(w.ctx, []ledger.ID{order.SellerAvailable(o.SellerAccount)})
	w.must(err)
	diff, _ := list[0].CreditsPosted.Sub(list[0].DebitsPosted)
	posted, _ = diff.Uint64()
	pending, _ = list[0].DebitsPending.Uint64()
	return posted, pending
}

// A payout's whole way, as the ledger and the order store see it.
func TestPayout(t *testing.T) {
	w := newWorld(t, nil)
	o := w.earned("a")
	details := w.verify("bob")
	e, err := w.make(treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 9000})
	w.must(err)
	if posted, pending := w.available(&o); posted != 9500 || pending != 9000 || e.State != treasury.Sent || e.Pending.IsZero() ||
		!strings.Contains(string(e.Details), details.ID.UUID()) {
		t.Fatalf("%d, %d pending; %+v", posted, pending, e)
	}
	if _, err := w.make(treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 501}); !rejected(err, "exceeds_credits") {
		t.Errorf("what is on its way can be paid out once more: %v", err)
	}
	for _, c := range []struct {
		event treasury.Event
		want  treasury.State
		left  uint64
	}{{treasury.Accept, treasury.Accepted, 500}, {treasury.Settle, treasury.Paid, 500}, {treasury.Return, treasury.Returned, 9500}} {
		e, err = w.then(e, treasury.Command{Event: c.event, Note: "line " + string(c.event)})
		w.must(err)
		stored, err := w.store.Entry(w.ctx, w.market.ID, e.ID)
		w.must(err)
		if left, pending := w.available(&o); e.State != c.want || left != c.left || pending != 0 || !e.Pending.IsZero() || fmt.Sprintf("%+v", stored) != fmt.Sprintf("%+v", e) {
			t.Errorf("after %s: %s, %d available, %d pending\n%+v\n%+v", c.event, e.State, left, pending, e, stored)
		}
	}
	events, err := w.store.EntryEvents(w.ctx, e.ID)
	w.must(err)
	if len(events) != 4 || events[3].Event != treasury.Return || events[3].Said.Note != "line return" || events[3].LedgerTimestamp == 0 || events[3].Seq != 4 {
		t.Errorf("%+v", events)
	}
	// The orders' own feed knows nothing of it, the books balance with it.
	feed, err := w.store.Events(w.ctx, w.market.ID, 0, 100)
	w.must(err)
	for _, f := range feed {
		if f.Order != o.ID {
			t.Errorf("the feed of orders has %s of %s", f.Event, f.Order.UUID())
		}
	}
	w.balanced()
	refused, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{State: treasury.Refused})
	w.must(err)
	if len(refused) != 1 || refused[0].Amount != 501 {
		t.Errorf("refused: %+v", refused)
	}
}

func rejected(err error, reason string) bool {
	var r *posting.Rejected
	return errors.As(err, &r) && r.Reason == reason && !r.Frozen
}

func TestEntryRefusals(t *testing.T) {
	w := newWorld(t, nil)
	w.earned("a")
	payout := treasury.Terms{Kind: treasury.Payout, Party: "bob", Amount: 9000}
	rule := func(err error) string {
		var r *order.Refusal
		if errors.As(err, &r) {
			return r.Rule
		}
		return fmt.Sprint(err)
	}
	if _, err := w.make(payout); rule(err) != treasury.RuleUnverified {
		t.Errorf("paid out without details: %v", err)
	}
	w.verify("bob")
	w.must(w.store.SetPayee(w.ctx, w.market.ID, orderdb.Payee{Seller: "bob", Schedule: orderdb.Daily, Blocked: "under investigation"}))
	if _, err := w.make(payout); rule(err) != treasury.RuleBlocked {
		t.Errorf("a blocked seller is paid out: %v", err)
	}
	if list, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Payout}); err != nil || len(list) != 0 {
		t.Errorf("refused before anything was decided, and there are %d payouts, %v", len(list), err)
	}
	receipt := treasury.Terms{Kind: treasury.Receipt, Method: "bank_transfer", Reference: "line 1", Amount: 300}
	first, err := w.make(receipt)
	w.must(err)
	var taken *posting.ReferenceTaken
	if _, err := w.make(receipt); !errors.As(err, &taken) {
		t.Errorf("a line of a statement was booked twice: %v", err)
	}
	other, err := w.store.CreateMarketplace(w.ctx, "other", orderdb.TestClock, start)
	w.must(err)
	if _, err := w.poster.Do(w.ctx, posting.Request{Marketplace: other.ID, Entry: &posting.EntryRequest{ID: first.ID, Command: treasury.Command{Event: treasury.SendBack}}}); !errors.Is(err, posting.ErrNotFound) {
		t.Errorf("another marketplace's entry: %v", err)
	}
	var invalid *posting.Invalid
	if _, err := w.poster.Do(w.ctx, posting.Request{Marketplace: other.ID, Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Receipt, Ledger: usd, Method: "card", Reference: "x", Amount: 1}}}); !errors.As(err, &invalid) {
		t.Errorf("an entry in another marketplace's ledger: %v", err)
	}
	if _, err := w.then(first, treasury.Command{Event: treasury.SendBack, At: w.market.Now.Add(time.Hour)}); rule(err) != posting.RuleFuture {
		t.Errorf("in the future: %v", err)
	}
}

// Two approve at the same moment, at two processes: it is booked once.
func TestApprovedOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.earned("a")
	e, err := w.make(treasury.Terms{Kind: treasury.Adjustment, Amount: 7, Reason: "r", Maker: "eve",
		Debit: treasury.Account{Code: chart.PSPCost}, Credit: treasury.Account{Code: chart.PayinClearing, Owner: "card"}})
	w.must(err)
	posters := []*posting.Poster{w.poster, w.another()}
	var wait sync.WaitGroup
	done := make(chan error, 16)
	for i := range 16 {
		wait.Go(func() {
			_, err := posters[i%2].Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{ID: e.ID,
				Command: treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()}}})
			done <- err
		})
	}
	wait.Wait()
	close(done)
	applied := 0
	for err := range done {
		var r *order.Refusal
		switch {
		case err == nil:
			applied++
		case !errors.As(err, &r) || r.Rule != order.RuleState:
			t.Error(err)
		}
	}
	cost := w.account(chart.PSPCost, "")
	if applied != 1 || cost.DebitsPosted != ledger.U64(7) {
		t.Errorf("applied %d times, the ledger has %s", applied, cost.DebitsPosted)
	}
}

func (w *world) account(code chart.AccountCode, owner string) ledger.Account {
	w.t.Helper()
	var id string
	w.must(w.db.QueryRowContext(w.ctx, `SELECT id FROM accounts WHERE ledger = $1 AND code = $2 AND owner = $3`, usd, int(code), owner).Scan(&id))
	parsed, err := ledger.ParseUUID(id)
	w.must(err)
	list, err := w.engine.LookupAccounts(w.ctx, []ledger.ID{parsed})
	w.must(err)
	if len(list) != 1 {
		w.t.Fatalf("account %d %s is not in the ledger", code, owner)
	}
	return list[0]
}

// The same request with the same key does it once, whatever became of the
// first, and answers the same.
func TestEntryReplays(t *testing.T) {
	w := newWorld(t, nil)
	w.earned("a")
	w.verify("bob")
	req := func(key string, amount int64) posting.Request {
		return posting.Request{Marketplace: w.market.ID, Key: key, Hash: [32]byte{byte(amount)},
			Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Payout, Ledger: usd, Party: "bob", Amount: amount}}}
	}
	first, err := w.poster.Do(w.ctx, req("k", 100))
	w.must(err)
	again, err := w.another().Do(w.ctx, req("k", 100))
	w.must(err)
	if !again.Replayed || again.Intent != first.Intent || fmt.Sprintf("%+v", *again.Entry) != fmt.Sprintf("%+v", *first.Entry) {
		t.Errorf("replayed %t:\n%+v\n%+v", again.Replayed, *again.Entry, *first.Entry)
	}
	if _, err := w.poster.Do(w.ctx, req("k", 101)); !errors.Is(err, posting.ErrKeyReused) {
		t.Errorf("another payout under the same key: %v", err)
	}
	if _, err := w.poster.Do(w.ctx, req("much", 99_999)); !rejected(err, "exceeds_credits") {
		t.Errorf("%v", err)
	}
	if _, err := w.poster.Do(w.ctx, req("much", 99_999)); !rejected(err, "exceeds_credits") {
		t.Errorf("the second time: %v", err)
	}
	if list, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Payout}); err != nil || len(list) != 2 {
		t.Errorf("%d payouts, %v", len(list), err)
	}
}

// mute is a ledger that does not answer while it is on.
type mute struct {
	ledger.Engine
	on atomic.Bool
}

func (m *mute) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	for m.on.Load() {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return m.Engine.CreateTransfers(ctx, ts)
}

// An entry whose process died between intent and outcome is finished by a
// redrive, with the same ids.
func TestEntryRedriven(t *testing.T) {
	var ledgerOf *mute
	w := newWorld(t, func(e ledger.Engine) ledger.Engine {
		ledgerOf = &mute{Engine: e}
		return ledgerOf
	})
	o := w.earned("a")
	w.verify("bob")
	ledgerOf.on.Store(true)
	ctx, cancel := context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer cancel()
	_, err := w.poster.Do(ctx, posting.Request{Marketplace: w.market.ID, Key: "k",
		Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Payout, Ledger: usd, Party: "bob", Amount: 100}}})
	if !errors.Is(err, posting.ErrUnknown) {
		t.Fatalf("%v, want an unknown outcome", err)
	}
	if n, err := w.another().Redrive(w.ctx, 0, 100); err != nil || n != 1 {
		t.Fatalf("redrive: %d, %v", n, err)
	}
	ledgerOf.on.Store(false)
	list, err := w.store.Entries(w.ctx, w.market.ID, orderdb.EntryFilter{Kind: treasury.Payout})
	w.must(err)
	if posted, pending := w.available(&o); len(list) != 1 || list[0].State != treasury.Sent || list[0].Seq != 1 || posted != 9500 || pending != 100 {
		t.Errorf("%+v; %d available, %d pending", list, posted, pending)
	}
	e, err := w.then(list[0], treasury.Command{Event: treasury.Accept})
	if err != nil || e.State != treasury.Accepted {
		t.Errorf("%+v, %v", e, err)
	}
}

// A transfer that came in short is topped up by another method, and pays two
// orders; what is in excess goes back to the payer.
func TestPaidFromTheBalance(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.agree("a"), w.agree("b")
	pay := posting.Request{Marketplace: w.market.ID, Orders: []ledger.ID{a.ID, b.ID}, Command: order.Command{Event: order.Pay, Method: order.Balance, At: start}}
	receive := func(method, line string, amount int64) {
		t.Helper()
		e, err := w.make(treasury.Terms{Kind: treasury.Receipt, Party: "ann", Method: method, Reference: line, Amount: amount})
		w.must(err)
		if e.State != treasury.Done || e.Owner != "ann" {
			t.Errorf("%+v", e)
		}
	}
	receive("bank_transfer", "line 1", 19_000)
	if _, err := w.poster.Do(w.ctx, pay); !rejected(err, "exceeds_credits") {
		t.Fatalf("paid short: %v", err)
	}
	receive("voucher", "line 2", 1_500)
	r, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	for _, o := range r.Orders {
		if o.State != order.Held || o.Held != 10_000 {
			t.Errorf("%+v", o.Progress)
		}
	}
	if _, err := w.make(treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "bank_transfer", Amount: 501}); !rejected(err, "exceeds_credits") {
		t.Errorf("more is repaid than is left: %v", err)
	}
	e, err := w.make(treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "bank_transfer", Amount: 500})
	w.must(err)
	e, err = w.then(e, treasury.Command{Event: treasury.Send})
	w.must(err)
	if e, err = w.then(e, treasury.Command{Event: treasury.Settle}); err != nil || e.State != treasury.Done {
		t.Errorf("%+v, %v", e, err)
	}
	buyer := w.account(chart.Buyer, "ann")
	if buyer.CreditsPosted != buyer.DebitsPosted || buyer.CreditsPosted != ledger.U64(20_500) {
		t.Errorf("the buyer is left with %s of %s", buyer.DebitsPosted, buyer.CreditsPosted)
	}
	w.balanced()
}
