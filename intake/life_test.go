package intake

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
	"escrowd/ledger"
	orders "escrowd/settlement/order" // tests call an order one
)

type orderID = ledger.ID

// must stops a test at an error, in a line.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestLife takes one order through its whole life, and looks at what the API
// says of it on the way.
func TestLife(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)

	o := order(c.CreateOrder(ctx, api.NewOrder{Reference: "web-1", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000,
		Goods: json.RawMessage(`{"description":"a <table>","weight":12.5}`)}))
	if o.State != "agreed" || o.Fee != 500 || o.Deadline != "pay_by" || !o.AgreedAt.Equal(start) || o.Currency != "USD" || o.Policy != "standard" {
		t.Errorf("agreed: %+v", o)
	}
	paid := must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card", Amount: 10_000, Reference: "ch_1"}))
	if len(paid.Orders) != 1 || paid.Orders[0].Held != 10_000 || paid.Orders[0].State != "held" {
		t.Errorf("paid: %+v", paid)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(24*time.Hour), false))
	o = order(c.Ship(ctx, o.ID, api.Ship{Carrier: "DHL", Tracking: "T1"}))
	if o.State != "shipped" || !o.At.Equal(start.Add(24*time.Hour)) {
		t.Errorf("shipped: %+v", o)
	}
	o = order(c.Extend(ctx, o.ID, api.Extend{Act: api.Act{By: "seller"}}))
	must[api.Order](t)(c.Deliver(ctx, o.ID, api.Deliver{}))
	d := one(c.Order(ctx, o.ID))
	if d.Explanation.Why == "" || d.Explanation.Otherwise == "" || d.State != "delivered" {
		t.Errorf("explained: %+v", d)
	}
	if want := (api.Allowed{Event: "confirm", By: []string{"buyer"}}); len(d.Allowed) == 0 || !reflect.DeepEqual(d.Allowed[0], want) {
		t.Errorf("allowed: %+v, want first %+v", d.Allowed, want)
	}
	order(c.Refund(ctx, o.ID, api.Refund{Amount: 1_000, Reason: "a scratch"}))
	o = order(c.Confirm(ctx, o.ID, api.Confirm{}))
	if o.State != "released" || o.Held != 0 || o.Released != 9_000 || o.Refunded != 1_000 || o.FeeCharged != 450 || o.Maturing != 8_550 {
		t.Errorf("released: %+v", o)
	}
	moved := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(30*24*time.Hour), false))
	if moved.Fired != 1 {
		t.Errorf("maturing fired %d events, want 1", moved.Fired)
	}
	if d = one(c.Order(ctx, o.ID)); d.State != "closed" || d.Deadline != "" || len(d.Allowed) != 2 || d.Allowed[0].Event != "refund_released" {
		t.Errorf("closed: %+v", d)
	}

	timeline := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	var events []string
	for i, e := range timeline {
		if events = append(events, e.Event+" by "+e.By); int(e.Seq) != i+1 || e.Order != o.ID {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	want := []string{"agree by operator", "pay by buyer", "ship by seller", "extend by seller", "deliver by carrier",
		"refund by seller", "confirm by buyer", "mature by system"}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("timeline %q, want %q", events, want)
	}
	for i, data := range map[int]string{0: `{"goods":{"weight":12.5,"description":"a <table>"}}`, 1: `{"method":"card","reference":"ch_1"}`,
		2: `{"carrier":"DHL","tracking":"T1"}`, 5: `{"reason":"a scratch"}`} {
		if !sameJSON(t, timeline[i].Data, data) {
			t.Errorf("%s: data %s, want %s", timeline[i].Event, timeline[i].Data, data)
		}
	}
	if timeline[0].LedgerTimestamp != "" || timeline[1].LedgerTimestamp == "" {
		t.Error("a ledger timestamp belongs to the events that move money, and to no others")
	}
	feed := must[api.Feed](t)(c.Feed(ctx, 0, 5))
	rest := must[api.Feed](t)(c.Feed(ctx, feed.Next, 1000))
	end := must[api.Feed](t)(c.Feed(ctx, rest.Next, 1000))
	if len(feed.Events) != 5 || len(rest.Events) != 3 || len(end.Events) != 0 || end.Next != rest.Next {
		t.Errorf("the feed has %d, then %d, then %d events", len(feed.Events), len(rest.Events), len(end.Events))
	}
}

