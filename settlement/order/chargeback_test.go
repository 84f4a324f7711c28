package order

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger/chart"
)

func taken(amount int64) Command {
	return Command{Event: TakeBackPayment, Amount: amount, Reason: "10.4 fraud"}
}

var (
	win, lose  = Command{Event: WinChargeback}, Command{Event: LoseChargeback}
	represent  = Command{Event: Represent}
	secondTime = Command{Event: SecondChargeback, Reason: "pre-arbitration"}
)

func byMarketplace(p *Policy) { p.ChargebackBorneBy = BorneByMarketplace }

// Each path through a chargeback, where it leaves the order and its money, and
// what the last event moved. The order is of 100.00, its fee 10.00 and tax 2.00.
func TestChargebacks(t *testing.T) {
	pay := Command{Event: Pay, Method: "card"}
	shipped := []Command{pay, {Event: Ship}}
	disputed := then(shipped, Command{Event: Deliver}, claimed(4_000))
	closed := then(released, Command{Event: Mature})
	keptAll := "chargeback_advanced: receivable -> clearing 10000; chargeback_reserved: seller available -> seller reserve 8800 pending at most"
	collected := "chargeback_collected: collection -> receivable 8800; chargeback_from_reserve: seller reserve -> collection 8800 at most; " +
		"chargeback_from_available: seller available -> collection 8800 at most; chargeback_from_debt: seller debt -> collection 8800 at most; " +
		"chargeback_of_fee: fee -> receivable 1000; chargeback_of_fee_tax: tax -> receivable 200"
	for _, c := range []struct {
		name                     string
		policy                   func(*Policy)
		path                     []Command
		state                    State
		held, released, refunded int64
		deadline                 Deadline
		seller                   [3]int64
		money                    string
	}{
		{"while held", nil, []Command{pay, taken(0)}, ChargedBack, 10_000, 0, 0, RepresentBy, [3]int64{},
			"chargeback_advanced: receivable -> clearing 10000; chargeback_freeze: escrow -> suspense 10000 pending"},
		{"of a part: all that is held is frozen", nil, then(shipped, taken(2_500)), ChargedBack, 10_000, 0, 0, RepresentBy, [3]int64{},
			"chargeback_advanced: receivable -> clearing 2500; chargeback_freeze: escrow -> suspense 10000 pending"},
		{"represented", nil, then(shipped, taken(0), represent), Represented, 10_000, 0, 0, DecisionBy, [3]int64{}, ""},
		{"won at once", nil, then(shipped, taken(0), win), Shipped, 10_000, 0, 0, ConfirmBy, [3]int64{},
			"chargeback_freeze void; chargeback_won: clearing -> receivable 10000"},
		{"represented and won", nil, then(shipped, taken(0), represent, win), Shipped, 10_000, 0, 0, ConfirmBy, [3]int64{},
			"chargeback_freeze void; chargeback_won: clearing -> receivable 10000"},
		{"won, and released as ever", nil, then(shipped, taken(0), win, Command{Event: Confirm}), Released, 0, 10_000, 0, MatureAt, [3]int64{},
			"release: escrow -> seller pending 8800; fee: escrow -> fee 1000; fee_tax: escrow -> tax 200"},
		{"lost while held", nil, then(shipped, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_freeze void; chargeback_taken: escrow -> receivable 10000"},
		{"nobody answers", nil, then(shipped, taken(0), Command{Event: LoseUnrepresented}), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_freeze void; chargeback_taken: escrow -> receivable 10000"},
		{"a part lost while held", nil, then(shipped, taken(2_500), represent, lose), Shipped, 7_500, 0, 2_500, ConfirmBy, [3]int64{},
			"chargeback_freeze void; chargeback_taken: escrow -> receivable 2500"},
		{"the rest is released", nil, then(shipped, taken(2_500), lose, Command{Event: Confirm}), Released, 0, 7_500, 2_500, MatureAt, [3]int64{},
			"release: escrow -> seller pending 6600; fee: escrow -> fee 750; fee_tax: escrow -> tax 150"},
		{"held, where the marketplace bears what was released", byMarketplace, then(shipped, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_freeze void; chargeback_taken: escrow -> receivable 10000"},

		{"in a dispute, whose freeze goes on", nil, then(disputed, taken(0)), ChargedBack, 10_000, 0, 0, RepresentBy, [3]int64{},
			"chargeback_advanced: receivable -> clearing 10000"},
		{"won: the dispute goes on", nil, then(disputed, taken(0), win), Disputed, 10_000, 0, 0, RuleBy, [3]int64{},
			"chargeback_won: clearing -> receivable 10000"},
		{"and ends as it would have", nil, then(disputed, taken(0), win, Command{Event: Rule, ToBuyer: 10_000}), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"dispute_freeze void; ruling_refund: escrow -> buyer 10000"},
		{"lost: the dispute is over", nil, then(disputed, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"dispute_freeze void; chargeback_taken: escrow -> receivable 10000"},
		{"a part lost: the claim falls", nil, then(disputed, taken(4_000), lose), Delivered, 6_000, 0, 4_000, ConfirmBy, [3]int64{},
			"dispute_freeze void; chargeback_taken: escrow -> receivable 4000"},

		{"before it matures", nil, then(released, taken(0)), ChargedBack, 0, 10_000, 0, RepresentBy, [3]int64{}, "chargeback_advanced: receivable -> clearing 10000"},
		{"before it matures, won", nil, then(released, taken(0), win), Released, 0, 10_000, 0, MatureAt, [3]int64{}, "chargeback_won: clearing -> receivable 10000"},
		{"before it matures, lost", nil, then(released, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_from_pending: seller pending -> receivable 8800; chargeback_of_fee: fee -> receivable 1000; chargeback_of_fee_tax: tax -> receivable 200"},
		{"before it matures, a part lost", nil, then(released, taken(2_500), lose), Released, 0, 7_500, 2_500, MatureAt, [3]int64{},
			"chargeback_from_pending: seller pending -> receivable 2200; chargeback_of_fee: fee -> receivable 250; chargeback_of_fee_tax: tax -> receivable 50"},
		{"after it matured", nil, then(closed, taken(0)), ChargedBack, 0, 10_000, 0, RepresentBy, [3]int64{8_800, 0, 0}, keptAll},
		{"won, and free again", nil, then(closed, taken(0), represent, win), Closed, 0, 10_000, 0, NoDeadline, [3]int64{8_800, 0, 0},
			"chargeback_reserved void; chargeback_won: clearing -> receivable 10000"},
		{"lost, and the seller pays", nil, then(closed, taken(0), represent, lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_reserved void; " + collected},
		{"the fee stays", func(p *Policy) { p.RefundFee = KeepFee }, then(closed, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{0, 0, 1_200},
			"chargeback_reserved void; " + strings.ReplaceAll(strings.Split(collected, "; chargeback_of_fee")[0], "8800", "10000")},
		{"the marketplace pays", byMarketplace, then(closed, taken(0), lose), Closed, 0, 10_000, 0, NoDeadline, [3]int64{8_800, 0, 0},
			"chargeback_lost: loss -> receivable 10000"},
		{"and keeps nothing of the seller's meanwhile", byMarketplace, then(closed, taken(0)), ChargedBack, 0, 10_000, 0, RepresentBy, [3]int64{8_800, 0, 0},
			"chargeback_advanced: receivable -> clearing 10000"},
		{"after a refund, the rest", nil, then(closed, back(2_500), taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_reserved void; " + strings.NewReplacer("8800", "6600", "1000", "750", " 200", " 150").Replace(collected)},
		{"while a part is in reserve", reserve(1_000), then(closed, taken(0)), ChargedBack, 0, 10_000, 0, RepresentBy, [3]int64{7_920, 880, 0}, keptAll},
		{"while a part is in reserve, won", reserve(1_000), then(closed, taken(0), win), Reserved, 0, 10_000, 0, ReserveUntil, [3]int64{7_920, 880, 0},
			"chargeback_reserved void; chargeback_won: clearing -> receivable 10000"},
		{"while a part is in reserve, lost", reserve(1_000), then(closed, taken(0), lose), Reserved, 0, 0, 10_000, ReserveUntil, [3]int64{},
			"chargeback_reserved void; " + collected},
		{"and its reserve is freed in its time", reserve(1_000), then(closed, taken(0), lose, Command{Event: ReleaseReserve}), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"reserve_released: seller reserve -> seller available 880 at most"},

		{"a second time", nil, then(closed, taken(0), win, secondTime), ChargedBack, 0, 10_000, 0, RepresentBy, [3]int64{8_800, 0, 0}, keptAll},
		{"a second time, lost", nil, then(closed, taken(4_000), win, secondTime, lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_reserved void; " + collected},
		{"a second time, won", nil, then(closed, taken(0), win, secondTime, represent, win), Closed, 0, 10_000, 0, NoDeadline, [3]int64{8_800, 0, 0},
			"chargeback_reserved void; chargeback_won: clearing -> receivable 10000"},
		{"once more after a part was lost", nil, then(closed, taken(4_000), lose, taken(0), lose), Refunded, 0, 0, 10_000, NoDeadline, [3]int64{},
			"chargeback_reserved void; " + strings.NewReplacer("8800", "5280", "1000", "600", " 200", " 120").Replace(collected)},
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
			o = b.play(o, last)
			if o.State != c.state || o.Deadline != c.deadline || o.Held != c.held || o.Released != c.released || o.Refunded != c.refunded {
				t.Errorf("%s with %s: %d held, %d released, %d refunded; want %s with %s: %d, %d, %d", o.State, o.Deadline,
					o.Held, o.Released, o.Refunded, c.state, c.deadline, c.held, c.released, c.refunded)
			}
			if got := b.seller(); got != c.seller {
				t.Errorf("the seller has %v, want %v", got, c.seller)
			}
			if open := o.Aftermath != nil && o.Aftermath.Chargeback != nil; open != (o.State == ChargedBack || o.State == Represented) {
				t.Errorf("%s: %+v", o.State, o.Aftermath)
			}
			if o.State == Disputed && o.Claim == nil || o.State == Delivered && o.Claim != nil {
				t.Errorf("%s: claim %+v", o.State, o.Claim)
			}
			e := Explain(&o)
			if e.Why == "" || e.Until == "" || e.Next == "" || e.Otherwise == "" || strings.Contains(e.Why, "lost to a chargeback") != (o.Aftermath != nil && o.Aftermath.Lost > 0) {
				t.Errorf("%+v", e)
			}
		})
	}
}

// The order's clock stands still while its payment is charged back, with the
// extensions that were used.
func TestChargebackStopsTheClock(t *testing.T) {
	for name, path := range map[string][]Command{
		"held":      {{Event: Pay, Method: "card"}, {Event: Extend, By: Seller}},
		"shipped":   {{Event: Pay, Method: "card"}, {Event: Ship}, {Event: Extend, By: Buyer}},
		"disputed":  {{Event: Pay, Method: "card"}, {Event: Ship}, claimed(1)},
		"released":  released,
		"reserved":  then(released, Command{Event: Mature}),
		"in appeal": {{Event: Pay, Method: "card"}, {Event: Ship}, claimed(1), {Event: Contest, Reason: "x"}, {Event: Escalate, By: Operator}, {Event: Rule, ToSeller: 10_000}},
	} {
		b := newBooks(t)
		before := b.play(agreed(t, 10_000, func(p *Policy) { steps(p); p.EscalateAfter = 0; reserve(500)(p) }), path...)
		o := b.play(before, taken(0))
		stood := o.At
		represented := represent
		represented.At = stood.AddDate(0, 0, 13)
		o = b.play(o, represented)
		won := win
		won.At = stood.AddDate(0, 0, 40)
		o = b.play(o, won)
		if o.State != before.State || o.Deadline != before.Deadline || !o.DeadlineAt.Equal(before.DeadlineAt.AddDate(0, 0, 40)) ||
			o.BuyerExtended != before.BuyerExtended || o.SellerExtended != before.SellerExtended || o.Claim != before.Claim || o.Freeze != before.Freeze {
			t.Errorf("%s: %+v, was %+v", name, o.Progress, before.Progress)
		}
		if !o.ReleasedAt().Equal(before.ReleasedAt()) {
			t.Errorf("%s: released at %s, was %s", name, o.ReleasedAt(), before.ReleasedAt())
		}
	}
}

// What is kept of the seller's money is what there is, and just that comes back,
// whatever others put aside or paid in meanwhile; who pays in the end is for the
// ledger to say.
func TestTheLedgerKeepsWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		name                     string
		available, reserve, debt int64 // beside the order's 8,800
		pending                  int64
		won, lost                [3]int64
	}{
		{"all", 0, 0, 0, 8_800, [3]int64{8_800, 0, 0}, [3]int64{0, 0, 0}},
		{"others' too: only the order's share", 500, 70, 0, 8_800, [3]int64{9_300, 70, 0}, [3]int64{570, 0, 0}},
		{"a part paid out", -6_000, 0, 0, 2_800, [3]int64{2_800, 0, 0}, [3]int64{0, 0, 6_000}},
		{"a part paid out, others' reserve", -6_000, 4_000, 0, 2_800, [3]int64{2_800, 4_000, 0}, [3]int64{0, 0, 2_000}},
		{"all paid out, an earlier debt", -8_800, 0, 700, 0, [3]int64{0, 0, 700}, [3]int64{0, 0, 9_500}},
	} {
		for _, end := range []Command{win, lose} {
			b := newBooks(t)
			o := b.play(agreed(t, 10_000, nil), then(released, Command{Event: Mature})...)
			b.gives(chart.SellerAvailable, c.available)
			b.gives(chart.SellerReserve, c.reserve)
			b.gives(chart.SellerReceivable, -c.debt)
			o = b.play(o, taken(0))
			if got := b.pending(AccountID(id(3), chart.SellerAvailable)); got != c.pending {
				t.Errorf("%s: %d is kept, want %d", c.name, got, c.pending)
			}
			b.play(o, end)
			want := c.won
			if end.Event == LoseChargeback {
				want = c.lost
			}
			if got := b.seller(); got != want {
				t.Errorf("%s, %s: the seller has %v, want %v", c.name, end.Event, got, want)
			}
		}
	}
}

func TestChargebacksRefused(t *testing.T) {
	held := []Command{{Event: Pay, Method: "card"}}
	closed := then(released, Command{Event: Mature})
	late := win
	late.At = t0.Add(2*hour).AddDate(0, 0, 14).Add(time.Microsecond)
	byBuyer, noReason := taken(0), taken(0)
	byBuyer.By, noReason.Reason = Buyer, ""
	for _, c := range []struct {
		name   string
		policy func(*Policy)
		events []Command
		rule   string
	}{
		{"above the payment", nil, then(held, taken(10_001)), RuleAmount},
		{"above what was not refunded", nil, then(closed, back(6_000), taken(4_001)), RuleAmount},
		{"what the marketplace has paid already", byMarketplace, then(closed, taken(6_000), lose, taken(4_001)), RuleAmount},
		{"a refund of that", byMarketplace, then(closed, taken(6_000), lose, back(4_001)), RuleAmount},
		{"below zero", nil, then(held, taken(-1)), RuleAmount},
		{"by the buyer", nil, then(held, byBuyer), RuleRole},
		{"without a reason", nil, then(held, noReason), RuleReason},
		{"of nothing", nil, []Command{taken(0)}, RuleState},
		{"of an authorisation", nil, []Command{authorise, taken(0)}, RuleState},
		{"after all went back", nil, then(closed, back(0), taken(0)), RuleState},
		{"a second one at first", nil, then(held, secondTime), RuleChargeback},
		{"a first one after a won one", nil, then(held, taken(0), win, taken(0)), RuleChargeback},
		{"a third one", nil, then(held, taken(0), win, secondTime, win, secondTime), RuleChargeback},
		{"two at once", nil, then(held, taken(1), taken(1)), RuleState},
		{"a dispute besides", nil, []Command{held[0], {Event: Ship}, taken(0), claimed(0)}, RuleState},
		{"a refund meanwhile", nil, then(held, taken(1), Command{Event: Refund, By: Operator}), RuleState},
		{"a refund of what was released meanwhile", nil, then(closed, taken(1), back(1)), RuleState},
		{"a release meanwhile", nil, then(held, taken(1), Command{Event: Ship}), RuleState},
		{"maturity meanwhile", nil, then(released, taken(1), Command{Event: Mature, At: t0.AddDate(0, 0, 3)}), RuleState},
		{"won by the seller", nil, then(held, taken(0), Command{Event: WinChargeback, By: Seller}), RuleRole},
		{"won after represent_by", nil, then(held, taken(0), late), RuleTooLate},
		{"lost before represent_by, by the clock", nil, then(held, taken(0), Command{Event: LoseUnrepresented, At: t0.AddDate(0, 0, 3)}), RuleNotDue},
		{"represented twice", nil, then(held, taken(0), represent, represent), RuleState},
		{"lost by the clock, though represented", nil, then(held, taken(0), represent, Command{Event: LoseUnrepresented, At: t0.AddDate(0, 1, 0)}), RuleState},
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
	o := must(t, agreed(t, 10_000, nil), held[0])
	c := complete(o, taken(0))
	c.Books = &Books{Receivable: books.Receivable, Suspense: books.Suspense}
	var r *Refusal
	if _, err := Plan(o, c); !errors.As(err, &r) || r.Rule != RuleMethod {
		t.Errorf("taken from an account that is not there: %v", err)
	}
	c = complete(o, taken(0))
	c.Paid = Payment{}
	if _, err := Plan(o, c); !errors.As(err, &r) || r.Rule != RuleMethod {
		t.Errorf("taken, and nobody knows how it was paid: %v", err)
	}
	c.Method = "card"
	if _, err := Plan(o, c); err != nil {
		t.Errorf("taken as the marketplace says that it was paid: %v", err)
	}
}

// A bank asks nobody for permission: a policy that gives no time to represent
// loses at once what it takes, and the books say so.
func TestChargebackWithoutRepresentment(t *testing.T) {
	b := newBooks(t)
	o := b.play(agreed(t, 10_000, func(p *Policy) { p.RepresentWithin, p.DecisionWithin = 0, 0 }), Command{Event: Pay, Method: "card"}, taken(0))
	if o.State != ChargedBack || !o.DeadlineAt.Equal(o.At) {
		t.Fatalf("%+v", o.Progress)
	}
	answer := represent
	answer.At = o.At
	var r *Refusal
	if _, err := Plan(o, complete(o, answer)); !errors.As(err, &r) || r.Rule != RulePolicy {
		t.Errorf("represented: %v", err)
	}
	if o = b.play(o, Command{Event: LoseUnrepresented}); o.State != Refunded {
		t.Errorf("%+v", o.Progress)
	}
}

func TestChargebackPolicyMistakes(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"represent_within:":    func(p *Policy) { p.DecisionWithin = 0 },
		"chargeback_borne_by:": func(p *Policy) { p.ChargebackBorneBy = "nobody" },
	} {
		p := Standard()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever happens to an order, in whatever order: the parts sum to the whole,
// the ledger takes every chain, and says what the order says.
func TestRandomLivesOnTheLedger(t *testing.T) {
	seen := map[Event]int{}
	rapid.Check(t, func(rt *rapid.T) {
		b := newBooks(t)
		o := agreed(t, rapid.Int64Range(1, 1_000_000).Draw(rt, "amount"), func(p *Policy) {
			p.Fees = map[string]Fee{"*": {Bps: rapid.Int64Range(0, 10_000).Draw(rt, "fee"), TaxBps: rapid.Int64Range(0, 10_000).Draw(rt, "tax")}}
			p.RefundFee = rapid.SampledFrom([]string{ReturnFee, KeepFee}).Draw(rt, "fee kept")
			p.ChargebackBorneBy = rapid.SampledFrom([]string{BorneBySeller, BorneByMarketplace}).Draw(rt, "borne by")
			if rapid.Bool().Draw(rt, "steps") {
				steps(p)
				p.EscalateAfter = 0
			}
			if rapid.Bool().Draw(rt, "reserve") {
				reserve(rapid.Int64Range(1, 10_000).Draw(rt, "bps"))(p)
			}
		})
		o = b.play(o, Command{Event: Pay, Method: "card"})
		for range 40 {
			allowed := AllowedIn(o.State)
			if len(allowed) == 0 {
				break
			}
			a := rapid.SampledFrom(allowed).Draw(rt, "event")
			if a.Event == Cancel || a.Event == Refund && rapid.Bool().Draw(rt, "go on") {
				continue
			}
			c := Command{Event: a.Event, By: rapid.SampledFrom(a.By).Draw(rt, "by"), Reason: "x", Evidence: file}
			money := o.Held + o.Released
			if rapid.Bool().Draw(rt, "a part") && money > 0 && a.Event != Pay {
				c.Amount = rapid.Int64Range(1, money).Draw(rt, "amount of it")
			}
			c.ToBuyer = rapid.Int64Range(0, o.Held).Draw(rt, "to the buyer")
			c.ToSeller = o.Held - c.ToBuyer
			if a.Event == AcceptOffer && o.Claim.Offer != nil {
				c.ToBuyer = o.Claim.Offer.ToBuyer
			}
			if _, err := Plan(o, complete(o, c)); err != nil {
				if !errors.As(err, new(*Refusal)) {
					rt.Fatal(err)
				}
				continue
			}
			o = b.play(o, c)
			seen[a.Event]++
			if o.State.Open() != (o.Deadline != NoDeadline) {
				rt.Fatalf("%s with deadline %q", o.State, o.Deadline)
			}
		}
	})
	for _, e := range []Event{RefundReleased, TakeBackPayment, SecondChargeback, Represent, WinChargeback, LoseChargeback, LoseUnrepresented, ReleaseReserve} {
		if seen[e] == 0 {
			t.Errorf("%s never happened: this tests nothing of it; %v", e, seen)
		}
	}
}

// All states in which an order has money can be charged back, and no other.
func TestChargeableStates(t *testing.T) {
	for _, s := range States {
		_, can := Lookup(s, TakeBackPayment)
		money := s.holds() && s != ChargedBack && s != Represented || slices.Contains([]State{Released, Ruled, Reserved, Closed}, s)
		if can != money {
			t.Errorf("%s can be charged back: %v", s, can)
		}
	}
}
