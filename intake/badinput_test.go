package intake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
)

// TestBadOrders: each is refused with its kind and its place, and none leaves
// an order behind. The marker stands for what must not come back in an error.
func TestBadOrders(t *testing.T) {
	s := newSetup(t)
	order := func(replace ...string) string {
		return strings.NewReplacer(replace...).Replace(
			`{"reference":"ref","buyer":"ann","seller":"bob","currency":"USD","amount":100}`)
	}
	const marker = "MARKER"
	long := strings.Repeat("é", 201)
	for _, c := range []struct{ name, body, typ, pointer string }{
		{"unknown currency", order("USD", "XYZ"), api.ProblemInvalid, "/currency"},
		{"lower-case currency", order("USD", "usd"), api.ProblemInvalid, "/currency"},
		{"withdrawn currency", order("USD", "LTL"), api.ProblemInvalid, "/currency"},
		{"gold has no minor unit", order("USD", "XAU"), api.ProblemInvalid, "/currency"},
		{"no currency code", order("USD", "MARKER"), api.ProblemInvalid, "/currency"},
		{"amount zero", order("100", "0"), api.ProblemInvalid, "/amount"},
		{"amount negative", order("100", "-100"), api.ProblemInvalid, "/amount"},
		{"amount 2^53", order("100", "9007199254740992"), api.ProblemInvalid, "/amount"},
		{"amount beyond 64 bits", order("100", "99999999999999999999"), api.ProblemInvalid, "/amount"},
		{"amount with decimals", order("100", "100.50"), api.ProblemInvalid, "/amount"},
		{"amount 1.0", order("100", "1.0"), api.ProblemInvalid, "/amount"},
		{"amount 1e3", order("100", "1e3"), api.ProblemInvalid, "/amount"},
		{"amount in quotes", order("100", `"100"`), api.ProblemInvalid, "/amount"},
		{"amount null", order("100", "null"), api.ProblemInvalid, "/amount"},
		{"duplicate key", order(`"amount":100`, `"amount":100,"amount":1`), api.ProblemMalformed, "/amount"},
		{"unknown key", order(`"amount"`, `"MARKER":1,"amount"`), api.ProblemInvalid, "/MARKER"},
		{"wrong case", order(`"amount"`, `"Amount"`), api.ProblemInvalid, "/Amount"},
		{"duplicate key in goods", order(`}`, `,"goods":{"a":{"b":1,"b":2}}}`), api.ProblemMalformed, "/goods/a/b"},
		{"goods no object", order(`}`, `,"goods":"MARKER"}`), api.ProblemInvalid, "/goods"},
		{"goods too large", order(`}`, `,"goods":{"x":"`+strings.Repeat("x", 17_000)+`"}}`), api.ProblemInvalid, "/goods"},
		{"goods with a number no database holds", order(`}`, `,"goods":{"x":1e99999}}`), api.ProblemMalformed, "/goods/x"},
		{"goods too deep", order(`}`, `,"goods":{"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}}`), api.ProblemMalformed, ""},
		{"NUL", order("ann", `a\u0000MARKER`), api.ProblemMalformed, "/buyer"},
		{"NUL in goods", order(`}`, `,"goods":{"x":"\u0000"}}`), api.ProblemMalformed, "/goods/x"},
		{"invalid UTF-8", order("ann", "a\xff"), api.ProblemMalformed, "/buyer"},
		{"unpaired surrogate", order("ann", `\ud800`), api.ProblemMalformed, "/buyer"},
		{"control character", order("ann", `a\nMARKER`), api.ProblemInvalid, "/buyer"},
		{"empty reference", order("ref", ""), api.ProblemInvalid, "/reference"},
		{"long reference", order("ref", long), api.ProblemInvalid, "/reference"},
		{"long seller", order("bob", long), api.ProblemInvalid, "/seller"},
		{"reference long in bytes", order("ref", strings.Repeat("é", 150)), api.ProblemInvalid, "/reference"},
		{"buyer is seller", order("bob", "ann"), api.ProblemInvalid, "/seller"},
		{"no such policy", order(`}`, `,"policy":"other"}`), api.ProblemInvalid, "/policy"},
		{"policy no word", order(`}`, `,"policy":"MARKER!"}`), api.ProblemInvalid, "/policy"},
		{"role of no caller", order(`}`, `,"by":"system"}`), api.ProblemInvalid, "/by"},
		{"time without zone", order(`}`, `,"at":"2016-12-31T00:00:00"}`), api.ProblemInvalid, "/at"},
		{"time in nanoseconds", order(`}`, `,"at":"2016-12-31T00:00:00.000000001Z"}`), api.ProblemInvalid, "/at"},
		{"time before 1971", order(`}`, `,"ship_by":"1970-12-31T00:00:00Z"}`), api.ProblemInvalid, "/ship_by"},
		{"time of other digits", order(`}`, `,"at":"MARKER"}`), api.ProblemInvalid, "/at"},
		{"missing field", order(`"buyer":"ann",`, ""), api.ProblemInvalid, "/buyer"},
		{"array", "[]", api.ProblemInvalid, ""},
		{"nothing", "", api.ProblemInvalid, "/reference"},
		{"half", `{"reference":`, api.ProblemMalformed, "/reference"},
		{"trailing data", order() + "MARKER", api.ProblemMalformed, ""},
		{"two bodies", order() + order(), api.ProblemMalformed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			p := s.problem("POST", "/v1/orders", c.body)
			if p.Type != c.typ || p.Status != 400 {
				t.Fatalf("got %+v, want %s", p, c.typ)
			}
			if c.pointer != "" && !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Pointer == c.pointer && e.In == "body" }) {
				t.Errorf("got %+v, want the pointer %s", p.Errors, c.pointer)
			}
			for _, e := range p.Errors {
				if strings.Contains(e.Detail, marker) || strings.Contains(p.Detail, marker) {
					t.Errorf("a value came back: %+v", p)
				}
			}
		})
	}
	if page := must[api.Orders](t)(s.client.Orders(t.Context(), clientFilter("", "", "", 0))); len(page.Orders) != 0 {
		t.Errorf("bad requests left orders: %+v", page.Orders)
	}
}

