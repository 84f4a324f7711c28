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
	case Authorised:
		return roles(Operator)
	case Held:
		return roles(Seller)
	case PartShipped:
		return roles(Seller, Buyer)
	case Shipped, Delivered:
		return roles(Buyer)
	case Disputed:
		return roles(Seller, Operator)
	case Negotiating:
		return roles(Buyer, Seller)
	case Escalated:
		return roles(Buyer, Seller, Operator)
	case Arbitration:
		return roles(Operator)
	case Decided:
		return roles(Buyer, Seller, System)
	case Returning:
		return roles(Buyer)
	case Returned, Replacing:
		return roles(Seller)
	case ChargedBack, Represented:
		return roles(Operator)
	case Released, Ruled, Reserved:
		return roles(System)
	}
	return nil
}

// HeldBecause is why money in escrow is held in a state, in a few words.
func HeldBecause(s State) string {
	switch s {
	case Held:
		return "paid, not yet shipped"
	case PartShipped:
		return "shipped in part, the rest not yet"
	case Shipped:
		return "shipped, receipt not confirmed"
	case Delivered:
		return "delivered, not confirmed by the buyer"
	case Disputed:
		return "in dispute, frozen"
	case Negotiating:
		return "in dispute, the parties negotiate, frozen"
	case Escalated:
		return "in dispute, evidence is gathered, frozen"
	case Arbitration:
		return "in dispute, waits for the ruling, frozen"
	case Decided:
		return "ruled, may be appealed, frozen"
	case Returning:
		return "return agreed, goods not yet shipped back, frozen"
	case Returned:
		return "goods on their way back to the seller, frozen"
	case ChargedBack:
		return "charged back by the buyer's bank, not answered, frozen"
	case Represented:
		return "charged back, waits for the bank's decision, frozen"
	case Replacing:
		return "replacement agreed, not yet shipped, frozen"
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
		e.Until = fmt.Sprintf("%s, %s%s", stamp(o.DeadlineAt), o.Deadline, lengthenedBy(o))
	}
	if o.inParts() {
		explainParts(&e, o, money)
		explainInspection(&e, o)
		explainExtension(&e, o)
		explainCharge(&e, o, money)
		return e
	}
	switch o.State {
	case Agreed:
		c := o.Charge()
		e.Why = fmt.Sprintf("Nothing is held yet: %s was agreed and is not paid.", money(c.Amount))
		if c.BuyerShare > 0 {
			e.Why += fmt.Sprintf(" The buyer pays %s: %s of it is a share of the fee.", money(c.Pays()), money(c.BuyerShare))
		}
		if o.Policy.feesByMethod() {
			e.Why += " The fee depends on the method of payment and is settled by it."
		}
		e.Next = "The buyer pays; until then anyone may cancel."
		e.Otherwise = "The order expires; no money has moved."
		if o.Parts != nil {
			e.Why += fmt.Sprintf(" It is to be shipped and released in %d parts.", len(o.Parts.List))
			if dates := o.Parts.dates(); len(dates) > 0 {
				e.Why += fmt.Sprintf(" Dates of their own have %s.", some(dates))
			}
		}
	case Authorised:
		e.Why = fmt.Sprintf("Nothing is held yet: %s is authorised, which the buyer's bank has promised, and not captured.", money(o.Charge().Pays()))
		e.Next = "The marketplace captures the payment; until then buyer, seller or marketplace may void it."
		e.Otherwise = "The authorisation is voided and the order expires; no money has moved."
	case Held:
		e.Why = fmt.Sprintf("%s is held: the buyer has paid and the seller has not shipped.", money(o.Held))
		e.Next = "The seller ships" + tracked(o) + "; until then buyer or seller may cancel."
		e.Otherwise = "The order is canceled and all that is held goes back to the buyer."
	case Shipped:
		e.Why = fmt.Sprintf("%s is held: %s shipped and nobody has reported their delivery.", money(o.Held), goodsWere(o))
		e.Next = "The buyer confirms or opens a dispute; a reported delivery starts the time to confirm anew."
		e.Otherwise = "What is held is released to the seller, less the fee."
		if o.Virtual {
			e.Why = fmt.Sprintf("%s is held: the virtual goods were handed over and the buyer has not confirmed.", money(o.Held))
			e.Next = "The buyer confirms or opens a dispute."
		}
	case Delivered:
		e.Why = fmt.Sprintf("%s is held: %s delivered and the buyer has not confirmed.", money(o.Held), goodsWere(o))
		e.Next = "The buyer confirms or opens a dispute."
		e.Otherwise = "What is held is released to the seller, less the fee."
	case Disputed, Negotiating, Escalated, Arbitration, Decided, Returning, Returned, Replacing:
		explainDispute(&e, o, money)
	case ChargedBack, Represented:
		explainChargeback(&e, o, money)
	case Released:
		e.Why = fmt.Sprintf("Nothing is held: %s was released, of which %s is the fee and %s tax on it.", money(o.Released), money(o.FeeCharged), money(o.TaxCharged))
		if o.Parts != nil && o.Refunded > 0 {
			e.Why += fmt.Sprintf(" %s was refunded.", money(o.Refunded))
		}
		explainMaturing(&e, o, money)
	case Ruled:
		e.Why = fmt.Sprintf("Nothing is held: a ruling released %s to the seller, fee %s included, and refunded %s to the buyer.",
			money(o.Released), money(o.FeeCharged), money(o.Refunded))
		if o.Parts != nil {
			e.Why += " Parts that were released or refunded before it are counted in."
		}
		explainMaturing(&e, o, money)
	case Reserved:
		e.Why = fmt.Sprintf("Nothing is held: %s was released, fee %s and tax %s included; of the seller's part %s is kept in reserve, the rest is available.",
			money(o.Released), money(o.FeeCharged), money(o.TaxCharged), money(o.Aftermath.Reserved))
		e.Next = "Nobody has to act: the reserve stands in for refunds until its time is over."
		e.Otherwise = "What is left of the reserve becomes available to the seller at that moment."
	case Refunded:
		e.Why = fmt.Sprintf("Nothing is held: %s was refunded to the buyer.", money(o.Refunded))
	case Canceled:
		e.Why = "Nothing is held: the order was canceled before shipping."
		if o.Refunded > 0 {
			e.Why = fmt.Sprintf("Nothing is held: the order was canceled before shipping and %s was refunded to the buyer.", money(o.Refunded))
		}
	case Expired:
		e.Why = "Nothing is held: the order was not paid, or its authorised payment not captured, in time; no money moved."
	case Closed:
		e.Why = fmt.Sprintf("Nothing is held: %s was released, fee %s and tax %s included, and the seller's part is available; %s was refunded.",
			money(o.Released), money(o.FeeCharged), money(o.TaxCharged), money(o.Refunded))
	}
	explainInspection(&e, o)
	explainExtension(&e, o)
	explainCharge(&e, o, money)
	if !o.State.Open() {
		e.Next, e.Otherwise = "Nobody: the order has ended.", "Nothing."
	}
	explainAfter(&e, o, money)
	return e
}

