package posting_test

import (
	"errors"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

var authorise = order.Command{Event: order.Authorise, Method: "card", At: start}

// What is authorised is posted nowhere; a part that is captured is held, with
// its own fee, and the rest is gone.
func TestAuthorisedAndCapturedInPart(t *testing.T) {
	w := newWorld(t, nil)
	id := w.agree("C-1").ID
	o := w.do(id, authorise)
	if o.State != order.Authorised || o.Held != 0 || !o.PaidAt.IsZero() || !o.DeadlineAt.Equal(start.AddDate(0, 0, 7)) {
		t.Fatalf("authorised: %+v", o.Progress)
	}
	for code, v := range w.books() {
		if v != [2]int64{} {
			t.Errorf("%d has %v posted", code, v)
		}
	}
	w.balanced()
	at := start.Add(time.Hour)
	capture := w.event(id, order.Command{Event: order.Capture, By: order.Operator, Amount: 6_000, At: at})
	capture.Key, capture.Hash = "capture", [32]byte{1}
	r, err := w.poster.Do(w.ctx, capture)
	w.must(err)
	o = r.Orders[0]
	if want := (order.Charge{Amount: 6_000, Fee: 300}); o.State != order.Held || o.Held != 6_000 || o.Captured != want || !o.PaidAt.Equal(at) || o.Amount != 10_000 {
		t.Fatalf("captured: %+v of %d", o.Progress, o.Amount)
	}
	w.balanced()
	w.do(id, order.Command{Event: order.Ship, At: at})
	o = w.do(id, order.Command{Event: order.Confirm, At: at})
	if o.Released != 6_000 || o.FeeCharged != 300 || o.Maturing != 5_700 {
		t.Fatalf("released: %+v", o.Progress)
	}
	want := map[chart.AccountCode][2]int64{
		chart.PayinClearing: {6_000, 0}, chart.Buyer: {6_000, 6_000}, chart.Escrow: {6_000, 6_000},
		chart.SellerPending: {0, 5_700}, chart.FeeRevenue: {0, 300},
	}
	for code, v := range w.books() {
		if v != want[code] {
			t.Errorf("%d: %v, want %v", code, v, want[code])
		}
	}
	if got := w.order(id); got.Progress != o.Progress || got.Terms.Amount != 10_000 || got.Fee != 500 {
		t.Errorf("stored %+v of %d\nanswered %+v", got.Progress, got.Amount, o.Progress)
	}
	// Every moment of the past is told as it was.
	line, err := w.store.Timeline(w.ctx, id)
	w.must(err)
	for i, captured := range []int64{0, 0, 6_000, 6_000, 6_000} {
		if line[i].After.Captured.Amount != captured || line[i].After.Freeze.IsZero() != (line[i].After.State != order.Authorised) {
			t.Errorf("after %s: %+v", line[i].Event, line[i].After)
		}
	}
	again, err := w.poster.Do(w.ctx, capture)
	w.must(err)
	if !again.Replayed || again.Orders[0].Progress != r.Orders[0].Progress {
		t.Errorf("replayed: %+v", again)
	}
	w.balanced()
}

// Each way out of authorised but a capture moves nothing.
func TestVoidedAuthorisations(t *testing.T) {
	w := newWorld(t, nil)
	for ref, c := range map[string]struct {
		end  order.Command
		want order.State
	}{
		"voided":  {order.Command{Event: order.Void, By: order.Seller, At: start.Add(time.Hour), Reason: "sold out"}, order.Canceled},
		"expired": {order.Command{Event: order.ExpireAuthorisation, By: order.System, At: start.AddDate(0, 0, 7)}, order.Expired},
	} {
		id := w.agree(ref).ID
		w.do(id, authorise)
		if o := w.do(id, c.end); o.State != c.want || o.Deadline != order.NoDeadline || !o.Freeze.IsZero() {
			t.Errorf("%s: %+v", ref, o.Progress)
		}
	}
	for code, v := range w.books() {
		if v != [2]int64{} {
			t.Errorf("%d has %v posted", code, v)
		}
	}
	w.balanced()
}

func TestAuthorisedRefusals(t *testing.T) {
	w := newWorld(t, nil)
	agreed, authorised, captured, voided := w.agree("R-1").ID, w.agree("R-2").ID, w.agree("R-3").ID, w.agree("R-4").ID
	for _, id := range []ledger.ID{authorised, captured, voided} {
		w.do(id, authorise)
	}
	w.do(captured, order.Command{Event: order.Capture, By: order.Operator, Amount: 4_000, At: start})
	w.do(voided, order.Command{Event: order.Void, At: start})
	before := w.books()
	for _, c := range []struct {
		name string
		req  posting.Request
		want string
	}{
		{"a method that the policy does not take", w.event(agreed, order.Command{Event: order.Authorise, Method: "gold", At: start}), "method"},
		{"no word", w.event(agreed, order.Command{Event: order.Authorise, Method: "Gold!", At: start}), "method"},
		{"captured twice", w.event(captured, order.Command{Event: order.Capture, At: start}), "state"},
		{"captured above", w.event(authorised, order.Command{Event: order.Capture, By: order.Operator, Amount: 10_001, At: start}), "amount"},
		{"a part, not by the operator", w.event(authorised, order.Command{Event: order.Capture, Amount: 1, At: start}), "role"},
		{"voided after the capture", w.event(captured, order.Command{Event: order.Void, At: start}), "state"},
		{"captured after it was voided", w.event(voided, order.Command{Event: order.Capture, At: start}), "state"},
		{"captured after capture_by", w.event(authorised, order.Command{Event: order.Capture}), "too-late"},
		{"expired before", w.event(authorised, order.Command{Event: order.ExpireAuthorisation, By: order.System, At: start.AddDate(0, 0, 6)}), "not-due"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var refusal *order.Refusal
			if _, err := w.poster.Do(w.ctx, c.req); !errors.As(err, &refusal) || refusal.Rule != c.want {
				t.Fatalf("%v, want rule %s", err, c.want)
			}
		})
	}
	for code, v := range w.books() {
		if v != before[code] {
			t.Errorf("%d: %v, before the refusals %v", code, v, before[code])
		}
	}
	w.balanced()
}

