package order

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"escrowd/ledger"
)

// ruled is a policy with fees by method, tier and currency, and tax by
// jurisdiction. Its plain fee is 10 % with 20 % tax on it.
func ruled(p *Policy) {
	p.FeeRules = []FeeRule{
		{Method: "card", Tier: "gold", Fee: Fee{Bps: 200}},
		{Method: "card", Currency: "USD", Fee: Fee{Bps: 300, Fixed: 30}, BorneBy: BothBear, BuyerBps: 5_000},
		{Method: "wallet", Fee: Fee{Bps: 400, TaxBps: 2_500}, BorneBy: BuyerBears},
		{Tier: "gold", Fee: Fee{Bps: 500}, BorneBy: SellerBears},
	}
	p.Taxes = map[string]int64{"DE": 1_900, "US-CA": 0}
}

// The first rule that fits an order is its fee, and its seller's jurisdiction
// the tax.
func TestRuleFor(t *testing.T) {
	p := Standard()
	p.Fees = map[string]Fee{"USD": {Bps: 1_000, TaxBps: 2_000}, "EUR": {Bps: 1_100}}
	ruled(&p)
	other := p
	other.Taxes = map[string]int64{"DE": 1_900, "*": 700}
	for _, c := range []struct {
		name   string
		policy *Policy
		kind   Kind
		want   FeeRule
		err    error
	}{
		{"nothing fits", &p, Kind{Currency: "USD"}, FeeRule{Fee: Fee{Bps: 1_000, TaxBps: 2_000}}, nil},
		{"nor in another currency", &p, Kind{Currency: "EUR", Method: "card"}, FeeRule{Fee: Fee{Bps: 1_100}}, nil},
		{"a method that no rule names", &p, Kind{Currency: "USD", Method: "voucher"}, FeeRule{Fee: Fee{Bps: 1_000, TaxBps: 2_000}}, nil},
		{"a tier that no rule names", &p, Kind{Currency: "USD", Tier: "new"}, FeeRule{Fee: Fee{Bps: 1_000, TaxBps: 2_000}}, nil},
		{"by method and currency", &p, Kind{Currency: "USD", Method: "card"}, p.FeeRules[1], nil},
		{"by method and tier, which is first", &p, Kind{Currency: "USD", Method: "card", Tier: "gold"}, p.FeeRules[0], nil},
		{"by method", &p, Kind{Currency: "EUR", Method: "wallet"}, p.FeeRules[2], nil},
		{"by method, before the tier", &p, Kind{Currency: "EUR", Method: "wallet", Tier: "gold"}, p.FeeRules[2], nil},
		{"by tier, as long as nobody has paid", &p, Kind{Currency: "USD", Tier: "gold"}, p.FeeRules[3], nil},
		{"tax of the jurisdiction", &p, Kind{Currency: "USD", Tier: "gold", Jurisdiction: "DE"}, FeeRule{Tier: "gold", Fee: Fee{Bps: 500, TaxBps: 1_900}, BorneBy: SellerBears}, nil},
		{"no tax there", &p, Kind{Currency: "USD", Jurisdiction: "US-CA"}, FeeRule{Fee: Fee{Bps: 1_000}}, nil},
		{"a jurisdiction that is not named", &p, Kind{Currency: "USD", Jurisdiction: "US"}, FeeRule{}, ErrNoTax},
		{"nor is its part", &p, Kind{Currency: "USD", Jurisdiction: "DE-BY"}, FeeRule{}, ErrNoTax},
		{"every other one", &other, Kind{Currency: "EUR", Jurisdiction: "US"}, FeeRule{Fee: Fee{Bps: 1_100, TaxBps: 700}}, nil},
		{"not where none was given", &other, Kind{Currency: "EUR"}, FeeRule{Fee: Fee{Bps: 1_100}}, nil},
		{"a currency without a fee", &p, Kind{Currency: "JPY"}, FeeRule{}, ErrNoFee},
		{"but with a rule", &p, Kind{Currency: "JPY", Tier: "gold"}, p.FeeRules[3], nil},
	} {
		got, err := c.policy.RuleFor(c.kind)
		if !errors.Is(err, c.err) || err == nil && got != c.want {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
	if p.FeeRules[2].TaxBps != 2_500 {
		t.Error("a jurisdiction's tax was written into the policy")
	}
}

// Given an order of 100.00 under those rules, when it is paid by the method and
// these events follow, then the last one moved the money, and the order comes
// to what is said.
func TestFeesByMethod(t *testing.T) {
	by := func(method string) Command { return Command{Event: Pay, Method: method} }
	ship, confirm := Command{Event: Ship}, Command{Event: Confirm}
	part := func(amount int64) Command { return Command{Event: Capture, By: Operator, Amount: amount} }
	for _, c := range []struct {
		name               string
		tier, jurisdiction string
		events             []Command
		held               int64
		charge             Charge
		money              string
	}{
		{"no rule names the method", "", "", []Command{by("voucher")}, 10_000, Charge{10_000, 1_000, 200, 0},
			"payment_received: clearing -> buyer 10000; hold: buyer -> escrow 10000"},
		{"both bear it", "", "", []Command{by("card")}, 10_165, Charge{10_000, 330, 0, 165},
			"payment_received: clearing -> buyer 10165; hold: buyer -> escrow 10165"},
		{"both bear it, the amount said", "", "", []Command{{Event: Pay, Method: "card", Amount: 10_165}}, 10_165, Charge{10_000, 330, 0, 165},
			"payment_received: clearing -> buyer 10165; hold: buyer -> escrow 10165"},
		{"both bear it, released", "", "", []Command{by("card"), ship, confirm}, 0, Charge{10_000, 330, 0, 165},
			"release: escrow -> seller pending 9835; fee: escrow -> fee 330"},
		{"the buyer bears it, released", "", "", []Command{by("wallet"), ship, confirm}, 0, Charge{10_000, 400, 100, 500},
			"release: escrow -> seller pending 10000; fee: escrow -> fee 400; fee_tax: escrow -> tax 100"},
		{"the buyer bears it, with the tax of the jurisdiction", "", "DE", []Command{by("wallet"), ship, confirm}, 0, Charge{10_000, 400, 76, 476},
			"release: escrow -> seller pending 10000; fee: escrow -> fee 400; fee_tax: escrow -> tax 76"},
		{"canceled, and nothing was charged", "", "", []Command{by("wallet"), {Event: Cancel}}, 0, Charge{10_000, 400, 100, 500},
			"refund_to_buyer: escrow -> buyer 10500"},
		{"a half refunded, then released", "", "", []Command{by("wallet"), ship, {Event: Refund, Amount: 5_250}, confirm}, 0, Charge{10_000, 400, 100, 500},
			"release: escrow -> seller pending 5000; fee: escrow -> fee 200; fee_tax: escrow -> tax 50"},
		{"the seller's tier", "gold", "", []Command{by("voucher"), ship, confirm}, 0, Charge{10_000, 500, 0, 0},
			"release: escrow -> seller pending 9500; fee: escrow -> fee 500"},
		{"the seller's tier and the method", "gold", "DE", []Command{by("card"), ship, confirm}, 0, Charge{10_000, 200, 38, 0},
			"release: escrow -> seller pending 9762; fee: escrow -> fee 200; fee_tax: escrow -> tax 38"},
		{"authorised", "", "", []Command{{Event: Authorise, Method: "wallet"}}, 0, Charge{10_000, 400, 100, 500},
			"payment_authorised: clearing -> buyer 10500 pending"},
		{"authorised and captured", "", "", []Command{{Event: Authorise, Method: "wallet"}, {Event: Capture}}, 10_500, Charge{10_000, 400, 100, 500},
			"payment_authorised post 10500; hold: buyer -> escrow 10500"},
		{"captured in part: as if 60.00 had been agreed", "", "", []Command{{Event: Authorise, Method: "wallet"}, part(6_300)}, 6_300, Charge{6_000, 240, 60, 300},
			"payment_authorised post 6300; hold: buyer -> escrow 6300"},
		{"captured in part, released", "", "", []Command{{Event: Authorise, Method: "card"}, part(6_105), ship, confirm}, 0, Charge{6_000, 210, 0, 105},
			"release: escrow -> seller pending 5895; fee: escrow -> fee 210"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, last := feesOrder(t, c.tier, c.jurisdiction, ruled), (*Change)(nil)
			for _, e := range c.events {
				ch, err := Plan(o, complete(o, e))
				if err != nil {
					t.Fatalf("%s: %v", e.Event, err)
				}
				o, last = ch.After, ch
			}
			if o.Held != c.held || o.Charge() != c.charge {
				t.Errorf("%d held of %+v, want %d of %+v", o.Held, o.Charge(), c.held, c.charge)
			}
			if got := legs(last.Legs); got != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", got, c.money)
			}
			if o.Amount != 10_000 || o.Method != c.events[0].Method {
				t.Errorf("%d by %q", o.Amount, o.Method)
			}
			if says := strings.Contains(Explain(&o).Why, "is on top"); says != (c.charge.BuyerShare > 0) {
				t.Errorf("the buyer's share: it says %q", Explain(&o).Why)
			}
		})
	}
}