// TestAuthorised takes a payment through its two steps, a part of another, and
// voids a third, and looks at what the API says of them.
func TestAuthorised(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	authorise := func(reference string) api.Order {
		t.Helper()
		return order(c.Authorise(ctx, s.agreed(reference, 10_000).ID, api.Authorise{Method: "card", Amount: 10_000, Reference: "pi_1"}))
	}

	o := authorise("whole")
	if o.State != "authorised" || o.Held != 0 || !o.PaidAt.IsZero() || o.Deadline != "capture_by" || !o.DeadlineAt.Equal(start.Add(7*24*time.Hour)) {
		t.Errorf("authorised: %+v", o)
	}
	d := one(c.Order(ctx, o.ID))
	if want := []api.Allowed{{Event: "capture", By: []string{"buyer", "operator"}}, {Event: "void", By: []string{"buyer", "seller", "operator"}},
		{Event: "expire_authorisation", By: []string{"system"}}}; !reflect.DeepEqual(d.Allowed, want) {
		t.Errorf("allowed: %+v, want %+v", d.Allowed, want)
	}
	if want := "Nothing is held yet: USD 100.00 is authorised, which the buyer's bank has promised, and not captured."; d.Explanation.Why != want {
		t.Errorf("why: %s", d.Explanation.Why)
	}
	o = order(c.Capture(ctx, o.ID, api.Capture{Reference: "ch_1"}))
	if o.State != "held" || o.Held != 10_000 || o.Amount != 10_000 || o.AgreedAmount != 0 || o.Fee != 500 || !o.PaidAt.Equal(start) {
		t.Errorf("captured: %+v", o)
	}
	timeline := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	if !sameJSON(t, timeline[1].Data, `{"method":"card","reference":"pi_1"}`) || !sameJSON(t, timeline[2].Data, `{"reference":"ch_1"}`) ||
		timeline[1].Held != 0 || timeline[1].LedgerTimestamp == "" {
		t.Errorf("timeline: %+v", timeline)
	}

	part := authorise("part")
	capture := api.Capture{Amount: 6_000, Act: api.Act{By: "operator"}}
	part = order(c.Capture(ctx, part.ID, capture, client.Key("part")))
	if part.Held != 6_000 || part.Amount != 6_000 || part.AgreedAmount != 10_000 || part.Fee != 300 {
		t.Errorf("captured in part: %+v", part)
	}
	if again := order(c.Capture(ctx, part.ID, capture, client.Key("part"))); !reflect.DeepEqual(again, part) {
		t.Errorf("repeated: %+v, want %+v", again, part)
	}

	voided := authorise("voided")
	if v := order(c.Void(ctx, voided.ID, api.Void{Reason: "sold out"})); v.State != "canceled" || v.Refunded != 0 || v.Deadline != "" {
		t.Errorf("voided: %+v", v)
	}

	// Many at once.
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.AuthoriseItem{
		{Target: api.Target{Order: s.agreed("bulk", 500).ID}, Authorise: api.Authorise{Method: "card"}},
		{Target: api.Target{Order: part.ID}, Authorise: api.Authorise{Method: "card"}}}))
	if answers[0].Status != 200 || answers[0].Order.State != "authorised" || answers[1].Problem == nil || answers[1].Problem.Rule != "state" {
		t.Fatalf("authorised in bulk: %+v", answers)
	}
	id := answers[0].Order.ID
	answers = must[[]api.Answer](t)(client.Bulk(ctx, c, []api.CaptureItem{{Target: api.Target{Order: id}}}))
	if answers[0].Status != 200 || answers[0].Order.Held != 500 {
		t.Errorf("captured in bulk: %+v", answers)
	}
	answers = must[[]api.Answer](t)(client.Bulk(ctx, c, []api.VoidItem{{Target: api.Target{Order: id}}}))
	if answers[0].Problem == nil || answers[0].Problem.Rule != "state" {
		t.Errorf("voided in bulk after the capture: %+v", answers)
	}

	// The deadline voids what nobody captures; nothing is captured after it.
	late := authorise("late")
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(8*24*time.Hour), true))
	if p := s.problem("POST", "/v1/orders/"+late.ID+"/capture", `{}`); p.Rule != "too-late" || p.State != "authorised" {
		t.Errorf("captured after capture_by: %+v", p)
	}
	if moved := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(8*24*time.Hour), false)); moved.Fired != 1 {
		t.Errorf("fired %d events, want 1", moved.Fired)
	}
	if e := one(c.Order(ctx, late.ID)); e.State != "expired" || e.Held+e.Refunded != 0 || !e.At.Equal(start.Add(7*24*time.Hour)) {
		t.Errorf("expired: %+v", e)
	}
}

// TestReprice agrees on another price, previewed first, and pays by it.
func TestReprice(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	o := s.agreed("dear", 10_000)
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(24*time.Hour), false))
	in := api.Reprice{Amount: 8_000, Reason: "a scratch"}
	p := must[api.Preview](t)(c.Preview(ctx, o.ID, "reprice", in))
	if p.Order.Amount != 8_000 || p.Order.Fee != 400 || len(p.Effect.Moves) != 0 || p.Otherwise == nil || p.Otherwise.Event != "expire" {
		t.Errorf("previewed: %+v", p)
	}
	if now := one(c.Order(ctx, o.ID)); now.Amount != 10_000 || now.Events != 1 {
		t.Errorf("a preview changed %+v", now)
	}
	o = order(c.Reprice(ctx, o.ID, in, client.Key("lower")))
	if o.State != "agreed" || o.Amount != 8_000 || o.AgreedAmount != 10_000 || o.RepricedTo != 8_000 || o.Fee != 400 || !o.DeadlineAt.Equal(start.Add(6*24*time.Hour)) {
		t.Errorf("repriced: %+v", o)
	}
	if again := order(c.Reprice(ctx, o.ID, in, client.Key("lower"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	d := one(c.Order(ctx, o.ID))
	if want := "Nothing is held yet: USD 80.00 was agreed and is not paid. At first the price was USD 100.00; it was changed to USD 80.00 before anything was paid."; d.Explanation.Why != want {
		t.Errorf("why: %s", d.Explanation.Why)
	}
	if line := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events; line[1].Event != "reprice" || line[1].By != "operator" || !sameJSON(t, line[1].Data, `{"amount":"8000","reason":"a scratch"}`) {
		t.Errorf("timeline: %+v", line)
	}
	if _, err := c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card", Amount: 10_000}); !strings.Contains(fmt.Sprint(err), "8000 was agreed, 10000 was paid") {
		t.Errorf("the price before was paid: %v", err)
	}
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card", Amount: 8_000}))
	if o := one(c.Order(ctx, o.ID)); o.Held != 8_000 || o.AgreedAmount != 10_000 {
		t.Errorf("paid: %+v", o)
	}

	// Captured in part, to the cent what was agreed at first: both are said.
	dearer := s.agreed("dearer", 10_000)
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.RepriceItem{
		{Target: api.Target{Order: dearer.ID}, Reprice: api.Reprice{Amount: 12_000}},
		{Target: api.Target{Order: o.ID}, Reprice: api.Reprice{Amount: 12_000}}}))
	if answers[0].Status != 200 || answers[1].Problem == nil || answers[1].Problem.Rule != "state" {
		t.Fatalf("in bulk: %+v", answers)
	}
	order(c.Authorise(ctx, dearer.ID, api.Authorise{Method: "card"}))
	part := order(c.Capture(ctx, dearer.ID, api.Capture{Amount: 10_000, Act: api.Act{By: "operator"}}))
	if part.Amount != 10_000 || part.AgreedAmount != 10_000 || part.RepricedTo != 12_000 || part.Fee != 500 {
		t.Errorf("captured in part: %+v", part)
	}
	if d := one(c.Order(ctx, dearer.ID)); !strings.Contains(d.Explanation.Why, "changed to USD 120.00 before anything was paid. Of the USD 120.00 agreed USD 100.00 was captured") {
		t.Errorf("why: %s", d.Explanation.Why)
	}

	if p := s.problem("POST", "/v1/orders/"+s.agreed("same", 10_000).ID+"/reprice", `{"amount":10000}`); p.Rule != "amount" {
		t.Errorf("the same price: %+v", p)
	}
	parts := order(c.CreateOrder(ctx, api.NewOrder{Reference: "parts", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000,
		Parts: []api.NewPart{{Name: "one", Bps: 5_000}, {Name: "other"}}}))
	if p := s.problem("POST", "/v1/orders/"+parts.ID+"/reprice", `{"amount":8000}`); p.Rule != "part" {
		t.Errorf("in parts: %+v", p)
	}
	for _, a := range one(c.Order(ctx, parts.ID)).Allowed {
		if a.Event == "reprice" {
			t.Error("an order in parts is said to take another price")
		}
	}
}

