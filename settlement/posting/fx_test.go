package posting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/jobs/books"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// newJournalWorld is a world whose ledger is the embedded one, so that check-books
// has a journal to add up.
func newJournalWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, nil)
	engine, err := pgengine.New(w.db)
	w.must(err)
	w.engine = engine
	w.poster = posting.New(w.db, engine, posting.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		w.must(errors.Join(w.poster.Close(ctx), engine.Close()))
	})
	return w
}

// stand is what stands on the marketplace's accounts, "1400 JPY" and so on,
// debits less credits in minor units; accounts at zero are left out.
func (w *world) stand() map[string]int64 {
	w.t.Helper()
	all, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Limit: ledger.BatchMax})
	w.must(err)
	sums := map[string]int64{}
	for _, a := range all {
		m, cur, _ := chart.SplitLedger(a.Ledger)
		if m != w.market.ID {
			continue
		}
		name := fmt.Sprint(a.Code, " ", cur.Code)
		if sums[name] += int64(a.DebitsPosted.Lo) - int64(a.CreditsPosted.Lo); sums[name] == 0 {
			delete(sums, name)
		}
	}
	return sums
}

func (w *world) stands(when string, want map[string]int64) {
	w.t.Helper()
	if got := w.stand(); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s stand\n%v\nwant\n%v", when, got, want)
	}
	w.balanced()
	w.checkBooks()
}

// checkBooks is the job of that name: every ledger by itself, every order, and
// every page of the journal.
func (w *world) checkBooks() books.Report {
	w.t.Helper()
	r, err := books.Check(w.ctx, w.db, w.engine, books.Options{})
	if err != nil || !r.Balanced {
		w.t.Errorf("check-books: %v, %+v", err, r)
	}
	return r
}

// An order in dollars that was paid in yen: both ledgers, the timeline, what a
// refund is in; and that all of it is one chain, or nothing.
func TestPaidInAnotherCurrency(t *testing.T) {
	w := newJournalWorld(t)
	o := w.agree("a")
	pay := w.event(o.ID, order.Command{Event: order.Pay, At: start, Method: "card", FX: order.FX{Currency: "JPY", Amount: 15_025, Rate: "0.0067", Spread: 100}})
	pay.Data = json.RawMessage(`{"method":"card","fx":"what I say","id":12345678901234567890}`)
	pay.Key = "k"
	// 14925 yen are 99.9975 dollars, which round to 100.00.
	_, err := w.poster.Do(w.ctx, pay)
	w.must(err)
	w.stands("paid", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925, "1400 USD": 10_000, "2100 USD": -10_000})

	again, err := w.poster.Do(w.ctx, pay)
	if err != nil || !again.Replayed || again.Orders[0].Held != 10_000 {
		t.Errorf("the same once more: %+v, %v", again, err)
	}
	events, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	var said struct {
		Method string
		ID     json.Number
		FX     order.FX
	}
	w.must(json.Unmarshal(events[1].Data, &said))
	if said.FX != pay.Command.FX || said.Method != "card" || said.ID != "12345678901234567890" {
		t.Errorf("the timeline has %s", events[1].Data)
	}

	w.do(o.ID, order.Command{Event: order.Refund, At: start, Amount: 2_000})
	w.do(o.ID, order.Command{Event: order.Ship, At: start})
	w.do(o.ID, order.Command{Event: order.Confirm, At: start})
	w.stands("released", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925,
		"1400 USD": 10_000, "2000 USD": -2_000, "2200 USD": -7_600, "4100 USD": -400})
	if r := w.checkBooks(); len(r.Ledgers) != 2 {
		t.Errorf("%d ledgers were checked", len(r.Ledgers))
	}
}

