package demo_test

import (
	"reflect"
	"slices"
	"testing"

	"escrowd/cmd/escrowd/demo"
	"escrowd/cmd/escrowd/replay"
	"escrowd/settlement/order"
)

// TestStories: everything happens to somebody, in every currency, and the
// list is the same each time, however long.
func TestStories(t *testing.T) {
	list := demo.Stories(3000)
	if n := len(list); n < 3000 || n > 3002 {
		t.Errorf("%d stories, want 3000 and the rest of a basket", n)
	}
	if again := demo.Stories(3000); !reflect.DeepEqual(list, again) {
		t.Error("the same call makes other stories")
	}
	if short := demo.Stories(100); !reflect.DeepEqual(list[:len(short)], short) {
		t.Error("a longer list does not begin with a shorter one")
	}
	finals, kinds, currencies, references := map[order.State]int{}, map[order.Event]int{}, map[string]int{}, map[string]bool{}
	open, inspected := 0, 0
	for _, s := range list {
		finals[s.Final]++
		currencies[s.Currency]++
		if references[s.Reference] {
			t.Errorf("%s is there twice", s.Reference)
		}
		references[s.Reference] = true
		for _, e := range s.Events {
			kinds[e.Kind]++
		}
		if s.ConfirmWithin > 0 {
			inspected++
		}
		if s.Ends.After(demo.End) {
			open++
		}
		if !slices.IsSortedFunc(s.Events, func(a, b replay.Event) int { return a.At.Compare(b.At) }) {
			t.Errorf("%s is not in order of time", s.Reference)
		}
		if s.Events[0].At.Before(demo.Start) || !s.Events[0].At.Before(demo.End) {
			t.Errorf("%s begins at %s", s.Reference, s.Events[0].At)
		}
	}
	for _, final := range []order.State{order.Closed, order.Expired, order.Canceled, order.Refunded} {
		if finals[final] == 0 {
			t.Errorf("no order ends %s", final)
		}
	}
	for _, kind := range []order.Event{order.Agree, order.Reprice, order.Pay, order.Authorise, order.Capture, order.Void, order.Ship, order.Track, order.Deliver, order.Confirm,
		order.ShipPart, order.DeliverPart, order.ReleasePart, order.Extend, order.Cancel, order.Refund, order.Dispute, order.AcceptClaim, order.Contest,
		order.MakeOffer, order.AcceptOffer, order.GiveEvidence, order.Withdraw, order.Escalate, order.Rule, order.Appeal, order.ShipBack, order.ReceiveReturn,
		order.RefuseReturn, order.ShipReplacement,

		order.RefundReleased, order.TakeBackPayment, order.Represent, order.WinChargeback, order.LoseChargeback, order.SecondChargeback} {
		if kinds[kind] == 0 {
			t.Errorf("nobody does %s", kind)
		}
	}
	if inspected == 0 {
		t.Error("no order has an agreed time to inspect")
	}
	for _, c := range []string{"BRL", "USD", "JPY", "KWD"} {
		if currencies[c] < 100 {
			t.Errorf("%d orders in %s", currencies[c], c)
		}
	}
	if open < len(list)/10 || open > len(list)/2 {
		t.Errorf("%d of %d orders are open at the end", open, len(list))
	}
}

// TestBaskets: orders that share a payment have one buyer, one currency and
// one moment of payment.
func TestBaskets(t *testing.T) {
	baskets := map[int][]replay.Story{}
	for _, s := range demo.Stories(500) {
		if s.Basket != 0 {
			baskets[s.Basket] = append(baskets[s.Basket], s)
		}
	}
	if len(baskets) == 0 {
		t.Fatal("no payment covers several orders")
	}
	for n, b := range baskets {
		for _, s := range b {
			pay, first := s.Events[1], b[0].Events[1]
			if len(b) != 3 || pay.Kind != order.Pay || !reflect.DeepEqual(pay, first) || s.Buyer != b[0].Buyer || s.Currency != b[0].Currency {
				t.Errorf("basket %d: %+v and %+v do not go together", n, s, b[0])
			}
		}
	}
}
