package posting_test

import (
	"encoding/json"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// closedUnder is a closed order under a policy with changes to the standard one.
func (w *world) closedUnder(reference string, change func(p *order.Policy)) order.Order {
	w.t.Helper()
	p := order.Standard()
	p.Name, p.DisputeReleasedWithin = "later", 30*24*60*60
	change(&p)
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	req := w.agreement(reference)
	req.Agreement.Policy = "later"
	r, err := w.poster.Do(w.ctx, req)
	w.must(err)
	o := r.Orders[0]
	for _, c := range []order.Command{paid, shipped, confirmed} {
		o = w.do(o.ID, c)
	}
	return w.do(o.ID, order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt})
}

// What a seller has available of what is claimed is kept, and cannot be paid out;
// by another process the claim is granted, and what is missing is a debt.
func TestDisputeAfterRelease(t *testing.T) {
	w := newWorld(t, nil)
	o := w.closedUnder("D-1", func(*order.Policy) {})
	w.paidOut(o, 9_000)
	at := start.AddDate(0, 0, 20)
	dispute := w.event(o.ID, order.Command{Event: order.Dispute, Amount: 6_000, Reason: "broken", At: at})
	dispute.Key = "dispute"
	for _, replayed := range []bool{false, true} {
		r, err := w.poster.Do(w.ctx, dispute)
		if err != nil || r.Replayed != replayed || r.Orders[0].State != order.Disputed {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	o = w.order(o.ID)
	if c := o.Claim; c == nil || c.Stake != 6_000 || c.Kept.IsZero() || c.From != order.Closed || !o.Freeze.IsZero() || !o.Aftermath.ReleasedAt.Equal(start) {
		t.Fatalf("disputed: %+v, %+v, %+v", o.Progress, c, o.Aftermath)
	}
	if posted, pending := w.available(&o); posted != 500 || pending != 500 {
		t.Errorf("the seller has %d available, of which %d is kept", posted, pending)
	}
	w.balanced()
	_, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: order.RefundReleased, Reason: "sorry", At: at}))
	if !refusedBy(err, order.RuleState) {
		t.Errorf("a refund during the dispute: %v", err)
	}

	r, err := w.another().Do(w.ctx, w.event(o.ID, order.Command{Event: order.Rule, ToBuyer: 6_000, ToSeller: 0, At: at.Add(time.Hour)}))
	w.must(err)
	o = r.Orders[0]
	if o.State != order.Closed || o.Refunded != 6_000 || o.Released != 4_000 || o.FeeCharged != 200 || o.Claim != nil || !o.Aftermath.Settled {
		t.Errorf("ruled: %+v, %+v", o.Progress, o.Aftermath)
	}
	w.balanced()
	if posted, pending := w.available(&o); posted != 0 || pending != 0 {
		t.Errorf("the seller has %d available, of which %d is kept", posted, pending)
	}
	if debt := w.books()[chart.SellerReceivable]; debt != [2]int64{5_200, 0} { // of 5,700 without the fee
		t.Errorf("the seller owes %v", debt)
	}
	for event, rule := range map[order.Event]string{order.Dispute: order.RuleAgain, order.Withdraw: order.RuleState} {
		if _, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: event, Reason: "x", At: at.Add(2 * time.Hour)})); !refusedBy(err, rule) {
			t.Errorf("%s: %v", event, err)
		}
	}
}

// Much at stake needs two people after the release too, and what they decide on
// is the stake.
func TestRulingOnWhatWasReleased(t *testing.T) {
	w := newWorld(t, nil)
	o := w.closedUnder("D-1", func(p *order.Policy) { p.ApproveRulingsOver = map[string]int64{"USD": 5_000} })
	o = w.do(o.ID, order.Command{Event: order.Dispute, Amount: 6_000, Reason: "broken", At: start.AddDate(0, 0, 20)})
	_, err := w.poster.Do(w.ctx, w.event(o.ID, order.Command{Event: order.Rule, ToBuyer: 6_000, At: o.At}))
	if !refusedBy(err, order.RuleFourEyes) {
		t.Fatalf("ruled alone: %v", err)
	}
	of := func(toBuyer, toSeller int64) *treasury.Terms {
		details, err := json.Marshal(treasury.RulingTerms{ToBuyer: toBuyer, ToSeller: toSeller})
		w.must(err)
		return &treasury.Terms{Kind: treasury.Ruling, Ledger: o.Ledger, Party: o.ID.UUID(), Amount: toBuyer + toSeller, Details: details, Reason: "usable", Maker: "eve"}
	}
	if _, err := w.propose(of(4_000, 6_000)); !refusedBy(err, order.RuleAmount) {
		t.Errorf("a ruling on all that was released: %v", err)
	}
	e, err := w.propose(of(4_000, 2_000))
	w.must(err)
	_, err = w.poster.Do(w.ctx, w.approval(&e, "mallory", "k"))
	w.must(err)
	if o = w.order(o.ID); o.State != order.Closed || o.Refunded != 4_000 {
		t.Errorf("approved: %+v", o.Progress)
	}
	w.balanced()
}