// TestInspection agrees on a time to confirm with the order, within what the
// policy allows, and lets it pass.
func TestInspection(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	const day = 24 * 60 * 60
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.ConfirmAgreedMin, terms.ConfirmAgreedMax = day, 15*day
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("added %+v, want %+v", p.PolicyTerms, terms)
	}
	in := api.NewOrder{Reference: "inspected", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000, ConfirmWithin: 14 * day}
	o := must[api.Order](t)(c.CreateOrder(ctx, in, client.Key("new")))
	if o.ConfirmWithin != 14*day {
		t.Errorf("agreed: %+v", o)
	}
	if again := must[api.Order](t)(c.CreateOrder(ctx, in, client.Key("new"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card"}))
	must[api.Order](t)(c.Ship(ctx, o.ID, api.Ship{}))
	o = must[api.Order](t)(c.Deliver(ctx, o.ID, api.Deliver{}))
	if o.ConfirmWithin != 14*day || !o.DeadlineAt.Equal(start.Add(14*24*time.Hour)) {
		t.Errorf("delivered: %+v", o)
	}
	if d := must[api.OrderDetail](t)(c.Order(ctx, o.ID)); !strings.HasSuffix(d.Explanation.Why, "The buyer has 14 days from the delivery to confirm, as agreed.") {
		t.Errorf("why: %s", d.Explanation.Why)
	}
	q := must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 10_000, ConfirmWithin: 2 * day}))
	if !slices.ContainsFunc(q.Steps, func(st api.Step) bool {
		return st.State == "delivered" && st.Within == 2*day && st.Until == "confirm_by: 2 days from the delivery, as agreed"
	}) {
		t.Errorf("quoted: %+v", q.Steps)
	}
	for path, body := range map[string]string{
		"/v1/orders": `{"reference":"long","buyer":"ann","seller":"bob","currency":"USD","amount":1,"confirm_within":1296001}`,
		"/v1/quotes": `{"currency":"USD","amount":1,"confirm_within":86399}`,
	} {
		if p := s.problem("POST", path, body); p.Rule != "policy" || !strings.Contains(p.Detail, "from 1 day to 15 days") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// TestParts takes an order in parts through its life, and looks at what the API
// says of the parts.
func TestParts(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order, one := must[api.Order](t), must[api.OrderDetail](t)
	create := func(reference string) api.Order {
		t.Helper()
		o := order(c.CreateOrder(ctx, api.NewOrder{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_001,
			Parts: []api.NewPart{{Name: "table top", Bps: 6_000}, {Name: "legs", Bps: 4_000}}}))
		must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card"}))
		return o
	}
	o := create("web-1")
	if want := []api.Part{{Name: "table top", Amount: 6_001, State: "agreed"}, {Name: "legs", Amount: 4_000, State: "agreed"}}; !reflect.DeepEqual(o.Parts, want) {
		t.Errorf("agreed: %+v, want %+v", o.Parts, want)
	}
	top := api.ShipPart{Parts: []string{"table top"}, Carrier: "DHL", Tracking: "T1"}
	o = order(c.ShipPart(ctx, o.ID, top, client.Key("ship")))
	day := 24 * time.Hour
	want := []api.Part{{Name: "table top", Amount: 6_001, State: "shipped", Held: 6_001, Deadline: "confirm_part_by", DeadlineAt: start.Add(15 * day)},
		{Name: "legs", Amount: 4_000, State: "held", Held: 4_000, Deadline: "ship_by", DeadlineAt: start.Add(10 * day)}}
	if o.State != "part_shipped" || o.Deadline != "ship_by" || !reflect.DeepEqual(o.Parts, want) {
		t.Errorf("shipped in part: %+v", o)
	}
	if again := order(c.ShipPart(ctx, o.ID, top, client.Key("ship"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	d := one(c.Order(ctx, o.ID))
	if want := "USD 100.01 is held for 2 of 2 parts: table top (USD 60.01, shipped, to be confirmed by 2017-01-16T00:00:00Z) and legs (USD 40.00, to be shipped by 2017-01-11T00:00:00Z)."; d.Explanation.Why != want {
		t.Errorf("why: %s", d.Explanation.Why)
	}
	for _, a := range d.Allowed {
		if a.Event == "release_unconfirmed" || a.Event == "confirm" {
			t.Errorf("allowed: %+v", a)
		}
	}
	order(c.DeliverPart(ctx, o.ID, api.DeliverPart{Parts: []string{"table top"}}))
	if o = order(c.ReleasePart(ctx, o.ID, api.ReleasePart{Parts: []string{"table top"}})); o.Released != 6_001 || o.FeeCharged != 300 || o.Held != 4_000 || o.State != "part_shipped" || o.Maturing != 5_701 ||
		!reflect.DeepEqual(o.Parts[0], api.Part{Name: "table top", Amount: 6_001, State: "released", ReleasedAt: start, Maturing: 5_701, Deadline: "mature_part_at", DeadlineAt: start.Add(2 * day)}) {
		t.Errorf("released in part: %+v", o)
	}
	// It matures by itself, and is the seller's to be paid out, while the legs wait.
	if moved := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(3*day), false)); moved.Fired != 1 {
		t.Errorf("fired %d", moved.Fired)
	}
	if d = one(c.Order(ctx, o.ID)); d.State != "part_shipped" || d.Maturing != 0 || d.Deadline != "ship_by" || !strings.Contains(d.Explanation.Why, "USD 60.01 was released; all that the seller has of it is available.") {
		t.Errorf("matured: %+v", d)
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/release-part", `{"parts":["table top"]}`); p.Rule != "part" || p.Detail == "" {
		t.Errorf("released twice: %+v", p)
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/release-part", `{"parts":["legs"],"by":"seller"}`); p.Rule != "role" {
		t.Errorf("released by the seller: %+v", p)
	}
	o = order(c.Refund(ctx, o.ID, api.Refund{Parts: []string{"legs"}, Amount: 1_000, Reason: "a scratch"}))
	if o.Parts[1].Held != 3_000 || o.Parts[1].Refunded != 1_000 {
		t.Errorf("refunded of a part: %+v", o.Parts)
	}
	timeline := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	if !sameJSON(t, timeline[2].Data, `{"parts":["table top"],"carrier":"DHL","tracking":"T1"}`) || !sameJSON(t, timeline[6].Data, `{"parts":["legs"],"reason":"a scratch"}`) {
		t.Errorf("timeline: %s %s", timeline[2].Data, timeline[6].Data)
	}
	// The seller says nothing more: the rest of the legs goes back to the buyer.
	moved := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(40*day), false))
	if d = one(c.Order(ctx, o.ID)); moved.Fired != 2 || d.State != "closed" || d.Released != 6_001 || d.Refunded != 4_000 || d.Parts[1].State != "refunded" {
		t.Errorf("fired %d: %+v", moved.Fired, d)
	}

	// Milestones with dates of their own: one that is missed goes back, and the
	// others go on.
	from := start.Add(40 * day)
	o = order(c.CreateOrder(ctx, api.NewOrder{Reference: "dated", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10_000,
		Parts: []api.NewPart{{Name: "draft", Bps: 3_000, ShipBy: from.Add(3 * day)}, {Name: "print", Bps: 7_000, ShipBy: from.Add(60 * day)}}}))
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card"}))
	must[api.ClockMoved](t)(c.SetClock(ctx, from.Add(4*day), false))
	want = []api.Part{{Name: "draft", Amount: 3_000, ShipBy: from.Add(3 * day), State: "refunded", Refunded: 3_000},
		{Name: "print", Amount: 7_000, ShipBy: from.Add(60 * day), State: "held", Held: 7_000, Deadline: "ship_by", DeadlineAt: from.Add(60 * day)}}
	if d = one(c.Order(ctx, o.ID)); d.State != "held" || !reflect.DeepEqual(d.Parts, want) {
		t.Errorf("a date missed: %+v, want %+v", d, want)
	}
	for route, body := range map[string]string{"/v1/orders": `"reference":"x","buyer":"b","seller":"s",`, "/v1/quotes": ""} {
		if p := s.problem("POST", route, `{`+body+`"currency":"USD","amount":100,"parts":[{"name":"a","amount":50,"ship_by":"2017-01-01T00:00:00Z"},{"name":"b"}]}`); p.Status != 409 || p.Rule != "order-of-time" {
			t.Errorf("%s: a date before the agreement: %+v", route, p)
		}
	}

	// Many at once.
	o = create("bulk")
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.ShipPartItem{
		{Target: api.Target{Order: o.ID}, ShipPart: api.ShipPart{Parts: []string{"legs"}}},
		{Target: api.Target{Order: o.ID}, ShipPart: api.ShipPart{Parts: []string{"drawer"}}}}))
	if answers[0].Status != 200 || answers[0].Order.State != "part_shipped" || answers[1].Problem == nil || answers[1].Problem.Rule != "part" {
		t.Errorf("shipped in bulk: %+v", answers)
	}
	answers = must[[]api.Answer](t)(client.Bulk(ctx, c, []api.DeliverPartItem{{Target: api.Target{Order: o.ID}, DeliverPart: api.DeliverPart{Parts: []string{"legs"}}}}))
	if answers[0].Status != 200 {
		t.Errorf("delivered in bulk: %+v", answers)
	}
	answers = must[[]api.Answer](t)(client.Bulk(ctx, c, []api.ReleasePartItem{{Target: api.Target{Order: o.ID}, ReleasePart: api.ReleasePart{Parts: []string{"legs"}}}}))
	if answers[0].Status != 200 || answers[0].Order.Released != 4_000 {
		t.Errorf("released in bulk: %+v", answers)
	}

	// What cannot be agreed.
	with := func(parts string) string {
		return `{"reference":"x","buyer":"b","seller":"s","currency":"USD","amount":100,"parts":` + parts + `}`
	}
	for _, c := range []struct{ parts, pointer string }{
		{`[{"name":"a","amount":100}]`, "/parts"},
		{`[{"name":"a","amount":50},{"amount":50}]`, "/parts/1/name"},
		{`[{"name":"a","amount":50},{"name":"a","amount":50}]`, "/parts/1/name"},
		{`[{"name":"a"},{"name":"b","amount":50}]`, "/parts/0/amount"},
		{`[{"name":"a","amount":50},{"name":"b","bps":5000}]`, "/parts/1/bps"},
		{`[{"name":"a","amount":50},{"name":"b","part":1}]`, "/parts/1/part"},
		{`[{"name":"a","amount":0},{"name":"b"}]`, "/parts/0/amount"},
		{`["a","b"]`, "/parts/0"},
		{`{}`, "/parts"},
	} {
		if p := s.problem("POST", "/v1/orders", with(c.parts)); p.Type != api.ProblemInvalid || len(p.Errors) == 0 || p.Errors[0].Pointer != c.pointer {
			t.Errorf("%s: %+v, want an error at %s", c.parts, p, c.pointer)
		}
	}
	if p := s.problem("POST", "/v1/orders", with(`[{"name":"a","amount":50},{"name":"b","amount":49}]`)); p.Status != 409 || p.Rule != "amount" {
		t.Errorf("parts that do not sum: %+v", p)
	}
	status, _, text := s.send("POST", "/v1/bulk/orders", `{"items":[`+with(`[{"name":"a","amount":50},{"name":"b","amount":50},{"name":"a","amount":1}]`)+`]}`)
	if status != 200 || !strings.Contains(text, `"pointer":"/items/0/parts/2/name"`) {
		t.Errorf("in bulk: %d %s", status, text)
	}
}

