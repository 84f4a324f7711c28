package intake

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// TestDisputeReleased: what was released is disputed, previewed and ruled on; who
// asks is told what is at stake, and until when it could be disputed.
func TestDisputeReleased(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	if terms.DisputeReleasedWithin != 0 {
		t.Errorf("the standard policy: %+v", terms)
	}
	before := s.released("before", 10_000)
	terms.DisputeReleasedWithin = 30 * 86400
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("policy: %+v", p)
	}
	o, late := s.released("a", 10_000), s.released("late", 100)
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(20*24*time.Hour), false))
	if p := s.problem("POST", "/v1/orders/"+before.ID+"/dispute", `{"reason":"x"}`); p.Rule != "policy" {
		t.Errorf("under a policy without: %+v", p)
	}
	if d := one(c.Order(ctx, o.ID)); d.State != "closed" || !strings.Contains(d.Explanation.Next, "Until "+start.Add(30*24*time.Hour).Format(time.RFC3339)+" the buyer may dispute it.") {
		t.Errorf("closed: %+v", d.Explanation)
	}
	in := api.Dispute{Amount: 4_000, Reason: "broke"}
	if p := must[api.Preview](t)(c.Preview(ctx, o.ID, "dispute", in)); len(p.Effect.Moves) != 1 || p.Effect.Moves[0].Code != 402 || !p.Effect.Moves[0].AtMost || p.Effect.Moves[0].Amount != 3_800 {
		t.Errorf("preview: %+v", p)
	}
	o = order(c.Dispute(ctx, o.ID, in, client.Key("dispute")))
	if o.State != "disputed" || o.Held != 0 || o.Released != 10_000 || o.Deadline != "rule_by" || o.Claim == nil || o.Claim.Stake != 4_000 || o.Claim.Amount != 4_000 {
		t.Errorf("disputed: %+v, %+v", o, o.Claim)
	}
	if d := one(c.Order(ctx, o.ID)); !strings.HasPrefix(d.Explanation.Why, "Nothing is held, USD 100.00 was released, and of the seller's part of what is claimed as much is kept as was available: the buyer disputes the order and claims USD 40.00.") {
		t.Errorf("explained: %+v", d.Explanation)
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/ruling", `{"to_buyer":4000,"to_seller":6000}`); p.Rule != "amount" || !strings.Contains(p.Detail, "what is claimed of what was released: 4000") {
		t.Errorf("a ruling on all of it: %+v", p)
	}
	ruling := api.Ruling{ToBuyer: 1_000, ToSeller: 3_000, Reason: "usable"}
	if p := must[api.Preview](t)(c.Preview(ctx, o.ID, "ruling", ruling)); p.Effect.ToBuyer != 1_000 || p.Effect.ToSeller != -950 || p.Effect.Fee != -50 {
		t.Errorf("preview: %+v", p.Effect)
	}
	o = order(c.Rule(ctx, o.ID, ruling))
	if o.State != "closed" || o.Refunded != 1_000 || o.Released != 9_000 || o.Claim != nil {
		t.Errorf("ruled: %+v", o)
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/dispute", `{"reason":"again"}`); p.Rule != "again" {
		t.Errorf("once more: %+v", p)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(31*24*time.Hour), false))
	if p := s.problem("POST", "/v1/orders/"+late.ID+"/dispute", `{"reason":"late"}`); p.Rule != "too-late" {
		t.Errorf("after its time: %+v", p)
	}
}

// TestExtendTogether: the first to extend asks, the other agrees by the same.
func TestExtendTogether(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order := must[api.Order](t)
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.ExtendTogether = true
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("policy: %+v", p)
	}
	o := s.held("a", 100)
	until := o.DeadlineAt.Add(24 * time.Hour)
	asked := order(c.Extend(ctx, o.ID, api.Extend{Until: until, Act: api.Act{By: "seller"}}))
	if !asked.DeadlineAt.Equal(o.DeadlineAt) || asked.Asked == nil || *asked.Asked != (api.AskedExtension{By: "seller", Until: until}) {
		t.Errorf("asked: %+v, %+v", asked, asked.Asked)
	}
	if d := must[api.OrderDetail](t)(c.Order(ctx, o.ID)); !strings.Contains(d.Explanation.Next, "The seller asks for until "+until.Format(time.RFC3339)) {
		t.Errorf("explained: %+v", d.Explanation)
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/extend", `{"by":"seller","until":"`+until.Format(time.RFC3339)+`"}`); p.Rule != "extension" {
		t.Errorf("asked again: %+v", p)
	}
	if got := order(c.Extend(ctx, o.ID, api.Extend{Until: until, Act: api.Act{By: "buyer"}})); !got.DeadlineAt.Equal(until) || got.Asked != nil {
		t.Errorf("agreed: %+v", got)
	}
}