// The schema refuses what the code above would have to be wrong for.
func TestSchemaOfCaptures(t *testing.T) {
	w := newWorld(t, nil)
	o := w.agree("S-1")
	w.do(o.ID, authorise)
	w.do(o.ID, order.Command{Event: order.Capture, By: order.Operator, Amount: 4_000, At: start})
	paid := w.agree("S-2")
	w.do(paid.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	reserved := w.agree("S-3")
	w.do(reserved.ID, authorise)
	for name, c := range map[string]struct {
		set string
		id  string
	}{
		"held above what was captured":      {"held = 10000", o.ID.UUID()},
		"a fee above the captured one":      {"held = 3799, released = 201, fee_charged = 201", o.ID.UUID()},
		"captured without its fee":          {"captured_fee = NULL", o.ID.UUID()},
		"captured all":                      {"captured = 10000, held = 10000", o.ID.UUID()},
		"fee and tax above the captured":    {"captured_fee = 3999, captured_tax = 2", o.ID.UUID()},
		"captured of a whole payment":       {"captured = 5000, captured_fee = 0, captured_tax = 0", paid.ID.UUID()},
		"captured, and nothing is paid yet": {"captured = 5000, captured_fee = 0, captured_tax = 0", reserved.ID.UUID()},
		"held, and only authorised":         {"held = 10000", reserved.ID.UUID()},
		"authorised without a transfer":     {"freeze_id = NULL", reserved.ID.UUID()},
		"authorised without capture_by":     {"deadline = 'pay_by'", reserved.ID.UUID()},
		"agreed with a transfer":            {"state = 'agreed', deadline = 'pay_by'", reserved.ID.UUID()},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.id); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}