// in is s for a subtest.
func (s *setup) in(t *testing.T) *setup {
	sub := *s
	sub.t = t
	return &sub
}

// TestRefusals: what the state, the clock and the money do not admit, each
// with the rule, the state and what is allowed instead.
func TestRefusals(t *testing.T) {
	s := newSetup(t)
	agreed, held := s.agreed("agreed", 100), s.held("held", 100)
	shipped := s.held("shipped", 100)
	must[api.Order](t)(s.client.Ship(t.Context(), shipped.ID, api.Ship{}))
	disputed := s.held("disputed", 100)
	must[api.Order](t)(s.client.Ship(t.Context(), disputed.ID, api.Ship{}))
	must[api.Order](t)(s.client.Dispute(t.Context(), disputed.ID, api.Dispute{Reason: "broken"}))
	captured, authorised := s.agreed("captured", 100), s.agreed("authorised", 100)
	for _, o := range []api.Order{captured, authorised} {
		must[api.Order](t)(s.client.Authorise(t.Context(), o.ID, api.Authorise{Method: "card"}))
	}
	must[api.Order](t)(s.client.Capture(t.Context(), captured.ID, api.Capture{}))
	released := s.released("released", 100)
	takenBack := s.released("taken back", 100)
	must[api.Order](t)(s.client.Chargeback(t.Context(), takenBack.ID, api.Chargeback{Amount: 60, Reason: "10.4"}))
	future := start.Add(time.Microsecond).Format(time.RFC3339Nano)
	pay := func(id, more string) string { return `{"orders":["` + id + `"],"method":"card"` + more + `}` }
	for _, c := range []struct{ name, path, body, typ, rule, state string }{
		{"authorise by a method not in the policy", "/v1/orders/" + agreed.ID + "/authorise", `{"method":"cash"}`, api.ProblemRefused, "method", "agreed"},
		{"authorise less", "/v1/orders/" + agreed.ID + "/authorise", `{"method":"card","amount":99}`, api.ProblemRefused, "amount", "agreed"},
		{"authorise twice", "/v1/orders/" + authorised.ID + "/authorise", `{"method":"card"}`, api.ProblemRefused, "state", "authorised"},
		{"authorise by no method", "/v1/orders/" + agreed.ID + "/authorise", `{}`, api.ProblemInvalid, "", ""},
		{"capture the unauthorised", "/v1/orders/" + agreed.ID + "/capture", `{}`, api.ProblemRefused, "state", "agreed"},
		{"capture twice", "/v1/orders/" + captured.ID + "/capture", `{}`, api.ProblemRefused, "state", "held"},
		{"capture above the authorisation", "/v1/orders/" + authorised.ID + "/capture", `{"amount":101,"by":"operator"}`, api.ProblemRefused, "amount", "authorised"},
		{"capture a part without the operator's word", "/v1/orders/" + authorised.ID + "/capture", `{"amount":99}`, api.ProblemRefused, "role", "authorised"},
		{"capture nothing", "/v1/orders/" + authorised.ID + "/capture", `{"amount":0}`, api.ProblemInvalid, "", ""},
		{"capture by the seller", "/v1/orders/" + authorised.ID + "/capture", `{"by":"seller"}`, api.ProblemRefused, "role", "authorised"},
		{"void after capture", "/v1/orders/" + captured.ID + "/void", `{}`, api.ProblemRefused, "state", "held"},
		{"ship the authorised", "/v1/orders/" + authorised.ID + "/ship", `{}`, api.ProblemRefused, "state", "authorised"},
		{"pay the authorised", "/v1/payments", pay(authorised.ID, ""), api.ProblemRefused, "state", "authorised"},
		{"refund what is not released", "/v1/orders/" + held.ID + "/refund-released", `{"reason":"x"}`, api.ProblemRefused, "state", "held"},
		{"refund more than was released", "/v1/orders/" + released.ID + "/refund-released", `{"amount":101,"reason":"x"}`, api.ProblemRefused, "amount", "released"},
		{"refund the released without a reason", "/v1/orders/" + released.ID + "/refund-released", `{}`, api.ProblemInvalid, "", ""},
		{"refund the released by the buyer", "/v1/orders/" + released.ID + "/refund-released", `{"reason":"x","by":"buyer"}`, api.ProblemRefused, "role", "released"},
		{"refund the released as if it was held", "/v1/orders/" + released.ID + "/refund", `{}`, api.ProblemRefused, "state", "released"},
		{"charge the unpaid back", "/v1/orders/" + agreed.ID + "/chargeback", `{"reason":"x"}`, api.ProblemRefused, "state", "agreed"},
		{"charge more back than was paid", "/v1/orders/" + held.ID + "/chargeback", `{"amount":101,"reason":"x"}`, api.ProblemRefused, "amount", "held"},
		{"charge back without a reason", "/v1/orders/" + held.ID + "/chargeback", `{}`, api.ProblemInvalid, "", ""},
		{"charge back by the buyer", "/v1/orders/" + held.ID + "/chargeback", `{"reason":"x","by":"buyer"}`, api.ProblemRefused, "role", "held"},
		{"charge back twice", "/v1/orders/" + takenBack.ID + "/chargeback", `{"reason":"x"}`, api.ProblemRefused, "state", "charged_back"},
		{"a second chargeback before the first", "/v1/orders/" + held.ID + "/second-chargeback", `{"reason":"x"}`, api.ProblemRefused, "chargeback", "held"},
		{"win no chargeback", "/v1/orders/" + held.ID + "/win-chargeback", `{}`, api.ProblemRefused, "state", "held"},
		{"lose by the seller", "/v1/orders/" + takenBack.ID + "/lose-chargeback", `{"by":"seller"}`, api.ProblemRefused, "role", "charged_back"},
		{"refund while charged back", "/v1/orders/" + takenBack.ID + "/refund-released", `{"reason":"x"}`, api.ProblemRefused, "state", "charged_back"},
		{"ship the unpaid", "/v1/orders/" + agreed.ID + "/ship", "{}", api.ProblemRefused, "state", "agreed"},
		{"cancel the shipped", "/v1/orders/" + shipped.ID + "/cancel", "{}", api.ProblemRefused, "state", "shipped"},
		{"another's word", "/v1/orders/" + shipped.ID + "/confirm", `{"by":"seller"}`, api.ProblemRefused, "role", "shipped"},
		{"in the future", "/v1/orders/" + held.ID + "/ship", `{"at":"` + future + `"}`, api.ProblemRefused, "future", "held"},
		{"before the last event", "/v1/orders/" + held.ID + "/ship", `{"at":"2016-12-31T00:00:00Z"}`, api.ProblemRefused, "order-of-time", "held"},
		{"refund too much", "/v1/orders/" + held.ID + "/refund", `{"amount":101}`, api.ProblemRefused, "amount", "held"},
		{"ruling does not sum", "/v1/orders/" + disputed.ID + "/ruling", `{"to_buyer":50,"to_seller":51}`, api.ProblemRefused, "amount", "disputed"},
		{"extend too far", "/v1/orders/" + shipped.ID + "/extend", `{"until":"2018-01-01T00:00:00Z"}`, api.ProblemRefused, "extension", "shipped"},
		{"wrong payment", "/v1/payments", pay(agreed.ID, `,"amount":99`), api.ProblemRefused, "amount", "agreed"},
		{"method not in the policy", "/v1/payments", strings.Replace(pay(agreed.ID, ""), "card", "cash", 1), api.ProblemRefused, "method", "agreed"},
		{"paid twice", "/v1/payments", pay(held.ID, ""), api.ProblemRefused, "state", "held"},
		{"an order twice in a payment", "/v1/payments", `{"orders":["` + agreed.ID + `","` + agreed.ID + `"],"method":"card"}`, api.ProblemInvalid, "", ""},
		{"a reference twice", "/v1/orders", `{"reference":"held","buyer":"b","seller":"s","currency":"USD","amount":1}`, api.ProblemReference, "", ""},
		{"no reason", "/v1/orders/" + shipped.ID + "/dispute", `{"reason":""}`, api.ProblemInvalid, "", ""},
		{"long reason", "/v1/orders/" + shipped.ID + "/dispute", `{"reason":"` + strings.Repeat("x", 2001) + `"}`, api.ProblemInvalid, "", ""},
		{"no ruling", "/v1/orders/" + disputed.ID + "/ruling", `{"to_buyer":100}`, api.ProblemInvalid, "", ""},
		{"no such order", "/v1/orders/00000000-0000-7000-8000-000000000001/ship", `{}`, api.ProblemNotFound, "", ""},
		{"no id", "/v1/orders/one/ship", `{}`, api.ProblemNotFound, "", ""},
		{"payment of no order", "/v1/payments", pay("00000000-0000-7000-8000-000000000001", ""), api.ProblemNotFound, "", ""},
		{"payment of no id", "/v1/payments", pay("one", ""), api.ProblemInvalid, "", ""},
		{"a policy of nothing", "/v1/policies", `{"name":"x"}`, api.ProblemInvalid, "", ""},
		{"a fee in no currency", "/v1/policies", policyJSON("XYZ"), api.ProblemInvalid, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.in(t).problem("POST", c.path, c.body)
			if p.Type != c.typ || p.Rule != c.rule || p.State != c.state {
				t.Fatalf("got %+v, want %s by rule %q in state %q", p, c.typ, c.rule, c.state)
			}
			if (c.typ == api.ProblemRefused) != (len(p.Allowed) > 0) {
				t.Errorf("allowed: %+v", p.Allowed)
			}
		})
	}
	for id, events := range map[string]int{agreed.ID: 1, authorised.ID: 2, captured.ID: 3, held.ID: 2, shipped.ID: 3, disputed.ID: 4, released.ID: 4, takenBack.ID: 5} {
		if n := len(must[api.Timeline](t)(s.client.Timeline(t.Context(), id)).Events); n != events {
			t.Errorf("order %s has %d events after refusals, want %d", id, n, events)
		}
	}
}

