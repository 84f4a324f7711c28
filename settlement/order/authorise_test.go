package order

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

var authorise = Command{Event: Authorise, Method: "card"}

// Given an order of 100.00 with a fee of 10 % and 20 % tax on the fee, when the
// payment is authorised and these events follow, then the last one moved the
// money, and the order comes to the amount, fee and tax.
func TestAuthorised(t *testing.T) {
	part := Command{Event: Capture, By: Operator, Amount: 6_005}
	whole, partly := Charge{10_000, 1_000, 200, 0}, Charge{6_005, 600, 120, 0} // 600.5 is rounded to even
	for _, c := range []struct {
		name     string
		events   []Command
		state    State
		deadline Deadline
		held     int64
		charge   Charge
		money    string
	}{
		{"authorised", []Command{authorise}, Authorised, CaptureBy, 0, whole,
			"payment_authorised: clearing -> buyer 10000 pending"},
		{"captured", []Command{authorise, {Event: Capture}}, Held, ShipBy, 10_000, whole,
			"payment_authorised post 10000; hold: buyer -> escrow 10000"},
		{"captured, the amount said", []Command{authorise, {Event: Capture, Amount: 10_000}}, Held, ShipBy, 10_000, whole,
			"payment_authorised post 10000; hold: buyer -> escrow 10000"},
		{"captured in part", []Command{authorise, part}, Held, ShipBy, 6_005, partly,
			"payment_authorised post 6005; hold: buyer -> escrow 6005"},
		{"voided", []Command{authorise, {Event: Void}}, Canceled, NoDeadline, 0, whole, "payment_authorised void"},
		{"never captured", []Command{authorise, {Event: ExpireAuthorisation}}, Expired, NoDeadline, 0, whole, "payment_authorised void"},
		{"captured in part, released", []Command{authorise, part, {Event: Ship}, {Event: Confirm}}, Released, MatureAt, 0, partly,
			"release: escrow -> seller pending 5285; fee: escrow -> fee 600; fee_tax: escrow -> tax 120"},
		{"captured in part, refunded in part, released",
			[]Command{authorise, part, {Event: Refund, Amount: 3_005}, {Event: Ship}, {Event: Confirm}}, Released, MatureAt, 0, partly,
			"release: escrow -> seller pending 2640; fee: escrow -> fee 300; fee_tax: escrow -> tax 60"},
		{"captured in part, canceled", []Command{authorise, part, {Event: Cancel}}, Canceled, NoDeadline, 0, partly,
			"refund_to_buyer: escrow -> buyer 6005"},
		{"captured in part, disputed", []Command{authorise, part, {Event: Ship}, {Event: Dispute, Reason: "late"}}, Disputed, RuleBy, 6_005, partly,
			"dispute_freeze: escrow -> suspense 6005 pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreed(t, 10_000, nil)
			var last *Change
			for _, e := range c.events {
				ch, err := Plan(o, complete(o, e))
				if err != nil {
					t.Fatalf("%s: %v", e.Event, err)
				}
				o, last = ch.After, ch
			}
			if o.State != c.state || o.Deadline != c.deadline || o.Held != c.held || o.Charge() != c.charge {
				t.Errorf("%s with %s, %d held of %+v, want %s with %s, %d of %+v",
					o.State, o.Deadline, o.Held, o.Charge(), c.state, c.deadline, c.held, c.charge)
			}
			if o.Amount != 10_000 || o.Fee != 1_000 || o.Tax != 200 {
				t.Errorf("the terms have changed: %+v", o.Terms)
			}
			if waits := o.State == Authorised || o.State.Frozen(); o.Freeze.IsZero() == waits {
				t.Errorf("%s waits on the transfer %s", o.State, o.Freeze.UUID())
			}
			if got := legs(last.Legs); got != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", got, c.money)
			}
			for _, l := range last.Legs {
				if l.Timeout != 0 {
					t.Errorf("the ledger would end %s by a clock of its own", chart.TransferCode(l.Code).Slug())
				}
			}
			if says, part := strings.Contains(Explain(&o).Why, "was captured"), c.charge != whole; says != part {
				t.Errorf("a part was captured: %v; it says %q", part, Explain(&o).Why)
			}
		})
	}
}

// The capture names what it posts, and holds in the same chain.
func TestCaptureIsOneChain(t *testing.T) {
	o := must(t, agreed(t, 10_000, nil), authorise)
	ch, err := Plan(o, complete(o, Command{Event: Capture, By: Operator, Amount: 1}))
	if err != nil {
		t.Fatal(err)
	}
	post, hold := ch.Legs[0], ch.Legs[1]
	if post.PendingID != o.Freeze || post.Code != uint16(chart.PaymentAuthorised) || post.Flags != ledger.TransferPostPending|ledger.TransferLinked {
		t.Errorf("post: %+v", post)
	}
	if hold.Flags != 0 || hold.Amount != post.Amount {
		t.Errorf("hold: %+v", hold)
	}
}

