package intake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/orderdb"
)

// state is all that a refusal must leave as it is: every account of the ledger and
// every transfer, where each order and each entry stands, and what is fixed.
func (s *setup) state() string {
	s.t.Helper()
	var lines []string
	for _, q := range []string{
		`SELECT concat_ws(' ', 'account', id, debits_pending, debits_posted, credits_pending, credits_posted) FROM ledger_accounts ORDER BY id`,
		`SELECT concat('transfers ', count(*)) FROM ledger_transfers`,
		`SELECT concat_ws(' ', 'order', reference, state, seq, held, released, refunded, deadline, deadline_at) FROM orders ORDER BY id`,
		`SELECT concat_ws(' ', 'entry', id, state, seq) FROM entries ORDER BY id`,
		`SELECT concat('intents ', count(*)) FROM intents`,
		`SELECT concat('policies ', count(*)) FROM policies`,
		`SELECT concat('keys ', count(*)) FROM idempotency_keys`,
	} {
		var list []string
		if err := s.db.Select(&list, q); err != nil {
			s.t.Fatal(err)
		}
		lines = append(lines, list...)
	}
	return strings.Join(lines, "\n")
}

// TestNothingMoves: what must not happen is refused by the rule that forbids it, on
// the books of the embedded engine, and leaves no trace in them.
func TestNothingMoves(t *testing.T) {
	db := pgtest.Open(t)
	engine, err := pgengine.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	s := newSetupWith(t, db, engine)
	ctx, c, day := t.Context(), s.client, 24*time.Hour
	order, made := must[api.Order](t), must[api.EntryMade](t)

	agreed, second := s.agreed("agreed", 100), s.agreed("second", 50)
	held := s.held("held", 100)
	shipped := s.held("shipped", 100)
	order(c.Ship(ctx, shipped.ID, api.Ship{}))
	disputed := s.disputed("disputed", func(p *api.PolicyTerms) { p.ApproveRulingsOver = map[string]int64{"USD": 20_000} })
	large := order(c.CreateOrder(ctx, api.NewOrder{Reference: "large", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 20_001, Policy: "steps"}))
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{large.ID}, Method: "card"}))
	order(c.Ship(ctx, large.ID, api.Ship{}))
	order(c.Dispute(ctx, large.ID, api.Dispute{Reason: "broken"}))
	heard := s.disputed("heard", nil)
	order(c.Contest(ctx, heard.ID, api.Contest{Reason: "it was in order"}))
	order(c.Escalate(ctx, heard.ID, api.Escalate{}))
	refunded := s.held("refunded", 100)
	order(c.Ship(ctx, refunded.ID, api.Ship{}))
	order(c.Refund(ctx, refunded.ID, api.Refund{}))
	releasedOrder := s.released("released", 100)
	late := must[[]api.Policy](t)(c.Policies(ctx))
	terms := late[slices.IndexFunc(late, func(p api.Policy) bool { return p.Name == "standard" })].PolicyTerms
	terms.Name, terms.DisputeReleasedWithin, terms.NegotiateWithin, terms.RespondWithin, terms.EvidenceWithin, terms.ReplaceWithin = "late", 86400, 86400, 86400, 86400, 86400
	must[api.Policy](t)(c.AddPolicy(ctx, terms))
	claimed := order(c.CreateOrder(ctx, api.NewOrder{Reference: "claimed", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 100, Policy: "late"}))
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{claimed.ID}, Method: "card"}))
	order(c.Ship(ctx, claimed.ID, api.Ship{}))
	order(c.Confirm(ctx, claimed.ID, api.Confirm{}))
	order(c.Dispute(ctx, claimed.ID, api.Dispute{Amount: 60, Reason: "broken"}))
	order(c.Contest(ctx, claimed.ID, api.Contest{Reason: "it was in order"}))
	must[api.EntryMade](t)(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 500, Party: "b", Method: "card", Reference: "1"}))

	propose := func(n int) api.Entry {
		return made(c.MakeEntry(ctx, api.NewEntry{Kind: "adjustment", Currency: "USD", Amount: int64(n), Debit: api.EntryAccount{Code: 5900},
			Credit: api.EntryAccount{Code: 2000, Owner: "b"}, Reason: "rounding", Person: "eve"})).Entry
	}
	proposed, approved, rejected, expired := propose(1), propose(2), propose(3), propose(4)
	must[api.Entry](t)(c.MoveEntry(ctx, approved.ID, "approve", api.EntryAct{Person: "max", Digest: approved.Digest}))
	must[api.Entry](t)(c.MoveEntry(ctx, rejected.ID, "reject", api.EntryAct{Person: "max"}))
	const later = "/v1/bulk/orders" // a route whose items are answered one by one
	// A marketplace of its own for what time has done: its clock stands in 2023.
	year := *s
	_, year.key = s.marketplace("2023", orderdb.TestClock)
	agreeIn := func(reference, currency string) string {
		return `{"reference":"` + reference + `","buyer":"b","seller":"s","currency":"` + currency + `","amount":100}`
	}
	status, _, text := year.send("POST", "/v1/orders", agreeIn("kuna", "HRK"))
	var kuna api.Order
	if err := json.Unmarshal([]byte(text), &kuna); err != nil || status != 201 {
		t.Fatalf("HRK before its end: %d %s", status, text)
	}
	status, _, text = year.send("POST", "/v1/entries", `{"kind":"bank_details","party":"s","details":{"iban":"DE02"},"person":"eve"}`)
	var old api.Entry
	if err := json.Unmarshal([]byte(text), &old); err != nil || status != 201 {
		t.Fatalf("%d %s", status, text)
	}
	if status, _, text := year.send("POST", "/v1/clock", `{"to":"2023-01-01T00:00:00Z","hold_deadlines":true}`); status != 200 {
		t.Fatal(text)
	}

	sha := strings.Repeat("a", 64)
	evidence := func(typ string, size int64) string {
		return fmt.Sprintf(`{"by":"buyer","sha256":"%s","url":"https://files.example.com/a","type":"%s","size":%d}`, sha, typ, size)
	}
	at := func(o api.Order, event string) string { return "/v1/orders/" + o.ID + "/" + event }
	entry := func(e api.Entry, event string) string { return "/v1/entries/" + e.ID + "/" + event }
	approve := func(person, digest string) string { return `{"person":"` + person + `","digest":"` + digest + `"}` }
	const edit = `{"kind":"adjustment","currency":"USD","amount":9,"debit":{"code":5900},"credit":{"code":2000,"owner":"b"},"reason":"more","person":"eve"}`
	pay := func(more string, list ...api.Order) string {
		ids := make([]string, len(list))
		for i, o := range list {
			ids[i] = `"` + o.ID + `"`
		}
		return `{"orders":[` + strings.Join(ids, ",") + `],"method":"card"` + more + `}`
	}
	policy := func(old, new string) string { return strings.Replace(policyJSON("USD"), old, new, 1) }
	type row struct {
		why, path, body string
		typ, rule       string // the rule, or of what is no request the field
		in              *setup // nil for s
	}
	rows := []row{
		{"a refund above what is held", at(held, "refund"), `{"amount":101}`, api.ProblemRefused, "amount", nil},
		{"a ruling above what is held", at(disputed, "ruling"), `{"to_buyer":5000,"to_seller":5001}`, api.ProblemRefused, "amount", nil},
		{"a ruling below what is held", at(disputed, "ruling"), `{"to_buyer":5000,"to_seller":4999}`, api.ProblemRefused, "amount", nil},
		{"a proposed ruling that does not sum", "/v1/entries", `{"kind":"ruling","party":"` + large.ID + `","details":{"to_buyer":1,"to_seller":1},"reason":"x","person":"eve"}`,
			api.ProblemInvalid, "/details", nil},
		{"a dispute after the release under a policy without", at(releasedOrder, "dispute"), `{"reason":"late"}`, api.ProblemRefused, "policy", nil},
		{"a refund during a dispute after the release", at(claimed, "refund-released"), `{"amount":1,"reason":"x"}`, api.ProblemRefused, "state", nil},
		{"an offer of more than is at stake", at(claimed, "offer"), `{"by":"seller","to_buyer":61}`, api.ProblemRefused, "amount", nil},
		{"other goods after the release", at(claimed, "offer"), `{"by":"seller","to_buyer":0,"replacement":true}`, api.ProblemRefused, "offer", nil},
		{"a release during a dispute", at(disputed, "confirm"), `{}`, api.ProblemRefused, "state", nil},
		{"a second dispute", at(disputed, "dispute"), `{"reason":"again"}`, api.ProblemRefused, "state", nil},
		{"a refund during a dispute", at(disputed, "refund"), `{"amount":1}`, api.ProblemRefused, "state", nil},
		{"a cancellation during a dispute", at(disputed, "cancel"), `{}`, api.ProblemRefused, "state", nil},
		{"a dispute after a refund of all", at(refunded, "dispute"), `{"reason":"late"}`, api.ProblemRefused, "state", nil},
		{"a dispute about more than is held", at(shipped, "dispute"), `{"reason":"all of it","amount":101}`, api.ProblemRefused, "amount", nil},
		{"a confirmation by the seller", at(shipped, "confirm"), `{"by":"seller"}`, api.ProblemRefused, "role", nil},
		{"a confirmation by the system", at(shipped, "confirm"), `{"by":"system"}`, api.ProblemInvalid, "/by", nil},
		{"a ruling by a party", at(disputed, "ruling"), `{"to_buyer":10000,"to_seller":0,"by":"buyer"}`, api.ProblemRefused, "role", nil},
		{"a ruling over the threshold by one person", at(large, "ruling"), `{"to_buyer":20001,"to_seller":0}`, api.ProblemRefused, "four-eyes", nil},
		{"a payout to bank details that nobody approved", "/v1/entries", `{"kind":"payout","currency":"USD","amount":1,"party":"s"}`, api.ProblemRefused, "unverified", nil},
		{"a payout in whose name bank details were only proposed", "/v1/entries", `{"kind":"payout","currency":"USD","amount":1,"party":"s"}`, api.ProblemRefused, "unverified", &year},

		{"a policy that leaves a state without a deadline", "/v1/policies", policy(`"rule_within":1`, `"rule_within":0`), api.ProblemInvalid, "/rule_within (rule deadline)", nil},
		{"a policy whose returns are never inspected", "/v1/policies", policy(`"rule_within":1`, `"rule_within":1,"respond_within":1,"negotiate_within":1,"evidence_within":1,"return_within":1`),
			api.ProblemInvalid, "/return_within (rule deadline)", nil},
		{"a policy whose bank never decides", "/v1/policies", policy(`"rule_within":1`, `"rule_within":1,"represent_within":1`), api.ProblemInvalid, "/represent_within (rule deadline)", nil},
		{"a policy that leaves a state without an owner", "/v1/policies", policy(`["card"]`, `[]`), api.ProblemInvalid, "/methods (rule owner)", nil},

		{"gold", "/v1/orders", agreeIn("gold", "XAU"), api.ProblemInvalid, "/currency", nil},
		{"a currency for tests", "/v1/orders", agreeIn("test", "XTS"), api.ProblemInvalid, "/currency", nil},
		{"a currency that nobody knows", "/v1/orders", agreeIn("none", "XYZ"), api.ProblemInvalid, "/currency", nil},
		{"a receipt of gold", "/v1/entries", `{"kind":"receipt","currency":"XAU","amount":1,"method":"card","reference":"gold"}`, api.ProblemInvalid, "/currency", nil},
		{"a payment in gold", "/v1/payments", pay(`,"fx":{"currency":"XAU","amount":1,"rate":"100"}`, agreed), api.ProblemInvalid, "/fx/currency", nil},
		{"a currency after its end", "/v1/orders", agreeIn("kuna 2", "HRK"), api.ProblemInvalid, "/currency", &year},
		{"a quote after its end", "/v1/quotes", `{"currency":"HRK","amount":100}`, api.ProblemInvalid, "/currency", &year},
		{"a receipt after its end", "/v1/entries", `{"kind":"receipt","currency":"HRK","amount":1,"party":"b","method":"card","reference":"k"}`, api.ProblemRefused, "currency", &year},

		{"evidence too large", at(heard, "evidence"), evidence("image/png", 20<<20+1), api.ProblemRefused, "evidence", nil},
		{"evidence of nothing", at(heard, "evidence"), evidence("image/png", 0), api.ProblemRefused, "evidence", nil},
		{"evidence that is a program", at(heard, "evidence"), evidence("application/x-msdownload", 1), api.ProblemRefused, "evidence", nil},
		{"evidence that is a page", at(heard, "evidence"), evidence("text/html", 1), api.ProblemRefused, "evidence", nil},
		{"evidence at no https address", at(heard, "evidence"), strings.Replace(evidence("image/png", 1), "https", "file", 1), api.ProblemRefused, "evidence", nil},

		{"an approval of one's own", entry(proposed, "approve"), approve("eve", proposed.Digest), api.ProblemRefused, "four-eyes", nil},
		{"an approval by nobody", entry(proposed, "approve"), approve("", proposed.Digest), api.ProblemRefused, "person", nil},
		{"an approval of something else", entry(proposed, "approve"), approve("max", approved.Digest), api.ProblemRefused, "four-eyes", nil},
		{"an approval of nothing seen", entry(proposed, "approve"), `{"person":"max"}`, api.ProblemRefused, "four-eyes", nil},
		{"an edit, which there is no way for", "/v1/entries/" + proposed.ID, edit, api.ProblemMethod, "", nil},
		{"an edit after the approval", "/v1/entries/" + approved.ID, edit, api.ProblemMethod, "", nil},
		{"an approval with more in it", entry(proposed, "approve"), `{"person":"max","digest":"` + proposed.Digest + `","amount":9}`, api.ProblemInvalid, "/amount", nil},
		{"an approval once more", entry(approved, "approve"), approve("max", approved.Digest), api.ProblemRefused, "state", nil},
		{"a rejection after the approval", entry(approved, "reject"), `{"person":"max"}`, api.ProblemRefused, "state", nil},
		{"an approval after the rejection", entry(rejected, "approve"), approve("max", rejected.Digest), api.ProblemRefused, "state", nil},
		{"an approval that has expired", entry(old, "approve"), approve("max", old.Digest), api.ProblemRefused, "too-late", &year},

		{"a duplicate key", at(held, "refund"), `{"amount":1,"amount":100}`, api.ProblemMalformed, "/amount", nil},
		{"a duplicate key in an entry", "/v1/entries", strings.Replace(edit, `"amount":9`, `"amount":9,"amount":9`, 1), api.ProblemMalformed, "/amount", nil},
		{"a duplicate key below", "/v1/entries", strings.Replace(edit, `{"code":5900}`, `{"code":5900,"code":2000}`, 1), api.ProblemMalformed, "/debit/code", nil},
		{"a key of the wrong case", at(held, "refund"), `{"Amount":100}`, api.ProblemInvalid, "/Amount", nil},
		{"a key of the wrong case in a ruling", at(disputed, "ruling"), `{"to_buyer":10000,"To_seller":0}`, api.ProblemInvalid, "/To_seller", nil},

		{"one payment of which one order is paid", "/v1/payments", pay("", agreed, held, second), api.ProblemRefused, "state", nil},
		{"one payment of which one order is another's", "/v1/payments", pay("", agreed, kuna), api.ProblemNotFound, "", nil},
		{"one payment of which one method is refused", "/v1/payments", strings.Replace(pay("", agreed, second), "card", "cash", 1), api.ProblemRefused, "method", nil},
		{"one payment that is too much", "/v1/payments", pay(`,"amount":151`, agreed, second), api.ProblemRefused, "amount", nil},
		{"one payment that is too little", "/v1/payments", pay(`,"amount":149`, agreed, second), api.ProblemRefused, "amount", nil},
	}
	// Amounts that are none, wherever one is taken.
	for _, n := range []string{"1.0", "1.5", "1e2", "-1", "-0", "0", "9007199254740992", "99999999999999999999", `"1"`, "null", "true", "01", "+1", "NaN"} {
		for _, where := range []row{
			{"of a refund", at(held, "refund"), `{"amount":N}`, "", "/amount", nil},
			{"of a dispute", at(shipped, "dispute"), `{"reason":"x","amount":N}`, "", "/amount", nil},
			{"of a chargeback", at(held, "chargeback"), `{"reason":"x","amount":N}`, "", "/amount", nil},
			{"of an agreement", "/v1/orders", strings.Replace(agreeIn("n", "USD"), "100", "N", 1), "", "/amount", nil},
			{"of a payment", "/v1/payments", pay(`,"amount":N`, agreed), "", "/amount", nil},
			{"of an entry", "/v1/entries", strings.Replace(edit, `"amount":9`, `"amount":N`, 1), "", "/amount", nil},
			{"of a ruling", at(disputed, "ruling"), `{"to_buyer":N,"to_seller":10000}`, "", "/to_buyer", nil},
		} {
			if where.rule == "/to_buyer" && n == "0" {
				continue // all to the seller is a ruling
			}
			where.why, where.body = "the amount "+n+" "+where.why, strings.ReplaceAll(where.body, "N", n)
			rows = append(rows, where)
		}
	}
	before := s.state()
	for _, r := range rows {
		t.Run(r.why, func(t *testing.T) {
			s := s.in(t)
			if r.in != nil {
				s = r.in.in(t)
			}
			p := s.problem("POST", r.path, r.body, "Idempotency-Key", "k")
			switch {
			case r.typ != "" && p.Type != r.typ, r.typ == "" && p.Type != api.ProblemInvalid && p.Type != api.ProblemMalformed:
				t.Errorf("got %+v, want %s", p, r.typ)
			case strings.HasPrefix(r.rule, "/"):
				pointer, rule, _ := strings.Cut(r.rule, " ")
				if !slices.ContainsFunc(p.Errors, func(e api.FieldError) bool { return e.Pointer == pointer && strings.Contains(e.Detail, rule) }) {
					t.Errorf("got %+v, want it to be %s", p.Errors, r.rule)
				}
			case p.Rule != r.rule:
				t.Errorf("got %+v, want it refused by %q", p, r.rule)
			}
			if after := s.state(); after != before {
				t.Fatalf("something has moved:\n%s\nwas:\n%s", after, before)
			}
		})
	}
	// The same in bulk, among items that are in order.
	_, _, text = s.send("POST", later, `{"items":[`+agreeIn("b1", "XAU")+`,`+agreeIn("b2", "USD")+`]}`)
	if !strings.Contains(text, `"pointer":"/items/0/currency"`) || strings.Count(text, `"status":201`) != 1 {
		t.Errorf("bulk: %s", text)
	}
	// What may happen does: the rows above were refused for what they say.
	order(c.Refund(ctx, held.ID, api.Refund{Amount: 100}))
	order(c.Rule(ctx, disputed.ID, api.Ruling{ToBuyer: 5_000, ToSeller: 5_000}))
	order(c.Confirm(ctx, shipped.ID, api.Confirm{}))
	must[api.Paid](t)(c.Pay(ctx, api.Payment{Orders: []string{agreed.ID, second.ID}, Method: "card", Amount: 150}))
	must[api.Entry](t)(c.MoveEntry(ctx, proposed.ID, "approve", api.EntryAct{Person: "max", Digest: proposed.Digest}))
	if status, _, text := s.send("POST", at(heard, "evidence"), evidence("image/png", 20<<20)); status != 200 {
		t.Errorf("evidence: %d %s", status, text)
	}
	// In three days nobody can approve any more, to the microsecond.
	must[api.ClockMoved](t)(c.SetClock(ctx, expired.MadeAt.Add(3*day+time.Microsecond), true))
	refused(t, "too-late", func() error {
		_, err := c.MoveEntry(ctx, expired.ID, "approve", api.EntryAct{Person: "max", Digest: expired.Digest})
		return err
	})
}
