package order

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
)

// steps is a policy whose disputes have every step.
func steps(p *Policy) {
	p.RespondWithin, p.NegotiateWithin, p.EscalateAfter = 5*day, 10*day, 3*day
	p.EvidenceWithin, p.AppealWithin = 4*day, 2*day
	p.ReturnWithin, p.InspectWithin = 10*day, 3*day
}

var file = Evidence{SHA256: strings.Repeat("ab", 32), URL: "https://files.example.com/a.jpg", Type: "image/jpeg", Size: 4096}

// delivered is an order of 10,000 whose goods have arrived, with a fee of
// 1,000 and tax of 200 on it.
func delivered(t *testing.T, change func(*Policy)) Order {
	t.Helper()
	o := agreed(t, 10_000, change)
	for _, c := range []Command{{Event: Pay, Method: "card"}, {Event: Ship}, {Event: Deliver}} {
		o = must(t, o, c)
	}
	return o
}

func claimed(amount int64) Command {
	return Command{Event: Dispute, Amount: amount, Reason: "scratched"}
}

// Each path through a dispute, and where it leaves the money. What is released
// carries the fee and the tax.
func TestDisputes(t *testing.T) {
	contest := Command{Event: Contest, Reason: "it was fine"}
	later := func(c Command, d Seconds) Command { c.At = t0.Add(d.Duration()); return c }
	escalated := []Command{claimed(4000), contest, {Event: Escalate, By: Operator}}
	returning := []Command{claimed(0), contest, {Event: MakeOffer, By: Seller, ToBuyer: 9000, Return: true}, {Event: AcceptOffer, By: Buyer, ToBuyer: 9000}}
	then := func(path []Command, more ...Command) []Command { return append(path[:len(path):len(path)], more...) }
	for _, c := range []struct {
		name                     string
		path                     []Command
		state                    State
		held, released, refunded int64
		deadline                 Deadline
	}{
		{"opened", []Command{claimed(4000)}, Disputed, 10_000, 0, 0, RespondBy},
		{"the seller accepts", []Command{claimed(4000), {Event: AcceptClaim}}, Ruled, 0, 6000, 4000, MatureAt},
		{"the seller accepts a claim of all", []Command{claimed(0), {Event: AcceptClaim}}, Refunded, 0, 0, 10_000, NoDeadline},
		{"the seller is silent", []Command{claimed(4000), {Event: GrantUnanswered}}, Ruled, 0, 6000, 4000, MatureAt},
		{"contested", []Command{claimed(4000), contest}, Negotiating, 10_000, 0, 0, NegotiateBy},
		{"contested, then accepted", []Command{claimed(4000), contest, {Event: AcceptClaim}}, Ruled, 0, 6000, 4000, MatureAt},
		{"an offer", []Command{claimed(4000), contest, {Event: MakeOffer, By: Seller, ToBuyer: 1000}}, Negotiating, 10_000, 0, 0, NegotiateBy},
		{"an accepted offer", []Command{claimed(4000), contest, {Event: MakeOffer, By: Seller, ToBuyer: 1000}, {Event: AcceptOffer, By: Buyer, ToBuyer: 1000}}, Ruled, 0, 9000, 1000, MatureAt},
		{"the buyer's offer of nothing", []Command{claimed(4000), contest, {Event: MakeOffer, By: Buyer}, {Event: AcceptOffer, By: Seller}}, Released, 0, 10_000, 0, MatureAt},
		{"the last offer counts", []Command{claimed(4000), contest, {Event: MakeOffer, By: Seller, ToBuyer: 1000}, {Event: MakeOffer, By: Buyer, ToBuyer: 3000}, {Event: AcceptOffer, By: Seller, ToBuyer: 3000}}, Ruled, 0, 7000, 3000, MatureAt},
		{"nobody agrees", []Command{claimed(4000), contest, {Event: EscalateUnsettled}}, Escalated, 10_000, 0, 0, EvidenceBy},
		{"a party escalates on the fourth day", []Command{claimed(4000), contest, later(Command{Event: Escalate, By: Seller}, 8*day)}, Escalated, 10_000, 0, 0, EvidenceBy},
		{"no evidence", then(escalated, Command{Event: CloseEvidence}), Released, 0, 10_000, 0, MatureAt},
		{"the seller's evidence only", then(escalated, Command{Event: GiveEvidence, By: Seller, Evidence: file}, Command{Event: CloseEvidence}), Released, 0, 10_000, 0, MatureAt},
		{"evidence", then(escalated, Command{Event: GiveEvidence, By: Buyer, Evidence: file}, Command{Event: CloseEvidence}), Arbitration, 10_000, 0, 0, RuleBy},
		{"a ruling", then(escalated, Command{Event: Rule, ToBuyer: 2500, ToSeller: 7500}), Decided, 10_000, 0, 0, AppealBy},
		{"a ruling that nobody appeals", then(escalated, Command{Event: Rule, ToBuyer: 2500, ToSeller: 7500}, Command{Event: ExecuteRuling}), Ruled, 0, 7500, 2500, MatureAt},
		{"an appeal", then(escalated, Command{Event: Rule, ToBuyer: 2500, ToSeller: 7500}, Command{Event: Appeal, By: Buyer, Reason: "x"}), Arbitration, 10_000, 0, 0, RuleBy},
		{"the ruling after it is the last", then(escalated, Command{Event: Rule, ToBuyer: 2500, ToSeller: 7500}, Command{Event: Appeal, By: Buyer, Reason: "x"}, Command{Event: Rule, ToBuyer: 10_000}), Refunded, 0, 0, 10_000, NoDeadline},
		{"a return is agreed", returning, Returning, 10_000, 0, 0, ReturnBy},
		{"nothing comes back", then(returning, Command{Event: DropUnreturned}), Released, 0, 10_000, 0, MatureAt},
		{"handed over in person", then(returning, Command{Event: ReceiveReturn}), Ruled, 0, 1000, 9000, MatureAt},
		{"shipped back", then(returning, Command{Event: ShipBack}), Returned, 10_000, 0, 0, InspectBy},
		{"shipped back and received", then(returning, Command{Event: ShipBack}, Command{Event: ReceiveReturn}), Ruled, 0, 1000, 9000, MatureAt},
		{"shipped back and not looked at", then(returning, Command{Event: ShipBack}, Command{Event: GrantUninspected}), Ruled, 0, 1000, 9000, MatureAt},
		{"shipped back and refused", then(returning, Command{Event: ShipBack}, Command{Event: RefuseReturn, Reason: "broken"}), Escalated, 10_000, 0, 0, EvidenceBy},
		{"withdrawn", []Command{claimed(0), {Event: Withdraw}}, Delivered, 10_000, 0, 0, ConfirmBy},
		{"withdrawn before the marketplace", then(escalated, Command{Event: Withdraw}), Delivered, 10_000, 0, 0, ConfirmBy},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := delivered(t, steps)
			for _, cmd := range c.path {
				before := o
				o = must(t, o, cmd)
				if before.Claim != nil && o.Claim == before.Claim && (cmd.Event == MakeOffer || cmd.Event == GiveEvidence) {
					t.Error("the claim was changed in place")
				}
			}
			if o.State != c.state || o.Held != c.held || o.Released != c.released || o.Refunded != c.refunded || o.Deadline != c.deadline {
				t.Errorf("%s, held %d, released %d, refunded %d, %q", o.State, o.Held, o.Released, o.Refunded, o.Deadline)
			}
			if want := o.Released / 10; o.FeeCharged != want || o.TaxCharged != want/5 || o.Maturing != o.Released-want-want/5 {
				t.Errorf("fee %d, tax %d, maturing %d of %d", o.FeeCharged, o.TaxCharged, o.Maturing, o.Released)
			}
			if frozen := o.State.Frozen(); frozen != (o.Claim != nil) || frozen != (o.Freeze != ledger.ID{}) || frozen != (o.Held > 0 && o.Deadline != ConfirmBy) {
				t.Errorf("%s: claim %v, freeze %v", o.State, o.Claim, o.Freeze)
			}
		})
	}
}