// TestBadQuotes: a quote is refused for what the order would be refused for.
func TestBadQuotes(t *testing.T) {
	s := newSetup(t)
	for _, c := range []struct{ name, body, typ, pointer, detail string }{
		{"nothing", `{}`, api.ProblemInvalid, "/currency", "is required"},
		{"no body", ``, api.ProblemInvalid, "/amount", "is required"},
		{"unknown key", `{"currency":"USD","amount":1,"buyer":"ann"}`, api.ProblemInvalid, "/buyer", "unknown field"},
		{"duplicate key", `{"currency":"USD","amount":1,"amount":2}`, api.ProblemMalformed, "/amount", "duplicate key (at byte 37)"},
		{"amount with decimals", `{"currency":"USD","amount":1.0}`, api.ProblemInvalid, "/amount", "must be an integer, written without point or exponent"},
		{"amount zero", `{"currency":"USD","amount":0}`, api.ProblemInvalid, "/amount", "must be from 1 to 9007199254740991"},
		{"unknown currency", `{"currency":"XYZ","amount":1}`, api.ProblemInvalid, "/currency", "not an ISO 4217 currency"},
		{"withdrawn currency", `{"currency":"LTL","amount":1}`, api.ProblemInvalid, "/currency", "LTL was withdrawn on 2015-01-01: EUR took its place"},
		{"unknown policy", `{"currency":"USD","amount":1,"policy":"other"}`, api.ProblemInvalid, "/policy", "the marketplace has no such policy"},
		{"a tier that is none", `{"currency":"USD","amount":1,"seller_tier":"Gold"}`, api.ProblemInvalid, "/seller_tier", "must match ^[a-z][a-z0-9_-]{0,31}$"},
		{"a jurisdiction that is none", `{"currency":"USD","amount":1,"jurisdiction":"Germany"}`, api.ProblemInvalid, "/jurisdiction", "must match ^[A-Z]{2}(-[A-Z0-9]{1,3})?$"},
		{"time without zone", `{"currency":"USD","amount":1,"at":"2017-01-01"}`, api.ProblemInvalid, "/at",
			"must be a time by RFC 3339 with a zone, like 2017-05-16T09:30:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.in(t).problem("POST", "/v1/quotes", c.body)
			if p.Type != c.typ || !slices.Contains(p.Errors, api.FieldError{In: "body", Pointer: c.pointer, Detail: c.detail}) {
				t.Errorf("got %+v, want %s at %s: %s", p, c.typ, c.pointer, c.detail)
			}
		})
	}
	if p := s.problem("POST", "/v1/quotes", `{}`, "Authorization", "Bearer esk_none"); p.Type != api.ProblemUnauthorized {
		t.Errorf("without a key: %+v", p)
	}
}

