package intake

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// released pays, ships and confirms.
func (s *setup) released(reference string, amount int64) api.Order {
	s.t.Helper()
	o := s.held(reference, amount)
	must[api.Order](s.t)(s.client.Ship(s.t.Context(), o.ID, api.Ship{}))
	return must[api.Order](s.t)(s.client.Confirm(s.t.Context(), o.ID, api.Confirm{}))
}

// TestRefundReleased: before it matures and after, single and in bulk, once for
// each key, until the policy's time is over.
func TestRefundReleased(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	o := s.released("a", 10_000)
	in := api.RefundReleased{Amount: 2_500, Reason: "scratched"}
	o = order(c.RefundReleased(ctx, o.ID, in, client.Key("refund")))
	if o.State != "released" || o.Released != 7_500 || o.Refunded != 2_500 || o.FeeCharged != 375 || o.Maturing != 7_125 {
		t.Errorf("refunded before it matures: %+v", o)
	}
	if again := order(c.RefundReleased(ctx, o.ID, in, client.Key("refund"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(30*24*time.Hour), false))
	d := one(c.Order(ctx, o.ID))
	if d.State != "closed" || !strings.Contains(d.Explanation.Next, "Until 2017-03-02T00:00:00Z seller or marketplace may refund") {
		t.Errorf("closed: %+v", d)
	}
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.RefundReleasedItem{
		{Target: api.Target{Order: o.ID}, RefundReleased: api.RefundReleased{Reason: "broke", Act: api.Act{By: "operator"}}},
		{Target: api.Target{Order: s.held("b", 1).ID}, RefundReleased: api.RefundReleased{Reason: "x"}}}))
	if answers[0].Status != 200 || answers[0].Order.State != "refunded" || answers[0].Order.Refunded != 10_000 || answers[0].Order.FeeCharged != 0 ||
		answers[1].Problem == nil || answers[1].Problem.Rule != "state" {
		t.Errorf("in bulk: %+v", answers)
	}
	last := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	if e := last[len(last)-1]; e.Event != "refund_released" || e.By != "operator" || e.LedgerTimestamp == "" || !sameJSON(t, e.Data, `{"reason":"broke"}`) {
		t.Errorf("on the timeline: %+v", e)
	}

	// The fee stays under a policy that keeps it, and another has no such refunds.
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	if terms.RefundReleasedWithin != 60*86400 || terms.RefundFee != "return" {
		t.Errorf("the standard policy: %+v", terms)
	}
	terms.RefundFee = "keep"
	must[api.Policy](t)(c.AddPolicy(ctx, terms))
	kept := s.released("kept", 10_000)
	if kept = order(c.RefundReleased(ctx, kept.ID, api.RefundReleased{Reason: "x"})); kept.State != "refunded" || kept.Released != 0 || kept.FeeCharged != 500 {
		t.Errorf("the fee is kept: %+v", kept)
	}
	terms.RefundReleasedWithin = 0
	must[api.Policy](t)(c.AddPolicy(ctx, terms))
	never := s.released("never", 10_000)
	if p := s.problem("POST", "/v1/orders/"+never.ID+"/refund-released", `{"reason":"x"}`); p.Rule != "policy" {
		t.Errorf("under a policy without: %+v", p)
	}
}

// TestReserve: what is kept shows on the order, and the clock frees it.
func TestReserve(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.ReserveBps, terms.ReserveFor = 1_000, 90*86400
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("policy: %+v", p)
	}
	o := s.released("a", 10_000)
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(30*24*time.Hour), false))
	d := must[api.OrderDetail](t)(c.Order(ctx, o.ID))
	if d.State != "reserved" || d.Reserved != 950 || d.Deadline != "reserve_until" || !d.DeadlineAt.Equal(start.Add(92*24*time.Hour)) ||
		!strings.Contains(d.Explanation.Why, "USD 9.50 is kept in reserve") {
		t.Errorf("reserved: %+v", d)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(93*24*time.Hour), false))
	if d = must[api.OrderDetail](t)(c.Order(ctx, o.ID)); d.State != "closed" || d.Reserved != 0 || d.Deadline != "" {
		t.Errorf("closed: %+v", d)
	}
}