// feesOrder is an order of 100.00 that is agreed with a seller of a tier and a
// jurisdiction.
func feesOrder(t *testing.T, tier, jurisdiction string, change func(*Policy)) Order {
	t.Helper()
	o := agreed(t, 10_000, change)
	o.State, o.SellerTier, o.Jurisdiction = None, tier, jurisdiction
	if err := o.Agree(); err != nil {
		t.Fatal(err)
	}
	return must(t, o, Command{Event: Agree, By: Operator, At: t0})
}

// What the buyer has to pay is said before, and nothing else is taken.
func TestBuyersShareIsDue(t *testing.T) {
	o := feesOrder(t, "", "", func(p *Policy) {
		ruled(p)
		p.FeeRules = append(p.FeeRules, FeeRule{Currency: "USD", Fee: Fee{Bps: 1_000}, BorneBy: BuyerBears})
	})
	if o.agreed() != (Charge{10_000, 1_000, 0, 1_000}) {
		t.Fatalf("%+v", o.agreed())
	}
	want := "Nothing is held yet: USD 100.00 was agreed and is not paid. The buyer pays USD 110.00: USD 10.00 of it is a share of the fee. The fee depends on the method of payment and is settled by it."
	if got := Explain(&o).Why; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, c := range []struct {
		method string
		amount int64
		detail string
	}{
		{"voucher", 10_000, "10000 was agreed, with the buyer's share of the fee 11000, and 10000 was paid"},
		{"wallet", 11_000, "10000 was agreed, with the buyer's share of the fee 10500, and 11000 was paid"},
	} {
		_, err := Plan(o, complete(o, Command{Event: Pay, Method: c.method, Amount: c.amount}))
		if r := new(Refusal); !errors.As(err, &r) || r.Rule != RuleAmount || r.Detail != c.detail {
			t.Errorf("%s: %v, want %s", c.method, err, c.detail)
		}
	}
	if p := must(t, o, Command{Event: Pay, Method: "voucher", Amount: 11_000}); p.Captured != (Charge{}) || p.Held != 11_000 {
		t.Errorf("as agreed: %+v", p.Progress)
	}
	o = feesOrder(t, "", "", ruled)
	o.Amount = MaxAmount
	_, err := Plan(o, complete(o, Command{Event: Pay, Method: "wallet"}))
	if r := new(Refusal); !errors.As(err, &r) || r.Rule != RuleAmount {
		t.Errorf("more than any amount: %v", err)
	}
	// What it cannot be paid by is not foreseen.
	o.State = None
	var methods []string
	for _, c := range Foresee(o).Costs {
		methods = append(methods, c.Method)
	}
	if !slices.Equal(methods, []string{"bank_transfer", "alipay", "voucher"}) {
		t.Errorf("it can be paid by %v", methods)
	}
}

