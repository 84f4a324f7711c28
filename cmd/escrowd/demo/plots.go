package demo

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/settlement/order"
)

// teller tells the story of one order.
type teller struct {
	rng           *rand.Rand
	story         *replay.Story
	created, paid time.Time
	method        string
}

func (t *teller) happens(e replay.Event) { t.story.Events = append(t.story.Events, e) }

// after is a moment at least low and less than high after at.
func (t *teller) after(at time.Time, low, high time.Duration) time.Time {
	return at.Add(within(t.rng, low, high))
}

func (t *teller) ends(final order.State, at time.Time) {
	t.story.Final, t.story.Ends = final, at
}

func (t *teller) pays() {
	t.happens(replay.Event{Kind: order.Pay, At: t.paid, Method: t.method})
}

// authorises has the payment promised, and answers when.
func (t *teller) authorises() time.Time {
	t.happens(replay.Event{Kind: order.Authorise, At: t.paid, Method: t.method})
	return t.paid
}

// captures authorises and captures all, or a part, and answers when.
func (t *teller) captures(amount int64) time.Time {
	at := t.after(t.authorises(), time.Hour, 5*day)
	t.happens(replay.Event{Kind: order.Capture, At: at, Amount: amount, By: order.Operator})
	return at
}

func (t *teller) ships(at time.Time) time.Time {
	carrier := carriers[t.rng.IntN(len(carriers))]
	t.happens(replay.Event{Kind: order.Ship, At: at, Carrier: carrier, Tracking: t.story.Reference + "-1"})
	return at
}

// scans is the way of a parcel that its carrier reports; it answers when that
// was last.
func (t *teller) scans(at time.Time) time.Time {
	statuses := []string{"picked_up", "in_transit", "out_for_delivery"}
	if t.rng.IntN(8) == 0 {
		statuses = []string{"picked_up", "in_transit", "exception", "in_transit"}
	}
	for _, s := range statuses {
		at = t.after(at, time.Hour, 20*time.Hour)
		t.happens(replay.Event{Kind: order.Track, At: at, Status: s, Location: places[t.rng.IntN(len(places))]})
	}
	return at
}

// arrives pays, ships and delivers, and answers when.
func (t *teller) arrives() time.Time {
	t.pays()
	at := t.ships(t.after(t.paid, 4*time.Hour, 5*day))
	if t.rng.IntN(3) == 0 {
		at = t.scans(at)
	}
	at = t.after(at, day, 7*day)
	t.happens(replay.Event{Kind: order.Deliver, At: at})
	return at
}

func (t *teller) confirms(at time.Time) {
	t.happens(replay.Event{Kind: order.Confirm, At: at})
	t.ends(order.Closed, at.Add(matureAfter))
}

func (t *teller) confirmed() { t.confirms(t.after(t.arrives(), time.Hour, 5*day)) }

func (t *teller) deliveredAndForgotten() {
	t.ends(order.Closed, confirmEnds(t.arrives(), confirmBy).Add(matureAfter))
}

func (t *teller) shippedAndForgotten() {
	t.pays()
	shipped := t.ships(t.after(t.paid, 4*time.Hour, 5*day))
	t.ends(order.Closed, confirmEnds(shipped, confirmBlind).Add(matureAfter))
}

// confirmEnds is when the time to confirm ends that begins at from: a holiday in
// it is a day on which it stands still.
func confirmEnds(from time.Time, within time.Duration) time.Time {
	end := from.Add(within)
	for _, d := range holidays {
		begins, err := time.Parse(time.DateOnly, d)
		if err != nil {
			panic(err) // the days are written above
		}
		if begins.Add(day).After(from) && begins.Before(end) {
			end = end.Add(day)
		}
	}
	return end
}

// handsOver pays and hands virtual goods over, and answers when.
func (t *teller) handsOver() time.Time {
	t.story.Virtual = true
	t.pays()
	at := t.after(t.paid, time.Minute, day)
	t.happens(replay.Event{Kind: order.Ship, At: at})
	return at
}

func (t *teller) virtualForgotten() {
	t.ends(order.Closed, confirmEnds(t.handsOver(), confirmVirtual).Add(matureAfter))
}