// explainMaturing says what is still to mature of an order of which nothing is
// held any more.
func explainMaturing(e *Explanation, o *Order, money func(int64) string) {
	e.Next = fmt.Sprintf("Nobody has to act: %s matures.", money(o.Maturing))
	e.Otherwise = "The seller's money becomes available at that moment."
	if o.Parts == nil {
		return
	}
	e.Next = "Nobody has to act: " + maturing(o, money)
	e.Why += reservedSoFar(o, money)
	switch {
	case o.Deadline == MaturePartAt:
		e.Otherwise = partsOtherwise(MaturePartAt, some(o.Parts.due(o.Deadline, o.DeadlineAt)))
	case o.Maturing == 0:
		e.Otherwise = "The order closes; what was kept in reserve of it stays so for its time."
	}
}

// explainCharge says what an order came to, once it is known, where that is not
// simply what was agreed.
func explainCharge(e *Explanation, o *Order, money func(int64) string) {
	c := o.Charge()
	if o.Repriced() {
		e.Why += fmt.Sprintf(" At first the price was %s; it was changed to %s before anything was paid.", money(o.Amount), money(o.Price()))
	}
	if !o.PaidAt.IsZero() && c.Amount < o.Price() {
		e.Why += fmt.Sprintf(" Of the %s agreed %s was captured; fee and tax are on that.", money(o.Price()), money(c.Amount))
	}
	if c.BuyerShare > 0 && o.State != Agreed {
		e.Why += fmt.Sprintf(" The goods come to %s; the buyer's share of the fee, %s, is on top.", money(c.Amount), money(c.BuyerShare))
	}
}

