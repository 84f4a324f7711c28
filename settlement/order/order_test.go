package order

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

var t0 = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

const hour = time.Hour

func id(n uint64) ledger.ID { return ledger.ID{Hi: 1, Lo: n << 32} }

var books = &Books{Clearing: id(10), Suspense: id(11), Tax: id(12), Fee: id(13), Collection: id(14), Receivable: id(15), Loss: id(16)}

// names of the accounts in the tables below.
var names = map[ledger.ID]string{
	books.Clearing: "clearing", books.Suspense: "suspense", books.Tax: "tax", books.Fee: "fee",
	id(1): "escrow", id(2): "buyer", AccountID(id(3), chart.SellerPending): "seller pending",
	AccountID(id(3), chart.SellerAvailable): "seller available", AccountID(id(3), chart.SellerReserve): "seller reserve",
	AccountID(id(3), chart.SellerReceivable): "seller debt", books.Collection: "collection", books.Receivable: "receivable", books.Loss: "loss",
}

func agreed(t *testing.T, amount int64, change func(p *Policy)) Order {
	t.Helper()
	p := Standard()
	p.Fees = map[string]Fee{"*": {Bps: 1000, TaxBps: 2000}}
	if change != nil {
		change(&p)
	}
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	o := Order{Terms: Terms{ID: id(1), Marketplace: 1, Ledger: 1840, Buyer: "ann", Seller: "bob", Amount: amount, Policy: &p,
		BuyerAccount: id(2), SellerAccount: AccountID(id(3), chart.SellerPending), AgreedAt: t0}}
	if err := o.Agree(); err != nil {
		t.Fatal(err)
	}
	return must(t, o, Command{Event: Agree, By: Operator, At: t0})
}

func must(t *testing.T, o Order, c Command) Order {
	t.Helper()
	ch, err := Plan(o, complete(o, c))
	if err != nil {
		t.Fatalf("%s in %s: %v", c.Event, o.State, err)
	}
	return ch.After
}

func complete(o Order, c Command) Command {
	c.Books = books
	c.Paid = Payment{Method: "card", Ledger: o.Ledger}
	c.Intent = id(uint64(1000 + o.Seq))
	if c.By == "" {
		c.By = DefaultRole(o.State, c.Event)
	}
	if c.At.IsZero() {
		c.At = o.At.Add(hour)
		if DueAt(c.Event) != NoDeadline {
			c.At = o.DeadlineAt
		}
	}
	return c
}

// legs writes transfers as "code: debit -> credit amount".
func legs(ts []ledger.Transfer) string {
	var b strings.Builder
	for i, l := range ts {
		tr := chart.TransferCode(l.Code)
		switch {
		case l.Flags.Has(ledger.TransferVoidPending):
			fmt.Fprintf(&b, "%s void", tr.Slug())
		case l.Flags.Has(ledger.TransferPostPending):
			fmt.Fprintf(&b, "%s post %d", tr.Slug(), l.Amount.Lo)
		default:
			fmt.Fprintf(&b, "%s: %s -> %s %d", tr.Slug(), names[l.DebitAccountID], names[l.CreditAccountID], l.Amount.Lo)
		}
		if l.Flags.Has(ledger.TransferPending) {
			b.WriteString(" pending")
		}
		if l.Flags&(ledger.TransferBalancingDebit|ledger.TransferBalancingCredit) != 0 {
			b.WriteString(" at most")
		}
		if i < len(ts)-1 {
			b.WriteString("; ")
		}
	}
	return b.String()
}

