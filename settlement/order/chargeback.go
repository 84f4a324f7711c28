package order

import (
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

// Chargeback is an open one. Amounts are minor units.
type Chargeback struct {
	OpenedAt time.Time `json:"opened_at"`
	Amount   int64     `json:"amount"`
	Second   bool      `json:"second,omitempty"` // after one that was won
	// Clearing is the 1100 account that the order was paid through: the provider
	// takes it from there. Kept is the pending transfer that keeps the seller's
	// money, zero for none.
	Clearing ledger.ID `json:"clearing"`
	Kept     ledger.ID `json:"kept,omitzero"`
	// From is where the order stood, with Left of its deadline and the extensions
	// that were used.
	From           State    `json:"from"`
	Deadline       Deadline `json:"deadline,omitempty"`
	Left           int64    `json:"left_us,omitempty"` // microseconds
	BuyerExtended  int16    `json:"buyer_extended,omitempty"`
	SellerExtended int16    `json:"seller_extended,omitempty"`
	Holidays       int16    `json:"holidays,omitempty"`
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
	case c.Books.Clearing.IsZero():
		return p.refuse(RuleMethod, "it is not known through which account the order was paid: not with a balance, or in another currency")
	}
	cb := &Chargeback{OpenedAt: o.At, Amount: amount, Second: second, Clearing: c.Books.Clearing, From: o.State,
		Deadline: o.Deadline, BuyerExtended: o.BuyerExtended, SellerExtended: o.SellerExtended, Holidays: o.Holidays}
	if o.Deadline != NoDeadline {
		cb.Left = o.DeadlineAt.Sub(o.At).Microseconds()
	}
	a.Chargeback, a.Second = cb, a.Second || second
	p.account(c.Books.Receivable, chart.ChargebackReceivable, ledger.Uint128{})
	p.leg(chart.ChargebackAdvanced, c.Books.Receivable, cb.Clearing, amount)
	if o.Held > 0 && o.Freeze.IsZero() {
		p.account(c.Books.Suspense, chart.DisputeSuspense, ledger.Uint128{})
		p.leg(chart.ChargebackFreeze, o.ID, c.Books.Suspense, o.Held)
		o.Freeze = p.lastLeg(ledger.TransferPending)
	}
	if released := amount - min(amount, o.Held); released > 0 && !o.Policy.marketplaceBears() {
		share, _, _ := o.unreleaseParts(released)
		if share -= min(share, o.Maturing); share > 0 { // what matures waits with the order
			p.leg(chart.ChargebackReserved, p.sellers(chart.SellerAvailable), p.sellers(chart.SellerReserve), share)
			cb.Kept = p.lastLeg(ledger.TransferPending | ledger.TransferBalancingDebit)
		}
	}
	p.next(to[0])
	return nil
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
	p.leg(chart.ChargebackWon, cb.Clearing, p.c.Books.Receivable, cb.Amount)
	p.goOn(cb)
	return nil
}

// goOn has the order go on where it stood, its clock too, and those of its parts.
func (p *planner) goOn(cb *Chargeback) {
	o := p.o
	o.State, o.Deadline, o.DeadlineAt = cb.From, cb.Deadline, time.Time{}
	if cb.Deadline != NoDeadline {
		o.DeadlineAt = o.At.Add(time.Duration(cb.Left) * time.Microsecond)
	}
	o.BuyerExtended, o.SellerExtended, o.Holidays = cb.BuyerExtended, cb.SellerExtended, cb.Holidays
	switch {
	case cb.From.Frozen(): // a dispute has stopped the parts' clocks already
	case o.Held > 0:
		p.thawParts(o.At.Sub(cb.OpenedAt))
	case cb.From == Released || cb.From == Ruled:
		p.thaw(o.At.Sub(cb.OpenedAt))
		p.restByParts()
	}
}

func (p *planner) loseChargeback([]State) error {
	o := p.o
	a, cb := p.closeChargeback()
	claim := o.Claim
	if !o.Freeze.IsZero() {
		code := chart.ChargebackFreeze
		if cb.From.Frozen() {
			code = chart.DisputeFreeze
		}
		p.void(code, o.Freeze)
		o.Freeze, o.Claim = ledger.ID{}, nil
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
	case o.Held > 0, o.Released > 0 && !cb.From.holds(), cb.From == Reserved:
		p.goOn(cb)
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
	o, books := p.o, &p.c.Books
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
	e.Why = fmt.Sprintf("The buyer's bank has taken %s back, which the marketplace has advanced.", money(cb.Amount))
	if cb.Second {
		e.Why = fmt.Sprintf("The buyer's bank has taken %s back a second time, which the marketplace has advanced.", money(cb.Amount))
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
