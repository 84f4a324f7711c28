package order

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"escrowd/ledger/chart"
)

// Parts are what an order was agreed in, and how far each part is: part
// shipments, or the milestones of a piece of work. Names and amounts are agreed
// terms and never change.
type Parts struct {
	List []Part `json:"list"`
}

// Part is one part of an order. Amounts are minor units.
type Part struct {
	Name   string `json:"name"`
	Amount int64  `json:"amount"` // what its goods cost, as agreed
	// BuyerShare is the part's share of what the buyer pays on top of the order's
	// amount, once that is known: from the payment on.
	BuyerShare int64 `json:"buyer_share,omitempty"`
	// State is agreed before the payment, then held, shipped, delivered, and at
	// the end released, refunded, or ruled where a dispute split it. Money is in
	// escrow for a part that is held, shipped or delivered, and no other.
	State State `json:"state"`
	Held  int64 `json:"held,omitempty"` // of Pays: what is in escrow
	// Refunded is what of Pays went back to the buyer or the buyer's bank while the
	// part was held, but not by a ruling: that is about the order and not about a
	// part.
	Refunded int64 `json:"refunded,omitempty"`
	// DeadlineAt is the part's own deadline, see Deadline; BuyerExtended and
	// SellerExtended count how often it was moved.
	DeadlineAt     time.Time `json:"deadline_at,omitzero"`
	BuyerExtended  int16     `json:"buyer_extended,omitempty"`
	SellerExtended int16     `json:"seller_extended,omitempty"`
	Holidays       int16     `json:"holidays,omitempty"` // by how many the deadline was lengthened
}

// PartTerms is a part as it is agreed: an amount in minor units, or basis points
// of the whole.
type PartTerms struct {
	Name   string
	Amount int64
	Bps    int64
}

// Limits of parts.
const (
	PartsMin    = 2
	PartsMax    = 50
	PartNameMax = 60 // characters
)

// PartError says what is wrong with the form of parts. Place is where, as in
// "parts" or "parts/1/amount", with parts counted from 0.
type PartError struct{ Place, Detail string }

func (e *PartError) Error() string { return e.Place + ": " + e.Detail }

func partError(i int, field, detail string) error {
	return &PartError{fmt.Sprintf("parts/%d/%s", i, field), detail}
}

// NewParts are the parts of an order of the whole amount. All are amounts or all
// basis points, halves rounded to even. The last may say neither: it is what the
// others leave. In basis points it takes what rounding leaves, too, so that the
// parts always sum to the whole. Parts that do not are a *Refusal by RuleAmount,
// a wrong form is a *PartError.
func NewParts(whole int64, terms []PartTerms) (*Parts, error) {
	last := len(terms) - 1
	if last+1 < PartsMin || last+1 > PartsMax {
		return nil, &PartError{"parts", fmt.Sprintf("an order has from %d to %d parts", PartsMin, PartsMax)}
	}
	list := make([]Part, len(terms))
	byBps := terms[0].Bps != 0
	var sum, bps int64
	for i, t := range terms {
		if err := t.check(i, i == last, byBps); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(terms[:i], func(before PartTerms) bool { return before.Name == t.Name }) {
			return nil, partError(i, "name", "another part has it")
		}
		amount := t.Amount
		if byBps {
			bps += t.Bps
			amount = mulDiv(whole, t.Bps, 10_000)
		}
		if rest := t.Amount == 0 && t.Bps == 0; i == last && (rest || bps == 10_000) {
			amount = whole - sum
		}
		list[i] = Part{Name: t.Name, Amount: amount, State: Agreed}
		sum += amount
		if amount < 1 {
			return nil, sumRefused("part %q would be %d of the whole %d", t.Name, amount, whole)
		}
	}
	if byBps && terms[last].Bps != 0 && bps != 10_000 {
		return nil, sumRefused("the parts are %d basis points together, the whole is 10000", bps)
	}
	if sum != whole {
		return nil, sumRefused("the parts are %d together, the whole is %d", sum, whole)
	}
	return &Parts{List: list}, nil
}

