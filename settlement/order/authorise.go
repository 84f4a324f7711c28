package order

import (
	"escrowd/ledger"
	"escrowd/ledger/chart"
)

func (p *planner) authorise(to []State) error {
	o, c := p.o, p.c
	if o.Policy.AuthoriseWithin == 0 {
		return p.refuse(RulePolicy, "policy %s version %d has no authorisations: payments are captured at once", o.Policy.Name, o.Policy.Version)
	}
	if err := p.checkPayment("authorised"); err != nil {
		return err
	}
	p.account(c.Books.Clearing, chart.PayinClearing, ledger.Uint128{})
	p.account(o.BuyerAccount, chart.Buyer, ledger.Uint128{})
	p.leg(chart.PaymentAuthorised, c.Books.Clearing, o.BuyerAccount, o.Charge().Pays())
	authorised := &p.ch.Legs[len(p.ch.Legs)-1]
	authorised.Flags |= ledger.TransferPending
	o.Freeze = authorised.ID
	p.next(to[0])
	return nil
}

// capture posts what was authorised, or a part of it, which voids the rest, and
// holds it. The rest cannot be had back, so a part is captured only on the
// operator's own word: nobody else's slip of an amount can cost it.
func (p *planner) capture(to []State) error {
	o, c := p.o, p.c
	amount, whole := c.Amount, o.Charge().Pays()
	if amount == 0 {
		amount = whole
	}
	switch {
	case amount < 0 || amount > whole:
		return p.refuse(RuleAmount, "%d is authorised, %d cannot be captured", whole, amount)
	case amount < whole && c.By != Operator:
		return p.refuse(RuleRole, "%d is authorised: that only %d is captured is for operator to say, not %s", whole, amount, roleWord(c.By))
	case amount < whole && o.Parts != nil:
		return p.refuse(RulePart, "the order is in parts, whose amounts were agreed: all is captured, and what a part is not to have is refunded of it")
	case amount < whole:
		if err := p.chargePart(amount); err != nil {
			return err
		}
	}
	p.resolve(chart.PaymentAuthorised, o.Freeze, amount, ledger.TransferPostPending)
	o.Freeze = ledger.ID{}
	p.account(o.ID, chart.Escrow, o.ID)
	p.leg(chart.Hold, o.BuyerAccount, o.ID, amount)
	o.Held, o.PaidAt = amount, c.At
	p.next(to[0])
	p.holdParts()
	return nil
}

// chargePart works fee and tax out anew, by the order's own policy, for a part
// of what was to be paid.
func (p *planner) chargePart(amount int64) error {
	o := p.o
	rule, err := o.rule(o.Method)
	if err != nil {
		return p.refuse(RulePolicy, "policy %s version %d: %v", o.Policy.Name, o.Policy.Version, err)
	}
	o.Captured = rule.Within(amount, o.Price())
	return nil
}

func (p *planner) voidAuthorisation(to []State) error {
	p.void(chart.PaymentAuthorised, p.o.Freeze)
	p.o.Freeze = ledger.ID{}
	p.next(to[0])
	return nil
}
