package treasury

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	usd = 1840
	jpy = 1392
)

// books is the ledger's own rules, and the accounts by name.
type books struct {
	t        *testing.T
	engine   *rules.Engine
	accounts map[Place]ledger.ID
	next     uint64
}

func newBooks(t *testing.T) *books {
	now := uint64(t0.UnixNano())
	return &books{t: t, engine: rules.NewEngine(func() uint64 { now++; return now }), accounts: map[Place]ledger.ID{}}
}

func (b *books) id() ledger.ID {
	b.next += 1 << 16
	return ledger.ID{Hi: 1, Lo: b.next}
}

func (b *books) account(a Account) ledger.ID { return b.place(Place{usd, a}) }

func (b *books) place(p Place) ledger.ID {
	id, ok := b.accounts[p]
	if !ok {
		id = b.id()
		b.accounts[p] = id
	}
	return id
}

// submit gives accounts and legs to the ledger and answers its first refusal.
func (b *books) submit(accounts []ledger.Account, legs []ledger.Transfer) string {
	b.t.Helper()
	if _, err := b.engine.CreateAccounts(context.Background(), accounts); err != nil {
		b.t.Fatal(err)
	}
	results, err := b.engine.CreateTransfers(context.Background(), legs)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range results {
		if r.Status != ledger.TransferCreated && r.Status != ledger.TransferLinkedEventFailed {
			return r.Status.String()
		}
	}
	return ""
}

// give puts money into an account, out of nowhere.
func (b *books) give(a Account, amount int64) {
	b.t.Helper()
	from := Account{Code: chart.BankSafeguarded}
	debit, credit := from, a
	if a.Code.NormalSide() == chart.Debit {
		debit, credit = a, from
	}
	var list []ledger.Account
	for _, n := range []Account{debit, credit} {
		list = append(list, ledger.Account{ID: b.account(n), Ledger: usd, Code: uint16(n.Code), Flags: n.Code.Flags()})
	}
	if refused := b.submit(list, []ledger.Transfer{{ID: b.id(), DebitAccountID: b.account(debit), CreditAccountID: b.account(credit),
		Amount: ledger.U64(uint64(amount)), Ledger: usd, Code: 1}}); refused != "" {
		b.t.Fatalf("giving %d to %v: %s", amount, a, refused)
	}
}

// balance is what an account has on its normal side, and what is pending out.
func (b *books) balance(a Account) (posted, pending int64) { return b.balanceIn(Place{usd, a}) }

func (b *books) balanceIn(a Place) (posted, pending int64) {
	list, err := b.engine.LookupAccounts(context.Background(), []ledger.ID{b.place(a)})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(list) == 0 {
		return 0, 0
	}
	number := func(x ledger.Amount) int64 { n, _ := x.Uint64(); return int64(n) }
	d, c := number(list[0].DebitsPosted), number(list[0].CreditsPosted)
	if a.Code.NormalSide() != chart.Credit {
		return d - c, number(list[0].CreditsPending)
	}
	return c - d, number(list[0].DebitsPending)
}

func (b *books) entry(t Terms) Entry {
	t.ID, t.Marketplace, t.MadeAt = b.id(), 1, t0
	if t.Kind.InLedger() {
		t.Ledger = usd
	}
	if field, detail := t.Check(); field != "" {
		b.t.Fatalf("%s: %s", field, detail)
	}
	return Entry{Terms: t}
}

