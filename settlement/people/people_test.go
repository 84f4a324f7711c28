package people

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

var end = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func days(n int) time.Time { return end.AddDate(0, 0, n) }

// ended is an order that was paid and has ended.
func ended() *order.Order {
	p := order.Standard()
	return &order.Order{
		Terms:    order.Terms{ID: ledger.ID{Lo: 7}, Buyer: "ann", Seller: "bob", Policy: &p},
		Progress: order.Progress{State: order.Closed, At: end, PaidAt: end.AddDate(0, 0, -9)},
	}
}

func rule(err error) string {
	var r *order.Refusal
	if errors.As(err, &r) {
		return r.Rule
	}
	return ""
}

// One conversation, step by step, and what is refused on the way: each line is
// said after those above it that were let through.
func TestFeedback(t *testing.T) {
	buyer, seller := order.Buyer, order.Seller
	long := strings.Repeat("é", MaxText)
	var said []Entry
	for _, c := range []struct {
		why  string
		now  time.Time
		c    Command
		rule string // "" for none
	}{
		{"nobody gave any", days(1), Command{Reply, seller, 0, "why?"}, RuleNothingSaid},
		{"nobody replied", days(1), Command{Revision, buyer, 3, ""}, RuleNoReply},
		{"the carrier is no party", days(1), Command{Given, order.Carrier, 3, ""}, order.RuleRole},
		{"nor is the marketplace", days(1), Command{Given, order.Operator, 3, ""}, order.RuleRole},
		{"too low", days(1), Command{Given, buyer, 0, ""}, RuleRating},
		{"too high", days(1), Command{Given, buyer, 6, ""}, RuleRating},
		{"a rating that fits no smallint", days(1), Command{Given, buyer, 1<<16 + 3, ""}, RuleRating},
		{"too long", days(1), Command{Given, buyer, 3, long + "x"}, RuleText},
		{"no UTF-8", days(1), Command{Given, buyer, 3, "\xff"}, RuleText},
		{"a control character", days(1), Command{Given, buyer, 3, "a\x1b[2Jb"}, RuleText},
		{"a line's end", days(1), Command{Given, buyer, 3, "a\nb"}, RuleText},
		{"a microsecond late", days(60).Add(time.Microsecond), Command{Given, buyer, 3, ""}, order.RuleTooLate},
		{"at the limit is in time", days(60), Command{Given, buyer, 2, long}, ""},
		{"each is said once", days(60), Command{Given, buyer, 5, "changed my mind"}, RuleOnce},
		{"nobody replies to himself", days(61), Command{Reply, buyer, 0, "indeed"}, RuleNothingSaid},
		{"a reply says something", days(61), Command{Reply, seller, 0, ""}, RuleText},
		{"and more than spaces", days(61), Command{Reply, seller, 0, "  "}, RuleText},
		{"not before the reply", days(61), Command{Revision, buyer, 4, ""}, RuleNoReply},
		{"the reply", days(100), Command{Reply, seller, 0, "sorry, here is another"}, ""},
		{"once", days(100), Command{Reply, seller, 0, "sorry!"}, RuleOnce},
		{"the author revises, not the one rated", days(101), Command{Revision, seller, 5, ""}, RuleNoReply},
		{"too late for the other party", days(101), Command{Given, seller, 1, ""}, order.RuleTooLate},
		{"a revision has a rating", days(101), Command{Revision, buyer, 0, ""}, RuleRating},
		{"a microsecond late", days(130).Add(time.Microsecond), Command{Revision, buyer, 5, ""}, order.RuleTooLate},
		{"at the limit is in time", days(130), Command{Revision, buyer, 5, "all is well"}, ""},
		{"once", days(130), Command{Revision, buyer, 1, "or not"}, RuleOnce},
	} {
		o := ended()
		e, err := Plan(o, said, c.c, c.now)
		if got := rule(err); got != c.rule || (err == nil) != (c.rule == "") {
			t.Errorf("%s: %v, want rule %q", c.why, err, c.rule)
		}
		if err == nil {
			said = append(said, e)
		}
	}
	if len(said) != 3 {
		t.Fatalf("%d entries", len(said))
	}
	for i, by := range []order.Role{buyer, seller, buyer} {
		if e := said[i]; e.By() != by || e.Author != buyer || e.Rated != "bob" || e.Order != ended().ID {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	f := Gather(said)
	if len(f) != 1 || len(f[0].Entries) != 3 || f[0].Current().Rating != 5 || f[0].Entries[0].Rating != 2 {
		t.Errorf("%+v", f)
	}
	replied := Feedback{Entries: said[:2]}
	if replied.Current().Rating != 2 {
		t.Error("a reply is no version")
	}
}

// What an order must be like.
func TestWhichOrders(t *testing.T) {
	c := Command{Part: Given, By: order.Seller, Rating: 5}
	for _, s := range append([]order.State{order.None}, order.States...) {
		o := ended()
		o.State = s
		want := order.RuleState
		if s != order.None && !s.Open() {
			want = ""
		}
		e, err := Plan(o, nil, c, days(1))
		if rule(err) != want {
			t.Errorf("%s: %v, want rule %q", s, err, want)
		}
		if err == nil && e.Rated != "ann" {
			t.Errorf("the seller rates %s", e.Rated)
		}
	}
	unpaid := ended()
	unpaid.State, unpaid.PaidAt = order.Canceled, time.Time{}
	if _, err := Plan(unpaid, nil, c, days(1)); rule(err) != RuleUnpaid {
		t.Errorf("never paid: %v", err)
	}
	none := ended()
	none.Policy.FeedbackWithin = 0
	if _, err := Plan(none, nil, c, days(0)); rule(err) != RuleNoFeedback {
		t.Errorf("a policy without: %v", err)
	}
	// A machine whose clock is behind says it at the order's end, not before.
	if e, err := Plan(ended(), nil, c, days(-1)); err != nil || !e.At.Equal(end) {
		t.Errorf("%+v, %v", e, err)
	}
}

// Whatever is asked in whatever order: each part at most once, in its order and
// time, and a refusal says by which rule.
func TestFeedbackOfAnyKind(t *testing.T) {
	parts, roles := []Part{Given, Reply, Revision}, []order.Role{order.Buyer, order.Seller, order.Operator}
	rapid.Check(t, func(t *rapid.T) {
		o := ended()
		now := end
		var said []Entry
		for range rapid.IntRange(1, 30).Draw(t, "commands") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(20*24*time.Hour)).Draw(t, "later")))
			c := Command{rapid.SampledFrom(parts).Draw(t, "part"), rapid.SampledFrom(roles).Draw(t, "by"),
				rapid.Int64Range(-1, 7).Draw(t, "rating"), rapid.SampledFrom([]string{"", "well", "\x00"}).Draw(t, "text")}
			e, err := Plan(o, said, c, now)
			if err != nil {
				if rule(err) == "" {
					t.Fatalf("no rule: %v", err)
				}
				continue
			}
			said = append(said, e)
		}
		for _, f := range Gather(said) {
			if len(f.Entries) > 3 {
				t.Fatalf("%d entries", len(f.Entries))
			}
			for i, e := range f.Entries {
				if e.Part != parts[i] || (e.Rating == 0) != (e.Part == Reply) || i > 0 && e.At.Before(f.Entries[i-1].At) {
					t.Fatalf("entry %d: %+v", i, e)
				}
			}
			if f.Entries[0].At.After(days(60)) || len(f.Entries) == 3 && f.Entries[2].At.After(f.Entries[1].At.AddDate(0, 0, 30)) {
				t.Fatalf("too late: %+v", f)
			}
		}
	})
}