// Given an order of 100.00 with a fee of 10 % and 20 % tax on the fee, when
// the events happen, then it is in the state, with the deadline, and the last
// event moved the money.
func TestScenarios(t *testing.T) {
	pay := Command{Event: Pay, Method: "card"}
	for _, c := range []struct {
		name     string
		events   []Command
		state    State
		deadline Deadline
		money    string
	}{
		{"agreed", nil, Agreed, PayBy, ""},
		{"never paid", []Command{{Event: Expire}}, Expired, NoDeadline, ""},
		{"canceled before it is paid", []Command{{Event: Cancel}}, Canceled, NoDeadline, ""},
		{"paid", []Command{pay}, Held, ShipBy, "payment_received: clearing -> buyer 10000; hold: buyer -> escrow 10000"},
		{"canceled before shipping", []Command{pay, {Event: Cancel}}, Canceled, NoDeadline, "refund_to_buyer: escrow -> buyer 10000"},
		{"never shipped", []Command{pay, {Event: CancelUnshipped}}, Canceled, NoDeadline, "refund_to_buyer: escrow -> buyer 10000"},
		{"refunded by the seller", []Command{pay, {Event: Refund}}, Refunded, NoDeadline, "refund_to_buyer: escrow -> buyer 10000"},
		{"refunded in part", []Command{pay, {Event: Refund, Amount: 2500}}, Held, ShipBy, "refund_to_buyer: escrow -> buyer 2500"},
		{"shipped", []Command{pay, {Event: Ship}}, Shipped, ConfirmBy, ""},
		{"confirmed", []Command{pay, {Event: Ship}, {Event: Confirm}}, Released, MatureAt,
			"release: escrow -> seller pending 8800; fee: escrow -> fee 1000; fee_tax: escrow -> tax 200"},
		{"confirmed after a part refund", []Command{pay, {Event: Ship}, {Event: Refund, Amount: 2500}, {Event: Confirm}}, Released, MatureAt,
			"release: escrow -> seller pending 6600; fee: escrow -> fee 750; fee_tax: escrow -> tax 150"},
		{"nobody confirms, no delivery reported", []Command{pay, {Event: Ship}, {Event: ReleaseUnconfirmed}}, Released, MatureAt,
			"release: escrow -> seller pending 8800; fee: escrow -> fee 1000; fee_tax: escrow -> tax 200"},
		{"nobody confirms after delivery", []Command{pay, {Event: Ship}, {Event: Deliver}, {Event: ReleaseUnconfirmed}}, Released, MatureAt,
			"release: escrow -> seller pending 8800; fee: escrow -> fee 1000; fee_tax: escrow -> tax 200"},
		{"matured", []Command{pay, {Event: Ship}, {Event: Confirm}, {Event: Mature}}, Closed, NoDeadline,
			"mature: seller pending -> seller available 8800"},
		{"disputed", []Command{pay, {Event: Ship}, {Event: Dispute, Reason: "late"}}, Disputed, RuleBy,
			"dispute_freeze: escrow -> suspense 10000 pending"},
		{"ruled for the buyer", []Command{pay, {Event: Ship}, {Event: Dispute, Reason: "late"}, {Event: Rule, ToBuyer: 10000}}, Refunded, NoDeadline,
			"dispute_freeze void; ruling_refund: escrow -> buyer 10000"},
		{"ruled for the seller", []Command{pay, {Event: Ship}, {Event: Dispute, Reason: "late"}, {Event: Rule, ToSeller: 10000}}, Released, MatureAt,
			"dispute_freeze void; ruling_release: escrow -> seller pending 8800; ruling_fee: escrow -> fee 1000; ruling_fee_tax: escrow -> tax 200"},
		{"split", []Command{pay, {Event: Ship}, {Event: Deliver}, {Event: Dispute, Reason: "late"}, {Event: Rule, ToSeller: 3333, ToBuyer: 6667}}, Ruled, MatureAt,
			"dispute_freeze void; ruling_release: escrow -> seller pending 2933; ruling_fee: escrow -> fee 333; ruling_fee_tax: escrow -> tax 67; ruling_refund: escrow -> buyer 6667"},
		{"split, matured", []Command{pay, {Event: Ship}, {Event: Deliver}, {Event: Dispute, Reason: "late"}, {Event: Rule, ToSeller: 3333, ToBuyer: 6667}, {Event: Mature}}, Closed, NoDeadline,
			"mature: seller pending -> seller available 2933"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreed(t, 10_000, nil)
			var last *Change
			for _, e := range c.events {
				ch, err := Plan(o, complete(o, e))
				if err != nil {
					t.Fatalf("%s: %v", e.Event, err)
				}
				o, last = ch.After, ch
			}
			if o.State != c.state || o.Deadline != c.deadline {
				t.Errorf("%s with %s, want %s with %s", o.State, o.Deadline, c.state, c.deadline)
			}
			if last != nil && legs(last.Legs) != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", legs(last.Legs), c.money)
			}
			e := Explain(&o)
			if e.Why == "" || e.Until == "" || e.Next == "" || e.Otherwise == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestDeadlines(t *testing.T) {
	o := agreed(t, 10_000, nil)
	check := func(want time.Time) {
		t.Helper()
		if !o.DeadlineAt.Equal(want) {
			t.Errorf("%s: %s at %s, want %s", o.State, o.Deadline, o.DeadlineAt, want)
		}
	}
	days := func(from time.Time, n int) time.Time { return from.AddDate(0, 0, n) }
	check(days(t0, 5))
	o.ShipByDate = t0.AddDate(0, 1, 0) // later than ten days after the payment
	o = must(t, o, Command{Event: Pay, Method: "card"})
	check(t0.AddDate(0, 1, 0))
	o = must(t, o, Command{Event: Extend, By: Seller, Until: t0.AddDate(0, 1, 2)})
	check(t0.AddDate(0, 1, 2))
	o = must(t, o, Command{Event: Ship, At: o.DeadlineAt}) // at the deadline is in time
	check(days(o.At, 15))
	o = must(t, o, Command{Event: Extend, By: Buyer})
	check(days(o.At, 15).Add(-hour).AddDate(0, 0, 15))
	o = must(t, o, Command{Event: Deliver})
	check(days(o.At, 7))
	o = must(t, o, Command{Event: ReleaseUnconfirmed})
	if !o.At.Equal(o.DeadlineAt.AddDate(0, 0, -2)) {
		t.Errorf("released at %s, matures at %s", o.At, o.DeadlineAt)
	}
}

func TestRefused(t *testing.T) {
	pay := Command{Event: Pay, Method: "card"}
	ship, dispute := Command{Event: Ship}, Command{Event: Dispute, Reason: "late"}
	for _, c := range []struct {
		name   string
		events []Command
		rule   string
	}{
		{"the seller confirms", []Command{pay, ship, {Event: Confirm, By: Seller}}, RuleRole},
		{"a release during a dispute", []Command{pay, ship, dispute, {Event: Confirm}}, RuleState},
		{"a refund during a dispute", []Command{pay, ship, dispute, {Event: Refund}}, RuleState},
		{"a second dispute", []Command{pay, ship, dispute, dispute}, RuleState},
		{"the clock does not run in a dispute", []Command{pay, ship, dispute, {Event: ReleaseUnconfirmed}}, RuleState},
		{"canceled after shipping", []Command{pay, ship, {Event: Cancel}}, RuleState},
		{"paid twice", []Command{pay, pay}, RuleState},
		{"paid by an unknown method", []Command{{Event: Pay, Method: "gold"}}, RuleMethod},
		{"paid short", []Command{{Event: Pay, Method: "card", Amount: 9999}}, RuleAmount},
		{"a dispute without a reason", []Command{pay, ship, {Event: Dispute}}, RuleReason},
		{"a refund above what is held", []Command{pay, {Event: Refund, Amount: 10001}}, RuleAmount},
		{"a ruling that gives too little", []Command{pay, ship, dispute, {Event: Rule, ToSeller: 1, ToBuyer: 2}}, RuleAmount},
		{"a ruling below zero", []Command{pay, ship, dispute, {Event: Rule, ToSeller: 10001, ToBuyer: -1}}, RuleAmount},
		{"shipped too late", []Command{pay, {Event: Ship, At: t0.Add(hour).AddDate(0, 0, 10).Add(time.Microsecond)}}, RuleTooLate},
		{"before the last event", []Command{pay, {Event: Ship, At: t0}}, RuleOrderOfTime},
		{"released before the deadline", []Command{pay, ship, {Event: ReleaseUnconfirmed, At: t0.AddDate(0, 0, 3)}}, RuleNotDue},
		{"extended twice", []Command{pay, {Event: Extend, By: Seller}, {Event: Extend, By: Seller}}, RuleExtension},
		{"extended too far", []Command{pay, {Event: Extend, By: Seller, Until: t0.AddDate(1, 0, 0)}}, RuleExtension},
		{"extended backwards", []Command{pay, {Event: Extend, By: Seller, Until: t0.Add(2 * hour)}}, RuleExtension},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreed(t, 10_000, nil)
			for _, e := range c.events[:len(c.events)-1] {
				o = must(t, o, e)
			}
			_, err := Plan(o, complete(o, c.events[len(c.events)-1]))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule {
				t.Fatalf("%v, want %s", err, c.rule)
			}
			if r.State != o.State || r.Detail == "" || !slices.EqualFunc(r.Allowed, o.Allowed(), func(a, b Allowed) bool { return a.Event == b.Event }) {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Every cell of the state table, allowed or refused: a pair that is not in
// Rules is refused by the state, one that is by nobody's state.
func TestEveryCell(t *testing.T) {
	at := map[State]Order{}
	collect := func(o Order) { at[o.State] = o }
	o := agreed(t, 10_000, func(p *Policy) {
		steps(p)
		p.EscalateAfter, p.ReplaceWithin, p.ReserveBps, p.ReserveFor, p.DisputeReleasedWithin = 0, 7*day, 1_000, 30*day, 60*day
	})
	collect(o)
	collect(must(t, o, Command{Event: Expire}))
	collect(must(t, o, Command{Event: Cancel}))
	collect(must(t, o, Command{Event: Authorise, Method: "card"}))
	o = must(t, o, Command{Event: Pay, Method: "card"})
	collect(o)
	collect(must(t, o, Command{Event: Refund}))
	taken := must(t, o, Command{Event: TakeBackPayment, Reason: "fraud"})
	collect(taken)
	collect(must(t, taken, Command{Event: Represent}))
	o = must(t, o, Command{Event: Ship})
	collect(o)
	o = must(t, o, Command{Event: Deliver})
	collect(o)
	collect(must(t, o, Command{Event: Confirm}))
	reserved := must(t, must(t, o, Command{Event: Confirm}), Command{Event: Mature})
	collect(reserved)
	collect(must(t, reserved, Command{Event: ReleaseReserve}))
	o = must(t, o, Command{Event: Dispute, Reason: "x"})
	collect(o)
	collect(must(t, o, Command{Event: AcceptClaim}))
	collect(must(t, o, Command{Event: Rule, ToSeller: 1, ToBuyer: 9999}))
	o = must(t, o, Command{Event: Contest, Reason: "x"})
	collect(must(t, must(t, o, Command{Event: MakeOffer, By: Seller, Replacement: true}), Command{Event: AcceptOffer, By: Buyer, Replacement: true}))
	o = must(t, o, Command{Event: MakeOffer, By: Seller, ToBuyer: 9999, Return: true})
	collect(o)
	back := must(t, o, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 9999})
	collect(back)
	collect(must(t, back, Command{Event: ReceiveReturn}))
	collect(must(t, back, Command{Event: ShipBack}))
	o = must(t, o, Command{Event: Escalate, By: Operator})
	collect(o)
	o = must(t, o, Command{Event: GiveEvidence, By: Buyer, Evidence: file})
	collect(must(t, o, Command{Event: CloseEvidence}))
	collect(must(t, must(t, inParts(t), Command{Event: Pay, Method: "card"}), Command{Event: ShipPart, Parts: []string{"hull"}}))
	for _, s := range States {
		o, ok := at[s]
		if !ok {
			t.Fatalf("no order that is %s", s)
		}
		for _, e := range Events {
			row, allowed := Lookup(s, e)
			for _, by := range []Role{Buyer, Seller, Carrier, Operator, System} {
				c := Command{Event: e, By: by, Method: "card", Reason: "x", ToBuyer: o.Held, Evidence: file, Scan: Scan{Status: "in_transit"}}
				o := o
				if partEvent(e) {
					o, c.Parts = partsAt(t, o, e)
				}
				if o.Claim != nil && e == AcceptOffer {
					claim := *o.Claim
					claim.Offer = &Offer{By: other(by), ToBuyer: o.Held}
					o.Claim = &claim
				}
				if o.Claim != nil && e == AcceptClaim { // the buyer accepts what the seller claims
					claim := *o.Claim
					claim.Damage = &Damage{Amount: 1, ToBuyer: o.Held}
					o.Claim = &claim
				}
				if e == Reprice {
					c.Amount = 1
				}
				if e == SecondChargeback {
					won := Aftermath{Won: true}
					if o.Aftermath != nil {
						won = *o.Aftermath
						won.Won = true
					}
					o.Aftermath = &won
				}
				_, err := Plan(o, complete(o, c))
				var r *Refusal
				errors.As(err, &r)
				switch {
				case !allowed && (r == nil || r.Rule != RuleState):
					t.Errorf("%s in %s by %s: %v", e, s, by, err)
				case allowed && !slices.Contains(row.Who, by) && (r == nil || r.Rule != RuleRole):
					t.Errorf("%s in %s by %s: %v", e, s, by, err)
				case allowed && slices.Contains(row.Who, by) && err != nil:
					t.Errorf("%s in %s by %s: %v", e, s, by, err)
				}
			}
		}
		if s.Open() != (o.Deadline != NoDeadline) || s.Open() != (len(NextActors(s)) > 0) {
			t.Errorf("%s: open %v, deadline %q, next %v", s, s.Open(), o.Deadline, NextActors(s))
		}
		if (HeldBecause(s) != "") != (o.Held > 0) {
			t.Errorf("%s holds %d because %q", s, o.Held, HeldBecause(s))
		}
	}
}

func other(r Role) Role {
	if r == Buyer {
		return Seller
	}
	return Buyer
}

// The schema names the same states, each with the same deadline.
func TestSchemaAgrees(t *testing.T) {
	files, err := filepath.Glob("../../deploy/migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	found := map[State]Deadline{}
	for _, f := range files { // the last that has the rules of orders has all of them
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(src), "FUNCTION order_consistent(") {
			continue
		}
		clear(found)
		for _, m := range regexp.MustCompile(`WHEN '(\w+)'\s+THEN deadline (?:= '(\w+)'|IN \('(\w+)'(?:, '\w+')+\)|IS NULL)`).FindAllStringSubmatch(string(src), -1) {
			found[State(m[1])] = Deadline(m[2] + m[3])
		}
	}
	p := Standard()
	steps(&p)
	p.ReplaceWithin = 7 * day
	for _, s := range States {
		o := Order{Terms: Terms{Policy: &p}}
		(&planner{o: &o}).next(s)
		if d, ok := found[s]; !ok || d != o.Deadline {
			t.Errorf("%s: the schema has %q, the table %q", s, d, o.Deadline)
		}
	}
	if len(found) != len(States) {
		t.Errorf("the schema has %d states, the table %d", len(found), len(States))
	}
}

// Whatever is released and refunded in whatever portions, the parts sum to
// the whole, nothing is negative, and a fee taken in portions comes to the
// same as one taken at once.
func TestPartsSumToTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, MaxAmount).Draw(t, "amount")
		f := Fee{Bps: rapid.Int64Range(0, 10_000).Draw(t, "bps"), Fixed: rapid.Int64Range(0, 500).Draw(t, "fixed"),
			TaxBps: rapid.Int64Range(0, 10_000).Draw(t, "tax")}
		o := Order{Terms: Terms{Amount: amount}}
		o.Fee, o.Tax = f.On(amount)
		if o.Fee < 0 || o.Tax < 0 || o.Fee+o.Tax > amount {
			t.Fatalf("fee %d and tax %d on %d", o.Fee, o.Tax, amount)
		}
		left := amount
		for left > 0 {
			part := rapid.Int64Range(1, left).Draw(t, "part")
			if rapid.Bool().Draw(t, "all") {
				part = left
			}
			net, fee, tax := releaseParts(&o, part)
			if net < 0 || fee < 0 || tax < 0 || net+fee+tax != part {
				t.Fatalf("%d = %d + %d + %d", part, net, fee, tax)
			}
			o.Released += part
			o.FeeCharged += fee
			o.TaxCharged += tax
			left -= part
		}
		if o.FeeCharged != o.Fee || o.TaxCharged != o.Tax {
			t.Fatalf("fee %d of %d, tax %d of %d", o.FeeCharged, o.Fee, o.TaxCharged, o.Tax)
		}
	})
}

