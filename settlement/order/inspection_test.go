package order

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func inspected(p *Policy) { p.ConfirmAgreedMin, p.ConfirmAgreedMax = day, 10*day }

// A time to confirm is agreed within what the policy says, to the second.
func TestAgreedInspection(t *testing.T) {
	for _, c := range []struct {
		within  Seconds
		change  func(*Policy)
		virtual bool
		want    string // what the refusal says, "" for none
	}{
		{0, nil, false, ""},
		{0, inspected, true, ""},
		{day, inspected, false, ""},
		{10 * day, inspected, false, ""},
		{day - 1, inspected, false, "lets from 1 day to 10 days be agreed to confirm from the delivery, not 23 hours 59 minutes 59 seconds"},
		{10*day + 1, inspected, false, "not 10 days 1 second"},
		{-day, inspected, false, "not -1 day"},
		{7 * day, nil, false, "the same time to confirm for every order"},
		{3 * day, inspected, true, "for virtual goods"},
	} {
		p := Standard()
		if c.change != nil {
			c.change(&p)
		}
		o := p.Example()
		o.ConfirmWithin, o.Virtual = c.within, c.virtual
		ch, err := Plan(o, Command{Event: Agree, By: Operator, At: t0})
		var r *Refusal
		switch errors.As(err, &r); {
		case c.want == "" && (err != nil || ch.After.ConfirmWithin != c.within):
			t.Errorf("%s: %v", c.within, err)
		case c.want != "" && (r == nil || r.Rule != RulePolicy || r.Event != Agree || !strings.Contains(r.Detail, c.want)):
			t.Errorf("%s: %v, want %q", c.within, err, c.want)
		}
		if (o.CheckAgreement(t0) == nil) != (c.want == "") {
			t.Errorf("%s: a quote would say otherwise", c.within)
		}
	}
}

// The explanation says what was agreed, until it is over, and so does the preview.
func TestAgreedInspectionInWords(t *testing.T) {
	p := Standard()
	inspected(&p)
	o := p.Example()
	o.ConfirmWithin, o.At = 9*day, t0
	says := func(o *Order) bool {
		return strings.Contains(Explain(o).Why, "9 days from the delivery to confirm, as agreed")
	}
	for _, s := range Foresee(o).Steps {
		if s.State == Delivered && (s.Within != 9*day || s.When() != "confirm_by: 9 days from the delivery, as agreed") ||
			s.State == Shipped && s.Within != 15*day {
			t.Errorf("%s: %s, %s", s.State, s.Within, s.When())
		}
	}
	inParts := p.examples()[1]
	inParts.ConfirmWithin, inParts.At = 9*day, t0
	for _, s := range Foresee(inParts).Steps {
		if told := strings.Contains(s.When(), "9 days from its delivery, as agreed"); told != (s.State == Shipped || s.State == Delivered || s.State == PartShipped) {
			t.Errorf("%s: %s", s.State, s.When())
		}
	}
	for _, e := range []Command{{Event: Agree}, {Event: Pay, Method: "card"}, {Event: Ship}, {Event: Deliver}, {Event: Confirm}} {
		o = must(t, o, e)
		if says(&o) != (o.State != Released) {
			t.Errorf("%s: %s", o.State, Explain(&o).Why)
		}
	}
}

func TestInspectionPolicies(t *testing.T) {
	for _, c := range []struct {
		min, max Seconds
		want     string
	}{
		{0, 0, ""}, {1, 1, ""}, {day, 15 * day, ""},
		{day, 0, "confirm_agreed_min: confirm_agreed_min and confirm_agreed_max are both set"},
		{0, day, "confirm_agreed_min: confirm_agreed_min and confirm_agreed_max are both set"},
		{2 * day, day, "confirm_agreed_min: must not be longer than confirm_agreed_max"},
		{day, 15*day + 1, "confirm_agreed_max: must not be longer than confirm_after_shipment"},
		{-1, day, "confirm_agreed_min: must be from 0 seconds"},
	} {
		p := Standard()
		p.ConfirmAgreedMin, p.ConfirmAgreedMax = c.min, c.max
		if err := p.Validate(); (err == nil) != (c.want == "") || !strings.HasPrefix(fmt.Sprint(err), c.want) && c.want != "" {
			t.Errorf("from %s to %s: %v, want %q", c.min, c.max, err, c.want)
		}
	}
}