func (t PartTerms) check(i int, last, byBps bool) error {
	switch {
	case t.Name == "":
		return partError(i, "name", "is required")
	case t.Amount < 0 || t.Amount > MaxAmount:
		return partError(i, "amount", "must be from 1 to 9007199254740991 minor units")
	case t.Bps < 0 || t.Bps > 10_000:
		return partError(i, "bps", "must be from 1 to 10000 basis points")
	case t.Amount != 0 && t.Bps != 0:
		return partError(i, "bps", "a part is an amount or basis points, not both")
	case t.Amount == 0 && t.Bps == 0 && !last:
		return partError(i, "amount", "an amount or basis points is required; only the last part may be what the others leave")
	case t.Amount != 0 && byBps, t.Bps != 0 && !byBps:
		return partError(i, "bps", "the parts are all amounts or all basis points")
	}
	return nil
}

func sumRefused(format string, args ...any) *Refusal {
	return &Refusal{Rule: RuleAmount, Event: Agree, Detail: fmt.Sprintf(format, args...), Allowed: AllowedIn(None)}
}

// Pays is what the buyer pays for the part.
func (t *Part) Pays() int64 { return t.Amount + t.BuyerShare }

// Deadline is what has to happen to the part by DeadlineAt.
func (t *Part) Deadline() Deadline {
	switch t.State {
	case Held:
		return ShipBy
	case Shipped, Delivered:
		return ConfirmPartBy
	}
	return NoDeadline
}

// end leaves nothing of a part in escrow and answers what that was.
func (t *Part) end(s State) (held int64) {
	held = t.Held
	*t = Part{Name: t.Name, Amount: t.Amount, BuyerShare: t.BuyerShare, State: s, Refunded: t.Refunded}
	if s == Refunded {
		t.Refunded += held
	}
	return held
}

// inParts reports whether the order goes by its parts where it stands.
func (o *Order) inParts() bool {
	switch o.State {
	case PartShipped:
		return true
	case Held, Shipped, Delivered:
		return o.Parts != nil || o.Deadline == ConfirmPartBy
	}
	return false
}

// Allowed lists what can happen to the order now, and who may cause it: what its
// state admits, less what is only for orders in parts, or only for others, less
// chargebacks that cannot follow on those that there were, and less accepting a
// claim that nobody makes.
func (o *Order) Allowed() []Allowed {
	list := AllowedIn(o.State)
	if i := slices.IndexFunc(list, func(a Allowed) bool { return a.Event == AcceptClaim }); i >= 0 && o.Claim != nil && o.Claim.Damage == nil {
		list[i].By = roles(Seller) // who claims nothing
	}
	return slices.DeleteFunc(list, func(a Allowed) bool {
		switch a.Event {
		case ShipPart, DeliverPart, ReleasePart, ReleasePartUnconfirmed:
			return o.Parts == nil
		case ReleaseUnconfirmed:
			return o.Parts != nil
		case TakeBackPayment:
			return o.Aftermath != nil && o.Aftermath.Won
		case SecondChargeback:
			return o.Aftermath == nil || !o.Aftermath.Won || o.Aftermath.Second
		}
		return false
	})
}

// checkParts is a second look at money: a part's share is nowhere in the ledger,
// where the order has one account, so nothing else would notice that the parts
// have come to hold more or less than the order does.
func (o *Order) checkParts() error {
	if o.Parts == nil {
		return nil
	}
	var held int64
	for i := range o.Parts.List {
		t := &o.Parts.List[i]
		if held += t.Held; t.Held < 0 || t.Held+t.Refunded > t.Pays() || (t.Held > 0) != (t.Deadline() != NoDeadline) {
			return fmt.Errorf("order: part %q is %s and holds %d of %d", t.Name, t.State, t.Held, t.Pays())
		}
	}
	if held != o.Held {
		return fmt.Errorf("order: its parts hold %d, the order %d", held, o.Held)
	}
	return nil
}

// parts are those of the order afterwards, for changing: the order before keeps
// its own. None for an order that is not in parts.
func (p *planner) parts() []Part {
	if p.o.Parts == nil {
		return nil
	}
	list := slices.Clone(p.o.Parts.List)
	p.o.Parts = &Parts{List: list}
	return list
}

