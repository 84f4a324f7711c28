package order

// As long as nobody has paid, buyer and seller can agree on another price. What
// was agreed at first stays among the terms; the price since is noted beside them,
// and what the order comes to by it takes the place of what it came to.

// Price is what the goods cost as it was agreed last, in minor units.
func (o *Order) Price() int64 {
	if o.Repriced() {
		return o.Aftermath.Price
	}
	return o.Amount
}

// Repriced reports whether the price is another than was agreed at first.
func (o *Order) Repriced() bool { return o.Aftermath != nil && o.Aftermath.Price > 0 }

// reprice changes the price, and works fee, tax and the buyer's share out anew as
// at the agreement. A payment that says the price before is refused from then on.
func (p *planner) reprice(to []State) error {
	o, price := p.o, p.c.Amount
	switch {
	case o.Parts != nil:
		return p.refuse(RulePart, "the order is in parts, whose amounts were agreed: cancel it and agree on other parts")
	case price < 1 || price > MaxAmount:
		return p.refuse(RuleAmount, "a price is from 1 to %d, not %d", MaxAmount, price)
	case price == o.Price():
		return p.refuse(RuleAmount, "the price is %d already", price)
	}
	rule, err := o.rule("")
	if err != nil {
		return p.refuse(RulePolicy, "policy %s version %d: %v", o.Policy.Name, o.Policy.Version, err)
	}
	c := rule.On(price)
	if err := p.checkPays(c); err != nil {
		return err
	}
	if c == o.agreed() { // as it was at first: there is nothing to note
		o.Captured, o.Aftermath = Charge{}, nil // of an order that was never paid it has nothing else
	} else {
		o.Captured = c
		p.aftermath().Price = price
	}
	p.next(to[0])
	return nil
}
