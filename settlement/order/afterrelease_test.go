package order

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	ledgerrules "escrowd/ledger/rules" // rules is the state table here
)

// ledgerBooks are an order's accounts as the ledger's own rules keep them.
type ledgerBooks struct {
	testing.TB
	engine *ledgerrules.Engine
	next   uint64
}

func newBooks(t testing.TB) *ledgerBooks {
	return &ledgerBooks{TB: t, engine: ledgerrules.NewEngine(func() uint64 { return uint64(t0.UnixNano()) })}
}

// book gives the ledger a chain, which it has to take.
func (b *ledgerBooks) book(accounts []ledger.Account, chain []ledger.Transfer) {
	b.Helper()
	if len(accounts) > 0 {
		opened, err := b.engine.CreateAccounts(b.Context(), accounts)
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range opened {
			if !r.Status.Stands() {
				b.Fatalf("account of code %d: %s", accounts[i].Code, r.Status)
			}
		}
	}
	if len(chain) == 0 {
		return
	}
	results, err := b.engine.CreateTransfers(b.Context(), chain)
	if err != nil {
		b.Fatal(err)
	}
	for i, r := range results {
		if r.Status != ledger.TransferCreated {
			b.Fatalf("leg %d of %s: %s", i, legs(chain), r.Status)
		}
	}
}

// play plans the commands, one after the other, and books what they move.
func (b *ledgerBooks) play(o Order, cs ...Command) Order {
	b.Helper()
	for _, c := range cs {
		ch, err := Plan(o, complete(o, c))
		if err != nil {
			b.Fatalf("%s in %s: %v", c.Event, o.State, err)
		}
		b.book(ch.Accounts, ch.Legs)
		o = ch.After
		b.agrees(&o)
	}
	return o
}

// agrees checks what is true of an order and its books at any moment.
func (b *ledgerBooks) agrees(o *Order) {
	b.Helper()
	if sum := o.Held + o.Released + o.Refunded; !o.PaidAt.IsZero() && sum != o.Charge().Pays() {
		b.Fatalf("%d held, %d released and %d refunded are not %d", o.Held, o.Released, o.Refunded, o.Charge().Pays())
	}
	if o.Held < 0 || o.Released < 0 || o.Refunded < 0 || o.FeeCharged < 0 || o.TaxCharged < 0 || o.Maturing < 0 {
		b.Fatalf("below zero: %+v", o.Progress)
	}
	if got := b.balance(books.Collection); got != 0 {
		b.Fatalf("the collection account is not empty after the chain: %d", got)
	}
	if got := b.balance(o.ID); got != o.Held {
		b.Fatalf("%d held, %d in escrow", o.Held, got)
	}
	if got := b.balance(o.SellerAccount); got != o.Maturing {
		b.Fatalf("%d maturing, %d in 2200", o.Maturing, got)
	}
	var a Aftermath
	if o.Aftermath != nil {
		a = *o.Aftermath
	}
	// What the buyer's bank has kept went back to him there.
	if got := b.balance(o.BuyerAccount); got != o.Refunded-(a.Lost-a.Absorbed) {
		b.Fatalf("%d refunded, the buyer has %d, %d lost, %d absorbed", o.Refunded, got, a.Lost, a.Absorbed)
	}
	open := int64(0)
	if a.Chargeback != nil {
		open = a.Chargeback.Amount
	}
	if got := -b.balance(books.Receivable); got != open {
		b.Fatalf("%d is charged back, %d receivable", open, got)
	}
	if got := b.balance(books.Clearing) + o.Charge().Pays(); !o.PaidAt.IsZero() && got != open+a.Lost {
		b.Fatalf("%d is charged back and %d lost, the provider has taken %d", open, a.Lost, got)
	}
	frozen := int64(0)
	if o.State.Frozen() {
		frozen = o.Held
	}
	if got := b.pending(o.ID); got != frozen {
		b.Fatalf("%s: %d is frozen in the ledger, of %d", o.State, got, o.Held)
	}
	if got := b.pending(AccountID(id(3), chart.SellerAvailable)); got != 0 && a.Chargeback == nil {
		b.Fatalf("%s: %d of the seller's money is kept", o.State, got)
	}
}

// pending is what is reserved of an account.
func (b *ledgerBooks) pending(id ledger.ID) int64 {
	b.Helper()
	a, err := b.engine.LookupAccounts(b.Context(), []ledger.ID{id})
	if err != nil {
		b.Fatal(err)
	}
	if len(a) == 0 {
		return 0
	}
	return int64(a[0].DebitsPending.Lo)
}