// named are the parts that the command names, for changing. Each has to be in
// one of the states.
func (p *planner) named(in ...State) ([]*Part, error) {
	list := p.parts()
	if list == nil {
		return nil, p.refuse(RulePart, "the order is not in parts")
	}
	if len(p.c.Parts) == 0 {
		return nil, p.refuse(RulePart, "say which parts")
	}
	var chosen []*Part
	for i, name := range p.c.Parts {
		at := slices.IndexFunc(list, func(t Part) bool { return t.Name == name })
		switch {
		case at < 0:
			return nil, p.refuse(RulePart, "the order has no part %q", name)
		case slices.Contains(p.c.Parts[:i], name):
			return nil, p.refuse(RulePart, "part %q is named twice", name)
		case !slices.Contains(in, list[at].State):
			return nil, p.refuse(RulePart, "part %q is %s, and %s is for parts that are %s", name, list[at].State, p.c.Event, joinStates(in))
		}
		chosen = append(chosen, &list[at])
	}
	return chosen, nil
}

// holdParts notes that a payment is held for every part, to be shipped by the
// order's ship_by. What the buyer pays on top is shared pro rata to the amounts:
// each part's share is what the parts up to it come to, less the shares before,
// so that they always sum to the whole.
func (p *planner) holdParts() {
	list, whole := p.parts(), p.o.Charge()
	var amounts, shares int64
	for i := range list {
		t := &list[i]
		amounts += t.Amount
		t.BuyerShare = mulDiv(whole.BuyerShare, amounts, whole.Amount) - shares
		shares += t.BuyerShare
		t.State, t.Held, t.DeadlineAt = Held, t.Pays(), p.o.DeadlineAt
	}
}

// endParts ends every part that something is held of.
func (p *planner) endParts(s State) {
	list := p.parts()
	for i := range list {
		if list[i].Held > 0 {
			list[i].end(s)
		}
	}
}

// startConfirm starts the time to confirm, because all was shipped or all was
// delivered: of an order in parts, all that was not before.
func (p *planner) startConfirm(to []State) error {
	if p.o.Parts == nil {
		p.next(to[0])
		return nil
	}
	from := Held
	if to[0] == Delivered {
		from = Shipped
	}
	list := p.parts()
	for i := range list {
		if list[i].State == from {
			p.startPart(&list[i], to[0])
		}
	}
	p.goByParts()
	return nil
}

// startParts starts the time to confirm of the parts that were shipped, or
// delivered.
func (p *planner) startParts([]State) error {
	from, to := Held, Shipped
	if p.c.Event == DeliverPart {
		from, to = Shipped, Delivered
	}
	parts, err := p.named(from)
	if err != nil {
		return err
	}
	for _, t := range parts {
		p.startPart(t, to)
	}
	p.goByParts()
	return nil
}

func (p *planner) startPart(t *Part, s State) {
	if t.State = s; p.o.keepsClock(s) {
		return
	}
	t.DeadlineAt, t.Holidays = p.confirmBy(s)
	t.BuyerExtended, t.SellerExtended = 0, 0
}

func (p *planner) releaseParts([]State) error {
	parts, err := p.named(Shipped, Delivered)
	if err != nil {
		return err
	}
	p.payParts(parts)
	return nil
}

// releaseDue releases the parts whose deadline has come: all that have the same,
// as those that were shipped together do.
func (p *planner) releaseDue([]State) error {
	list := p.parts()
	var due []*Part
	for i := range list {
		if t := &list[i]; t.Deadline() == ConfirmPartBy && !t.DeadlineAt.After(p.o.At) {
			due = append(due, t)
		}
	}
	p.payParts(due)
	return nil
}

// payParts releases what is held of the parts. Their share of the fee is as of
// any release; the last one's is what is left of it, see releaseParts in
// split.go.
func (p *planner) payParts(parts []*Part) {
	var gross int64
	for _, t := range parts {
		gross += t.end(Released)
	}
	p.release(gross, chart.Release, chart.Fee, chart.FeeTax)
	p.goByParts()
}

