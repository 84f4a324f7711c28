package order

import (
	"fmt"
	"time"
)

// Buyer and seller can move a deadline on, as often and as far as the policy says:
// each alone, or both together. Together, the one asks for a moment and nothing
// changes yet; it counts once the other has asked for the same. Another moment
// takes its place, and what was asked falls with the deadline that it is about.

// Extension is a later deadline that one party has asked for.
type Extension struct {
	By    Role      `json:"by"`
	Until time.Time `json:"until"`
	Of    time.Time `json:"of"` // the deadline that it is to take the place of
}

// asked is the extension that somebody has asked for of a deadline, nil for none.
func (o *Order) asked(of time.Time) *Extension {
	if a := o.Aftermath; a != nil && a.Extension != nil && a.Extension.Of.Equal(of) {
		return a.Extension
	}
	return nil
}

// Asked is the later deadline that one party has asked for and the other has not
// agreed to; nil for none.
func (o *Order) Asked() *Extension {
	if _, ok := Lookup(o.State, Extend); !ok {
		return nil
	}
	of := o.DeadlineAt
	if o.Deadline == MaturePartAt && o.Parts != nil { // as in moveDeadline
		of = time.Time{}
		for i := range o.Parts.List {
			if t := &o.Parts.List[i]; t.Held > 0 && (of.IsZero() || t.DeadlineAt.Before(of)) {
				of = t.DeadlineAt
			}
		}
	}
	return o.asked(of)
}

func (p *planner) moveDeadline([]State) error {
	o, c, pol := p.o, p.c, p.o.Policy
	if o.Deadline == MaturePartAt { // which is for nobody to move: it is the next one after it
		p.clockOf(func(t *Part) bool { return t.Held > 0 })
	}
	used := &o.SellerExtended
	if c.By == Buyer {
		used = &o.BuyerExtended
	}
	if *used >= pol.ExtendTimes {
		return p.refuse(RuleExtension, "policy %s version %d lets the %s extend %d times", pol.Name, pol.Version, c.By, pol.ExtendTimes)
	}
	latest := o.DeadlineAt.Add(pol.ExtendBy.Duration())
	until := c.Until
	if until.IsZero() {
		until = latest
	}
	if !until.After(o.DeadlineAt) || until.After(latest) {
		return p.refuse(RuleExtension, "the new %s must be after %s and at most %s", o.Deadline, stamp(o.DeadlineAt), stamp(latest))
	}
	if pol.ExtendTogether {
		switch asked := o.asked(o.DeadlineAt); {
		case asked == nil || !asked.Until.Equal(until):
			p.aftermath().Extension = &Extension{By: c.By, Until: until, Of: o.DeadlineAt}
			if o.Parts != nil { // the order waits for what it waited for
				p.goByParts()
			}
			return nil
		case asked.By == c.By:
			return p.refuse(RuleExtension, "the %s has asked for that already: the other party agrees to it", c.By)
		}
		p.dropExtension()
		o.BuyerExtended++
		o.SellerExtended++
	} else {
		*used++
	}
	before := o.DeadlineAt
	o.DeadlineAt = until
	p.moveParts(before)
	return nil
}

// dropExtension forgets what was asked for.
func (p *planner) dropExtension() {
	o := p.o
	if o.Aftermath == nil || o.Aftermath.Extension == nil {
		return
	}
	rest := *o.Aftermath
	rest.Extension = nil
	if o.Aftermath = &rest; rest == (Aftermath{}) {
		o.Aftermath = nil
	}
}

// explainExtension says what was asked for.
func explainExtension(e *Explanation, o *Order) {
	asked := o.Asked()
	if asked == nil {
		return
	}
	other := Buyer
	if asked.By == Buyer {
		other = Seller
	}
	e.Next += fmt.Sprintf(" The %s asks for until %s in place of %s: the %s agrees by extending to the same moment.", asked.By, stamp(asked.Until), stamp(asked.Of), other)
}
