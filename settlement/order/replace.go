package order

import "slices"

// A dispute can end with other goods in place of the first: agreed by an offer,
// or ruled. All that is held stays frozen until the seller ships them; then the
// order is shipped as it was at first, and the buyer may dispute it once more. A
// replacement that is not shipped in time grants the claim. Of an order in parts it
// is those that were shipped and that money is held for, as for a return; the
// clocks of the others run on.

// checkReplacement refuses a replacement that the policy has no time for, or that
// is not all there is: the seller is to have what is held once it is confirmed.
func (p *planner) checkReplacement(toBuyer int64) error {
	pol := p.o.Policy
	switch {
	case !p.c.Replacement:
		return nil
	case pol.ReplaceWithin == 0:
		return p.refuse(RulePolicy, "policy %s version %d has no replacements", pol.Name, pol.Version)
	case p.o.Claim.Released():
		return p.refuse(RuleOffer, "the money was released already, and nothing would wait for other goods: offer a part of it, or the goods' return")
	case p.o.Parts != nil && !slices.ContainsFunc(p.o.Parts.List, func(t Part) bool { return t.Deadline() == ConfirmPartBy }):
		return p.refuse(RulePart, "nothing was shipped of the parts that money is held for: there is nothing to replace")
	case p.c.Return:
		return p.refuse(RuleOffer, "the goods' return and their replacement are two ends of a dispute: choose one")
	case toBuyer != 0:
		return p.refuse(RuleAmount, "nothing goes back to the buyer for whom the goods are replaced, not %d", toBuyer)
	}
	return nil
}

// shipReplacement ends the dispute: the order is shipped once more.
func (p *planner) shipReplacement(to []State) error {
	o := p.o
	claim := p.closeDispute()
	o.Replaced = o.Disputes
	if o.Parts == nil {
		p.next(to[0])
		return nil
	}
	p.thaw(o.At.Sub(claim.OpenedAt))
	list := p.parts()
	for i := range list {
		if list[i].Deadline() == ConfirmPartBy {
			p.startPart(&list[i], Shipped)
		}
	}
	p.goByParts()
	return nil
}

// checkAgain refuses a dispute beyond those that the policy allows, or beyond the
// one that a replacement can be disputed by.
func (p *planner) checkAgain() error {
	o, pol := p.o, p.o.Policy
	switch {
	case o.Replaced > 0 && o.Disputes > o.Replaced:
		return p.refuse(RuleAgain, "the buyer has disputed the replacement already")
	case o.Replaced == 0 && pol.Disputes > 0 && o.Disputes >= pol.Disputes:
		return p.refuse(RuleAgain, "policy %s version %d lets the buyer dispute an order %d times", pol.Name, pol.Version, pol.Disputes)
	}
	return nil
}