// TestChargeback: while held, after the release, won, lost, a second time and by
// the clock, single and in bulk.
func TestChargeback(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	held := s.held("held", 10_000)
	in := api.Chargeback{Reason: "13.1", Reference: "dp_1"}
	o := order(c.Chargeback(ctx, held.ID, in, client.Key("cb")))
	if o.State != "charged_back" || o.Held != 10_000 || o.Deadline != "represent_by" || !o.DeadlineAt.Equal(start.Add(14*24*time.Hour)) ||
		o.Chargeback == nil || *o.Chargeback != (api.OpenChargeback{OpenedAt: start, Amount: 10_000, From: "held", Method: "card"}) {
		t.Errorf("charged back: %+v, %+v", o, o.Chargeback)
	}
	if again := order(c.Chargeback(ctx, held.ID, in, client.Key("cb"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	d := one(c.Order(ctx, held.ID))
	if !strings.Contains(d.Explanation.Why, "USD 100.00 is held and frozen") || !strings.Contains(d.Explanation.Otherwise, "is lost") {
		t.Errorf("explained: %+v", d.Explanation)
	}
	o = order(c.Represent(ctx, held.ID, api.Represent{Reason: "signed for"}))
	if o.State != "represented" || o.Deadline != "decision_by" {
		t.Errorf("represented: %+v", o)
	}
	o = order(c.WinChargeback(ctx, held.ID, api.WinChargeback{Reference: "dp_1"}))
	if o.State != "held" || o.Deadline != "ship_by" || o.Chargeback != nil || o.ChargedBack != 0 {
		t.Errorf("won: %+v", o)
	}
	o = order(c.SecondChargeback(ctx, held.ID, api.SecondChargeback{Amount: 4_000, Reason: "pre-arbitration"}))
	if o.State != "charged_back" || !o.Chargeback.Second || o.Held != 10_000 {
		t.Errorf("a second time: %+v", o)
	}
	o = order(c.LoseChargeback(ctx, held.ID, api.LoseChargeback{}))
	if o.State != "held" || o.Held != 6_000 || o.Refunded != 4_000 || o.ChargedBack != 4_000 {
		t.Errorf("lost: %+v", o)
	}
	events := must[api.Timeline](t)(c.Timeline(ctx, held.ID)).Events
	if e := events[2]; e.Event != "chargeback" || e.By != "operator" || !sameJSON(t, e.Data, `{"reason":"13.1","reference":"dp_1"}`) {
		t.Errorf("on the timeline: %+v", e)
	}

	a, b := s.released("a", 10_000), s.released("b", 10_000)
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.ChargebackItem{
		{Target: api.Target{Order: a.ID}, Chargeback: api.Chargeback{Reason: "10.4"}},
		{Target: api.Target{Order: b.ID}, Chargeback: api.Chargeback{Reason: "10.4"}},
		{Target: api.Target{Order: s.agreed("unpaid", 1).ID}, Chargeback: api.Chargeback{Reason: "10.4"}}}))
	if answers[0].Status != 200 || answers[1].Order.State != "charged_back" || answers[2].Problem == nil || answers[2].Problem.Rule != "state" {
		t.Fatalf("in bulk: %+v", answers)
	}
	steps := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.RepresentItem{{Target: api.Target{Order: b.ID}}}))
	if steps[0].Status != 200 || steps[0].Order.State != "represented" {
		t.Errorf("represented in bulk: %+v", steps)
	}
	// Nobody answers the one; nothing moves the other by itself.
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(300*24*time.Hour), false))
	if d = one(c.Order(ctx, a.ID)); d.State != "refunded" || d.Refunded != 10_000 || d.ChargedBack != 10_000 || d.FeeCharged != 0 || !d.At.Equal(start.Add(14*24*time.Hour)) {
		t.Errorf("not answered: %+v", d)
	}
	if d = one(c.Order(ctx, b.ID)); d.State != "represented" {
		t.Errorf("represented: %+v", d)
	}
	steps = must[[]api.Answer](t)(client.Bulk(ctx, c, []api.WinChargebackItem{{Target: api.Target{Order: b.ID}}}))
	if steps[0].Status != 200 || steps[0].Order.State != "released" || steps[0].Order.Maturing != 9_500 {
		t.Errorf("won in bulk: %+v", steps)
	}
	for _, answer := range [][]api.Answer{
		must[[]api.Answer](t)(client.Bulk(ctx, c, []api.SecondChargebackItem{{Target: api.Target{Order: b.ID}, SecondChargeback: api.SecondChargeback{Reason: "x"}}})),
		must[[]api.Answer](t)(client.Bulk(ctx, c, []api.LoseChargebackItem{{Target: api.Target{Order: b.ID}}})),
	} {
		if answer[0].Status != 200 {
			t.Errorf("in bulk: %+v", answer)
		}
	}
}