func (t *teller) virtualConfirmed() { t.confirms(t.after(t.handsOver(), time.Hour, 2*day)) }

func (t *teller) captured() {
	shipped := t.ships(t.after(t.captures(0), time.Hour, 2*day))
	t.confirms(t.after(shipped, day, 7*day))
}

func (t *teller) capturedInPart() {
	shipped := t.ships(t.after(t.captures(max(1, t.story.Amount/2)), time.Hour, 2*day))
	t.confirms(t.after(shipped, day, 7*day))
}

func (t *teller) voided() {
	at := t.after(t.authorises(), time.Hour, 3*day)
	t.happens(replay.Event{Kind: order.Void, At: at, Reason: "out of stock"})
	t.ends(order.Canceled, at)
}

func (t *teller) neverCaptured() {
	t.ends(order.Expired, t.authorises().Add(authorised))
}

func (t *teller) neverPaid() { t.ends(order.Expired, t.created.Add(payWithin)) }

func (t *teller) cancels(at time.Time, by order.Role, reason string) {
	t.happens(replay.Event{Kind: order.Cancel, At: at, By: by, Reason: reason})
	t.ends(order.Canceled, at)
}

func (t *teller) canceledUnpaid() {
	t.cancels(t.after(t.created, time.Hour, 4*day), order.Seller, "out of stock")
}

func (t *teller) canceledByBuyer() {
	t.pays()
	t.cancels(t.after(t.paid, time.Hour, 6*day), order.Buyer, "found it cheaper")
}

func (t *teller) neverShipped() {
	t.pays()
	t.ends(order.Canceled, t.paid.Add(shipWithin))
}

func (t *teller) refundedInPart() {
	at := t.after(t.arrives(), time.Hour, 2*day)
	t.happens(replay.Event{Kind: order.Refund, At: at, Amount: max(1, t.story.Amount/5), Reason: "scratched, price lowered"})
	t.confirms(t.after(at, time.Hour, 3*day))
}

func (t *teller) refundedInFull() {
	at := t.after(t.arrives(), time.Hour, 4*day)
	t.happens(replay.Event{Kind: order.Refund, At: at, Reason: "sent back"})
	t.ends(order.Refunded, at)
}

// refundedMaturing is released and, before the seller has it, refunded in part.
func (t *teller) refundedMaturing() {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.confirms(at)
	t.happens(replay.Event{Kind: order.RefundReleased, At: t.after(at, time.Hour, matureAfter), Amount: max(1, t.story.Amount/10), Reason: "a part was missing"})
}

// refundedClosed is refunded when the seller has the money already: a half, or
// all.
func (t *teller) refundedClosed() {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.confirms(at)
	refund := replay.Event{Kind: order.RefundReleased, At: t.after(at, matureAfter+replay.Apart, refundUntil), Reason: "broke within weeks", AfterDeadline: true}
	if t.rng.IntN(2) == 0 {
		refund.Amount = max(1, t.story.Amount/2)
	}
	t.happens(refund)
	if refund.Amount == 0 || refund.Amount == t.story.Amount {
		t.ends(order.Refunded, refund.At)
	}
}

// secured is released under the policy with a reserve, and answers when the
// reserve begins.
func (t *teller) secured() time.Time {
	t.story.Policy = Policies()[1].Name
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.confirms(at)
	t.ends(order.Closed, at.Add(matureAfter).Add(reserveFor))
	return at.Add(matureAfter)
}

func (t *teller) reserved() { t.secured() }

// refundedReserved goes back as a whole while a part is in reserve: the order
// ends when the reserve is freed.
func (t *teller) refundedReserved() {
	at := t.secured()
	t.happens(replay.Event{Kind: order.RefundReleased, At: t.after(at, replay.Apart, reserveFor-replay.Apart), Reason: "recalled by its maker", AfterDeadline: true})
	t.ends(order.Refunded, at.Add(reserveFor))
}

// takenBack is charged back, and answers when.
func (t *teller) takenBack(at time.Time, amount int64, reason string, afterDeadline bool) time.Time {
	t.happens(replay.Event{Kind: order.TakeBackPayment, At: at, Amount: amount, Reason: reason, AfterDeadline: afterDeadline})
	return at
}

