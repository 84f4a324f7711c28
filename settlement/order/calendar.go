package order

import (
	"slices"
	"time"
)

// Calendar is a list of holidays: days, in UTC, on which nobody is expected to
// look after an order. Each that falls into the time to confirm lengthens it by
// a day, and so do those that it reaches by that. Other deadlines and extensions
// are as long as they say.
type Calendar struct {
	Name string `json:"name"`
	Days []Day  `json:"days"` // in order, each once
}

// Day is a day in UTC, as 2026-10-01.
type Day string

// HolidaysMax is the most days of a calendar.
const HolidaysMax = 400

// validate says what is wrong with a calendar.
func (c Calendar) validate(at func(Path, string, ...any)) {
	if (c.Name != "" || len(c.Days) > 0) && !PolicyWord(c.Name) {
		at(Path{"calendar", "name"}, "must match %s", word)
	}
	if len(c.Days) > HolidaysMax || c.Name != "" && len(c.Days) == 0 {
		at(Path{"calendar", "days"}, "must have from 1 to %d days", HolidaysMax)
	}
	for i, d := range c.Days {
		path := Path{"calendar", "days", Index(i)}
		if _, err := time.Parse(time.DateOnly, string(d)); err != nil {
			at(path, "must be a day as 2026-10-01")
		} else if i > 0 && d <= c.Days[i-1] {
			at(path, "must be after the day before it in the list")
		}
	}
}

func dayOf(t time.Time) Day { return Day(t.UTC().Format(time.DateOnly)) }

// lengthen moves a deadline on by a day for each holiday of which any moment lies
// from the beginning of the time until, but not at, its end: one pass is enough,
// because the days are in order.
func (c Calendar) lengthen(from, deadline time.Time) (_ time.Time, holidays int16) {
	first, _ := slices.BinarySearch(c.Days, dayOf(from))
	for _, d := range c.Days[first:] {
		if d > dayOf(deadline.Add(-time.Microsecond)) {
			break
		}
		deadline, holidays = deadline.Add(24*time.Hour), holidays+1
	}
	return deadline, holidays
}

// confirmBy is until when the buyer has to confirm what was shipped or delivered
// now, and by how many holidays that was lengthened. Virtual goods are there at
// once: their time runs from the shipment alone, see keepsClock.
func (p *planner) confirmBy(s State) (time.Time, int16) {
	o, pol := p.o, p.o.Policy
	within := pol.ConfirmAfterShipment
	switch {
	case o.Virtual:
		within = pol.ConfirmVirtual
	case s == Delivered:
		within = o.confirmAfterDelivery()
	}
	return pol.Calendar.lengthen(o.At, o.At.Add(within.Duration()))
}

// keepsClock reports whether what reaches s keeps the time to confirm that runs
// already: virtual goods that are reported delivered.
func (o *Order) keepsClock(s State) bool { return o.Virtual && s == Delivered }
