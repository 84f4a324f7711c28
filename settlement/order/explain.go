package order

import (
	"fmt"
	"strings"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// Explanation says in words why an order's money is where it is, until when,
// who has to act next, and what happens otherwise.
type Explanation struct {
	Why       string `json:"why"`
	Until     string `json:"until"`
	Next      string `json:"next"`
	Otherwise string `json:"otherwise"`
}

// NextActors is who an order in s waits for: the roles whose event leads on.
func NextActors(s State) []Role {
	switch s {
	case Agreed:
		return roles(Buyer)
	case Held:
		return roles(Seller)
	case Shipped, Delivered:
		return roles(Buyer)
	case Disputed:
		return roles(Operator)
	case Released, Ruled:
		return roles(System)
	}
	return nil
}

// HeldBecause is why money in escrow is held in a state, in a few words.
func HeldBecause(s State) string {
	switch s {
	case Held:
		return "paid, not yet shipped"
	case Shipped:
		return "shipped, receipt not confirmed"
	case Delivered:
		return "delivered, not confirmed by the buyer"
	case Disputed:
		return "in dispute, frozen"
	}
	return ""
}

// Explain says where the order stands.
func Explain(o *Order) Explanation {
	money := func(v int64) string {
		_, cur, ok := chart.SplitLedger(o.Ledger)
		if !ok {
			return fmt.Sprint(v)
		}
		return cur.Code + " " + cur.Format(ledger.U64(uint64(v)))
	}
	e := Explanation{Until: "no deadline"}
	if o.Deadline != NoDeadline {
		e.Until = fmt.Sprintf("%s, %s", stamp(o.DeadlineAt), o.Deadline)
	}
	switch o.State {
	case Agreed:
		e.Why = fmt.Sprintf("Nothing is held yet: %s was agreed and is not paid.", money(o.Amount))
		e.Next = "The buyer pays; until then anyone may cancel."
		e.Otherwise = "The order expires; no money has moved."
	case Held:
		e.Why = fmt.Sprintf("%s is held: the buyer has paid and the seller has not shipped.", money(o.Held))
		e.Next = "The seller ships; until then buyer or seller may cancel."
		e.Otherwise = "The order is canceled and all that is held goes back to the buyer."
	case Shipped:
		e.Why = fmt.Sprintf("%s is held: the goods were shipped and nobody has reported their delivery.", money(o.Held))
		e.Next = "The buyer confirms or opens a dispute; a reported delivery starts the time to confirm anew."
		e.Otherwise = "What is held is released to the seller, less the fee."
	case Delivered:
		e.Why = fmt.Sprintf("%s is held: the goods were delivered and the buyer has not confirmed.", money(o.Held))
		e.Next = "The buyer confirms or opens a dispute."
		e.Otherwise = "What is held is released to the seller, less the fee."
	case Disputed:
		e.Why = fmt.Sprintf("%s is held and frozen: the buyer disputes the order.", money(o.Held))
		e.Next = "The marketplace rules how what is held is split."
		e.Otherwise = "Nothing moves by itself: the money stays frozen and the order is reported as overdue."
	case Released:
		e.Why = fmt.Sprintf("Nothing is held: %s was released, of which %s is the fee and %s tax on it.", money(o.Released), money(o.FeeCharged), money(o.TaxCharged))
		e.Next = fmt.Sprintf("Nobody has to act: %s matures.", money(o.Maturing))
		e.Otherwise = "The seller's money becomes available at that moment."
	case Ruled:
		e.Why = fmt.Sprintf("Nothing is held: a ruling released %s to the seller, fee %s included, and refunded %s to the buyer.",
			money(o.Released), money(o.FeeCharged), money(o.Refunded))
		e.Next = fmt.Sprintf("Nobody has to act: %s matures.", money(o.Maturing))
		e.Otherwise = "The seller's money becomes available at that moment."
	case Refunded:
		e.Why = fmt.Sprintf("Nothing is held: %s was refunded to the buyer.", money(o.Refunded))
	case Canceled:
		e.Why = "Nothing is held: the order was canceled before shipping."
		if o.Refunded > 0 {
			e.Why = fmt.Sprintf("Nothing is held: the order was canceled before shipping and %s was refunded to the buyer.", money(o.Refunded))
		}
	case Expired:
		e.Why = "Nothing is held: the order was not paid in time; no money moved."
	case Closed:
		e.Why = fmt.Sprintf("Nothing is held: %s was released, fee %s and tax %s included, and the seller's part is available; %s was refunded.",
			money(o.Released), money(o.FeeCharged), money(o.TaxCharged), money(o.Refunded))
	}
	if !o.State.Open() {
		e.Next, e.Otherwise = "Nobody: the order has ended.", "Nothing."
	}
	return e
}

func stateWord(s State) string {
	if s == None {
		return "not there"
	}
	return string(s)
}

func roleWord(r Role) string {
	if r == "" {
		return "an unnamed role"
	}
	return string(r)
}

func joinRoles(rs []Role) string {
	words := make([]string, len(rs))
	for i, r := range rs {
		words[i] = string(r)
	}
	return joinWords(words, "or")
}

func joinWords(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}
