package people

import (
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// MaxReason is how many characters the reason of a mark has at most.
const MaxReason = 2000

// Mark says that a seller is eligible for escrow, or is not.
type Mark struct {
	Position int64 // rises in the order in which a marketplace's marks were made
	ID       ledger.ID
	Seller   string // opaque id
	Category string // "" for all
	Eligible bool
	Reason   string
	Since    time.Time // counts for agreements that take effect then or later
}

// Check is nil or the *order.Refusal of a mark that cannot be made.
func (m *Mark) Check() error {
	if wrong := idFault(m.Seller); wrong != "" {
		return refuse(EventMark, order.None, RuleSeller, "the seller's id %s", wrong)
	}
	if m.Category != "" && !order.PolicyWord(m.Category) {
		return refuse(EventMark, order.None, RuleCategory, "a category is a lower-case letter, then letters, digits, _ or -, 32 at most")
	}
	if wrong := fault(m.Reason, 1, MaxReason, true); wrong != "" {
		return refuse(EventMark, order.None, order.RuleReason, "the reason %s", wrong)
	}
	return nil
}

// Terms are what a marketplace keeps of a seller for agreements that do not say it
// themselves.
type Terms struct {
	Position     int64 // rises in the order in which a marketplace's terms were said
	ID           ledger.ID
	Seller       string // opaque id
	Tier         string // an order.PolicyWord; "" for none
	Jurisdiction string // like DE or US-CA; "" for none
	Reason       string
	Since        time.Time // counts for agreements that take effect then or later
}

// Check is nil or the *order.Refusal of terms that cannot be kept.
func (t *Terms) Check() error {
	if wrong := idFault(t.Seller); wrong != "" {
		return refuse(EventTerm, order.None, RuleSeller, "the seller's id %s", wrong)
	}
	if t.Tier != "" && !order.PolicyWord(t.Tier) {
		return refuse(EventTerm, order.None, RuleTier, "a tier is a lower-case letter, then letters, digits, _ or -, 32 at most")
	}
	if t.Jurisdiction != "" && !order.Jurisdiction(t.Jurisdiction) {
		return refuse(EventTerm, order.None, RuleCountry, "a jurisdiction is a country like DE or a part of one like US-CA")
	}
	if wrong := fault(t.Reason, 1, MaxReason, true); wrong != "" {
		return refuse(EventTerm, order.None, order.RuleReason, "the reason %s", wrong)
	}
	return nil
}

// Standing is what counts of a seller, for one category, at a moment.
type Standing struct {
	OnlyListed bool  // the marketplace's setting: without a mark nobody is eligible
	All        *Mark // the newest for all categories, nil for none
	Category   *Mark // the newest for the category, nil for none
	// Tier and Jurisdiction are those of the newest terms, "" for none.
	Tier, Jurisdiction string
}

// Eligible reports whether orders may be agreed with the seller. A mark against
// the seller counts whatever the other one says; and where only listed sellers
// are eligible there has to be one in favour.
func (s Standing) Eligible() bool {
	listed := !s.OnlyListed
	for _, m := range []*Mark{s.All, s.Category} {
		if m == nil {
			continue
		}
		if !m.Eligible {
			return false
		}
		listed = true
	}
	return listed
}

// Why says in words what Eligible says. Reasons are the marketplace's own and
// stay out of it.
func (s Standing) Why() string {
	against := func(m *Mark) bool { return m != nil && !m.Eligible }
	switch {
	case against(s.All):
		return fmt.Sprintf("the seller is marked as not eligible in all categories since %s", stamp(s.All.Since))
	case against(s.Category):
		return fmt.Sprintf("the seller is marked as not eligible in this category since %s", stamp(s.Category.Since))
	case s.All != nil:
		return fmt.Sprintf("the seller is marked as eligible in all categories since %s", stamp(s.All.Since))
	case s.Category != nil:
		return fmt.Sprintf("the seller is marked as eligible in this category since %s", stamp(s.Category.Since))
	case s.OnlyListed:
		return "only listed sellers are eligible, and the seller has no mark in all categories or in this one"
	}
	return "all sellers are eligible that are not marked otherwise"
}

// Refuse is nil, or the *order.Refusal of an agreement with a seller of this
// standing.
func (s Standing) Refuse() error {
	if s.Eligible() {
		return nil
	}
	return refuse(order.Agree, order.None, RuleNotEligible, "%s", s.Why())
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
