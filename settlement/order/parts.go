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
	// ShipBy is the agreed date of shipment, or when the milestone is due; zero for
	// none, then the order's ship_by is the part's.
	ShipBy time.Time `json:"ship_by,omitzero"`
	// BuyerShare is the part's share of what the buyer pays on top of the order's
	// amount, once that is known: from the payment on.
	BuyerShare int64 `json:"buyer_share,omitempty"`
	// State is agreed before the payment, then held, shipped, delivered, and at
	// the end released, refunded, or ruled where a dispute split it. Money is in
	// escrow for a part that is held, shipped or delivered, and no other; something
	// can be maturing of one that is released or ruled, and no other.
	State State `json:"state"`
	Held  int64 `json:"held,omitempty"` // of Pays: what is in escrow
	// Refunded is what of Pays went back to the buyer or the buyer's bank while the
	// part was held, but not by a ruling: that is about the order and not about a
	// part.
	Refunded int64 `json:"refunded,omitempty"`
	// ReleasedAt is when it was released, or ruled; Maturing what the seller has of
	// it that is not available yet. The parts' together are the order's.
	ReleasedAt time.Time `json:"released_at,omitzero"`
	Maturing   int64     `json:"maturing,omitempty"`
	// DeadlineAt is the part's own deadline, see Deadline; BuyerExtended and
	// SellerExtended count how often it was moved.
	DeadlineAt     time.Time `json:"deadline_at,omitzero"`
	BuyerExtended  int16     `json:"buyer_extended,omitempty"`
	SellerExtended int16     `json:"seller_extended,omitempty"`
	Holidays       int16     `json:"holidays,omitempty"` // by how many the deadline was lengthened
}

// PartTerms is a part as it is agreed: an amount in minor units, or basis points
// of the whole, and by when it is to be shipped, zero for the policy's time.
type PartTerms struct {
	Name   string
	Amount int64
	Bps    int64
	ShipBy time.Time
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
		if !t.ShipBy.IsZero() {
			list[i].ShipBy = t.ShipBy.UTC().Truncate(time.Microsecond)
		}
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
	if t.Maturing > 0 {
		return MaturePartAt
	}
	return NoDeadline
}

// early reports whether something of the order was released before parts matured
// by themselves: nobody noted then when it was, or of which part what matures is,
// and that matures together, after the last release.
func (ps *Parts) early() bool {
	return slices.ContainsFunc(ps.List, func(t Part) bool {
		return (t.State == Released || t.State == Ruled) && t.ReleasedAt.IsZero()
	})
}

// releasedAt is when the last of the parts was released, zero if none was or it
// is not known.
func (ps *Parts) releasedAt() (last time.Time) {
	if ps == nil || ps.early() {
		return time.Time{}
	}
	for i := range ps.List {
		if at := ps.List[i].ReleasedAt; at.After(last) {
			last = at
		}
	}
	return last
}

// end leaves nothing of a part in escrow and answers what that was.
func (t *Part) end(s State) (held int64) {
	held = t.Held
	*t = Part{Name: t.Name, Amount: t.Amount, ShipBy: t.ShipBy, BuyerShare: t.BuyerShare, State: s, Refunded: t.Refunded}
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
		return o.Parts != nil || o.Deadline == ConfirmPartBy || o.Deadline == MaturePartAt
	}
	return false
}

// Allowed lists what can happen to the order now, and who may cause it: what its
// state admits, less what is only for orders in parts, or only for others, less
// chargebacks that cannot follow on those that there were, less disputes of what
// was released where there can be none, and less accepting a claim that nobody
// makes.
func (o *Order) Allowed() []Allowed {
	list := AllowedIn(o.State)
	if i := slices.IndexFunc(list, func(a Allowed) bool { return a.Event == AcceptClaim }); i >= 0 && o.Claim != nil && o.Claim.Damage == nil {
		list[i].By = roles(Seller) // who claims nothing
	}
	return slices.DeleteFunc(list, func(a Allowed) bool {
		switch a.Event {
		case ShipPart, DeliverPart, ReleasePart, ReleasePartUnconfirmed, MaturePart:
			return o.Parts == nil
		case Reprice, ReleaseUnconfirmed:
			return o.Parts != nil
		case TakeBackPayment:
			return o.Aftermath != nil && o.Aftermath.Won
		case SecondChargeback:
			return o.Aftermath == nil || !o.Aftermath.Won || o.Aftermath.Second
		case Dispute:
			return !o.State.holds() && !o.disputable()
		}
		return false
	})
}