// What cannot be a payment in another currency is refused before any order is
// looked at, and leaves nothing behind.
func TestBadPaymentsInAnotherCurrency(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.agree("a"), w.agree("b")
	good := order.FX{Currency: "JPY", Amount: 15_000, Rate: "0.0067"}
	pay := func(change func(*posting.Request)) posting.Request {
		r := w.event(a.ID, order.Command{Event: order.Pay, At: start, Method: "card", FX: good})
		change(&r)
		return r
	}
	for want, r := range map[string]posting.Request{
		"fx: of a payment for one order, or of its chargeback, only":                       pay(func(r *posting.Request) { r.Orders = append(r.Orders, b.ID) }),
		"data: must be a JSON object":                                                      pay(func(r *posting.Request) { r.Data = json.RawMessage(`[1]`) }),
		"fx/currency: not an ISO 4217 currency":                                            pay(func(r *posting.Request) { r.Command.FX.Currency = "" }),
		"fx/currency: XAU, gold, has no minor unit":                                        pay(func(r *posting.Request) { r.Command.FX.Currency = "XAU" }),
		"fx/rate: a rate is more than zero":                                                pay(func(r *posting.Request) { r.Command.FX.Rate = "0.0" }),
		"fx/spread: must be from 0 to less than what was paid":                             pay(func(r *posting.Request) { r.Command.FX.Spread = 15_000 }),
		"fx/amount: must be from 1 to 9007199254740991 minor units":                        pay(func(r *posting.Request) { r.Command.FX.Amount = -1 }),
		"pay refused (currency): the order itself is in USD":                               pay(func(r *posting.Request) { r.Command.FX = order.FX{Currency: "USD", Amount: 10_000, Rate: "1"} }),
		"pay refused (rate): JPY 15000 at the rate 0.0067 would be USD 100.50, not 100.00": pay(func(*posting.Request) {}),
		"pay refused (currency): HRK was withdrawn on 2023-01-01: EUR took its place": pay(func(r *posting.Request) {
			r.Command.FX = order.FX{Currency: "HRK", Amount: 70_000, Rate: "0.142857142857"}
		}),
		"pay refused (method): the buyer's balance is in the order's currency: it needs no rate": pay(func(r *posting.Request) { r.Command.Method = order.Balance }),
	} {
		if _, err := w.poster.Do(w.ctx, r); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	authorise := w.event(a.ID, order.Command{Event: order.Authorise, Method: "card", FX: good})
	if _, err := w.poster.Do(w.ctx, authorise); err == nil || err.Error() != "fx: of a payment for one order, or of its chargeback, only" {
		t.Errorf("authorised: %v", err)
	}
	if stand := w.stand(); len(stand) > 0 || w.order(a.ID).Seq != 1 {
		t.Errorf("refusals moved %v", stand)
	}
}

// An order in kuna that is paid in euro when the kuna is gone, at the fixed rate.
func TestKunaPaidInEuro(t *testing.T) {
	w := newJournalWorld(t)
	w.zagreb()
	o, err := w.agreeIn("a", "HRK", 75_345, time.Time{})
	w.must(err)
	w.clock(euroDay.AddDate(0, 0, 1))
	w.do(o.ID, order.Command{Event: order.Pay, Method: "card", FX: order.FX{Currency: "EUR", Amount: 10_000, Rate: "7.53450"}})
	w.stands("paid", map[string]int64{"1100 EUR": 10_000, "1400 EUR": -10_000, "1400 HRK": 75_345, "2100 HRK": -75_345})
}

// entryIn makes an entry of one of the marketplace's ledgers.
func (w *world) entryIn(currency string, t treasury.Terms) (treasury.Entry, error) {
	t.Ledger = w.in(currency)
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID, Entry: &posting.EntryRequest{New: &t}})
	if err != nil {
		return treasury.Entry{}, err
	}
	return *r.Entry, nil
}