// answered represents the payment, and answers when the bank decides.
func (t *teller) answered(at time.Time) time.Time {
	at = t.after(at, day, representWithin)
	t.happens(replay.Event{Kind: order.Represent, At: at, Reason: "proof of delivery"})
	return t.after(at, 10*day, 40*day)
}

// chargedBackHeld is won while the buyer could still confirm; the time to do so
// runs on where it stood.
func (t *teller) chargedBackHeld() {
	arrived := t.arrives()
	taken := t.takenBack(t.after(arrived, time.Hour, 5*day), 0, "13.1 not received", false)
	won := t.answered(taken)
	t.happens(replay.Event{Kind: order.WinChargeback, At: won, Reason: "signed for by the buyer"})
	if t.rng.IntN(2) == 0 {
		second := t.after(won, time.Hour, day)
		t.happens(replay.Event{Kind: order.SecondChargeback, At: second, Reason: "pre-arbitration"})
		at := t.after(second, day, representWithin)
		t.happens(replay.Event{Kind: order.LoseChargeback, At: at, Reason: "not worth the arbitration"})
		t.ends(order.Refunded, at)
		return
	}
	t.ends(order.Closed, arrived.Add(confirmBy).Add(won.Sub(taken)).Add(matureAfter))
}

// chargedBackUnanswered is lost because nobody answers.
func (t *teller) chargedBackUnanswered() {
	t.pays()
	taken := t.takenBack(t.after(t.paid, time.Hour, 5*day), 0, "10.4 fraud", false)
	t.ends(order.Refunded, taken.Add(representWithin))
}

// chargedBackClosed is charged back when the seller has the money: a part, or all.
func (t *teller) chargedBackClosed() {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.confirms(at)
	amount := int64(0)
	if t.rng.IntN(2) == 0 {
		amount = max(1, t.story.Amount/2)
	}
	decided := t.answered(t.takenBack(t.after(at, matureAfter+replay.Apart, refundUntil), amount, "13.3 not as described", true))
	switch {
	case t.rng.IntN(2) == 0:
		t.happens(replay.Event{Kind: order.WinChargeback, At: decided, Reason: "as described"})
		t.ends(order.Closed, decided)
	default:
		t.happens(replay.Event{Kind: order.LoseChargeback, At: decided, Reason: "the bank sides with the buyer"})
		t.ends(order.Closed, decided)
		if amount == 0 || amount == t.story.Amount {
			t.ends(order.Refunded, decided)
		}
	}
}

// disputedClosed is disputed when the seller has the money already: the seller
// accepts the claim for a part, or the buyer takes it back.
func (t *teller) disputedClosed() {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.confirms(at)
	claim := max(1, t.story.Amount/3)
	at = t.after(at, matureAfter+replay.Apart, disputeUntil)
	t.happens(replay.Event{Kind: order.Dispute, At: at, Amount: claim, Reason: "broke within weeks", AfterDeadline: true})
	at = t.after(at, time.Hour, respondWithin)
	end := replay.Event{Kind: order.AcceptClaim, At: at}
	if t.rng.IntN(2) == 0 {
		end = replay.Event{Kind: order.Withdraw, At: at, Reason: "it was the batteries"}
	}
	t.happens(end)
	t.ends(order.Closed, at)
	if claim == t.story.Amount && end.Kind == order.AcceptClaim {
		t.ends(order.Refunded, at)
	}
}

// disputes delivers and disputes, and answers when.
func (t *teller) disputes(amount int64, reason string) time.Time {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.happens(replay.Event{Kind: order.Dispute, At: at, Amount: amount, Reason: reason})
	return at
}

// contested disputes, and answers when that was and when the seller contested.
func (t *teller) contested(amount int64, reason string) (opened, at time.Time) {
	opened = t.disputes(amount, reason)
	at = t.after(opened, time.Hour, respondWithin)
	t.happens(replay.Event{Kind: order.Contest, At: at, Reason: "it left as described"})
	return opened, at
}

// splits is how a dispute ends that gives toBuyer back.
func (t *teller) splits(at time.Time, toBuyer int64) {
	if toBuyer == t.story.Amount {
		t.ends(order.Refunded, at)
	} else {
		t.ends(order.Closed, at.Add(matureAfter))
	}
}

