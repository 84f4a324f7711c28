package order

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// Preview is what would become of an order: what it comes to by each method of
// payment if all goes well, and every state in which it could stand and wait.
type Preview struct {
	Costs []Cost
	Steps []Step
}

// Cost is what an order comes to that is paid by a method.
type Cost struct {
	Method string
	Charge
}

// Step is a state in which an order waits for something.
type Step struct {
	State     State
	Deadline  Deadline
	Within    Seconds // how long after the state is entered the deadline is, holidays not counted
	Actors    []Role  // who has to act until then
	Able      bool    // whether one of them can lead it on under this policy: not only put it off or cancel
	Next      string  // what they do, in words
	Otherwise string  // what happens if nobody does, in words
	when      string
}

// When is the step's deadline in words.
func (s Step) When() string { return s.when }

// whenOf says how long a state's deadline is, and from when.
func whenOf(s *Step, o *Order) string {
	pol := o.Policy
	span := func(within Seconds, from string) string {
		if within == 0 {
			return "at once"
		}
		return fmt.Sprintf("%s from %s", within, from)
	}
	from := entry(s.State)
	if s.State == Delivered && o.keepsClock(s.State) {
		from = entry(Shipped)
	}
	text := fmt.Sprintf("%s: %s", s.Deadline, span(s.Within, "the "+from))
	if s.State == Delivered {
		text += asAgreed(o)
	}
	if s.State == Held && o.Parts != nil && len(o.Parts.dates()) > 0 {
		text = fmt.Sprintf("%s of each part: its own date, or %s", ShipBy, span(pol.ShipWithin, "the "+from))
	}
	confirm := s.State == Shipped || s.State == Delivered || s.State == PartShipped
	if o.Parts != nil && confirm {
		text = fmt.Sprintf("%s of each part: %s", ConfirmPartBy, span(pol.ConfirmAfterShipment, "its shipment")+", or "+span(o.confirmAfterDelivery(), "its delivery")+asAgreed(o))
		if o.Virtual {
			text = fmt.Sprintf("%s of each part: %s", ConfirmPartBy, span(pol.ConfirmVirtual, "its shipment"))
		} else if s.State == Delivered {
			text = fmt.Sprintf("%s of each part: %s", ConfirmPartBy, span(o.confirmAfterDelivery(), "its delivery")+asAgreed(o))
		}
	}
	if confirm && pol.Calendar.Name != "" {
		text += fmt.Sprintf(", and a day for each holiday of calendar %s in it", pol.Calendar.Name)
	}
	if s.State == PartShipped {
		text += fmt.Sprintf("; %s of those not shipped: as before", ShipBy)
	}
	if o.Parts != nil && confirm {
		text += fmt.Sprintf("; %s of those released: %s", MaturePartAt, span(pol.MatureAfter, "each release"))
	}
	return text
}

// entry is what leads to a state, whichever of its events that is: the moment
// from which the state's deadline runs.
func entry(s State) string {
	switch s {
	case Agreed:
		return "agreement"
	case Authorised:
		return "authorisation"
	case Held:
		return "payment"
	case PartShipped:
		return "shipment of a part"
	case Shipped:
		return "shipment"
	case Delivered:
		return "delivery"
	case Disputed:
		return "dispute"
	case Negotiating:
		return "seller's objection"
	case Escalated:
		return "escalation"
	case Arbitration:
		return "end of the evidence or the appeal"
	case Decided:
		return "ruling"
	case Returning:
		return "agreement on the return"
	case Returned:
		return "shipment back"
	case Replacing:
		return "agreement on the replacement, or its ruling"
	case Ruled:
		return "ruling or settlement"
	case Released:
		return "release"
	case Reserved:
		return "maturity"
	case ChargedBack:
		return "chargeback"
	case Represented:
		return "representment"
	}
	return ""
}

