package order

import (
	"cmp"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// A chargeback: the buyer's bank takes the payment back, or a part of it, from
// the provider, whether the marketplace agrees or not. So it is booked from
// every state in which there is money of the order, its owner stands still
// meanwhile, and the order's clock too:
//
//	taken   the provider's account (1100) is short of the amount, which the
//	        marketplace advances (1300); all that is held is frozen, or stays
//	        frozen by the dispute that is open; what the seller has available is
//	        kept by a pending transfer to the reserve, as far as it goes
//	won     1300 has it back, what was frozen and kept is free, and the order
//	        goes on where it stood, in its dispute too
//	lost    escrow pays 1300 as far as the order holds money, each of its parts
//	        pro rata, because the bank knows of none; else the seller, as
//	        for a refund after the release but from the reserve first, or the
//	        marketplace (5200), by the policy
//
// The ledger decides how much of the seller's money is kept, and gives just that
// back: it is the pending transfer's own amount.
//
// The provider takes the money where it came in: of an order that was paid from
// the buyer's balance the marketplace has to say by which method that was. What
// was paid in another currency is taken in that one, and goes through the FX
// position (1400) of two ledgers in one linked chain, like the payment:
//
//	order's  1300 -> 1400 what of the order is charged back
//	paid     1400 -> 1100 what the provider took for it
//
// Both are said, with the rate at which one comes exactly to the other. Won, the
// same goes back in both ledgers, to the minor unit. Lost, the rest is as ever in
// the order's currency; what the provider took stays taken, so what rate and
// spread have changed since the payment is the FX position's to bear: nobody but
// the marketplace chose to exchange.

// Chargeback is an open one. Amounts are minor units.
type Chargeback struct {
	OpenedAt time.Time `json:"opened_at"`
	Amount   int64     `json:"amount"`
	Second   bool      `json:"second,omitempty"` // after one that was won
	// Method is how the money had come in, "" of chargebacks from before that was
	// noted; Clearing is its 1100 account: the provider takes it from there. Kept is
	// the pending transfer that keeps the seller's money, zero for none.
	Method   string    `json:"method,omitempty"`
	Clearing ledger.ID `json:"clearing"`
	Kept     ledger.ID `json:"kept,omitzero"`
	// FX is what the provider took in another currency than the order's, nil for
	// in the order's own.
	FX *TakenFX `json:"fx,omitempty"`
	// From is where the order stood, with Left of its deadline and the extensions
	// that were used.
	From           State    `json:"from"`
	Deadline       Deadline `json:"deadline,omitempty"`
	Left           int64    `json:"left_us,omitempty"` // microseconds
	BuyerExtended  int16    `json:"buyer_extended,omitempty"`
	SellerExtended int16    `json:"seller_extended,omitempty"`
	Holidays       int16    `json:"holidays,omitempty"`
}

// TakenFX is what the provider took of an order that was paid in another
// currency, and all that the way back needs.
type TakenFX struct {
	Currency string `json:"currency"` // an ISO 4217 code
	Amount   int64  `json:"amount"`   // minor units of it
	Rate     string `json:"rate"`     // units of the order's currency for one unit of it
	// Ledger is that of the currency. Position is the 1400 account of the order's
	// ledger, PaidPosition the one of that.
	Ledger       uint32    `json:"ledger"`
	Position     ledger.ID `json:"position"`
	PaidPosition ledger.ID `json:"paid_position"`
}

// Payment is how an order was paid, as the write path has it on record.
type Payment struct {
	Method string // or Balance; "" where nothing is on record
	Ledger uint32 // that the money came into; 0 for unknown, as of a Balance
}

func (p *planner) openChargeback(to []State) error {
	o, c := p.o, p.c
	a := p.aftermath()
	second := c.Event == SecondChargeback
	left := o.Held + o.Released - a.Absorbed
	amount := c.Amount
	if amount == 0 {
		amount = left
	}
	switch {
	case c.Reason == "":
		return p.refuse(RuleReason, "a chargeback needs a reason")
	case second && !a.Won:
		return p.refuse(RuleChargeback, "there is no chargeback that was won: this is the first")
	case second && a.Second:
		return p.refuse(RuleChargeback, "there was a second chargeback already")
	case !second && a.Won:
		return p.refuse(RuleChargeback, "a chargeback was won: only a second one can follow")
	case amount < 1 || amount > left:
		return p.refuse(RuleAmount, "%d of the payment has not gone back, %d cannot be charged back", left, amount)
	}
	cb := &Chargeback{OpenedAt: o.At, Amount: amount, Second: second, From: o.State,
		Deadline: o.Deadline, BuyerExtended: o.BuyerExtended, SellerExtended: o.SellerExtended, Holidays: o.Holidays}
	if o.Deadline != NoDeadline {
		cb.Left = o.DeadlineAt.Sub(o.At).Microseconds()
	}
	a.Chargeback, a.Second = cb, a.Second || second
	if err := p.takeFrom(cb); err != nil {
		return err
	}
	if o.Held > 0 && o.Freeze.IsZero() {
		p.account(c.Books.Suspense, chart.DisputeSuspense, ledger.Uint128{})
		p.leg(chart.ChargebackFreeze, o.ID, c.Books.Suspense, o.Held)
		o.Freeze = p.lastLeg(ledger.TransferPending)
	}
	if released := amount - min(amount, o.Held); released > 0 && !o.Policy.marketplaceBears() {
		if share := o.toKeep(released) - o.keptForClaim(); share > 0 { // a dispute keeps the rest already
			p.leg(chart.ChargebackReserved, p.sellers(chart.SellerAvailable), p.sellers(chart.SellerReserve), share)
			cb.Kept = p.lastLeg(ledger.TransferPending | ledger.TransferBalancingDebit)
		}
	}
	p.next(to[0])
	return nil
}

// takeFrom has the provider take the chargeback's amount from where the money
// came in, and the marketplace advance it.
func (p *planner) takeFrom(cb *Chargeback) error {
	o, c, paid := p.o, p.c, p.c.Paid
	cb.Method = cmp.Or(c.Method, paid.Method)
	switch {
	case c.Method == Balance:
		return p.refuse(RuleMethod, "a bank takes nothing from the buyer's balance: say by which method the money had come in")
	case cb.Method == "":
		return p.refuse(RuleMethod, "it is not known how the order was paid: say by which method")
	case cb.Method == Balance:
		return p.refuse(RuleMethod, "the order was paid from the buyer's balance: say by which method the money that the bank takes had come in")
	case paid.Method != "" && paid.Method != Balance && cb.Method != paid.Method:
		return p.refuse(RuleMethod, "the order was paid by %s, not by %s", paid.Method, cb.Method)
	}
	p.account(c.Books.Receivable, chart.ChargebackReceivable, ledger.Uint128{})
	if c.FX != (FX{}) {
		return p.takeFX(cb)
	}
	if paid.Ledger != 0 && paid.Ledger != o.Ledger {
		return p.refuse(RuleCurrency, "the order was paid in %s: say how much of that the provider took, and at which rate it comes to what is charged back", codeOf(paid.Ledger))
	}
	if cb.Clearing = c.Books.Clearing; cb.Clearing.IsZero() {
		return p.refuse(RuleMethod, "nothing has ever come in by %s in %s", cb.Method, codeOf(o.Ledger))
	}
	p.leg(chart.ChargebackAdvanced, c.Books.Receivable, cb.Clearing, cb.Amount)
	return nil
}

// takeFX is the rest of takeFrom, where the provider takes another currency than
// the order's. It may have been withdrawn since: what came in as it can be taken
// as it.
func (p *planner) takeFX(cb *Chargeback) error {
	o, c, fx := p.o, p.c, &p.c.FX
	if field, detail := fx.Check(); field != "" {
		return p.refuse(fxRules[field], "%s: %s", field, detail)
	}
	taken, err := fx.Ledger(o.Marketplace)
	if err != nil {
		return err
	}
	switch {
	case taken == o.Ledger:
		return p.refuse(RuleCurrency, "the order itself is in %s", fx.Currency)
	case c.Paid.Ledger != 0 && c.Paid.Ledger != taken:
		return p.refuse(RuleCurrency, "the order was paid in %s, not in %s", codeOf(c.Paid.Ledger), fx.Currency)
	case fx.Spread != 0:
		return p.refuse(RuleAmount, "of a chargeback nobody keeps a spread")
	}
	_, from, _ := chart.SplitLedger(taken)
	_, to, _ := chart.SplitLedger(o.Ledger)
	if detail := Converts(from, fx.Amount, 0, fx.Rate, to, cb.Amount); detail != "" {
		return p.refuse(RuleRate, "%s", detail)
	}
	if cb.Clearing = c.PaidBooks.Clearing; cb.Clearing.IsZero() {
		return p.refuse(RuleMethod, "nothing has ever come in by %s in %s", cb.Method, fx.Currency)
	}
	cb.FX = &TakenFX{Currency: fx.Currency, Amount: fx.Amount, Rate: fx.Rate, Ledger: taken, Position: c.Books.Position, PaidPosition: c.PaidBooks.Position}
	p.account(cb.FX.Position, chart.FXPosition, ledger.Uint128{})
	p.leg(chart.ChargebackFXAdvanced, c.Books.Receivable, cb.FX.Position, cb.Amount)
	p.accountIn(taken, cb.FX.PaidPosition, chart.FXPosition, ledger.Uint128{})
	p.legIn(taken, chart.ChargebackFXTaken, cb.FX.PaidPosition, cb.Clearing, fx.Amount)
	return nil
}

// giveBack undoes takeFrom, to the minor unit.
func (p *planner) giveBack(cb *Chargeback) {
	if cb.FX == nil {
		p.leg(chart.ChargebackWon, cb.Clearing, p.c.Books.Receivable, cb.Amount)
		return
	}
	p.legIn(cb.FX.Ledger, chart.ChargebackFXBack, cb.Clearing, cb.FX.PaidPosition, cb.FX.Amount)
	p.leg(chart.ChargebackFXWon, cb.FX.Position, p.c.Books.Receivable, cb.Amount)
}

// codeOf is the currency code of a ledger.
func codeOf(books uint32) string {
	_, cur, _ := chart.SplitLedger(books)
	return cur.Code
}

// lastLeg gives the leg that was added last more flags, and answers its id.
func (p *planner) lastLeg(flags ledger.TransferFlags) ledger.ID {
	l := &p.ch.Legs[len(p.ch.Legs)-1]
	l.Flags |= flags
	return l.ID
}

// closeChargeback frees what is kept of the seller's money and answers the
// chargeback, which is none of the order's any more.
func (p *planner) closeChargeback() (*Aftermath, *Chargeback) {
	a := p.aftermath()
	cb := a.Chargeback
	a.Chargeback = nil
	if !cb.Kept.IsZero() {
		p.void(chart.ChargebackReserved, cb.Kept)
	}
	p.account(p.c.Books.Receivable, chart.ChargebackReceivable, ledger.Uint128{})
	return a, cb
}

func (p *planner) represent(to []State) error {
	if pol := p.o.Policy; pol.RepresentWithin == 0 {
		return p.refuse(RulePolicy, "policy %s version %d has no representments: a chargeback is lost as it comes", pol.Name, pol.Version)
	}
	p.next(to[0])
	return nil
}

func (p *planner) winChargeback([]State) error {
	o := p.o
	a, cb := p.closeChargeback()
	a.Won = true
	if !o.Freeze.IsZero() && !cb.From.Frozen() { // the freeze of a dispute goes on with it
		p.void(chart.ChargebackFreeze, o.Freeze)
		o.Freeze = ledger.ID{}
	}
	p.giveBack(cb)
	p.goOn(cb.stopped())
	return nil
}

func (p *planner) loseChargeback([]State) error {
	o := p.o
	a, cb := p.closeChargeback()
	var claim *Claim
	switch {
	case o.Claim != nil:
		claim = p.closeDispute()
	case !o.Freeze.IsZero():
		p.void(chart.ChargebackFreeze, o.Freeze)
		o.Freeze = ledger.ID{}
	}
	held := min(cb.Amount, o.Held)
	p.leg(chart.ChargebackTaken, o.ID, p.c.Books.Receivable, held)
	p.takeFromParts(held)
	o.Held -= held
	o.Refunded += held
	a.Lost += cb.Amount
	p.bearLoss(a, cb.Amount-held)
	switch {
	case o.Held > 0 && claim != nil:
		// The buyer went to his bank for it: the claim is settled by that.
		p.resumeConfirm(claim)
	case claim.Released() && (o.Released > 0 || claim.From == Reserved):
		p.goOn(claim.stopped())
	case o.Held > 0, o.Released > 0 && !cb.From.holds(), cb.From == Reserved:
		p.goOn(cb.stopped())
	default: // a part may have been released
		since := cb.OpenedAt
		if claim != nil {
			since = claim.OpenedAt
		}
		p.thaw(o.At.Sub(since))
		p.end(Released)
	}
	return nil
}

// bearLoss has the one whom the policy names pay for a lost chargeback of what
// was released.
func (p *planner) bearLoss(a *Aftermath, amount int64) {
	o, books := p.o, p.c.Books
	if amount == 0 {
		return
	}
	if o.Policy.marketplaceBears() {
		p.account(books.Loss, chart.ChargebackLoss, ledger.Uint128{})
		p.leg(chart.ChargebackLost, books.Loss, books.Receivable, amount)
		a.Absorbed += amount
		return
	}
	share, fee, tax := p.unrelease(amount)
	share -= p.fromMaturing(chart.ChargebackFromPending, books.Receivable, share)
	p.collect(chart.ChargebackCollected, books.Receivable, share,
		payer{chart.SellerReserve, chart.ChargebackFromReserve},
		payer{chart.SellerAvailable, chart.ChargebackFromAvailable},
		payer{chart.SellerReceivable, chart.ChargebackFromDebt})
	p.returnFee(chart.ChargebackOfFee, chart.ChargebackOfFeeTax, books.Receivable, fee, tax)
}

// holds reports whether an order in s holds money.
func (s State) holds() bool { return HeldBecause(s) != "" }

// marketplaceBears reports whether the marketplace pays for lost chargebacks of
// what was released.
func (p *Policy) marketplaceBears() bool { return p.ChargebackBorneBy == BorneByMarketplace }

// explainChargeback says where an order stands that was charged back.
func explainChargeback(e *Explanation, o *Order, money func(int64) string) {
	cb := o.Aftermath.Chargeback
	again := ""
	if cb.Second {
		again = " a second time"
	}
	e.Why = fmt.Sprintf("The buyer's bank has taken %s back%s, which the marketplace has advanced.", money(cb.Amount), again)
	if fx := cb.FX; fx != nil {
		_, cur, _ := chart.SplitLedger(fx.Ledger)
		e.Why = fmt.Sprintf("The buyer's bank has taken %s %s back%s, which is %s at the rate %s; the marketplace has advanced that.",
			cur.Code, cur.Minor(fx.Amount), again, money(cb.Amount), fx.Rate)
	}
	if o.Held > 0 {
		e.Why += fmt.Sprintf(" %s is held and frozen.", money(o.Held))
	} else {
		e.Why += fmt.Sprintf(" Nothing is held: %s was released.", money(o.Released))
	}
	bears := "the seller or the marketplace bears the rest, by the policy"
	switch {
	case o.Policy == nil: // a report does not read it
	case o.Policy.marketplaceBears():
		bears = "the marketplace bears the rest"
	default:
		bears = "the seller bears the rest"
	}
	switch o.State {
	case ChargedBack:
		e.Next = "The marketplace represents the payment, or says that the chargeback is won or lost."
		if o.Policy != nil && o.Policy.RepresentWithin == 0 {
			e.Next = "The policy gives nobody time to represent the payment."
		}
		e.Otherwise = fmt.Sprintf("The chargeback is lost: what is held pays for it, and %s.", bears)
	case Represented:
		e.Next = "The bank decides; the marketplace says how: won, all goes on where it stood; lost, what is held pays for it, and " + bears + "."
		e.Otherwise = "Nothing moves by itself: the money stays frozen and the order is reported as overdue."
	}
}
