package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// An order in dollars that was paid in yen: booked, kept on the timeline as it
// was converted, and the same answer for the same key.
func TestPayInAnotherCurrency(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	o := s.agreed("yen", 10_050)
	payment := api.Payment{Orders: []string{o.ID}, Method: "card", Reference: "ch_1", FX: api.PaidFX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100}}
	for range 2 {
		paid := must[api.Paid](t)(c.Pay(ctx, payment, client.Key("k")))
		if got := paid.Orders[0]; got.State != "held" || got.Held != 10_050 || got.Currency != "USD" {
			t.Errorf("%+v", got)
		}
	}
	line := must[api.Timeline](t)(c.Timeline(ctx, o.ID))
	var said, want any
	if err := json.Unmarshal(line.Events[1].Data, &said); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"method":"card","reference":"ch_1","fx":{"currency":"JPY","amount":15100,"rate":"0.0067","spread":100}}`), &want); err != nil {
		t.Fatal(err)
	}
	if got, should := marshal(t, said), marshal(t, want); got != should {
		t.Errorf("the timeline has %s, want %s", got, should)
	}
	refusedBy := s.agreed("refused", 10_051)
	payment.Orders = []string{refusedBy.ID}
	p := s.problem("POST", "/v1/payments", marshal(t, payment))
	if p.Type != api.ProblemRefused || p.Rule != "rate" || p.Detail != "JPY 15100 less 100 at the rate 0.0067 would be USD 100.50, not 100.51" {
		t.Errorf("a cent too much: %+v", p)
	}
	// In bulk the same.
	status, _, body := s.send("POST", "/v1/bulk/payments", `{"items":[`+strings.Replace(marshal(t, payment), "15100", "15103", 1)+`]}`)
	if status != 200 || !strings.Contains(body, `"rule":"rate"`) {
		t.Errorf("in bulk: %d %s", status, body)
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBadFX: what is wrong with it is said at its field, and nothing is booked.
func TestBadFX(t *testing.T) {
	s := newSetup(t)
	o := s.agreed("a", 10_050)
	other := s.agreed("b", 10_050)
	for _, c := range []struct{ name, fx, pointer, detail string }{
		{"nothing in it", `{}`, "/fx/rate", "is required"},
		{"no object", `"JPY"`, "/fx", "must be an object"},
		{"another field", `{"currency":"JPY","amount":15000,"rate":"0.0067","fee":1}`, "/fx/fee", "unknown field"},
		{"a rate in a number", `{"currency":"JPY","amount":15000,"rate":0.0067}`, "/fx/rate", "must be a string"},
		{"a rate with an exponent", `{"currency":"JPY","amount":15000,"rate":"67e-4"}`, "/fx/rate", ""},
		{"a rate below zero", `{"currency":"JPY","amount":15000,"rate":"-0.0067"}`, "/fx/rate", ""},
		{"a rate of thirteen decimals", `{"currency":"JPY","amount":15000,"rate":"0.0067000000000"}`, "/fx/rate", "a rate has at most 12 digits before the point and 12 after it"},
		{"a rate of zero", `{"currency":"JPY","amount":15000,"rate":"0.000"}`, "/fx/rate", "a rate is more than zero"},
		{"a rate with a comma", `{"currency":"JPY","amount":15000,"rate":"0,0067"}`, "/fx/rate", ""},
		{"an amount with decimals", `{"currency":"JPY","amount":15000.5,"rate":"0.0067"}`, "/fx/amount", ""},
		{"no amount", `{"currency":"JPY","amount":0,"rate":"0.0067"}`, "/fx/amount", ""},
		{"all of it spread", `{"currency":"JPY","amount":15000,"rate":"0.0067","spread":15000}`, "/fx/spread", "must be from 0 to less than what was paid"},
		{"a spread below zero", `{"currency":"JPY","amount":15000,"rate":"0.0067","spread":-1}`, "/fx/spread", ""},
		{"no currency", `{"currency":"XYZ","amount":15000,"rate":"0.0067"}`, "/fx/currency", "not an ISO 4217 currency"},
		{"gold", `{"currency":"XAU","amount":15000,"rate":"0.0067"}`, "/fx/currency", "XAU, gold, has no minor unit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.in(t).problem("POST", "/v1/payments", `{"orders":["`+o.ID+`"],"method":"card","fx":`+c.fx+`}`)
			if p.Status != 400 || !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool {
				return e.In == "body" && e.Pointer == c.pointer && (c.detail == "" || e.Detail == c.detail)
			}) {
				t.Errorf("got %+v, want %s: %s", p, c.pointer, c.detail)
			}
		})
	}
	good := `{"currency":"JPY","amount":15000,"rate":"0.0067"}`
	p := s.problem("POST", "/v1/payments", `{"orders":["`+o.ID+`","`+other.ID+`"],"method":"card","fx":`+good+`}`)
	if p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Pointer != "/fx" {
		t.Errorf("two orders: %+v", p)
	}
	for _, c := range []struct{ rule, fx string }{
		{"currency", `{"currency":"USD","amount":10050,"rate":"1"}`},
		{"currency", `{"currency":"LTL","amount":30000,"rate":"0.335"}`},
		{"rate", `{"currency":"JPY","amount":15000,"rate":"0.0068"}`},
	} {
		p := s.problem("POST", "/v1/payments", `{"orders":["`+o.ID+`"],"method":"card","fx":`+c.fx+`}`)
		if p.Type != api.ProblemRefused || p.Rule != c.rule {
			t.Errorf("%s: %+v", c.fx, p)
		}
	}
	if got := must[api.OrderDetail](t)(s.client.Order(t.Context(), o.ID)); got.State != "agreed" || got.Events != 1 {
		t.Errorf("bad requests moved %+v", got.Order)
	}
}

// A buyer's balance goes back into the currency that was paid: proposed, seen
// by another person, approved.
func TestConversionEntry(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	made, entry := must[api.EntryMade](t), must[api.Entry](t)
	made(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 4_000, Party: "ann", Method: "card", Reference: "line 1"}))
	in := api.NewEntry{Kind: "conversion", Currency: "USD", Amount: 4_000, Party: "ann", Person: "eve",
		To: api.ConvertTo{Currency: "JPY", Amount: 5_821, Rate: "149.25", Spread: 100}}
	m := made(c.MakeEntry(ctx, in))
	if m.State != "proposed" || m.To != in.To || m.Party != "ann" || m.DueAt.IsZero() {
		t.Errorf("%+v", m)
	}
	seen := must[api.EntryDetail](t)(c.Entry(ctx, m.ID))
	if len(seen.Allowed) != 3 || seen.Allowed[0].Event != "approve" || seen.To != in.To {
		t.Errorf("%+v", seen)
	}
	if e := entry(c.MoveEntry(ctx, m.ID, "approve", api.EntryAct{Person: "max", Digest: seen.Digest})); e.State != "done" {
		t.Errorf("%+v", e)
	}
	made(c.MakeEntry(ctx, api.NewEntry{Kind: "repayment", Currency: "JPY", Amount: 5_821, Party: "ann", Method: "card"}))

	bad := func(pointer, detail string, change func(*api.NewEntry)) {
		t.Helper()
		wrong := in
		change(&wrong)
		p := s.problem("POST", "/v1/entries", marshal(t, wrong))
		if p.Status != 400 || !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Pointer == pointer && (detail == "" || e.Detail == detail) }) {
			t.Errorf("got %+v, want %s: %s", p, pointer, detail)
		}
	}
	bad("/to/amount", "USD 40.00 less 1.00 at the rate 149.25 would be JPY 5821, not 5822", func(e *api.NewEntry) { e.To.Amount++ })
	bad("/to/rate", "", func(e *api.NewEntry) { e.To.Rate = "149,25" })
	bad("/to/currency", "XAU, gold, has no minor unit", func(e *api.NewEntry) { e.To.Currency = "XAU" })
	bad("/to/currency", "the same as currency", func(e *api.NewEntry) { e.To.Currency = "USD" })
	bad("/to/currency", "not an ISO 4217 currency", func(e *api.NewEntry) { e.To = api.ConvertTo{} })
	bad("/to/spread", "only of a buyer's: what a bank keeps is in its rate", func(e *api.NewEntry) { e.Party = "" })
	bad("/person", "is required: somebody else has to approve it", func(e *api.NewEntry) { e.Person = "" })
	bad("/to", "only of a conversion", func(e *api.NewEntry) { e.Kind, e.Method = "repayment", "card" })
	in.To.Currency, in.To.Amount = "LTL", 582_075
	if p := s.problem("POST", "/v1/entries", marshal(t, in)); p.Type != api.ProblemRefused || p.Rule != "currency" {
		t.Errorf("into litas: %+v", p)
	}
}

// A chargeback of an order that was paid in yen says what was taken of them, and
// one of an order that was paid from the balance by which method that came in;
// each is foretold as it then is.
func TestChargebacksByOtherWays(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	must[api.EntryMade](t)(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 10_050, Party: "b", Method: "bank_transfer", Reference: "line 1"}))
	yen, balance := s.agreed("yen", 10_050), s.agreed("balance", 10_050)
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{yen.ID}, Method: "card", FX: api.PaidFX{Currency: "JPY", Amount: 15_100, Rate: "0.0067", Spread: 100}}))
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{balance.ID}, Method: "balance"}))
	before := must[api.OrderDetail](t)(c.Order(ctx, yen.ID))

	fx := api.TakenFX{Currency: "JPY", Amount: 15_000, Rate: "0.0067"}
	for _, x := range []struct {
		id    string
		in    api.Chargeback
		moves string
	}{
		{yen.ID, api.Chargeback{Reason: "10.4", FX: fx}, "chargeback in another currency advanced: 1300 to 1400, USD 10050; " +
			"chargeback taken in the currency that was paid: 1400 to 1100 card, JPY 15000; frozen by a chargeback: 2100 ID to 2110, USD 10050"},
		{balance.ID, api.Chargeback{Reason: "10.4", Method: "bank_transfer"}, "chargeback advanced: 1300 to 1100 bank_transfer, USD 10050; frozen by a chargeback: 2100 ID to 2110, USD 10050"},
	} {
		p := must[api.Preview](t)(c.Preview(ctx, x.id, "chargeback", x.in))
		var moves []string
		for _, m := range p.Effect.Moves {
			moves = append(moves, strings.ReplaceAll(fmt.Sprintf("%s: %s to %s, %s %d", m.Name, strings.TrimSpace(fmt.Sprint(m.Debit.Code, " ", m.Debit.Owner)),
				strings.TrimSpace(fmt.Sprint(m.Credit.Code, " ", m.Credit.Owner)), m.Currency, m.Amount), x.id, "ID"))
		}
		if got := strings.Join(moves, "; "); got != x.moves {
			t.Errorf("foretold:\n%s\nwant\n%s", got, x.moves)
		}
		taken := must[api.Order](t)(c.Chargeback(ctx, x.id, x.in))
		if taken.Chargeback == nil || p.Order.Chargeback == nil {
			t.Fatalf("%+v, foretold %+v", taken, p.Order)
		}
		foretold := p.Order.Chargeback
		if taken.State != "charged_back" || taken.Chargeback.Method != foretold.Method || taken.Chargeback.Method == "" || (taken.Chargeback.FX == nil) != (x.in.FX == api.TakenFX{}) {
			t.Errorf("%+v, foretold %+v", taken.Chargeback, foretold)
		}
	}
	open := must[api.OrderDetail](t)(c.Order(ctx, yen.ID))
	if *open.Chargeback.FX != fx || open.Chargeback.Method != "card" || !strings.HasPrefix(open.Explanation.Why, "The buyer's bank has taken JPY 15000 back, which is USD 100.50 at the rate 0.0067;") {
		t.Errorf("%+v, %s", open.Chargeback, open.Explanation.Why)
	}
	won := must[api.Preview](t)(c.Preview(ctx, yen.ID, "win-chargeback", api.WinChargeback{}))
	if m := won.Effect.Moves[1]; m.Name != "chargeback given back in the currency that was paid" || m.Currency != "JPY" || m.Amount != 15_000 || m.Debit.Owner != "card" {
		t.Errorf("%+v", won.Effect.Moves)
	}
	if o := must[api.Order](t)(c.WinChargeback(ctx, yen.ID, api.WinChargeback{})); o.State != before.State || o.Chargeback != nil {
		t.Errorf("%+v", o)
	}
	refused(t, "rate", func() error {
		_, err := c.SecondChargeback(ctx, yen.ID, api.SecondChargeback{Reason: "x", FX: api.TakenFX{Currency: "JPY", Amount: 15_100, Rate: "0.0067"}})
		return err
	})
	refused(t, "currency", func() error {
		_, err := c.Preview(ctx, yen.ID, "second-chargeback", api.SecondChargeback{Reason: "x"})
		return err
	})
	line := must[api.Timeline](t)(c.Timeline(ctx, balance.ID))
	if got := string(line.Events[2].Data); got != `{"method":"bank_transfer","reason":"10.4"}` && got != `{"method": "bank_transfer", "reason": "10.4"}` {
		t.Errorf("the timeline has %s", got)
	}
	for _, bad := range []struct{ body, pointer string }{
		{`{"reason":"x","fx":{}}`, "/fx/rate"}, {`{"reason":"x","fx":{"currency":"JPY","amount":1,"rate":"1","spread":1}}`, "/fx/spread"},
		{`{"reason":"x","fx":{"currency":"XYZ","amount":1,"rate":"1"}}`, "/fx/currency"}, {`{"reason":"x","method":"Card!"}`, "/method"},
	} {
		p := s.problem("POST", "/v1/orders/"+yen.ID+"/second-chargeback", bad.body)
		if p.Status != 400 || !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Pointer == bad.pointer }) {
			t.Errorf("%s: %+v", bad.body, p)
		}
	}
}
