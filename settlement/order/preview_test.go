package order

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What a preview says is what happens.
func TestForesee(t *testing.T) {
	p := Standard()
	p.Fees = map[string]Fee{"JPY": {Bps: 1000, TaxBps: 2000}}
	o := p.Example()
	pre := Foresee(o)
	if o.Amount != 100 || len(pre.Costs) != len(p.Methods) || pre.Costs[1] != (Cost{"bank_transfer", Charge{100, 10, 2, 0}}) {
		t.Errorf("of %d: %+v", o.Amount, pre)
	}
	var got []string
	for _, s := range pre.Steps {
		got = append(got, string(s.State)+" "+joinRoles(s.Actors)+", "+s.When())
		if !s.Able || s.Next == "" || s.Otherwise == "" || len(s.gaps()) > 0 {
			t.Errorf("%+v", s)
		}
	}
	want := []string{
		"agreed buyer, pay_by: 5 days from the agreement",
		"authorised operator, capture_by: 7 days from the authorisation",
		"held seller, ship_by: 10 days from the payment",
		"shipped buyer, confirm_by: 15 days from the shipment",
		"delivered buyer, confirm_by: 7 days from the delivery",
		"disputed seller or operator, rule_by: 14 days from the dispute",
		"ruled system, mature_at: 2 days from the ruling or settlement",
		"released system, mature_at: 2 days from the release",
		"charged_back operator, represent_by: 14 days from the chargeback",
		"represented operator, decision_by: 75 days from the representment",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// With every step that a policy can have, each says from what its deadline runs.
func TestForeseeDisputes(t *testing.T) {
	p := Standard()
	steps(&p)
	var got []string
	for _, s := range Foresee(p.Example()).Steps[5:12] {
		got = append(got, string(s.State)+" "+joinRoles(s.Actors)+", "+s.When()+": "+s.Next)
		if !s.Able || s.Otherwise == "" || len(s.gaps()) > 0 {
			t.Errorf("%+v", s)
		}
	}
	want := []string{
		"disputed seller or operator, respond_by: 5 days from the dispute: The seller accepts the claim or contests it; the buyer may withdraw it.",
		"negotiating buyer or seller, negotiate_by: 10 days from the seller's objection: Buyer and seller agree on an offer, or one of them escalates.",
		"escalated buyer, seller or operator, evidence_by: 4 days from the escalation: Buyer and seller give evidence (so far 0 and 0 files); the marketplace may rule already.",
		"arbitration operator, rule_by: 14 days from the end of the evidence or the appeal: The marketplace rules how what is held is split.",
		"decided buyer, seller or system, appeal_by: 2 days from the ruling: Buyer or seller may appeal.",
		"returning buyer, return_by: 10 days from the agreement on the return: The buyer ships the goods back.",
		"returned seller, inspect_by: 3 days from the shipment back: The seller receives the goods, or refuses them with a reason.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What an order in parts, one of virtual goods and a calendar make of the times.
func TestForeseePartsAndHolidays(t *testing.T) {
	p := Standard()
	p.Calendar = Calendar{Name: "feast", Days: []Day{"2026-03-05"}}
	parts, virtual := p.examples()[1], p.Example()
	virtual.Virtual = true
	var got []string
	for _, o := range []Order{parts, virtual} {
		o.At = t0
		for _, s := range Foresee(o).Steps {
			if o.Virtual && (s.State == Shipped || s.State == Delivered) || !o.Virtual && slices.Contains([]State{Held, PartShipped, Shipped, Delivered}, s.State) {
				got = append(got, fmt.Sprintf("%s %s, %s, %s: %s %s", s.State, joinRoles(s.Actors), s.Within, s.When(), s.Next, s.Otherwise))
			}
		}
	}
	want := []string{
		"held seller, 10 days, ship_by: 10 days from the payment: The seller ships; until then buyer or seller may cancel. The order is canceled and all that is held goes back to the buyer.",
		"part_shipped seller or buyer, 10 days, confirm_part_by of each part: 15 days from its shipment, or 7 days from its delivery, and a day for each holiday of calendar feast in it; ship_by of those not shipped: as before; mature_part_at of those released: 2 days from each release: " +
			"The seller ships the rest; until then buyer or seller may cancel that. The buyer confirms what was shipped or opens a dispute. What is held of the parts that were not confirmed in time is released to the seller, less its share of the fee. What is held of the parts that were not shipped goes back to the buyer.",
		"shipped buyer, 15 days, confirm_part_by of each part: 15 days from its shipment, or 7 days from its delivery, and a day for each holiday of calendar feast in it; mature_part_at of those released: 2 days from each release: " +
			"The buyer confirms what was shipped or opens a dispute. What is held of the parts that were not confirmed in time is released to the seller, less its share of the fee.",
		"delivered buyer, 7 days, confirm_part_by of each part: 7 days from its delivery, and a day for each holiday of calendar feast in it; mature_part_at of those released: 2 days from each release: " +
			"The buyer confirms what was shipped or opens a dispute. What is held of the parts that were not confirmed in time is released to the seller, less its share of the fee.",
		"shipped buyer, 3 days, confirm_by: 3 days from the shipment, and a day for each holiday of calendar feast in it: The buyer confirms or opens a dispute. What is held is released to the seller, less the fee.",
		"delivered buyer, 3 days, confirm_by: 3 days from the shipment, and a day for each holiday of calendar feast in it: The buyer confirms or opens a dispute. What is held is released to the seller, less the fee.",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every open state of the table that a policy has is foreseen, whatever the
// durations: none can be forgotten when the table grows.
func TestForeseeFindsEveryOpenState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Standard()
		d := func(name string, least int64) Seconds {
			return Seconds(rapid.Int64Range(least, int64(maxSeconds)).Draw(t, name))
		}
		absent := map[State]bool{}
		// maybe draws the durations of a step that a policy can have, or leaves it out.
		maybe := func(name string, without []State, within ...*Seconds) {
			with := rapid.Bool().Draw(t, name)
			for _, w := range within {
				if *w = 0; with {
					*w = d(name, 1)
				}
			}
			for _, s := range without {
				absent[s] = absent[s] || !with
			}
		}
		p.PayWithin, p.ShipWithin, p.ConfirmAfterDelivery = d("pay", 1), d("ship", 1), d("delivery", 1)
		p.ConfirmAfterShipment, p.RuleWithin, p.MatureAfter = d("shipment", 1), d("rule", 1), d("mature", 0)
		maybe("authorise", []State{Authorised}, &p.AuthoriseWithin)
		maybe("respond", []State{Negotiating, Escalated}, &p.RespondWithin, &p.NegotiateWithin, &p.EvidenceWithin)
		if p.RespondWithin > 0 {
			p.EscalateAfter = Seconds(rapid.Int64Range(0, int64(min(p.RespondWithin+p.NegotiateWithin-1, maxSeconds))).Draw(t, "escalate"))
			maybe("return", []State{Returning, Returned}, &p.ReturnWithin, &p.InspectWithin)
			maybe("replace", nil, &p.ReplaceWithin)
		} else {
			absent[Returning], absent[Returned] = true, true
		}
		maybe("appeal", []State{Decided}, &p.AppealWithin)
		maybe("represent", []State{Represented}, &p.RepresentWithin, &p.DecisionWithin)
		maybe("reserve", []State{Reserved}, &p.ReserveFor)
		if p.ReserveFor > 0 {
			p.ReserveBps = rapid.Int64Range(1_000, 10_000).Draw(t, "reserve bps")
		}
		// After the evidence, or after an appeal, the marketplace rules.
		absent[Arbitration] = p.EvidenceWithin == 0 && p.AppealWithin == 0
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		for _, o := range p.examples() {
			var found []State
			for _, s := range Foresee(o).Steps {
				found = append(found, s.State)
				if entry(s.State) == "" || s.When() == "" {
					t.Fatalf("nothing leads to %s, in words", s.State)
				}
			}
			absent[PartShipped] = o.Parts == nil
			absent[Replacing] = p.ReplaceWithin == 0
			want := slices.DeleteFunc(slices.Clone(States), func(s State) bool { return !s.Open() || absent[s] })
			if !slices.Equal(found, want) {
				t.Fatalf("found %v, want %v", found, want)
			}
		}
	})
}

func TestGapsAreNamed(t *testing.T) {
	good := Step{State: Held, Deadline: ShipBy, Within: 1, Actors: roles(Seller), Able: true}
	for _, c := range []struct {
		change func(s *Step)
		want   string
	}{
		{func(*Step) {}, ""},
		{func(s *Step) { s.Deadline = NoDeadline }, "an order that is held would have no deadline (rule deadline)"},
		{func(s *Step) { s.Within = 0 }, "an order that is held would have no time until ship_by (rule deadline)"},
		{func(s *Step) { s.Within, s.Actors = 0, roles(System) }, ""}, // nobody needs the time
		{func(s *Step) { s.Actors = nil }, "nobody has to act on an order that is held (rule owner)"},
		{func(s *Step) { s.Able = false }, "an order that is held waits for seller, who can do nothing (rule owner)"},
	} {
		s := good
		c.change(&s)
		if got := s.gaps().Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	// A policy that nobody can pay under leaves the buyer nothing to do.
	p := Standard()
	p.Methods = nil
	if got := p.gaps().Error(); got != "an order that is agreed waits for buyer, who can do nothing (rule owner)" {
		t.Errorf("got %q", got)
	}
}

func TestSecondsInWords(t *testing.T) {
	for s, want := range map[Seconds]string{0: "0 seconds", 1: "1 second", 90: "1 minute 30 seconds", 5 * day: "5 days",
		day + 12*60*60: "1 day 12 hours", -day: "-1 day", maxSeconds: "3660 days"} {
		if got := s.String(); got != want {
			t.Errorf("%d: %q, want %q", int64(s), got, want)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		path             Path
		written, pointer string
	}{
		{nil, "", ""},
		{Path{"pay_within"}, "pay_within", "/pay_within"},
		{Path{"fees", Key("USD"), "min"}, "fees[USD].min", "/fees/USD/min"},
		{Path{"methods", Index(2)}, "methods[2]", "/methods/2"},
		{Path{"fees", Key("a/b~[c]")}, "fees[a/b~[c]]", "/fees/a~1b~0[c]"},
	} {
		if c.path.String() != c.written || c.path.Pointer() != c.pointer {
			t.Errorf("%q and %q, want %q and %q", c.path.String(), c.path.Pointer(), c.written, c.pointer)
		}
	}
}

// The newest version that is in force is the one of the highest number among
// those whose time has come.
func TestInForce(t *testing.T) {
	v := func(version int32, effective time.Duration) *Policy {
		p := &Policy{Version: version}
		if effective != 0 {
			p.Effective = t0.Add(effective)
		}
		return p
	}
	for _, c := range []struct {
		why      string
		versions []*Policy
		at       time.Duration
		want     int32 // 0: none
	}{
		{"none at all", nil, 0, 0},
		{"at once", []*Policy{v(1, 0), v(2, 0)}, 0, 2},
		{"the next waits", []*Policy{v(1, 0), v(2, hour)}, hour - 1, 1},
		{"its time has come to the instant", []*Policy{v(1, 0), v(2, hour)}, hour, 2},
		{"all of them wait", []*Policy{v(1, hour), v(2, 2*hour)}, 0, 0},
		{"the order they come in does not count", []*Policy{v(2, hour), v(1, 0)}, hour, 2},
		{"a newer one at once withdraws one that waits", []*Policy{v(1, 0), v(2, hour), v(3, 0)}, 2 * hour, 3},
		{"a newer one with an earlier date too", []*Policy{v(1, 0), v(2, 2*hour), v(3, hour)}, 3 * hour, 3},
	} {
		var got int32
		if p := InForce(c.versions, t0.Add(c.at)); p != nil {
			got = p.Version
		}
		if got != c.want {
			t.Errorf("%s: version %d, want %d", c.why, got, c.want)
		}
	}
}
