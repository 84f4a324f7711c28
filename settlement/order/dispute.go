package order

import (
	"encoding/hex"
	"net/url"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// Claim is an order's dispute as it stands, from its opening until the money
// is split or the claim withdrawn. Amounts are minor units.
//
// All that is held is frozen, whatever the claim: what the buyer does not claim
// goes to the seller when the dispute ends, and not before, so that a claim can
// be settled for more than was said at first. Of what was released already only
// what is claimed is at stake, see released_dispute.go.
type Claim struct {
	OpenedAt time.Time `json:"opened_at"`
	Amount   int64     `json:"amount"` // what the buyer wants back
	// Stake is what of the money that was released the dispute is about; 0 where it
	// is about what is held. Kept is the pending transfer that keeps the seller's
	// part of it, zero for none.
	Stake int64     `json:"stake,omitempty"`
	Kept  ledger.ID `json:"kept,omitzero"`
	// From is the state in which the dispute began and ConfirmLeft what was left
	// of the time to confirm or, after the release, of Deadline: a dispute stops
	// that clock, and withdrawing the claim lets it run on, with the extensions
	// that were used.
	From           State    `json:"from"`
	ConfirmLeft    int64    `json:"confirm_left_us"` // microseconds
	Deadline       Deadline `json:"deadline,omitempty"`
	BuyerExtended  int16    `json:"buyer_extended,omitempty"`
	SellerExtended int16    `json:"seller_extended,omitempty"`
	Holidays       int16    `json:"holidays,omitempty"` // by how many that time was lengthened

	Offer    *Offer  `json:"offer,omitempty"`  // the last one, open
	Return   *Offer  `json:"return,omitempty"` // what was agreed or ruled for the goods that are to come back
	Ruling   *Ruling `json:"ruling,omitempty"` // made, not carried out: it can be appealed
	Appealed Role    `json:"appealed,omitempty"`
	Damage   *Damage `json:"damage,omitempty"` // what the seller claims of goods that came back
	// Evidence counts the pieces of each party; they stand on the timeline.
	BuyerEvidence  int `json:"buyer_evidence,omitempty"`
	SellerEvidence int `json:"seller_evidence,omitempty"`
}

// Offer is how a party would end a dispute: ToBuyer goes back, the rest to the
// seller; with Return only once the goods are back, with Replacement only once
// others have come in their place. By is the operator where a ruling has ordered
// it.
type Offer struct {
	By          Role  `json:"by"`
	ToBuyer     int64 `json:"to_buyer"`
	Return      bool  `json:"return,omitempty"`
	Replacement bool  `json:"replacement,omitempty"`
}

// Ruling is how the marketplace splits what is held; with Return only once the
// goods are back, with Replacement only once others have come in their place.
type Ruling struct {
	ToBuyer     int64 `json:"to_buyer"`
	ToSeller    int64 `json:"to_seller"`
	Return      bool  `json:"return,omitempty"`
	Replacement bool  `json:"replacement,omitempty"`
}

// Damage is what the seller claims of goods that came back damaged. From then on
// there are two claims: the seller's for the damage, and the buyer's, which is for
// what was to be paid for the goods and no longer what was claimed before they
// came back. Each party can accept the other's. Now the seller has to give
// evidence: without any, the buyer's claim is granted.
type Damage struct {
	Amount  int64 `json:"amount"`   // of ToBuyer, what the seller wants to keep
	ToBuyer int64 `json:"to_buyer"` // what was to go to the buyer for the goods
	// What each party had given before: files for the claim are not files for the
	// damage.
	BuyerEvidence  int `json:"buyer_evidence,omitempty"`
	SellerEvidence int `json:"seller_evidence,omitempty"`
}

// ofBuyer is what would go back if the buyer's claim were granted: what was
// claimed first or, of goods that came back damaged, what was to be paid for them.
// Minor units.
func (c *Claim) ofBuyer() int64 {
	if c.Damage != nil {
		return c.Damage.ToBuyer
	}
	return c.Amount
}

// ofSeller is what would go back if the seller's claim were granted, the damage
// taken off, and whether the seller claims anything. Minor units.
func (c *Claim) ofSeller() (toBuyer int64, claims bool) {
	if c.Damage == nil {
		return 0, false
	}
	return c.Damage.ToBuyer - c.Damage.Amount, true
}

// Evidence is a file that speaks for a party: named by its content, kept
// elsewhere.
type Evidence struct {
	SHA256 string // of the content, 64 hexadecimal digits
	URL    string // where it is, https
	Type   string // media type, one of EvidenceTypes
	Size   int64  // bytes, at most EvidenceMax
}

// Limits of evidence.
const (
	EvidenceMax      = 20 << 20 // bytes of one file
	EvidencePerParty = 20       // files
)

// EvidenceTypes are the media types that evidence may have: what a person can
// look at and no program runs.
var EvidenceTypes = []string{"application/pdf", "image/jpeg", "image/png", "image/webp", "text/plain", "video/mp4"}

// claim is the dispute of the order afterwards, for changing: the order before
// keeps its own.
func (p *planner) claim() *Claim {
	c := *p.o.Claim
	p.o.Claim = &c
	return &c
}

func (p *planner) openDispute(to []State) error {
	o, c := p.o, p.c
	if c.Reason == "" {
		return p.refuse(RuleReason, "a dispute needs a reason")
	}
	if err := p.checkAgain(); err != nil {
		return err
	}
	released := !o.State.holds()
	whole, is := o.Held, "is held"
	if released {
		if err := p.checkReleased(); err != nil {
			return err
		}
		whole, is = o.refundable(), "of what was released has not gone back"
	}
	amount := c.Amount
	if amount == 0 {
		amount = whole
	}
	if amount < 1 || amount > whole {
		return p.refuse(RuleAmount, "%d %s, %d cannot be claimed", whole, is, amount)
	}
	claim := &Claim{OpenedAt: o.At, Amount: amount, From: o.State, BuyerExtended: o.BuyerExtended, SellerExtended: o.SellerExtended, Holidays: o.Holidays}
	if o.Deadline != NoDeadline {
		claim.ConfirmLeft = o.DeadlineAt.Sub(o.At).Microseconds()
	}
	if released {
		claim.Stake, claim.Deadline = amount, o.Deadline
		p.keepClaimed(claim)
	} else {
		p.account(c.Books.Suspense, chart.DisputeSuspense, ledger.Uint128{})
		p.leg(chart.DisputeFreeze, o.ID, c.Books.Suspense, o.Held)
		o.Freeze = p.lastLeg(ledger.TransferPending)
	}
	o.Disputes++
	o.Claim = claim
	p.next(to[0])
	return nil
}

// closeDispute lifts the freeze, or frees what was kept of the seller's, and
// answers the claim, which is none of the order's any more.
func (p *planner) closeDispute() *Claim {
	o := p.o
	claim := o.Claim
	if !o.Freeze.IsZero() {
		p.void(chart.DisputeFreeze, o.Freeze)
	}
	if !claim.Kept.IsZero() {
		p.void(chart.DisputeReserved, claim.Kept)
	}
	o.Freeze, o.Claim = ledger.ID{}, nil
	return claim
}

func (p *planner) contest(to []State) error {
	if p.c.Reason == "" {
		return p.refuse(RuleReason, "contesting a claim needs a reason")
	}
	if p.o.Policy.NegotiateWithin == 0 {
		return p.refuse(RulePolicy, "policy %s version %d has no negotiation: the marketplace rules", p.o.Policy.Name, p.o.Policy.Version)
	}
	p.next(to[0])
	return nil
}

func (p *planner) makeOffer([]State) error {
	o, c := p.o, p.c
	if stake := o.AtStake(); c.ToBuyer < 0 || c.ToBuyer > stake {
		return p.refuse(RuleAmount, "%d %s, %d cannot go to the buyer", stake, o.stakeIs(), c.ToBuyer)
	}
	if err := p.canReturn(); err != nil {
		return err
	}
	if err := p.checkReplacement(c.ToBuyer); err != nil {
		return err
	}
	p.claim().Offer = &Offer{By: c.By, ToBuyer: c.ToBuyer, Return: c.Return, Replacement: c.Replacement}
	return nil
}

// canReturn refuses a return that the policy has no times for.
func (p *planner) canReturn() error {
	if pol := p.o.Policy; p.c.Return && pol.ReturnWithin == 0 {
		return p.refuse(RulePolicy, "policy %s version %d has no returns", pol.Name, pol.Version)
	}
	return nil
}

func (p *planner) acceptOffer([]State) error {
	offer := p.o.Claim.Offer
	if offer == nil {
		return p.refuse(RuleOffer, "there is no offer")
	}
	if offer.By == p.c.By {
		return p.refuse(RuleOffer, "the %s made the offer: the other party accepts it", offer.By)
	}
	// The caller says what it accepts, so that an offer changed meanwhile is
	// not accepted by mistake.
	if p.c.ToBuyer != offer.ToBuyer {
		return p.refuse(RuleOffer, "the offer is %d to the buyer, not %d", offer.ToBuyer, p.c.ToBuyer)
	}
	if p.c.Replacement != offer.Replacement {
		return p.refuse(RuleOffer, "the offer is %s", offerWord(offer))
	}
	return p.settle(offer)
}

// settle does what was agreed or ruled: it splits what is held, or waits for the
// goods, or for others, first.
func (p *planner) settle(by *Offer) error {
	if !by.Return && !by.Replacement {
		return p.divide(by.ToBuyer)
	}
	c := p.claim()
	c.Amount = c.ofBuyer() // stays that, whatever becomes of what came back before
	c.Return, c.Offer, c.Ruling, c.Damage = nil, nil, nil, nil
	if by.Replacement {
		p.next(Replacing)
		return nil
	}
	c.Return = by
	p.next(Returning)
	return nil
}

// grantClaim gives the buyer what was claimed: the seller accepts, or was
// silent for too long.
func (p *planner) grantClaim([]State) error { return p.divide(p.o.Claim.ofBuyer()) }

// grantOther gives one party what the other has accepted of its claim.
func (p *planner) grantOther(to []State) error {
	if p.c.By != Buyer {
		return p.grantClaim(to)
	}
	toBuyer, claims := p.o.Claim.ofSeller()
	if !claims {
		return p.refuse(RuleRole, "the seller claims nothing that the buyer could accept: only goods that came back damaged can be claimed for")
	}
	return p.divide(toBuyer)
}

// grantReturn gives the buyer what was agreed for the goods that came back.
func (p *planner) grantReturn([]State) error { return p.divide(p.o.Claim.Return.ToBuyer) }

// dropClaim pays the seller: the buyer did not do what the claim needed.
func (p *planner) dropClaim([]State) error { return p.divide(0) }

func (p *planner) escalate(to []State) error {
	o := p.o
	if from := o.Claim.OpenedAt.Add(o.Policy.EscalateAfter.Duration()); p.c.By != Operator && o.At.Before(from) {
		return p.refuse(RuleTooEarly, "policy %s version %d lets buyer and seller escalate from %s", o.Policy.Name, o.Policy.Version, stamp(from))
	}
	p.next(to[0])
	return nil
}

func (p *planner) giveEvidence([]State) error {
	e := p.c.Evidence
	if b, err := hex.DecodeString(e.SHA256); err != nil || len(b) != 32 {
		return p.refuse(RuleEvidence, "sha256 must be 64 hexadecimal digits")
	}
	if u, err := url.Parse(e.URL); err != nil || u.Scheme != "https" || u.Host == "" {
		return p.refuse(RuleEvidence, "url must be an https URL")
	}
	if !slices.Contains(EvidenceTypes, e.Type) {
		return p.refuse(RuleEvidence, "type must be one of %s", joinWords(EvidenceTypes, "or"))
	}
	if e.Size < 1 || e.Size > EvidenceMax {
		return p.refuse(RuleEvidence, "size must be from 1 to %d bytes", EvidenceMax)
	}
	c := p.claim()
	before := Damage{}
	if c.Damage != nil {
		before = *c.Damage
	}
	n, earlier := &c.SellerEvidence, before.SellerEvidence
	if p.c.By == Buyer {
		n, earlier = &c.BuyerEvidence, before.BuyerEvidence
	}
	if *n-earlier >= EvidencePerParty {
		return p.refuse(RuleEvidence, "the %s has given %d files already", p.c.By, EvidencePerParty)
	}
	*n++
	return nil
}

// closeEvidence ends the time for evidence: a claim that the buyer gave none
// for falls, and so does the seller's for damage.
func (p *planner) closeEvidence([]State) error {
	c := p.o.Claim
	switch d := c.Damage; {
	case d != nil && c.SellerEvidence == d.SellerEvidence:
		return p.divide(c.ofBuyer())
	case d == nil && c.BuyerEvidence == 0:
		return p.divide(0)
	}
	p.next(Arbitration)
	return nil
}

func (p *planner) withdraw([]State) error {
	if claim := p.closeDispute(); claim.Released() {
		p.goOn(claim.stopped())
	} else {
		p.resumeConfirm(claim)
	}
	return nil
}

// resumeConfirm lets the time to confirm run on where the dispute stopped it.
func (p *planner) resumeConfirm(claim *Claim) {
	o := p.o
	p.next(claim.From)
	o.DeadlineAt = o.At.Add(time.Duration(claim.ConfirmLeft) * time.Microsecond)
	o.BuyerExtended, o.SellerExtended, o.Holidays = claim.BuyerExtended, claim.SellerExtended, claim.Holidays
	p.thawParts(o.At.Sub(claim.OpenedAt))
}

// rule decides. Where the policy lets the parties appeal, the money moves when
// nobody has; after an appeal the next ruling is the last.
func (p *planner) rule([]State) error {
	o, c := p.o, p.c
	if stake := o.AtStake(); c.ToSeller < 0 || c.ToBuyer < 0 || c.ToSeller > stake || c.ToSeller+c.ToBuyer != stake {
		return p.refuse(RuleAmount, "the parts must sum to what %s: %d", o.stakeIs(), stake)
	}
	if err := p.canReturn(); err != nil {
		return err
	}
	if err := p.checkReplacement(c.ToBuyer); err != nil {
		return err
	}
	if limit, over := o.rulingLimit(); over && c.Approval.IsZero() {
		return p.refuse(RuleFourEyes, "policy %s version %d lets one person rule on at most %d, and %d %s: the ruling is proposed, and another person approves it",
			o.Policy.Name, o.Policy.Version, limit, o.AtStake(), o.stakeIs())
	}
	if o.Policy.AppealWithin > 0 && o.Claim != nil && o.Claim.Appealed == "" {
		p.claim().Ruling = &Ruling{ToBuyer: c.ToBuyer, ToSeller: c.ToSeller, Return: c.Return, Replacement: c.Replacement}
		p.next(Decided)
		return nil
	}
	return p.settle(&Offer{By: Operator, ToBuyer: c.ToBuyer, Return: c.Return, Replacement: c.Replacement})
}

// stakeIs says of what is at stake why, in words that follow it.
func (o *Order) stakeIs() string {
	if o.Claim.Released() {
		return "is claimed of what was released"
	}
	return "is held"
}

// rulingLimit is on how much one person alone may rule, and whether more than
// that is at stake. Minor units.
func (o *Order) rulingLimit() (limit int64, over bool) {
	_, currency, _ := chart.SplitLedger(o.Ledger)
	limit, ok := o.Policy.ApproveRulingsOver[currency.Code]
	return limit, ok && o.AtStake() > limit
}

func (p *planner) appeal(to []State) error {
	if p.c.Reason == "" {
		return p.refuse(RuleReason, "an appeal needs a reason")
	}
	c := p.claim()
	c.Appealed, c.Ruling = p.c.By, nil
	p.next(to[0])
	return nil
}

func (p *planner) carryOut([]State) error {
	r := p.o.Claim.Ruling
	return p.settle(&Offer{By: Operator, ToBuyer: r.ToBuyer, Return: r.Return, Replacement: r.Replacement})
}

// refuseReturn brings what came back before the marketplace. The return as a
// whole falls, and the buyer claims what was claimed before it; or the seller names
// what of the buyer's part the damage is worth, and by that offers the rest.
func (p *planner) refuseReturn(to []State) error {
	back, amount := p.o.Claim.Return, p.c.Amount
	if p.c.Reason == "" {
		return p.refuse(RuleReason, "refusing a return needs a reason")
	}
	if amount < 0 || amount > back.ToBuyer {
		return p.refuse(RuleAmount, "%d was to go to the buyer for the goods, %d cannot be claimed for damage", back.ToBuyer, amount)
	}
	c := p.claim()
	c.Return = nil
	if amount > 0 {
		c.Damage = &Damage{Amount: amount, ToBuyer: back.ToBuyer, BuyerEvidence: c.BuyerEvidence, SellerEvidence: c.SellerEvidence}
		c.Offer = &Offer{By: Seller, ToBuyer: back.ToBuyer - amount}
	}
	p.next(to[0])
	return nil
}

// divide ends a dispute: the freeze is voided, toBuyer of what is held goes
// back and the rest to the seller, less the fee.
func (p *planner) divide(toBuyer int64) error {
	o := p.o
	if o.Claim.Released() {
		p.divideReleased(toBuyer)
		return nil
	}
	p.thaw(o.At.Sub(p.closeDispute().OpenedAt))
	as := Ruled // what was held of parts is split, and all that was released before stays so
	switch toBuyer {
	case 0:
		as = Released
		if o.Policy.DisputeReleasedWithin > 0 {
			p.aftermath().Settled = true
		}
	case o.Held:
		as = Refunded
	}
	ended := p.endParts(as)
	p.release(o.Held-toBuyer, ended, chart.RulingRelease, chart.RulingFee, chart.RulingFeeTax)
	p.refund(toBuyer, chart.RulingRefund)
	if as == Refunded && o.Released > 0 {
		as = Ruled
	}
	p.end(as)
	return nil
}