func (t *teller) claimAccepted() {
	claim := max(1, t.story.Amount/3)
	at := t.after(t.disputes(claim, "a part is missing"), time.Hour, respondWithin)
	t.happens(replay.Event{Kind: order.AcceptClaim, At: at})
	t.splits(at, claim)
}

func (t *teller) claimUnanswered() {
	t.splits(t.disputes(0, "not received").Add(respondWithin), t.story.Amount)
}

func (t *teller) claimWithdrawn() {
	arrived := t.arrives()
	opened := t.after(arrived, time.Hour, 5*day)
	t.happens(replay.Event{Kind: order.Dispute, At: opened, Reason: "not received"})
	at := t.after(opened, time.Hour, respondWithin)
	t.happens(replay.Event{Kind: order.Withdraw, At: at, Reason: "the neighbour had it"})
	// The time to confirm stood still meanwhile.
	t.ends(order.Closed, confirmEnds(arrived, confirmBy).Add(at.Sub(opened)).Add(matureAfter))
}

func (t *teller) offerAccepted() {
	_, at := t.contested(0, "scratched")
	offer := t.story.Amount / 4
	at = t.after(at, time.Hour, 4*day)
	t.happens(replay.Event{Kind: order.MakeOffer, At: at, By: order.Seller, ToBuyer: offer})
	at = t.after(at, time.Hour, 4*day)
	t.happens(replay.Event{Kind: order.AcceptOffer, At: at, By: order.Buyer, ToBuyer: offer})
	t.splits(at, offer)
}

// returns agrees that the goods go back, and answers when.
func (t *teller) returns() time.Time {
	_, at := t.contested(0, "not as described")
	at = t.after(at, time.Hour, 3*day)
	t.happens(replay.Event{Kind: order.MakeOffer, At: at, By: order.Buyer, ToBuyer: t.story.Amount, Return: true})
	at = t.after(at, time.Hour, 3*day)
	t.happens(replay.Event{Kind: order.AcceptOffer, At: at, By: order.Seller, ToBuyer: t.story.Amount})
	return at
}

func (t *teller) goodsReturned() {
	at := t.after(t.returns(), time.Hour, returnWithin)
	t.happens(replay.Event{Kind: order.ShipBack, At: at, Carrier: carriers[t.rng.IntN(len(carriers))], Tracking: t.story.Reference + "-R"})
	if t.rng.IntN(3) == 0 { // the seller says nothing
		t.splits(at.Add(inspectWithin), t.story.Amount)
		return
	}
	at = t.after(at, day, inspectWithin)
	t.happens(replay.Event{Kind: order.ReceiveReturn, At: at})
	t.splits(at, t.story.Amount)
}

func (t *teller) goodsNeverReturned() { t.splits(t.returns().Add(returnWithin), 0) }

func (t *teller) noEvidence() {
	_, at := t.contested(0, "not received")
	t.splits(at.Add(negotiateWithin).Add(evidenceWithin), 0)
}

// heard escalates and gives evidence, and answers when the marketplace rules.
func (t *teller) heard() time.Time {
	opened, at := t.contested(0, "damaged")
	at = t.after(at, max(time.Hour, opened.Add(escalateAfter).Sub(at)), max(time.Hour, opened.Add(escalateAfter).Sub(at))+3*day)
	t.happens(replay.Event{Kind: order.Escalate, At: at, By: order.Buyer})
	at = t.after(at, time.Hour, evidenceWithin-day)
	t.happens(replay.Event{Kind: order.GiveEvidence, At: at, By: order.Buyer, Evidence: order.Evidence{
		SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(t.story.Reference))), URL: "https://files.example.com/" + t.story.Reference + ".jpg",
		Type: "image/jpeg", Size: 40_000 + t.rng.Int64N(900_000)}})
	return t.after(at, time.Hour, day) // before the time for evidence ends
}

func (t *teller) rules(at time.Time, toBuyer int64, reason string) {
	t.happens(replay.Event{Kind: order.Rule, At: at, ToSeller: t.story.Amount - toBuyer, ToBuyer: toBuyer, Reason: reason})
}

func (t *teller) ruled() {
	at := t.heard()
	toBuyer := t.story.Amount * int64(t.rng.IntN(3)) / 2
	t.rules(at, toBuyer, "by the pictures")
	t.splits(at.Add(appealWithin), toBuyer)
}