// checkParts is a second look at money: a part's share is nowhere in the ledger,
// where the order has one account and its seller another, so nothing else would
// notice that the parts have come to hold more or less than the order does, or to
// have more or less maturing.
func (o *Order) checkParts() error {
	if o.Parts == nil {
		return nil
	}
	var held, maturing int64
	for i := range o.Parts.List {
		t := &o.Parts.List[i]
		held, maturing = held+t.Held, maturing+t.Maturing
		waits := t.Held > 0 || t.Maturing > 0
		if min(t.Held, t.Maturing) < 0 || t.Held+t.Maturing+t.Refunded > t.Pays() || waits != (t.Deadline() != NoDeadline) {
			return fmt.Errorf("order: part %q is %s, holds %d of %d and has %d maturing", t.Name, t.State, t.Held, t.Pays(), t.Maturing)
		}
	}
	if held != o.Held || maturing != o.Maturing && !o.Parts.early() {
		return fmt.Errorf("order: its parts hold %d and have %d maturing, the order %d and %d", held, maturing, o.Held, o.Maturing)
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

// CheckAgreement refuses what cannot be agreed at a moment: a time to confirm that
// the policy does not allow, by RulePolicy, and parts that were to be shipped by
// then, or before, by RuleOrderOfTime.
func (o *Order) CheckAgreement(at time.Time) error {
	if err := o.checkInspection(); err != nil {
		return err
	}
	if o.Parts == nil {
		return nil
	}
	for i := range o.Parts.List {
		if t := &o.Parts.List[i]; !t.ShipBy.IsZero() && !t.ShipBy.After(at) {
			return refuse(o, &Command{Event: Agree}, RuleOrderOfTime, "part %q would be to be shipped by %s, and is agreed at %s", t.Name, stamp(t.ShipBy), stamp(at))
		}
	}
	return nil
}

// dates says which of the parts have a date of shipment of their own, and which.
func (ps *Parts) dates() (words []string) {
	for i := range ps.List {
		if t := &ps.List[i]; !t.ShipBy.IsZero() {
			words = append(words, fmt.Sprintf("%s (%s)", t.Name, stamp(t.ShipBy)))
		}
	}
	return words
}

// agree begins an order.
func (p *planner) agree(to []State) error {
	if err := p.o.CheckAgreement(p.o.At); err != nil {
		return err
	}
	p.next(to[0])
	return nil
}

// holdParts notes that a payment is held for every part, to be shipped by its own
// date, or by the order's ship_by: that counts too where a date has passed before
// the payment, because nobody has to ship before it. What the buyer pays on top
// is shared pro rata to the amounts: each part's share is what the parts up to it
// come to, less the shares before, so that they always sum to the whole.
func (p *planner) holdParts() {
	list, whole := p.parts(), p.o.Charge()
	var amounts, shares int64
	for i := range list {
		t := &list[i]
		amounts += t.Amount
		t.BuyerShare = mulDiv(whole.BuyerShare, amounts, whole.Amount) - shares
		shares += t.BuyerShare
		t.State, t.Held, t.DeadlineAt = Held, t.Pays(), p.o.DeadlineAt
		if t.ShipBy.After(p.o.At) {
			t.DeadlineAt = t.ShipBy
		}
	}
	if list != nil {
		p.clockOf(func(t *Part) bool { return t.Held > 0 })
	}
}

// ended is a part of which nothing is held any more, and what was.
type ended struct {
	part *Part
	held int64
}

// endParts ends every part that something is held of.
func (p *planner) endParts(s State) (all []ended) {
	list := p.parts()
	for i := range list {
		if t := &list[i]; t.Held > 0 {
			all = append(all, ended{t, t.end(s)})
		}
	}
	return all
}

// startMaturing has net mature of the parts that have just ended, pro rata to what
// was held of them.
func (p *planner) startMaturing(of []ended, net int64) {
	held := make([]int64, len(of))
	for i := range of {
		held[i] = of[i].held
	}
	if len(of) == 0 {
		return
	}
	for i, share := range proRata(net, held...) {
		t := of[i].part
		if t.ReleasedAt, t.Maturing = p.o.At, share; share > 0 {
			t.DeadlineAt = p.o.At.Add(p.o.Policy.MatureAfter.Duration())
		}
	}
}

// matureParts leaves nothing maturing of some parts, and answers what that was.
func (p *planner) matureParts(some func(*Part) bool) (amount int64) {
	list := p.parts()
	for i := range list {
		if t := &list[i]; t.Maturing > 0 && some(t) {
			amount += t.Maturing
			t.Maturing, t.DeadlineAt = 0, time.Time{}
		}
	}
	return amount
}

// matureDue makes what the parts have maturing whose moment has come available.
func (p *planner) matureDue([]State) error {
	at := p.o.At
	p.mature(p.matureParts(func(t *Part) bool { return !t.DeadlineAt.After(at) }))
	if p.o.Held > 0 {
		p.goByParts()
	} else {
		p.restByParts()
	}
	return nil
}

// takeAlong has the parts mature, each at its moment, that an event comes later
// than, and answers how many moments that were. So nobody is stopped by that
// deadline, and no job that is late leaves a dispute or a chargeback more to
// freeze or to take.
func (p *planner) takeAlong() (moments int) {
	for p.o.Deadline == MaturePartAt && p.c.At.After(p.o.DeadlineAt) {
		p.o.At = p.o.DeadlineAt
		_ = p.matureDue(nil) // it refuses nothing
		moments++
	}
	return moments
}

// takeMaturing takes amount of what is maturing from the parts, pro rata.
func (p *planner) takeMaturing(amount int64) {
	list := p.parts()
	var all int64
	maturing := make([]int64, len(list))
	for i := range list {
		maturing[i] = list[i].Maturing
		all += maturing[i]
	}
	if amount = min(amount, all); amount == 0 { // all: of an early order the parts may have less
		return
	}
	for i, share := range proRata(amount, maturing...) {
		t := &list[i]
		if t.Maturing -= share; t.Maturing == 0 && share > 0 {
			t.DeadlineAt = time.Time{}
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
	var all []ended
	for _, t := range parts {
		all = append(all, ended{t, t.end(Released)})
		gross += all[len(all)-1].held
	}
	p.release(gross, all, chart.Release, chart.Fee, chart.FeeTax)
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

// refundDue refunds the parts that were not shipped by their deadline, and others
// go on; of an order that is not in parts, all.
func (p *planner) refundDue(to []State) error {
	if p.o.Parts == nil {
		return p.refundAll(to)
	}
	list := p.parts()
	var gross int64
	for i := range list {
		if t := &list[i]; t.Deadline() == ShipBy && !t.DeadlineAt.After(p.o.At) {
			gross += t.end(Refunded)
		}
	}
	p.refund(gross, chart.RefundToBuyer)
	if p.o.Held == 0 && p.from() == Held {
		p.next(Canceled)
		return nil
	}
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

// thaw lets the clocks of the parts run on that a dispute or a chargeback stopped
// for so long.
func (p *planner) thaw(stood time.Duration) {
	list := p.parts()
	for i := range list {
		if t := &list[i]; t.Deadline() != NoDeadline {
			t.DeadlineAt = t.DeadlineAt.Add(stood)
		}
	}
}

// thawParts is thaw, and the order that still holds money goes by its parts.
func (p *planner) thawParts(stood time.Duration) {
	if p.o.Parts != nil {
		p.thaw(stood)
		p.goByParts()
	}
}

// end takes an order of which nothing is held any more to where what was released
// of it, to s, takes it. If none was, or all of that went back, it has ended; but
// a reserve that was kept meanwhile is freed in its own time.
func (p *planner) end(s State) {
	switch a := p.o.Aftermath; {
	case p.o.Released > 0:
		p.next(s)
		p.restByParts()
	case a != nil && a.Reserved > 0:
		p.next(Reserved)
	default:
		p.next(Refunded)
	}
}

// restByParts gives an order of which nothing is held any more, and something was
// released, the deadline of what its parts have maturing: the last to mature, if
// there is one, takes the order along.
func (p *planner) restByParts() {
	o := p.o
	if o.Parts == nil || o.Parts.early() {
		return
	}
	var moments []time.Time
	for i := range o.Parts.List {
		if t := &o.Parts.List[i]; t.Maturing > 0 {
			moments = append(moments, t.DeadlineAt)
		}
	}
	o.Deadline, o.DeadlineAt = MatureAt, o.At // nothing to wait for
	if len(moments) > 0 {
		first := slices.MinFunc(moments, time.Time.Compare)
		if o.DeadlineAt = slices.MaxFunc(moments, time.Time.Compare); first.Before(o.DeadlineAt) {
			o.Deadline, o.DeadlineAt = MaturePartAt, first
		}
	}
	o.BuyerExtended, o.SellerExtended, o.Holidays = 0, 0, 0
}

// goByParts takes the order to where its parts are: to the state of the least
// advanced of those that hold money, with the earliest deadline of all. An order
// of which a part was shipped never goes back to held.
func (p *planner) goByParts() {
	o := p.o
	if o.Held == 0 {
		p.end(Released)
		return
	}
	p.clockOf(func(t *Part) bool { return t.Deadline() != NoDeadline })
	is := map[State]bool{}
	for i := range o.Parts.List {
		if t := &o.Parts.List[i]; t.Held > 0 {
			is[t.State] = true
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

// clockOf gives the order the earliest deadline of some of its parts.
func (p *planner) clockOf(some func(*Part) bool) {
	o := p.o
	var first *Part
	for i := range o.Parts.List {
		t := &o.Parts.List[i]
		if !some(t) {
			continue
		}
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
	var held, toShip, toConfirm []string
	if o.Parts != nil {
		for i := range o.Parts.List {
			t := &o.Parts.List[i]
			switch t.Deadline() {
			case ShipBy:
				held = append(held, fmt.Sprintf("%s (%s, to be shipped by %s)", t.Name, money(t.Held), stamp(t.DeadlineAt)))
				toShip = append(toShip, t.Name)
			case ConfirmPartBy:
				held = append(held, fmt.Sprintf("%s (%s, %s, to be confirmed by %s)", t.Name, money(t.Held), t.State, stamp(t.DeadlineAt)))
				toConfirm = append(toConfirm, t.Name)
			}
		}
	}
	e.Why = fmt.Sprintf("%s is held: %s.", money(o.Held), HeldBecause(o.State))
	if len(held) > 0 {
		e.Why = fmt.Sprintf("%s is held for %d of %d parts: %s.", money(o.Held), len(held), len(o.Parts.List), some(held))
	}
	if o.Released > 0 {
		e.Why += fmt.Sprintf(" %s was released; %s", money(o.Released), maturing(o, money)) + reservedSoFar(o, money)
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
	e.Otherwise = partsOtherwise(o.Deadline, some(o.Parts.due(o.Deadline, o.DeadlineAt)))
	if o.Deadline != MaturePartAt || o.Parts == nil {
		return
	}
	// What is held waits for another deadline than the order's.
	p := planner{o: &Order{Progress: o.Progress}}
	p.clockOf(func(t *Part) bool { return t.Held > 0 })
	e.Otherwise += fmt.Sprintf(" At %s, %s: %s", stamp(p.o.DeadlineAt), p.o.Deadline, partsOtherwise(p.o.Deadline, some(o.Parts.due(p.o.Deadline, p.o.DeadlineAt))))
}

// due are the names of the parts that have the deadline then.
func (ps *Parts) due(d Deadline, at time.Time) (names []string) {
	if ps == nil {
		return nil
	}
	for i := range ps.List {
		if t := &ps.List[i]; t.Deadline() == d && t.DeadlineAt.Equal(at) {
			names = append(names, t.Name)
		}
	}
	return names
}

// maturing says what of an order in parts matures, and when.
func maturing(o *Order, money func(int64) string) string {
	switch {
	case o.Maturing == 0:
		return "all that the seller has of it is available."
	case o.Parts == nil:
		return fmt.Sprintf("the seller's %s of it matures.", money(o.Maturing))
	case o.Parts.early():
		return fmt.Sprintf("the seller's %s of it matures after the last release.", money(o.Maturing))
	}
	var words []string
	for i := range o.Parts.List {
		if t := &o.Parts.List[i]; t.Maturing > 0 {
			words = append(words, fmt.Sprintf("%s of %s at %s", money(t.Maturing), t.Name, stamp(t.DeadlineAt)))
		}
	}
	return fmt.Sprintf("the seller's %s of it matures: %s.", money(o.Maturing), some(words))
}

// reservedSoFar says what is kept in reserve of an order in parts of which not all
// has matured yet.
func reservedSoFar(o *Order, money func(int64) string) string {
	a := o.Aftermath
	if a == nil || a.Reserved == 0 {
		return ""
	}
	until := "for a time"
	if o.Policy != nil { // a report does not read it
		until = "until " + o.Policy.ReserveFor.String() + " after that"
	}
	return fmt.Sprintf(" Of what has matured %s is kept in reserve until the order's last part has matured, and %s.", money(a.Reserved), until)
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
	if d == MaturePartAt {
		if of == "" {
			of = "the parts that mature then"
		}
		return fmt.Sprintf("What the seller has of %s becomes available.", of)
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