// A refund of an order that was paid in yen goes back to the buyer in yen, and
// the marketplace sells the yen that it is left with.
func TestConversions(t *testing.T) {
	w := newJournalWorld(t)
	o := w.agree("a")
	w.do(o.ID, order.Command{Event: order.Pay, At: start, Method: "card", FX: order.FX{Currency: "JPY", Amount: 15_025, Rate: "0.0067", Spread: 100}})
	w.do(o.ID, order.Command{Event: order.Refund, At: start, Amount: 4_000})

	// 40.00 dollars, less 1.00, at 149.25 are 5820.75 yen.
	terms := treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 4_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("JPY"), Amount: 5_821, Rate: "149.25", Spread: 100}}
	e, err := w.entryIn("USD", terms)
	w.must(err)
	stored, err := w.store.Entry(w.ctx, w.market.ID, e.ID)
	w.must(err)
	if e.State != treasury.Proposed || fmt.Sprintf("%+v", stored) != fmt.Sprintf("%+v", e) || stored.Digest() != e.Digest() || stored.To != terms.To {
		t.Errorf("%+v\nis stored as\n%+v", e, stored)
	}
	w.stands("proposed", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925, "1400 USD": 10_000, "2100 USD": -6_000, "2000 USD": -4_000})
	var refusal *order.Refusal
	if _, err := w.then(e, treasury.Command{Event: treasury.Approve, Person: "eve", Digest: e.Digest()}); !errors.As(err, &refusal) || refusal.Rule != treasury.RuleFourEyes {
		t.Errorf("approved by who proposed it: %v", err)
	}
	if e, err = w.then(e, treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()}); err != nil || e.State != treasury.Done {
		t.Fatalf("%+v, %v", e, err)
	}
	w.stands("converted", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1400 JPY": -14_925 + 5_821, "2000 JPY": -5_821,
		"1400 USD": 10_000 - 4_000 + 100, "4110 USD": -100, "2100 USD": -6_000})
	_, err = w.entryIn("JPY", treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: 5_821})
	w.must(err)

	// The rest of the yen is sold at the bank: 9104 at 0.00665 are 60.5416.
	sale, err := w.entryIn("JPY", treasury.Terms{Kind: treasury.Conversion, Amount: 9_104, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("USD"), Amount: 6_054, Rate: "0.00665"}})
	w.must(err)
	_, err = w.then(sale, treasury.Command{Event: treasury.Approve, Person: "max", Digest: sale.Digest()})
	w.must(err)
	// What is left of the positions is what the rates made of it: 46 cents lost.
	w.stands("sold", map[string]int64{"1100 JPY": 15_025, "4110 JPY": -100, "1010 JPY": -9_104, "2300 JPY": -5_821,
		"1400 USD": 46, "4110 USD": -100, "2100 USD": -6_000, "1010 USD": 6_054})

	// More than the buyer has is the ledger's to refuse, in both ledgers.
	more, err := w.entryIn("USD", treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 100, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("JPY"), Amount: 149, Rate: "149.25"}})
	w.must(err)
	if _, err := w.then(more, treasury.Command{Event: treasury.Approve, Person: "max", Digest: more.Digest()}); !rejected(err, "exceeds_credits") {
		t.Errorf("more than there is: %v", err)
	}
	if again, err := w.store.Entry(w.ctx, w.market.ID, more.ID); err != nil || again.State != treasury.Proposed || again.Attempt != 1 {
		t.Errorf("%+v, %v", again, err)
	}
	if left := w.stand(); left["1400 USD"] != 46 || left["1400 JPY"] != 0 {
		t.Errorf("a refused conversion moved something: %v", left)
	}
}

// What buyers had in kuna when it went becomes euro at the fixed rate; nothing
// becomes kuna any more.
func TestKunaBecomesEuro(t *testing.T) {
	w := newJournalWorld(t)
	w.zagreb()
	_, err := w.entryIn("HRK", treasury.Terms{Kind: treasury.Receipt, Party: "ann", Method: "card", Reference: "line 1", Amount: 100_000})
	w.must(err)
	w.clock(euroDay)
	const perKuna = "0.132722808414" // 1 / 7.53450, to twelve decimals
	e, err := w.entryIn("HRK", treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 100_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("EUR"), Amount: 13_272, Rate: perKuna}})
	w.must(err)
	_, err = w.then(e, treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()})
	w.must(err)
	w.stands("converted", map[string]int64{"1100 HRK": 100_000, "1400 HRK": -100_000, "1400 EUR": 13_272, "2000 EUR": -13_272})
	var refusal *order.Refusal
	_, err = w.entryIn("EUR", treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 100, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("HRK"), Amount: 753, Rate: "7.53450"}})
	if !errors.As(err, &refusal) || refusal.Rule != order.RuleCurrency || refusal.Detail != "HRK was withdrawn on 2023-01-01: EUR took its place" {
		t.Errorf("into kuna: %v", err)
	}
}