// TestTrack: scans are on the timeline and move nothing; delivered is a delivery.
func TestTrack(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order := must[api.Order](t)
	o := s.held("web-1", 10_000)
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/track", `{"status":"picked_up"}`); p.Rule != "state" {
		t.Errorf("before the shipment: %+v", p)
	}
	if status, _, body := s.send("GET", "/v1/orders/"+o.ID+"/shipments", ""); status != 200 || !sameJSON(t, []byte(body), `{"shipments":[]}`) {
		t.Errorf("before the shipment: %d %s", status, body)
	}
	shipped := order(c.Ship(ctx, o.ID, api.Ship{}))
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(48*time.Hour), false))
	scan := api.Track{Status: "in_transit", Location: "Leipzig, DE", ScannedAt: start.Add(24 * time.Hour), Tracking: "T1", Note: "night flight"}
	o = order(c.Track(ctx, o.ID, scan, client.Key("scan")))
	if o.State != "shipped" || !o.DeadlineAt.Equal(shipped.DeadlineAt) || !o.At.Equal(start.Add(48*time.Hour)) || o.Held != 10_000 {
		t.Errorf("tracked: %+v", o)
	}
	if again := order(c.Track(ctx, o.ID, scan, client.Key("scan"))); !reflect.DeepEqual(again, o) {
		t.Errorf("repeated: %+v, want %+v", again, o)
	}
	answers := must[[]api.Answer](t)(client.Bulk(ctx, c, []api.TrackItem{
		{Target: api.Target{Order: o.ID}, Track: api.Track{Status: "exception", Act: api.Act{By: "operator"}}},
		{Target: api.Target{Order: o.ID}, Track: api.Track{Status: "exception", Act: api.Act{By: "buyer"}}},
		{Target: api.Target{Order: o.ID}, Track: api.Track{Status: "delivered", Location: "the door"}}}))
	if answers[0].Status != 200 || answers[1].Problem == nil || answers[1].Problem.Rule != "role" || answers[2].Status != 200 || answers[2].Order.State != "delivered" {
		t.Errorf("in bulk: %+v", answers)
	}
	timeline := must[api.Timeline](t)(c.Timeline(ctx, o.ID)).Events
	if e := timeline[3]; e.Event != "track" || e.By != "carrier" || e.LedgerTimestamp != "" ||
		!sameJSON(t, e.Data, `{"status":"in_transit","location":"Leipzig, DE","scanned_at":"2017-01-02T00:00:00Z","tracking":"T1","note":"night flight"}`) {
		t.Errorf("%+v %s", e, e.Data)
	}
	if e := timeline[5]; e.Event != "deliver" || e.By != "carrier" || !sameJSON(t, e.Data, `{"status":"delivered","location":"the door"}`) {
		t.Errorf("%+v %s", e, e.Data)
	}
	shipments := must[[]api.Shipment](t)(c.Shipments(ctx, o.ID))
	if len(shipments) != 1 || len(shipments[0].Scans) != 3 || !reflect.DeepEqual(shipments[0].Scans[0],
		api.ShipmentScan{At: start.Add(24 * time.Hour), Status: "in_transit", Location: "Leipzig, DE", Tracking: "T1", Note: "night flight"}) {
		t.Errorf("the shipment: %+v", shipments)
	}
	for body, pointer := range map[string]string{`{}`: "/status", `{"status":"gone"}`: "/status", `{"status":"customs","scanned_at":"yesterday"}`: "/scanned_at"} {
		if p := s.problem("POST", "/v1/orders/"+o.ID+"/track", body); p.Type != api.ProblemInvalid || p.Errors[0].Pointer != pointer {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/track", `{"status":"delivered"}`); p.Rule != "state" || p.Event != "deliver" {
		t.Errorf("delivered twice: %+v", p)
	}
}

