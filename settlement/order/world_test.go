package order_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/rules"
	"escrowd/settlement/order"
)

// world is a marketplace in memory: its orders, and books that follow the
// ledger's real rules. It does what the write path does, without a database:
// an event is planned, its legs are submitted as one chain, and the order
// stands as planned. After each event everything that must hold is checked.
type world struct {
	t       rapid.TB
	books   *rules.Engine
	clock   uint64 // of the ledger, nanoseconds; rises with each request
	intents uint64
	owners  map[ledger.ID]string // of accounts that belong to somebody
	orders  []*entry
	place   string // what is being played, for messages
}

// entry is one order of the world.
type entry struct {
	name string
	born order.Order     // its terms, before it was agreed
	done []order.Command // what happened to it, in order
	now  order.Order
	// taken are the chargebacks that the bank has not given back, the open one last.
	taken []order.Chargeback
	// ahead is what a random life tries next: the rest of a way that somebody
	// has gone before.
	ahead []order.Command
}

func newWorld(t rapid.TB) *world {
	w := &world{t: t, clock: uint64(start.UnixNano()), owners: map[ledger.ID]string{}}
	w.books = rules.NewEngine(func() uint64 { return w.clock })
	return w
}

// start is when the orders are agreed.
var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// idOf is an id that is the same for the same words, in every world. The last
// 16 bits are left for order.AccountID.
func idOf(words ...any) ledger.ID {
	h := fnv.New64a()
	fmt.Fprintln(h, words...)
	return ledger.ID{Hi: 1, Lo: h.Sum64() &^ 0xffff}
}

// party is a buyer's or seller's account.
func (w *world) party(code chart.AccountCode, books uint32, name string) ledger.ID {
	id := order.AccountID(idOf("party", books, name), code)
	w.owners[id] = name
	if code == chart.SellerPending {
		for _, of := range []chart.AccountCode{chart.SellerAvailable, chart.SellerReserve, chart.SellerReceivable} {
			w.owners[order.AccountID(id, of)] = name
		}
	}
	return id
}

// shared names the accounts that all orders of a ledger share: one for each
// field of order.Books, whatever fields there are.
func shared(ledgerNumber uint32) *order.Books {
	b := new(order.Books)
	v := reflect.ValueOf(b).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.ValueOf(idOf("shared", ledgerNumber, v.Type().Field(i).Name)))
	}
	return b
}

// agree adds an order with these terms, in these parts if there are any, and
// agrees on it. Accounts, fee and tax follow from the rest.
func (w *world) agree(name string, terms order.Terms, parts []order.PartTerms) *entry {
	w.t.Helper()
	e := &entry{name: name, born: w.unborn(name, terms, parts)}
	e.now = e.born
	w.orders = append(w.orders, e)
	if r := w.do(order.Command{Event: order.Agree, By: order.Operator, At: start}, e); r != nil {
		w.t.Fatalf("%s: %v", name, r)
	}
	return e
}

func (w *world) unborn(name string, terms order.Terms, parts []order.PartTerms) order.Order {
	w.t.Helper()
	terms.ID = idOf("order", name)
	terms.Reference, terms.AgreedAt = name, start
	terms.BuyerAccount = w.party(chart.Buyer, terms.Ledger, terms.Buyer)
	terms.SellerAccount = w.party(chart.SellerPending, terms.Ledger, terms.Seller)
	w.owners[terms.ID] = name
	terms.Marketplace, _, _ = chart.SplitLedger(terms.Ledger)
	if err := terms.Agree(); err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	o := order.Order{Terms: terms}
	if len(parts) > 0 {
		var err error
		if o.Parts, err = order.NewParts(o.Amount, parts); err != nil {
			w.t.Fatalf("%s: %v", name, err)
		}
	}
	return o
}