// balance is credits less debits.
func (b *ledgerBooks) balance(id ledger.ID) int64 {
	b.Helper()
	a, err := b.engine.LookupAccounts(b.Context(), []ledger.ID{id})
	if err != nil {
		b.Fatal(err)
	}
	if len(a) == 0 {
		return 0
	}
	return int64(a[0].CreditsPosted.Lo) - int64(a[0].DebitsPosted.Lo)
}

var outside = id(20)

// gives moves money between the outside world and the seller's account: in, or
// out if amount is negative.
func (b *ledgerBooks) gives(code chart.AccountCode, amount int64) {
	b.Helper()
	if amount == 0 {
		return
	}
	b.next++
	from, to := outside, AccountID(id(3), code)
	if amount < 0 {
		from, to, amount = to, from, -amount
	}
	b.book([]ledger.Account{{ID: outside, Ledger: 1840, Code: 1010}, {ID: AccountID(id(3), code), Ledger: 1840, Code: uint16(code), Flags: code.Flags()}},
		[]ledger.Transfer{{ID: ledger.U64(b.next), DebitAccountID: from, CreditAccountID: to, Amount: ledger.U64(uint64(amount)),
			Ledger: 1840, Code: uint16(chart.Adjustment)}})
}

// seller is what the seller has available, in reserve, and as a debt.
func (b *ledgerBooks) seller() [3]int64 {
	b.Helper()
	return [3]int64{b.balance(AccountID(id(3), chart.SellerAvailable)), b.balance(AccountID(id(3), chart.SellerReserve)),
		-b.balance(AccountID(id(3), chart.SellerReceivable))}
}

// released has given 88.00 of 100.00 to the seller, 10.00 to the fee and 2.00
// to the tax.
var released = []Command{{Event: Pay, Method: "card"}, {Event: Ship}, {Event: Confirm}}

func back(amount int64) Command {
	return Command{Event: RefundReleased, Amount: amount, Reason: "broken"}
}

func then(path []Command, more ...Command) []Command {
	return append(path[:len(path):len(path)], more...)
}

