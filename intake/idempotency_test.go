package intake

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

func clientFilter(state, reference, cursor string, limit int) client.OrderFilter {
	return client.OrderFilter{State: state, Reference: reference, Cursor: cursor, Limit: limit}
}

// TestSameKeyAtOnce: twenty callers with one key make one event, and all hear
// the same.
func TestSameKeyAtOnce(t *testing.T) {
	s := newSetup(t)
	const callers = 20
	orders := make([]api.Order, callers)
	together(callers, func(i int) {
		var err error
		orders[i], err = s.client.CreateOrder(t.Context(), api.NewOrder{Reference: "one", Buyer: "b", Seller: "s", Currency: "USD", Amount: 700}, client.Key("k-1"))
		if err != nil {
			t.Error(err)
		}
	})
	paid := make([]api.Paid, callers)
	together(callers, func(i int) {
		var err error
		if paid[i], err = s.client.Pay(t.Context(), api.Payment{Orders: []string{orders[0].ID}, Method: "card"}, client.Key("k-2")); err != nil {
			t.Error(err)
		}
	})
	for i := range callers {
		if !reflect.DeepEqual(orders[i], orders[0]) || !reflect.DeepEqual(paid[i], paid[0]) {
			t.Fatalf("caller %d heard %+v and %+v, the first %+v and %+v", i, orders[i], paid[i], orders[0], paid[0])
		}
	}
	timeline := must[api.Timeline](t)(s.client.Timeline(t.Context(), orders[0].ID))
	if len(timeline.Events) != 2 {
		t.Errorf("%d events took place, want 2: %+v", len(timeline.Events), timeline)
	}
}

func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// TestKeys: what counts as the same request, and what does not.
func TestKeys(t *testing.T) {
	s := newSetup(t)
	const body = `{"reference":"r","buyer":"b","seller":"s","currency":"USD","amount":5}`
	status, h, first := s.send("POST", "/v1/orders", body, "Idempotency-Key", "k")
	if status != 201 || h.Get("Idempotent-Replayed") != "" || !strings.HasPrefix(h.Get("Location"), "/v1/orders/") {
		t.Fatalf("%d %v %s", status, h, first)
	}
	again := `{ "amount" : 5, "currency":"USD","seller":"s","buyer":"b","reference":"\u0072" }`
	status, h2, second := s.send("POST", "/v1/orders", again, "Idempotency-Key", "k")
	if status != 201 || h2.Get("Idempotent-Replayed") != "true" || second != first || h2.Get("Location") != h.Get("Location") {
		t.Errorf("the same request, spelt differently: %d %v %s", status, h2, second)
	}
	if p := s.problem("POST", "/v1/orders", strings.Replace(body, "5", "6", 1), "Idempotency-Key", "k"); p.Type != api.ProblemKeyReused {
		t.Errorf("another amount: %+v", p)
	}
	path := h.Get("Location")
	if p := s.problem("POST", path+"/cancel", "", "Idempotency-Key", "k"); p.Type != api.ProblemKeyReused {
		t.Errorf("another route: %+v", p)
	}
	// A refusal uses nothing up: with the state changed the same key works.
	if p := s.problem("POST", path+"/ship", "", "Idempotency-Key", "ship"); p.Type != api.ProblemRefused {
		t.Errorf("unpaid: %+v", p)
	}
	s.client.Pay(t.Context(), api.Payment{Orders: []string{strings.TrimPrefix(path, "/v1/orders/")}, Method: "card"})
	if status, _, text := s.send("POST", path+"/ship", "", "Idempotency-Key", "ship"); status != 200 {
		t.Errorf("paid: %d %s", status, text)
	}
	// Another marketplace's keys are its own.
	other := *s
	_, other.key = s.marketplace("other", "live")
	if status, h, text := other.send("POST", "/v1/orders", body, "Idempotency-Key", "k"); status != 201 || h.Get("Idempotent-Replayed") != "" {
		t.Errorf("another marketplace: %d %s", status, text)
	}
}