// do asks for one event of an order, or of several that one payment covers.
// It happens, or it is refused and nothing has changed.
func (w *world) do(c order.Command, of ...*entry) *order.Refusal {
	w.t.Helper()
	before := make([]order.Order, len(of))
	cs := make([]order.Command, len(of))
	for i, e := range of {
		w.intents++
		before[i], cs[i] = e.now, c
		cs[i].Intent = ledger.ID{Hi: 2, Lo: w.intents << 16}
		cs[i].Books = shared(e.now.Ledger)
		if paid, err := c.FX.Ledger(e.now.Marketplace); err == nil {
			cs[i].PaidBooks = shared(paid)
		}
		cs[i].Paid = howPaid(e.now, e.done)
	}
	changes, refusal := w.plan(before, cs)
	if refusal != nil {
		return refusal
	}
	w.topUp(changes, cs)
	w.submit(changes)
	for i, ch := range changes {
		of[i].now = ch.After
		of[i].done = append(of[i].done[:len(of[i].done):len(of[i].done)], cs[i])
		switch ch.Event {
		case order.TakeBackPayment, order.SecondChargeback:
			of[i].taken = append(of[i].taken, *ch.After.Aftermath.Chargeback)
		case order.WinChargeback:
			of[i].taken = of[i].taken[:len(of[i].taken)-1]
		}
	}
	w.audit()
	for _, e := range of {
		w.replay(e)
	}
	return nil
}

// howPaid is what the write path would have on record of an order's payment.
func howPaid(o order.Order, done []order.Command) (paid order.Payment) {
	for i := range done {
		c := &done[i]
		if c.Event != order.Pay && c.Event != order.Authorise {
			continue
		}
		if paid.Method = c.Method; c.Method != order.Balance {
			paid.Ledger = o.Ledger
		}
		if in, err := c.FX.Ledger(o.Marketplace); err == nil {
			paid.Ledger = in
		}
	}
	return paid
}

// topUp gives buyers what they are about to pay out of their balance: it came in
// before, however it did.
func (w *world) topUp(changes []*order.Change, cs []order.Command) {
	w.t.Helper()
	for i, ch := range changes {
		if cs[i].Event != order.Pay || cs[i].Method != order.Balance {
			continue
		}
		w.intents++
		o := ch.After
		clearing := shared(o.Ledger).Clearing
		w.submit([]*order.Change{{Event: "receipt", Accounts: []ledger.Account{
			{ID: clearing, Ledger: o.Ledger, Code: uint16(chart.PayinClearing)}, {ID: o.BuyerAccount, Ledger: o.Ledger, Code: uint16(chart.Buyer), Flags: chart.Buyer.Flags()}},
			Legs: []ledger.Transfer{{ID: ledger.ID{Hi: 2, Lo: w.intents<<16 | 1}, DebitAccountID: clearing, CreditAccountID: o.BuyerAccount,
				Amount: ledger.U64(uint64(o.Held)), Ledger: o.Ledger, Code: uint16(chart.PaymentReceived)}}}})
	}
}

// plan plans, twice: the same question has the same answer, and asking changes
// neither orders nor commands.
func (w *world) plan(orders []order.Order, cs []order.Command) ([]*order.Change, *order.Refusal) {
	w.t.Helper()
	question := dump(orders, cs)
	changes, err := planAll(orders, cs)
	again, errAgain := planAll(orders, cs)
	if got := dump(orders, cs); got != question {
		w.t.Fatalf("Plan changed its input:\n%s\nwas\n%s", got, question)
	}
	if a, b := dump(changes, err), dump(again, errAgain); a != b {
		w.t.Fatalf("Plan answered two ways:\n%s\nand\n%s", a, b)
	}
	if err != nil {
		return nil, w.refused(orders, cs, err)
	}
	for i, ch := range changes {
		row, ok := order.Lookup(orders[i].State, cs[i].Event)
		if !ok || !slices.Contains(row.Who, cs[i].By) || !slices.Contains(row.To, ch.After.State) {
			w.t.Fatalf("%s by %s led an order that was %q to %s, which the state table does not say", cs[i].Event, cs[i].By, orders[i].State, ch.After.State)
		}
	}
	return changes, nil
}

func planAll(orders []order.Order, cs []order.Command) ([]*order.Change, error) {
	if len(orders) > 1 {
		return order.PlanPayment(orders, cs)
	}
	ch, err := order.Plan(orders[0], cs[0])
	return []*order.Change{ch}, err
}

// refused is a refusal that says all it has to: its rule, of which order and
// event, why, and what would be admitted.
func (w *world) refused(orders []order.Order, cs []order.Command, err error) *order.Refusal {
	w.t.Helper()
	var r *order.Refusal
	if !errors.As(err, &r) {
		w.t.Fatalf("%s: %v", cs[0].Event, err)
	}
	ofOne := slices.ContainsFunc(orders, func(o order.Order) bool {
		return r.State == o.State && reflect.DeepEqual(r.Allowed, o.Allowed())
	})
	if !ofOne || r.Event != cs[0].Event || r.Rule == "" || r.Detail == "" {
		w.t.Fatalf("%s of an order that is %q: the refusal is %+v", cs[0].Event, orders[0].State, r)
	}
	return r
}