// do plans an event and gives it to the ledger. It answers the entry, or who
// refused and why.
func (b *books) do(e Entry, c Command) (Entry, string) {
	b.t.Helper()
	c.Intent = b.id()
	if c.By == "" {
		c.By = order.Operator
	}
	if c.At.IsZero() {
		c.At = t0
		if c.Event == Expire {
			c.At = e.DueAt
		}
	}
	c.Accounts = map[Place]ledger.ID{}
	for _, a := range Needs(&e, &c) {
		c.Accounts[a] = b.place(a)
	}
	before := e
	ch, err := Plan(e, c)
	if e.Seq != before.Seq || e.State != before.State {
		b.t.Error("Plan changed its input")
	}
	var r *order.Refusal
	if errors.As(err, &r) {
		return e, r.Rule
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if refused := b.submit(ch.Accounts, ch.Legs); refused != "" {
		return e, "ledger: " + refused
	}
	return ch.After, ""
}

var (
	available = Account{chart.SellerAvailable, "bob"}
	debt      = Account{chart.SellerReceivable, "bob"}
	buyer     = Account{chart.Buyer, "ann"}
	clearing  = Account{chart.PayinClearing, "bank_transfer"}
	unknown   = Account{Code: chart.Unidentified}
	payable   = Account{Code: chart.RefundPayable}
	sent      = Account{Code: chart.PayoutClearing}
	bank      = Account{Code: chart.BankSafeguarded}
	operating = Account{Code: chart.BankOperating}
	writeOff  = Account{Code: chart.WriteOff}
	cost      = Account{Code: chart.PSPCost}
	position  = Account{Code: chart.FXPosition}
	spread    = Account{Code: chart.FXSpread}
)

// Given some balances, when these events happen, then the entry stands so and
// the balances have changed by so much. Every row of the table is in here.
func TestMoneyTable(t *testing.T) {
	type step struct {
		c    Command
		want State
	}
	yes := Command{Event: Send, Verified: ledger.U64(1)}
	payout := Terms{Kind: Payout, Party: "bob", Amount: 700}
	receipt := Terms{Kind: Receipt, Party: "ann", Method: "bank_transfer", Reference: "line 1", Amount: 300}
	nobodys := Terms{Kind: Receipt, Method: "bank_transfer", Reference: "line 2", Amount: 300}
	repay := Terms{Kind: Repayment, Party: "ann", Method: "bank_transfer", Amount: 200}
	adjust := Terms{Kind: Adjustment, Amount: 5, Debit: Account{Code: chart.PSPCost}, Credit: clearing, Reason: "rounding at the provider", Maker: "eve"}
	forgive := Terms{Kind: WriteOff, Party: "bob", Amount: 40, Reason: "out of business", Maker: "eve"}
	details := Terms{Kind: BankDetails, Party: "bob", Details: []byte(`{"iban":"DE02120300000000202051"}`), Maker: "eve"}
	ruling := Terms{Kind: Ruling, Party: ledger.U64(7).UUID(), Amount: 100, Details: []byte(`{"to_buyer":40,"to_seller":60}`), Reason: "usable", Maker: "eve"}
	policy := Terms{Kind: Policy, Details: standard(), Maker: "eve"}
	approve := Command{Event: Approve, Person: "max"}
	reject := Command{Event: Reject, Person: "max"}
	expire := Command{Event: Expire, By: order.System}
	// 1.00 dollars are 149.25 yen: 9.00, less 1.00, are 1194.
	back := Terms{Kind: Conversion, Party: "ann", Amount: 900, To: ConvertTo{Ledger: jpy, Amount: 1194, Rate: "149.25", Spread: 100}, Maker: "eve"}
	noSpread := back
	noSpread.To = ConvertTo{Ledger: jpy, Amount: 1343, Rate: "149.25"} // 1343.25
	sale := noSpread
	sale.Party = ""
	// What the cases with two ledgers move in yen, by name.
	yen := map[string]map[Account]int64{
		"a buyer's balance goes into yen, less the spread": {position: 1194, buyer: 1194},
		"without a spread":                          {position: 1343, buyer: 1343},
		"the marketplace sells its dollars for yen": {bank: 1343, position: -1343},
	}
	covered := map[string]bool{}
	for _, c := range []struct {
		name  string
		terms Terms
		steps []step
		moved map[Account]int64
	}{
		{"a payout is on its way", payout, []step{{yes, Sent}}, nil},
		{"a payout is accepted", payout, []step{{yes, Sent}, {Command{Event: Accept}, Accepted}}, map[Account]int64{available: -700, sent: 700}},
		{"a payout fails", payout, []step{{yes, Sent}, {Command{Event: Fail}, Failed}}, nil},
		{"a payout left the bank", payout, []step{{yes, Sent}, {Command{Event: Accept}, Accepted}, {Command{Event: Settle}, Paid}},
			map[Account]int64{available: -700, bank: -700}},
		{"a payout comes back before it left", payout, []step{{yes, Sent}, {Command{Event: Accept}, Accepted}, {Command{Event: Return}, Returned}}, nil},
		{"a payout comes back late", payout, []step{{yes, Sent}, {Command{Event: Accept}, Accepted}, {Command{Event: Settle}, Paid}, {Command{Event: Return}, Returned}}, nil},

		{"a buyer's receipt", receipt, []step{{Command{Event: Receive}, Done}}, map[Account]int64{clearing: 300, buyer: 300}},
		{"a receipt of nobody known", nobodys, []step{{Command{Event: Receive}, Unidentified}}, map[Account]int64{clearing: 300, unknown: 300}},
		{"it turns out whose it is", nobodys, []step{{Command{Event: Receive}, Unidentified}, {Command{Event: Assign, Party: "ann"}, Done}},
			map[Account]int64{clearing: 300, buyer: 300}},
		{"it is sent back", nobodys, []step{{Command{Event: Receive}, Unidentified}, {Command{Event: SendBack}, SentBack}}, nil},

		{"a repayment is due", repay, []step{{Command{Event: Start}, Due}}, map[Account]int64{buyer: -200, payable: 200}},
		{"a repayment is given up", repay, []step{{Command{Event: Start}, Due}, {Command{Event: Reject}, Rejected}}, nil},
		{"a repayment is done", repay, []step{{Command{Event: Start}, Due}, {Command{Event: Send}, Sent}, {Command{Event: Settle}, Done}},
			map[Account]int64{buyer: -200, clearing: -200}},
		{"a repayment is rejected by the provider", repay, []step{{Command{Event: Start}, Due}, {Command{Event: Send}, Sent}, {Command{Event: Reject}, Rejected}}, nil},

		{"a debt is recovered", Terms{Kind: Recovery, Party: "bob", Amount: 60}, []step{{Command{Event: Recover, By: order.System}, Done}},
			map[Account]int64{available: -60, debt: -60}},
		{"a provider settles", Terms{Kind: PSPSettlement, Method: "bank_transfer", Reference: "s1", Amount: 900, Fee: 30}, []step{{Command{Event: Settle}, Done}},
			map[Account]int64{bank: 900, cost: 30, clearing: -930}},
		{"a provider settles without a fee", Terms{Kind: PSPSettlement, Method: "bank_transfer", Reference: "s2", Amount: 900}, []step{{Command{Event: Settle}, Done}},
			map[Account]int64{bank: 900, clearing: -900}},
		{"fees are swept", Terms{Kind: FeeSweep, Amount: 50, Reference: "f1"}, []step{{Command{Event: Sweep}, Done}}, map[Account]int64{operating: 50, bank: -50}},

		{"a write-off is proposed", forgive, []step{{Command{Event: Propose}, Proposed}}, nil},
		{"a write-off is approved", forgive, []step{{Command{Event: Propose}, Proposed}, {approve, Done}}, map[Account]int64{writeOff: 40, debt: -40}},
		{"a write-off is rejected", forgive, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"a write-off expires", forgive, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},
		{"an adjustment is approved", adjust, []step{{Command{Event: Propose}, Proposed}, {approve, Done}}, map[Account]int64{cost: 5, clearing: -5}},
		{"an adjustment is rejected", adjust, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"an adjustment expires", adjust, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},
		{"bank details are approved", details, []step{{Command{Event: Propose}, Proposed}, {approve, Done}}, nil},
		{"bank details are rejected", details, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"bank details expire", details, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},

		{"a conversion is proposed", back, []step{{Command{Event: Propose}, Proposed}}, nil},
		{"a buyer's balance goes into yen, less the spread", back, []step{{Command{Event: Propose}, Proposed}, {approve, Done}},
			map[Account]int64{buyer: -900, position: -800, spread: 100}},
		{"without a spread", noSpread, []step{{Command{Event: Propose}, Proposed}, {approve, Done}},
			map[Account]int64{buyer: -900, position: -900}},
		{"the marketplace sells its dollars for yen", sale, []step{{Command{Event: Propose}, Proposed}, {approve, Done}},
			map[Account]int64{position: 900, bank: -900}},
		{"a conversion is rejected", back, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"a conversion expires", sale, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},
		{"a ruling is approved: its order's event moves the money", ruling, []step{{Command{Event: Propose}, Proposed}, {approve, Done}}, nil},
		{"a ruling is rejected", ruling, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"a ruling expires", ruling, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},
		{"a policy is approved", policy, []step{{Command{Event: Propose}, Proposed}, {approve, Done}}, nil},
		{"a policy is rejected", policy, []step{{Command{Event: Propose}, Proposed}, {reject, Rejected}}, nil},
		{"a policy expires", policy, []step{{Command{Event: Propose}, Proposed}, {expire, Expired}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks(t)
			all := []Account{available, debt, buyer, clearing, unknown, payable, sent, bank, operating, writeOff, cost, position, spread}
			for _, a := range []Account{available, debt, buyer} {
				b.give(a, 1000)
			}
			before := map[Account]int64{}
			for _, a := range all {
				before[a], _ = b.balance(a)
			}
			e := b.entry(c.terms)
			for i, s := range c.steps {
				if s.c.Event == Approve {
					s.c.Digest = e.Digest()
				}
				row, _ := Lookup(&e, s.c.Event)
				covered[fmt.Sprint(row.Kind, row.From, row.Event, row.Whose, row.To)] = true
				was := e.Seq
				var refused string
				if e, refused = b.do(e, s.c); refused != "" || e.State != s.want || e.Seq != was+1 {
					t.Fatalf("step %d, %s: %s, seq %d, refused %q; want %s", i, s.c.Event, e.State, e.Seq, refused, s.want)
				}
			}
			for _, a := range all {
				after, pending := b.balance(a)
				if after-before[a] != c.moved[a] {
					t.Errorf("%s %s changed by %d, want %d", a.Code, a.Owner, after-before[a], c.moved[a])
				}
				if got, _ := b.balanceIn(Place{jpy, a}); got != yen[c.name][a] {
					t.Errorf("%s %s has JPY %d, want %d", a.Code, a.Owner, got, yen[c.name][a])
				}
				if want := e.State == Sent && e.Kind == Payout && a == available; (pending > 0) != want {
					t.Errorf("%s has %d pending out", a.Code, pending)
				}
			}
		})
	}
	for _, r := range Rules {
		if !covered[fmt.Sprint(r.Kind, r.From, r.Event, r.Whose, r.To)] {
			t.Errorf("no case has %s %s: %s to %s", r.Kind, stateWord(r.From), r.Event, r.To)
		}
	}
}

// Whatever is not in the table is refused, and so is who may not do it.
func TestEveryCell(t *testing.T) {
	events := []Event{Propose, Approve, Reject, Expire, Send, Accept, Fail, Settle, Return, Receive, Assign, SendBack, Start, Recover, Sweep}
	roles := []order.Role{order.Buyer, order.Seller, order.Carrier, order.Operator, order.System}
	for _, k := range Kinds {
		for _, s := range append([]State{None}, States...) {
			for _, event := range events {
				for _, by := range roles {
					e := Entry{Terms: Terms{Kind: k, Party: "bob", Amount: 1}, Progress: Progress{State: s, At: t0, DueAt: t0.Add(time.Hour)}}
					row, ok := Lookup(&e, event)
					if ok && slices.Contains(row.Who, by) {
						continue
					}
					want := order.RuleState
					if ok {
						want = order.RuleRole
					}
					_, err := Plan(e, Command{Event: event, By: by, At: t0})
					var r *order.Refusal
					if !errors.As(err, &r) || r.Rule != want {
						t.Errorf("%s %s, %s by %s: %v, want %s", k, stateWord(s), event, by, err, want)
					}
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	forgive := Terms{Kind: WriteOff, Party: "bob", Amount: 40, Reason: "r", Maker: "eve"}
	payout := Terms{Kind: Payout, Party: "bob", Amount: 700}
	verified := ledger.U64(1)
	proposed := Command{Event: Propose}
	for _, c := range []struct {
		name  string
		terms Terms
		steps []Command
		rule  string
	}{
		{"the maker approves", forgive, []Command{proposed, {Event: Approve, Person: "eve"}}, RuleFourEyes},
		{"nobody approves", forgive, []Command{proposed, {Event: Approve}}, RulePerson},
		{"nobody rejects", forgive, []Command{proposed, {Event: Reject}}, RulePerson},
		{"something else was seen", forgive, []Command{proposed, {Event: Approve, Person: "max", Digest: "0"}}, RuleFourEyes},
		{"approved too late", forgive, []Command{proposed, {Event: Approve, Person: "max", At: t0.Add(ProposalWithin + time.Microsecond)}}, order.RuleTooLate},
		{"expired too early", forgive, []Command{proposed, {Event: Expire, By: order.System, At: t0.Add(time.Hour)}}, order.RuleNotDue},
		{"approved twice", forgive, []Command{proposed, {Event: Approve, Person: "max"}, {Event: Approve, Person: "max"}}, order.RuleState},
		{"before it was proposed", forgive, []Command{proposed, {Event: Approve, Person: "max", At: t0.Add(-time.Hour)}}, order.RuleOrderOfTime},
		{"more is written off than is owed", Terms{Kind: WriteOff, Party: "bob", Amount: 1001, Reason: "r", Maker: "eve"},
			[]Command{proposed, {Event: Approve, Person: "max"}}, "ledger: exceeds_debits"},
		{"more is paid out than is available", Terms{Kind: Payout, Party: "bob", Amount: 1001}, []Command{{Event: Send, Verified: verified}}, "ledger: exceeds_credits"},
		{"paid out to details that nobody approved", payout, []Command{{Event: Send}}, RuleUnverified},
		{"the seller is blocked", payout, []Command{{Event: Send, Verified: verified, Blocked: "fraud"}}, RuleBlocked},
		{"a failed payout is accepted", payout, []Command{{Event: Send, Verified: verified}, {Event: Fail}, {Event: Accept}}, order.RuleState},
		{"returned twice", payout, []Command{{Event: Send, Verified: verified}, {Event: Accept}, {Event: Return}, {Event: Return}}, order.RuleState},
		{"assigned to nobody", Terms{Kind: Receipt, Method: "card", Reference: "x", Amount: 1}, []Command{{Event: Receive}, {Event: Assign}}, RuleParty},
		{"more is repaid than the buyer has", Terms{Kind: Repayment, Party: "ann", Method: "card", Amount: 1001}, []Command{{Event: Start}}, "ledger: exceeds_credits"},
		{"more is converted than the buyer has", Terms{Kind: Conversion, Party: "ann", Amount: 1001, To: ConvertTo{Ledger: jpy, Amount: 1494, Rate: "149.25"}, Maker: "eve"},
			[]Command{proposed, {Event: Approve, Person: "max"}}, "ledger: exceeds_credits"},
		{"who proposed a conversion approves it", Terms{Kind: Conversion, Amount: 100, To: ConvertTo{Ledger: jpy, Amount: 149, Rate: "149.25"}, Maker: "eve"},
			[]Command{proposed, {Event: Approve, Person: "eve"}}, RuleFourEyes},
		{"converted into a currency that is gone", Terms{Kind: Conversion, Party: "ann", Amount: 100, To: ConvertTo{Ledger: 1191, Amount: 700, Rate: "7"}, Maker: "eve"},
			[]Command{proposed}, order.RuleCurrency},
		{"more is recovered than is owed", Terms{Kind: Recovery, Party: "bob", Amount: 1001}, []Command{{Event: Recover}}, "ledger: exceeds_debits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooks(t)
			b.give(available, 1000)
			if c.terms.Kind == Recovery {
				b.give(available, 1000)
			}
			b.give(debt, 1000)
			b.give(buyer, 1000)
			e := b.entry(c.terms)
			for i, cmd := range c.steps {
				last := i == len(c.steps)-1
				if cmd.Event == Approve && cmd.Digest == "" {
					cmd.Digest = e.Digest()
				}
				after, refused := b.do(e, cmd)
				if want := map[bool]string{true: c.rule}[last]; refused != want {
					t.Fatalf("%s: refused by %q, want %q", cmd.Event, refused, want)
				}
				e = after
			}
		})
	}
}

// Every open state is due at some time, so nothing is forgotten.
func TestOpenEntriesAreDue(t *testing.T) {
	for _, r := range Rules {
		e := Entry{Terms: Terms{Kind: r.Kind}, Progress: Progress{State: r.To}}
		if e.Open() != (answeredWithin[r.To] > 0) {
			t.Errorf("%s %s: open %t, heard of within %s", r.Kind, r.To, e.Open(), answeredWithin[r.To])
		}
	}
}

func TestDigestBindsEverything(t *testing.T) {
	base := Terms{ID: ledger.U64(1), Kind: Adjustment, Ledger: usd, Amount: 5, Debit: cost, Credit: clearing, Reason: "r", Maker: "eve", MadeAt: t0}
	seen := map[string]string{base.Digest(): "itself"}
	for name, change := range map[string]func(*Terms){
		"id": func(t *Terms) { t.ID = ledger.U64(2) }, "kind": func(t *Terms) { t.Kind = WriteOff }, "ledger": func(t *Terms) { t.Ledger = 1978 },
		"amount": func(t *Terms) { t.Amount = 6 }, "fee": func(t *Terms) { t.Fee = 1 }, "debit": func(t *Terms) { t.Debit = bank }, "credit": func(t *Terms) { t.Credit = bank },
		"reason": func(t *Terms) { t.Reason = "s" }, "maker": func(t *Terms) { t.Maker = "max" }, "time": func(t *Terms) { t.MadeAt = t0.Add(time.Microsecond) },
		"party": func(t *Terms) { t.Party = "bob" }, "method": func(t *Terms) { t.Method = "card" }, "reference": func(t *Terms) { t.Reference = "x" },
		"details": func(t *Terms) { t.Details = []byte(`{}`) }, "other ledger": func(t *Terms) { t.To.Ledger = jpy }, "other amount": func(t *Terms) { t.To.Amount = 1 },
		"rate": func(t *Terms) { t.To.Rate = "1" }, "spread": func(t *Terms) { t.To.Spread = 1 },
	} {
		c := base
		change(&c)
		if other, ok := seen[c.Digest()]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[c.Digest()] = name
	}
}

func TestTerms(t *testing.T) {
	good := Terms{Kind: Adjustment, Ledger: usd, Amount: 5, Debit: cost, Credit: clearing, Reason: "r", Maker: "eve"}
	for want, change := range map[string]func(*Terms){
		"":       func(*Terms) {},
		"kind":   func(t *Terms) { t.Kind = "gift" },
		"amount": func(t *Terms) { t.Amount = 0 },
		"fee":    func(t *Terms) { t.Fee = 1 },
		"reason": func(t *Terms) { t.Reason = "" },
		"person": func(t *Terms) { t.Maker = "" },
		"method": func(t *Terms) { t.Method = "card" },
		"debit":  func(t *Terms) { t.Debit = Account{chart.Escrow, "x"} },
		"credit": func(t *Terms) { t.Credit = t.Debit },
	} {
		c := good
		change(&c)
		if field, detail := c.Check(); field != want {
			t.Errorf("want %q wrong, got %q: %s", want, field, detail)
		}
	}
	for _, a := range []Account{{chart.SellerAvailable, ""}, {chart.FeeRevenue, "bob"}, {9999, ""}, {chart.DisputeSuspense, ""}, {chart.ChargebackReceivable, ""}, {chart.SellerCollection, ""}} {
		c := good
		c.Debit = a
		if field, _ := c.Check(); field != "debit" {
			t.Errorf("%v can be debited", a)
		}
	}
}

// A conversion says what is wrong with it, and at which field.
func TestConversionTerms(t *testing.T) {
	good := Terms{Kind: Conversion, Ledger: usd, Party: "ann", Amount: 900, To: ConvertTo{Ledger: jpy, Amount: 1194, Rate: "149.25", Spread: 100}, Maker: "eve"}
	for _, c := range []struct {
		change        func(*Terms)
		field, detail string
	}{
		{func(*Terms) {}, "", ""},
		{func(t *Terms) { t.Maker = "" }, "person", "is required: somebody else has to approve it"},
		{func(t *Terms) { t.Amount = 0 }, "amount", "must be from 1 to 9007199254740991 minor units"},
		{func(t *Terms) { t.Fee = 1 }, "fee", "only of psp_settlement, from 0 to 9007199254740991 minor units"},
		{func(t *Terms) { t.To = ConvertTo{} }, "to/currency", "not an ISO 4217 currency"},
		{func(t *Terms) { t.To.Ledger = 2392 }, "to/currency", "not a ledger of this marketplace"},
		{func(t *Terms) { t.To.Ledger = usd }, "to/currency", "the same as currency"},
		{func(t *Terms) { t.To.Amount = 0 }, "to/amount", "must be from 1 to 9007199254740991 minor units"},
		{func(t *Terms) { t.To.Amount = 1195 }, "to/amount", "USD 9.00 less 1.00 at the rate 149.25 would be JPY 1194, not 1195"},
		{func(t *Terms) { t.To.Rate = "0" }, "to/rate", "a rate is more than zero"},
		{func(t *Terms) { t.To.Rate = "1e2" }, "to/rate", "not a rate: want digits, like 1.0825"},
		{func(t *Terms) { t.To.Spread = 900 }, "to/spread", "must be from 0 to less than what is converted"},
		{func(t *Terms) { t.To.Spread = -1 }, "to/spread", "must be from 0 to less than what is converted"},
		{func(t *Terms) { t.Party = "" }, "to/spread", "only of a buyer's: what a bank keeps is in its rate"},
		{func(t *Terms) { t.Kind, t.Method = Repayment, "card" }, "to", "only of a conversion"},
	} {
		bad := good
		c.change(&bad)
		if field, detail := bad.Check(); field != c.field || detail != c.detail {
			t.Errorf("%q: %s, want %q: %s", field, detail, c.field, c.detail)
		}
	}
}
