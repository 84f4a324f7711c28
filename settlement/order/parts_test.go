package order

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// boat is an order of 100.01 in three parts.
var boat = []PartTerms{{Name: "hull", Amount: 5_000}, {Name: "mast", Amount: 3_000}, {Name: "sail"}}

// inParts is an order of 100.01, a fee of 10 % and 20 % tax on it, that was
// agreed in the parts of boat.
func inParts(t *testing.T) Order {
	t.Helper()
	o := agreed(t, 10_001, func(p *Policy) { p.Fees = map[string]Fee{"*": {Bps: 1000, TaxBps: 2000}} })
	parts, err := NewParts(10_001, boat)
	if err != nil {
		t.Fatal(err)
	}
	o.Parts = parts
	return o
}

func partEvent(e Event) bool {
	return slices.Contains([]Event{ShipPart, DeliverPart, ReleasePart, ReleasePartUnconfirmed, MaturePart}, e)
}

// partsAt is an order in parts that is where o is, and the parts that the event
// can name there; o itself where there is none.
func partsAt(t *testing.T, o Order, e Event) (Order, []string) {
	t.Helper()
	x := must(t, inParts(t), Command{Event: Pay, Method: "card"})
	name := []string{"hull"}
	if e == MaturePart {
		return hullReleased(t, o), nil
	}
	switch o.State {
	case Held:
		return x, name
	case PartShipped:
		x = must(t, x, Command{Event: ShipPart, Parts: []string{"hull"}})
		// Of the two clocks that run, this is the earlier.
		x = must(t, x, Command{Event: Extend, By: Seller})
		if e == ShipPart {
			name = []string{"mast"}
		}
		return x, name
	case Shipped:
		return must(t, x, Command{Event: Ship}), name
	case Delivered:
		return must(t, must(t, x, Command{Event: Ship}), Command{Event: Deliver}), name
	}
	return o, name
}

// hullReleased is a boat that is where o is, of which hull is released by itself;
// o itself where there is none.
func hullReleased(t *testing.T, o Order) Order {
	t.Helper()
	then, ok := map[State][]Command{
		PartShipped: {{Event: ShipPart, Parts: []string{"hull"}}, {Event: ReleasePart, Parts: []string{"hull"}}},
		Shipped:     {{Event: Ship}, {Event: ReleasePart, Parts: []string{"hull"}}},
		Delivered:   {{Event: Ship}, {Event: Deliver}, {Event: ReleasePart, Parts: []string{"hull"}}},
		Released:    {{Event: Ship}, {Event: ReleasePart, Parts: []string{"hull"}}, {Event: Confirm}},
		Ruled: {{Event: Ship}, {Event: ReleasePart, Parts: []string{"hull"}}, {Event: Dispute, Reason: "leaks"},
			{Event: Rule, ToSeller: 2_000, ToBuyer: 3_001}},
	}[o.State]
	if !ok {
		return o
	}
	x := must(t, inParts(t), Command{Event: Pay, Method: "card"})
	for _, c := range then {
		x = must(t, x, c)
	}
	return x
}

// partsOf writes the parts as "hull released, mast shipped 3000".
func partsOf(o *Order) string {
	var words []string
	for _, p := range o.Parts.List {
		w := p.Name + " " + string(p.State)
		if p.Held > 0 {
			w += fmt.Sprint(" ", p.Held)
		}
		if p.Maturing > 0 {
			w += fmt.Sprint(" maturing ", p.Maturing)
		}
		words = append(words, w)
	}
	return strings.Join(words, ", ")
}