// Without rules an order keeps what was fixed at its agreement, whatever the
// policy would say now, and does not note how it was paid.
func TestNoRulesNoMethod(t *testing.T) {
	o := agreed(t, 10_000, nil)
	o.Fee, o.Tax = 1, 0
	if o = must(t, o, Command{Event: Pay, Method: "card"}); o.Method != "" || o.Charge() != (Charge{10_000, 1, 0, 0}) {
		t.Errorf("%q, %+v", o.Method, o.Charge())
	}
}

// Whatever the rule, amount and path: what the buyer pays is what is held and
// then gone, fee and tax are the charge's, and what was quoted is what is paid.
func TestFeeRulesOfAnyKind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		bps := func(name string, least int64) int64 { return rapid.Int64Range(least, 10_000).Draw(rt, name) }
		rule := FeeRule{Method: "card", Currency: "USD", Fee: Fee{Bps: bps("bps", 0), TaxBps: bps("tax", 0),
			Fixed: rapid.Int64Range(0, 900).Draw(rt, "fixed"), Min: rapid.Int64Range(0, 900).Draw(rt, "min"), Cap: rapid.SampledFrom([]int64{0, 900, 50_000}).Draw(rt, "cap")},
			BorneBy: rapid.SampledFrom([]Bearer{"", SellerBears, BuyerBears, BothBear}).Draw(rt, "bearer")}
		if rule.BorneBy == BothBear {
			rule.BuyerBps = 1 + bps("share", 0)%9_999
		}
		o := agreed(t, rapid.Int64Range(1, MaxAmount/2).Draw(rt, "amount"), func(p *Policy) { p.FeeRules = []FeeRule{rule} })
		quoted := Foresee(func() Order { f := o; f.State = None; return f }()).Costs[0]
		if rapid.Bool().Draw(rt, "authorised first") {
			o = must(t, o, Command{Event: Authorise, Method: "card"})
			part := Command{Event: Capture, By: Operator}
			if pays := o.Charge().Pays(); pays > 1 && rapid.Bool().Draw(rt, "a part") {
				part.Amount = rapid.Int64Range(1, pays-1).Draw(rt, "captured")
				quoted.Charge = partOf(rt, &rule, &o, part.Amount)
			}
			o = must(t, o, part)
		} else {
			o = must(t, o, Command{Event: Pay, Method: "card"})
		}
		c := o.Charge()
		if c != quoted.Charge || o.Held != c.Pays() || c.Amount < 1 || c.Amount > o.Amount || c.BuyerShare < 0 || c.BuyerShare > c.Amount || c.Fee+c.Tax > c.Amount {
			rt.Fatalf("%d is held of %+v, quoted %+v", o.Held, c, quoted)
		}
		if back := rapid.Int64Range(0, o.Held-1).Draw(rt, "refunded"); back > 0 {
			o = must(t, o, Command{Event: Refund, Amount: back})
		}
		o = must(t, must(t, o, Command{Event: Ship}), Command{Event: Confirm})
		if o.Released+o.Refunded != c.Pays() || o.Maturing+o.FeeCharged+o.TaxCharged != o.Released || o.Maturing < 0 {
			rt.Fatalf("%+v of %+v", o.Progress, c)
		}
		if o.Refunded == 0 && (o.FeeCharged != c.Fee || o.TaxCharged != c.Tax) {
			rt.Fatalf("fee %d and tax %d of %+v", o.FeeCharged, o.TaxCharged, c)
		}
	})
}

