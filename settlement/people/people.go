// Package people is what people say around an order, outside of its money:
//
//	feedback  buyer and seller rate each other once the order has ended
//	notes     what the marketplace's support writes down on an order
//	sellers   whom a marketplace lets into escrow, and their tiers and jurisdictions
//
// It is pure: no SQL, no HTTP, no clock. settlement/peopledb stores what is
// said, settlement/posting asks for a seller's standing when an order is
// agreed. Nothing of it reaches the ledger. Whatever is said is added and never
// changed, so that every earlier version stays readable. People are opaque ids.
//
// What cannot be said is an *order.Refusal that names its rule; then nothing
// has changed.
package people

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"escrowd/settlement/order"
)

// MaxID is how many bytes the opaque id of a person has at most.
const MaxID = 200

// The rules that this package refuses by, beside those of settlement/order.
const (
	RuleUnpaid      = "never-paid"          // nobody has dealt with anybody
	RuleNoFeedback  = "no-feedback"         // the order's policy has none
	RuleOnce        = "once"                // it was said already
	RuleNothingSaid = "nothing-to-reply-to" // the other one has given no feedback
	RuleNoReply     = "no-reply"            // only what was replied to is revised
	RuleRating      = "rating"              // not from 1 to 5
	RuleText        = "text"                // missing, too long, or not plain text
	RuleAuthor      = "author"              // of a note: missing, too long, or not plain text
	RuleSeller      = "seller"              // the same of a seller's id
	RuleCategory    = "category"            // not a word such as a policy's name
	RuleNotEligible = "seller-not-eligible" // the marketplace keeps the seller out of escrow
	RuleTier        = "tier"                // not a word such as a policy's name
	RuleCountry     = "jurisdiction"        // not a country or a part of one
)

// What is said, as an *order.Refusal names it.
const (
	EventNote order.Event = "note"
	EventMark order.Event = "mark"
	EventTerm order.Event = "seller_terms"
)

// fault is what is wrong with a text of least to most characters, "" for
// nothing. Control characters could make a terminal or a log say something
// else; where there are lines, only their ends and tabs are let through.
func fault(s string, least, most int, lines bool) string {
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return fmt.Sprintf("must have %d to %d characters, it has %d", least, most, n)
	}
	control := func(r rune) bool { return unicode.IsControl(r) && !(lines && (r == '\n' || r == '\t')) }
	if strings.ContainsFunc(s, control) {
		return "has control characters"
	}
	if least > 0 && strings.TrimSpace(s) == "" {
		return "is empty"
	}
	return ""
}

// idFault is what is wrong with the opaque id of a person.
func idFault(s string) string {
	if len(s) > MaxID {
		return fmt.Sprintf("is longer than %d bytes", MaxID)
	}
	return fault(s, 1, MaxID, false)
}

func refuse(e order.Event, s order.State, rule, format string, args ...any) *order.Refusal {
	return &order.Refusal{Rule: rule, Event: e, State: s, Detail: fmt.Sprintf(format, args...), Allowed: order.AllowedIn(s)}
}