// TestBadPolicies: what the policy's rules find wrong is said at its field.
func TestBadPolicies(t *testing.T) {
	s := newSetup(t)
	for _, c := range []struct{ name, old, new, pointer, detail string }{
		{"no such currency", `"USD"`, `"XYZ"`, "/fees/XYZ", `not an ISO 4217 currency, nor "*"`},
		{"a currency with a slash", `"USD"`, `"a/b"`, "/fees/a~1b", `not an ISO 4217 currency, nor "*"`},
		{"min above cap", `"bps":1`, `"bps":1,"min":2,"cap":1`, "/fees/USD/min", "is above cap"},
		{"a rule that never applies", `"fees"`, `"fee_rules":[{"tier":"new","bps":1},{"tier":"new","currency":"USD","bps":2}],"fees"`, "/fee_rules/1",
			"never applies: fee_rules[0] fits the same orders and comes first"},
		{"a rule's method that it does not take", `"fees"`, `"fee_rules":[{"method":"gold","bps":1}],"fees"`, "/fee_rules/0/method", "not one of the policy's methods"},
		{"a rule without its rate", `"fees"`, `"fee_rules":[{"tier":"new"}],"fees"`, "/fee_rules/0/bps", "is required"},
		{"a split without parts", `"fees"`, `"fee_rules":[{"tier":"new","bps":1,"borne_by":"split"}],"fees"`, "/fee_rules/0/buyer_bps",
			"must be from 1 to 9999 basis points where borne_by is split"},
		{"a bearer of nowhere", `"fees"`, `"fee_rules":[{"tier":"new","bps":1,"borne_by":"me"}],"fees"`, "/fee_rules/0/borne_by", "must be one of seller, buyer, split"},
		{"tax of nowhere", `"fees"`, `"taxes":{"Germany":1900},"fees"`, "/taxes/Germany", `not a jurisdiction like DE or US-CA, nor "*"`},
		{"tax with decimals", `"fees"`, `"taxes":{"DE":19.0},"fees"`, "/taxes/DE", "must be an integer, written without point or exponent"},
		{"a method twice", `["card"]`, `["card","card"]`, "/methods/1", "named twice"},
		{"no extension", `"extend_times":0`, `"extend_times":1`, "/extend_by", "must be positive where extend_times is"},
		{"a day alone", `"name":"p"`, `"name":"p","effective":"2026-12-01"`, "/effective", "must be a time by RFC 3339 with a zone, like 2017-05-16T09:30:00Z"},
		{"a version", `"name":"p"`, `"name":"p","version":1`, "/version", "unknown field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := strings.Replace(policyJSON("USD"), c.old, c.new, 1)
			p := s.in(t).problem("POST", "/v1/policies", body)
			if p.Type != api.ProblemInvalid || !slices.Contains(p.Errors, api.FieldError{In: "body", Pointer: c.pointer, Detail: c.detail}) {
				t.Errorf("got %+v, want %s: %s", p, c.pointer, c.detail)
			}
		})
	}
}