// The statuses that the document lists are those of the rule.
func TestScanStatuses(t *testing.T) {
	scan, _ := reflect.TypeFor[api.ShipmentScan]().FieldByName("Status")
	f, _ := reflect.TypeFor[api.Track]().FieldByName("Status")
	if got, want := scan.Tag.Get("enum"), f.Tag.Get("enum"); got != want {
		t.Errorf("of shipments %s, of scans %s", got, want)
	}
	if got, want := f.Tag.Get("enum"), strings.Join(append(slices.Clone(orders.ScanStatuses), orders.ScanDelivered), ","); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestHolidays: a policy's calendar lengthens the time to confirm, and says so;
// virtual goods have a time of their own.
func TestHolidays(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order := must[api.Order](t)
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.Calendar = api.Calendar{Name: "new-year", Days: []string{"2017-01-01", "2017-01-15", "2017-01-16"}}
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) || p.Version != 2 {
		t.Errorf("added: %+v", p)
	}
	day := 24 * time.Hour
	for _, virtual := range []bool{false, true} {
		o := order(c.CreateOrder(ctx, api.NewOrder{Reference: fmt.Sprint("virtual ", virtual), Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 100, Virtual: virtual}))
		must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{o.ID}, Method: "card"}))
		o = order(c.Ship(ctx, o.ID, api.Ship{}))
		want, holidays := start.Add(18*day), int16(3)
		if virtual {
			want, holidays = start.Add(4*day), 1
		}
		if o.Virtual != virtual || o.Holidays != holidays || !o.DeadlineAt.Equal(want) {
			t.Errorf("virtual %v: %s by %d: %+v", virtual, o.DeadlineAt, o.Holidays, o)
		}
		until := must[api.OrderDetail](t)(c.Order(ctx, o.ID)).Explanation.Until
		if !strings.Contains(until, fmt.Sprintf("lengthened by %d holiday", holidays)) || !strings.HasSuffix(until, "of calendar new-year") {
			t.Errorf("until %s", until)
		}
	}
	body := func(days string) string {
		text, _ := json.Marshal(terms)
		return strings.Replace(string(text), `["2017-01-01","2017-01-15","2017-01-16"]`, days, 1)
	}
	for days, where := range map[string]string{`[]`: "/calendar/days", `["2017-1-1"]`: "/calendar/days/0", `["2017-02-30"]`: "/calendar/days/0", `["2017-02-02","2017-02-01"]`: "/calendar/days/1"} {
		if p := s.problem("POST", "/v1/policies", body(days)); p.Type != api.ProblemInvalid || p.Errors[0].Pointer != where {
			t.Errorf("%s: %+v", days, p)
		}
	}
}