// Foresee plans the life of an order that is about to be agreed, with its terms
// filled in but for the ids: every event that a state admits, by whoever may
// cause it, from every state that is found like that. What it says is what Plan
// does, because Plan says it.
func Foresee(o Order) Preview {
	pre := Preview{Costs: costs(o)}
	able := map[State]map[Role]bool{None: {}} // who can lead on from the states found
	seen := map[reached]bool{}
	for queue := []Order{o}; len(queue) > 0; queue = queue[1:] {
		from := queue[0]
		for _, row := range Rules {
			if row.From != from.State {
				continue
			}
			for _, ch := range tryAll(&from, row) {
				to := ch.After
				if to.State != from.State && row.Event != Cancel {
					able[from.State][ch.by] = true
				}
				if able[to.State] == nil {
					able[to.State] = map[Role]bool{}
					pre.add(&to)
				}
				if at := (reached{to.State, row.Event, ch.by, to.Claim.replaces()}); to.State.Open() && !seen[at] {
					seen[at] = true
					queue = append(queue, to)
				}
			}
		}
	}
	for i := range pre.Steps {
		s := &pre.Steps[i]
		s.Able = slices.ContainsFunc(s.Actors, func(r Role) bool { return able[s.State][r] })
	}
	slices.SortFunc(pre.Steps, func(a, b Step) int { return slices.Index(States, a.State) - slices.Index(States, b.State) })
	return pre
}

// reached is how an order came to a state. What can happen next may depend on
// it, also where the state is the same as before; nothing is foreseen that
// would need the same thing to happen twice.
type reached struct {
	State    State
	Event    Event
	By       Role
	Replaces bool // the offer or the ruling is a replacement
}

// replaces reports whether what was offered or ruled is a replacement.
func (c *Claim) replaces() bool {
	return c != nil && (c.Offer != nil && c.Offer.Replacement || c.Ruling != nil && c.Ruling.Replacement)
}

// add notes a state that was found for the first time.
func (pre *Preview) add(o *Order) {
	if o.State.Open() {
		pre.Steps = append(pre.Steps, stepOf(o))
	}
}

// costs pays the order by each method. One that it cannot be paid by is left out.
func costs(o Order) (list []Cost) {
	due, err := Plan(o, Command{Event: Agree, By: Operator, At: o.At})
	if err != nil {
		return nil // it has been agreed already, and is none to foresee
	}
	for _, method := range o.Policy.Methods {
		if paid, err := Plan(due.After, Command{Event: Pay, By: Buyer, At: o.At, Method: method}); err == nil {
			list = append(list, Cost{method, paid.After.Charge()})
		}
	}
	return list
}

// tried is a change, and who caused it.
type tried struct {
	*Change
	by Role
}

// sample is a piece of evidence that nothing is wrong with.
var sample = Evidence{SHA256: strings.Repeat("0", 64), URL: "https://example.com/", Type: EvidenceTypes[0], Size: 1}

// anyBooks has an account through which the order was paid, as a chargeback needs.
var anyBooks = &Books{Clearing: ledger.U64(1)}

// tryAll plans an event by each of its roles: in time, and with each way to
// split what is held where the event does that. What is offered in a dispute
// is the goods' return where the policy has one: an offer without ends as a
// ruling does. That nothing goes back is a replacement where the policy has those.
func tryAll(o *Order, row Row) []tried {
	var done []tried
	for _, by := range row.Who {
		stake := o.AtStake()
		for _, toBuyer := range []int64{stake, 0, stake / 2} {
			c := Command{Event: row.Event, By: by, At: o.At, Reason: "a preview", Tracking: "a preview", ToBuyer: toBuyer, ToSeller: stake - toBuyer,
				Return: row.Event == MakeOffer && o.Policy.ReturnWithin > 0, Evidence: sample, Approval: ledger.U64(1), Scan: Scan{Status: ScanStatuses[0]}, Books: anyBooks}
			if row.Event == MakeOffer || row.Event == AcceptOffer || row.Event == Rule {
				c.Replacement = toBuyer == 0 && o.Policy.ReplaceWithin > 0
				c.Return = c.Return && !c.Replacement
			}
			if o.Parts != nil {
				c.Parts = []string{o.Parts.List[0].Name} // one is moved by itself, the others with the order
			}
			if by == System {
				c.At = o.DeadlineAt
			}
			if len(o.Policy.Methods) > 0 {
				c.Method = o.Policy.Methods[0]
			}
			if ch, err := Plan(*o, c); err == nil {
				done = append(done, tried{ch, by})
			}
		}
	}
	return done
}

