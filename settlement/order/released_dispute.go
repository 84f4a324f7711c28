package order

import (
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// What was released can be disputed for a while too, as the policy says. It goes
// the way of every dispute; only the money is elsewhere:
//
//	opened     what is claimed is at stake, and nothing else: the rest is the
//	           seller's already. Of what the seller has available as much of it is
//	           kept as there is, by a pending transfer to the reserve; what matures
//	           waits with the order, whose clock stands still
//	withdrawn  what was kept is free, and the order goes on where it stood
//	ended      the same, and what the buyer gets is refunded as after any release:
//	           what the seller has not is the seller's debt
//
// It is the last one: what was settled or ruled on once is not disputed anew. And
// it does not end with other goods: nothing would wait for their delivery.

// Released reports whether the claim is about what was released already.
func (c *Claim) Released() bool { return c != nil && c.Stake > 0 }

// AtStake is what the open dispute is about, and what its offers and its ruling
// split: all that is held or, after the release, what was claimed. Minor units.
func (o *Order) AtStake() int64 {
	if o.Claim.Released() {
		return o.Claim.Stake
	}
	return o.Held
}

// disputable reports whether what was released can be disputed, if it is in time.
func (o *Order) disputable() bool {
	return o.Policy != nil && o.Policy.DisputeReleasedWithin > 0 && o.refundable() > 0 && !(o.Aftermath != nil && o.Aftermath.Settled)
}

// disputableUntil is until when what was released can be disputed.
func (o *Order) disputableUntil() time.Time {
	return o.ReleasedAt().Add(o.Policy.DisputeReleasedWithin.Duration())
}

// checkReleased refuses a dispute of what was released that comes too late, or
// once more.
func (p *planner) checkReleased() error {
	o, pol := p.o, p.o.Policy
	until := p.before().disputableUntil()
	switch {
	case pol.DisputeReleasedWithin == 0:
		return p.refuse(RulePolicy, "policy %s version %d has no disputes after the release", pol.Name, pol.Version)
	case o.Aftermath != nil && o.Aftermath.Settled:
		return p.refuse(RuleAgain, "the order's dispute has been settled or ruled on: it is not disputed once more after the release")
	case o.At.After(until):
		return p.refuse(RuleTooLate, "policy %s version %d lets what was released be disputed until %s", pol.Name, pol.Version, stamp(until))
	}
	return nil
}

// toKeep is what of the seller's part of amount has matured: the rest waits with
// the order. Minor units.
func (o *Order) toKeep(amount int64) int64 {
	share, _, _ := o.unreleaseParts(amount)
	return share - min(share, o.Maturing)
}

// keepClaimed keeps the seller's part of what is claimed, as far as it goes.
func (p *planner) keepClaimed(c *Claim) {
	p.aftermath() // notes when the money was released
	if share := p.o.toKeep(c.Stake); share > 0 {
		p.leg(chart.DisputeReserved, p.sellers(chart.SellerAvailable), p.sellers(chart.SellerReserve), share)
		c.Kept = p.lastLeg(ledger.TransferPending | ledger.TransferBalancingDebit)
	}
}

// keptForClaim is what of the seller's is kept for the open dispute at most.
func (o *Order) keptForClaim() int64 {
	if o.Claim.Released() && !o.Claim.Kept.IsZero() {
		return o.toKeep(o.Claim.Stake)
	}
	return 0
}

// stopped is where an order stood when its clock was stopped, and what was left.
type stopped struct {
	since                                   time.Time
	from                                    State
	deadline                                Deadline
	left                                    time.Duration
	buyerExtended, sellerExtended, holidays int16
}

func (c *Claim) stopped() stopped {
	return stopped{c.OpenedAt, c.From, c.Deadline, time.Duration(c.ConfirmLeft) * time.Microsecond, c.BuyerExtended, c.SellerExtended, c.Holidays}
}

func (cb *Chargeback) stopped() stopped {
	return stopped{cb.OpenedAt, cb.From, cb.Deadline, time.Duration(cb.Left) * time.Microsecond, cb.BuyerExtended, cb.SellerExtended, cb.Holidays}
}

// goOn has the order go on where it stood, its clock too, and those of its parts.
func (p *planner) goOn(s stopped) {
	o := p.o
	o.State, o.Deadline, o.DeadlineAt = s.from, s.deadline, time.Time{}
	if s.deadline != NoDeadline {
		o.DeadlineAt = o.At.Add(s.left)
	}
	o.BuyerExtended, o.SellerExtended, o.Holidays = s.buyerExtended, s.sellerExtended, s.holidays
	switch {
	case s.from.Frozen(): // a dispute has stopped the parts' clocks already
	case o.Held > 0:
		p.thawParts(o.At.Sub(s.since))
	case s.from == Released || s.from == Ruled:
		p.thaw(o.At.Sub(s.since))
		p.restByParts()
	}
}

// divideReleased ends a dispute of what was released: toBuyer of what is at stake
// goes back, of the seller's, and the order goes on where it stood.
func (p *planner) divideReleased(toBuyer int64) {
	p.goOn(p.closeDispute().stopped())
	p.aftermath().Settled = true
	if toBuyer > 0 {
		p.refundFromSeller(toBuyer)
	}
}
