package order

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"escrowd/ledger/chart"
)

// Seconds is a duration in a policy document.
type Seconds int64

// Duration is s as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Policy is one version of a marketplace's rules. A version never changes:
// an order keeps the one under which it was agreed.
type Policy struct {
	ID      int64  `json:"-"`
	Name    string `json:"name"`
	Version int32  `json:"version"`

	// PayWithin runs from the agreement: then the order expires.
	PayWithin Seconds `json:"pay_within"`
	// AuthoriseWithin runs from the authorisation of a payment: then it is voided
	// and the order expires. 0: payments are captured at once.
	AuthoriseWithin Seconds `json:"authorise_within,omitempty"`
	// ShipWithin runs from the payment: then the order is canceled and the
	// buyer refunded. An order's agreed shipping date, when later, counts.
	ShipWithin Seconds `json:"ship_within"`
	// ConfirmAfterDelivery runs from the delivery, ConfirmAfterShipment from
	// the shipment as long as nobody reports a delivery: then the seller is paid.
	ConfirmAfterDelivery Seconds `json:"confirm_after_delivery"`
	ConfirmAfterShipment Seconds `json:"confirm_after_shipment"`
	// ExtendTimes is how often each of buyer and seller may move a ship_by or
	// confirm_by deadline, ExtendBy how far in one step at most.
	ExtendTimes int16   `json:"extend_times"`
	ExtendBy    Seconds `json:"extend_by"`
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
	// AppealWithin runs from the ruling: then it is carried out. 0: at once.
	AppealWithin Seconds `json:"appeal_within,omitempty"`
	// ReturnWithin runs from the agreement on a return: then the seller is paid.
	// InspectWithin runs from the goods' shipment back: then the buyer is. 0: no
	// returns.
	ReturnWithin  Seconds `json:"return_within,omitempty"`
	InspectWithin Seconds `json:"inspect_within,omitempty"`
	// MatureAfter runs from the release: then the seller can be paid out.
	MatureAfter Seconds `json:"mature_after"`
	// RefundReleasedWithin runs from the release: until then the seller and the
	// marketplace can refund what was released. 0: not at all. RefundFee says
	// what becomes of the fee on it, ReturnFee or KeepFee; "" is ReturnFee.
	RefundReleasedWithin Seconds `json:"refund_released_within,omitempty"`
	RefundFee            string  `json:"refund_fee,omitempty"`
	// ReserveBps is the share of the seller's part, in basis points, halves
	// rounded to even, that is kept in reserve when it matures, for ReserveFor
	// from then on. Both 0: there is no reserve.
	ReserveBps int64   `json:"reserve_bps,omitempty"`
	ReserveFor Seconds `json:"reserve_for,omitempty"`
	// RepresentWithin runs from a chargeback: then it is lost. 0: it is lost as it
	// comes. DecisionWithin runs from the representment; nothing moves by itself
	// when it passes. ChargebackBorneBy says who pays for a lost one of what was
	// released, BorneBySeller or BorneByMarketplace; "" is BorneBySeller.
	RepresentWithin   Seconds `json:"represent_within,omitempty"`
	DecisionWithin    Seconds `json:"decision_within,omitempty"`
	ChargebackBorneBy string  `json:"chargeback_borne_by,omitempty"`

	Methods []string `json:"methods"`
	// Fees by currency code. "*" is for every other currency and has no
	// amounts, because an amount needs a currency.
	Fees map[string]Fee `json:"fees"`
}

// Fee is how a fee is computed on an amount: basis points plus a fixed part,
// not below Min, not above Cap (0: no cap) nor the amount. Amounts are minor
// units. TaxBps is tax on the fee, on top of it. Halves round to even.
type Fee struct {
	Bps    int64 `json:"bps"`
	Fixed  int64 `json:"fixed,omitempty"`
	Min    int64 `json:"min,omitempty"`
	Cap    int64 `json:"cap,omitempty"`
	TaxBps int64 `json:"tax_bps,omitempty"`
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
		ConfirmAfterDelivery: 7 * day, ConfirmAfterShipment: 15 * day,
		ExtendTimes: 1, ExtendBy: 15 * day,
		RuleWithin: 14 * day, MatureAfter: 2 * day,
		RefundReleasedWithin: 60 * day, RefundFee: ReturnFee,
		RepresentWithin: 14 * day, DecisionWithin: 75 * day, ChargebackBorneBy: BorneBySeller,
		Methods: []string{"card", "bank_transfer", "alipay", "wallet", "voucher"},
		Fees:    map[string]Fee{"*": {Bps: 500}},
	}
}

var word = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// PolicyWord reports whether s can name a policy or a payment method: a
// lower-case letter, then letters, digits, "_" or "-", 32 at most.
func PolicyWord(s string) bool { return word.MatchString(s) }

const maxSeconds = Seconds(10 * 366 * 24 * 60 * 60)