// explainDispute says where an order in dispute stands.
func explainDispute(e *Explanation, o *Order, money func(int64) string) {
	claimed := ""
	if o.Claim != nil {
		claimed = " and claims " + money(o.Claim.Amount)
	}
	is := money(o.Held) + " is held and frozen" // the money, and what becomes of it
	frozen, toSeller, all := "the money stays frozen", "the rest to the seller, less the fee", "All that is held is released to the seller, less the fee."
	if o.Held == 0 {
		is = fmt.Sprintf("Nothing is held, %s was released", money(o.Released))
		if o.Claim != nil && !o.Claim.Kept.IsZero() {
			is += ", and of the seller's part of what is claimed as much is kept as was available"
		}
		frozen, toSeller, all = "what is kept stays so", "the seller keeps the rest", "The seller keeps what was released."
	}
	e.Why = fmt.Sprintf("%s: the buyer disputes the order%s.", is, claimed)
	if o.Claim != nil && o.Claim.Damage != nil {
		e.Why = fmt.Sprintf("%s: the goods came back, for which %s was to go to the buyer, and the seller claims %s of that for damage.",
			is, money(o.Claim.Damage.ToBuyer), money(o.Claim.Damage.Amount))
	}
	granted := "What is claimed goes back to the buyer and " + toSeller + "."
	nothing := fmt.Sprintf("Nothing moves by itself: %s and the order is reported as overdue.", frozen)
	switch o.State {
	case Disputed:
		if o.Deadline == RuleBy {
			e.Next = whoRules(o)
			e.Otherwise = nothing
			return
		}
		e.Next = "The seller accepts the claim or contests it; the buyer may withdraw it."
		e.Otherwise = granted
	case Negotiating:
		e.Next = "Buyer and seller agree on an offer, or one of them escalates."
		if f := o.Claim.Offer; f != nil {
			e.Next = fmt.Sprintf("The %s has offered %s to the buyer%s: the other accepts, offers something else, or escalates.", f.By, money(f.ToBuyer), onReturn(f))
			if f.Replacement {
				e.Next = fmt.Sprintf("The %s has offered that the goods are replaced: the other accepts, offers something else, or escalates.", f.By)
			}
		}
		e.Otherwise = "The dispute is escalated: the marketplace hears both."
	case Escalated:
		e.Next = fmt.Sprintf("Buyer and seller give evidence (so far %d and %d files); the marketplace may rule already.", o.Claim.BuyerEvidence, o.Claim.SellerEvidence)
		e.Otherwise = "The marketplace rules; if the buyer has given no evidence the claim falls: " + lowerFirst(all)
		if d := o.Claim.Damage; d != nil {
			e.Next = fmt.Sprintf("Buyer and seller give evidence of the damage (so far %d and %d files), or one accepts what the other claims: %s%s; the marketplace may rule already.",
				o.Claim.BuyerEvidence-d.BuyerEvidence, o.Claim.SellerEvidence-d.SellerEvidence, acceptable(o.Claim, money, toSeller), alsoOffered(o.Claim, money))
			e.Otherwise = fmt.Sprintf("The marketplace rules; if the seller has given no evidence of the damage, %s goes back to the buyer and %s.", money(d.ToBuyer), toSeller)
		}
	case Arbitration:
		e.Next = whoRules(o)
		if o.Claim != nil && o.Claim.Damage != nil {
			e.Next += fmt.Sprintf(" Until then one may accept what the other claims: %s.", acceptable(o.Claim, money, toSeller))
		}
		e.Otherwise = nothing
	case Decided:
		r := o.Claim.Ruling
		e.Why = fmt.Sprintf("%s: the marketplace ruled %s to the buyer and %s to the seller, fee included%s.", is, money(r.ToBuyer), money(r.ToSeller), onceBack(r))
		if r.Replacement {
			e.Why = fmt.Sprintf("%s: the marketplace ruled that the seller replaces the goods.", is)
		}
		e.Next = "Buyer or seller may appeal."
		e.Otherwise = "The ruling is carried out."
	case Returning:
		e.Why = fmt.Sprintf("%s: %s goes back to the buyer once the goods are back.", is, money(o.Claim.Return.ToBuyer))
		e.Next = "The buyer ships the goods back" + tracked(o) + "."
		e.Otherwise = all
	case Returned:
		e.Why = fmt.Sprintf("%s: the goods are on their way back, for which %s goes to the buyer.", is, money(o.Claim.Return.ToBuyer))
		e.Next = "The seller receives the goods, or refuses them with a reason."
		e.Otherwise = fmt.Sprintf("%s goes back to the buyer and %s.", money(o.Claim.Return.ToBuyer), toSeller)
	case Replacing:
		e.Why = fmt.Sprintf("%s: the seller is to replace the goods; the buyer had claimed %s.", is, money(o.Claim.Amount))
		e.Next = "The seller ships the replacement" + tracked(o) + ", or accepts the claim."
		e.Otherwise = granted
	}
}