// Of goods that came back damaged there are two claims, and each party may accept
// the other's: that is what is allowed, and what the explanation says. Before that
// the buyer has nothing to accept.
func TestClaimsForDamage(t *testing.T) {
	mayAccept := func(o Order) (by []Role) {
		for _, a := range o.Allowed() {
			if a.Event == AcceptClaim {
				by = a.By
			}
		}
		return by
	}
	o := delivered(t, steps)
	for _, c := range []Command{claimed(4000), {Event: Contest, Reason: "it was fine"}} {
		o = must(t, o, c)
	}
	undamaged := must(t, o, Command{Event: Escalate, By: Operator})
	for _, c := range []Command{{Event: MakeOffer, By: Seller, ToBuyer: 9000, Return: true}, {Event: AcceptOffer, By: Buyer, ToBuyer: 9000}, {Event: ShipBack}} {
		o = must(t, o, c)
	}
	refused := must(t, o, Command{Event: RefuseReturn, Reason: "an empty box"})
	for _, o := range []Order{undamaged, refused} {
		if by := mayAccept(o); !slices.Equal(by, roles(Seller)) {
			t.Errorf("%s, and without damage accept_claim is allowed to %v", o.State, by)
		}
		var r *Refusal
		if _, err := Plan(o, complete(o, Command{Event: AcceptClaim, By: Buyer})); !errors.As(err, &r) || r.Rule != RuleRole {
			t.Errorf("without damage: %v", err)
		}
		if o = must(t, o, Command{Event: AcceptClaim}); o.Refunded != 4000 {
			t.Errorf("without damage the seller's acceptance gives back %d", o.Refunded)
		}
	}

	o = must(t, o, Command{Event: RefuseReturn, Amount: 3000, Reason: "torn"})
	const both = "USD 90.00 goes back if the seller does, USD 60.00 if the buyer does, and the rest to the seller, less the fee"
	next := func(o Order, want string) {
		t.Helper()
		if by := mayAccept(o); !slices.Equal(by, roles(Seller, Buyer)) {
			t.Errorf("%s: accept_claim is allowed to %v", o.State, by)
		}
		if got := Explain(&o).Next; got != want {
			t.Errorf("next: %s\nwant: %s", got, want)
		}
		for by, want := range map[Role]int64{Seller: 9000, Buyer: 6000} {
			if after := must(t, o, Command{Event: AcceptClaim, By: by}); after.Refunded != want || after.Released != 10_000-want {
				t.Errorf("%s: accepted by the %s: %d back, %d released", o.State, by, after.Refunded, after.Released)
			}
		}
	}
	next(o, "Buyer and seller give evidence of the damage (so far 0 and 0 files), or one accepts what the other claims: "+both+"; the marketplace may rule already.")
	offered := must(t, o, Command{Event: MakeOffer, By: Buyer, ToBuyer: 7500})
	next(offered, "Buyer and seller give evidence of the damage (so far 0 and 0 files), or one accepts what the other claims: "+both+
		"; or what the buyer has offered, USD 75.00 to the buyer; the marketplace may rule already.")
	o = must(t, must(t, o, Command{Event: GiveEvidence, By: Seller, Evidence: file}), Command{Event: CloseEvidence})
	next(o, "The marketplace rules how what is held is split. Until then one may accept what the other claims: "+both+".")
}

