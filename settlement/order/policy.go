package order

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"escrowd/ledger/chart"
)

// Seconds is a duration in a policy document.
type Seconds int64

// Duration is s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// String is s in words: "5 days", "1 day 12 hours".
func (s Seconds) String() string {
	if s == 0 {
		return "0 seconds"
	}
	var words []string
	for _, unit := range []struct {
		word string
		size Seconds
	}{{"day", day}, {"hour", 60 * 60}, {"minute", 60}, {"second", 1}} {
		n := s / unit.size
		s -= n * unit.size
		switch {
		case n == 1 || n == -1:
			words = append(words, fmt.Sprintf("%d %s", n, unit.word))
		case n != 0:
			words = append(words, fmt.Sprintf("%d %ss", n, unit.word))
		}
	}
	return strings.Join(words, " ")
}

// Policy is one version of a marketplace's rules. A version never changes:
// an order keeps the one under which it was agreed.
type Policy struct {
	ID      int64  `json:"-"`
	Name    string `json:"name"`
	Version int32  `json:"version"`
	// Effective is when the version comes into force, zero for at once: an order
	// that is agreed earlier gets an older one, see InForce.
	Effective time.Time `json:"effective,omitzero"`

	// PayWithin runs from the agreement: then the order expires.
	PayWithin Seconds `json:"pay_within"`
	// AuthoriseWithin runs from the authorisation of a payment: then it is voided
	// and the order expires. 0: payments are captured at once.
	AuthoriseWithin Seconds `json:"authorise_within,omitempty"`
	// ShipWithin runs from the payment: then the order is canceled and the
	// buyer refunded. An order's agreed shipping date, when later, counts.
	ShipWithin Seconds `json:"ship_within"`
	// RequireTracking: a shipment counts only with the carrier's tracking number,
	// of the goods, of a part, back, or of a replacement; not of virtual goods.
	RequireTracking bool `json:"require_tracking,omitempty"`
	// ConfirmAfterDelivery runs from the delivery, ConfirmAfterShipment from
	// the shipment as long as nobody reports a delivery: then the seller is paid.
	ConfirmAfterDelivery Seconds `json:"confirm_after_delivery"`
	ConfirmAfterShipment Seconds `json:"confirm_after_shipment"`
	// ConfirmAgreedMin and ConfirmAgreedMax are the shortest and the longest time from
	// the delivery that buyer and seller may agree on for one order, in place of
	// ConfirmAfterDelivery. Both 0: they may not.
	ConfirmAgreedMin Seconds `json:"confirm_agreed_min,omitempty"`
	ConfirmAgreedMax Seconds `json:"confirm_agreed_max,omitempty"`
	// ConfirmVirtual runs from the shipment of virtual goods, in place of both. 0:
	// no orders of virtual goods.
	ConfirmVirtual Seconds `json:"confirm_virtual,omitempty"`
	// Calendar lengthens the time to confirm by a day for each holiday in it.
	Calendar Calendar `json:"calendar,omitzero"`
	// ExtendTimes is how often each of buyer and seller may move a ship_by or
	// confirm_by deadline, ExtendBy how far in one step at most.
	ExtendTimes int16   `json:"extend_times"`
	ExtendBy    Seconds `json:"extend_by"`
	// ExtendTogether: buyer and seller move a deadline only both, see Extension.
	ExtendTogether bool `json:"extend_together,omitempty"`
	// Disputes is how often the buyer may dispute an order at most, withdrawn
	// disputes too: each stops the time to confirm. 0: there is no limit.
	Disputes int16 `json:"disputes,omitempty"`
	// RuleWithin runs from the dispute. Nothing moves by itself when it
	// passes: the money stays frozen and the order is reported as overdue.
	RuleWithin Seconds `json:"rule_within"`
	// RespondWithin runs from the dispute: then the claim is granted. 0: there is
	// no response and no negotiation, and the marketplace rules.
	RespondWithin Seconds `json:"respond_within,omitempty"`
	// NegotiateWithin runs from the seller's objection: then the dispute is
	// escalated. Buyer and seller may do that from EscalateAfter on, counted from
	// the dispute.
	NegotiateWithin Seconds `json:"negotiate_within,omitempty"`
	EscalateAfter   Seconds `json:"escalate_after,omitempty"`
	// EvidenceWithin runs from the escalation: then the marketplace rules, or
	// the claim falls if the buyer gave no evidence.
	EvidenceWithin Seconds `json:"evidence_within,omitempty"`
	// ApproveRulingsOver is by currency code, in minor units: a ruling on more
	// than that is proposed by one person and approved by another. A currency
	// that is not named has no such limit.
	ApproveRulingsOver map[string]int64 `json:"approve_rulings_over,omitempty"`
	// AppealWithin runs from the ruling: then it is carried out. 0: at once.
	AppealWithin Seconds `json:"appeal_within,omitempty"`
	// ReturnWithin runs from the agreement on a return: then the seller is paid.
	// InspectWithin runs from the goods' shipment back: then the buyer is. 0: no
	// returns.
	ReturnWithin  Seconds `json:"return_within,omitempty"`
	InspectWithin Seconds `json:"inspect_within,omitempty"`
	// ReplaceWithin runs from the agreement on a replacement, or its ruling: then
	// the claim is granted. 0: no replacements.
	ReplaceWithin Seconds `json:"replace_within,omitempty"`
	// MatureAfter runs from the release: then the seller can be paid out.
	MatureAfter Seconds `json:"mature_after"`
	// RefundReleasedWithin runs from the release: until then the seller and the
	// marketplace can refund what was released. 0: not at all. RefundFee says
	// what becomes of the fee on it, ReturnFee or KeepFee; "" is ReturnFee.
	RefundReleasedWithin Seconds `json:"refund_released_within,omitempty"`
	RefundFee            string  `json:"refund_fee,omitempty"`
	// DisputeReleasedWithin runs from the release, which is when the buyer has
	// confirmed the receipt or it counts as confirmed: until then the buyer can
	// dispute what was released. 0: not at all.
	DisputeReleasedWithin Seconds `json:"dispute_released_within,omitempty"`
	// ReserveBps is the share of the seller's part, in basis points, halves
	// rounded to even, that is kept in reserve when it matures, for ReserveFor
	// from then on. Both 0: there is no reserve.
	ReserveBps int64 `json:"reserve_bps,omitempty"`
	// ReserveTiers are the shares of sellers of these tiers, in place of
	// ReserveBps: more of new ones, none of those that are known.
	ReserveTiers map[string]int64 `json:"reserve_tiers,omitempty"`
	ReserveFor   Seconds          `json:"reserve_for,omitempty"`
	// RepresentWithin runs from a chargeback: then it is lost. 0: it is lost as it
	// comes. DecisionWithin runs from the representment; nothing moves by itself
	// when it passes. ChargebackBorneBy says who pays for a lost one of what was
	// released, BorneBySeller or BorneByMarketplace; "" is BorneBySeller.
	RepresentWithin   Seconds `json:"represent_within,omitempty"`
	DecisionWithin    Seconds `json:"decision_within,omitempty"`
	ChargebackBorneBy string  `json:"chargeback_borne_by,omitempty"`
	// FeedbackWithin runs from the order's end, or from what was refunded or charged
	// back since: so long buyer and seller may give feedback on each other. 0: there
	// is none. FeedbackRevisionWithin runs from
	// the reply to a feedback: so long its author may revise it. 0: no revision.
	FeedbackWithin         Seconds `json:"feedback_within,omitempty"`
	FeedbackRevisionWithin Seconds `json:"feedback_revision_within,omitempty"`

	Methods []string `json:"methods"`
	// Fees by currency code. "*" is for every other currency and has no
	// amounts, because an amount needs a currency.
	Fees map[string]Fee `json:"fees"`
	// FeeRules are for orders that differ, by method, seller's tier or currency:
	// of those that fit an order the first one counts, in place of Fees.
	FeeRules []FeeRule `json:"fee_rules,omitempty"`
	// Taxes are the tax on the fee in basis points by the seller's jurisdiction,
	// in place of the fee's own TaxBps; "*" is for every other one. Without "*"
	// nothing is agreed with a seller of another one.
	Taxes map[string]int64 `json:"taxes,omitempty"`
}