// Given an order of 100.01 in the parts hull (50.00), mast (30.00) and sail (the
// rest), a fee of 10.00 and 2.00 tax on it, when it is paid and these events
// follow, then it is there, its parts are there, and the last event moved the
// money.
func TestParts(t *testing.T) {
	ship := func(names ...string) Command { return Command{Event: ShipPart, Parts: names} }
	deliver := func(names ...string) Command { return Command{Event: DeliverPart, Parts: names} }
	release := func(names ...string) Command { return Command{Event: ReleasePart, Parts: names} }
	dispute := Command{Event: Dispute, Reason: "leaks"}
	unconfirmed, mature := Command{Event: ReleasePartUnconfirmed}, Command{Event: MaturePart}
	for _, c := range []struct {
		name     string
		events   []Command
		state    State
		deadline Deadline
		parts    string
		money    string
	}{
		{"paid", nil, Held, ShipBy, "hull held 5000, mast held 3000, sail held 2001",
			"payment_received: clearing -> buyer 10001; hold: buyer -> escrow 10001"},
		{"one shipped", []Command{ship("hull")}, PartShipped, ShipBy, "hull shipped 5000, mast held 3000, sail held 2001", ""},
		{"all shipped, one by one", []Command{ship("sail"), ship("mast"), ship("hull")}, Shipped, ConfirmPartBy, "hull shipped 5000, mast shipped 3000, sail shipped 2001", ""},
		{"the rest shipped", []Command{ship("sail"), {Event: Ship}}, Shipped, ConfirmPartBy, "hull shipped 5000, mast shipped 3000, sail shipped 2001", ""},
		{"all shipped at once", []Command{ship("sail", "hull", "mast")}, Shipped, ConfirmPartBy, "hull shipped 5000, mast shipped 3000, sail shipped 2001", ""},
		{"one delivered", []Command{ship("hull"), deliver("hull")}, PartShipped, ConfirmPartBy, "hull delivered 5000, mast held 3000, sail held 2001", ""},
		{"some delivered", []Command{{Event: Ship}, deliver("hull", "sail")}, Shipped, ConfirmPartBy, "hull delivered 5000, mast shipped 3000, sail delivered 2001", ""},
		{"all delivered, one by one", []Command{{Event: Ship}, deliver("hull", "sail"), deliver("mast")}, Delivered, ConfirmPartBy, "hull delivered 5000, mast delivered 3000, sail delivered 2001", ""},
		{"all delivered", []Command{{Event: Ship}, deliver("hull"), {Event: Deliver}}, Delivered, ConfirmPartBy, "hull delivered 5000, mast delivered 3000, sail delivered 2001", ""},
		{"one released", []Command{ship("hull"), release("hull")}, PartShipped, MaturePartAt, "hull released maturing 4400, mast held 3000, sail held 2001",
			"release: escrow -> seller pending 4400; fee: escrow -> fee 500; fee_tax: escrow -> tax 100"},
		{"two released", []Command{{Event: Ship}, release("hull"), release("sail")}, Shipped, MaturePartAt, "hull released maturing 4400, mast shipped 3000, sail released maturing 1761",
			"release: escrow -> seller pending 1761; fee: escrow -> fee 200; fee_tax: escrow -> tax 40"},
		{"the last released", []Command{{Event: Ship}, {Event: Deliver}, release("hull"), release("sail"), release("mast")}, Released, MaturePartAt, "hull released maturing 4400, mast released maturing 2640, sail released maturing 1761",
			"release: escrow -> seller pending 2640; fee: escrow -> fee 300; fee_tax: escrow -> tax 60"},
		{"released at once", []Command{{Event: Ship}, release("hull", "mast", "sail")}, Released, MatureAt, "hull released maturing 4400, mast released maturing 2640, sail released maturing 1761",
			"release: escrow -> seller pending 8801; fee: escrow -> fee 1000; fee_tax: escrow -> tax 200"},
		{"confirmed", []Command{ship("hull"), release("hull"), {Event: Ship}, {Event: Confirm}}, Released, MaturePartAt, "hull released maturing 4400, mast released maturing 2640, sail released maturing 1761",
			"release: escrow -> seller pending 4401; fee: escrow -> fee 500; fee_tax: escrow -> tax 100"},
		{"matured, the first by itself", []Command{{Event: Ship}, release("hull"), {Event: Confirm}, mature, {Event: Mature}}, Closed, NoDeadline, "hull released, mast released, sail released",
			"mature: seller pending -> seller available 4401"},
		{"matured while others are held", []Command{{Event: Ship}, release("hull"), mature}, Shipped, ConfirmPartBy, "hull released, mast shipped 3000, sail shipped 2001",
			"mature: seller pending -> seller available 4400"},
		{"matured before the job was there", []Command{ship("hull"), release("hull"), {Event: ShipPart, Parts: []string{"mast"}, At: t0.AddDate(0, 0, 5)}}, PartShipped, ShipBy, "hull released, mast shipped 3000, sail held 2001",
			"mature: seller pending -> seller available 4400"},
		{"matured, and the rest goes back", []Command{ship("hull"), release("hull"), mature, {Event: Cancel}}, Released, MatureAt, "hull released, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"matured, the rest went back, and nothing is left to mature", []Command{ship("hull"), release("hull"), mature, {Event: Cancel}, {Event: Mature}}, Closed, NoDeadline, "hull released, mast refunded, sail refunded",
			""},
		{"extended while one matures", []Command{ship("hull"), release("hull"), {Event: Extend, By: Seller, Until: t0.AddDate(0, 0, 12)}, mature}, PartShipped, ShipBy, "hull released, mast held 3000, sail held 2001",
			"mature: seller pending -> seller available 4400"},
		{"no clock runs in a dispute", []Command{{Event: Ship}, release("hull"), {Event: Dispute, Reason: "leaks", At: t0.AddDate(0, 0, 1)}, {Event: Withdraw, At: t0.AddDate(0, 0, 6)}}, Shipped, MaturePartAt, "hull released maturing 4400, mast shipped 3000, sail shipped 2001",
			"dispute_freeze void"},
		{"what had matured before a dispute is not in it", []Command{{Event: Ship}, release("hull"), {Event: Dispute, Reason: "leaks", At: t0.AddDate(0, 0, 6)}}, Disputed, RuleBy, "hull released, mast shipped 3000, sail shipped 2001",
			"mature: seller pending -> seller available 4400; dispute_freeze: escrow -> suspense 5001 pending"},
		{"nobody confirms those shipped together", []Command{ship("hull", "mast"), {Event: Extend, By: Seller}, unconfirmed}, PartShipped, MaturePartAt, "hull released maturing 4400, mast released maturing 2640, sail held 2001",
			"release: escrow -> seller pending 7040; fee: escrow -> fee 800; fee_tax: escrow -> tax 160"},
		{"nobody confirms any", []Command{ship("hull"), {Event: Ship}, unconfirmed, unconfirmed}, Released, MaturePartAt, "hull released maturing 4400, mast released maturing 2640, sail released maturing 1761",
			"release: escrow -> seller pending 4401; fee: escrow -> fee 500; fee_tax: escrow -> tax 100"},
		{"the rest never shipped", []Command{ship("hull"), {Event: CancelUnshipped}}, Shipped, ConfirmPartBy, "hull shipped 5000, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"the rest never shipped, the first released", []Command{ship("hull"), release("hull"), mature, {Event: CancelUnshipped}}, Released, MatureAt, "hull released, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"the rest canceled, the first delivered", []Command{ship("hull"), deliver("hull"), {Event: Cancel}}, Delivered, ConfirmPartBy, "hull delivered 5000, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"the shipped one refunded, the rest canceled", []Command{ship("hull"), {Event: Refund, Parts: []string{"hull"}}, {Event: Cancel}}, Refunded, NoDeadline, "hull refunded, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"canceled", []Command{{Event: Cancel}}, Canceled, NoDeadline, "hull refunded, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 10001"},
		{"a part refunded before anything was shipped", []Command{{Event: Refund, Parts: []string{"mast"}}}, Held, ShipBy, "hull held 5000, mast refunded, sail held 2001",
			"refund_to_buyer: escrow -> buyer 3000"},
		{"some of a part refunded, then it is released", []Command{{Event: Ship}, {Event: Refund, Parts: []string{"hull"}, Amount: 1_000}, release("hull")}, Shipped, MaturePartAt, "hull released maturing 3520, mast shipped 3000, sail shipped 2001",
			"release: escrow -> seller pending 3520; fee: escrow -> fee 400; fee_tax: escrow -> tax 80"},
		{"all refunded", []Command{{Event: Ship}, {Event: Refund}}, Refunded, NoDeadline, "hull refunded, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 10001"},
		{"the rest refunded after a release", []Command{{Event: Ship}, release("hull"), {Event: Refund}}, Released, MatureAt, "hull released maturing 4400, mast refunded, sail refunded",
			"refund_to_buyer: escrow -> buyer 5001"},
		{"disputed", []Command{ship("hull"), dispute}, Disputed, RuleBy, "hull shipped 5000, mast held 3000, sail held 2001",
			"dispute_freeze: escrow -> suspense 10001 pending"},
		{"ruled after a release", []Command{{Event: Ship}, release("hull"), dispute, {Event: Rule, ToSeller: 2_000, ToBuyer: 3_001}}, Ruled, MaturePartAt, "hull released maturing 4400, mast ruled maturing 1056, sail ruled maturing 704",
			"dispute_freeze void; ruling_release: escrow -> seller pending 1760; ruling_fee: escrow -> fee 200; ruling_fee_tax: escrow -> tax 40; ruling_refund: escrow -> buyer 3001"},
		{"ruled for the seller", []Command{ship("hull"), dispute, {Event: Rule, ToSeller: 10_001}}, Released, MatureAt, "hull released maturing 4400, mast released maturing 2640, sail released maturing 1761",
			"dispute_freeze void; ruling_release: escrow -> seller pending 8801; ruling_fee: escrow -> fee 1000; ruling_fee_tax: escrow -> tax 200"},
		{"ruled for the buyer", []Command{ship("hull"), dispute, {Event: Rule, ToBuyer: 10_001}}, Refunded, NoDeadline, "hull refunded, mast refunded, sail refunded",
			"dispute_freeze void; ruling_refund: escrow -> buyer 10001"},
		{"the claim withdrawn", []Command{ship("hull"), deliver("hull"), dispute, {Event: Withdraw}}, PartShipped, ConfirmPartBy, "hull delivered 5000, mast held 3000, sail held 2001",
			"dispute_freeze void"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, o := newBooks(t), inParts(t)
			var last *Change
			for _, e := range append([]Command{{Event: Pay, Method: "card"}}, c.events...) {
				ch, err := Plan(o, complete(o, e))
				if err != nil {
					t.Fatalf("%s in %s: %v", e.Event, o.State, err)
				}
				b.book(ch.Accounts, ch.Legs)
				o, last = ch.After, ch
				b.agrees(&o)
			}
			if o.State != c.state || o.Deadline != c.deadline || partsOf(&o) != c.parts {
				t.Errorf("%s with %s: %s\nwant %s with %s: %s", o.State, o.Deadline, partsOf(&o), c.state, c.deadline, c.parts)
			}
			if got := legs(last.Legs); got != c.money {
				t.Errorf("money:\n  %s\nwant\n  %s", got, c.money)
			}
			if e := Explain(&o); e.Why == "" || e.Until == "" || e.Next == "" || e.Otherwise == "" {
				t.Errorf("%+v", e)
			}
			if slices.ContainsFunc(o.Allowed(), func(a Allowed) bool { return a.Event == ReleaseUnconfirmed }) {
				t.Errorf("allowed: %+v", o.Allowed())
			}
		})
	}
}