func (p *planner) refundRest([]State) error {
	list := p.parts()
	var gross int64
	for i := range list {
		if list[i].State == Held {
			gross += list[i].end(Refunded)
		}
	}
	p.refund(gross, chart.RefundToBuyer)
	p.goByParts()
	return nil
}

// refundParts refunds of an order in parts: all that is held, or of the parts
// that are named all, or an amount of one. An amount of the whole is refused:
// of which part it goes back is not for escrowd to guess.
func (p *planner) refundParts() error {
	o, c := p.o, p.c
	amount := c.Amount
	switch {
	case len(c.Parts) == 0 && amount != 0 && amount != o.Held:
		return p.refuse(RulePart, "the order is in parts: say of which of them %d goes back", amount)
	case len(c.Parts) == 0:
		amount = o.Held
		p.endParts(Refunded)
	case len(c.Parts) > 1 && amount != 0:
		return p.refuse(RulePart, "an amount goes back of one part; of several, all that is held of them")
	default:
		parts, err := p.named(Held, Shipped, Delivered)
		if err != nil {
			return err
		}
		if first := parts[0]; amount < 0 || amount > first.Held {
			return p.refuse(RuleAmount, "%d is held of part %q, %d cannot be refunded", first.Held, first.Name, amount)
		} else if amount > 0 && amount < first.Held {
			first.Held, first.Refunded = first.Held-amount, first.Refunded+amount
			break
		}
		amount = 0
		for _, t := range parts {
			amount += t.end(Refunded)
		}
	}
	p.refund(amount, chart.RefundToBuyer)
	p.goByParts()
	return nil
}

// takeFromParts takes amount of what is held, or all, pro rata from the parts that
// something is held of.
func (p *planner) takeFromParts(amount int64) {
	list := p.parts()
	if list == nil || amount == 0 {
		return
	}
	held := make([]int64, len(list))
	for i := range list {
		held[i] = list[i].Held
	}
	for i, share := range proRata(amount, held...) {
		t := &list[i]
		if t.Held == 0 {
			continue
		}
		if share == t.Held {
			t.end(Refunded)
			continue
		}
		t.Held, t.Refunded = t.Held-share, t.Refunded+share
	}
}

// moveParts moves the deadline of the parts that had the order's.
func (p *planner) moveParts(before time.Time) {
	list := p.parts()
	if list == nil {
		return
	}
	for i := range list {
		if t := &list[i]; t.Deadline() == p.o.Deadline && t.DeadlineAt.Equal(before) {
			t.DeadlineAt, t.BuyerExtended, t.SellerExtended = p.o.DeadlineAt, p.o.BuyerExtended, p.o.SellerExtended
		}
	}
	p.goByParts()
}

// thawParts lets the clocks of the parts run on that a dispute stopped for so
// long.
func (p *planner) thawParts(stood time.Duration) {
	list := p.parts()
	if list == nil {
		return
	}
	for i := range list {
		if list[i].Held > 0 {
			list[i].DeadlineAt = list[i].DeadlineAt.Add(stood)
		}
	}
	p.goByParts()
}

// goByParts takes the order to where its parts are: to the state of the least
// advanced of those that hold money, with the earliest of their deadlines. An
// order of which a part was shipped never goes back to held.
func (p *planner) goByParts() {
	o := p.o
	if o.Held == 0 {
		if o.Released > 0 {
			p.next(Released)
		} else {
			p.next(Refunded)
		}
		return
	}
	is := map[State]bool{}
	var first *Part
	for i := range o.Parts.List {
		t := &o.Parts.List[i]
		if t.Held == 0 {
			continue
		}
		is[t.State] = true
		switch {
		case first == nil || t.DeadlineAt.Before(first.DeadlineAt):
			first = t
			o.Deadline, o.DeadlineAt, o.Holidays = t.Deadline(), t.DeadlineAt, t.Holidays
			o.BuyerExtended, o.SellerExtended = t.BuyerExtended, t.SellerExtended
		case t.DeadlineAt.Equal(first.DeadlineAt) && t.Deadline() == first.Deadline():
			// Parts move together from here, so what one of them has used up counts.
			o.BuyerExtended, o.SellerExtended = max(o.BuyerExtended, t.BuyerExtended), max(o.SellerExtended, t.SellerExtended)
		}
	}
	switch {
	case is[Held] && !is[Shipped] && p.from() == Held:
		o.State = Held
	case is[Held]:
		o.State = PartShipped
	case is[Shipped]:
		o.State = Shipped
	default:
		o.State = Delivered
	}
}