func TestHalfToEven(t *testing.T) {
	for _, c := range []struct{ a, b, c, want int64 }{
		{1, 1, 2, 0}, {3, 1, 2, 2}, {5, 1, 2, 2}, {7, 1, 2, 4}, {2, 1, 3, 1}, {1, 1, 3, 0},
		{MaxAmount, 10_000, 10_000, MaxAmount}, {MaxAmount, MaxAmount, MaxAmount, MaxAmount},
	} {
		if got := mulDiv(c.a, c.b, c.c); got != c.want {
			t.Errorf("%d*%d/%d = %d, want %d", c.a, c.b, c.c, got, c.want)
		}
	}
}

func TestFees(t *testing.T) {
	for _, c := range []struct {
		fee              Fee
		amount, cut, tax int64
	}{
		{Fee{Bps: 1000, Fixed: 50, Cap: 10_000}, 13_494, 1399, 0},
		{Fee{Bps: 1000, Fixed: 50, Cap: 10_000}, 5, 5, 0},            // 50.5 is more than there is
		{Fee{Bps: 1000, Fixed: 50, Cap: 10_000}, 200_000, 10_000, 0}, // capped
		{Fee{Bps: 100, Min: 300}, 1_000, 300, 0},
		{Fee{Bps: 500, TaxBps: 1900}, 999, 50, 10}, // 49.95, then 9.5 to even
		{Fee{Bps: 10_000, TaxBps: 1900}, 100, 100, 0},
	} {
		if fee, tax := c.fee.On(c.amount); fee != c.cut || tax != c.tax {
			t.Errorf("%+v on %d: %d and %d, want %d and %d", c.fee, c.amount, fee, tax, c.cut, c.tax)
		}
	}
}

