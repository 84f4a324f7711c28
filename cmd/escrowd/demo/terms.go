package demo

import (
	"time"

	"escrowd/cmd/escrowd/replay"
	"escrowd/settlement/order"
)

// Orders whose terms are not what they mostly are: another price than was agreed
// at first, a time to inspect the goods that is the order's own.

// reprices changes the price by a tenth, mostly down.
func (t *teller) reprices(at time.Time) {
	change := t.story.Amount / 10
	e := replay.Event{Kind: order.Reprice, At: at, Amount: t.story.Amount + change, Reason: "express shipping"}
	if t.rng.IntN(3) > 0 {
		e.Amount, e.Reason = t.story.Amount-change, "an old model"
	}
	t.happens(e)
}

// beforePaid is a moment between the agreement and the payment.
func (t *teller) beforePaid() time.Time {
	return t.after(t.created, time.Minute, t.paid.Sub(t.created))
}

func (t *teller) repriced() {
	t.reprices(t.beforePaid())
	t.confirms(t.after(t.arrives(), time.Hour, 5*day))
}

func (t *teller) repricedAndCaptured() {
	t.reprices(t.beforePaid())
	t.captured()
}

// repricedNeverPaid has its whole time to pay again from the new price.
func (t *teller) repricedNeverPaid() {
	at := t.after(t.created, time.Hour, payWithin)
	t.reprices(at)
	t.ends(order.Expired, at.Add(payWithin))
}

// inspectionConfirmed is confirmed when the policy's own time would be over.
func (t *teller) inspectionConfirmed() {
	t.story.ConfirmWithin = inspectMost
	t.confirms(t.after(t.arrives(), confirmBy+time.Hour, inspectMost))
}

func (t *teller) inspectionForgotten() {
	t.story.ConfirmWithin = inspectLeast + time.Duration(t.rng.IntN(int((inspectMost-inspectLeast)/day)+1))*day
	t.ends(order.Closed, confirmEnds(t.arrives(), t.story.ConfirmWithin).Add(matureAfter))
}