func TestAuthorisedRefused(t *testing.T) {
	capture, void := Command{Event: Capture}, Command{Event: Void}
	part := Command{Event: Capture, By: Operator, Amount: 1}
	tooLate := t0.Add(hour).AddDate(0, 0, 7).Add(time.Microsecond)
	for _, c := range []struct {
		name   string
		events []Command
		rule   string
	}{
		{"by a method that the policy does not take", []Command{{Event: Authorise, Method: "gold"}}, RuleMethod},
		{"less than agreed", []Command{{Event: Authorise, Method: "card", Amount: 9_999}}, RuleAmount},
		{"by the seller", []Command{{Event: Authorise, Method: "card", By: Seller}}, RuleRole},
		{"authorised too late", []Command{{Event: Authorise, Method: "card", At: t0.AddDate(0, 0, 5).Add(time.Microsecond)}}, RuleTooLate},
		{"authorised twice", []Command{authorise, authorise}, RuleState},
		{"paid besides", []Command{authorise, {Event: Pay, Method: "card"}}, RuleState},
		{"canceled instead of voided", []Command{authorise, {Event: Cancel}}, RuleState},
		{"shipped before it is captured", []Command{authorise, {Event: Ship}}, RuleState},
		{"refunded before it is captured", []Command{authorise, {Event: Refund}}, RuleState},
		{"captured without an authorisation", []Command{capture}, RuleState},
		{"captured twice", []Command{authorise, capture, capture}, RuleState},
		{"the rest captured after a part", []Command{authorise, part, capture}, RuleState},
		{"captured above the authorisation", []Command{authorise, {Event: Capture, By: Operator, Amount: 10_001}}, RuleAmount},
		{"captured below zero", []Command{authorise, {Event: Capture, By: Operator, Amount: -1}}, RuleAmount},
		{"a part that the operator did not say", []Command{authorise, {Event: Capture, Amount: 9_999}}, RuleRole},
		{"captured by the seller", []Command{authorise, {Event: Capture, By: Seller}}, RuleRole},
		{"captured after it was voided", []Command{authorise, void, capture}, RuleState},
		{"voided after it was captured", []Command{authorise, capture, void}, RuleState},
		{"voided by the carrier", []Command{authorise, {Event: Void, By: Carrier}}, RuleRole},
		{"captured after capture_by", []Command{authorise, {Event: Capture, At: tooLate}}, RuleTooLate},
		{"voided after capture_by", []Command{authorise, {Event: Void, At: tooLate}}, RuleTooLate},
		{"expired before capture_by", []Command{authorise, {Event: ExpireAuthorisation, At: t0.AddDate(0, 0, 7)}}, RuleNotDue},
		{"the time to pay is over", []Command{authorise, {Event: Expire, At: t0.AddDate(0, 0, 5)}}, RuleState},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := agreed(t, 10_000, nil)
			for _, e := range c.events[:len(c.events)-1] {
				o = must(t, o, e)
			}
			_, err := Plan(o, complete(o, c.events[len(c.events)-1]))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule || r.State != o.State {
				t.Fatalf("%v, want %s", err, c.rule)
			}
		})
	}
	o := must(t, agreed(t, 10_000, nil), authorise)
	must(t, o, Command{Event: Capture, At: o.DeadlineAt}) // at the deadline is in time
}

// As of a version that was made before there were authorisations.
func TestPolicyWithoutAuthorisations(t *testing.T) {
	o := agreed(t, 10_000, func(p *Policy) { p.AuthoriseWithin = 0 })
	_, err := Plan(o, complete(o, authorise))
	var r *Refusal
	if !errors.As(err, &r) || r.Rule != RulePolicy {
		t.Errorf("%v, want %s", err, RulePolicy)
	}
}

// Whatever part is captured, the order comes to what it would have come to had
// it been agreed at that amount.
func TestPartComesToWhatThePolicySays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		amount := rapid.Int64Range(2, MaxAmount).Draw(rt, "amount")
		part := rapid.Int64Range(1, amount-1).Draw(rt, "part")
		f := Fee{Bps: rapid.Int64Range(0, 10_000).Draw(rt, "bps"), Fixed: rapid.Int64Range(0, 500).Draw(rt, "fixed"),
			Min: rapid.Int64Range(0, 900).Draw(rt, "min"), TaxBps: rapid.Int64Range(0, 10_000).Draw(rt, "tax")}
		change := func(p *Policy) { p.Fees = map[string]Fee{"USD": f} }
		o := must(t, must(t, agreed(t, amount, change), authorise), Command{Event: Capture, By: Operator, Amount: part})
		same := agreed(t, part, change)
		if o.Charge() != same.Charge() {
			rt.Fatalf("%+v, want %+v", o.Charge(), same.Charge())
		}
		o = must(t, must(t, o, Command{Event: Ship}), Command{Event: Confirm})
		if o.Released != part || o.FeeCharged != same.Fee || o.TaxCharged != same.Tax {
			rt.Fatalf("released %+v, want fee %d and tax %d", o.Progress, same.Fee, same.Tax)
		}
	})
}
