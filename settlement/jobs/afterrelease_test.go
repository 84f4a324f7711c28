package jobs

import (
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// agreed is an order under a policy of its own.
func (w *world) agreed(reference string, change func(*order.Policy)) ledger.ID {
	w.t.Helper()
	p := order.Standard()
	p.Name = "p-" + reference
	change(&p)
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
		Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001, Policy: p.Name},
		Command:   order.Command{Event: order.Agree, At: start}})
	w.must(err)
	return r.Orders[0].ID
}

// released pays, ships and confirms, all at start.
func (w *world) released(id ledger.ID) {
	w.t.Helper()
	w.pay(id)
	w.do(id, order.Command{Event: order.Ship, At: start})
	w.do(id, order.Command{Event: order.Confirm, At: start})
}

// A reserve is kept when the rest matures and freed at reserve_until, to the
// microsecond; a clock that jumps over both brings the same.
func TestReservesAreReleased(t *testing.T) {
	w := newWorld(t)
	reserve := func(p *order.Policy) { p.ReserveBps, p.ReserveFor = 1_000, 90*24*60*60 }
	id, refunded, plain := w.agreed("a", reserve), w.agreed("b", reserve), w.agree("c")
	for _, o := range []ledger.ID{id, refunded, plain} {
		w.released(o)
	}
	j := w.jobs(w.poster, nil)
	matures, until := start.Add(2*day), start.Add(92*day)
	for _, step := range []struct {
		now   time.Time
		want  order.State
		items int64
		why   string
	}{
		{matures.Add(-1000), order.Released, 0, "a microsecond before it matures"},
		{matures, order.Reserved, 3, "all mature; two have a reserve"},
		{until.Add(-1000), order.Reserved, 0, "a microsecond before reserve_until"},
		{until.Add(day), order.Closed, 2, "both reserves are freed"},
	} {
		w.clock(step.now)
		if step.want == order.Reserved && step.items == 0 {
			w.do(refunded, order.Command{Event: order.RefundReleased, Reason: "x", At: start.Add(3 * day)})
		}
		dry, err := w.run(j, Mature, Run{DryRun: true})
		w.must(err)
		res, err := w.run(j, Mature, Run{})
		w.must(err)
		if got := w.order(id).State; got != step.want || res.Items != step.items || dry.Items != step.items {
			t.Errorf("%s: the order is %s, want %s; %d done, %d to do, want %d", step.why, got, step.want, res.Items, dry.Items, step.items)
		}
		if _, err := w.run(j, CheckBooks, Run{}); err != nil {
			t.Error(err)
		}
	}
	if o := w.order(refunded); o.State != order.Refunded || o.Aftermath.Reserved != 0 || !o.At.Equal(until) {
		t.Errorf("refunded meanwhile: %+v", o.Progress)
	}
	if o := w.order(plain); o.State != order.Closed || o.Aftermath != nil {
		t.Errorf("without a reserve: %+v", o.Progress)
	}
	events, err := w.store.Timeline(w.ctx, id)
	w.must(err)
	if last := events[len(events)-1]; last.Event != order.ReleaseReserve || last.Actor != order.System || !last.After.At.Equal(until) || last.LedgerTimestamp == 0 {
		t.Errorf("the last event: %+v", last)
	}
	at := w.agreed("d", reserve)
	w.clock(until.Add(2 * day))
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Ship}, {Event: order.Confirm}} {
		c.At = start
		w.do(at, c)
	}
	if _, err := j.Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	if o := w.order(at); o.State != order.Closed || !o.At.Equal(until) {
		t.Errorf("over both at once: %s at %s", o.State, o.At)
	}
}

// A chargeback that nobody answers is lost at represent_by; one that was
// answered waits for a person; one that was won lets the order's own deadline
// pass where it then stands. The books agree all the while.
func TestChargebacksByTheClock(t *testing.T) {
	w := newWorld(t)
	silent, answered, won, closed := w.agree("a"), w.agree("b"), w.agree("c"), w.agree("d")
	for _, id := range []ledger.ID{silent, answered, won} {
		w.pay(id)
	}
	w.released(closed)
	at := start.Add(3 * day)
	w.clock(at)
	j := w.jobs(w.poster, nil)
	if _, err := j.Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []ledger.ID{silent, answered, won, closed} {
		w.do(id, order.Command{Event: order.TakeBackPayment, Reason: "10.4", At: at})
	}
	w.do(answered, order.Command{Event: order.Represent, At: at})
	check := func() {
		t.Helper()
		if _, err := w.run(j, CheckBooks, Run{}); err != nil {
			t.Error(err)
		}
	}
	check()
	w.clock(at.Add(13 * day))
	w.do(won, order.Command{Event: order.WinChargeback, At: at.Add(13 * day)})
	by := at.Add(14 * day)
	for _, step := range []struct {
		now    time.Time
		want   order.State
		closed order.State
		items  int64
		why    string
	}{
		{by.Add(-1000), order.ChargedBack, order.ChargedBack, 0, "a microsecond before represent_by; ship_by stands still"},
		{by, order.Refunded, order.Refunded, 2, "nobody has answered"},
		{by.Add(100 * day), order.Refunded, order.Refunded, 0, "nothing moves the one that was answered"},
	} {
		w.clock(step.now)
		res, err := w.run(j, MoveDisputes, Run{})
		w.must(err)
		if s, c := w.order(silent), w.order(closed); s.State != step.want || c.State != step.closed || res.Items != step.items {
			t.Errorf("%s: %s and %s, %d done; want %s, %s, %d", step.why, s.State, c.State, res.Items, step.want, step.closed, step.items)
		}
		check()
	}
	if o := w.order(answered); o.State != order.Represented || !o.DeadlineAt.Equal(at.Add(75*day)) {
		t.Errorf("answered: %+v", o.Progress)
	}
	if _, err := j.Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	// Ten days to ship from the payment, and thirteen in which the clock stood.
	if o := w.order(won); o.State != order.Canceled || !o.At.Equal(start.Add(23*day)) || o.Refunded != 10_001 {
		t.Errorf("won: %+v", o.Progress)
	}
	if o := w.order(closed); o.Refunded != 10_001 || o.Aftermath.Lost != 10_001 || !o.At.Equal(by) {
		t.Errorf("after the release: %+v, %+v", o.Progress, o.Aftermath)
	}
	check()
}
