package posting_test

import (
	"errors"
	"reflect"
	"testing"

	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// What holidays and virtual goods do to a deadline is stored as it was answered,
// at every moment, and the policy's calendar with it.
func TestHolidaysAreStored(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.Name, p.Calendar = "spring", order.Calendar{Name: "spring", Days: []order.Day{"2026-03-02", "2026-03-03"}}
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	agree := func(reference string, change func(a *posting.Agreement)) order.Order {
		t.Helper()
		req := w.agreement(reference)
		req.Agreement.Policy = "spring"
		change(req.Agreement)
		r, err := w.poster.Do(w.ctx, req)
		w.must(err)
		w.do(r.Orders[0].ID, order.Command{Event: order.Pay, Method: "card", At: start})
		return w.do(r.Orders[0].ID, order.Command{Event: order.Ship, At: start})
	}
	for _, o := range []order.Order{
		agree("plain", func(*posting.Agreement) {}),
		agree("virtual", func(a *posting.Agreement) { a.Virtual = true }),
		agree("parts", func(a *posting.Agreement) { a.Parts = []order.PartTerms{{Name: "a", Bps: 5_000}, {Name: "b"}} }),
	} {
		days := 17
		if o.Virtual {
			days = 5
		}
		if o.Holidays != 2 || !o.DeadlineAt.Equal(start.AddDate(0, 0, days)) || o.Virtual != (o.Reference == "virtual") {
			t.Errorf("%s: %s, %d holidays, virtual %v", o.Reference, o.DeadlineAt, o.Holidays, o.Virtual)
		}
		if got := w.order(o.ID); !reflect.DeepEqual(got.Progress, o.Progress) || got.Virtual != o.Virtual || !reflect.DeepEqual(got.Policy.Calendar, p.Calendar) {
			t.Errorf("%s: stored %+v, answered %+v", o.Reference, got, o)
		}
		line, err := w.store.Timeline(w.ctx, o.ID)
		w.must(err)
		if line[1].After.Holidays != 0 || line[2].After.Holidays != 2 {
			t.Errorf("%s: the timeline has %d, then %d holidays", o.Reference, line[1].After.Holidays, line[2].After.Holidays)
		}
		if _, err := w.db.Exec(`UPDATE orders SET holidays = 0 WHERE id = $1`, o.ID.UUID()); err == nil {
			t.Error("the schema took 0 holidays")
		}
		if o = w.do(o.ID, order.Command{Event: order.Confirm, At: start}); o.Holidays != 0 {
			t.Errorf("%s: released with %d holidays", o.Reference, o.Holidays)
		}
		if _, err := w.db.Exec(`UPDATE orders SET holidays = 1 WHERE id = $1`, o.ID.UUID()); err == nil {
			t.Error("the schema took holidays of another deadline")
		}
	}
	w.balanced()

	p.Name, p.ConfirmVirtual = "goods", 0
	_, err = w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	req := w.agreement("refused")
	req.Agreement.Policy, req.Agreement.Virtual = "goods", true
	var wrong *posting.Invalid
	if _, err := w.poster.Do(w.ctx, req); !errors.As(err, &wrong) || wrong.Field != "virtual" {
		t.Errorf("virtual goods under a policy without: %v", err)
	}
}
