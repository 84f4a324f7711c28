package order

import (
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// What was released is the seller's, and can still go back. What has not matured
// goes back from 2200, where nobody could have taken it yet. For the rest the
// seller's accounts pay: what is available, then the reserve, and what neither
// has becomes the seller's debt.
//
// How much each of them has is not known here: payouts and other orders move
// them all the time. So the ledger decides, within one chain. The buyer is paid
// from an account of the whole ledger (1320), which is then short of the amount;
// each of the seller's accounts in turn fills it up by a balancing transfer, at
// most by what it has and at most by what is still missing; the debt fills in the
// rest. When the chain ends 1320 is empty again. A debt that the seller has from
// elsewhere is left alone, and an account that has nothing to pay with, or
// nothing to pay, shows as a transfer of zero.

// Aftermath is what happened to an order after its money was released, its
// chargebacks, and before all that a change of its price, or a later deadline that
// was asked for. Orders to which nothing
// of it did have none. Amounts are minor units.
type Aftermath struct {
	// Price is what the goods cost since it was agreed anew; 0 where it was not, or
	// is again what was agreed at first. See Order.Price.
	Price int64 `json:"price,omitempty"`
	// Extension is a later deadline that one party has asked for and the other has
	// not agreed to, nil for none; never changed in place.
	Extension *Extension `json:"extension,omitempty"`
	// ReleasedAt is when the money, or the last of it, was released; zero if it was
	// not when this was noted, see Order.ReleasedAt.
	ReleasedAt time.Time `json:"released_at,omitzero"`
	// Reserved is what was kept in reserve of the seller's part and has not been
	// freed: of parts that matured one after the other, of each so far. The reserve
	// is the seller's as a whole: refunds, of other orders too, may have taken some
	// of it since.
	Reserved int64 `json:"reserved,omitempty"`

	Chargeback *Chargeback `json:"chargeback,omitempty"` // the open one, never changed in place
	Won        bool        `json:"won,omitempty"`        // one was won
	Second     bool        `json:"second,omitempty"`     // and a second one came
	// Settled: a dispute was settled or ruled on, and what was released then, or
	// stayed so, is not disputed once more.
	Settled bool `json:"settled,omitempty"`

	// Lost is what the buyer's bank took and kept; Absorbed is what of it the
	// marketplace paid: that is still among what was released to the seller, and
	// cannot go back to the buyer once more.
	Lost     int64 `json:"lost,omitempty"`
	Absorbed int64 `json:"absorbed,omitempty"`
}

// aftermath is that of the order afterwards, for changing: the order before
// keeps its own.
func (p *planner) aftermath() *Aftermath {
	var a Aftermath
	if p.o.Aftermath != nil {
		a = *p.o.Aftermath
	}
	a.ReleasedAt = p.before().ReleasedAt()
	p.o.Aftermath = &a
	return &a
}

// ReleasedAt is when the order's money was released, or the last of it; zero if
// it was not, or something is still held. Parts have it noted. Of other orders,
// before anything has happened since, that is MatureAfter before it matures, to
// the microsecond.
func (o *Order) ReleasedAt() time.Time {
	if at := o.Parts.releasedAt(); !at.IsZero() {
		if o.Held > 0 {
			return time.Time{}
		}
		return at
	}
	if a := o.Aftermath; a != nil && !a.ReleasedAt.IsZero() {
		return a.ReleasedAt
	}
	switch o.State {
	case Released, Ruled:
		return o.DeadlineAt.Add(-o.Policy.MatureAfter.Duration())
	case Closed:
		return o.At.Add(-o.Policy.MatureAfter.Duration())
	}
	return time.Time{}
}

// refundable is what of the released money has not gone back to the buyer.
func (o *Order) refundable() int64 {
	if o.Aftermath != nil {
		return o.Released - o.Aftermath.Absorbed
	}
	return o.Released
}

// refundableUntil is until when what was released can be refunded.
func (o *Order) refundableUntil() time.Time {
	return o.ReleasedAt().Add(o.Policy.RefundReleasedWithin.Duration())
}

// refundReleased gives a part of what was released back to the buyer, or all.
func (p *planner) refundReleased([]State) error {
	o, c, pol := p.o, p.c, p.o.Policy
	amount := c.Amount
	if amount == 0 {
		amount = o.refundable()
	}
	until := p.before().refundableUntil()
	switch {
	case pol.RefundReleasedWithin == 0:
		return p.refuse(RulePolicy, "policy %s version %d has no refunds after the release", pol.Name, pol.Version)
	case o.At.After(until):
		return p.refuse(RuleTooLate, "policy %s version %d lets what was released be refunded until %s", pol.Name, pol.Version, stamp(until))
	case c.Reason == "":
		return p.refuse(RuleReason, "a refund after the release needs a reason")
	case amount < 1 || amount > o.refundable():
		return p.refuse(RuleAmount, "%d of what was released has not gone back, %d cannot be refunded", o.refundable(), amount)
	}
	p.refundFromSeller(amount)
	return nil
}

// refundFromSeller gives amount of what was released back to the buyer: the
// seller's part from what has not matured, and then from what the seller has.
func (p *planner) refundFromSeller(amount int64) {
	o := p.o
	p.aftermath()
	share, fee, tax := p.unrelease(amount)
	share -= p.fromMaturing(chart.RefundFromPending, o.BuyerAccount, share)
	p.collect(chart.RefundCollected, o.BuyerAccount, share,
		payer{chart.SellerAvailable, chart.RefundFromAvailable},
		payer{chart.SellerReserve, chart.RefundFromReserve},
		payer{chart.SellerReceivable, chart.RefundFromDebt})
	p.returnFee(chart.RefundOfFee, chart.RefundOfFeeTax, o.BuyerAccount, fee, tax)
	switch {
	case o.State == Reserved: // which is freed in its own time
	case o.Released == 0:
		p.end(Refunded)
	case o.State != Closed: // parts of which nothing is left have no clock any more
		p.restByParts()
	}
}

// keepReserve keeps the policy's share of what has just matured in reserve.
func (p *planner) keepReserve(matured int64) {
	o := p.o
	if o.Policy.ReserveFor == 0 {
		return
	}
	share := mulDiv(matured, o.Policy.reserveBps(o.SellerTier), 10_000)
	if share == 0 {
		return
	}
	p.aftermath().Reserved += share
	p.leg(chart.Reserve, p.sellers(chart.SellerAvailable), p.sellers(chart.SellerReserve), share)
}

// reserveBps is the share that is kept of what a seller of a tier has matured.
func (p *Policy) reserveBps(tier string) int64 {
	if bps, ok := p.ReserveTiers[tier]; ok {
		return bps
	}
	return p.ReserveBps
}

// releaseReserve frees the order's share of the reserve, or as much as is left
// of all of it.
func (p *planner) releaseReserve([]State) error {
	a := p.aftermath()
	p.leg(chart.ReserveReleased, p.sellers(chart.SellerReserve), p.sellers(chart.SellerAvailable), a.Reserved)
	p.ch.Legs[len(p.ch.Legs)-1].Flags |= ledger.TransferBalancingDebit
	a.Reserved = 0
	if p.o.Released == 0 {
		p.next(Refunded)
	} else {
		p.next(Closed)
	}
	return nil
}

// returnFee gives the fee and the tax on it back.
func (p *planner) returnFee(feeCode, taxCode chart.TransferCode, to ledger.ID, fee, tax int64) {
	if fee > 0 {
		p.account(p.c.Books.Fee, chart.FeeRevenue, ledger.Uint128{})
		p.leg(feeCode, p.c.Books.Fee, to, fee)
	}
	if tax > 0 {
		p.account(p.c.Books.Tax, chart.TaxPayable, ledger.Uint128{})
		p.leg(taxCode, p.c.Books.Tax, to, tax)
	}
}

// unreleaseParts is who gives amount of what was released back: the seller, and
// of the fee and the tax their parts of it where the policy returns them. The
// last refund takes what is left of each.
func (o *Order) unreleaseParts(amount int64) (share, fee, tax int64) {
	if o.Policy.RefundFee == KeepFee {
		return amount, 0, 0
	}
	parts := proRata(amount, o.Released-o.FeeCharged-o.TaxCharged, o.FeeCharged, o.TaxCharged)
	return parts[0], parts[1], parts[2]
}

// unrelease takes amount out of what was released, as refunded, and answers who
// gives it back.
func (p *planner) unrelease(amount int64) (share, fee, tax int64) {
	o := p.o
	share, fee, tax = o.unreleaseParts(amount)
	o.Released -= amount
	o.Refunded += amount
	o.FeeCharged -= fee
	o.TaxCharged -= tax
	return share, fee, tax
}

// fromMaturing pays of amount what the order itself has maturing, of its parts pro
// rata, and answers how much that is.
func (p *planner) fromMaturing(code chart.TransferCode, to ledger.ID, amount int64) int64 {
	part := min(amount, p.o.Maturing)
	p.leg(code, p.o.SellerAccount, to, part)
	p.o.Maturing -= part
	p.takeMaturing(part)
	return part
}

// payer is an account of the seller's that pays, and the code under which it does.
type payer struct {
	account chart.AccountCode
	code    chart.TransferCode
}

// collect pays amount to an account and has the seller's accounts pay for it,
// one after the other, each as far as it can. The last one must be able to pay
// whatever is missing.
func (p *planner) collect(code chart.TransferCode, to ledger.ID, amount int64, payers ...payer) {
	if amount == 0 {
		return
	}
	collection := p.c.Books.Collection
	p.account(collection, chart.SellerCollection, ledger.Uint128{})
	p.leg(code, collection, to, amount)
	for _, from := range payers {
		p.leg(from.code, p.sellers(from.account), collection, amount)
		p.ch.Legs[len(p.ch.Legs)-1].Flags |= ledger.TransferBalancingDebit | ledger.TransferBalancingCredit
	}
	// A debt has no balance that could bound it.
	p.ch.Legs[len(p.ch.Legs)-1].Flags &^= ledger.TransferBalancingDebit
}

// explainAfter adds what can still happen to, or has happened with, what was
// released.
func explainAfter(e *Explanation, o *Order, money func(int64) string) {
	if a := o.Aftermath; a != nil && a.Lost > 0 {
		e.Why += fmt.Sprintf(" %s of the payment was lost to a chargeback", money(a.Lost))
		if a.Absorbed > 0 {
			e.Why += fmt.Sprintf(", of which the marketplace paid %s", money(a.Absorbed))
		}
		e.Why += "."
	}
	if _, ok := Lookup(o.State, RefundReleased); !ok || o.Policy == nil {
		return
	}
	if a := o.Aftermath; a != nil && a.Settled {
		e.Why += " Its dispute was settled or ruled on."
	}
	if a := o.Aftermath; a != nil && *a != (Aftermath{Price: a.Price}) && o.Refunded > 0 && o.State != Closed && o.Parts == nil { // of parts it was said
		e.Why += fmt.Sprintf(" %s has gone back to the buyer.", money(o.Refunded))
	}
	if o.Policy.RefundReleasedWithin > 0 && o.refundable() > 0 {
		e.Next += fmt.Sprintf(" Until %s seller or marketplace may refund what was released.", stamp(o.refundableUntil()))
	}
	if _, ok := Lookup(o.State, Dispute); ok && o.disputable() {
		e.Next += fmt.Sprintf(" Until %s the buyer may dispute it.", stamp(o.disputableUntil()))
	}
}
