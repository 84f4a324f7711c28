package posting_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// boat is an order of 100.00 to be shipped and released in three parts.
func (w *world) boat(reference string) order.Order {
	w.t.Helper()
	req := w.agreement(reference)
	req.Agreement.Parts = []order.PartTerms{{Name: "hull", Bps: 5_000}, {Name: "mast", Bps: 3_333}, {Name: `"sail" \ ä`}}
	r, err := w.poster.Do(w.ctx, req)
	w.must(err)
	return r.Orders[0]
}

// An order in parts, part by part: what is answered, what is stored and what
// the ledger says are the same, and every moment of the past is told as it was.
func TestPartByPart(t *testing.T) {
	w := newWorld(t, nil)
	o := w.boat("B-1")
	if got := w.order(o.ID); !reflect.DeepEqual(got.Parts, o.Parts) || len(got.Parts.List) != 3 || got.Parts.List[1].Amount != 3_333 || got.Parts.List[2].Amount != 1_667 {
		t.Fatalf("stored %+v, answered %+v", got.Parts, o.Parts)
	}
	at := func(days int) time.Time { return start.AddDate(0, 0, days) }
	steps := []struct {
		c        order.Command
		state    order.State
		deadline order.Deadline
		at       time.Time
		held     int64
	}{
		{order.Command{Event: order.Pay, Method: "card", At: start}, order.Held, order.ShipBy, at(10), 10_000},
		{order.Command{Event: order.ShipPart, Parts: []string{"hull"}, At: at(1)}, order.PartShipped, order.ShipBy, at(10), 10_000},
		{order.Command{Event: order.DeliverPart, Parts: []string{"hull"}, At: at(2)}, order.PartShipped, order.ConfirmPartBy, at(9), 10_000},
		{order.Command{Event: order.ReleasePart, Parts: []string{"hull"}, At: at(3)}, order.PartShipped, order.MaturePartAt, at(5), 5_000},
		{order.Command{Event: order.ShipPart, Parts: []string{`"sail" \ ä`}, At: at(3)}, order.PartShipped, order.MaturePartAt, at(5), 5_000},
		{order.Command{Event: order.MaturePart, By: order.System, At: at(5)}, order.PartShipped, order.ShipBy, at(10), 5_000},
		{order.Command{Event: order.CancelUnshipped, By: order.System, At: at(10)}, order.Shipped, order.ConfirmPartBy, at(18), 1_667},
		{order.Command{Event: order.Dispute, Reason: "torn", At: at(11)}, order.Disputed, order.RuleBy, at(25), 1_667},
		{order.Command{Event: order.Withdraw, At: at(12)}, order.Shipped, order.ConfirmPartBy, at(19), 1_667},
		{order.Command{Event: order.ReleasePartUnconfirmed, By: order.System, At: at(19)}, order.Released, order.MatureAt, at(21), 0},
		{order.Command{Event: order.Mature, By: order.System, At: at(21)}, order.Closed, order.NoDeadline, time.Time{}, 0},
	}
	for _, s := range steps {
		o = w.do(o.ID, s.c)
		if o.State != s.state || o.Deadline != s.deadline || !o.DeadlineAt.Equal(s.at) || o.Held != s.held {
			t.Fatalf("%s: %s, %s at %s, %d held; want %s, %s at %s, %d", s.c.Event, o.State, o.Deadline, o.DeadlineAt, o.Held, s.state, s.deadline, s.at, s.held)
		}
		if got := w.order(o.ID); !reflect.DeepEqual(got.Progress, o.Progress) {
			t.Errorf("%s: stored %+v %+v\nanswered %+v %+v", s.c.Event, got.Progress, got.Parts, o.Progress, o.Parts)
		}
		w.balanced()
	}
	if o.Released != 6_667 || o.Refunded != 3_333 || o.FeeCharged != 333 {
		t.Errorf("%+v", o.Progress)
	}
	want := map[chart.AccountCode][2]int64{
		chart.PayinClearing: {10_000, 0}, chart.Buyer: {10_000, 13_333}, chart.Escrow: {10_000, 10_000},
		chart.SellerPending: {6_334, 6_334}, chart.SellerAvailable: {0, 6_334}, chart.FeeRevenue: {0, 333},
	}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}
	line, err := w.store.Timeline(w.ctx, o.ID)
	w.must(err)
	for i, s := range steps {
		if e := line[i+1].After; e.State != s.state || e.Parts == nil || e.Held != s.held {
			t.Errorf("after %s: %+v", s.c.Event, e)
		}
	}
	if hull := line[6].After.Parts.List[0]; hull.Maturing != 0 || line[5].After.Parts.List[0].Maturing != 4_750 || !hull.ReleasedAt.Equal(at(3)) {
		t.Errorf("hull on the timeline: %+v", hull)
	}
	if hull := line[4].After.Parts.List[0]; hull.State != order.Released || line[3].After.Parts.List[0].State != order.Delivered {
		t.Errorf("hull on the timeline: %+v", hull)
	}
}

