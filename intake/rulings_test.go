package intake

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/settlement/orderdb"
)

// disputed is an order of 10,000 in dispute before the marketplace, under a
// policy whose rulings can be appealed.
func (s *setup) disputed(reference string, change func(*api.PolicyTerms)) api.Order {
	s.t.Helper()
	ctx, c := s.t.Context(), s.client
	week := int64(7 * 24 * 60 * 60)
	p := api.PolicyTerms{Name: "steps", PayWithin: week, ShipWithin: week, ConfirmAfterDelivery: week, ConfirmAfterShipment: week, RuleWithin: week,
		RespondWithin: week, NegotiateWithin: week, EvidenceWithin: week, AppealWithin: week, MatureAfter: week, ReturnWithin: week, InspectWithin: week,
		Methods: []string{"card"}, Fees: map[string]api.Fee{"*": {Bps: 1000, TaxBps: 2000}}}
	if change != nil {
		change(&p)
	}
	must[api.Policy](s.t)(c.AddPolicy(ctx, p))
	o := must[api.Order](s.t)(c.CreateOrder(ctx, api.NewOrder{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000, Policy: "steps"}))
	must[api.Paid](s.t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card"}))
	must[api.Order](s.t)(c.Ship(ctx, o.ID, api.Ship{}))
	return must[api.Order](s.t)(c.Dispute(ctx, o.ID, api.Dispute{Reason: "scratched"}))
}

// TestPreview: a ruling says beforehand what it would do and what follows from
// it, moves nothing, and then does that.
func TestPreview(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	o := s.disputed("web-1", nil)
	ruling := api.Ruling{ToBuyer: 4_000, ToSeller: 6_000, Reason: "usable"}
	before := must[api.OrderDetail](t)(c.Order(ctx, o.ID))
	p := must[api.Preview](t)(c.Preview(ctx, o.ID, "ruling", ruling))
	if after := must[api.OrderDetail](t)(c.Order(ctx, o.ID)); !reflect.DeepEqual(after, before) {
		t.Errorf("something has happened: %+v", after)
	}
	if p.Effect.Event != "rule" || p.Effect.State != "decided" || len(p.Effect.Moves) != 0 || p.Effect.ToBuyer != 0 {
		t.Errorf("at once: %+v", p.Effect)
	}
	if p.Otherwise == nil {
		t.Fatalf("nothing follows: %+v", p)
	}
	then := *p.Otherwise
	if then.Event != "execute_ruling" || then.State != "ruled" || !then.At.Equal(p.Order.DeadlineAt) ||
		then.ToBuyer != 4_000 || then.ToSeller != 5_280 || then.Fee != 600 || then.Tax != 120 {
		t.Errorf("when nobody appeals: %+v", then)
	}
	var moves []string
	for _, m := range then.Moves {
		b, err := json.Marshal([]any{m.Name, m.Debit.Name, m.Credit.Name, m.Credit.Owner, m.Amount})
		if err != nil {
			t.Fatal(err)
		}
		moves = append(moves, string(b))
	}
	want := []string{`["dispute freeze lifted","escrow","dispute suspense","",10000]`,
		`["released to the seller by a ruling","escrow","seller pending","bob",5280]`, `["fee by a ruling","escrow","fee revenue","",600]`,
		`["tax on the fee by a ruling","escrow","tax payable","",120]`, `["refunded to the buyer by a ruling","escrow","buyer","ann",4000]`}
	if !reflect.DeepEqual(moves, want) {
		t.Errorf("movements:\n%s", strings.Join(moves, "\n"))
	}
	if done := must[api.Order](t)(c.Rule(ctx, o.ID, ruling)); !reflect.DeepEqual(done, p.Order) {
		t.Errorf("foretold %+v\ndone     %+v", p.Order, done)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, then.At, false))
	if done := must[api.OrderDetail](t)(c.Order(ctx, o.ID)); done.State != then.State || done.Refunded != then.ToBuyer || done.FeeCharged != then.Fee {
		t.Errorf("carried out: %+v", done)
	}

	// What would be refused is refused, strangers' orders are not found.
	refused(t, "state", func() error { _, err := c.Preview(ctx, o.ID, "ruling", ruling); return err })
	held := s.held("web-2", 500)
	refused(t, "amount", func() error { _, err := c.Preview(ctx, held.ID, "refund", api.Refund{Amount: 501}); return err })
	refused(t, "future", func() error {
		_, err := c.Preview(ctx, held.ID, "ship", api.Ship{Act: api.Act{At: then.At.Add(time.Hour)}})
		return err
	})
	part := must[api.Preview](t)(c.Preview(ctx, held.ID, "refund", api.Refund{Amount: 100}))
	if part.Effect.ToBuyer != 100 || part.Order.Held != 400 || part.Otherwise == nil || part.Otherwise.ToBuyer != 400 {
		t.Errorf("a part: %+v, then %+v", part.Effect, part.Otherwise)
	}
	if status, _, text := s.send("POST", "/v1/orders/"+held.ID+"/ruling/preview", `{"to_buyer":1}`); status != 400 || !strings.Contains(text, "/to_seller") {
		t.Errorf("%d %s", status, text)
	}
	if p := s.problem("POST", "/v1/orders/01941f29-7c00-7000-8000-000000000000/confirm/preview", `{}`); p.Type != api.ProblemNotFound {
		t.Errorf("a stranger's: %+v", p)
	}
}

