package order

import (
	"errors"
	"maps"
	"regexp"
	"slices"

	"escrowd/ledger/chart"
)

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

// Bearer is who bears a fee and the tax on it.
type Bearer string

// The bearers. A fee is taken out of what the seller gets; what the buyer bears
// of it the buyer pays on top of what the goods cost.
const (
	SellerBears Bearer = "seller" // also ""
	BuyerBears  Bearer = "buyer"
	BothBear    Bearer = "split" // the buyer BuyerBps of it, the seller the rest
)

// FeeRule is the fee of the orders that fit all that it names.
type FeeRule struct {
	Method   string `json:"method,omitempty"`   // how the order is paid; "" for any
	Tier     string `json:"tier,omitempty"`     // the seller's; "" for any
	Currency string `json:"currency,omitempty"` // "" for any: then Fee has no amounts, which need one
	Fee
	BorneBy  Bearer `json:"borne_by,omitempty"`
	BuyerBps int64  `json:"buyer_bps,omitempty"` // with split alone
}

// Kind is what the fee of an order depends on beside its amount.
type Kind struct {
	Currency     string
	Method       string // "" as long as nobody has paid: no rule that names one fits
	Tier         string // the seller's, "" for none
	Jurisdiction string // the seller's, "" for none
}

func (r *FeeRule) fits(k Kind) bool {
	return (r.Method == "" || r.Method == k.Method) && (r.Tier == "" || r.Tier == k.Tier) && (r.Currency == "" || r.Currency == k.Currency)
}

// share is what the buyer bears of a fee with its tax.
func (r *FeeRule) share(total int64) int64 {
	switch r.BorneBy {
	case BuyerBears:
		return total
	case BothBear:
		return mulDiv(total, r.BuyerBps, 10_000)
	}
	return 0
}

// Charge is what an order comes to: what the goods cost, the fee on that, the
// tax on the fee, and what of the two the buyer pays on top. Minor units.
type Charge struct{ Amount, Fee, Tax, BuyerShare int64 }

// Pays is what the buyer pays, and escrow holds.
func (c Charge) Pays() int64 { return c.Amount + c.BuyerShare }

// On is what an order comes to whose goods cost an amount.
func (r *FeeRule) On(amount int64) Charge {
	c := Charge{Amount: amount}
	c.Fee, c.Tax = r.Fee.On(amount)
	c.BuyerShare = r.share(c.Fee + c.Tax)
	return c
}

// Within is what an order comes to of which a buyer pays only a part, whose goods
// cost a price at most: as if the goods that this pays for had been agreed alone.
// Because of rounding there may be none that it pays for to the cent; then what
// is left is part of their price.
func (r *FeeRule) Within(pays, price int64) Charge {
	low, high := int64(0), min(pays, price)
	for low < high { // what the buyer pays rises with what the goods cost
		if middle := high - (high-low)/2; r.On(middle).Pays() <= pays {
			low = middle
		} else {
			high = middle - 1
		}
	}
	c := r.On(low)
	c.Amount = min(pays-c.BuyerShare, price)
	c.BuyerShare = pays - c.Amount
	return c
}

// Why there is no rule for an order.
var (
	ErrNoFee = errors.New("the policy has no fee for the currency")
	ErrNoTax = errors.New("the policy has no tax for the jurisdiction")
)

// RuleFor is the fee of an order: that of the first of the FeeRules that fits,
// else that of its currency, which the seller bears. The tax is that of the
// seller's jurisdiction, if it has one and the policy has Taxes. ErrNoFee or
// ErrNoTax: the policy does not provide for such an order.
func (p *Policy) RuleFor(k Kind) (FeeRule, error) {
	var rule FeeRule
	if i := slices.IndexFunc(p.FeeRules, func(r FeeRule) bool { return r.fits(k) }); i >= 0 {
		rule = p.FeeRules[i]
	} else if fee, ok := p.FeeFor(k.Currency); ok {
		rule.Fee = fee
	} else {
		return rule, ErrNoFee
	}
	if len(p.Taxes) == 0 || k.Jurisdiction == "" {
		return rule, nil
	}
	bps, ok := p.Taxes[k.Jurisdiction]
	if !ok {
		bps, ok = p.Taxes["*"]
	}
	if !ok {
		return rule, ErrNoTax
	}
	rule.TaxBps = bps
	return rule, nil
}

// feesByMethod reports whether a fee can depend on how an order is paid.
func (p *Policy) feesByMethod() bool {
	return slices.ContainsFunc(p.FeeRules, func(r FeeRule) bool { return r.Method != "" })
}

// FeeFor is the fee for a currency where no rule fits, and whether there is one.
func (p *Policy) FeeFor(currency string) (Fee, bool) {
	if f, ok := p.Fees[currency]; ok {
		return f, true
	}
	f, ok := p.Fees["*"]
	return f, ok
}

// Agree fixes what the order comes to when it is agreed, for a payment by a
// method that no rule names.
func (t *Terms) Agree() error {
	rule, err := t.rule("")
	if err != nil {
		return err
	}
	c := rule.On(t.Amount)
	t.Fee, t.Tax, t.BuyerShare = c.Fee, c.Tax, c.BuyerShare
	return nil
}

// agreed is what the order comes to by its terms.
func (t *Terms) agreed() Charge { return Charge{t.Amount, t.Fee, t.Tax, t.BuyerShare} }