func (t *teller) ruledTwice() {
	at := t.heard()
	t.rules(at, t.story.Amount, "damaged in transit")
	at = t.after(at, time.Hour, appealWithin)
	t.happens(replay.Event{Kind: order.Appeal, At: at, By: order.Seller, Reason: "the carrier pays for that"})
	at = t.after(at, day, ruleWithin)
	t.rules(at, t.story.Amount*4/10, "usable")
	t.splits(at, t.story.Amount*4/10)
}

// replaces agrees that the goods are replaced, and answers when.
func (t *teller) replaces(claim int64) time.Time {
	_, at := t.contested(claim, "it arrived in pieces")
	at = t.after(at, time.Hour, 3*day)
	t.happens(replay.Event{Kind: order.MakeOffer, At: at, By: order.Seller, Replacement: true})
	at = t.after(at, time.Hour, 3*day)
	t.happens(replay.Event{Kind: order.AcceptOffer, At: at, By: order.Buyer, Replacement: true})
	return at
}

func (t *teller) goodsReplaced() {
	at := t.after(t.replaces(0), time.Hour, replaceWithin)
	t.happens(replay.Event{Kind: order.ShipReplacement, At: at, Carrier: carriers[t.rng.IntN(len(carriers))], Tracking: t.story.Reference + "-2"})
	t.confirms(t.after(at, day, 7*day))
}

func (t *teller) goodsNeverReplaced() {
	claim := max(1, t.story.Amount/2)
	t.splits(t.replaces(claim).Add(replaceWithin), claim)
}

func (t *teller) goodsCameBackDamaged() {
	at := t.after(t.returns(), time.Hour, returnWithin)
	t.happens(replay.Event{Kind: order.ShipBack, At: at, Carrier: carriers[t.rng.IntN(len(carriers))], Tracking: t.story.Reference + "-R"})
	at = t.after(at, day, inspectWithin)
	damage := max(1, t.story.Amount/5)
	t.happens(replay.Event{Kind: order.RefuseReturn, At: at, Amount: damage, Reason: "a leg is broken"})
	at = t.after(at, time.Hour, evidenceWithin)
	t.happens(replay.Event{Kind: order.AcceptOffer, At: at, By: order.Buyer, ToBuyer: t.story.Amount - damage})
	t.splits(at, t.story.Amount-damage)
}

// returnRuled has the goods sent back by the second ruling: nobody can act after
// the first has been carried out, see replay.Drive.
func (t *teller) returnRuled() {
	at := t.heard()
	t.rules(at, 0, "it can be used")
	at = t.after(at, time.Hour, appealWithin)
	t.happens(replay.Event{Kind: order.Appeal, At: at, By: order.Buyer, Reason: "it is another one than was shown"})
	at = t.after(at, day, ruleWithin)
	t.happens(replay.Event{Kind: order.Rule, At: at, ToBuyer: t.story.Amount, Return: true, Reason: "not as described"})
	at = t.after(at, time.Hour, returnWithin)
	t.happens(replay.Event{Kind: order.ShipBack, At: at, Carrier: carriers[t.rng.IntN(len(carriers))], Tracking: t.story.Reference + "-R"})
	at = t.after(at, day, inspectWithin)
	t.happens(replay.Event{Kind: order.ReceiveReturn, At: at})
	t.splits(at, t.story.Amount)
}

func (t *teller) shippedLate() {
	t.pays()
	t.happens(replay.Event{Kind: order.Extend, At: t.after(t.paid, day, 9*day), By: order.Seller})
	shipped := t.ships(t.after(t.paid, shipWithin+time.Hour, shipWithin+10*day))
	at := t.after(shipped, day, 7*day)
	t.happens(replay.Event{Kind: order.Deliver, At: at})
	t.confirms(t.after(at, time.Hour, 5*day))
}

func (t *teller) confirmedLate() {
	arrived := t.arrives()
	t.happens(replay.Event{Kind: order.Extend, At: t.after(arrived, day, 6*day), By: order.Buyer, Until: arrived.Add(confirmBy + 7*day)})
	t.confirms(t.after(arrived, confirmBy+time.Hour, confirmBy+7*day))
}