// TestBulk: an answer for each by index, in the words of a single request.
func TestBulk(t *testing.T) {
	s := newSetup(t)
	ctx := t.Context()
	var items []api.NewOrderItem
	for i := range 50 {
		items = append(items, api.NewOrderItem{NewOrder: api.NewOrder{Reference: fmt.Sprint("r", i), Buyer: "b", Seller: "s", Currency: "USD", Amount: int64(100 + i)}})
	}
	items[7].Amount = 0
	items[8].Reference = "r3"
	items[9].Currency = "XYZ"
	answers := must[[]api.Answer](t)(client.Bulk(ctx, s.client, items, client.Key("orders")))
	if len(answers) != len(items) {
		t.Fatalf("%d answers to %d items", len(answers), len(items))
	}
	for i, a := range answers {
		switch {
		case i == 7:
			if a.Status != 400 || a.Problem == nil || a.Problem.Errors[0].Pointer != "/items/7/amount" {
				t.Errorf("item 7: %+v", a.Problem)
			}
		case i == 8:
			if a.Status != 409 || a.Problem == nil || a.Problem.Type != api.ProblemReference {
				t.Errorf("item 8: %+v", a.Problem)
			}
		case i == 9:
			if a.Status != 400 || a.Problem == nil || a.Problem.Errors[0].Pointer != "/items/9/currency" {
				t.Errorf("item 9: %+v", a.Problem)
			}
		case a.Status != 201 || a.Order == nil || a.Order.Amount != int64(100+i) || a.Replayed:
			t.Errorf("item %d: %+v", i, a)
		}
	}
	again := must[[]api.Answer](t)(client.Bulk(ctx, s.client, items, client.Key("orders")))
	for i, a := range again {
		if answers[i].Order != nil && (!a.Replayed || !reflect.DeepEqual(a.Order, answers[i].Order)) {
			t.Errorf("item %d again: %+v", i, a)
		}
	}
	// The same keys with the items moved: other requests.
	items[0], items[1] = items[1], items[0]
	moved := must[[]api.Answer](t)(client.Bulk(ctx, s.client, items, client.Key("orders")))
	if moved[0].Status != 422 || moved[1].Status != 422 || moved[2].Status != 201 {
		t.Errorf("moved items: %d %d %d", moved[0].Status, moved[1].Status, moved[2].Status)
	}

	var payments []api.PaymentItem
	var ships []api.ShipItem
	for i, a := range answers[:5] {
		payments = append(payments, api.PaymentItem{ItemKey: api.ItemKey{IdempotencyKey: fmt.Sprint("pay ", i)[0:3] + fmt.Sprint(i)},
			Payment: api.Payment{Orders: []string{a.Order.ID}, Method: "card"}})
		ships = append(ships, api.ShipItem{Target: api.Target{Order: a.Order.ID}, Ship: api.Ship{Tracking: fmt.Sprint(i)}})
	}
	for i, a := range must[[]api.Answer](t)(client.Bulk(ctx, s.client, payments)) {
		if a.Status != 200 || a.Intent == "" || len(a.Orders) != 1 || a.Orders[0].State != "held" {
			t.Errorf("payment %d: %+v", i, a)
		}
	}
	ships = append(ships, ships[0], api.ShipItem{Target: api.Target{Order: "00000000-0000-7000-8000-000000000000"}})
	shipped := must[[]api.Answer](t)(client.Bulk(ctx, s.client, ships))
	for i, a := range shipped[:5] {
		if a.Status != 200 || a.Order.State != "shipped" {
			t.Errorf("ship %d: %+v", i, a)
		}
	}
	if p := shipped[5].Problem; shipped[5].Status != 409 || p.Rule != "state" || p.State != "shipped" || p.RequestID == "" {
		t.Errorf("shipped twice: %+v", p)
	}
	if shipped[6].Status != 404 {
		t.Errorf("no such order: %+v", shipped[6])
	}
	// One item's own key is the same key as a request's, for another request.
	if p := s.problem("POST", "/v1/orders/"+answers[0].Order.ID+"/confirm", "", "Idempotency-Key", "pay0"); p.Type != api.ProblemKeyReused {
		t.Errorf("an item's key in a single request: %+v", p)
	}
	for name, n := range map[string]int{
		"deliver": len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.DeliverItem{{Target: ships[0].Target}}))),
		"extend":  len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.ExtendItem{{Target: ships[0].Target}}))),
		"refund":  len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.RefundItem{{Target: ships[1].Target}}))),
		"dispute": len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.DisputeItem{{Target: ships[2].Target, Dispute: api.Dispute{Reason: "x"}}}))),
		"ruling":  len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.RulingItem{{Target: ships[2].Target, Ruling: api.Ruling{ToBuyer: 102}}}))),
		"confirm": len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.ConfirmItem{{Target: ships[3].Target}}))),
		"cancel":  len(must[[]api.Answer](t)(client.Bulk(ctx, s.client, []api.CancelItem{{Target: api.Target{Order: answers[6].Order.ID}}}))),
	} {
		if n != 1 {
			t.Errorf("bulk %s: %d answers", name, n)
		}
	}
	for i, state := range map[int]string{0: "delivered", 1: "refunded", 2: "refunded", 3: "released", 6: "canceled"} {
		if o := must[api.OrderDetail](t)(s.client.Order(ctx, answers[i].Order.ID)); o.State != state {
			t.Errorf("order %d is %s, want %s", i, o.State, state)
		}
	}
}
