package demo

import (
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

func (t *teller) ships(at time.Time) time.Time {
	carrier := carriers[t.rng.IntN(len(carriers))]
	t.happens(replay.Event{Kind: order.Ship, At: at, Carrier: carrier, Tracking: t.story.Reference + "-1"})
	return at
}

// arrives pays, ships and delivers, and answers when.
func (t *teller) arrives() time.Time {
	t.pays()
	at := t.ships(t.after(t.paid, 4*time.Hour, 5*day))
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
	t.ends(order.Closed, t.arrives().Add(confirmBy).Add(matureAfter))
}

func (t *teller) shippedAndForgotten() {
	t.pays()
	shipped := t.ships(t.after(t.paid, 4*time.Hour, 5*day))
	t.ends(order.Closed, shipped.Add(confirmBlind).Add(matureAfter))
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

// disputes delivers and disputes, and answers when it is ruled.
func (t *teller) disputes(reason string) time.Time {
	at := t.after(t.arrives(), time.Hour, 5*day)
	t.happens(replay.Event{Kind: order.Dispute, At: at, Reason: reason})
	return t.after(at, 3*day, 12*day)
}

func (t *teller) rules(at time.Time, toSeller int64, reason string) {
	t.happens(replay.Event{Kind: order.Rule, At: at, ToSeller: toSeller, ToBuyer: t.story.Amount - toSeller, Reason: reason})
}

func (t *teller) disputeForBuyer() {
	at := t.disputes("not as described")
	t.rules(at, 0, "another model than agreed")
	t.ends(order.Refunded, at)
}

func (t *teller) disputeForSeller() {
	at := t.disputes("not received")
	t.rules(at, t.story.Amount, "the carrier has the buyer's signature")
	t.ends(order.Closed, at.Add(matureAfter))
}

func (t *teller) disputeSplit() {
	at := t.disputes("damaged")
	t.rules(at, t.story.Amount*6/10, "damaged in transit, usable")
	t.ends(order.Closed, at.Add(matureAfter))
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
