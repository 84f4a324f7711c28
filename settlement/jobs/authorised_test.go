package jobs

import (
	"testing"
	"time"

	"escrowd/settlement/order"
)

// An authorisation that nobody captures is voided at capture_by, by the
// marketplace's own clock; the ledger's has no say in it.
func TestAuthorisationsExpire(t *testing.T) {
	w := newWorld(t)
	id, captured := w.agree("a"), w.agree("b")
	authorise := order.Command{Event: order.Authorise, Method: "card", At: start.Add(day)}
	w.clock(start.Add(day))
	w.do(id, authorise)
	w.do(captured, authorise)
	w.do(captured, order.Command{Event: order.Capture, By: order.Operator, Amount: 1, At: start.Add(day)})
	j := w.jobs(w.poster, nil)
	by := start.Add(8 * day)
	for _, step := range []struct {
		now, deadlines time.Time
		want           order.State
		why            string
	}{
		{start.Add(6 * day), start.Add(6 * day), order.Authorised, "pay_by is no deadline of an authorised order"},
		{by.Add(-1000), by.Add(-1000), order.Authorised, "a microsecond before the deadline"},
		{by.Add(day), by.Add(-1000), order.Authorised, "the clock has passed it, but deadlines do not fire yet"},
		{by.Add(day), by, order.Expired, "deadlines fire up to the very moment"},
	} {
		_, err := w.store.AdvanceClock(w.ctx, w.market.ID, step.now, step.deadlines)
		w.must(err)
		dry, err := w.run(j, ExpireUnpaid, Run{DryRun: true})
		w.must(err)
		res, err := w.run(j, ExpireUnpaid, Run{})
		w.must(err)
		if got := w.order(id).State; got != step.want || res.Items != dry.Items || (res.Items == 1) != (step.want == order.Expired) {
			t.Errorf("%s: the order is %s, want %s; %d done, %d to do", step.why, got, step.want, res.Items, dry.Items)
		}
	}
	events, err := w.store.Timeline(w.ctx, id)
	w.must(err)
	if last := events[len(events)-1]; last.Event != order.ExpireAuthorisation || last.Actor != order.System || !last.After.At.Equal(by) || last.LedgerTimestamp == 0 {
		t.Errorf("the last event: %+v", last)
	}
	if o := w.order(captured); o.State != order.Held || o.Held != 1 {
		t.Errorf("captured: %+v", o.Progress)
	}
	if _, err := w.run(j, CheckBooks, Run{}); err != nil {
		t.Error(err)
	}
	if res, err := w.run(j, ExpireUnpaid, Run{}); err != nil || res.Items != 0 {
		t.Errorf("a second run: %+v, %v", res, err)
	}
}