// A dispute stops the clock, and withdrawing it lets the clock run on: with
// the extensions that were used.
func TestWithdrawnDisputeGoesOn(t *testing.T) {
	o := delivered(t, steps)
	o = must(t, o, Command{Event: Extend, By: Buyer})
	left := o.DeadlineAt.Sub(o.At)
	o = must(t, o, Command{Event: Dispute, Reason: "late", At: o.At.Add(100 * time.Millisecond)})
	o = must(t, o, Command{Event: Withdraw, At: o.At.Add(50 * hour)})
	if got := o.DeadlineAt.Sub(o.At); got != left-100*time.Millisecond {
		t.Errorf("%s to confirm, want %s", got, left-100*time.Millisecond)
	}
	if o.BuyerExtended != 1 || o.SellerExtended != 0 {
		t.Errorf("extended %d and %d times", o.BuyerExtended, o.SellerExtended)
	}
	must(t, o, Command{Event: Confirm})
}

// What a dispute refuses, and by which rule.
func TestDisputeRefusals(t *testing.T) {
	contest := Command{Event: Contest, Reason: "it was fine"}
	negotiating := []Command{claimed(4000), contest}
	offered := []Command{claimed(4000), contest, {Event: MakeOffer, By: Seller, ToBuyer: 1000}}
	with := func(change func(*Evidence)) Command {
		e := file
		change(&e)
		return Command{Event: GiveEvidence, By: Buyer, Evidence: e}
	}
	var many []Command
	for range EvidencePerParty {
		many = append(many, Command{Event: GiveEvidence, By: Buyer, Evidence: file})
	}
	for _, c := range []struct {
		name string
		path []Command
		cmd  Command
		rule string
	}{
		{"more than is held", nil, Command{Event: Dispute, Amount: 10_001, Reason: "x"}, RuleAmount},
		{"no reason", nil, Command{Event: Dispute}, RuleReason},
		{"a second dispute", []Command{claimed(1)}, claimed(1), RuleState},
		{"a release during a dispute", []Command{claimed(1)}, Command{Event: Confirm, By: Buyer}, RuleState},
		{"a refund during a dispute", negotiating, Command{Event: Refund, By: Seller, Amount: 1}, RuleState},
		{"contested without a reason", []Command{claimed(1)}, Command{Event: Contest}, RuleReason},
		{"the buyer contests", []Command{claimed(1)}, Command{Event: Contest, By: Buyer, Reason: "x"}, RuleRole},
		{"an answer too late", []Command{claimed(1)}, Command{Event: Contest, Reason: "x", At: t0.Add(30 * 24 * hour)}, RuleTooLate},
		{"escalated too early", negotiating, Command{Event: Escalate, By: Buyer}, RuleTooEarly},
		{"an offer of more than is held", negotiating, Command{Event: MakeOffer, By: Buyer, ToBuyer: 10_001}, RuleAmount},
		{"accepted without an offer", negotiating, Command{Event: AcceptOffer, By: Buyer}, RuleOffer},
		{"one's own offer accepted", offered, Command{Event: AcceptOffer, By: Seller, ToBuyer: 1000}, RuleOffer},
		{"another offer accepted", offered, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 2000}, RuleOffer},
		{"a ruling in a negotiation", negotiating, Command{Event: Rule, By: Operator, ToSeller: 10_000}, RuleState},
		{"a ruling whose parts do not sum", []Command{claimed(1)}, Command{Event: Rule, ToSeller: 5000, ToBuyer: 4999}, RuleAmount},
		{"a second appeal", []Command{claimed(1), {Event: Rule, ToSeller: 10_000}, {Event: Appeal, By: Seller, Reason: "x"}, {Event: Rule, ToSeller: 10_000}}, Command{Event: Appeal, By: Seller, Reason: "x"}, RuleState},
		{"an appeal without a reason", []Command{claimed(1), {Event: Rule, ToSeller: 10_000}}, Command{Event: Appeal}, RuleReason},
		{"a file too large", negotiating, with(func(e *Evidence) { e.Size = EvidenceMax + 1 }), RuleEvidence},
		{"an empty file", negotiating, with(func(e *Evidence) { e.Size = 0 }), RuleEvidence},
		{"a program", negotiating, with(func(e *Evidence) { e.Type = "application/x-sh" }), RuleEvidence},
		{"no https", negotiating, with(func(e *Evidence) { e.URL = "http://a/b" }), RuleEvidence},
		{"no hash", negotiating, with(func(e *Evidence) { e.SHA256 = "abc" }), RuleEvidence},
		{"too many files", append(negotiating, many...), Command{Event: GiveEvidence, By: Buyer, Evidence: file}, RuleEvidence},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := delivered(t, steps)
			for _, cmd := range c.path {
				o = must(t, o, cmd)
			}
			_, err := Plan(o, complete(o, c.cmd))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule {
				t.Errorf("%v, want %s", err, c.rule)
			}
		})
	}
	// A policy without the steps: the marketplace rules at once.
	o := must(t, delivered(t, nil), claimed(0))
	if o.Deadline != RuleBy {
		t.Errorf("a dispute without steps waits for %s", o.Deadline)
	}
	_, err := Plan(o, complete(o, contest))
	var r *Refusal
	if !errors.As(err, &r) || r.Rule != RulePolicy {
		t.Errorf("contested without a negotiation: %v", err)
	}
	if o = must(t, o, Command{Event: Rule, ToSeller: 10_000}); o.State != Released {
		t.Errorf("ruled without appeal: %s", o.State)
	}
	noReturns := must(t, must(t, delivered(t, func(p *Policy) { steps(p); p.ReturnWithin, p.InspectWithin = 0, 0 }), claimed(0)), contest)
	if _, err = Plan(noReturns, complete(noReturns, Command{Event: MakeOffer, By: Buyer, Return: true})); !errors.As(err, &r) || r.Rule != RulePolicy {
		t.Errorf("a return without returns: %v", err)
	}
}

// A policy has each step's deadline or does not have the step.
func TestDisputePolicies(t *testing.T) {
	for name, change := range map[string]func(*Policy){
		"replace_within:": func(p *Policy) { p.ReplaceWithin = 7 * day },
		"disputes:":       func(p *Policy) { p.Disputes = 101 },
		"respond_within:": func(p *Policy) {
			steps(p)
			p.NegotiateWithin, p.EscalateAfter, p.ReturnWithin, p.InspectWithin = 0, 0, 0, 0
		},
		"respond_within: respond_within, negotiate_within and": func(p *Policy) { steps(p); p.EvidenceWithin = 0 },
		"return_within: return_within and":                     func(p *Policy) { steps(p); p.InspectWithin = 0 },
		"return_within: a return":                              func(p *Policy) { p.ReturnWithin, p.InspectWithin = day, day },
		"escalate_after: there is no":                          func(p *Policy) { p.EscalateAfter = day },
		"escalate_after: must be shorter":                      func(p *Policy) { steps(p); p.EscalateAfter = 15 * day },
		"appeal_within:":                                       func(p *Policy) { p.AppealWithin = -1 },
	} {
		p := Standard()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s %v", name, err)
		}
	}
}