// The schema refuses what the code would have to be wrong for.
func TestSchemaOfDisputesAfterRelease(t *testing.T) {
	w := newWorld(t, nil)
	released, quiet := w.closedUnder("S-1", func(*order.Policy) {}), w.closedUnder("S-2", func(*order.Policy) {})
	released = w.do(released.ID, order.Command{Event: order.Dispute, Reason: "broken", At: start.AddDate(0, 0, 20)})
	held := w.agree("S-3").ID
	for _, c := range []order.Command{paid, shipped, {Event: order.Dispute, Reason: "broken", At: start}} {
		w.do(held, c)
	}
	for name, c := range map[string]struct {
		set string
		id  ledger.ID
	}{
		"frozen and nothing held":          {"freeze_id = id", released.ID},
		"disputed without a claim":         {"claim = NULL", released.ID},
		"a claim on what is not held":      {"claim = claim - 'stake'", released.ID},
		"from where nothing was released":  {`claim = claim || '{"from": "shipped"}'`, released.ID},
		"a stake in what is held":          {`claim = claim || '{"stake": 1}'`, held},
		"closed with an open claim":        {"state = 'closed', deadline = NULL, deadline_at = NULL", released.ID},
		"other goods of what was released": {"state = 'replacing', deadline = 'replace_by'", released.ID},
		"a claim of a closed order":        {`claim = '{"stake": 1, "from": "closed"}'`, quiet.ID},
		"an extension of a closed order":   {`aftermath = '{"extension": {}}'`, quiet.ID},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.id.UUID()); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}

// What one party asks for in one process the other agrees to in another, and a
// chargeback in between lets it fall.
func TestExtendTogether(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.Name, p.ExtendTogether, p.ExtendTimes = "together", true, 2
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	req := w.agreement("E-1")
	req.Agreement.Policy = "together"
	r, err := w.poster.Do(w.ctx, req)
	w.must(err)
	o := w.do(r.Orders[0].ID, paid)
	until := o.DeadlineAt.AddDate(0, 0, 3)
	ask := func(by order.Role, p *posting.Poster) order.Order {
		t.Helper()
		r, err := p.Do(w.ctx, w.event(o.ID, order.Command{Event: order.Extend, By: by, Until: until, At: start.Add(time.Hour)}))
		w.must(err)
		return r.Orders[0]
	}
	if got := ask(order.Seller, w.poster); !got.DeadlineAt.Equal(o.DeadlineAt) || got.Asked() == nil {
		t.Fatalf("asked: %+v", got.Progress)
	}
	stored := w.order(o.ID)
	if asked := stored.Asked(); asked == nil || asked.By != order.Seller || !asked.Until.Equal(until) {
		t.Fatalf("stored: %+v", asked)
	}
	if got := ask(order.Buyer, w.another()); !got.DeadlineAt.Equal(until) || got.Asked() != nil || got.Aftermath != nil || got.BuyerExtended != 1 || got.SellerExtended != 1 {
		t.Errorf("agreed: %+v", got.Progress)
	}
	until = until.AddDate(0, 0, 3)
	ask(order.Buyer, w.poster)
	w.do(o.ID, order.Command{Event: order.TakeBackPayment, Reason: "10.4", At: start.Add(time.Hour)})
	won := w.do(o.ID, order.Command{Event: order.WinChargeback, At: start.Add(time.Hour)})
	if won.State != order.Held || won.Asked() != nil {
		t.Errorf("after a chargeback: %+v", won.Asked())
	}
}