func TestPartsRefused(t *testing.T) {
	pay := Command{Event: Pay, Method: "card"}
	ship := func(names ...string) Command { return Command{Event: ShipPart, Parts: names} }
	release := func(names ...string) Command { return Command{Event: ReleasePart, Parts: names} }
	for _, c := range []struct {
		name   string
		events []Command
		rule   string
	}{
		{"no part named", []Command{pay, ship()}, RulePart},
		{"a part that is not there", []Command{pay, ship("keel")}, RulePart},
		{"a part named twice", []Command{pay, ship("hull", "hull")}, RulePart},
		{"shipped twice", []Command{pay, ship("hull"), ship("hull")}, RulePart},
		{"shipped before the payment", []Command{ship("hull")}, RuleState},
		{"shipped too late", []Command{pay, {Event: ShipPart, Parts: []string{"hull"}, At: t0.Add(hour).AddDate(0, 0, 10).Add(time.Microsecond)}}, RuleTooLate},
		{"delivered before it was shipped", []Command{pay, ship("hull"), {Event: DeliverPart, Parts: []string{"mast"}}}, RulePart},
		{"released before anything was shipped", []Command{pay, release("hull")}, RuleState},
		{"released before it was shipped", []Command{pay, ship("hull"), release("mast")}, RulePart},
		{"released twice", []Command{pay, ship("hull"), release("hull"), release("hull")}, RulePart},
		{"one of them released before", []Command{pay, {Event: Ship}, release("hull"), release("mast", "hull")}, RulePart},
		{"released by the seller", []Command{pay, ship("hull"), {Event: ReleasePart, Parts: []string{"hull"}, By: Seller}}, RuleRole},
		{"released by the operator", []Command{pay, ship("hull"), {Event: ReleasePart, Parts: []string{"hull"}, By: Operator}}, RuleRole},
		{"released in a dispute", []Command{pay, {Event: Ship}, {Event: Dispute, Reason: "x"}, release("hull")}, RuleState},
		{"shipped in a dispute", []Command{pay, ship("hull"), {Event: Dispute, Reason: "x"}, ship("mast")}, RuleState},
		{"refunded in a dispute", []Command{pay, ship("hull"), {Event: Dispute, Reason: "x"}, {Event: Refund, Parts: []string{"hull"}}}, RuleState},
		{"confirmed before all was shipped", []Command{pay, ship("hull"), {Event: Confirm}}, RuleState},
		{"released as a whole by the deadline", []Command{pay, {Event: Ship}, {Event: ReleaseUnconfirmed}}, RuleNotDue},
		{"a part released before its deadline", []Command{pay, {Event: Ship}, {Event: ReleasePartUnconfirmed, At: t0.AddDate(0, 0, 3)}}, RuleNotDue},
		{"refunded after it was released", []Command{pay, {Event: Ship}, release("hull"), {Event: Refund, Parts: []string{"hull"}}}, RulePart},
		{"an amount of no part", []Command{pay, {Event: Refund, Amount: 1}}, RulePart},
		{"an amount of two parts", []Command{pay, {Event: Refund, Amount: 1, Parts: []string{"hull", "mast"}}}, RulePart},
		{"more than the part holds", []Command{pay, {Event: Refund, Amount: 5_001, Parts: []string{"hull"}}}, RuleAmount},
		{"less than nothing", []Command{pay, {Event: Refund, Amount: -1, Parts: []string{"hull"}}}, RuleAmount},
		{"captured in part", []Command{{Event: Authorise, Method: "card"}, {Event: Capture, By: Operator, Amount: 5_000}}, RulePart},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := inParts(t)
			for _, e := range c.events[:len(c.events)-1] {
				o = must(t, o, e)
			}
			_, err := Plan(o, complete(o, c.events[len(c.events)-1]))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule || r.Detail == "" {
				t.Fatalf("%v, want %s", err, c.rule)
			}
		})
	}
	// Part events of an order that is not in parts.
	o := must(t, must(t, agreed(t, 10_000, nil), pay), Command{Event: Ship})
	for _, e := range []Command{{Event: ReleasePart, Parts: []string{"hull"}}, {Event: DeliverPart, Parts: []string{"hull"}}, {Event: Refund, Parts: []string{"hull"}}} {
		_, err := Plan(o, complete(o, e))
		var r *Refusal
		if !errors.As(err, &r) || r.Rule != RulePart {
			t.Errorf("%s without parts: %v", e.Event, err)
		}
		if slices.ContainsFunc(o.Allowed(), func(a Allowed) bool { return partEvent(a.Event) }) {
			t.Errorf("allowed without parts: %+v", o.Allowed())
		}
	}
}