// A job that is late stops nobody: what has matured of a part is available with
// the next event, in its chain, at the part's own moment, and a tenth of it in
// reserve. All of the reserve is freed at the end.
func TestPartsMatureWithWhatComesNext(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.Fees = map[string]order.Fee{"*": {Bps: 500}}
	p.ReserveBps, p.ReserveFor = 1_000, 30*24*60*60
	if _, err := w.store.AddPolicy(w.ctx, w.market.ID, p); err != nil {
		t.Fatal(err)
	}
	o := w.boat("B-1")
	at := func(days int) time.Time { return start.AddDate(0, 0, days) }
	step := func(c order.Command, d order.Deadline, until time.Time, available, reserve int64) {
		t.Helper()
		o = w.do(o.ID, c)
		if got := w.order(o.ID); o.Deadline != d || !o.DeadlineAt.Equal(until) || !reflect.DeepEqual(got.Progress, o.Progress) {
			t.Errorf("%s: %s at %s, want %s at %s; stored %+v\nanswered %+v", c.Event, o.Deadline, o.DeadlineAt, d, until, got.Progress, o.Progress)
		}
		w.balanced()
		books := w.books()
		for code, want := range map[chart.AccountCode]int64{chart.SellerAvailable: available, chart.SellerReserve: reserve} {
			if has := books[code][1] - books[code][0]; has != want {
				t.Errorf("%s: %d on %s, want %d", c.Event, has, code, want)
			}
		}
	}
	step(order.Command{Event: order.Pay, Method: "card", At: start}, order.ShipBy, at(10), 0, 0)
	step(order.Command{Event: order.ShipPart, Parts: []string{"hull"}, At: at(1)}, order.ShipBy, at(10), 0, 0)
	step(order.Command{Event: order.ReleasePart, Parts: []string{"hull"}, At: at(2)}, order.MaturePartAt, at(4), 0, 0)
	step(order.Command{Event: order.ShipPart, Parts: []string{"mast"}, At: at(7)}, order.ShipBy, at(10), 4_275, 475)
	moves, err := w.engine.GetAccountTransfers(w.ctx, ledger.AccountFilter{AccountID: o.SellerAccount, Limit: 10, Flags: ledger.FilterDebits})
	w.must(err)
	if len(moves) != 1 || moves[0].UserData64 != uint64(at(4).UnixMicro()) {
		t.Errorf("what matured: %+v", moves)
	}
	step(order.Command{Event: order.ReleasePart, Parts: []string{"mast"}, At: at(8)}, order.MaturePartAt, at(10), 4_275, 475)
	step(order.Command{Event: order.Cancel, At: at(9)}, order.MatureAt, at(10), 4_275, 475)
	step(order.Command{Event: order.Mature, By: order.System, At: at(10)}, order.ReserveUntil, at(40), 7_124, 792)
	step(order.Command{Event: order.ReleaseReserve, By: order.System, At: at(40)}, order.NoDeadline, time.Time{}, 7_916, 0)
}