// submit books changes as one chain. The ledger accepts whatever was planned:
// it is the last to say no, and has no reason to.
func (w *world) submit(changes []*order.Change) {
	w.t.Helper()
	var accounts []ledger.Account
	var legs []ledger.Transfer
	for _, ch := range changes {
		accounts = append(accounts, ch.Accounts...)
		legs = append(legs, ch.Legs...)
	}
	ctx := context.Background()
	w.clock++
	opened, err := w.books.CreateAccounts(ctx, accounts)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range opened {
		if r.Status != ledger.AccountCreated && r.Status != ledger.AccountExists {
			w.t.Fatalf("%s%s: the ledger refused account %s: %s", w.place, changes[0].Event, chart.AccountCode(accounts[i].Code), r.Status)
		}
	}
	w.clock++
	booked, err := w.books.CreateTransfers(ctx, legs)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, r := range booked {
		if r.Status != ledger.TransferCreated {
			w.t.Fatalf("%s%s: the ledger refused leg %d, %s of %s: %s", w.place, changes[0].Event, i+1, chart.TransferCode(legs[i].Code), legs[i].Amount, r.Status)
		}
		if legs[i].Flags.Has(ledger.TransferLinked) != (i < len(legs)-1) {
			w.t.Fatalf("%s%s: the legs are not one chain: leg %d of %d has flags %b", w.place, changes[0].Event, i+1, len(legs), legs[i].Flags)
		}
	}
	w.checkLegs(legs)
}

// checkLegs compares each leg's accounts with the chart's for its code.
func (w *world) checkLegs(legs []ledger.Transfer) {
	w.t.Helper()
	code := map[ledger.ID]chart.AccountCode{}
	for _, a := range w.accounts() {
		code[a.ID] = chart.AccountCode(a.Code)
	}
	for _, l := range legs {
		if !l.PendingID.IsZero() {
			continue // the accounts are the pending transfer's
		}
		if err := chart.TransferCode(l.Code).Check(code[l.DebitAccountID], code[l.CreditAccountID]); err != nil {
			w.t.Fatal(err)
		}
	}
}

// picture is all there is, for comparing: the accounts and the orders.
func (w *world) picture() string {
	w.t.Helper()
	orders := make([]order.Order, len(w.orders))
	for i, e := range w.orders {
		orders[i] = e.now
	}
	return dump(w.accounts(), orders)
}

