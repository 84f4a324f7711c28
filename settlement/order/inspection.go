package order

import "fmt"

// Buyer and seller can agree, with the order, how long the buyer has from the
// delivery to inspect the goods and to confirm them, within what the order's
// policy allows. It is the order's own then, in place of the policy's. Virtual
// goods are there at once and have the policy's time, see confirmBy.

// confirmAfterDelivery is the order's time to confirm from the delivery.
func (o *Order) confirmAfterDelivery() Seconds {
	if o.ConfirmWithin > 0 {
		return o.ConfirmWithin
	}
	return o.Policy.ConfirmAfterDelivery
}

// checkInspection refuses a time to confirm that the policy does not let buyer and
// seller agree on.
func (o *Order) checkInspection() error {
	pol, within := o.Policy, o.ConfirmWithin
	no := func(format string, args ...any) error {
		return refuse(o, &Command{Event: Agree}, RulePolicy, format, args...)
	}
	switch {
	case within == 0:
		return nil
	case pol.ConfirmAgreedMax == 0:
		return no("policy %s version %d has the same time to confirm for every order: none can be agreed", pol.Name, pol.Version)
	case o.Virtual:
		return no("policy %s version %d has a time to confirm for virtual goods: none can be agreed", pol.Name, pol.Version)
	case within < pol.ConfirmAgreedMin || within > pol.ConfirmAgreedMax:
		return no("policy %s version %d lets from %s to %s be agreed to confirm from the delivery, not %s",
			pol.Name, pol.Version, pol.ConfirmAgreedMin, pol.ConfirmAgreedMax, within)
	}
	return nil
}

// asAgreed marks a time to confirm that is the order's own.
func asAgreed(o *Order) string {
	if o.ConfirmWithin > 0 {
		return ", as agreed"
	}
	return ""
}

// explainInspection says what was agreed, as long as it lies ahead or runs.
func explainInspection(e *Explanation, o *Order) {
	switch o.State {
	case Agreed, Authorised, Held, PartShipped, Shipped, Delivered:
		if o.ConfirmWithin > 0 {
			e.Why += fmt.Sprintf(" The buyer has %s from the delivery to confirm, as agreed.", o.ConfirmWithin)
		}
	}
}

// validateInspection says what is wrong with the bounds of an agreed time. As long
// as nobody reports the delivery, confirm_after_shipment runs: were that shorter,
// a delivery that goes unreported would cut short what was agreed.
func (p *Policy) validateInspection(bad func(field, format string, args ...any)) {
	switch {
	case (p.ConfirmAgreedMin > 0) != (p.ConfirmAgreedMax > 0):
		bad("confirm_agreed_min", "confirm_agreed_min and confirm_agreed_max are both set or both 0")
	case p.ConfirmAgreedMin > p.ConfirmAgreedMax:
		bad("confirm_agreed_min", "must not be longer than confirm_agreed_max")
	case p.ConfirmAgreedMax > p.ConfirmAfterShipment:
		bad("confirm_agreed_max", "must not be longer than confirm_after_shipment: a delivery that nobody reports would cut it short")
	}
}