// What becomes of the fee, and the tax on it, on what is refunded after the
// release: it goes back too, or stays and the seller bears all of the refund.
const (
	ReturnFee = "return"
	KeepFee   = "keep"
)

// Who pays for a lost chargeback of what was released.
const (
	BorneBySeller      = "seller"
	BorneByMarketplace = "marketplace"
)

const day = Seconds(24 * 60 * 60)

// Standard is the policy that a new marketplace starts with: the terms that
// large cross-border marketplaces publish on their help pages.
func Standard() Policy {
	return Policy{
		Name: "standard", Version: 1,
		PayWithin: 5 * day, AuthoriseWithin: 7 * day, ShipWithin: 10 * day,
		ConfirmAfterDelivery: 7 * day, ConfirmAfterShipment: 15 * day, ConfirmVirtual: 3 * day,
		ExtendTimes: 1, ExtendBy: 15 * day,
		Disputes: 3, RuleWithin: 14 * day, MatureAfter: 2 * day,
		RefundReleasedWithin: 60 * day, RefundFee: ReturnFee,
		RepresentWithin: 14 * day, DecisionWithin: 75 * day, ChargebackBorneBy: BorneBySeller,
		FeedbackWithin: 60 * day, FeedbackRevisionWithin: 30 * day,
		Methods: []string{"card", "bank_transfer", "alipay", "wallet", "voucher"},
		Fees:    map[string]Fee{"*": {Bps: 500}},
	}
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// PolicyWord reports whether s can name a policy, a payment method or a category: a
// lower-case letter, then letters, digits, "_" or "-", 32 at most.
func PolicyWord(s string) bool { return word.MatchString(s) }

const maxSeconds = Seconds(10 * 366 * 24 * 60 * 60)

// The moments from which a version can be in force; outside of them are slips.
var (
	minEffective = time.Date(1971, 1, 1, 0, 0, 0, 0, time.UTC)
	maxEffective = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Validate says what is wrong with a policy, all of it at once, as FieldErrors.
func (p *Policy) Validate() error {
	var errs FieldErrors
	at := func(path Path, format string, args ...any) {
		errs = append(errs, FieldError{path, fmt.Sprintf(format, args...)})
	}
	bad := func(field, format string, args ...any) { at(Path{field}, format, args...) }
	if !PolicyWord(p.Name) {
		bad("name", "must match %s", word)
	}
	if !p.Effective.IsZero() && (p.Effective.Before(minEffective) || !p.Effective.Before(maxEffective)) {
		bad("effective", "must be from %d to %d", minEffective.Year(), maxEffective.Year()-1)
	} else if p.Effective.Nanosecond()%1000 != 0 {
		bad("effective", "must not be finer than microseconds")
	}
	for _, d := range []struct {
		name string
		v    Seconds
		min  Seconds
	}{
		{"pay_within", p.PayWithin, 1}, {"authorise_within", p.AuthoriseWithin, 0}, {"ship_within", p.ShipWithin, 1},
		{"confirm_after_delivery", p.ConfirmAfterDelivery, 1},
		{"confirm_after_shipment", p.ConfirmAfterShipment, 1},
		{"confirm_agreed_min", p.ConfirmAgreedMin, 0}, {"confirm_agreed_max", p.ConfirmAgreedMax, 0},
		{"confirm_virtual", p.ConfirmVirtual, 0},
		{"rule_within", p.RuleWithin, 1},
		{"extend_by", p.ExtendBy, 0}, {"mature_after", p.MatureAfter, 0},
		{"refund_released_within", p.RefundReleasedWithin, 0}, {"dispute_released_within", p.DisputeReleasedWithin, 0}, {"reserve_for", p.ReserveFor, 0},
		{"represent_within", p.RepresentWithin, 0}, {"decision_within", p.DecisionWithin, 0},
		{"respond_within", p.RespondWithin, 0}, {"negotiate_within", p.NegotiateWithin, 0}, {"escalate_after", p.EscalateAfter, 0},
		{"evidence_within", p.EvidenceWithin, 0}, {"appeal_within", p.AppealWithin, 0},
		{"return_within", p.ReturnWithin, 0}, {"inspect_within", p.InspectWithin, 0}, {"replace_within", p.ReplaceWithin, 0},
		{"feedback_within", p.FeedbackWithin, 0}, {"feedback_revision_within", p.FeedbackRevisionWithin, 0},
	} {
		if d.v < d.min && d.v == 0 {
			bad(d.name, "must be from %s to %s: with 0 a state has no deadline (rule %s)", d.min, maxSeconds, RuleDeadline)
		} else if d.v < d.min || d.v > maxSeconds {
			bad(d.name, "must be from %s to %s", d.min, maxSeconds)
		}
	}
	p.validateInspection(bad)
	p.Calendar.validate(at)
	p.validateDisputes(bad)
	if p.FeedbackRevisionWithin > 0 && p.FeedbackWithin == 0 {
		bad("feedback_revision_within", "there is no feedback to revise: feedback_within is 0")
	}
	p.validateAftermath(bad, at)
	if p.ExtendTimes < 0 || p.ExtendTimes > 100 {
		bad("extend_times", "must be from 0 to 100")
	}
	if p.ExtendTimes > 0 && p.ExtendBy == 0 {
		bad("extend_by", "must be positive where extend_times is")
	}
	if p.ExtendTogether && p.ExtendTimes == 0 {
		bad("extend_together", "there is nothing to agree on: extend_times is 0")
	}
	if p.Disputes < 0 || p.Disputes > 100 {
		bad("disputes", "must be from 0, for no limit, to 100")
	}
	if len(p.Methods) == 0 {
		bad("methods", "name at least one payment method: else an order that is %s waits for the %s, who can do nothing (rule %s)", Agreed, Buyer, RuleOwner)
	}
	for i, m := range p.Methods {
		if !PolicyWord(m) {
			at(Path{"methods", Index(i)}, "must match %s", word)
		}
		if m == Balance {
			at(Path{"methods", Index(i)}, "%s is what a buyer has already, which every policy takes", Balance)
		}
		if slices.Contains(p.Methods[:i], m) {
			at(Path{"methods", Index(i)}, "named twice")
		}
	}
	p.validateFees(at)
	for _, code := range slices.Sorted(maps.Keys(p.ApproveRulingsOver)) {
		path := Path{"approve_rulings_over", Key(code)}
		if _, ok := chart.ByCode(code); !ok {
			at(path, "not an ISO 4217 currency: an amount needs one")
		}
		if v := p.ApproveRulingsOver[code]; v < 1 || v > MaxAmount {
			at(path, "must be from 1 to 2^53-1 minor units; a currency without such a limit is left out")
		}
	}
	if len(errs) == 0 {
		errs = p.gaps()
	}
	return errs.orNil()
}

// validateDisputes: each step of a dispute has its deadline, or the step is not
// there.
func (p *Policy) validateDisputes(bad func(field, format string, args ...any)) {
	if responds := p.RespondWithin > 0; responds != (p.NegotiateWithin > 0) || responds != (p.EvidenceWithin > 0) {
		bad("respond_within", "respond_within, negotiate_within and evidence_within are all set or all 0: else a state has no deadline (rule %s)", RuleDeadline)
	}
	if (p.ReturnWithin > 0) != (p.InspectWithin > 0) {
		bad("return_within", "return_within and inspect_within are both set or both 0: else a state has no deadline (rule %s)", RuleDeadline)
	}
	if p.ReturnWithin > 0 && p.NegotiateWithin == 0 {
		bad("return_within", "a return is agreed in a negotiation, and negotiate_within is 0")
	}
	if p.ReplaceWithin > 0 && p.NegotiateWithin == 0 {
		bad("replace_within", "a replacement is agreed in a negotiation, and negotiate_within is 0")
	}
	if p.EscalateAfter > 0 && p.NegotiateWithin == 0 {
		bad("escalate_after", "there is no negotiation to escalate: negotiate_within is 0")
	} else if p.EscalateAfter > 0 && p.EscalateAfter >= p.RespondWithin+p.NegotiateWithin {
		bad("escalate_after", "must be shorter than respond_within and negotiate_within together: by then every negotiation is over")
	}
}

// validateAftermath says what is wrong with refunds after the release, reserves
// and chargebacks.
func (p *Policy) validateAftermath(bad func(field, format string, args ...any), at func(Path, string, ...any)) {
	if p.RefundFee != "" && p.RefundFee != ReturnFee && p.RefundFee != KeepFee {
		bad("refund_fee", "must be %s or %s", ReturnFee, KeepFee)
	}
	if (p.RepresentWithin > 0) != (p.DecisionWithin > 0) {
		bad("represent_within", "represent_within and decision_within are both set or both 0: else a state has no deadline (rule %s)", RuleDeadline)
	}
	if b := p.ChargebackBorneBy; b != "" && b != BorneBySeller && b != BorneByMarketplace {
		bad("chargeback_borne_by", "must be %s or %s", BorneBySeller, BorneByMarketplace)
	}
	if p.ReserveBps < 0 || p.ReserveBps > 10_000 {
		bad("reserve_bps", "must be from 0 to 10000 basis points")
	}
	kept := p.ReserveBps > 0
	for _, tier := range slices.Sorted(maps.Keys(p.ReserveTiers)) {
		path, bps := Path{"reserve_tiers", Key(tier)}, p.ReserveTiers[tier]
		if !PolicyWord(tier) {
			at(path, "must match %s", word)
		}
		if bps < 0 || bps > 10_000 {
			at(path, "must be from 0 to 10000 basis points")
		}
		kept = kept || bps > 0
	}
	if kept != (p.ReserveFor > 0) {
		bad("reserve_for", "reserve_bps, or one of reserve_tiers, and reserve_for are both set or both 0")
	}
}

// InForce is the newest of some versions of a policy that is in force at a
// moment of the marketplace's time, nil for none. The newest is the one with
// the highest version, so a version that waits for its time is withdrawn by a
// newer one that does not.
func InForce(versions []*Policy, at time.Time) *Policy {
	var found *Policy
	for _, p := range versions {
		if !p.Effective.After(at) && (found == nil || p.Version > found.Version) {
			found = p
		}
	}
	return found
}