// What was released goes back: the chain, and how the order stands then.
func TestRefundsAfterRelease(t *testing.T) {
	keep := func(p *Policy) { p.RefundFee = KeepFee }
	closed := then(released, Command{Event: Mature})
	split := []Command{{Event: Pay, Method: "card"}, {Event: Ship}, {Event: Dispute, Reason: "late"},
		{Event: Rule, ToSeller: 5_000, ToBuyer: 5_000}}
	for _, c := range []struct {
		name                    string
		policy                  func(*Policy)
		path                    []Command
		state                   State
		released, fee, maturing int64
		money                   string
	}{
		{"a part, before it matures", nil, then(released, back(2_500)), Released, 7_500, 750, 6_600,
			"refund_from_pending: seller pending -> buyer 2200; refund_of_fee: fee -> buyer 250; refund_of_fee_tax: tax -> buyer 50"},
		{"all, before it matures", nil, then(released, back(0)), Refunded, 0, 0, 0,
			"refund_from_pending: seller pending -> buyer 8800; refund_of_fee: fee -> buyer 1000; refund_of_fee_tax: tax -> buyer 200"},
		{"the rest", nil, then(released, back(3_333), back(0)), Refunded, 0, 0, 0,
			"refund_from_pending: seller pending -> buyer 5867; refund_of_fee: fee -> buyer 667; refund_of_fee_tax: tax -> buyer 133"},
		{"a unit", nil, then(released, back(1)), Released, 9_999, 1_000, 8_799, "refund_from_pending: seller pending -> buyer 1"},
		{"the fee stays", keep, then(released, back(2_500)), Released, 7_500, 1_000, 6_300,
			"refund_from_pending: seller pending -> buyer 2500"},
		{"the fee stays, and the seller pays more than the order gave", keep, then(released, back(0)), Refunded, 0, 1_000, 0,
			"refund_from_pending: seller pending -> buyer 8800; refund_collected: collection -> buyer 1200; " +
				"refund_from_available: seller available -> collection 1200 at most; refund_from_reserve: seller reserve -> collection 1200 at most; " +
				"refund_from_debt: seller debt -> collection 1200 at most"},
		{"a part, after it matured", nil, then(closed, back(2_500)), Closed, 7_500, 750, 0,
			"refund_collected: collection -> buyer 2200; " +
				"refund_from_available: seller available -> collection 2200 at most; refund_from_reserve: seller reserve -> collection 2200 at most; " +
				"refund_from_debt: seller debt -> collection 2200 at most; refund_of_fee: fee -> buyer 250; refund_of_fee_tax: tax -> buyer 50"},
		{"all, after a part before", nil, then(released, back(2_500), Command{Event: Mature}, back(0)), Refunded, 0, 0, 0,
			"refund_collected: collection -> buyer 6600; " +
				"refund_from_available: seller available -> collection 6600 at most; refund_from_reserve: seller reserve -> collection 6600 at most; " +
				"refund_from_debt: seller debt -> collection 6600 at most; refund_of_fee: fee -> buyer 750; refund_of_fee_tax: tax -> buyer 150"},
		{"after a ruling, the operator", nil, then(split, Command{Event: RefundReleased, By: Operator, Amount: 1_000, Reason: "a slip"}), Ruled, 4_000, 400, 3_520,
			"refund_from_pending: seller pending -> buyer 880; refund_of_fee: fee -> buyer 100; refund_of_fee_tax: tax -> buyer 20"},
		{"what was released leaves as before, less what went back", nil, then(released, back(2_500), Command{Event: Mature}), Closed, 7_500, 750, 0,
			"mature: seller pending -> seller available 6600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks(t)
			o := b.play(agreed(t, 10_000, c.policy), c.path[:len(c.path)-1]...)
			last := c.path[len(c.path)-1]
			ch, err := Plan(o, complete(o, last))
			if err != nil {
				t.Fatal(err)
			}
			if got := legs(ch.Legs); got != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", got, c.money)
			}
			after := b.play(o, last)
			if after.State != c.state || after.Released != c.released || after.FeeCharged != c.fee || after.Maturing != c.maturing {
				t.Errorf("%s: %d released, fee %d, %d maturing; want %s: %d, %d, %d",
					after.State, after.Released, after.FeeCharged, after.Maturing, c.state, c.released, c.fee, c.maturing)
			}
			if after.State == o.State && (after.Deadline != o.Deadline || !after.DeadlineAt.Equal(o.DeadlineAt)) {
				t.Errorf("the deadline has moved: %s at %s", after.Deadline, after.DeadlineAt)
			}
			e := Explain(&after)
			if e.Why == "" || e.Next == "" || strings.Contains(e.Next, "may refund") != (c.state != Refunded) {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Whose money it is: the ledger takes what is available, then the reserve, then
// writes the rest down as a debt, whatever else the seller has or owes.
func TestTheLedgerDecidesWhoPays(t *testing.T) {
	for _, c := range []struct {
		name                     string
		available, reserve, debt int64 // beside the order's
		order                    []chart.AccountCode
		amount                   int64
		want                     [3]int64
	}{
		{"the order's own money is there", 0, 0, 0, nil, 10_000, [3]int64{0, 0, 0}},
		{"others' too", 500, 70, 0, nil, 10_000, [3]int64{500, 70, 0}},
		{"paid out, nothing left", -8_800, 0, 0, nil, 10_000, [3]int64{0, 0, 8_800}},
		{"paid out, the reserve pays a part", -8_800, 3_000, 0, nil, 10_000, [3]int64{0, 0, 5_800}},
		{"paid out, the reserve pays all", -8_800, 9_000, 0, nil, 10_000, [3]int64{0, 200, 0}},
		{"a part paid out", -8_000, 3_000, 0, nil, 5_000, [3]int64{0, 0, 600}},
		{"an earlier debt stays what it is", 0, 5_000, 700, nil, 5_000, [3]int64{4_400, 5_000, 700}},
		{"and grows", -8_800, 100, 700, nil, 5_000, [3]int64{0, 0, 5_000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks(t)
			o := b.play(agreed(t, 10_000, nil), then(released, Command{Event: Mature})...)
			b.gives(chart.SellerAvailable, c.available)
			b.gives(chart.SellerReserve, c.reserve)
			b.gives(chart.SellerReceivable, -c.debt)
			o = b.play(o, back(c.amount))
			if got := b.seller(); got != c.want {
				t.Errorf("available, reserve and debt are %v, want %v", got, c.want)
			}
			if fee := b.balance(books.Fee); fee != o.FeeCharged {
				t.Errorf("the fee account has %d, the order was charged %d", fee, o.FeeCharged)
			}
		})
	}
}

func TestRefundsAfterReleaseRefused(t *testing.T) {
	closed := then(released, Command{Event: Mature})
	until := t0.Add(3*hour).AddDate(0, 0, 60) // of the release
	late := back(0)
	late.At = until.Add(time.Microsecond)
	byBuyer, noReason := back(0), back(0)
	byBuyer.By, noReason.Reason = Buyer, ""
	for _, c := range []struct {
		name   string
		policy func(*Policy)
		events []Command
		rule   string
	}{
		{"above what was released", nil, then(closed, back(10_001)), RuleAmount},
		{"over the rest", nil, then(closed, back(6_000), back(4_001)), RuleAmount},
		{"below zero", nil, then(closed, back(-1)), RuleAmount},
		{"by the buyer", nil, then(closed, byBuyer), RuleRole},
		{"without a reason", nil, then(closed, noReason), RuleReason},
		{"too late", nil, then(closed, late), RuleTooLate},
		{"too late, whatever happened since", nil, then(closed, back(1), late), RuleTooLate},
		{"past its maturity, which comes first", nil, then(released, Command{Event: RefundReleased, Reason: "x", At: t0.AddDate(0, 0, 10)}), RuleTooLate},
		{"under a policy without it", func(p *Policy) { p.RefundReleasedWithin = 0 }, then(closed, back(1)), RulePolicy},
		{"before the release", nil, []Command{released[0], released[1], back(1)}, RuleState},
		{"after all went back", nil, then(closed, back(0), back(1)), RuleState},
		{"as a refund of what is held", nil, then(closed, Command{Event: Refund, By: Operator}), RuleState},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreed(t, 10_000, c.policy)
			for _, e := range c.events[:len(c.events)-1] {
				o = must(t, o, e)
			}
			_, err := Plan(o, complete(o, c.events[len(c.events)-1]))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule || r.State != o.State {
				t.Fatalf("%v, want %s", err, c.rule)
			}
		})
	}
	o := agreed(t, 10_000, nil)
	for _, e := range closed {
		o = must(t, o, e)
	}
	before := o.Progress
	last := back(1)
	last.At = until
	after := must(t, o, last) // at the last moment is in time
	if o.Progress != before || after.Aftermath == nil || !after.Aftermath.ReleasedAt.Equal(t0.Add(3*hour)) {
		t.Errorf("released at %+v", after.Aftermath)
	}
}

// Whatever goes back in whatever portions, the parts sum to the whole, and in
// the end everybody has given back what he was given.
func TestRefundsAfterReleaseSumToTheWhole(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		amount := rapid.Int64Range(1, MaxAmount).Draw(rt, "amount")
		f := Fee{Bps: rapid.Int64Range(0, 10_000).Draw(rt, "bps"), Fixed: rapid.Int64Range(0, 500).Draw(rt, "fixed"),
			TaxBps: rapid.Int64Range(0, 10_000).Draw(rt, "tax")}
		fees := rapid.SampledFrom([]string{ReturnFee, KeepFee, ""}).Draw(rt, "what becomes of the fee")
		b := newBooks(t)
		o := b.play(agreed(t, amount, func(p *Policy) { p.Fees, p.RefundFee = map[string]Fee{"USD": f}, fees }), released...)
		mature := rapid.IntRange(0, 4).Draw(rt, "matures after")
		for i := 0; o.State != Refunded; i++ {
			if i == mature && o.State == Released {
				o = b.play(o, Command{Event: Mature})
			}
			part := rapid.Int64Range(1, o.Released).Draw(rt, "part")
			if i > 4 {
				part = 0
			}
			o = b.play(o, back(part))
			if fees != KeepFee && o.FeeCharged+o.TaxCharged > o.Released {
				rt.Fatalf("%d and %d are of %d", o.FeeCharged, o.TaxCharged, o.Released)
			}
		}
		want := [3]int64{0, 0, 0}
		if fees == KeepFee {
			want[2] = o.FeeCharged + o.TaxCharged
		} else if o.FeeCharged+o.TaxCharged != 0 {
			rt.Fatalf("fee %d and tax %d are left", o.FeeCharged, o.TaxCharged)
		}
		if got := b.seller(); got != want {
			rt.Fatalf("the seller has %v, want %v", got, want)
		}
		if fee, tax := b.balance(books.Fee), b.balance(books.Tax); fee != o.FeeCharged || tax != o.TaxCharged {
			rt.Fatalf("fee %d and tax %d in the ledger, %d and %d on the order", fee, tax, o.FeeCharged, o.TaxCharged)
		}
	})
}