// from is the state that the order comes from: of one that was charged back,
// where it stood.
func (p *planner) from() State {
	if a := p.ch.Before.Aftermath; a != nil && a.Chargeback != nil {
		return a.Chargeback.From
	}
	return p.ch.Before.State
}

// explained is how many parts an explanation names before it counts the rest.
const explained = 5

// explainParts says where an order in parts stands that holds money. Of one that
// was read without its parts it says what its state and deadline tell.
func explainParts(e *Explanation, o *Order, money func(int64) string) {
	var held, toShip, toConfirm, due []string
	if o.Parts != nil {
		for i := range o.Parts.List {
			t := &o.Parts.List[i]
			if t.Held == 0 {
				continue
			}
			if t.Deadline() == ShipBy {
				held = append(held, fmt.Sprintf("%s (%s, to be shipped by %s)", t.Name, money(t.Held), stamp(t.DeadlineAt)))
				toShip = append(toShip, t.Name)
			} else {
				held = append(held, fmt.Sprintf("%s (%s, %s, to be confirmed by %s)", t.Name, money(t.Held), t.State, stamp(t.DeadlineAt)))
				toConfirm = append(toConfirm, t.Name)
			}
			if t.Deadline() == o.Deadline && t.DeadlineAt.Equal(o.DeadlineAt) {
				due = append(due, t.Name)
			}
		}
	}
	e.Why = fmt.Sprintf("%s is held: %s.", money(o.Held), HeldBecause(o.State))
	if len(held) > 0 {
		e.Why = fmt.Sprintf("%s is held for %d of %d parts: %s.", money(o.Held), len(held), len(o.Parts.List), some(held))
	}
	if o.Released > 0 {
		e.Why += fmt.Sprintf(" %s was released; of that the seller's %s matures with the rest, after the last release.", money(o.Released), money(o.Maturing))
	}
	if o.Refunded > 0 {
		e.Why += fmt.Sprintf(" %s was refunded.", money(o.Refunded))
	}
	var next []string
	if len(toShip) > 0 {
		next = append(next, fmt.Sprintf("The seller ships %s; until then buyer or seller may cancel that.", some(toShip)))
	}
	if len(toConfirm) > 0 {
		next = append(next, fmt.Sprintf("The buyer confirms %s or opens a dispute.", some(toConfirm)))
	}
	if e.Next = strings.Join(next, " "); e.Next == "" {
		e.Next = "The buyer confirms what was shipped or opens a dispute."
		if o.State == PartShipped {
			e.Next = "The seller ships the rest; until then buyer or seller may cancel that. " + e.Next
		}
	}
	e.Otherwise = partsOtherwise(o.Deadline, some(due))
}

// partsOtherwise is what becomes of some parts, "" for all whose deadline it is,
// when it passes.
func partsOtherwise(d Deadline, of string) string {
	if d == ShipBy {
		if of == "" {
			of = "the parts that were not shipped"
		}
		return fmt.Sprintf("What is held of %s goes back to the buyer.", of)
	}
	if of == "" {
		of = "the parts that were not confirmed in time"
	}
	return fmt.Sprintf("What is held of %s is released to the seller, less its share of the fee.", of)
}

// some joins words, and counts those after the first few.
func some(words []string) string {
	if n := len(words) - explained; n > 1 {
		words = append(slices.Clone(words[:explained]), fmt.Sprintf("%d more", n))
	}
	return joinWords(words, "and")
}

func joinStates(list []State) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = string(s)
	}
	return joinWords(words, "or")
}