func TestNotes(t *testing.T) {
	for _, c := range []struct{ author, text, rule string }{
		{"eve", "called\n\ttwice", ""},
		{"", "called", RuleAuthor},
		{"eve\n", "called", RuleAuthor},
		{strings.Repeat("é", 101), "called", RuleAuthor}, // bytes count
		{"eve", "", RuleText},
		{"eve", "\n", RuleText},
		{"eve", "a\rb", RuleText},
		{"eve", "\x9b", RuleText},
		{"eve", strings.Repeat("x", MaxNote+1), RuleText},
	} {
		n := Note{Author: c.author, Text: c.text}
		if err := n.Check(order.Held); rule(err) != c.rule || (err == nil) != (c.rule == "") {
			t.Errorf("%q, %.20q: %v, want rule %q", c.author, c.text, err, c.rule)
		}
	}
}

// A mark against counts whatever the other says; where only listed sellers are
// eligible there has to be one in favour.
func TestStanding(t *testing.T) {
	yes, no := &Mark{Eligible: true, Since: end}, &Mark{Since: end}
	for _, c := range []struct {
		all, category *Mark
		open, listed  bool // eligible where all are, and where only listed ones are
	}{
		{nil, nil, true, false},
		{yes, nil, true, true},
		{nil, yes, true, true},
		{yes, yes, true, true},
		{no, nil, false, false},
		{nil, no, false, false},
		{no, yes, false, false},
		{yes, no, false, false},
		{no, no, false, false},
	} {
		for only, want := range map[bool]bool{false: c.open, true: c.listed} {
			s := Standing{OnlyListed: only, All: c.all, Category: c.category}
			err := s.Refuse()
			if s.Eligible() != want || (err == nil) != want || s.Why() == "" {
				t.Errorf("%+v: eligible %v, %v; want %v", s, s.Eligible(), err, want)
			}
			if !want && rule(err) != "seller-not-eligible" {
				t.Errorf("refused by %q", rule(err))
			}
		}
	}
}

func TestMarks(t *testing.T) {
	for _, c := range []struct {
		m    Mark
		rule string
	}{
		{Mark{Seller: "bob", Reason: "new"}, ""},
		{Mark{Seller: "bob", Category: "toys", Reason: "new"}, ""},
		{Mark{Reason: "new"}, RuleSeller},
		{Mark{Seller: "b\x00b", Reason: "new"}, RuleSeller},
		{Mark{Seller: "bob", Category: "Toys", Reason: "new"}, RuleCategory},
		{Mark{Seller: "bob"}, order.RuleReason},
		{Mark{Seller: "bob", Reason: strings.Repeat("x", MaxReason+1)}, order.RuleReason},
	} {
		if err := c.m.Check(); rule(err) != c.rule || (err == nil) != (c.rule == "") {
			t.Errorf("%+v: %v, want rule %q", c.m, err, c.rule)
		}
	}
}
