package posting_test

import (
	"reflect"
	"testing"
	"time"

	"escrowd/settlement/order"
)

// Another price is stored as it was answered, at every step, and is what is paid,
// refunded and released; the terms stay as they were agreed at first.
func TestReprice(t *testing.T) {
	w := newWorld(t, nil)
	w.ruled()
	step := func(o order.Order, state order.State, held int64, charge order.Charge) order.Order {
		t.Helper()
		if o.State != state || o.Held != held || o.Charge() != charge || o.Amount != 10_000 {
			t.Errorf("%s with %d held of %+v, at first %d; want %s, %d of %+v", o.State, o.Held, o.Charge(), o.Amount, state, held, charge)
		}
		if got := w.order(o.ID); !reflect.DeepEqual(got.Progress, o.Progress) || !reflect.DeepEqual(got.Terms, o.Terms) {
			t.Errorf("stored   %+v\n%+v\nanswered %+v\n%+v", got.Terms, got.Progress, o.Terms, o.Progress)
		}
		w.balanced()
		return o
	}
	at := start.Add(time.Hour)
	gold := w.agreeWith("P-1", "gold", "DE")
	lower := w.event(gold.ID, order.Command{Event: order.Reprice, Amount: 5_000, At: at})
	lower.Key, lower.Hash = "lower", [32]byte{1}
	r, err := w.poster.Do(w.ctx, lower)
	w.must(err)
	// 2 % of 50.00 and 19 % tax on it, all of it the buyer's.
	o := step(r.Orders[0], order.Agreed, 0, order.Charge{Amount: 5_000, Fee: 100, Tax: 19, BuyerShare: 119})
	if !o.DeadlineAt.Equal(at.AddDate(0, 0, 5)) || o.Price() != 5_000 || o.Fee != 200 {
		t.Errorf("repriced: %+v", o)
	}
	// By card 3 %, of which the buyer bears half.
	card := order.Charge{Amount: 5_000, Fee: 150, Tax: 28, BuyerShare: 89}
	step(w.do(gold.ID, order.Command{Event: order.Authorise, Method: "card", Amount: 5_089, At: at}), order.Authorised, 0, card)
	part := order.Charge{Amount: 2_500, Fee: 75, Tax: 14, BuyerShare: 44}
	step(w.do(gold.ID, order.Command{Event: order.Capture, By: order.Operator, Amount: 2_544, At: at}), order.Held, 2_544, part)
	step(w.do(gold.ID, order.Command{Event: order.Refund, Amount: 544, At: at}), order.Held, 2_000, part)
	w.do(gold.ID, order.Command{Event: order.Ship, At: at})
	step(w.do(gold.ID, order.Command{Event: order.Confirm, At: at}), order.Released, 0, part)
	again, err := w.poster.Do(w.ctx, lower)
	w.must(err)
	if got := again.Orders[0]; !again.Replayed || !reflect.DeepEqual(got.Progress, o.Progress) {
		t.Errorf("replayed: %+v", again)
	}
	line, err := w.store.Timeline(w.ctx, gold.ID)
	w.must(err)
	for i, amount := range []int64{0, 5_000, 5_000, 2_500, 2_500, 2_500, 2_500} {
		if line[i].After.Captured.Amount != amount || (line[i].After.Aftermath != nil) != (i > 0) {
			t.Errorf("after %s: %+v", line[i].Event, line[i].After)
		}
	}

	// Another process reads what this one would have remembered; a price that is
	// changed back leaves the order as it was.
	back := w.agreeWith("P-2", "", "")
	w.do(back.ID, order.Command{Event: order.Reprice, Amount: 12_000, At: at})
	r, err = w.another().Do(w.ctx, w.event(back.ID, order.Command{Event: order.Reprice, Amount: 10_000, At: at}))
	w.must(err)
	if o := step(r.Orders[0], order.Agreed, 0, order.Charge{Amount: 10_000, Fee: 1_000}); o.Aftermath != nil || o.Captured != (order.Charge{}) {
		t.Errorf("changed back: %+v", o.Progress)
	}
	step(w.do(back.ID, order.Command{Event: order.Pay, Method: "voucher", At: at}), order.Held, 10_000, order.Charge{Amount: 10_000, Fee: 1_000})
}

// The schema refuses what the code above would have to be wrong for.
func TestSchemaOfReprices(t *testing.T) {
	w := newWorld(t, nil)
	agreed, plain, paid := w.agree("S-1"), w.agree("S-2"), w.agree("S-3")
	for _, o := range []order.Order{agreed, paid} {
		w.do(o.ID, order.Command{Event: order.Reprice, Amount: 12_000, At: start})
	}
	w.do(paid.ID, order.Command{Event: order.Pay, Method: "card", At: start})
	for name, c := range map[string]struct {
		set string
		o   order.Order
	}{
		"a price that is nothing":           {`aftermath = '{"price": 0}', captured = NULL, captured_fee = NULL, captured_tax = NULL`, agreed},
		"the price of the agreement":        {`aftermath = '{"price": 10000}', captured = 10000`, agreed},
		"a price and nothing it comes to":   {`captured = NULL, captured_fee = NULL, captured_tax = NULL`, agreed},
		"another price than it comes to":    {`captured = 11000`, agreed},
		"what it comes to without a price":  {`aftermath = NULL`, agreed},
		"above the agreed without a price":  {`aftermath = NULL`, paid},
		"above the price":                   {`captured = 12001, held = 12001`, paid},
		"held as it was agreed at first":    {`held = 10000`, paid},
		"a price of an order never changed": {`aftermath = '{"price": 9000}'`, plain},
	} {
		if _, err := w.db.Exec(`UPDATE orders SET `+c.set+` WHERE id = $1`, c.o.ID.UUID()); err == nil {
			t.Errorf("%s: the schema took it", name)
		}
	}
}