// Parts have dates of their own: what is stored is what was agreed, and the one
// that is late goes back alone.
func TestPartsWithDates(t *testing.T) {
	w := newWorld(t, nil)
	at := func(days int) time.Time { return start.AddDate(0, 0, days) }
	req := w.agreement("D-1")
	req.Agreement.Parts = []order.PartTerms{{Name: "draft", Amount: 3_000, ShipBy: at(3)}, {Name: "print", Amount: 7_000, ShipBy: at(60)}}
	r, err := w.poster.Do(w.ctx, req)
	w.must(err)
	o := r.Orders[0]
	for _, s := range []struct {
		c     order.Command
		state order.State
		until time.Time
		held  int64
	}{
		{order.Command{Event: order.Pay, Method: "card", At: start}, order.Held, at(3), 10_000},
		{order.Command{Event: order.CancelUnshipped, By: order.System, At: at(3)}, order.Held, at(60), 7_000},
		{order.Command{Event: order.Extend, By: order.Seller, Until: at(70), At: at(50)}, order.Held, at(70), 7_000},
		{order.Command{Event: order.CancelUnshipped, By: order.System, At: at(70)}, order.Canceled, time.Time{}, 0},
	} {
		o = w.do(o.ID, s.c)
		if got := w.order(o.ID); o.State != s.state || !o.DeadlineAt.Equal(s.until) || o.Held != s.held || !reflect.DeepEqual(got.Progress, o.Progress) {
			t.Errorf("%s: %s until %s, %d held; want %s, %s, %d; stored %+v", s.c.Event, o.State, o.DeadlineAt, o.Held, s.state, s.until, s.held, got.Progress)
		}
		w.balanced()
	}
	if p := o.Parts.List; !p[0].ShipBy.Equal(at(3)) || !p[1].ShipBy.Equal(at(60)) || o.Refunded != 10_000 {
		t.Errorf("%+v", o.Progress)
	}
	req = w.agreement("D-2")
	req.Agreement.Parts = []order.PartTerms{{Name: "draft", Amount: 3_000, ShipBy: req.Command.At}, {Name: "print"}}
	_, err = w.poster.Do(w.ctx, req)
	var refused *order.Refusal
	if !errors.As(err, &refused) || refused.Rule != order.RuleOrderOfTime {
		t.Errorf("due when it is agreed: %v", err)
	}
}

// What the buyer bears of the fee is held with the parts, released or refunded
// with each, and stored as it was decided.
func TestPartsWithBuyersShare(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	o := w.boat("B-1")
	at := start
	step := func(c order.Command, held int64) {
		t.Helper()
		at = at.Add(time.Hour)
		c.At = at
		o = w.do(o.ID, c)
		if got := w.order(o.ID); o.Held != held || !reflect.DeepEqual(got.Progress, o.Progress) {
			t.Errorf("%s: %d held, want %d; stored %+v %+v\nanswered %+v %+v", c.Event, o.Held, held, got.Progress, got.Parts, o.Progress, o.Parts)
		}
		w.balanced()
	}
	step(order.Command{Event: order.Authorise, Method: "card"}, 0)
	step(order.Command{Event: order.Capture}, 10_150) // 3 % of 100.00, half of it the buyer's
	step(order.Command{Event: order.Ship}, 10_150)
	step(order.Command{Event: order.ReleasePart, Parts: []string{"hull"}}, 5_075)
	step(order.Command{Event: order.Refund, Parts: []string{"mast"}}, 1_692)
	step(order.Command{Event: order.Confirm}, 0)
	if o.State != order.Released || o.Released != 6_767 || o.Refunded != 3_383 || o.FeeCharged != 200 {
		t.Errorf("%+v", o.Progress)
	}
}

// A chargeback of an order in parts takes from each pro rata, what the buyer bore
// of the fee included; what is stored says the same at every step.
func TestPartsChargedBack(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	o := w.boat("B-1")
	at := start
	step := func(c order.Command, state order.State, held int64) {
		t.Helper()
		at = at.Add(time.Hour)
		if c.At = at; c.Event == order.TakeBackPayment || c.Event == order.LoseChargeback || c.Event == order.WinChargeback {
			c.By = order.Operator
		}
		o = w.do(o.ID, c)
		if got := w.order(o.ID); o.State != state || o.Held != held || !reflect.DeepEqual(got.Progress, o.Progress) {
			t.Errorf("%s: %s, %d held, want %s, %d; stored %+v %+v\nanswered %+v %+v", c.Event, o.State, o.Held, state, held, got.Progress, got.Parts, o.Progress, o.Parts)
		}
		w.balanced()
	}
	step(order.Command{Event: order.Pay, Method: "card"}, order.Held, 10_150)
	step(order.Command{Event: order.TakeBackPayment, Reason: "fraud"}, order.ChargedBack, 10_150)
	step(order.Command{Event: order.WinChargeback}, order.Held, 10_150)
	step(order.Command{Event: order.ShipPart, Parts: []string{"hull"}}, order.PartShipped, 10_150)
	step(order.Command{Event: order.SecondChargeback, By: order.Operator, Amount: 5_000, Reason: "arbitration"}, order.ChargedBack, 10_150)
	step(order.Command{Event: order.LoseChargeback}, order.PartShipped, 5_150)
	var held []int64
	for _, p := range o.Parts.List {
		held = append(held, p.Held)
	}
	if !reflect.DeepEqual(held, []int64{2_575, 1_716, 859}) {
		t.Errorf("the parts hold %v", held)
	}
	step(order.Command{Event: order.ReleasePart, Parts: []string{"hull"}}, order.PartShipped, 2_575)
	step(order.Command{Event: order.Cancel}, order.Released, 0)
	if o.FeeCharged != 76 || o.Refunded != 7_575 || o.Aftermath.Lost != 5_000 {
		t.Errorf("%+v, %+v", o.Progress, o.Aftermath)
	}
}

