package order

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Given holidays, when a time begins and would end, then it ends then, and so
// many of them have lengthened it.
func TestLengthen(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05.999999", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	golden := []Day{"2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04", "2026-10-05", "2026-10-06", "2026-10-07"}
	for _, c := range []struct {
		why             string
		days            []Day
		from, to, until string
		holidays        int16
	}{
		{"no calendar", nil, "2026-09-25 12:00:00", "2026-10-02 12:00:00", "2026-10-02 12:00:00", 0},
		{"before all of it", golden, "2026-09-20 12:00:00", "2026-09-27 12:00:00", "2026-09-27 12:00:00", 0},
		{"after all of it", golden, "2026-10-08 00:00:00", "2026-10-15 00:00:00", "2026-10-15 00:00:00", 0},
		{"one day of it reaches the others", golden, "2026-09-24 12:00:00", "2026-10-01 12:00:00", "2026-10-08 12:00:00", 7},
		{"it ends where the first begins", golden, "2026-09-24 00:00:00", "2026-10-01 00:00:00", "2026-10-01 00:00:00", 0},
		{"a microsecond into the first", golden, "2026-09-24 00:00:00", "2026-10-01 00:00:00.000001", "2026-10-08 00:00:00.000001", 7},
		{"it begins on the last", golden, "2026-10-07 23:59:59", "2026-10-10 23:59:59", "2026-10-11 23:59:59", 1},
		{"a gap that the lengthening bridges", []Day{"2026-05-01", "2026-05-03"}, "2026-04-28 06:00:00", "2026-05-01 06:00:00", "2026-05-02 06:00:00", 1},
		{"a gap that it bridges twice", []Day{"2026-05-01", "2026-05-02", "2026-05-03"}, "2026-04-28 06:00:00", "2026-05-01 06:00:00", "2026-05-04 06:00:00", 3},
		{"over a year's end", []Day{"2026-12-31", "2027-01-01"}, "2026-12-30 06:00:00", "2027-01-02 06:00:00", "2027-01-04 06:00:00", 2},
	} {
		got, n := Calendar{Name: "x", Days: c.days}.lengthen(at(c.from), at(c.to))
		if !got.Equal(at(c.until)) || n != c.holidays {
			t.Errorf("%s: until %s by %d, want %s by %d", c.why, got, n, c.until, c.holidays)
		}
	}
}

// The deadline is the fixed point: exactly so many holidays lie in the time that
// it ends as days were added to it.
func TestLengthenIsTheFixedPoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		day := 24 * time.Hour
		base := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		var c Calendar
		for d := range 60 {
			if rapid.Bool().Draw(rt, "holiday") {
				c.Days = append(c.Days, dayOf(base.Add(time.Duration(d)*day)))
			}
		}
		from := base.Add(time.Duration(rapid.Int64Range(-5*int64(day/time.Microsecond), 50*int64(day/time.Microsecond)).Draw(rt, "from")) * time.Microsecond)
		to := from.Add(time.Duration(rapid.Int64Range(1, 20*int64(day/time.Microsecond)).Draw(rt, "within")) * time.Microsecond)
		until, n := c.lengthen(from, to)
		in := int16(0)
		for _, d := range c.Days {
			begins, _ := time.Parse(time.DateOnly, string(d))
			if begins.Before(until) && begins.Add(day).After(from) {
				in++
			}
		}
		if !until.Equal(to.Add(time.Duration(n)*day)) || in != n {
			rt.Fatalf("%v: from %s to %s: until %s, by %d, and %d lie in it", c.Days, from, to, until, n, in)
		}
	})
}

// holidays makes a policy's calendar: the days 2026-03-10 to 12.
func holidays(p *Policy) {
	p.Calendar = Calendar{Name: "spring", Days: []Day{"2026-03-10", "2026-03-11", "2026-03-12"}}
}

