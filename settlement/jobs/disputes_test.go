package jobs

import (
	"fmt"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// Disputes at every step, and nobody does anything any more: each ends by
// itself or waits for the marketplace's ruling, as its policy says; the books
// agree at every moment.
func TestDisputesEndByTheirDeadlines(t *testing.T) {
	w := newWorld(t)
	p := order.Standard()
	p.Name = "steps"
	d := order.Seconds(24 * 60 * 60)
	p.RespondWithin, p.NegotiateWithin, p.EvidenceWithin, p.AppealWithin = 5*d, 10*d, 4*d, 2*d
	p.ReturnWithin, p.InspectWithin, p.ReplaceWithin = 10*d, 3*d, 7*d
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)

	disputed := order.Command{Event: order.Dispute, Amount: 4000, Reason: "scratched"}
	contested := order.Command{Event: order.Contest, Reason: "it was fine"}
	offer := order.Command{Event: order.MakeOffer, By: order.Seller, ToBuyer: 9000, Return: true}
	accepted := order.Command{Event: order.AcceptOffer, By: order.Buyer, ToBuyer: 9000}
	file := order.Command{Event: order.GiveEvidence, By: order.Buyer, Evidence: order.Evidence{
		SHA256: fmt.Sprintf("%064x", 1), URL: "https://files.example.com/1", Type: "image/png", Size: 1}}
	heard := order.Command{Event: order.Escalate, By: order.Operator}
	ruled := order.Command{Event: order.Rule, ToBuyer: 2000, ToSeller: 8001}
	cases := map[string]struct {
		path     []order.Command
		final    order.State
		refunded int64
	}{
		"silent":      {[]order.Command{disputed}, order.Closed, 4000},
		"unsettled":   {[]order.Command{disputed, contested}, order.Closed, 0}, // no evidence: the claim falls
		"evidence":    {[]order.Command{disputed, contested, file}, order.Arbitration, 0},
		"heard":       {[]order.Command{disputed, contested, heard, file}, order.Arbitration, 0},
		"ruled":       {[]order.Command{disputed, contested, heard, ruled}, order.Closed, 2000},
		"unreturned":  {[]order.Command{disputed, contested, offer, accepted}, order.Closed, 0},
		"uninspected": {[]order.Command{disputed, contested, offer, accepted, {Event: order.ShipBack}}, order.Closed, 9000},
		"unreplaced":  {[]order.Command{disputed, contested, {Event: order.MakeOffer, By: order.Seller, Replacement: true}, {Event: order.AcceptOffer, By: order.Buyer, Replacement: true}}, order.Closed, 4000},
		"replaced": {[]order.Command{disputed, contested, {Event: order.MakeOffer, By: order.Seller, Replacement: true}, {Event: order.AcceptOffer, By: order.Buyer, Replacement: true},
			{Event: order.ShipReplacement}}, order.Closed, 0},
		"ruled to return":  {[]order.Command{disputed, {Event: order.Rule, ToBuyer: 2000, ToSeller: 8001, Return: true}}, order.Closed, 0},
		"ruled to replace": {[]order.Command{disputed, {Event: order.Rule, ToSeller: 10_001, Replacement: true}}, order.Closed, 4000},
		"damaged":          {[]order.Command{disputed, contested, offer, accepted, {Event: order.ShipBack}, {Event: order.RefuseReturn, Amount: 500, Reason: "torn"}}, order.Closed, 9000},
		"withdrawn":        {[]order.Command{disputed, contested, {Event: order.Withdraw}}, order.Closed, 0},
	}
	ids := map[string]ledger.ID{}
	for name, c := range cases {
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
			Agreement: &posting.Agreement{Reference: name, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001, Policy: "steps"},
			Command:   order.Command{Event: order.Agree, At: start}})
		w.must(err)
		id := r.Orders[0].ID
		ids[name] = id
		w.pay(id)
		for _, cmd := range append([]order.Command{{Event: order.Ship}, {Event: order.Deliver}}, c.path...) {
			cmd.At = start
			w.do(id, cmd)
		}
		// What was read back is what the path says.
		if o := w.order(id); o.State.Frozen() != (o.Claim != nil) {
			t.Errorf("%s is %s with claim %v", name, o.State, o.Claim)
		}
	}
	j := w.jobs(w.poster, nil)
	check := func() {
		t.Helper()
		res, err := w.run(j, CheckBooks, Run{})
		w.must(err)
		if res.Failed > 0 {
			t.Fatalf("the books: %+v", res)
		}
	}
	check()
	for days := 1; days <= 60; days += 3 {
		w.clock(start.Add(time.Duration(days) * day))
		if _, err := j.Fire(w.ctx, w.market.ID); err != nil {
			t.Fatal(err)
		}
		check()
	}
	for name, c := range cases {
		o := w.order(ids[name])
		if o.State != c.final || o.Refunded != c.refunded {
			t.Errorf("%s: %s, refunded %d; want %s, %d", name, o.State, o.Refunded, c.final, c.refunded)
		}
		line, err := w.store.Timeline(w.ctx, o.ID)
		w.must(err)
		if last := line[len(line)-1]; len(line) != int(o.Seq) || last.After.State != o.State {
			t.Errorf("%s: %d events, the last leaves it %s", name, len(line), last.After.State)
		}
	}
}

