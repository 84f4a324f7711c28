package people

import (
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// Limits of feedback.
const (
	MinRating = 1
	MaxRating = 5
	MaxText   = 2000 // characters, of a feedback and of a reply
)

// Part is what an entry is in the feedback that it belongs to.
type Part string

// The parts. Each is said once.
const (
	Given    Part = "feedback" // the author rates the other party
	Reply    Part = "reply"    // the one rated answers
	Revision Part = "revision" // the author says it anew, after the reply
)

// event is the part as a refusal names it.
func (p Part) event() order.Event {
	if p == Given {
		return "feedback"
	}
	return "feedback_" + order.Event(p)
}

// Command asks to say something. A reply has no rating.
type Command struct {
	Part   Part
	By     order.Role // buyer or seller
	Rating int64
	Text   string
}

// Entry is one thing that was said, for good.
type Entry struct {
	ID     ledger.ID
	Order  ledger.ID
	Author order.Role // whose feedback it belongs to; a reply is said by the other party
	Part   Part
	Rated  string // opaque id of the one whom the author rates
	Rating int16  // 0 in a reply
	Text   string
	At     time.Time // the marketplace's time
}

// By is who said it.
func (e *Entry) By() order.Role {
	if e.Part == Reply {
		return Other(e.Author)
	}
	return e.Author
}

// Feedback is all that belongs to one party's feedback on an order: every
// version and the reply, oldest first.
type Feedback struct {
	Order   ledger.ID
	Author  order.Role
	Rated   string
	Entries []Entry
}

// Current is the version that counts: the revision where there is one.
func (f *Feedback) Current() Entry {
	for _, e := range slices.Backward(f.Entries) {
		if e.Part != Reply {
			return e
		}
	}
	return Entry{}
}

// Gather puts entries that stand in the order in which they were said together
// by order and author.
func Gather(entries []Entry) []Feedback {
	list := []Feedback{}
	for _, e := range entries {
		i := slices.IndexFunc(list, func(f Feedback) bool { return f.Order == e.Order && f.Author == e.Author })
		if i < 0 {
			i = len(list)
			list = append(list, Feedback{Order: e.Order, Author: e.Author, Rated: e.Rated})
		}
		list[i].Entries = append(list[i].Entries, e)
	}
	return list
}

// Other is the other party of an order.
func Other(r order.Role) order.Role {
	if r == order.Buyer {
		return order.Seller
	}
	return order.Buyer
}

// Plan decides whether something can be said of an order at now, after the
// entries that were said of it: the new entry, without an id, or an
// *order.Refusal. What is said at a time limit is in time.
func Plan(o *order.Order, said []Entry, c Command, now time.Time) (Entry, error) {
	no := func(rule, format string, args ...any) (Entry, error) {
		return Entry{}, refuse(c.Part.event(), o.State, rule, format, args...)
	}
	if c.By != order.Buyer && c.By != order.Seller {
		return no(order.RuleRole, "feedback is for buyer or seller to give")
	}
	if o.State.Open() || o.State == order.None {
		return no(order.RuleState, "an order that is %s has not ended", o.State)
	}
	if o.PaidAt.IsZero() {
		return no(RuleUnpaid, "the order was never paid")
	}
	if o.Policy.FeedbackWithin == 0 {
		return no(RuleNoFeedback, "policy %s version %d has no feedback", o.Policy.Name, o.Policy.Version)
	}
	e := Entry{Order: o.ID, Author: c.By, Part: c.Part, Text: c.Text, At: now}
	if c.Part == Reply {
		e.Author = Other(c.By)
	}
	e.Rated = o.Seller
	if e.Author == order.Seller {
		e.Rated = o.Buyer
	}
	find := func(p Part) *Entry {
		for i := range said {
			if said[i].Author == e.Author && said[i].Part == p {
				return &said[i]
			}
		}
		return nil
	}
	before, until := o.At, o.At.Add(o.Policy.FeedbackWithin.Duration())
	switch c.Part {
	case Reply:
		given := find(Given)
		if given == nil {
			return no(RuleNothingSaid, "the %s has given no feedback", e.Author)
		}
		before, until = given.At, time.Time{}
	case Revision:
		reply := find(Reply)
		if reply == nil {
			return no(RuleNoReply, "only feedback that was replied to can be revised")
		}
		before, until = reply.At, reply.At.Add(o.Policy.FeedbackRevisionWithin.Duration())
	}
	if find(c.Part) != nil {
		return no(RuleOnce, "the %s has said it already: each is said once", c.By)
	}
	if e.At.Before(before) {
		e.At = before // two machines' clocks differ
	}
	if !until.IsZero() && e.At.After(until) {
		return no(order.RuleTooLate, "the time for it ended at %s", stamp(until))
	}
	least := 0
	if c.Part == Reply {
		least = 1
	} else if c.Rating < MinRating || c.Rating > MaxRating {
		return no(RuleRating, "a rating is a whole number from %d to %d", MinRating, MaxRating)
	} else {
		e.Rating = int16(c.Rating)
	}
	if wrong := fault(c.Text, least, MaxText, false); wrong != "" {
		return no(RuleText, "the text %s", wrong)
	}
	return e, nil
}