// accounts are all accounts of the books.
func (w *world) accounts() []ledger.Account {
	w.t.Helper()
	all, err := w.books.QueryAccounts(context.Background(), ledger.QueryFilter{Limit: ledger.BatchMax})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// audit checks what holds at every moment, whatever happened: the books among
// themselves, each order, and the books against the orders.
func (w *world) audit() {
	w.t.Helper()
	accounts := w.accounts()
	for problem := range audit(accounts, w.orders) {
		w.t.Errorf("%s%s", w.place, problem)
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// audit names what does not hold.
func audit(accounts []ledger.Account, orders []*entry) map[string]bool {
	problems := map[string]bool{}
	bad := func(format string, args ...any) { problems[fmt.Sprintf(format, args...)] = true }

	sums := map[uint32]*[4]uint64{}
	ofCode := map[[2]uint32]int64{}  // balance by ledger and code
	pending := map[[2]uint32]int64{} // what is pending, by ledger and code
	byID := map[ledger.ID]ledger.Account{}
	for _, a := range accounts {
		byID[a.ID] = a
		if sums[a.Ledger] == nil {
			sums[a.Ledger] = &[4]uint64{}
		}
		for i, v := range []ledger.Amount{a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending} {
			sums[a.Ledger][i] += v.Lo
		}
		k := [2]uint32{a.Ledger, uint32(a.Code)}
		ofCode[k] += credit(a)
		pending[k] += int64(a.DebitsPending.Lo + a.CreditsPending.Lo)
		if a.Flags.Has(ledger.AccountDebitsMustNotExceedCredits) && a.DebitsPosted.Lo+a.DebitsPending.Lo > a.CreditsPosted.Lo {
			bad("account %s of %d is beyond its limit: %+v", chart.AccountCode(a.Code), a.Ledger, a)
		}
	}
	for l, s := range sums {
		if s[0] != s[1] || s[2] != s[3] {
			bad("ledger %d: debits %d and credits %d; pending %d and %d", l, s[0], s[1], s[2], s[3])
		}
	}

	want := map[[2]uint32]int64{}        // what the orders say of ofCode
	wantPending := map[[2]uint32]int64{} // and of pending
	maturing := map[ledger.ID]int64{}    // what they say of each seller's 2200
	sellers := map[ledger.ID]int64{}     // and of what the seller has or owes beside that
	kept := map[uint32]int64{}           // at most so much of it is kept for open chargebacks and disputes, by ledger
	for _, e := range orders {
		o := &e.now
		for problem := range auditOrder(o) {
			bad("%s: %s", e.name, problem)
		}
		escrow := byID[o.ID]
		frozen := int64(0)
		if o.State.Frozen() {
			frozen = o.Held
		}
		if credit(escrow) != o.Held || int64(escrow.DebitsPending.Lo) != frozen {
			bad("%s holds %d, frozen %d; account 2100 has %d, pending %d", e.name, o.Held, frozen, credit(escrow), escrow.DebitsPending.Lo)
		}
		if in := int64(escrow.CreditsPosted.Lo); in != o.Held+o.Released+o.Refunded {
			bad("%s: %d came into escrow; held %d + released %d + refunded %d", e.name, in, o.Held, o.Released, o.Refunded)
		}
		if o.State.Open() {
			want[[2]uint32{o.Ledger, uint32(chart.Escrow)}] += o.Held
		}
		wantPending[[2]uint32{o.Ledger, uint32(chart.Escrow)}] += frozen
		wantPending[[2]uint32{o.Ledger, uint32(chart.DisputeSuspense)}] += frozen
		if o.State == order.Authorised {
			wantPending[[2]uint32{o.Ledger, uint32(chart.PayinClearing)}] += o.Charge().Pays()
			wantPending[[2]uint32{o.Ledger, uint32(chart.Buyer)}] += o.Charge().Pays()
		}
		var after order.Aftermath
		if o.Aftermath != nil {
			after = *o.Aftermath
		}
		open := int64(0) // what the buyer's bank has taken and not decided on
		if cb := after.Chargeback; cb != nil {
			open = cb.Amount
			if !cb.Kept.IsZero() {
				kept[o.Ledger] += cb.Amount
			}
		}
		if o.Claim.Released() && !o.Claim.Kept.IsZero() {
			kept[o.Ledger] += o.Claim.Stake
		}
		in, from := o.Held+o.Released+o.Refunded, chart.PayinClearing
		took := int64(0)
		for _, cb := range e.taken {
			took += cb.Amount
			if fx := cb.FX; fx != nil {
				want[[2]uint32{o.Ledger, uint32(chart.FXPosition)}] += cb.Amount
				want[[2]uint32{fx.Ledger, uint32(chart.FXPosition)}] -= fx.Amount
				want[[2]uint32{fx.Ledger, uint32(chart.PayinClearing)}] += fx.Amount
			} else {
				want[[2]uint32{o.Ledger, uint32(chart.PayinClearing)}] += cb.Amount
			}
		}
		if took != open+after.Lost {
			bad("%s: the bank took %d and kept it; open %d + lost %d", e.name, took, open, after.Lost)
		}
		if fx := e.paidIn(); fx != nil {
			paid, _ := fx.Ledger(o.Marketplace)
			want[[2]uint32{paid, uint32(chart.PayinClearing)}] -= fx.Amount
			want[[2]uint32{paid, uint32(chart.FXPosition)}] += fx.Amount - fx.Spread
			want[[2]uint32{paid, uint32(chart.FXSpread)}] += fx.Spread
			from = chart.FXPosition
		}
		want[[2]uint32{o.Ledger, uint32(from)}] -= in
		want[[2]uint32{o.Ledger, uint32(chart.Buyer)}] += o.Refunded - (after.Lost - after.Absorbed)
		want[[2]uint32{o.Ledger, uint32(chart.ChargebackReceivable)}] -= open
		want[[2]uint32{o.Ledger, uint32(chart.ChargebackLoss)}] -= after.Absorbed
		want[[2]uint32{o.Ledger, uint32(chart.SellerCollection)}] += 0
		want[[2]uint32{o.Ledger, uint32(chart.FeeRevenue)}] += o.FeeCharged
		want[[2]uint32{o.Ledger, uint32(chart.TaxPayable)}] += o.TaxCharged
		maturing[o.SellerAccount] += o.Maturing
		sellers[o.SellerAccount] += o.Released - o.FeeCharged - o.TaxCharged - o.Maturing
	}
	for k := range want {
		if ofCode[k] != want[k] {
			bad("ledger %d, %s: the books have %d, the orders %d", k[0], chart.AccountCode(k[1]), ofCode[k], want[k])
		}
	}
	for k := range pending {
		if of := chart.AccountCode(k[1]); of == chart.SellerAvailable || of == chart.SellerReserve {
			// How much of it there was to keep is for the ledger to say.
			if pending[k] > kept[k[0]] || pending[k] != pending[[2]uint32{k[0], uint32(chart.SellerAvailable)}] {
				bad("ledger %d, %s: %d is kept for chargebacks and disputes of %d", k[0], of, pending[k], kept[k[0]])
			}
			continue
		}
		if pending[k] != wantPending[k] {
			bad("ledger %d, %s: %d is pending in the books, %d by the orders", k[0], chart.AccountCode(k[1]), pending[k], wantPending[k])
		}
	}
	for id, v := range maturing {
		if credit(byID[id]) != v {
			bad("a seller's 2200 has %d, its orders wait for %d to mature", credit(byID[id]), v)
		}
		has := int64(0)
		for _, code := range []chart.AccountCode{chart.SellerAvailable, chart.SellerReserve, chart.SellerReceivable} {
			has += credit(byID[order.AccountID(id, code)])
		}
		if has != sellers[id] {
			bad("a seller has %d available, in reserve and less what is owed; the orders say %d", has, sellers[id])
		}
	}
	return problems
}

// paidIn is how the order was paid in another currency; nil for not so.
func (e *entry) paidIn() *order.FX {
	for i := range e.done {
		if fx := &e.done[i].FX; e.done[i].Event == order.Pay && *fx != (order.FX{}) {
			return fx
		}
	}
	return nil
}

// credit is what stands on an account's credit side.
func credit(a ledger.Account) int64 { return int64(a.CreditsPosted.Lo) - int64(a.DebitsPosted.Lo) }

// auditOrder names what does not hold of an order by itself.
func auditOrder(o *order.Order) map[string]bool {
	problems := map[string]bool{}
	bad := func(format string, args ...any) { problems[fmt.Sprintf(format, args...)] = true }

	whole, charge := o.Held+o.Released+o.Refunded, o.Charge()
	least := slices.Min([]int64{o.Held, o.Released, o.Refunded, o.FeeCharged, o.TaxCharged, o.Maturing})
	switch {
	case least < 0:
		bad("an amount is below zero: %+v", o.Progress)
	case o.PaidAt.IsZero() != (whole == 0):
		bad("paid at %s, but held + released + refunded is %d", o.PaidAt, whole)
	case whole != 0 && whole != charge.Pays():
		bad("held %d + released %d + refunded %d is not what the order comes to: %d", o.Held, o.Released, o.Refunded, charge.Pays())
	case charge.Amount > o.Price() || o.Method == "" && !o.Repriced() && (charge.Fee > o.Fee || charge.Tax > o.Tax || charge.BuyerShare > o.BuyerShare):
		bad("it comes to %+v, more than the agreed %d, fee %d, tax %d", charge, o.Price(), o.Fee, o.Tax)
	case o.Repriced() && (o.Price() == o.Amount || o.Parts != nil || o.PaidAt.IsZero() && charge.Amount != o.Price()):
		bad("its price is %d, at first %d, and it comes to %+v", o.Price(), o.Amount, charge)
	case o.FeeCharged > charge.Fee || o.TaxCharged > charge.Tax:
		bad("fee %d and tax %d were agreed, %d and %d charged", charge.Fee, charge.Tax, o.FeeCharged, o.TaxCharged)
	case o.FeeCharged+o.TaxCharged+o.Maturing > o.Released && o.Policy.RefundFee != order.KeepFee:
		bad("fee %d + tax %d + maturing %d is more than the released %d", o.FeeCharged, o.TaxCharged, o.Maturing, o.Released)
	}
	if o.Parts != nil {
		var held, maturing int64
		for _, p := range o.Parts.List {
			held, maturing = held+p.Held, maturing+p.Maturing
			if (p.Deadline() == order.NoDeadline) != p.DeadlineAt.IsZero() || (p.Maturing > 0) != (p.Deadline() == order.MaturePartAt) {
				bad("part %s is %s with %d held and %d maturing until %s, %q", p.Name, p.State, p.Held, p.Maturing, p.DeadlineAt, p.Deadline())
			}
		}
		var first time.Time
		for _, p := range o.Parts.List {
			if p.Deadline() != order.NoDeadline && (first.IsZero() || p.DeadlineAt.Before(first)) {
				first = p.DeadlineAt
			}
		}
		if _, ok := order.Lookup(o.State, order.Extend); ok && !o.DeadlineAt.Equal(first) {
			bad("its deadline is %s %s, the first of its parts' %s", o.Deadline, o.DeadlineAt, first)
		}
		if held != o.Held || maturing != o.Maturing {
			bad("its parts hold %d and have %d maturing, the order %d and %d", held, maturing, o.Held, o.Maturing)
		}
	}
	frozen, charged := o.State.Frozen(), o.State == order.ChargedBack || o.State == order.Represented
	switch {
	case charged && (o.Aftermath == nil || o.Aftermath.Chargeback == nil),
		!charged && (frozen != (o.Claim != nil) || o.Aftermath != nil && o.Aftermath.Chargeback != nil),
		o.Freeze.IsZero() == (frozen && o.Held > 0 || o.State == order.Authorised),
		o.Claim != nil && o.Claim.Released() != (o.Held == 0):
		bad("state %s, claim %v, waits on the pending transfer %v", o.State, o.Claim, o.Freeze)
	}
	if a := o.Aftermath; a != nil && a.Extension != nil {
		if _, ok := order.Lookup(o.State, order.Extend); !ok {
			bad("state %s, and yet %+v is asked for", o.State, a.Extension)
		}
	}
	maps.Copy(problems, explained(o))
	return problems
}

// explained names what an order does not say about itself: until when it
// waits, for whom, what happens otherwise, and why its money is held.
func explained(o *order.Order) map[string]bool {
	problems := map[string]bool{}
	bad := func(format string, args ...any) { problems[fmt.Sprintf(format, args...)] = true }
	s, actors, words := o.State, order.NextActors(o.State), order.Explain(o)

	if words.Why == "" || words.Until == "" || words.Next == "" || words.Otherwise == "" {
		bad("state %s has no full explanation: add it to Explain in explain.go, which says %+v", s, words)
	}
	released := s == order.ChargedBack || s == order.Represented || o.Claim.Released() // nothing of it need be held
	if because := order.HeldBecause(s) != ""; because != (o.Held > 0) && !(because && released) {
		bad("state %s holds %d because %q: HeldBecause in explain.go has to say why money is held, and only then", s, o.Held, order.HeldBecause(s))
	}
	if !s.Open() {
		if o.Deadline != order.NoDeadline || !o.DeadlineAt.IsZero() || len(actors) > 0 || o.Held != 0 {
			bad("state %s is final, but has deadline %q, next actors %v and %d held: give it a row in Rules (table.go), or none of these", s, o.Deadline, actors, o.Held)
		}
		return problems
	}
	if !slices.Contains(order.Deadlines, o.Deadline) || o.DeadlineAt.IsZero() {
		bad("state %s is open and its deadline is %q at %s: start one in next (effects.go) and list it in Deadlines (order.go)", s, o.Deadline, o.DeadlineAt)
	}
	if due, ok := order.Due[o.Deadline]; !ok {
		bad("nobody knows what happens when %s passes: add it to Due (table.go)", o.Deadline)
	} else if row, ok := order.Lookup(s, due); due != "" && (!ok || !slices.Contains(row.Who, order.System)) {
		bad("when %s passes %s is due, which an order that is %s does not admit from the system: add the row to Rules (table.go)", o.Deadline, due, s)
	}
	if len(actors) == 0 {
		bad("state %s is open and nobody has to act: add it to NextActors in explain.go", s)
	}
	for _, who := range actors {
		if !slices.ContainsFunc(o.Allowed(), func(a order.Allowed) bool { return slices.Contains(a.By, who) }) {
			bad("state %s waits for the %s, who can do nothing: mend NextActors (explain.go) or Rules (table.go)", s, who)
		}
	}
	return problems
}

// replay plays an order's events once more, from nothing, and compares every
// byte: an order is what happened to it.
func (w *world) replay(e *entry) {
	w.t.Helper()
	o := e.born
	var timeline []order.Happened
	for _, c := range e.done {
		ch, err := order.Plan(o, c)
		if err != nil {
			w.t.Fatalf("%s, played once more: %v", e.name, err)
		}
		o = ch.After
		timeline = append(timeline, order.Happened{Event: c.Event, Carrier: c.Carrier, Tracking: c.Tracking, Parts: c.Parts, Scan: c.Scan, After: o.Progress})
	}
	if got, want := dump(o), dump(e.now); got != want {
		w.t.Fatalf("%s, played once more, is\n%s\nand not\n%s", e.name, got, want)
	}
	w.checkShipments(e, order.Shipments(timeline))
}

// checkShipments: each shipment that was told of is there, with no more money
// than the order has; a replacement and a return have none. The one that brings
// the goods has arrived if the order is delivered, and not if it is shipped.
func (w *world) checkShipments(e *entry, list []order.Shipment) {
	w.t.Helper()
	told, there := map[order.ShipmentKind]int{}, map[order.ShipmentKind]int{}
	for _, c := range e.done {
		switch c.Event {
		case order.Ship, order.ShipPart:
			told[order.ShipmentOfGoods]++
		case order.ShipReplacement:
			told[order.ShipmentOfReplacement]++
		case order.ShipBack:
			told[order.ShipmentOfReturn]++
		}
	}
	var with int64
	var last *order.Shipment
	for i := range list {
		s := &list[i]
		with += s.Amount
		switch s.Kind {
		case order.ShipmentOfReturn:
			if !s.ShippedAt.IsZero() {
				there[s.Kind]++
			}
		case order.ShipmentOfReplacement:
			there[s.Kind]++
			last = s
		default:
			there[order.ShipmentOfGoods]++
			last = s
		}
		if child := s.Kind == order.ShipmentOfReplacement || s.Kind == order.ShipmentOfReturn; child != (s.Amount == 0) || s.Number != i+1 || s.ChildOf > i || !child && s.ChildOf != 0 {
			w.t.Fatalf("%s: shipment %+v", e.name, *s)
		}
	}
	if o := &e.now; with > o.Charge().Pays() || !reflect.DeepEqual(told, there) ||
		o.Parts == nil && (o.State == order.Shipped || o.State == order.Delivered) && last.DeliveredAt.IsZero() != (o.State == order.Shipped) {
		w.t.Fatalf("%s is %s: shipments %+v", e.name, o.State, list)
	}
}

// dump writes values with all that they point to, so that two dumps are equal
// if and only if the values are, wherever in memory they lie.
func dump(values ...any) string {
	var b strings.Builder
	for _, v := range values {
		dumpValue(&b, reflect.ValueOf(v))
		b.WriteByte('\n')
	}
	return b.String()
}

func dumpValue(b *strings.Builder, v reflect.Value) {
	switch {
	case !v.IsValid():
		b.WriteString("nil")
	case v.Type() == reflect.TypeFor[time.Time]():
		b.WriteString(v.Interface().(time.Time).Format(time.RFC3339Nano))
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		b.WriteByte('&')
		dumpValue(b, v.Elem())
	case v.Kind() == reflect.Struct:
		b.WriteByte('{')
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				continue // what is left out is nothing
			}
			b.WriteString(v.Type().Field(i).Name)
			b.WriteByte(':')
			dumpValue(b, v.Field(i))
			b.WriteByte(' ')
		}
		b.WriteByte('}')
	case v.Kind() == reflect.Slice:
		b.WriteByte('[')
		for i := range v.Len() {
			dumpValue(b, v.Index(i))
			b.WriteByte(' ')
		}
		b.WriteByte(']')
	case v.CanInt():
		b.WriteString(strconv.FormatInt(v.Int(), 10))
	case v.CanUint():
		b.WriteString(strconv.FormatUint(v.Uint(), 10))
	case v.Kind() == reflect.String:
		b.WriteString(strconv.Quote(v.String()))
	default: // fmt writes maps in the order of their keys
		fmt.Fprintf(b, "%#v", v)
	}
}