func policyJSON(currency string) string {
	return `{"name":"p","pay_within":1,"ship_within":1,"confirm_after_delivery":1,"confirm_after_shipment":1,"extend_times":0,
		"extend_by":0,"rule_within":1,"mature_after":0,"methods":["card"],"fees":{"` + currency + `":{"bps":1}}}`
}

// TestOtherMarketplace: another's orders are not there, whatever is asked.
func TestOtherMarketplace(t *testing.T) {
	s := newSetup(t)
	mine := s.held("mine", 100)
	other := *s
	_, other.key = s.marketplace("other", "live")
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/orders/" + mine.ID, ""},
		{"GET", "/v1/orders/" + mine.ID + "/timeline", ""},
		{"POST", "/v1/orders/" + mine.ID + "/ship", "{}"},
		{"POST", "/v1/orders/" + mine.ID + "/refund", "{}"},
		{"POST", "/v1/payments", `{"orders":["` + mine.ID + `"],"method":"card"}`},
	} {
		if p := other.problem(c.method, c.path, c.body); p.Type != api.ProblemNotFound || p.Detail != "" {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
	}
	_, _, text := other.send("POST", "/v1/bulk/ship", `{"items":[{"order":"`+mine.ID+`"}]}`)
	if !strings.Contains(text, `"status":404`) {
		t.Errorf("bulk: %s", text)
	}
	for _, path := range []string{"/v1/orders", "/v1/orders?reference=mine"} {
		if _, _, text := other.send("GET", path, ""); text != `{"orders":[]}`+"\n" {
			t.Errorf("%s: %s", path, text)
		}
	}
	if _, _, text := other.send("GET", "/v1/events", ""); text != `{"events":[],"next":0}`+"\n" {
		t.Errorf("the feed: %s", text)
	}
	if p := other.problem("POST", "/v1/clock", `{"to":"2020-01-01T00:00:00Z"}`); p.Type != api.ProblemLiveClock {
		t.Errorf("a live clock was set: %+v", p)
	}
}