func (t *Terms) rule(method string) (FeeRule, error) {
	_, currency, _ := chart.SplitLedger(t.Ledger)
	return t.Policy.RuleFor(Kind{currency.Code, method, t.SellerTier, t.Jurisdiction})
}

// Charge is what the order comes to: what was agreed, or what came of it where
// the price has changed since, the fee depended on the method of payment, or only
// a part of an authorised payment was captured. The terms stay as they were agreed.
func (o *Order) Charge() Charge {
	if o.Captured.Amount > 0 {
		return o.Captured
	}
	return o.agreed()
}

// chargeBy settles what the order comes to as it is paid by a method.
func (p *planner) chargeBy(method string) error {
	o := p.o
	if len(o.Policy.FeeRules) == 0 {
		return nil // nothing depends on it
	}
	rule, err := o.rule(method)
	if err != nil {
		return p.refuse(RulePolicy, "policy %s version %d: %v", o.Policy.Name, o.Policy.Version, err)
	}
	c := rule.On(o.Price())
	if err := p.checkPays(c); err != nil {
		return err
	}
	if o.Method = method; c != o.Charge() {
		o.Captured = c
	}
	return nil
}

// checkPays refuses a charge of which the buyer would pay more than there can be.
func (p *planner) checkPays(c Charge) error {
	if c.Pays() > MaxAmount {
		return p.refuse(RuleAmount, "with the buyer's share of the fee %d is to be paid, which is more than %d", c.Pays(), MaxAmount)
	}
	return nil
}

var jurisdiction = regexp.MustCompile(`^[A-Z]{2}(-[A-Z0-9]{1,3})?$`)

// Jurisdiction reports whether s can name one: a country by ISO 3166-1, DE, or a
// part of it by ISO 3166-2, US-CA.
func Jurisdiction(s string) bool { return jurisdiction.MatchString(s) }

// validateFees says what is wrong with fees, their rules and taxes.
func (p *Policy) validateFees(at func(Path, string, ...any)) {
	if len(p.Fees) == 0 {
		at(Path{"fees"}, `needs a currency or "*"`)
	}
	for _, code := range slices.Sorted(maps.Keys(p.Fees)) {
		path := Path{"fees", Key(code)}
		if _, ok := chart.ByCode(code); !ok && code != "*" {
			at(path, `not an ISO 4217 currency, nor "*"`)
		}
		p.Fees[code].validate(path, code == "*", at)
	}
	for i := range p.FeeRules {
		p.validateRule(i, at)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Taxes)) {
		path := Path{"taxes", Key(name)}
		if name != "*" && !Jurisdiction(name) {
			at(path, `not a jurisdiction like DE or US-CA, nor "*"`)
		}
		if bps := p.Taxes[name]; bps < 0 || bps > 10_000 {
			at(path, "must be from 0 to 10000 basis points")
		}
	}
}

func (p *Policy) validateRule(i int, at func(Path, string, ...any)) {
	r := &p.FeeRules[i]
	path := Path{"fee_rules", Index(i)}
	field := func(name, format string, args ...any) { at(append(slices.Clone(path), name), format, args...) }
	if r.Method != "" && !slices.Contains(p.Methods, r.Method) {
		field("method", "not one of the policy's methods")
	}
	if r.Tier != "" && !PolicyWord(r.Tier) {
		field("tier", "must match %s", word)
	}
	if _, ok := chart.ByCode(r.Currency); !ok && r.Currency != "" {
		field("currency", "not an ISO 4217 currency")
	}
	r.Fee.validate(path, r.Currency == "", at)
	switch r.BorneBy {
	case "", SellerBears, BuyerBears:
		if r.BuyerBps != 0 {
			field("buyer_bps", "is for borne_by %s alone", BothBear)
		}
	case BothBear:
		if r.BuyerBps < 1 || r.BuyerBps > 9_999 {
			field("buyer_bps", "must be from 1 to 9999 basis points where borne_by is %s", BothBear)
		}
	default:
		field("borne_by", "must be %s, %s or %s", SellerBears, BuyerBears, BothBear)
	}
	// A rule that never applies is a slip of somebody who thinks that it does.
	if (*r).fits(Kind{}) {
		at(path, "names no method, tier or currency: what is for all orders stands in fees")
	}
	for j := range p.FeeRules[:i] {
		if p.FeeRules[j].fits(Kind{Method: r.Method, Tier: r.Tier, Currency: r.Currency}) {
			at(path, "never applies: fee_rules[%d] fits the same orders and comes first", j)
			break
		}
	}
}

// validate says what is wrong with the fee at a path. One for any currency has
// no amounts.
func (f Fee) validate(path Path, anyCurrency bool, at func(Path, string, ...any)) {
	field := func(name, format string, args ...any) {
		at(append(slices.Clone(path), name), format, args...)
	}
	for _, part := range []struct {
		name string
		bps  int64
	}{{"bps", f.Bps}, {"tax_bps", f.TaxBps}} {
		if part.bps < 0 || part.bps > 10_000 {
			field(part.name, "must be from 0 to 10000 basis points")
		}
	}
	for _, part := range []struct {
		name   string
		amount int64
	}{{"fixed", f.Fixed}, {"min", f.Min}, {"cap", f.Cap}} {
		if part.amount != 0 && anyCurrency {
			field(part.name, "is an amount and needs a currency")
		} else if part.amount < 0 || part.amount > MaxAmount {
			field(part.name, "must be from 0 to 2^53-1 minor units")
		}
	}
	if f.Cap > 0 && f.Min > f.Cap {
		field("min", "is above cap")
	}
}