// lowerFirst is a sentence as it goes on after a colon.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// acceptable says what would go where if a party accepted what the other claims of
// goods that came back damaged.
func acceptable(c *Claim, money func(int64) string, toSeller string) string {
	less, _ := c.ofSeller()
	return fmt.Sprintf("%s goes back if the seller does, %s if the buyer does, and %s", money(c.ofBuyer()), money(less), toSeller)
}

// alsoOffered is an offer that is neither.
func alsoOffered(c *Claim, money func(int64) string) string {
	f := c.Offer
	if less, _ := c.ofSeller(); f == nil || *f == (Offer{By: Seller, ToBuyer: less}) {
		return ""
	}
	if f.Replacement {
		return fmt.Sprintf("; or what the %s has offered, that the goods are replaced", f.By)
	}
	return fmt.Sprintf("; or what the %s has offered, %s to the buyer%s", f.By, money(f.ToBuyer), onReturn(f))
}

// goodsWere says which goods an order is about.
func goodsWere(o *Order) string {
	if o.Replaced > 0 {
		return "other goods, in place of the first, were"
	}
	return "the goods were"
}

// offerWord is what an offer is, for those who accept another.
func offerWord(f *Offer) string {
	if f.Replacement {
		return "that the goods are replaced"
	}
	return "a part of the money, not that the goods are replaced"
}

// whoRules says who ends a dispute that waits for the marketplace.
func whoRules(o *Order) string {
	text := "The marketplace rules how what is held is split"
	if o.Held == 0 {
		text = "The marketplace rules how much of what is claimed goes back"
	}
	if o.Policy == nil { // a report's order may be without
		return text + "."
	}
	if _, over := o.rulingLimit(); over {
		return text + ": one person proposes it and another approves it."
	}
	return text + "."
}

func onceBack(r *Ruling) string {
	if r.Return {
		return ", once the goods are back"
	}
	return ""
}

// lengthenedBy says that holidays have moved the deadline.
func lengthenedBy(o *Order) string {
	if o.Holidays == 0 {
		return ""
	}
	days, of := "holidays", ""
	if o.Holidays == 1 {
		days = "holiday"
	}
	if o.Policy != nil {
		of = " of calendar " + o.Policy.Calendar.Name
	}
	return fmt.Sprintf(", lengthened by %d %s%s", o.Holidays, days, of)
}

func onReturn(f *Offer) string {
	if f.Return {
		return " for the goods' return"
	}
	return ""
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