// The same key answers a part's release again and releases nothing.
func TestPartReplayed(t *testing.T) {
	w := newWorld(t, nil)
	o := w.boat("B-1")
	w.do(o.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	w.do(o.ID, order.Command{Event: order.Ship, At: start})
	req := w.event(o.ID, order.Command{Event: order.ReleasePart, Parts: []string{"mast"}, At: start})
	req.Key, req.Hash = "release", [32]byte{1}
	first, err := w.poster.Do(w.ctx, req)
	w.must(err)
	again, err := w.poster.Do(w.ctx, req)
	w.must(err)
	if !again.Replayed || !reflect.DeepEqual(again.Orders, first.Orders) || first.Orders[0].Released != 3_333 {
		t.Errorf("first %+v, again %+v", first, again)
	}
	w.balanced()
}

func TestPartsAreChecked(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		parts []order.PartTerms
		want  string // the field, or the rule
	}{
		"one":           {[]order.PartTerms{{Name: "a", Amount: 10_000}}, "parts"},
		"a wrong sum":   {[]order.PartTerms{{Name: "a", Amount: 5_000}, {Name: "b", Amount: 4_999}}, order.RuleAmount},
		"no name":       {[]order.PartTerms{{Name: "a", Amount: 5_000}, {}}, "parts/1/name"},
		"a name twice":  {[]order.PartTerms{{Name: "a", Amount: 5_000}, {Name: "a"}}, "parts/1/name"},
		"NUL in a name": {[]order.PartTerms{{Name: "a\x00", Amount: 5_000}, {Name: "b"}}, "parts/0/name"},
		"a long name":   {[]order.PartTerms{{Name: "a", Amount: 5_000}, {Name: string(make([]rune, 61))}}, "parts/1/name"},
		"no amount":     {[]order.PartTerms{{Name: "a"}, {Name: "b", Amount: 5_000}}, "parts/0/amount"},
	} {
		t.Run(name, func(t *testing.T) {
			req := w.agreement(name)
			req.Agreement.Parts = c.parts
			_, err := w.poster.Do(w.ctx, req)
			var wrong *posting.Invalid
			var refused *order.Refusal
			if !(errors.As(err, &wrong) && wrong.Field == c.want) && !(errors.As(err, &refused) && refused.Rule == c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// The schema refuses what the code above would have to be wrong for.
func TestSchemaOfParts(t *testing.T) {
	w := newWorld(t, nil)
	o, plain := w.boat("B-1"), w.agree("P-1")
	for _, id := range []order.Order{o, plain} {
		w.do(id.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	}
	w.do(o.ID, order.Command{Event: order.ShipPart, Parts: []string{"hull"}, At: start})
	for name, c := range map[string]struct{ set, id string }{
		"shipped in part without parts":     {"parts = NULL", o.ID.UUID()},
		"one part":                          {`parts = '{"list":[{}]}'`, o.ID.UUID()},
		"the whole's deadline":              {"state = 'shipped', deadline = 'confirm_by'", o.ID.UUID()},
		"shipped in part, to be paid":       {"deadline = 'pay_by'", o.ID.UUID()},
		"shipped in part, nothing held":     {"held = 0, released = 10000", o.ID.UUID()},
		"a part's deadline without parts":   {"state = 'shipped', deadline = 'confirm_part_by'", plain.ID.UUID()},
		"matures by itself, without parts":  {"state = 'shipped', deadline = 'mature_part_at', maturing = 1", plain.ID.UUID()},
		"matures by itself, and nothing is": {"deadline = 'mature_part_at'", o.ID.UUID()},
		"a reserve before anything matured": {`aftermath = '{"reserved": 1}'`, plain.ID.UUID()},
		"closed with a reserve":             {`state = 'closed', deadline = NULL, deadline_at = NULL, held = 0, released = 10000, aftermath = '{"reserved": 1}'`, o.ID.UUID()},
		"in part without parts, from held":  {"state = 'part_shipped'", plain.ID.UUID()},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.id); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}
