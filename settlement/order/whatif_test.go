package order_test

import (
	"testing"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// What would happen is what then happens, by the event and by the deadline
// after it; its movements are between the accounts that the books know, and sum
// to what leaves escrow.
func TestTry(t *testing.T) {
	a := explore(t)
	later := 0
	for c, p := range a.cells {
		w, err := order.Try(p.born, p.done[0])
		for _, cmd := range p.done[1:] {
			if err != nil {
				t.Fatalf("%s: %v", p.path(), err)
			}
			w, err = order.Try(w.Change.After, cmd)
		}
		if err != nil {
			t.Fatalf("%s: %v", p.path(), err)
		}
		if dump(w.Change.After) != dump(p.now) {
			t.Errorf("%s: it would be\n%s\nand is\n%s", p.path(), dump(w.Change.After), dump(p.now))
		}
		due := order.Due[p.now.Deadline]
		if (w.Otherwise == nil) != (due == "") {
			t.Fatalf("%s: %s is due, and it says %v", p.path(), due, w.Otherwise)
		}
		if w.Otherwise != nil {
			later++
			if w.Otherwise.Event != due || !w.Otherwise.After.At.Equal(p.now.DeadlineAt) {
				t.Errorf("%s: %s at %s", p.path(), w.Otherwise.Event, w.Otherwise.After.At)
			}
			auditMoves(t, p.path(), w.Otherwise)
		}
		auditMoves(t, string(c.from)+", "+string(c.event), w.Change)
	}
	if later == 0 {
		t.Error("no deadline was looked at")
	}
}

// auditMoves compares what a change says in words with what it books.
func auditMoves(t *testing.T, path string, ch *order.Change) {
	t.Helper()
	money := ch.Money()
	var out, buyer, fee int64
	for i, m := range ch.Moves() {
		row, ok := m.Code.Lookup()
		if !ok || m.Name == "" || m.Debit != row.Debit || m.Credit != row.Credit || m.Amount <= 0 {
			t.Errorf("%s: movement %+v", path, m)
		}
		if !ch.Legs[i].PendingID.IsZero() || row.Pending() {
			continue
		}
		switch {
		case m.Debit == chart.Escrow && m.Credit == chart.Buyer:
			buyer += m.Amount
		case m.Credit == chart.FeeRevenue:
			fee += m.Amount
		}
		if m.Debit == chart.Escrow {
			out += m.Amount
		}
	}
	switch ch.Event {
	case order.RefundReleased, order.TakeBackPayment, order.SecondChargeback, order.LoseChargeback, order.LoseUnrepresented:
		// The seller's accounts, or the buyer's bank, are in between.
		buyer, fee = money.ToBuyer, money.Fee
	}
	if ch.Before.Claim.Released() {
		buyer, fee = money.ToBuyer, money.Fee
	}
	if buyer != money.ToBuyer || fee != money.Fee || out != money.ToBuyer+money.ToSeller+money.Fee+money.Tax {
		t.Errorf("%s: %+v, but %d leaves escrow, %d of it to the buyer and %d as the fee", path, money, out, buyer, fee)
	}
}

// What would be refused is refused, and by the same rule.
func TestTryRefuses(t *testing.T) {
	for _, p := range explore(t).found[order.Arbitration][:1] {
		for _, c := range []order.Command{
			{Event: order.Rule, By: order.Operator, At: p.now.At, ToBuyer: p.now.Held + 1},
			{Event: order.Confirm, By: order.Buyer, At: p.now.At},
		} {
			_, want := order.Plan(p.now, c)
			w, err := order.Try(p.now, c)
			if want == nil || err == nil || err.Error() != want.Error() || w.Change != nil {
				t.Errorf("%s: %v, want %v", c.Event, err, want)
			}
		}
	}
}