// TestBadRequests: what is wrong beside the body.
func TestBadRequests(t *testing.T) {
	s := newSetup(t)
	key := s.key
	const order = `{"reference":"r","buyer":"b","seller":"s","currency":"USD","amount":1}`
	for _, c := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		typ                      string
	}{
		{"no key", "GET", "/v1/whoami", "", []string{"Authorization", ""}, 401, api.ProblemUnauthorized},
		{"no scheme", "GET", "/v1/whoami", "", []string{"Authorization", key}, 401, api.ProblemUnauthorized},
		{"another scheme", "GET", "/v1/whoami", "", []string{"Authorization", "Basic " + key}, 401, api.ProblemUnauthorized},
		{"a wrong key", "GET", "/v1/whoami", "", []string{"Authorization", "Bearer " + key[:len(key)-1] + "!"}, 401, api.ProblemUnauthorized},
		{"an empty key", "GET", "/v1/whoami", "", []string{"Authorization", "Bearer "}, 401, api.ProblemUnauthorized},
		{"no such path", "GET", "/v1/nothing", "", nil, 404, api.ProblemNotFound},
		{"no such page", "GET", "/docs", "", nil, 404, api.ProblemNotFound},
		{"another method", "DELETE", "/v1/orders", "", nil, 405, api.ProblemMethod},
		{"no content type", "POST", "/v1/orders", order, []string{"Content-Type", ""}, 415, api.ProblemMediaType},
		{"a form", "POST", "/v1/orders", order, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, api.ProblemMediaType},
		{"Latin-1", "POST", "/v1/orders", order, []string{"Content-Type", "application/json; charset=latin1"}, 415, api.ProblemMediaType},
		{"gzip", "POST", "/v1/orders", order, []string{"Content-Encoding", "gzip"}, 415, api.ProblemMediaType},
		{"a large body", "POST", "/v1/orders", order + strings.Repeat(" ", bodyMax), nil, 413, api.ProblemTooLarge},
		{"a large bulk body", "POST", "/v1/bulk/ship", strings.Repeat(" ", bulkMax+1), nil, 413, api.ProblemTooLarge},
		{"a key with a space", "POST", "/v1/orders", order, []string{"Idempotency-Key", "a b"}, 400, api.ProblemInvalid},
		{"a key beyond ASCII", "POST", "/v1/orders", order, []string{"Idempotency-Key", "é"}, 400, api.ProblemInvalid},
		{"a long key", "POST", "/v1/orders", order, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, api.ProblemInvalid},
		{"unknown parameter", "GET", "/v1/orders?page=2", "", nil, 400, api.ProblemInvalid},
		{"parameter twice", "GET", "/v1/orders?limit=1&limit=2", "", nil, 400, api.ProblemInvalid},
		{"limit 0", "GET", "/v1/orders?limit=0", "", nil, 400, api.ProblemInvalid},
		{"limit 1001", "GET", "/v1/orders?limit=1001", "", nil, 400, api.ProblemInvalid},
		{"limit of words", "GET", "/v1/orders?limit=ten", "", nil, 400, api.ProblemInvalid},
		{"no such state", "GET", "/v1/orders?state=lost", "", nil, 400, api.ProblemInvalid},
		{"bad cursor", "GET", "/v1/orders?cursor=1", "", nil, 400, api.ProblemInvalid},
		{"NUL in the query", "GET", "/v1/orders?reference=%00", "", nil, 400, api.ProblemInvalid},
		{"bad UTF-8 in the query", "GET", "/v1/orders?reference=%ff", "", nil, 400, api.ProblemInvalid},
		{"bad escape in the query", "GET", "/v1/orders?reference=%zz", "", nil, 400, api.ProblemInvalid},
		{"position below 0", "GET", "/v1/events?after=-1", "", nil, 400, api.ProblemInvalid},
		{"parameter of a POST", "POST", "/v1/orders?dry=1", order, nil, 400, api.ProblemInvalid},
		{"bulk without items", "POST", "/v1/bulk/ship", `{}`, nil, 400, api.ProblemInvalid},
		{"bulk of nothing", "POST", "/v1/bulk/ship", `{"items":[]}`, nil, 400, api.ProblemInvalid},
		{"bulk of too many", "POST", "/v1/bulk/ship", `{"items":[` + strings.Repeat("{},", 1000) + `{}]}`, nil, 400, api.ProblemInvalid},
		{"bulk no array", "POST", "/v1/bulk/ship", `{"items":{}}`, nil, 400, api.ProblemInvalid},
		{"bulk no object", "POST", "/v1/bulk/ship", `[]`, nil, 400, api.ProblemInvalid},
		{"bulk with more", "POST", "/v1/bulk/ship", `{"items":[{}],"x":1}`, nil, 400, api.ProblemInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			p := s.problem(c.method, c.path, c.body, c.header...)
			if p.Status != c.status || p.Type != c.typ {
				t.Errorf("got %+v, want %d %s", p, c.status, c.typ)
			}
			_, h, _ := s.send(c.method, c.path, c.body, c.header...)
			if (h.Get("WWW-Authenticate") != "") != (c.status == 401) || (h.Get("Allow") != "") != (c.status == 405) {
				t.Errorf("headers: %v", h)
			}
		})
	}
}