func TestProRata(t *testing.T) {
	for _, c := range []struct {
		amount int64
		parts  []int64
		want   string
	}{
		{10, []int64{7, 7, 7}, "[4 3 3]"}, // one unit is over: to the first of equals
		{3, []int64{1, 1, 1}, "[1 1 1]"},
		{1, []int64{8_800, 1_000, 200}, "[1 0 0]"},
		{5, []int64{0, 10, 0}, "[0 5 0]"},
		{6, []int64{8_800, 1_000, 200}, "[5 1 0]"}, // 5.28, 0.6, 0.12
		{MaxAmount, []int64{MaxAmount - 2, 1, 1}, fmt.Sprint([]int64{MaxAmount - 2, 1, 1})},
	} {
		if got := fmt.Sprint(proRata(c.amount, c.parts...)); got != c.want {
			t.Errorf("%d of %v: %s, want %s", c.amount, c.parts, got, c.want)
		}
	}
}

func reserve(bps int64) func(*Policy) {
	return func(p *Policy) { p.ReserveBps, p.ReserveFor = bps, 90*day }
}

// A share of the seller's part is kept when it matures, and freed in its time,
// as far as refunds have left of it.
func TestReserve(t *testing.T) {
	matured := then(released, Command{Event: Mature})
	free := Command{Event: ReleaseReserve}
	for _, c := range []struct {
		name     string
		bps      int64
		path     []Command
		paidOut  int64 // of what is available, before the last event
		state    State
		reserved int64
		seller   [3]int64
		money    string
	}{
		{"kept", 1_000, matured, 0, Reserved, 880, [3]int64{7_920, 880, 0},
			"mature: seller pending -> seller available 8800; reserve: seller available -> seller reserve 880"},
		{"half a unit goes to the even one", 5, matured, 0, Reserved, 4, [3]int64{8_796, 4, 0}, // 4.4
			"mature: seller pending -> seller available 8800; reserve: seller available -> seller reserve 4"},
		{"all of it", 10_000, matured, 0, Reserved, 8_800, [3]int64{0, 8_800, 0},
			"mature: seller pending -> seller available 8800; reserve: seller available -> seller reserve 8800"},
		{"of what is left after a refund", 1_000, then(released, back(5_000), Command{Event: Mature}), 0, Reserved, 440, [3]int64{3_960, 440, 0},
			"mature: seller pending -> seller available 4400; reserve: seller available -> seller reserve 440"},
		{"freed", 1_000, then(matured, free), 0, Closed, 0, [3]int64{8_800, 0, 0},
			"reserve_released: seller reserve -> seller available 880 at most"},
		{"a refund takes what is available first", 1_000, then(matured, back(5_000)), 0, Reserved, 880, [3]int64{3_520, 880, 0},
			"refund_collected: collection -> buyer 4400; refund_from_available: seller available -> collection 4400 at most; " +
				"refund_from_reserve: seller reserve -> collection 4400 at most; refund_from_debt: seller debt -> collection 4400 at most; " +
				"refund_of_fee: fee -> buyer 500; refund_of_fee_tax: tax -> buyer 100"},
		{"the reserve pays where that is gone", 1_000, then(matured, back(5_000)), 7_920, Reserved, 880, [3]int64{0, 0, 3_520},
			"refund_collected: collection -> buyer 4400; refund_from_available: seller available -> collection 4400 at most; " +
				"refund_from_reserve: seller reserve -> collection 4400 at most; refund_from_debt: seller debt -> collection 4400 at most; " +
				"refund_of_fee: fee -> buyer 500; refund_of_fee_tax: tax -> buyer 100"},
		{"freed, what is left of it", 1_000, then(matured, back(8_500), free), 0, Closed, 0, [3]int64{1_320, 0, 0},
			"reserve_released: seller reserve -> seller available 880 at most"},
		{"freed after all went back", 1_000, then(matured, back(0), free), 0, Refunded, 0, [3]int64{0, 0, 0},
			"reserve_released: seller reserve -> seller available 880 at most"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks(t)
			o := b.play(agreed(t, 10_000, reserve(c.bps)), c.path[:len(c.path)-1]...)
			b.gives(chart.SellerAvailable, -c.paidOut)
			last := c.path[len(c.path)-1]
			ch, err := Plan(o, complete(o, last))
			if err != nil {
				t.Fatal(err)
			}
			if got := legs(ch.Legs); got != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", got, c.money)
			}
			o = b.play(o, last)
			if o.State != c.state || o.Aftermath.Reserved != c.reserved || b.seller() != c.seller {
				t.Errorf("%s with %d reserved, the seller has %v; want %s, %d, %v", o.State, o.Aftermath.Reserved, b.seller(), c.state, c.reserved, c.seller)
			}
			if reserved := o.State == Reserved; reserved != (o.Deadline == ReserveUntil) || reserved && !o.DeadlineAt.Equal(t0.Add(3*hour).AddDate(0, 0, 92)) {
				t.Errorf("%s with %s at %s", o.State, o.Deadline, o.DeadlineAt)
			}
			if e := Explain(&o); strings.Contains(e.Why, "kept in reserve") != (o.State == Reserved) || e.Next == "" || e.Otherwise == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

// Without a reserve, or with one that comes to nothing, an order goes on as it
// always did, to the leg and to the byte that is stored.
func TestNoReserve(t *testing.T) {
	for _, amount := range []int64{10_000, 3} {
		o := agreed(t, amount, func(p *Policy) {
			if amount == 3 {
				reserve(1_000)(p)
			}
		})
		for _, e := range released {
			o = must(t, o, e)
		}
		ch, err := Plan(o, complete(o, Command{Event: Mature}))
		if err != nil || ch.After.State != Closed || ch.After.Aftermath != nil || len(ch.Legs) != 1 || len(ch.Accounts) != 1 {
			t.Errorf("%d: %+v, %v", amount, ch, err)
		}
	}
}

// The reserve is the seller's as a whole: a refund of one order can take what
// another left, which then frees what there is, and what is missing is nobody's
// loss but the seller's.
func TestReserveOfTwoOrders(t *testing.T) {
	b := newBooks(t)
	o := b.play(agreed(t, 10_000, reserve(1_000)), then(released, Command{Event: Mature})...)
	b.gives(chart.SellerReserve, 300) // another order's
	b.gives(chart.SellerAvailable, -7_920)
	o = b.play(o, back(1_250)) // 1,100 of it the seller's: 880 + 220 of the other's
	if got := b.seller(); got != [3]int64{0, 80, 0} {
		t.Errorf("the seller has %v", got)
	}
	o = b.play(o, Command{Event: ReleaseReserve})
	if got := b.seller(); got != [3]int64{80, 0, 0} || o.State != Closed {
		t.Errorf("%s, the seller has %v", o.State, got)
	}
}

func TestReservePolicyMistakes(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"reserve_for:": func(p *Policy) { p.ReserveBps = 1 },
		"reserve_bps:": func(p *Policy) { p.ReserveBps, p.ReserveFor = 10_001, day },
		"refund_fee:":  func(p *Policy) { p.RefundFee = "half" },
	} {
		p := Standard()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// More is kept of new sellers, nothing of those that are known, and of all others
// what the policy says; an order without a reserve is closed when it matures.
func TestReserveByTier(t *testing.T) {
	for tier, want := range map[string]int64{"new": 1_760, "gold": 0, "silver": 880, "": 880} {
		o := agreed(t, 10_000, func(p *Policy) {
			p.Fees = map[string]Fee{"USD": {Bps: 1_000, TaxBps: 2_000}}
			p.ReserveBps, p.ReserveTiers, p.ReserveFor = 1_000, map[string]int64{"new": 2_000, "gold": 0}, 30*day
		})
		o.SellerTier = tier
		for _, c := range []Command{{Event: Pay, Method: "card"}, {Event: Ship}, {Event: Confirm}} {
			o = must(t, o, c)
		}
		ch, err := Plan(o, complete(o, Command{Event: Mature, By: System, At: o.DeadlineAt}))
		if err != nil {
			t.Fatal(err)
		}
		var kept int64
		for _, l := range ch.Legs {
			if l.Code == uint16(chart.Reserve) {
				kept += int64(l.Amount.Lo)
			}
		}
		state := Reserved
		if want == 0 {
			state = Closed
		}
		if kept != want || ch.After.State != state {
			t.Errorf("tier %q: %d is kept of %d, %s; want %d", tier, kept, o.Maturing, ch.After.State, want)
		}
	}
	p := Standard()
	p.ReserveTiers = map[string]int64{"New": 10_001}
	want := "reserve_tiers[New]: must match ^[a-z][a-z0-9_-]{0,31}$\nreserve_tiers[New]: must be from 0 to 10000 basis points\n" +
		"reserve_for: reserve_bps, or one of reserve_tiers, and reserve_for are both set or both 0"
	if err := p.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}