// The whole way back of an order in dollars that was paid in yen: refunded before
// and after the release, converted at the rate of the day, or repaid as it is,
// sent to the payer, refused by his bank, sent once more, and settled by the
// provider, until nothing stands open but the positions.
func TestRefundsToWhoPaidInAnotherCurrency(t *testing.T) {
	w := newJournalWorld(t)
	o := w.agree("a")
	w.do(o.ID, order.Command{Event: order.Pay, At: start, Method: "card", FX: order.FX{Currency: "JPY", Amount: 14_925, Rate: "0.0067"}})
	w.do(o.ID, order.Command{Event: order.Refund, At: start, Amount: 4_000})
	w.do(o.ID, order.Command{Event: order.Ship, At: start})
	w.do(o.ID, order.Command{Event: order.Confirm, At: start})
	w.do(o.ID, order.Command{Event: order.Mature, By: order.System, At: start.AddDate(0, 0, 2)})
	o = w.do(o.ID, order.Command{Event: order.RefundReleased, At: start.AddDate(0, 0, 3), Amount: 2_000, Reason: "broken"})
	if o.State != order.Closed || o.Refunded != 6_000 {
		t.Fatalf("%+v", o.Progress)
	}
	w.stands("refunded", map[string]int64{"1100 JPY": 14_925, "1400 JPY": -14_925, "1400 USD": 10_000, "2000 USD": -6_000, "2210 USD": -3_800, "4100 USD": -200})

	// 50.00 of it go back in yen: at 149.25 they are 7462.5, which round to 7462.
	e, err := w.entryIn("USD", treasury.Terms{Kind: treasury.Conversion, Party: "ann", Amount: 5_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: w.in("JPY"), Amount: 7_462, Rate: "149.25"}})
	w.must(err)
	_, err = w.then(e, treasury.Command{Event: treasury.Approve, Person: "max", Digest: e.Digest()})
	w.must(err)
	w.stands("converted", map[string]int64{"1100 JPY": 14_925, "1400 JPY": -7_463, "2000 JPY": -7_462, "1400 USD": 5_000, "2000 USD": -1_000, "2210 USD": -3_800, "4100 USD": -200})
	repay := func(currency string, amount int64) treasury.Entry {
		t.Helper()
		e, err := w.entryIn(currency, treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: amount})
		w.must(err)
		return e
	}
	step := func(e treasury.Entry, event treasury.Event, want treasury.State) treasury.Entry {
		t.Helper()
		e, err := w.then(e, treasury.Command{Event: event})
		if err != nil || e.State != want {
			t.Fatalf("%s: %+v, %v", event, e, err)
		}
		return e
	}
	yen := repay("JPY", 7_462)
	w.stands("due", map[string]int64{"1100 JPY": 14_925, "1400 JPY": -7_463, "2300 JPY": -7_462, "1400 USD": 5_000, "2000 USD": -1_000, "2210 USD": -3_800, "4100 USD": -200})
	yen = step(yen, treasury.Send, treasury.Sent)
	w.stands("sent", map[string]int64{"1100 JPY": 7_463, "1400 JPY": -7_463, "1400 USD": 5_000, "2000 USD": -1_000, "2210 USD": -3_800, "4100 USD": -200})
	step(yen, treasury.Reject, treasury.Rejected) // the card is closed: it is the buyer's again, in yen
	w.stands("rejected", map[string]int64{"1100 JPY": 14_925, "1400 JPY": -7_463, "2000 JPY": -7_462, "1400 USD": 5_000, "2000 USD": -1_000, "2210 USD": -3_800, "4100 USD": -200})
	step(step(repay("JPY", 7_462), treasury.Send, treasury.Sent), treasury.Settle, treasury.Done)

	// The rest goes back as it is, in the order's currency: nobody has to exchange it.
	step(step(repay("USD", 1_000), treasury.Send, treasury.Sent), treasury.Settle, treasury.Done)
	w.stands("repaid", map[string]int64{"1100 JPY": 7_463, "1400 JPY": -7_463, "1100 USD": -1_000, "1400 USD": 5_000, "2210 USD": -3_800, "4100 USD": -200})

	// The provider settles what is left with it.
	_, err = w.entryIn("JPY", treasury.Terms{Kind: treasury.PSPSettlement, Method: "card", Amount: 7_463, Reference: "settled 1"})
	w.must(err)
	w.stands("settled", map[string]int64{"1010 JPY": 7_463, "1400 JPY": -7_463, "1100 USD": -1_000, "1400 USD": 5_000, "2210 USD": -3_800, "4100 USD": -200})
	// More than the buyer has is refused, whatever the order was paid in.
	if _, err := w.entryIn("JPY", treasury.Terms{Kind: treasury.Repayment, Party: "ann", Method: "card", Amount: 1}); !rejected(err, "exceeds_credits") {
		t.Errorf("repaid twice: %v", err)
	}
}