// Each part has its own clock; the order's deadline is the earliest of them.
func TestPartDeadlines(t *testing.T) {
	days := func(from time.Time, n int) time.Time { return from.AddDate(0, 0, n) }
	o := must(t, inParts(t), Command{Event: Pay, Method: "card"})
	at := func(d Deadline, want time.Time) {
		t.Helper()
		if o.Deadline != d || !o.DeadlineAt.Equal(want) {
			t.Errorf("%s: %s at %s, want %s at %s", o.State, o.Deadline, o.DeadlineAt, d, want)
		}
	}
	paid := o.At
	at(ShipBy, days(paid, 10))
	o = must(t, o, Command{Event: ShipPart, Parts: []string{"hull"}, At: days(paid, 1)})
	at(ShipBy, days(paid, 10)) // hull is to be confirmed by day 16
	o = must(t, o, Command{Event: ShipPart, Parts: []string{"mast"}, At: days(paid, 2)})
	o = must(t, o, Command{Event: DeliverPart, Parts: []string{"mast"}, At: days(paid, 2)})
	at(ConfirmPartBy, days(paid, 9))
	o = must(t, o, Command{Event: Extend, By: Buyer, Until: days(paid, 12)}) // mast's alone
	at(ShipBy, days(paid, 10))
	o = must(t, o, Command{Event: Extend, By: Seller, Until: days(paid, 20)}) // sail's alone
	at(ConfirmPartBy, days(paid, 12))
	if _, err := Plan(o, complete(o, Command{Event: Extend, By: Buyer})); err == nil {
		t.Error("mast's deadline was moved twice by the buyer")
	}
	// A dispute of a day stops all of them.
	o = must(t, o, Command{Event: Dispute, Reason: "x", At: days(paid, 5)})
	o = must(t, o, Command{Event: Withdraw, At: days(paid, 6)})
	at(ConfirmPartBy, days(paid, 13))
	o = must(t, o, Command{Event: ReleasePartUnconfirmed})
	at(MaturePartAt, days(paid, 15)) // mast's alone
	o = must(t, o, Command{Event: MaturePart})
	at(ConfirmPartBy, days(paid, 17))
	o = must(t, o, Command{Event: ReleasePartUnconfirmed})
	at(MaturePartAt, days(paid, 19))
	// A dispute stops it like the others, and so does a chargeback.
	o = must(t, o, Command{Event: Dispute, Reason: "x", At: days(paid, 18)})
	o = must(t, o, Command{Event: TakeBackPayment, By: Operator, Reason: "x", At: days(paid, 19)})
	o = must(t, o, Command{Event: WinChargeback, By: Operator, At: days(paid, 21)})
	o = must(t, o, Command{Event: Withdraw, At: days(paid, 22)})
	at(MaturePartAt, days(paid, 23))
	o = must(t, o, Command{Event: MaturePart})
	at(ShipBy, days(paid, 25))
	if o.State != PartShipped || o.Released != 8_000 || o.Maturing != 0 {
		t.Errorf("%s, released %d", o.State, o.Released)
	}
	o = must(t, o, Command{Event: CancelUnshipped})
	at(MatureAt, days(paid, 25))
	if o.State != Released || o.Refunded != 2_001 || !o.ReleasedAt().Equal(days(paid, 17)) {
		t.Errorf("%s, released at %s: %+v", o.State, o.ReleasedAt(), o.Progress)
	}
}