func TestPolicyMistakesAreNamed(t *testing.T) {
	p := Policy{Name: "Bad Name", Effective: time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC), PayWithin: -1, ConfirmAfterShipment: maxSeconds + 1,
		ExtendTimes: 1, MatureAfter: -1, Methods: []string{"card", "card", "x y"},
		Fees: map[string]Fee{"*": {Fixed: 1}, "ZZZ": {Bps: 10_001, TaxBps: -1}, "USD": {Min: 2, Cap: 1}, "JPY": {Cap: MaxAmount + 1}}}
	want := strings.Join([]string{
		`name: must match ^[a-z][a-z0-9_-]{0,31}$`,
		`effective: must not be finer than microseconds`,
		`pay_within: must be from 1 second to 3660 days`,
		`ship_within: must be from 1 second to 3660 days: with 0 a state has no deadline (rule deadline)`,
		`confirm_after_delivery: must be from 1 second to 3660 days: with 0 a state has no deadline (rule deadline)`,
		`confirm_after_shipment: must be from 1 second to 3660 days`,
		`rule_within: must be from 1 second to 3660 days: with 0 a state has no deadline (rule deadline)`,
		`mature_after: must be from 0 seconds to 3660 days`,
		`extend_by: must be positive where extend_times is`,
		`methods[1]: named twice`,
		`methods[2]: must match ^[a-z][a-z0-9_-]{0,31}$`,
		`fees[*].fixed: is an amount and needs a currency`,
		`fees[JPY].cap: must be from 0 to 2^53-1 minor units`,
		`fees[USD].min: is above cap`,
		`fees[ZZZ]: not an ISO 4217 currency, nor "*"`,
		`fees[ZZZ].bps: must be from 0 to 10000 basis points`,
		`fees[ZZZ].tax_bps: must be from 0 to 10000 basis points`,
	}, "\n")
	if err := p.Validate(); err == nil || err.Error() != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	for _, good := range []Policy{Standard()} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
	empty, year := Standard(), Standard()
	empty.Methods, empty.Fees = nil, nil
	year.Effective = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	for want, p := range map[string]Policy{"methods: name at least one payment method: else an order that is agreed waits for the buyer, who can do nothing (rule owner)\nfees: needs a currency or \"*\"": empty,
		"effective: must be from 1971 to 2199": year} {
		if err := p.Validate(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// One chain for one payment of several orders: one receipt, a hold for each,
// all linked but the last.
func TestOnePaymentSeveralOrders(t *testing.T) {
	var orders []Order
	var cs []Command
	for i := range 3 {
		o := agreed(t, int64(1000*(i+1)), nil)
		o.ID = id(uint64(100 + i))
		orders = append(orders, o)
		c := complete(o, Command{Event: Pay, Method: "card"})
		c.Intent = ledger.ID{Hi: 7, Lo: uint64(i) << 16}
		cs = append(cs, c)
	}
	changes, err := PlanPayment(orders, cs)
	if err != nil {
		t.Fatal(err)
	}
	var all []ledger.Transfer
	for _, ch := range changes {
		all = append(all, ch.Legs...)
	}
	seen := map[ledger.ID]bool{}
	for i, l := range all {
		if l.Flags.Has(ledger.TransferLinked) != (i < len(all)-1) {
			t.Errorf("leg %d: flags %b", i, l.Flags)
		}
		if seen[l.ID] {
			t.Errorf("leg %d: id again", i)
		}
		seen[l.ID] = true
	}
	if len(all) != 4 || all[0].Amount != ledger.U64(6000) || all[0].UserData128 != cs[0].Intent || all[3].Amount != ledger.U64(3000) {
		t.Errorf("%+v", all)
	}
	orders[1].BuyerAccount = id(99)
	if _, err := PlanPayment(orders, cs); err == nil {
		t.Error("two buyers, one payment")
	}
}

func TestLegIDs(t *testing.T) {
	intent := ledger.ID{Hi: 3, Lo: 0xabcd << 16}
	last := intent
	for attempt := range int16(3) {
		for leg := range 5 {
			l := LegID(intent, attempt, leg)
			if l.Cmp(last) <= 0 || IntentOf(l) != intent {
				t.Errorf("attempt %d leg %d: %x after %x", attempt, leg, l.Lo, last.Lo)
			}
			last = l
		}
	}
}

// The garbage collector goes through objects of at most 512 bytes a span at a
// time, and through larger ones one by one: an order just fits.
func TestSize(t *testing.T) {
	if size := unsafe.Sizeof(Order{}); size > 512 {
		t.Errorf("an order is %d bytes: look at what large settlements cost before it grows", size)
	}
}
