package demo

import (
	"fmt"
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// inParts has the order agreed in so many parts, pays it, and answers their
// names: of equal share, the last takes the rest.
func (t *teller) inParts(n int) (names []string) {
	for i := range n {
		p := api.NewPart{Name: fmt.Sprintf("box %d", i+1)}
		if i < n-1 {
			p.Bps = int64(10_000 / n)
		}
		t.story.Parts, names = append(t.story.Parts, p), append(names, p.Name)
	}
	t.pays()
	return names
}

func (t *teller) shipsPart(at time.Time, names ...string) time.Time {
	t.happens(replay.Event{Kind: order.ShipPart, At: at, Parts: names, Carrier: carriers[t.rng.IntN(len(carriers))],
		Tracking: fmt.Sprintf("%s-%d", t.story.Reference, len(t.story.Events))})
	return at
}

// partArrives ships a part not long after at, delivers it, and answers when.
func (t *teller) partArrives(at time.Time, name string) time.Time {
	at = t.after(t.shipsPart(t.after(at, time.Hour, day), name), time.Hour, day)
	t.happens(replay.Event{Kind: order.DeliverPart, At: at, Parts: []string{name}})
	return at
}

func (t *teller) releasesPart(at time.Time, name string) time.Time {
	t.happens(replay.Event{Kind: order.ReleasePart, At: at, Parts: []string{name}})
	return at
}

// partsReleased ships, delivers and releases part after part.
func (t *teller) partsReleased() {
	at := t.paid
	for _, name := range t.inParts(3) {
		at = t.releasesPart(t.after(t.partArrives(at, name), time.Hour, day), name)
	}
	t.ends(order.Closed, at.Add(matureAfter))
}

// lastPartForgotten: the buyer releases the first part and says nothing of the
// second, which nobody reports delivered.
func (t *teller) lastPartForgotten() {
	names := t.inParts(2)
	first := t.partArrives(t.paid, names[0])
	shipped := t.shipsPart(t.after(first, time.Hour, 2*day), names[1])
	t.releasesPart(t.after(shipped, time.Hour, day), names[0])
	t.ends(order.Closed, confirmEnds(shipped, confirmBlind).Add(matureAfter))
}

// restNeverShipped: one part arrives; the others go back to the buyer, the second
// by a date of its own and the third by ship_by, and that one to the seller by its
// own deadline, whichever comes first.
func (t *teller) restNeverShipped() {
	arrived := t.partArrives(t.paid, t.inParts(3)[0])
	t.story.Parts[1].ShipBy = t.paid.Add(shipWithin / 2)
	last := t.paid.Add(shipWithin)
	if matures := confirmEnds(arrived, confirmBy).Add(matureAfter); matures.After(last) {
		last = matures
	}
	t.ends(order.Closed, last)
}

// partRefunded: the seller gives one part back and the other is released.
func (t *teller) partRefunded() {
	names := t.inParts(2)
	at := t.after(t.partArrives(t.paid, names[0]), time.Hour, 2*day)
	t.happens(replay.Event{Kind: order.Refund, At: at, Parts: names[1:], Reason: "sold out"})
	at = t.releasesPart(t.after(at, time.Hour, day), names[0])
	t.ends(order.Closed, at.Add(matureAfter))
}

// partsDisputed: the first part is released, and the seller accepts the claim to
// all of the second.
func (t *teller) partsDisputed() {
	names := t.inParts(2)
	at := t.releasesPart(t.after(t.partArrives(t.paid, names[0]), time.Hour, day), names[0])
	matures := at.Add(matureAfter)
	disputed := t.after(t.partArrives(at, names[1]), time.Hour, 2*day)
	t.happens(replay.Event{Kind: order.Dispute, At: disputed, Reason: "an empty box"})
	at = t.after(disputed, time.Hour, respondWithin)
	t.happens(replay.Event{Kind: order.AcceptClaim, At: at})
	if left := matures.Sub(disputed); left > 0 { // the dispute has stopped that clock
		at = at.Add(left)
	}
	t.ends(order.Closed, at)
}