// Each part matures at its own moment also when nothing is held any more, after a
// ruling and around a chargeback; the last one closes the order.
func TestPartsMatureOneAfterTheOther(t *testing.T) {
	day := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	part := func(e Event, n int, name string) Command { return Command{Event: e, At: day(n), Parts: []string{name}} }
	for _, c := range []struct {
		name   string
		events []Command
		want   string // the moments, in days, and what matures at each
	}{
		{"confirmed", []Command{part(ReleasePart, 2, "hull"), part(ReleasePart, 3, "mast"), {Event: Confirm, At: day(3).Add(hour)}}, "4d 4400, 5d 2640, 5d 1h 1761, closed"},
		{"two at one moment", []Command{part(ReleasePart, 2, "hull"), part(ReleasePart, 3, "mast"), part(ReleasePart, 3, "sail")}, "4d 4400, 5d 4401, closed"},
		{"ruled", []Command{part(ReleasePart, 2, "hull"), {Event: Dispute, Reason: "x", At: day(3)}, {Event: Rule, At: day(4), ToSeller: 2_000, ToBuyer: 3_001}}, "5d 4400, 6d 1760, closed"},
		{"ruled for the buyer", []Command{part(ReleasePart, 2, "hull"), part(ReleasePart, 2, "mast"), {Event: Dispute, Reason: "x", At: day(3)}, {Event: Rule, At: day(4), ToBuyer: 2_001}}, "5d 7040, closed"},
		{"a chargeback of nothing held, won", []Command{part(ReleasePart, 2, "hull"), {Event: Confirm, At: day(3)}, {Event: TakeBackPayment, Reason: "x", At: day(3)}, {Event: WinChargeback, At: day(6)}}, "7d 4400, 8d 4401, closed"},
		{"half of what was released is lost", []Command{part(ReleasePart, 2, "hull"), {Event: Confirm, At: day(3)}, {Event: TakeBackPayment, Reason: "x", Amount: 5_000, At: day(3)}, {Event: LoseChargeback, At: day(6)}}, "7d 2200, 8d 2201, closed"},
		{"all that is held is lost", []Command{part(ReleasePart, 2, "hull"), {Event: TakeBackPayment, Reason: "x", Amount: 6_001, At: day(3)}, {Event: LoseChargeback, At: day(5)}}, "6d 3520, closed"},
		{"lost in a dispute", []Command{part(ReleasePart, 2, "hull"), {Event: Dispute, Reason: "x", At: day(3)}, {Event: TakeBackPayment, Reason: "x", Amount: 5_001, At: day(4)}, {Event: LoseChargeback, At: day(8)}}, "9d 4400, closed"},
		{"refunded after the release", []Command{part(ReleasePart, 2, "hull"), {Event: Confirm, At: day(3)}, {Event: RefundReleased, By: Operator, Reason: "x", Amount: 5_000, At: day(3)}}, "4d 2200, 5d 2201, closed"},
		{"all refunded after the release", []Command{part(ReleasePart, 2, "hull"), {Event: Confirm, At: day(3)}, {Event: RefundReleased, By: Operator, Reason: "x", At: day(3)}}, "refunded"},
		{"the first had matured", []Command{part(ReleasePart, 2, "hull"), {Event: Confirm, At: day(5)}}, "7d 4401, closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := must(t, must(t, inParts(t), Command{Event: Pay, Method: "card"}), Command{Event: Ship})
			for _, e := range c.events {
				o = must(t, o, e)
			}
			var got []string
			for o.State.Open() {
				due, at, had := Due[o.Deadline], o.DeadlineAt.Sub(t0), o.Maturing
				if due != MaturePart && due != Mature {
					t.Fatalf("%s waits for %s", o.State, o.Deadline)
				}
				o = must(t, o, Command{Event: due})
				moment := fmt.Sprintf("%dd", at/(24*hour))
				if rest := at % (24 * hour); rest > 0 {
					moment += fmt.Sprintf(" %dh", rest/hour)
				}
				got = append(got, fmt.Sprint(moment, " ", had-o.Maturing))
			}
			if got := strings.Join(append(got, string(o.State)), ", "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// What was released before parts matured by themselves matures together, with the
// last: nobody noted then when each was released.
func TestPartsReleasedEarly(t *testing.T) {
	o := must(t, must(t, inParts(t), Command{Event: Pay, Method: "card"}), Command{Event: Ship})
	o = must(t, o, Command{Event: ReleasePart, Parts: []string{"hull"}})
	parts := Parts{slices.Clone(o.Parts.List)}
	parts.List[0].ReleasedAt, parts.List[0].Maturing, parts.List[0].DeadlineAt = time.Time{}, 0, time.Time{}
	o.Parts, o.Deadline, o.DeadlineAt = &parts, ConfirmPartBy, parts.List[1].DeadlineAt
	if why := Explain(&o).Why; !strings.Contains(why, "the seller's USD 44.00 of it matures after the last release.") {
		t.Error(why)
	}
	o = must(t, o, Command{Event: Confirm, At: t0.AddDate(0, 0, 9)})
	if want := t0.AddDate(0, 0, 11); o.Deadline != MatureAt || !o.DeadlineAt.Equal(want) || !o.ReleasedAt().Equal(t0.AddDate(0, 0, 9)) {
		t.Errorf("%s at %s, released at %s", o.Deadline, o.DeadlineAt, o.ReleasedAt())
	}
	o = must(t, o, Command{Event: RefundReleased, By: Operator, Reason: "x", Amount: 5_000})
	o = must(t, o, Command{Event: Mature})
	if o.State != Closed || o.Maturing != 0 || !o.At.Equal(t0.AddDate(0, 0, 11)) {
		t.Errorf("%s: %+v", o.State, o.Progress)
	}
}

// A part cannot be due before it is agreed. Each date is the part's own from the
// payment on, and told as it was agreed to the end.
func TestPartDates(t *testing.T) {
	born := inParts(t)
	born.State, born.Seq, born.Deadline, born.At = None, 0, NoDeadline, time.Time{}
	dated := func(hull, sail time.Time) Order {
		o := born
		terms := slices.Clone(boat)
		terms[0].ShipBy, terms[2].ShipBy = hull, sail
		parts, err := NewParts(o.Amount, terms)
		if err != nil {
			t.Fatal(err)
		}
		o.Parts = parts
		return o
	}
	agree := Command{Event: Agree, By: Operator, At: t0}
	for _, at := range []time.Time{t0, t0.Add(-hour), t0.AddDate(-9, 0, 0)} {
		_, err := Plan(dated(t0.Add(hour), at), agree)
		var r *Refusal
		if !errors.As(err, &r) || r.Rule != RuleOrderOfTime || !strings.Contains(r.Detail, `"sail"`) {
			t.Errorf("by %s: %v", at, err)
		}
	}
	east := time.FixedZone("east", 8*60*60)
	o := must(t, dated(t0.AddDate(0, 0, 9).Add(time.Nanosecond).In(east), t0.AddDate(0, 0, 3)), agree)
	if why := Explain(&o).Why; !strings.HasSuffix(why, "It is to be shipped and released in 3 parts. Dates of their own have hull (2026-03-10T00:00:00Z) and sail (2026-03-04T00:00:00Z).") {
		t.Error(why)
	}
	found := Foresee(dated(t0.AddDate(0, 0, 9), t0.AddDate(0, 0, 3))).Steps
	held := found[slices.IndexFunc(found, func(s Step) bool { return s.State == Held })]
	if want := "ship_by of each part: its own date, or 10 days from the payment"; held.When() != want {
		t.Errorf("%s, want %s", held.When(), want)
	}
	o = must(t, o, Command{Event: Pay, Method: "card"})
	if want := "2026-03-04T00:00:00Z, ship_by"; Explain(&o).Until != want {
		t.Errorf("%s, want %s", Explain(&o).Until, want)
	}
	o = must(t, o, Command{Event: CancelUnshipped})
	if got, want := partsOf(&o), "hull held 5000, mast held 3000, sail refunded"; got != want || o.State != Held {
		t.Errorf("%s: %s, want %s", o.State, got, want)
	}
	if want := t0.AddDate(0, 0, 3); !o.Parts.List[2].ShipBy.Equal(want) || o.Parts.List[0].ShipBy != t0.AddDate(0, 0, 9) {
		t.Errorf("the dates are %+v", o.Parts.List)
	}
}

// The order before an event keeps its parts.
func TestPartsAreNotChangedInPlace(t *testing.T) {
	o := must(t, inParts(t), Command{Event: Pay, Method: "card"})
	before := partsOf(&o)
	must(t, o, Command{Event: ShipPart, Parts: []string{"hull"}})
	must(t, o, Command{Event: Refund, Parts: []string{"hull"}})
	must(t, o, Command{Event: Cancel})
	if partsOf(&o) != before {
		t.Errorf("%s, was %s", partsOf(&o), before)
	}
}

func TestNewParts(t *testing.T) {
	amounts := func(list ...int64) (terms []PartTerms) {
		for i, a := range list {
			terms = append(terms, PartTerms{Name: fmt.Sprint("p", i), Amount: a})
		}
		return terms
	}
	bps := func(list ...int64) (terms []PartTerms) {
		for i, b := range list {
			terms = append(terms, PartTerms{Name: fmt.Sprint("p", i), Bps: b})
		}
		return terms
	}
	many := bps(slices.Repeat([]int64{200}, 50)...)
	for _, c := range []struct {
		name  string
		whole int64
		terms []PartTerms
		want  string // the amounts, or the rule or field that refuses
	}{
		{"amounts", 100, amounts(60, 40), "[60 40]"},
		{"amounts and a rest", 100, amounts(60, 30, 0), "[60 30 10]"},
		{"thirds", 100, bps(3333, 3333, 3334), "[33 33 34]"},
		{"thirds and a rest", 100, bps(3333, 3333, 0), "[33 33 34]"},
		{"the last takes what rounding leaves", 101, bps(5000, 2500, 2500), "[50 25 26]"},
		{"fifty", 5_000, many, fmt.Sprint(slices.Repeat([]int64{100}, 50))},
		{"too little", 100, amounts(60, 39), RuleAmount},
		{"too much", 100, amounts(60, 41), RuleAmount},
		{"no rest", 100, amounts(60, 40, 0), RuleAmount},
		{"less than a rest", 100, amounts(60, 41, 0), RuleAmount},
		{"too few basis points", 100, bps(5000, 4999), RuleAmount},
		{"too many basis points", 100, bps(5000, 5001), RuleAmount},
		{"a part of nothing", 100, bps(1, 9999), RuleAmount},
		{"the largest", MaxAmount, bps(1, 9999), fmt.Sprint([]int64{900719925474, 9006298534815517})},
		{"one", 100, amounts(100), "parts"},
		{"fifty-one", 5_100, append(many, PartTerms{Name: "x", Bps: 1}), "parts"},
		{"a rest that is not the last", 100, amounts(60, 0, 40), "parts/1/amount"},
		{"below zero", 100, amounts(101, -1), "parts/1/amount"},
		{"beyond basis points", 100, bps(10_001, 0), "parts/0/bps"},
		{"mixed", 100, []PartTerms{{Name: "a", Amount: 50}, {Name: "b", Bps: 5000}}, "parts/1/bps"},
		{"both", 100, []PartTerms{{Name: "a", Amount: 50, Bps: 5000}, {Name: "b", Amount: 50}}, "parts/0/bps"},
		{"no name", 100, []PartTerms{{Amount: 50}, {Name: "b", Amount: 50}}, "parts/0/name"},
		{"a name twice", 100, []PartTerms{{Name: "a", Amount: 50}, {Name: "a", Amount: 50}}, "parts/1/name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, err := NewParts(c.whole, c.terms)
			var got string
			var refused *Refusal
			var wrong *PartError
			switch {
			case errors.As(err, &refused):
				got = refused.Rule
			case errors.As(err, &wrong):
				got = wrong.Place
			case err != nil:
				t.Fatal(err)
			default:
				var list []int64
				for _, p := range parts.List {
					list = append(list, p.Amount)
				}
				got = fmt.Sprint(list)
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// Random parts, and whatever happens to them in whatever order: the order, its
// parts and the ledger agree after each event, and fee and tax come to the same
// as those of one release of the same money: to those of the whole, if all of it
// was released.
func TestPartsAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.Int64Range(PartsMin, 8).Draw(rt, "parts")
		whole := rapid.OneOf(rapid.Int64Range(n, 1_000), rapid.Int64Range(n, MaxAmount)).Draw(rt, "whole")
		var terms []PartTerms
		left := whole
		for i := range n {
			p := PartTerms{Name: fmt.Sprint(i)}
			if i < n-1 {
				p.Amount = rapid.Int64Range(1, left-(n-1-i)).Draw(rt, "amount")
				left -= p.Amount
			}
			terms = append(terms, p)
		}
		fee := Fee{Bps: rapid.Int64Range(0, 10_000).Draw(rt, "bps"), TaxBps: rapid.Int64Range(0, 10_000).Draw(rt, "tax")}
		rule := FeeRule{Method: "card", Fee: fee, BorneBy: rapid.SampledFrom([]Bearer{SellerBears, BuyerBears, BothBear}).Draw(rt, "bearer")}
		if rule.BorneBy == BothBear {
			rule.BuyerBps = rapid.Int64Range(1, 9_999).Draw(rt, "buyer")
		}
		if rule.On(whole).Pays() > MaxAmount {
			rule.BorneBy, rule.BuyerBps = SellerBears, 0
		}
		b := newBooks(t)
		o := agreed(t, whole, func(p *Policy) { p.FeeRules, p.ExtendTimes = []FeeRule{rule}, 3 })
		parts, err := NewParts(whole, terms)
		if err != nil {
			rt.Fatal(err)
		}
		o.Parts = parts
		step := func(c Command) {
			ch, err := Plan(o, complete(o, c))
			if err != nil {
				rt.Fatalf("%s in %s (%s): %v", c.Event, o.State, partsOf(&o), err)
			}
			b.book(ch.Accounts, ch.Legs)
			b.agrees(&ch.After)
			o = ch.After
		}
		step(Command{Event: Pay, Method: "card"})
		if o.Charge() != rule.On(whole) {
			rt.Fatalf("it comes to %+v, want %+v", o.Charge(), rule.On(whole))
		}
		for i, p := range o.Parts.List {
			// To the cent: what a part alone would bear, rounded up or down.
			exact := mulDiv(o.Charge().BuyerShare, p.Amount, whole)
			if p.Held != p.Pays() || p.BuyerShare < 0 || p.BuyerShare < exact-1 || p.BuyerShare > exact+1 {
				rt.Fatalf("part %d: %+v of %+v", i, p, o.Charge())
			}
		}
		for o.Held > 0 {
			a := rapid.SampledFrom(slices.DeleteFunc(o.Allowed(), func(a Allowed) bool {
				return DueAt(a.Event) != NoDeadline && DueAt(a.Event) != o.Deadline || a.Event == Extend && slices.ContainsFunc(o.Parts.List, func(p Part) bool { return p.BuyerExtended >= 3 || p.SellerExtended >= 3 }) ||
					slices.Contains([]Event{GiveEvidence, Contest}, a.Event)
			})).Draw(rt, "event")
			c := Command{Event: a.Event, By: a.By[0], Reason: "x", At: o.DeadlineAt, Scan: Scan{Status: "exception"}}
			if a.Event == TakeBackPayment || a.Event == SecondChargeback {
				c.Amount = rapid.Int64Range(1, o.Held+o.Released).Draw(rt, "charged back")
			}
			var open []string
			for _, p := range o.Parts.List {
				if p.Held > 0 && (a.Event == Refund || a.Event == ShipPart && p.State == Held || a.Event == DeliverPart && p.State == Shipped ||
					a.Event == ReleasePart && (p.State == Shipped || p.State == Delivered)) {
					open = append(open, p.Name)
				}
			}
			switch a.Event {
			case Rule:
				c.ToBuyer = rapid.Int64Range(0, o.Held).Draw(rt, "to buyer")
				c.ToSeller = o.Held - c.ToBuyer
			case ShipPart, DeliverPart, ReleasePart, Refund:
				if len(open) == 0 {
					continue
				}
				c.Parts = open[:rapid.IntRange(1, len(open)).Draw(rt, "how many")]
				if a.Event == Refund && len(c.Parts) == 1 && rapid.Bool().Draw(rt, "some") {
					i := slices.IndexFunc(o.Parts.List, func(p Part) bool { return p.Name == c.Parts[0] })
					c.Amount = rapid.Int64Range(1, o.Parts.List[i].Held).Draw(rt, "refunded")
				}
			}
			if a.Event == Dispute && rapid.Bool().Draw(rt, "no dispute") || a.Event == Deliver && !slices.ContainsFunc(o.Parts.List, func(p Part) bool { return p.State == Shipped }) {
				continue
			}
			step(c)
		}
		if o.Aftermath != nil && o.Aftermath.Lost > 0 {
			return // what went back of the fee was pro rata to another whole
		}
		once := Order{Terms: o.Terms, Progress: Progress{Captured: o.Captured}}
		if o.Released > 0 {
			if _, fee, tax := releaseParts(&once, o.Released); fee != o.FeeCharged || tax > o.TaxCharged+1 || tax < o.TaxCharged-1 {
				rt.Fatalf("fee %d and tax %d, at once %d and %d", o.FeeCharged, o.TaxCharged, fee, tax)
			}
		}
		if o.Refunded == 0 && (o.FeeCharged != o.Charge().Fee || o.TaxCharged != o.Charge().Tax) {
			rt.Fatalf("fee %d and tax %d of %+v", o.FeeCharged, o.TaxCharged, o.Charge())
		}
	})
}

// What the buyer bears of the fee is said with the parts, and a payment from the
// buyer's balance is held for the parts like any other.
func TestPartsPaidFromBalance(t *testing.T) {
	o := inParts(t)
	o.State = None
	o.Policy.FeeRules = []FeeRule{{Currency: "USD", Fee: Fee{Bps: 1_000}, BorneBy: BuyerBears}}
	if err := o.Agree(); err != nil {
		t.Fatal(err)
	}
	o = must(t, o, Command{Event: Agree, By: Operator, At: t0})
	ch, err := Plan(o, complete(o, Command{Event: Pay, Method: Balance}))
	if err != nil {
		t.Fatal(err)
	}
	o = ch.After
	if got, want := legs(ch.Legs), "hold: buyer -> escrow 11001"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := partsOf(&o), "hull held 5500, mast held 3300, sail held 2201"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if why := Explain(&o).Why; !strings.HasSuffix(why, "The goods come to USD 100.01; the buyer's share of the fee, USD 10.00, is on top.") {
		t.Error(why)
	}
}

// What the explanation says of an order in parts: which part, how much, until
// when, who acts.
func TestExplainParts(t *testing.T) {
	o := must(t, inParts(t), Command{Event: Pay, Method: "card"})
	o = must(t, o, Command{Event: ShipPart, Parts: []string{"hull", "mast"}})
	o = must(t, o, Command{Event: ReleasePart, Parts: []string{"hull"}})
	e := Explain(&o)
	want := Explanation{
		Why: "USD 50.01 is held for 2 of 3 parts: mast (USD 30.00, shipped, to be confirmed by 2026-03-16T02:00:00Z) and " +
			"sail (USD 20.01, to be shipped by 2026-03-11T01:00:00Z). USD 50.00 was released; the seller's USD 44.00 of it matures: USD 44.00 of hull at 2026-03-03T03:00:00Z.",
		Until:     "2026-03-03T03:00:00Z, mature_part_at",
		Next:      "The seller ships sail; until then buyer or seller may cancel that. The buyer confirms mast or opens a dispute.",
		Otherwise: "What the seller has of hull becomes available. At 2026-03-11T01:00:00Z, ship_by: What is held of sail goes back to the buyer.",
	}
	if e != want {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
	o = must(t, o, Command{Event: MaturePart})
	o = must(t, o, Command{Event: CancelUnshipped})
	if e = Explain(&o); !strings.Contains(e.Why, "USD 50.00 was released; all that the seller has of it is available.") || e.Otherwise != "What is held of mast is released to the seller, less its share of the fee." || !strings.Contains(e.Why, "USD 20.01 was refunded.") {
		t.Errorf("%+v", e)
	}
	many := agreed(t, 5_000, nil)
	var terms []PartTerms
	for i := range 50 {
		terms = append(terms, PartTerms{Name: fmt.Sprint("m", i), Amount: 100})
	}
	many.Parts, _ = NewParts(5_000, terms)
	many = must(t, many, Command{Event: Pay, Method: "card"})
	if e := Explain(&many); !strings.HasSuffix(e.Next, "m0, m1, m2, m3, m4 and 45 more; until then buyer or seller may cancel that.") {
		t.Errorf("%s", e.Next)
	}
	// As a list of held funds has it: without the parts.
	o.Parts = nil
	o.State = PartShipped
	if e := Explain(&o); e.Otherwise == "" || e.Next == "" {
		t.Errorf("%+v", e)
	}
}