// Validate says what is wrong with a policy, all of it at once.
func (p *Policy) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !PolicyWord(p.Name) {
		bad("name: must match %s", word)
	}
	for _, d := range []struct {
		name string
		v    Seconds
		min  Seconds
	}{
		{"pay_within", p.PayWithin, 1}, {"authorise_within", p.AuthoriseWithin, 0}, {"ship_within", p.ShipWithin, 1},
		{"confirm_after_delivery", p.ConfirmAfterDelivery, 1},
		{"confirm_after_shipment", p.ConfirmAfterShipment, 1},
		{"rule_within", p.RuleWithin, 1},
		{"extend_by", p.ExtendBy, 0}, {"mature_after", p.MatureAfter, 0},
		{"refund_released_within", p.RefundReleasedWithin, 0}, {"reserve_for", p.ReserveFor, 0},
		{"represent_within", p.RepresentWithin, 0}, {"decision_within", p.DecisionWithin, 0},
		{"respond_within", p.RespondWithin, 0}, {"negotiate_within", p.NegotiateWithin, 0}, {"escalate_after", p.EscalateAfter, 0},
		{"evidence_within", p.EvidenceWithin, 0}, {"appeal_within", p.AppealWithin, 0},
		{"return_within", p.ReturnWithin, 0}, {"inspect_within", p.InspectWithin, 0},
	} {
		if d.v < d.min || d.v > maxSeconds {
			bad("%s: must be from %d to %d seconds", d.name, d.min, maxSeconds)
		}
	}
	// Each step of a dispute has its deadline, or the step is not there.
	if responds := p.RespondWithin > 0; responds != (p.NegotiateWithin > 0) || responds != (p.EvidenceWithin > 0) {
		bad("respond_within: respond_within, negotiate_within and evidence_within are all set or all 0")
	}
	if (p.ReturnWithin > 0) != (p.InspectWithin > 0) {
		bad("return_within: return_within and inspect_within are both set or both 0")
	}
	if p.ReturnWithin > 0 && p.NegotiateWithin == 0 {
		bad("return_within: a return is agreed in a negotiation, and negotiate_within is 0")
	}
	if p.EscalateAfter > 0 && p.NegotiateWithin == 0 {
		bad("escalate_after: there is no negotiation to escalate: negotiate_within is 0")
	}
	if p.RefundFee != "" && p.RefundFee != ReturnFee && p.RefundFee != KeepFee {
		bad("refund_fee: must be %s or %s", ReturnFee, KeepFee)
	}
	if (p.RepresentWithin > 0) != (p.DecisionWithin > 0) {
		bad("represent_within: represent_within and decision_within are both set or both 0")
	}
	if b := p.ChargebackBorneBy; b != "" && b != BorneBySeller && b != BorneByMarketplace {
		bad("chargeback_borne_by: must be %s or %s", BorneBySeller, BorneByMarketplace)
	}
	if p.ReserveBps < 0 || p.ReserveBps > 10_000 {
		bad("reserve_bps: must be from 0 to 10000")
	}
	if (p.ReserveBps > 0) != (p.ReserveFor > 0) {
		bad("reserve_for: reserve_bps and reserve_for are both set or both 0")
	}
	if p.ExtendTimes < 0 || p.ExtendTimes > 100 {
		bad("extend_times: must be from 0 to 100")
	}
	if p.ExtendTimes > 0 && p.ExtendBy == 0 {
		bad("extend_by: must be positive where extend_times is")
	}
	if len(p.Methods) == 0 {
		bad("methods: name at least one payment method")
	}
	for i, m := range p.Methods {
		if !PolicyWord(m) {
			bad("methods[%d]: must match %s", i, word)
		}
		if slices.Contains(p.Methods[:i], m) {
			bad("methods[%d]: named twice", i)
		}
	}
	if len(p.Fees) == 0 {
		bad(`fees: needs a currency or "*"`)
	}
	for code, f := range p.Fees {
		if code == "*" {
			if f.Fixed != 0 || f.Min != 0 || f.Cap != 0 {
				bad(`fees["*"]: fixed, min and cap are amounts and need a currency`)
			}
		} else if _, ok := chart.ByCode(code); !ok {
			bad("fees: %.8q is not an ISO 4217 currency", code)
		}
		if f.Bps < 0 || f.Bps > 10_000 || f.TaxBps < 0 || f.TaxBps > 10_000 {
			bad("fees[%.8q]: bps and tax_bps must be from 0 to 10000", code)
		}
		if f.Fixed < 0 || f.Min < 0 || f.Cap < 0 || f.Fixed > MaxAmount || f.Min > MaxAmount || f.Cap > MaxAmount {
			bad("fees[%.8q]: fixed, min and cap must be from 0 to 2^53-1", code)
		}
		if f.Cap > 0 && f.Min > f.Cap {
			bad("fees[%.8q]: min is above cap", code)
		}
	}
	return errors.Join(errs...)
}

// FeeFor is the fee policy for a currency, and whether there is one.
func (p *Policy) FeeFor(currency string) (Fee, bool) {
	if f, ok := p.Fees[currency]; ok {
		return f, true
	}
	f, ok := p.Fees["*"]
	return f, ok
}

// On is the fee and the tax on it for an amount; together at most the amount.
func (f Fee) On(amount int64) (fee, tax int64) {
	fee = mulDiv(amount, f.Bps, 10_000) + f.Fixed
	fee = max(fee, f.Min)
	if f.Cap > 0 {
		fee = min(fee, f.Cap)
	}
	fee = min(fee, amount)
	tax = min(mulDiv(fee, f.TaxBps, 10_000), amount-fee)
	return fee, tax
}