// TestFourEyes: a ruling on much money is proposed and approved over the API, and
// so is a policy where the marketplace wants it.
func TestFourEyes(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	o := s.disputed("web-1", func(p *api.PolicyTerms) { p.ApproveRulingsOver = map[string]int64{"USD": 9_999} })
	ruling := api.Ruling{ToBuyer: 4_000, ToSeller: 6_000}
	refused(t, "four-eyes", func() error { _, err := c.Rule(ctx, o.ID, ruling); return err })
	if p := must[api.Preview](t)(c.Preview(ctx, o.ID, "ruling", ruling)); !p.Approval || p.Order.State != "decided" || p.Otherwise.ToBuyer != 4_000 {
		t.Errorf("what it would do: %+v", p)
	}
	propose := api.NewEntry{Kind: "ruling", Party: o.ID, Details: json.RawMessage(`{"to_buyer":4000,"to_seller":6000}`), Reason: "usable", Person: "eve"}
	e := must[api.EntryMade](t)(c.MakeEntry(ctx, propose, client.Key("p")))
	if e.State != "proposed" || e.Amount != 10_000 || e.Currency != "USD" || e.Digest == "" || e.DueAt.IsZero() {
		t.Errorf("proposed: %+v", e)
	}
	if again := must[api.EntryMade](t)(c.MakeEntry(ctx, propose, client.Key("p"))); again.ID != e.ID {
		t.Errorf("proposed twice: %+v", again)
	}
	refused(t, "four-eyes", func() error {
		_, err := c.MoveEntry(ctx, e.ID, "approve", api.EntryAct{Person: "eve", Digest: e.Digest})
		return err
	})
	for range 2 { // the second time the answer is the first one's
		if done := must[api.Entry](t)(c.MoveEntry(ctx, e.ID, "approve", api.EntryAct{Person: "max", Digest: e.Digest}, client.Key("a"))); done.State != "done" {
			t.Errorf("approved: %+v", done)
		}
	}
	detail := must[api.OrderDetail](t)(c.Order(ctx, o.ID))
	if detail.State != "decided" || detail.Claim.Ruling == nil || detail.Claim.Ruling.ToBuyer != 4_000 {
		t.Errorf("the order: %+v", detail)
	}
	if d := must[api.EntryDetail](t)(c.Entry(ctx, e.ID)); d.Timeline[1].Result != "the order is decided" {
		t.Errorf("the entry: %+v", d)
	}
	for _, wrong := range []api.NewEntry{
		{Kind: "ruling", Party: "bob", Details: propose.Details, Reason: "r", Person: "eve"},
		{Kind: "ruling", Party: s.agreed("unpaid", 5).ID, Details: propose.Details, Reason: "r", Person: "eve"},
		{Kind: "ruling", Party: o.ID, Details: json.RawMessage(`{"to_buyer":1,"to_seller":1}`), Reason: "r", Person: "eve"},
		{Kind: "ruling", Party: o.ID, Details: propose.Details, Person: "eve"},
		{Kind: "ruling", Party: o.ID, Details: propose.Details, Reason: "r"},
		{Kind: "ruling", Party: o.ID, Amount: 10_000, Details: propose.Details, Reason: "r", Person: "eve"},
		{Kind: "policy", Details: json.RawMessage(`{"name":"shop"}`), Person: "eve"},
		{Kind: "policy", Currency: "USD", Details: json.RawMessage(`{"name":"shop"}`), Person: "eve"},
	} {
		var p *api.Problem
		if _, err := c.MakeEntry(ctx, wrong); !errors.As(err, &p) || p.Type != api.ProblemInvalid {
			t.Errorf("%+v: %v", wrong, err)
		}
	}

	must[orderdb.Marketplace](t)(s.store.SetFourEyesPolicies(ctx, s.market.ID, true))
	list := must[[]api.Policy](t)(c.Policies(ctx))
	terms := list[len(list)-1].PolicyTerms
	terms.ShipWithin = 60
	refused(t, "four-eyes", func() error { _, err := c.AddPolicy(ctx, terms); return err })
	document := must[[]byte](t)(json.Marshal(terms))
	e = must[api.EntryMade](t)(c.MakeEntry(ctx, api.NewEntry{Kind: "policy", Details: document, Person: "eve"}))
	must[api.Entry](t)(c.MoveEntry(ctx, e.ID, "approve", api.EntryAct{Person: "max", Digest: e.Digest}))
	list = must[[]api.Policy](t)(c.Policies(ctx))
	if p := list[len(list)-1]; p.ShipWithin != 60 {
		t.Errorf("in force: %+v", p)
	}
}