// Orders are agreed on 2026-03-01 and each event follows after an hour. Only the
// time to confirm is lengthened; what does that is said.
func TestHolidays(t *testing.T) {
	day := 24 * time.Hour
	o := must(t, agreed(t, 10_000, holidays), Command{Event: Pay, Method: "card"})
	if !o.DeadlineAt.Equal(o.At.Add(10*day)) || o.Holidays != 0 {
		t.Errorf("ship_by: %s, %d holidays", o.DeadlineAt, o.Holidays)
	}
	shipped := must(t, o, Command{Event: Ship})
	if !shipped.DeadlineAt.Equal(shipped.At.Add(18*day)) || shipped.Holidays != 3 {
		t.Errorf("from the shipment: %s, %d holidays", shipped.DeadlineAt, shipped.Holidays)
	}
	if want := "2026-03-19T02:00:00Z, confirm_by, lengthened by 3 holidays of calendar spring"; Explain(&shipped).Until != want {
		t.Errorf("%s, want %s", Explain(&shipped).Until, want)
	}
	if early := must(t, shipped, Command{Event: Deliver}); !early.DeadlineAt.Equal(early.At.Add(7*day)) || early.Holidays != 0 || strings.Contains(Explain(&early).Until, "holiday") {
		t.Errorf("delivered, the time ends before the holidays: %s, %d", early.DeadlineAt, early.Holidays)
	}
	late := must(t, shipped, Command{Event: Deliver, At: t0.Add(11*day + 12*hour)})
	if !late.DeadlineAt.Equal(late.At.Add(8*day)) || late.Holidays != 1 || !strings.HasSuffix(Explain(&late).Until, "lengthened by 1 holiday of calendar spring") {
		t.Errorf("delivered on the last of them: %s, %d, %s", late.DeadlineAt, late.Holidays, Explain(&late).Until)
	}
	// An extension is as long as it says; a dispute stops the clock as it stands.
	more := must(t, shipped, Command{Event: Extend, By: Buyer})
	if !more.DeadlineAt.Equal(shipped.DeadlineAt.Add(15*day)) || more.Holidays != 3 {
		t.Errorf("extended: %s, %d", more.DeadlineAt, more.Holidays)
	}
	back := must(t, must(t, shipped, Command{Event: Dispute, Reason: "x"}), Command{Event: Withdraw})
	if !back.DeadlineAt.Equal(shipped.DeadlineAt.Add(hour)) || back.Holidays != 3 {
		t.Errorf("after a dispute of an hour: %s, %d", back.DeadlineAt, back.Holidays)
	}
	released := must(t, shipped, Command{Event: ReleaseUnconfirmed})
	if released.Holidays != 0 || !released.DeadlineAt.Equal(released.At.Add(2*day)) {
		t.Errorf("mature_at: %s, %d", released.DeadlineAt, released.Holidays)
	}
	// Of an order in parts, each part's.
	boat := inParts(t)
	p := *boat.Policy
	holidays(&p)
	boat.Policy = &p
	boat = must(t, must(t, boat, Command{Event: Pay, Method: "card"}), Command{Event: ShipPart, Parts: []string{"hull"}})
	boat = must(t, boat, Command{Event: Extend, By: Seller})
	if boat.Deadline != ConfirmPartBy || boat.Holidays != 3 || boat.Parts.List[0].Holidays != 3 {
		t.Errorf("hull: %s, %d, %+v", boat.Deadline, boat.Holidays, boat.Parts.List[0])
	}
	if boat = must(t, boat, Command{Event: ReleasePart, Parts: []string{"hull"}}); boat.Holidays != 0 {
		t.Errorf("ship_by again: %d", boat.Holidays)
	}
}

// Virtual goods have a time of their own, from the shipment alone.
func TestVirtual(t *testing.T) {
	day := 24 * time.Hour
	o := agreed(t, 10_000, nil)
	o.Virtual = true
	shipped := must(t, must(t, o, Command{Event: Pay, Method: "card"}), Command{Event: Ship})
	if !shipped.DeadlineAt.Equal(shipped.At.Add(3*day)) || !strings.Contains(Explain(&shipped).Why, "virtual goods") {
		t.Errorf("%s at %s: %+v", shipped.Deadline, shipped.DeadlineAt, Explain(&shipped))
	}
	extended := must(t, shipped, Command{Event: Extend, By: Buyer})
	for _, o := range []Order{shipped, extended} {
		d := must(t, o, Command{Event: Deliver})
		if d.State != Delivered || !d.DeadlineAt.Equal(o.DeadlineAt) || d.Deadline != ConfirmBy || d.BuyerExtended != o.BuyerExtended {
			t.Errorf("delivered: %s at %s, was %s", d.Deadline, d.DeadlineAt, o.DeadlineAt)
		}
		back := must(t, must(t, d, Command{Event: Dispute, Reason: "x"}), Command{Event: Withdraw})
		if back.State != Delivered || back.Deadline != ConfirmBy || !back.DeadlineAt.Equal(d.DeadlineAt.Add(hour)) {
			t.Errorf("after a dispute: %s, %s at %s", back.State, back.Deadline, back.DeadlineAt)
		}
	}
	boat := inParts(t)
	boat.Virtual = true
	boat = must(t, must(t, boat, Command{Event: Pay, Method: "card"}), Command{Event: ShipPart, Parts: []string{"hull"}})
	by := boat.Parts.List[0].DeadlineAt
	boat = must(t, boat, Command{Event: DeliverPart, Parts: []string{"hull"}})
	if hull := boat.Parts.List[0]; hull.State != Delivered || !hull.DeadlineAt.Equal(by) || !by.Equal(t0.Add(2*hour+3*day)) {
		t.Errorf("hull: %+v, was %s", hull, by)
	}
}

func TestCalendarPolicies(t *testing.T) {
	many := func(n int) (days []Day) {
		for i := range n {
			days = append(days, dayOf(t0.AddDate(0, 0, i)))
		}
		return days
	}
	for _, c := range []struct {
		c    Calendar
		want string // the beginning of what is wrong, "" for nothing
	}{
		{Calendar{}, ""},
		{Calendar{"cn-2026", many(400)}, ""},
		{Calendar{"cn-2026", many(401)}, "calendar.days: must have"},
		{Calendar{"cn-2026", nil}, "calendar.days: must have"},
		{Calendar{"", many(1)}, "calendar.name"},
		{Calendar{"CN", many(1)}, "calendar.name"},
		{Calendar{"cn", []Day{"2026-02-30"}}, "calendar.days[0]: must be a day"},
		{Calendar{"cn", []Day{"2026-2-3"}}, "calendar.days[0]: must be a day"},
		{Calendar{"cn", []Day{"2026-02-03", "2026-02-03"}}, "calendar.days[1]: must be after"},
		{Calendar{"cn", []Day{"2026-02-03", "2026-02-02"}}, "calendar.days[1]: must be after"},
	} {
		p := Standard()
		p.Calendar = c.c
		err := p.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s of %d: %v, want %s", c.c.Name, len(c.c.Days), err, c.want)
		}
	}
	p := Standard()
	p.ConfirmVirtual = -1
	if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), "confirm_virtual") {
		t.Errorf("%v", err)
	}
}