func sameJSON(t *testing.T, a json.RawMessage, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// TestEndings takes orders to the other ends that callers and deadlines bring.
func TestEndings(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order := must[api.Order](t)
	canceled := s.held("canceled", 100)
	if o := order(c.Cancel(ctx, canceled.ID, api.Cancel{Reason: "changed my mind"})); o.State != "canceled" || o.Refunded != 100 {
		t.Errorf("canceled: %+v", o)
	}
	split := s.held("split", 1_000)
	order(c.Ship(ctx, split.ID, api.Ship{}))
	if o := order(c.Dispute(ctx, split.ID, api.Dispute{Reason: "broken"})); o.State != "disputed" || o.Held != 1_000 {
		t.Errorf("disputed: %+v", o)
	}
	if o := order(c.Rule(ctx, split.ID, api.Ruling{ToBuyer: 400, ToSeller: 600})); o.State != "ruled" || o.Released != 600 || o.Refunded != 400 {
		t.Errorf("ruled: %+v", o)
	}
	unpaid, unshipped := s.agreed("unpaid", 5), s.held("unshipped", 7)
	unconfirmed := s.held("unconfirmed", 900)
	order(c.Ship(ctx, unconfirmed.ID, api.Ship{}))

	held := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(365*24*time.Hour), true))
	if held.Fired != 0 || !held.Deadlines.Equal(start) || !held.Now.Equal(start.Add(365*24*time.Hour)) {
		t.Errorf("deadlines held: %+v", held)
	}
	moved := must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(365*24*time.Hour), false))
	// expire, cancel, release and its maturing, and the maturing of the ruling
	if moved.Fired != 5 || !moved.Deadlines.Equal(moved.Now) {
		t.Errorf("deadlines fired: %+v, want 5", moved)
	}
	for id, state := range map[string]string{unpaid.ID: "expired", unshipped.ID: "canceled", unconfirmed.ID: "closed", split.ID: "closed"} {
		if o := must[api.OrderDetail](t)(c.Order(ctx, id)); o.State != state {
			t.Errorf("%s is %s, want %s", o.Reference, o.State, state)
		}
	}
	back := must[api.ClockMoved](t)(c.SetClock(ctx, start, false))
	if !back.Now.Equal(moved.Now) || back.Fired != 0 {
		t.Errorf("a clock moved back: %+v", back)
	}
}

// TestOnePaymentOfSeveral: all or none, and the total has to fit.
func TestOnePaymentOfSeveral(t *testing.T) {
	s := newSetup(t)
	a, b := s.agreed("a", 100), s.agreed("b", 250)
	ids := []string{a.ID, b.ID}
	body, _ := json.Marshal(api.Payment{Orders: ids, Method: "card", Amount: 349})
	if p := s.problem("POST", "/v1/payments", string(body)); p.Rule != "amount" {
		t.Errorf("a wrong total: %+v", p)
	}
	paid := must[api.Paid](t)(s.client.Pay(t.Context(), api.Payment{Orders: ids, Method: "card", Amount: 350}))
	if len(paid.Orders) != 2 || paid.Orders[0].Held != 100 || paid.Orders[1].Held != 250 {
		t.Errorf("paid: %+v", paid)
	}
	third := s.agreed("c", 1)
	body, _ = json.Marshal(api.Payment{Orders: []string{third.ID, a.ID}, Method: "card"})
	if p := s.problem("POST", "/v1/payments", string(body)); p.Rule != "state" || p.State != "held" {
		t.Errorf("paid twice: %+v", p)
	}
	if o := must[api.OrderDetail](t)(s.client.Order(t.Context(), third.ID)); o.State != "agreed" {
		t.Errorf("a part of a refused payment was booked: %+v", o)
	}
}