// TestReplacement: buyer and seller agree that the goods are replaced; the order
// goes on as after a first shipment, and the buyer may dispute it once more.
func TestReplacement(t *testing.T) {
	s := newSetup(t)
	ctx, c, order := t.Context(), s.client, must[api.Order](t)
	o := s.disputed("web-1", func(p *api.PolicyTerms) { p.ReplaceWithin, p.Disputes = 60*60, 1 })
	order(c.Contest(ctx, o.ID, api.Contest{Reason: "look again"}))
	o = order(c.Offer(ctx, o.ID, api.Offer{Replacement: true, Act: api.Act{By: "seller"}}))
	if f := o.Claim.Offer; f == nil || !f.Replacement || o.Disputes != 1 {
		t.Errorf("offered: %+v", o)
	}
	refused(t, "offer", func() error {
		_, err := c.AcceptOffer(ctx, o.ID, api.AcceptOffer{Act: api.Act{By: "buyer"}})
		return err
	})
	o = order(c.AcceptOffer(ctx, o.ID, api.AcceptOffer{Replacement: true, Act: api.Act{By: "buyer"}}))
	if o.State != "replacing" || o.Deadline != "replace_by" || o.Held != 10_000 {
		t.Errorf("accepted: %+v", o)
	}
	p := must[api.Preview](t)(c.Preview(ctx, o.ID, "accept-claim", api.AcceptClaim{}))
	if p.Effect.ToBuyer != 10_000 {
		t.Errorf("the claim accepted after all: %+v", p.Effect)
	}
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.ShipReplacementItem{{Target: api.Target{Order: o.ID}, ShipReplacement: api.ShipReplacement{Carrier: "DHL"}}}))
	if a := answers[0]; a.Status != 200 || a.Order.State != "shipped" || !a.Order.Replaced || a.Order.Claim != nil {
		t.Fatalf("shipped: %+v", a)
	}
	first := must[[]api.Shipment](t)(c.Shipments(ctx, o.ID))[0]
	order(c.Track(ctx, o.ID, api.Track{Status: "customs", Location: "Leipzig", Note: "duty"}))
	o = order(c.Track(ctx, o.ID, api.Track{Status: "delivered", Tracking: "D9"}))
	shipments := must[[]api.Shipment](t)(c.Shipments(ctx, o.ID))
	if len(shipments) != 2 || !reflect.DeepEqual(shipments[0], first) || first.Kind != "goods" || first.Amount != 10_000 || first.ShippedAt.IsZero() || len(first.Scans) != 0 {
		t.Fatalf("the first shipment: %+v, with the second: %+v", first, shipments)
	}
	if s := shipments[1]; s.Number != 2 || s.Kind != "replacement" || s.ChildOf != 1 || s.Amount != 0 || s.Carrier != "DHL" || !s.DeliveredAt.Equal(o.At) || !reflect.DeepEqual(s.Scans,
		[]api.ShipmentScan{{At: o.At, Status: "customs", Location: "Leipzig", Note: "duty"}, {At: o.At, Status: "delivered", Tracking: "D9"}}) {
		t.Errorf("the second shipment: %+v", s)
	}
	order(c.Dispute(ctx, o.ID, api.Dispute{Reason: "torn again"}))
	order(c.Withdraw(ctx, o.ID, api.Withdraw{}))
	refused(t, "again", func() error { _, err := c.Dispute(ctx, o.ID, api.Dispute{Reason: "torn again"}); return err })
	if o = order(c.Confirm(ctx, o.ID, api.Confirm{})); o.State != "released" || o.Released != 10_000 {
		t.Errorf("confirmed: %+v", o)
	}
}