// TestBulkItems: an item that is wrong is answered in its place, and what is
// wrong in one stops no other.
func TestBulkItems(t *testing.T) {
	s := newSetup(t)
	o := s.held("one", 10)
	_, _, text := s.send("POST", "/v1/bulk/ship", fmt.Sprintf(`{"items":[{},{"order":"x"},{"order":%q,"Carrier":"c"},7,
		{"order":%q,"idempotency_key":"a b"},{"order":%q,"carrier":"DHL","idempotency_key":"k"}]}`, o.ID, o.ID, o.ID))
	for _, want := range []string{`"pointer":"/items/0/order","detail":"is required"`, `"pointer":"/items/1/order","detail":"must be a UUID"`,
		`"pointer":"/items/2/Carrier"`, `"pointer":"/items/3","detail":"must be an object"`, `"pointer":"/items/4/idempotency_key"`, `{"status":200,"order":{`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	// A duplicate key anywhere makes it unclear what was sent at all.
	if p := s.problem("POST", "/v1/bulk/ship", `{"items":[{"order":"a","order":"b"}]}`); p.Type != api.ProblemMalformed || p.Errors[0].Pointer != "/items/0/order" {
		t.Errorf("%+v", p)
	}
}

// TestRevokedKey: a key is taken for good for five seconds at most.
func TestRevokedKey(t *testing.T) {
	s := newSetup(t)
	now := time.Now()
	s.server.auth.now = func() time.Time { return now }
	if status, _, text := s.send("GET", "/v1/whoami", ""); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	keys, err := s.store.Keys(t.Context(), s.market.ID)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := s.store.RevokeKey(t.Context(), s.market.ID, keys[0].ID); err != nil {
		t.Fatal(err)
	}
	now = now.Add(keyTTL)
	if p := s.problem("GET", "/v1/whoami", ""); p.Type != api.ProblemUnauthorized {
		t.Errorf("a revoked key: %+v", p)
	}
	if n := len(s.server.auth.known); n != 1 {
		t.Errorf("%d keys are remembered", n)
	}
}

// TestNothingSecretIsLogged: keys, queries and bodies stay out of the log, and
// what is there tells requests apart.
func TestNothingSecretIsLogged(t *testing.T) {
	s := newSetup(t)
	s.send("POST", "/v1/orders", `{"reference":"SECRETREF","buyer":"SECRETBUYER","seller":"s","currency":"USD","amount":1}`, "Idempotency-Key", "SECRETKEY")
	s.send("GET", "/v1/orders?reference=SECRETREF", "")
	s.send("GET", "/v1/whoami", "", "Authorization", "Bearer esk_SECRET")
	s.http.Close() // all handlers have ended
	log := s.log.String()
	if strings.Contains(log, "SECRET") || strings.Contains(log, s.key) {
		t.Errorf("the log has secrets:\n%s", log)
	}
	for _, want := range []string{"route=/v1/orders status=201", "route=/v1/orders status=200", "route=/v1/whoami status=401",
		fmt.Sprintf("marketplace=%d", s.market.ID), "request_id="} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

// TestPages: the pages for people, and every kind of problem explained at its
// own path.
func TestPages(t *testing.T) {
	s := newSetup(t)
	for path, want := range map[string]string{"/": "/openapi.json", "/problems/": "/problems/refused", "/healthz": `"ok"`, "/readyz": `"ok"`} {
		if status, _, text := s.send("GET", path, "", "Authorization", ""); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	for _, k := range kinds {
		if status, _, text := s.send("GET", k.typ, "", "Authorization", ""); status != http.StatusOK || !strings.Contains(text, k.title) {
			t.Errorf("%s: %d %s", k.typ, status, text)
		}
	}
	s.server.Drain()
	if p := s.problem("GET", "/readyz", ""); p.Status != 503 {
		t.Errorf("while draining: %+v", p)
	}
	if status, _, _ := s.send("GET", "/v1/whoami", ""); status != 200 {
		t.Error("requests are no longer served while draining")
	}
}