// TestLists: pages in the order of age, filters, and an empty marketplace.
func TestLists(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	status, _, text := s.send("GET", "/v1/orders", "")
	if status != 200 || text != `{"orders":[]}`+"\n" {
		t.Errorf("no orders: %d %s", status, text)
	}
	var want []string
	for _, ref := range []string{"1", "2", "3", "4", "5"} {
		want = append(want, s.agreed(ref, 10).ID)
	}
	must[api.Order](t)(c.Cancel(ctx, want[2], api.Cancel{}))
	var got []string
	for cursor := ""; ; {
		page := must[api.Orders](t)(c.Orders(ctx, clientFilter("", "", cursor, 2)))
		for _, o := range page.Orders {
			got = append(got, o.ID)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pages gave %v, want %v", got, want)
	}
	if page := must[api.Orders](t)(c.Orders(ctx, clientFilter("canceled", "", "", 0))); len(page.Orders) != 1 || page.Orders[0].ID != want[2] {
		t.Errorf("canceled ones: %+v", page)
	}
	if page := must[api.Orders](t)(c.Orders(ctx, clientFilter("", "4", "", 0))); len(page.Orders) != 1 || page.Orders[0].ID != want[3] {
		t.Errorf("by reference: %+v", page)
	}
	for _, f := range [][2]string{{"", "none"}, {"held", "4"}} {
		if page := must[api.Orders](t)(c.Orders(ctx, clientFilter(f[0], f[1], "", 0))); len(page.Orders) != 0 {
			t.Errorf("%v: %+v, want none", f, page)
		}
	}
}

// TestPolicies: a new version counts for new orders, an unchanged one is none.
func TestPolicies(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	before := s.agreed("before", 1_000)
	policies := must[[]api.Policy](t)(c.Policies(ctx))
	if len(policies) != 1 || policies[0].Name != "standard" || policies[0].Version != 1 {
		t.Fatalf("policies: %+v", policies)
	}
	terms := policies[0].PolicyTerms
	add := must[api.Policy](t)
	if p := add(c.AddPolicy(ctx, terms)); p.Version != 1 {
		t.Errorf("an unchanged policy became version %d", p.Version)
	}
	terms.Fees = map[string]api.Fee{"USD": {Bps: 1000, Fixed: 50, Cap: 10_000}}
	if p := add(c.AddPolicy(ctx, terms)); p.Version != 2 || !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("version 2: %+v", p)
	}
	after := s.agreed("after", 1_000)
	old := must[api.OrderDetail](t)(c.Order(ctx, before.ID))
	if after.Fee != 150 || after.PolicyVersion != 2 || old.Fee != 50 || old.PolicyVersion != 1 {
		t.Errorf("fees %d (version %d) and %d (version %d)", old.Fee, old.PolicyVersion, after.Fee, after.PolicyVersion)
	}
	who := must[api.Whoami](t)(c.Whoami(ctx))
	if who.Name != "acme" || who.Marketplace != s.market.ID || who.Clock != "test" {
		t.Errorf("whoami: %+v", who)
	}
}

// TestPolicyToCome: a version that waits for its time is listed and not used
// before, by the marketplace's own clock.
func TestPolicyToCome(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.Fees, terms.Effective = map[string]api.Fee{"*": {Bps: 1000}}, start.Add(24*time.Hour)
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); p.Version != 2 || p.InForce || !p.Effective.Equal(terms.Effective) {
		t.Errorf("added: %+v", p)
	}
	states := func() (words []string) {
		for _, p := range must[[]api.Policy](t)(c.Policies(ctx)) {
			words = append(words, fmt.Sprintf("%d %v", p.Version, p.InForce))
		}
		return words
	}
	if got := states(); !slices.Equal(got, []string{"1 true", "2 false"}) {
		t.Errorf("before: %v", got)
	}
	if o := s.agreed("before", 1_000); o.Fee != 50 || o.PolicyVersion != 1 {
		t.Errorf("before: fee %d, version %d", o.Fee, o.PolicyVersion)
	}
	ask := api.NewQuote{Currency: "USD", Amount: 1_000, At: terms.Effective}
	if q := must[api.Quote](t)(c.Quote(ctx, ask)); q.Fee != 100 || q.PolicyVersion != 2 {
		t.Errorf("a quote for then: %+v", q)
	}
	must[api.ClockMoved](t)(c.SetClock(ctx, terms.Effective, false))
	if got := states(); !slices.Equal(got, []string{"2 true"}) {
		t.Errorf("after: %v", got)
	}
	if o := s.agreed("after", 1_000); o.Fee != 100 || o.PolicyVersion != 2 {
		t.Errorf("after: fee %d, version %d", o.Fee, o.PolicyVersion)
	}
}