// A clock that is moved over all of a dispute's deadlines at once brings it to
// the same end as one that is moved day by day.
func TestDisputeOverAllDeadlinesAtOnce(t *testing.T) {
	w := newWorld(t)
	p := order.Standard()
	p.Name = "steps"
	d := order.Seconds(24 * 60 * 60)
	p.RespondWithin, p.NegotiateWithin, p.EvidenceWithin = d, d, d
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
		Agreement: &posting.Agreement{Reference: "x", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001, Policy: "steps"},
		Command:   order.Command{Event: order.Agree, At: start}})
	w.must(err)
	id := r.Orders[0].ID
	w.pay(id)
	for _, cmd := range []order.Command{{Event: order.Ship}, {Event: order.Dispute, Reason: "x"}, {Event: order.Contest, Reason: "y"}} {
		cmd.At = start
		w.do(id, cmd)
	}
	w.clock(start.Add(30 * day))
	if _, err := w.jobs(w.poster, nil).Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	o := w.order(id)
	if want := start.Add(2*day + p.MatureAfter.Duration()); o.State != order.Closed || !o.At.Equal(want) {
		t.Errorf("%s at %s, want closed at %s", o.State, o.At, want)
	}
}

// The same of a ruling that sends the goods back, or has them replaced: what it
// leads to when nobody has appealed has a deadline of its own.
func TestRulingsOverAllDeadlinesAtOnce(t *testing.T) {
	w := newWorld(t)
	p := order.Standard()
	p.Name = "steps"
	d := order.Seconds(24 * 60 * 60)
	p.RespondWithin, p.NegotiateWithin, p.EvidenceWithin, p.AppealWithin = d, d, d, d
	p.ReturnWithin, p.InspectWithin, p.ReplaceWithin = d, d, d
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	ids := map[string]ledger.ID{}
	for name, rule := range map[string]order.Command{
		"return":  {Event: order.Rule, ToBuyer: 10_001, Return: true},
		"replace": {Event: order.Rule, ToSeller: 10_001, Replacement: true},
	} {
		r, err := w.poster.Do(w.ctx, posting.Request{Marketplace: w.market.ID,
			Agreement: &posting.Agreement{Reference: name, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001, Policy: "steps"},
			Command:   order.Command{Event: order.Agree, At: start}})
		w.must(err)
		ids[name] = r.Orders[0].ID
		w.pay(ids[name])
		for _, cmd := range []order.Command{{Event: order.Ship}, {Event: order.Dispute, Reason: "x"}, rule} {
			cmd.At = start
			w.do(ids[name], cmd)
		}
	}
	w.clock(start.Add(30 * day))
	if _, err := w.jobs(w.poster, nil).Fire(w.ctx, w.market.ID); err != nil {
		t.Fatal(err)
	}
	if o := w.order(ids["return"]); o.State != order.Closed || !o.At.Equal(start.Add(2*day+p.MatureAfter.Duration())) {
		t.Errorf("nothing came back: %s at %s", o.State, o.At)
	}
	if o := w.order(ids["replace"]); o.State != order.Refunded || !o.At.Equal(start.Add(2*day)) {
		t.Errorf("nothing was replaced: %s at %s", o.State, o.At)
	}
}