func stepOf(o *Order) Step {
	unnamed := *o
	unnamed.Parts = nil // which of them is where is not foreseen
	e := Explain(&unnamed)
	s := Step{State: o.State, Deadline: o.Deadline, Actors: NextActors(o.State), Next: e.Next, Otherwise: e.Otherwise}
	if o.State == PartShipped {
		s.Otherwise = partsOtherwise(ConfirmPartBy, "") + " " + partsOtherwise(ShipBy, "")
	}
	if slices.Equal(s.Actors, roles(System)) {
		s.Next = "Nobody has to act." // how much then matures is known when it is
	}
	if o.Deadline != NoDeadline {
		s.Within = Seconds(o.DeadlineAt.Sub(o.At)/time.Second) - Seconds(o.Holidays)*day
	}
	s.when = whenOf(&s, o)
	return s
}

// examples are Example, and the same in two parts, which can stand in states of
// their own. Orders of virtual goods go through the states of the others.
func (p *Policy) examples() []Order {
	o := p.Example()
	inParts := o
	inParts.Parts = &Parts{List: []Part{{Name: "one", Amount: o.Amount / 2, State: Agreed}, {Name: "other", Amount: o.Amount - o.Amount/2, State: Agreed}}}
	return []Order{o, inParts}
}

// Example is an order of a hundred units of a currency that the policy names,
// USD if it names none, to show what the policy means.
func (p *Policy) Example() Order {
	codes := slices.Sorted(maps.Keys(p.Fees))
	codes = slices.DeleteFunc(codes, func(code string) bool { return code == "*" })
	cur, _ := chart.ByCode(append(codes, "USD")[0])
	amount := int64(100)
	for range cur.Digits {
		amount *= 10
	}
	books, err := chart.Ledger(1, cur)
	if err != nil { // the first marketplace has a ledger in every currency
		panic(err)
	}
	o := Order{Terms: Terms{Marketplace: 1, Ledger: books, Buyer: "buyer", Seller: "seller", Amount: amount, Policy: p}}
	_ = o.Agree() // a policy without a fee is not valid; until that is said the example has none
	return o
}

// The rules that a policy as a whole has to keep, so that no money can stand
// still without anybody's knowing until when and for whom.
const (
	RuleDeadline = "deadline" // a state in which somebody has to act has a deadline
	RuleOwner    = "owner"    // somebody has to act in every state, and can
)

// gaps are the states that break those rules under a policy whose fields are
// in order.
func (p *Policy) gaps() FieldErrors {
	var errs FieldErrors
	for _, o := range p.examples() {
		for _, s := range Foresee(o).Steps {
			for _, e := range s.gaps() {
				if !slices.ContainsFunc(errs, func(known FieldError) bool { return known.Detail == e.Detail }) {
					errs = append(errs, e)
				}
			}
		}
	}
	return errs
}

func (s Step) gaps() (errs FieldErrors) {
	bad := func(format string, args ...any) {
		errs = append(errs, FieldError{Detail: fmt.Sprintf(format, args...)})
	}
	waits := !slices.Equal(s.Actors, roles(System))
	switch {
	case s.Deadline == NoDeadline:
		bad("an order that is %s would have no deadline (rule %s)", s.State, RuleDeadline)
	case waits && s.Within <= 0 && s.State != ChargedBack: // under a policy without representments it is lost as it comes
		bad("an order that is %s would have no time until %s (rule %s)", s.State, s.Deadline, RuleDeadline)
	}
	switch {
	case len(s.Actors) == 0:
		bad("nobody has to act on an order that is %s (rule %s)", s.State, RuleOwner)
	case !s.Able:
		bad("an order that is %s waits for %s, who can do nothing (rule %s)", s.State, joinRoles(s.Actors), RuleOwner)
	}
	return errs
}