// TestQuote: what is quoted is what the order comes to, to the cent, and
// nothing is stored.
func TestQuote(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.Fees = map[string]api.Fee{"USD": {Bps: 450, Fixed: 30, TaxBps: 1900}}
	must[api.Policy](t)(c.AddPolicy(ctx, terms))

	q := must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 12_990}))
	steps := q.Steps
	if len(q.Methods) != 5 || q.Methods[4].Method != "voucher" || q.Methods[4].Cost != q.Cost {
		t.Errorf("by method: %+v", q.Methods)
	}
	q.Steps, q.Methods = nil, nil
	want := api.Quote{Currency: "USD", Amount: 12_990, Policy: "standard", PolicyVersion: 2,
		Cost: api.Cost{BuyerPays: 12_990, Fee: 615, Tax: 117, SellerGets: 12_258}}
	if !reflect.DeepEqual(q, want) {
		t.Errorf("got %+v, want %+v", q, want)
	}
	first := api.Step{State: "agreed", Deadline: "pay_by", Within: 5 * 86_400, Until: "pay_by: 5 days from the agreement", Actors: []string{"buyer"},
		Next: "The buyer pays; until then anyone may cancel.", Otherwise: "The order expires; no money has moved."}
	if len(steps) != 10 || !reflect.DeepEqual(steps[0], first) || steps[7].Next != "Nobody has to act." {
		t.Errorf("steps: %+v", steps)
	}
	inParts := must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 12_990, Parts: []api.NewPart{{Name: "a", Bps: 5_000}, {Name: "b"}}}))
	if inParts.Cost != q.Cost || len(inParts.Steps) != 11 || inParts.Steps[3].State != "part_shipped" || !strings.HasPrefix(inParts.Steps[3].Until, "confirm_part_by of each part") {
		t.Errorf("in parts: %+v", inParts)
	}
	virtual := must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 12_990, Virtual: true}))
	if virtual.Steps[4].Until != "confirm_by: 3 days from the shipment" {
		t.Errorf("virtual: %+v", virtual.Steps[4])
	}
	if p := s.problem("POST", "/v1/quotes", `{"currency":"USD","amount":100,"parts":[{"name":"a","amount":60},{"name":"b","amount":50}]}`); p.Rule != "amount" {
		t.Errorf("parts that are more than the whole: %+v", p)
	}
	if page := must[api.Orders](t)(c.Orders(ctx, clientFilter("", "", "", 0))); len(page.Orders) != 0 {
		t.Errorf("a quote left %+v", page.Orders)
	}

	o := s.held("real", 12_990)
	must[api.Order](t)(c.Ship(ctx, o.ID, api.Ship{}))
	o = must[api.Order](t)(c.Confirm(ctx, o.ID, api.Confirm{}))
	if o.FeeCharged != want.Fee || o.TaxCharged != want.Tax || o.Maturing != want.SellerGets {
		t.Errorf("the order came to %+v", o)
	}
}

// TestFeeRules: fees by method, tier and jurisdiction, from the policy over the
// quote to the order, and who bears them.
func TestFeeRules(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	order := must[api.Order](t)
	terms := must[[]api.Policy](t)(c.Policies(ctx))[0].PolicyTerms
	terms.Methods = []string{"card", "wallet", "voucher"}
	terms.Fees = map[string]api.Fee{"*": {Bps: 1_000}}
	terms.FeeRules = []api.FeeRule{
		{Method: "wallet", Tier: "gold", Currency: "USD", Fee: api.Fee{Bps: 100, Fixed: 50}, BorneBy: "split", BuyerBps: 5_000},
		{Method: "wallet", Fee: api.Fee{Bps: 400}, BorneBy: "buyer"},
		{Tier: "gold", Fee: api.Fee{Bps: 200}},
	}
	terms.Taxes = map[string]int64{"DE": 1_900}
	if p := must[api.Policy](t)(c.AddPolicy(ctx, terms)); !reflect.DeepEqual(p.PolicyTerms, terms) {
		t.Errorf("added %+v", p)
	}

	seller := api.SellerTerms{SellerTier: "gold", Jurisdiction: "DE"}
	q := must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 10_000, SellerTerms: seller}))
	gold := api.Cost{BuyerPays: 10_000, Fee: 200, Tax: 38, SellerGets: 9_762}
	wallet := api.Cost{BuyerPays: 10_089, BuyerShare: 89, Fee: 150, Tax: 28, SellerGets: 9_911} // 28.5 is rounded to even, half of 178 is the buyer's
	if want := []api.MethodCost{{Method: "card", Cost: gold}, {Method: "wallet", Cost: wallet}, {Method: "voucher", Cost: gold}}; q.Cost != gold || !reflect.DeepEqual(q.Methods, want) {
		t.Errorf("quoted %+v by %+v", q.Cost, q.Methods)
	}

	agreed := order(c.CreateOrder(ctx, api.NewOrder{Reference: "gold", Buyer: "b", Seller: "s", Currency: "USD", Amount: 10_000, SellerTerms: seller}))
	if agreed.Fee != 200 || agreed.Tax != 38 || agreed.BuyerShare != 0 || agreed.SellerTerms != seller || agreed.Method != "" {
		t.Errorf("agreed: %+v", agreed)
	}
	pay := api.Payment{Orders: []string{agreed.ID}, Method: "wallet", Amount: 10_000}
	if _, err := c.Pay(ctx, pay); err == nil || !strings.Contains(err.Error(), "with the buyer's share of the fee 10089") {
		t.Errorf("paid without the share: %v", err)
	}
	pay.Amount = wallet.BuyerPays
	paid := must[api.Paid](t)(c.Pay(ctx, pay)).Orders[0]
	if paid.Amount != 10_000 || paid.BuyerShare != 89 || paid.Held != 10_089 || paid.Fee != 150 || paid.Tax != 28 || paid.Method != "wallet" || paid.AgreedAmount != 0 {
		t.Errorf("paid: %+v", paid)
	}
	if d := must[api.OrderDetail](t)(c.Order(ctx, paid.ID)); d.Explanation.Why !=
		"USD 100.89 is held: the buyer has paid and the seller has not shipped. The goods come to USD 100.00; the buyer's share of the fee, USD 0.89, is on top." {
		t.Errorf("why: %s", d.Explanation.Why)
	}
	must[api.Order](t)(c.Ship(ctx, paid.ID, api.Ship{}))
	done := order(c.Confirm(ctx, paid.ID, api.Confirm{}))
	if done.FeeCharged != wallet.Fee || done.TaxCharged != wallet.Tax || done.Maturing != wallet.SellerGets || done.Held != 0 {
		t.Errorf("released: %+v", done)
	}
	if p := s.problem("POST", "/v1/orders", `{"reference":"fr","buyer":"b","seller":"s","currency":"USD","amount":1,"jurisdiction":"FR"}`); p.Type != api.ProblemInvalid ||
		p.Errors[0].Pointer != "/jurisdiction" || p.Errors[0].Detail != "policy standard has no tax for FR" {
		t.Errorf("a jurisdiction without tax: %+v", p)
	}
}