// TestDamage: the seller claims damage of what came back, and offers the rest.
func TestDamage(t *testing.T) {
	s := newSetup(t)
	ctx, c, order := t.Context(), s.client, must[api.Order](t)
	o := s.disputed("web-1", nil)
	order(c.Contest(ctx, o.ID, api.Contest{Reason: "look again"}))
	order(c.Offer(ctx, o.ID, api.Offer{ToBuyer: 9_000, Return: true, Act: api.Act{By: "seller"}}))
	order(c.AcceptOffer(ctx, o.ID, api.AcceptOffer{ToBuyer: 9_000, Act: api.Act{By: "buyer"}}))
	order(c.ShipBack(ctx, o.ID, api.ShipBack{}))
	refused(t, "amount", func() error {
		_, err := c.RefuseReturn(ctx, o.ID, api.RefuseReturn{Amount: 9_001, Reason: "torn"})
		return err
	})
	o = order(c.RefuseReturn(ctx, o.ID, api.RefuseReturn{Amount: 1_500, Reason: "torn"}))
	if d := o.Claim.Damage; o.State != "escalated" || d == nil || d.Amount != 1_500 || d.ToBuyer != 9_000 || o.Claim.Offer.ToBuyer != 7_500 {
		t.Errorf("claimed: %+v", o)
	}
	line := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	if data := string(line[len(line)-1].Data); !strings.Contains(data, `"1500"`) {
		t.Errorf("on the timeline: %s", data)
	}
	for by, toBuyer := range map[string]int64{"buyer": 7_500, "seller": 9_000} {
		p := must[api.Preview](t)(c.Preview(ctx, o.ID, "accept-claim", api.AcceptClaim{Act: api.Act{By: by}}))
		if p.Effect.ToBuyer != toBuyer {
			t.Errorf("if the %s accepts the other's claim: %+v", by, p.Effect)
		}
	}
	allowed := must[api.OrderDetail](t)(c.Order(ctx, o.ID)).Allowed
	if !slices.ContainsFunc(allowed, func(a api.Allowed) bool {
		return a.Event == "accept_claim" && slices.Equal(a.By, []string{"seller", "buyer"})
	}) {
		t.Errorf("allowed: %+v", allowed)
	}
	if o = order(c.AcceptClaim(ctx, o.ID, api.AcceptClaim{Act: api.Act{By: "buyer"}})); o.State != "ruled" || o.Refunded != 7_500 || o.Released != 2_500 {
		t.Errorf("settled: %+v", o)
	}
}
