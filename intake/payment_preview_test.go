package intake

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"escrowd/intake/api"
)

// movesOf writes movements as "name: from to, amount", orders' ids by reference.
func movesOf(p api.Preview) string {
	var words []string
	for _, m := range p.Effect.Moves {
		words = append(words, fmt.Sprintf("%s: %s to %s, %s %d", m.Name, strings.TrimSpace(fmt.Sprint(m.Debit.Code, " ", m.Debit.Owner)),
			strings.TrimSpace(fmt.Sprint(m.Credit.Code, " ", m.Credit.Owner)), m.Currency, m.Amount))
	}
	return strings.ReplaceAll(strings.Join(words, "; "), p.Order.ID, p.Order.Reference)
}

// TestPaymentPreview: a payment says beforehand what it would do to each of its
// orders, moves nothing, and then does that; so do one in another currency and one
// out of the balance.
func TestPaymentPreview(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	a, b := s.agreed("a", 10_000), s.agreed("b", 2_500)
	both := api.Payment{Orders: []string{a.ID, b.ID}, Method: "card", Amount: 12_500}
	detail := must[api.OrderDetail](t)
	before := detail(c.Order(ctx, a.ID))
	p := must[api.PaymentPreview](t)(c.PreviewPayment(ctx, both))
	if after := detail(c.Order(ctx, a.ID)); !reflect.DeepEqual(after, before) {
		t.Errorf("something has happened: %+v", after)
	}
	if len(p.Orders) != 2 {
		t.Fatalf("%+v", p)
	}
	for i, want := range []string{"payment received: 1100 card to 2000 b, USD 12500; held: 2000 b to 2100 a, USD 10000", "held: 2000 b to 2100 b, USD 2500"} {
		one := p.Orders[i]
		if got := movesOf(one); got != want {
			t.Errorf("%s: %s\nwant %s", one.Order.Reference, got, want)
		}
		if one.Effect.Event != "pay" || one.Effect.State != "held" || one.Order.Deadline != "ship_by" || one.Explanation.Why == "" ||
			one.Otherwise == nil || one.Otherwise.Event != "cancel_unshipped" || !one.Otherwise.At.Equal(one.Order.DeadlineAt) || one.Otherwise.ToBuyer != one.Order.Held {
			t.Errorf("%+v", one)
		}
	}
	paid := must[api.Paid](t)(c.Pay(ctx, both))
	for i := range paid.Orders {
		if !reflect.DeepEqual(paid.Orders[i], p.Orders[i].Order) {
			t.Errorf("foretold %+v\ndone     %+v", p.Orders[i].Order, paid.Orders[i])
		}
	}

	// In another currency, both ledgers.
	yen := s.agreed("yen", 10_050)
	fx := api.Payment{Orders: []string{yen.ID}, Method: "card", FX: api.PaidFX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100}}
	p = must[api.PaymentPreview](t)(c.PreviewPayment(ctx, fx))
	if got := movesOf(p.Orders[0]); got != "payment received in another currency: 1100 card to 1400, JPY 15000; FX spread kept of a payment: 1100 card to 4110, JPY 100; "+
		"converted, to the buyer: 1400 to 2000 b, USD 10050; held: 2000 b to 2100 yen, USD 10050" {
		t.Errorf("in yen: %s", got)
	}
	if done := must[api.Paid](t)(c.Pay(ctx, fx)); !reflect.DeepEqual(done.Orders[0], p.Orders[0].Order) {
		t.Errorf("foretold %+v\ndone     %+v", p.Orders[0].Order, done.Orders[0])
	}

	// What would be refused is refused, in the same words; of several it says which.
	x, y := s.agreed("x", 1_000), s.agreed("y", 500)
	for _, bad := range []struct {
		rule string
		in   api.Payment
	}{
		{"state", api.Payment{Orders: []string{x.ID, a.ID}, Method: "card"}},
		{"method", api.Payment{Orders: []string{x.ID}, Method: "gold"}},
		{"amount", api.Payment{Orders: []string{x.ID, y.ID}, Method: "card", Amount: 1_499}},
		{"rate", api.Payment{Orders: []string{x.ID}, Method: "card", FX: api.PaidFX{Currency: "JPY", Amount: 1_500, Rate: "0.0067"}}},
		{"role", api.Payment{Orders: []string{x.ID}, Method: "card", Act: api.Act{By: "seller"}}},
	} {
		_, foretold := c.PreviewPayment(ctx, bad.in)
		_, done := c.Pay(ctx, bad.in)
		refused(t, bad.rule, func() error { return foretold })
		var was, is *api.Problem
		if !errors.As(foretold, &was) || !errors.As(done, &is) || was.Detail != is.Detail || was.Rule != is.Rule {
			t.Errorf("%s: foretold %v, done %v", bad.rule, foretold, done)
		}
		if bad.rule == "state" && was.Detail != "order a: an order that is held does not admit pay" {
			t.Errorf("of several: %s", was.Detail)
		}
	}
	if _, err := c.PreviewPayment(ctx, api.Payment{Orders: []string{"00000000-0000-7000-8000-000000000001"}, Method: "card"}); !strings.Contains(fmt.Sprint(err), "404") {
		t.Errorf("no such order: %v", err)
	}
	if p := s.problem("POST", "/v1/payments/preview", `{"orders":["`+x.ID+`","`+x.ID+`"],"method":"card"}`); p.Status != 400 {
		t.Errorf("an order twice: %+v", p)
	}

	// Out of the balance, as far as it goes.
	balance := api.Payment{Orders: []string{x.ID, y.ID}, Method: "balance"}
	ledgerSays := func() {
		t.Helper()
		_, foretold := c.PreviewPayment(ctx, balance)
		_, done := c.Pay(ctx, balance)
		var was, is *api.Problem
		if !errors.As(foretold, &was) || !errors.As(done, &is) || was.Type != api.ProblemLedger || was.Reason != "exceeds_credits" || is.Reason != was.Reason {
			t.Errorf("foretold %v, done %v", foretold, done)
		}
	}
	ledgerSays()
	receipt := func(amount int64) {
		t.Helper()
		must[api.EntryMade](t)(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: amount, Party: "b", Method: "bank_transfer", Reference: fmt.Sprint(amount)}))
	}
	receipt(1_499)
	ledgerSays()
	receipt(1)
	p = must[api.PaymentPreview](t)(c.PreviewPayment(ctx, balance))
	if got := movesOf(p.Orders[0]) + "; " + movesOf(p.Orders[1]); got != "held: 2000 b to 2100 x, USD 1000; held: 2000 b to 2100 y, USD 500" {
		t.Errorf("from the balance: %s", got)
	}
	must[api.Paid](t)(c.Pay(ctx, balance))
}
