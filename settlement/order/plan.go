package order

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Refusal says why an event cannot happen. Rule names the rule that refused,
// for programs; the rest is for people. Nothing has moved.
type Refusal struct {
	Rule    string    `json:"rule"`
	Event   Event     `json:"event"`
	State   State     `json:"state"`
	Detail  string    `json:"detail"`
	Allowed []Allowed `json:"allowed"`
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s refused (%s): %s", r.Event, r.Rule, r.Detail)
}

// The rules that Plan can refuse by.
const (
	RuleState       = "state"         // the state does not admit the event
	RuleRole        = "role"          // somebody else has to cause it
	RuleOrderOfTime = "order-of-time" // it took effect before the last event
	RuleTooLate     = "too-late"      // its deadline, or the policy's time for it, had passed
	RuleNotDue      = "not-due"       // a deadline's event before the deadline
	RuleAmount      = "amount"        // a wrong amount, or parts that do not sum
	RuleMethod      = "method"        // not one of the policy's payment methods, or not how what is charged back came in
	RuleExtension   = "extension"     // more or longer than the policy allows
	RuleReason      = "reason"        // a reason is required
	RuleTooEarly    = "too-early"     // the policy lets that happen later
	RuleOffer       = "offer"         // no offer, one's own, or another than was said
	RuleEvidence    = "evidence"      // too large, too many, or of a forbidden type
	RulePart        = "part"          // no such part, or it is not where the event needs it
	RuleTracking    = "tracking"      // not a status that a carrier reports, or a shipment without the number that the policy requires
	RuleChargeback  = "chargeback"    // a second one without a won first, or one too many
	RulePolicy      = "policy"        // the order's policy has no such step, or sets other bounds
	RuleCurrency    = "currency"      // a payment or an entry cannot be in the currency, such as one that is withdrawn
	RuleRate        = "rate"          // at this rate it comes to another amount
	RuleAgain       = "again"         // as often as the policy allows already
	RuleFourEyes    = "four-eyes"     // two people have to do it: one proposes, another approves
)

// noBooks are those of a command that names none.
var noBooks = new(Books)

// Plan decides one event: the order afterwards, its deadline and the
// transfers, or a *Refusal. It changes nothing and always gives the same
// answer for the same order and command.
func Plan(o Order, c Command) (*Change, error) {
	row, ok := Lookup(o.State, c.Event)
	if !ok {
		return nil, refuse(&o, &c, RuleState, "an order that is %s does not admit %s", stateWord(o.State), c.Event)
	}
	if !slices.Contains(row.Who, c.By) {
		return nil, refuse(&o, &c, RuleRole, "%s is for %s to say, not %s", c.Event, joinRoles(row.Who), roleWord(c.By))
	}
	if c.At.Before(o.At) {
		return nil, refuse(&o, &c, RuleOrderOfTime, "it would take effect at %s, before the order's last event at %s",
			stamp(c.At), stamp(o.At))
	}
	if c.Scan.At.After(c.At) {
		return nil, refuse(&o, &c, RuleOrderOfTime, "it was noted at %s and would take effect before, at %s", stamp(c.Scan.At), stamp(c.At))
	}
	if o.needsTracking() && c.Tracking == "" && slices.Contains(shipments, c.Event) {
		return nil, refuse(&o, &c, RuleTracking, "policy %s version %d requires the carrier's tracking number", o.Policy.Name, o.Policy.Version)
	}
	if d := DueAt(c.Event); d != NoDeadline {
		if o.Deadline != d || !c.At.Equal(o.DeadlineAt) {
			return nil, refuse(&o, &c, RuleNotDue, "the order's deadline is %s at %s", o.Deadline, stamp(o.DeadlineAt))
		}
	}
	if c.Books == nil {
		c.Books = noBooks
	}
	if c.PaidBooks == nil {
		c.PaidBooks = noBooks
	}
	ch := &Change{Event: c.Event, Before: o.Progress, After: o}
	ch.After.Seq++
	ch.After.Attempt = 0
	p := &planner{o: &ch.After, c: &c, ch: ch, attempt: o.Attempt}
	along := p.takeAlong()
	if due := Due[ch.After.Deadline]; due != "" && c.At.After(ch.After.DeadlineAt) {
		return nil, refuse(&o, &c, RuleTooLate, "%s passed at %s: %s takes its place", ch.After.Deadline, stamp(ch.After.DeadlineAt), due)
	}
	ch.After.At = c.At
	if err := effects[row.Effect](p, row.To); err != nil {
		return nil, err
	}
	if !slices.Contains(row.To, ch.After.State) {
		return nil, fmt.Errorf("order: %s leads an order that is %s to %s, which the table does not say", c.Event, stateWord(o.State), stateWord(ch.After.State))
	}
	if err := ch.After.checkParts(); err != nil {
		return nil, err
	}
	if err := ch.checkMoney(along, row.Effect); err != nil {
		return nil, err
	}
	ch.link()
	return ch, nil
}

// PlanPayment is Plan for a payment that covers several orders of one buyer
// and ledger: one receipt of the total, then a hold for each order, all in
// one linked chain. The receipt stands among the legs of the first change and
// is about the intent that carries it; the chain is the legs of all changes
// in order. A payment out of the buyer's balance has no receipt, and one in
// another currency covers one order. Orders and commands go by index. Where one
// of several is refused the refusal says which, by its reference.
func PlanPayment(orders []Order, cs []Command) ([]*Change, error) {
	changes := make([]*Change, len(orders))
	for i := range orders {
		if orders[i].Ledger != orders[0].Ledger || orders[i].BuyerAccount != orders[0].BuyerAccount {
			return nil, refuse(&orders[i], &cs[i], RuleAmount, "one payment covers orders of one buyer in one currency")
		}
		if len(orders) > 1 && cs[i].FX != (FX{}) {
			return nil, refuse(&orders[i], &cs[i], RuleCurrency, "a payment in another currency covers one order")
		}
		ch, err := Plan(orders[i], cs[i])
		if r := new(Refusal); len(orders) > 1 && errors.As(err, &r) {
			r.Detail = fmt.Sprintf("order %s: %s", orders[i].Reference, r.Detail)
		}
		if err != nil {
			return nil, err
		}
		changes[i] = ch
	}
	if len(orders) > 1 && cs[0].Method != Balance {
		receipt := &changes[0].Legs[0]
		for _, ch := range changes[1:] {
			receipt.Amount, _ = receipt.Amount.Add(ch.Legs[0].Amount)
			ch.Legs = ch.Legs[1:]
		}
		receipt.UserData128 = cs[0].Intent
	}
	for _, ch := range changes[:len(changes)-1] {
		ch.linkOn()
	}
	return changes, nil
}

func refuse(o *Order, c *Command, rule, format string, args ...any) *Refusal {
	return &Refusal{Rule: rule, Event: c.Event, State: o.State,
		Detail: fmt.Sprintf(format, args...), Allowed: o.Allowed()}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z07:00") }