// partOf is what a part comes to, looked for one goods' price after the other
// where it is not far: the highest that it pays for, and the rest to that.
func partOf(t *rapid.T, rule *FeeRule, o *Order, pays int64) Charge {
	c := rule.Within(pays, o.Amount)
	if c.Pays() != pays {
		t.Fatalf("%+v for %d", c, pays)
	}
	goods := c.Amount
	for ; goods > 0 && rule.On(goods).Pays() > pays; goods-- {
		if c.Amount-goods > 3 {
			t.Fatalf("goods of %d for %d, but goods of %d come to %+v", c.Amount, pays, goods, rule.On(goods))
		}
	}
	if whole := rule.On(goods); c.Fee != whole.Fee || c.Tax != whole.Tax {
		t.Fatalf("%+v, goods of %d come to %+v", c, goods, whole)
	}
	if next := rule.On(goods + 1); goods < o.Amount && next.Pays() <= pays {
		t.Fatalf("%+v for %d, which pays for %+v", c, pays, next)
	}
	return c
}

// What is wrong with rules and taxes is said at its field.
func TestFeeRuleMistakes(t *testing.T) {
	p := Standard()
	p.FeeRules = []FeeRule{
		{Method: "gold", Fee: Fee{Bps: 10_001}},
		{Tier: "Gold", Fee: Fee{Fixed: 1}},
		{Currency: "ZZZ"},
		{Method: "card", BorneBy: "both"},
		{Method: "card", Tier: "gold"},
		{Method: "wallet", BorneBy: BothBear},
		{Tier: "new", Currency: "USD", Fee: Fee{Min: 2, Cap: 1}, BorneBy: BuyerBears, BuyerBps: 1},
		{Fee: Fee{Bps: 1}},
	}
	p.Taxes = map[string]int64{"DE": 10_001, "Germany": 0, "*": -1}
	want := []string{
		"fee_rules[0].method: not one of the policy's methods",
		"fee_rules[0].bps: must be from 0 to 10000 basis points",
		"fee_rules[1].tier: must match ^[a-z][a-z0-9_-]{0,31}$",
		"fee_rules[1].fixed: is an amount and needs a currency",
		"fee_rules[2].currency: not an ISO 4217 currency",
		"fee_rules[3].borne_by: must be seller, buyer or split",
		"fee_rules[4]: never applies: fee_rules[3] fits the same orders and comes first",
		"fee_rules[5].buyer_bps: must be from 1 to 9999 basis points where borne_by is split",
		"fee_rules[6].min: is above cap",
		"fee_rules[6].buyer_bps: is for borne_by split alone",
		"fee_rules[7]: names no method, tier or currency: what is for all orders stands in fees",
		"taxes[*]: must be from 0 to 10000 basis points",
		"taxes[DE]: must be from 0 to 10000 basis points",
		`taxes[Germany]: not a jurisdiction like DE or US-CA, nor "*"`,
	}
	if err := p.Validate(); err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("got:\n%v\nwant:\n%s", err, strings.Join(want, "\n"))
	}
	good := Standard()
	ruled(&good)
	good.Taxes["*"] = 10_000
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// One payment of several orders is of what each comes to by the method.
func TestOnePaymentWithShares(t *testing.T) {
	a, b := feesOrder(t, "", "", ruled), feesOrder(t, "gold", "DE", ruled)
	b.ID = id(7)
	c := complete(a, Command{Event: Pay, Method: "wallet"})
	changes, err := PlanPayment([]Order{a, b}, []Command{c, c})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(changes[0].After.Held, changes[1].After.Held, changes[0].Legs[0].Amount); got != fmt.Sprint(10_500, 10_476, ledger.U64(20_976)) {
		t.Error(got)
	}
}
