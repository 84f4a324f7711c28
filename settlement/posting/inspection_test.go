package posting_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"escrowd/settlement/order"
)

// An agreed time to confirm is stored with the order, and counts also for a
// process that has to read it; one that the policy does not allow makes no order.
func TestAgreedInspection(t *testing.T) {
	w := newWorld(t, nil)
	const day = order.Seconds(24 * 60 * 60)
	p := order.Standard()
	p.Name, p.ConfirmAgreedMin, p.ConfirmAgreedMax = "inspected", day, 15*day
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	agree := func(reference string, within order.Seconds) (order.Order, error) {
		req := w.agreement(reference)
		req.Agreement.Policy, req.Agreement.ConfirmWithin = "inspected", within
		r, err := w.poster.Do(w.ctx, req)
		if err != nil {
			return order.Order{}, err
		}
		return r.Orders[0], nil
	}
	for within, days := range map[order.Seconds]int{0: 7, day: 1, 14 * day: 14} {
		o, err := agree(within.String(), within)
		w.must(err)
		w.do(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})
		w.do(o.ID, order.Command{Event: order.Ship, At: start})
		if got := w.order(o.ID); got.ConfirmWithin != within || !reflect.DeepEqual(got.Policy, o.Policy) {
			t.Errorf("%s: stored %s under %+v", within, got.ConfirmWithin, got.Policy)
		}
		r, err := w.another().Do(w.ctx, w.event(o.ID, order.Command{Event: order.Deliver, At: start.Add(time.Hour)}))
		w.must(err)
		if got := r.Orders[0]; got.ConfirmWithin != within || !got.DeadlineAt.Equal(start.Add(time.Hour).AddDate(0, 0, days)) {
			t.Errorf("%s: to be confirmed by %s", within, got.DeadlineAt)
		}
		if _, err := w.db.Exec(`UPDATE orders SET confirm_within = 0 WHERE id = $1`, o.ID.UUID()); err == nil {
			t.Error("the schema took no time at all")
		}
	}
	for _, within := range []order.Seconds{-1, day - 1, 15*day + 1, 1 << 62} {
		var r *order.Refusal
		if _, err := agree("refused", within); !errors.As(err, &r) || r.Rule != order.RulePolicy {
			t.Errorf("%d: %v", within, err)
		}
	}
	o, err := agree("refused", 15*day) // the reference is free yet
	if err != nil || o.ConfirmWithin != 15*day {
		t.Errorf("%+v, %v", o, err)
	}
	w.balanced()
}
