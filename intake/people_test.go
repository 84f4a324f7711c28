package intake

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// ended is an order that was paid and has ended.
func (s *setup) ended(reference string) api.Order {
	s.t.Helper()
	o, err := s.client.Cancel(s.t.Context(), s.held(reference, 100).ID, api.Cancel{})
	if err != nil {
		s.t.Fatal(err)
	}
	return o
}

// TestFeedback: a conversation over the API, and what programs read of it.
func TestFeedback(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	o := s.ended("one")
	path := "/v1/orders/" + o.ID + "/feedback"
	status, h, first := s.send("POST", path, `{"by":"buyer","rating":2,"text":"late"}`, "Idempotency-Key", "k")
	if status != 201 || h.Get("Location") != path || h.Get("Idempotent-Replayed") != "" {
		t.Fatalf("%d %v %s", status, h, first)
	}
	status, h, again := s.send("POST", path, `{ "text":"late", "rating":2, "by":"buyer" }`, "Idempotency-Key", "k")
	if status != 201 || h.Get("Idempotent-Replayed") != "true" || again != first {
		t.Errorf("again: %d %v %s", status, h, again)
	}
	for _, body := range []string{`{"by":"buyer","rating":3,"text":"late"}`, `{"by":"seller","rating":2,"text":"late"}`} {
		if p := s.problem("POST", path, body, "Idempotency-Key", "k"); p.Type != api.ProblemKeyReused {
			t.Errorf("another body: %+v", p)
		}
	}
	// A feedback's key is no event's.
	if p := s.problem("POST", "/v1/orders/"+o.ID+"/cancel", "", "Idempotency-Key", "k"); p.Type != api.ProblemKeyReused {
		t.Errorf("another route: %+v", p)
	}
	must[api.FeedbackEntry](t)(c.ReplyToFeedback(ctx, o.ID, api.FeedbackReply{By: "seller", Text: "sorry"}))
	must[api.FeedbackEntry](t)(c.ReviseFeedback(ctx, o.ID, api.FeedbackRevision{NewFeedback: api.NewFeedback{By: "buyer", Rating: 4}}))
	list := must[[]api.Feedback](t)(c.Feedback(ctx, o.ID))
	if len(list) != 1 || list[0].By != "buyer" || list[0].About != "s" || list[0].Rating != 4 || list[0].Text != "" || len(list[0].Entries) != 3 {
		t.Fatalf("%+v", list)
	}
	var said []string
	for _, e := range list[0].Entries {
		said = append(said, fmt.Sprintf("%s by %s: %d %s", e.Part, e.By, e.Rating, e.Text))
	}
	if want := []string{"feedback by buyer: 2 late", "reply by seller: 0 sorry", "revision by buyer: 4 "}; !reflect.DeepEqual(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	for i := range 4 {
		must[api.FeedbackEntry](t)(c.GiveFeedback(ctx, s.ended(fmt.Sprint("more-", i)).ID, api.NewFeedback{By: "buyer", Rating: int64(i + 1)}))
	}
	var ratings []int16
	for cursor := ""; ; {
		page := must[api.Feedbacks](t)(c.FeedbackAbout(ctx, "s", cursor, 2))
		for _, f := range page.Feedback {
			ratings = append(ratings, f.Rating)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if want := []int16{4, 1, 2, 3, 4}; !reflect.DeepEqual(ratings, want) {
		t.Errorf("about the seller %v, want %v", ratings, want)
	}
}

// TestFeedbackRefused: by rule or by field, in the form of other refusals, and
// nothing changes.
func TestFeedbackRefused(t *testing.T) {
	s := newSetup(t)
	o, going := s.ended("one"), s.held("two", 100)
	path := func(id string) string { return "/v1/orders/" + id + "/feedback" }
	long := strings.Repeat("x", 2001)
	for _, c := range []struct{ name, path, body, typ, rule string }{
		{"not ended", path(going.ID), `{"by":"buyer","rating":2}`, api.ProblemRefused, "state"},
		{"rating 0", path(o.ID), `{"by":"buyer","rating":0}`, api.ProblemRefused, "rating"},
		{"rating 6", path(o.ID), `{"by":"buyer","rating":6}`, api.ProblemRefused, "rating"},
		{"rating 2.5", path(o.ID), `{"by":"buyer","rating":2.5}`, api.ProblemInvalid, ""},
		{"no rating", path(o.ID), `{"by":"buyer"}`, api.ProblemInvalid, ""},
		{"a long text", path(o.ID), `{"by":"buyer","rating":2,"text":"` + long + `"}`, api.ProblemRefused, "text"},
		{"a control character", path(o.ID), `{"by":"buyer","rating":2,"text":"a\u001bb"}`, api.ProblemRefused, "text"},
		{"bad UTF-8", path(o.ID), `{"by":"buyer","rating":2,"text":"` + "\xff" + `"}`, api.ProblemMalformed, ""},
		{"NUL", path(o.ID), `{"by":"buyer","rating":2,"text":"\u0000"}`, api.ProblemMalformed, ""},
		{"by nobody", path(o.ID), `{"rating":2}`, api.ProblemInvalid, ""},
		{"by a carrier", path(o.ID), `{"by":"carrier","rating":2}`, api.ProblemInvalid, ""},
		{"unknown field", path(o.ID), `{"by":"buyer","rating":2,"stars":2}`, api.ProblemInvalid, ""},
		{"a reply to nothing", path(o.ID) + "/reply", `{"by":"seller","text":"x"}`, api.ProblemRefused, "nothing-to-reply-to"},
		{"a revision of nothing", path(o.ID) + "/revision", `{"by":"buyer","rating":2}`, api.ProblemRefused, "no-reply"},
		{"no such order", path("00000000-0000-7000-8000-000000000001"), `{"by":"buyer","rating":2}`, api.ProblemNotFound, ""},
		{"no id", path("one"), `{"by":"buyer","rating":2}`, api.ProblemNotFound, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.in(t).problem("POST", c.path, c.body, "Idempotency-Key", "k")
			if p.Type != c.typ || p.Rule != c.rule || (c.rule != "") != (p.Event != "") {
				t.Errorf("got %+v, want %s by rule %q", p, c.typ, c.rule)
			}
		})
	}
	must[api.ClockMoved](t)(s.client.SetClock(t.Context(), start.AddDate(0, 0, 60).Add(time.Microsecond), false))
	if p := s.problem("POST", path(o.ID), `{"by":"buyer","rating":2}`); p.Rule != "too-late" {
		t.Errorf("after sixty days: %+v", p)
	}
	if list := must[[]api.Feedback](t)(s.client.Feedback(t.Context(), o.ID)); len(list) != 0 {
		t.Errorf("refusals left %+v", list)
	}
	// The key was used by nothing that was refused.
	if _, err := s.client.AddNote(t.Context(), o.ID, api.NewNote{Author: "eve", Text: "x"}, client.Key("k")); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/v1/feedback", "/v1/feedback?about=s&cursor=1", "/v1/feedback?about=%00"} {
		if p := s.problem("GET", path, ""); p.Type != api.ProblemInvalid {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// TestNotes: what support notes is listed by itself and goes with nothing else.
func TestNotes(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	o := s.held("one", 100)
	path := "/v1/orders/" + o.ID + "/notes"
	const body = `{"author":"eve","text":"SECRET\nsecond line"}`
	status, h, first := s.send("POST", path, body, "Idempotency-Key", "n")
	status2, h2, again := s.send("POST", path, body, "Idempotency-Key", "n")
	if status != 201 || status2 != 201 || first != again || h2.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %s, %d %s", status, first, status2, again)
	}
	if _, _, text := s.send("GET", h.Get("Location"), ""); !strings.Contains(text, `"number":1,"author":"eve"`) {
		t.Errorf("%s: %s", h.Get("Location"), text)
	}
	for i := range 4 {
		must[api.Note](t)(c.AddNote(ctx, o.ID, api.NewNote{Author: "op", Text: fmt.Sprint(i)}))
	}
	page := must[api.Notes](t)(c.Notes(ctx, o.ID, 0, 3))
	rest := must[api.Notes](t)(c.Notes(ctx, o.ID, page.Next, 3))
	end := must[api.Notes](t)(c.Notes(ctx, o.ID, rest.Next, 3))
	if len(page.Notes) != 3 || len(rest.Notes) != 2 || len(end.Notes) != 0 || end.Next != rest.Next || rest.Notes[1].Text != "3" {
		t.Errorf("%+v, %+v, %+v", page, rest, end)
	}
	for _, path := range []string{"/v1/orders/" + o.ID, "/v1/orders/" + o.ID + "/timeline", "/v1/orders/" + o.ID + "/feedback", "/v1/events"} {
		if _, _, text := s.send("GET", path, ""); strings.Contains(text, "SECRET") {
			t.Errorf("%s tells the note: %s", path, text)
		}
	}
	for _, body := range []string{`{"author":"","text":"x"}`, `{"author":"eve","text":""}`, `{"author":"eve"}`} {
		if p := s.problem("POST", path, body); p.Type != api.ProblemInvalid {
			t.Errorf("%s: %+v", body, p)
		}
	}
	if p := s.problem("POST", path, `{"author":"eve","text":"a\u001bb"}`); p.Rule != "text" || p.Event != "note" || p.State != "held" {
		t.Errorf("a control character: %+v", p)
	}
}

// TestSellers: marks over the API, and what an agreement meets.
func TestSellers(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	agree := func(reference, category string) error {
		_, err := c.CreateOrder(ctx, api.NewOrder{Reference: reference, Buyer: "b", Seller: "s", Currency: "USD", Amount: 1, Category: category})
		return err
	}
	const order = `{"reference":"x","buyer":"b","seller":"s","category":"toys","currency":"USD","amount":1}`
	m := must[api.Mark](t)(c.MarkSeller(ctx, api.NewMark{Seller: "s", Category: "toys", Reason: "SECRET"}, client.Key("m")))
	again := must[api.Mark](t)(c.MarkSeller(ctx, api.NewMark{Seller: "s", Category: "toys", Reason: "SECRET"}, client.Key("m")))
	if m != again || !m.Since.Equal(start) || m.Eligible {
		t.Errorf("%+v, again %+v", m, again)
	}
	p := s.problem("POST", "/v1/orders", order)
	if p.Type != api.ProblemRefused || p.Rule != "seller-not-eligible" || p.Event != "agree" || p.State != "" || strings.Contains(p.Detail, "SECRET") {
		t.Errorf("%+v", p)
	}
	if err := agree("y", ""); err != nil {
		t.Error(err)
	}
	if st := must[api.Standing](t)(c.Standing(ctx, "s", "toys")); st.Eligible || p.Detail != st.Why {
		t.Errorf("%+v", st)
	}
	if st := must[api.Standing](t)(c.Standing(ctx, "s", "")); !st.Eligible {
		t.Errorf("%+v", st)
	}
	_, _, bulk := s.send("POST", "/v1/bulk/orders", `{"items":[`+order+`,`+strings.ReplaceAll(order, "toys", "books")+`]}`)
	if !strings.Contains(bulk, `"rule":"seller-not-eligible"`) || !strings.Contains(bulk, `"category":"books"`) {
		t.Errorf("bulk: %s", bulk)
	}
	// In again since the same moment; the first mark stays readable.
	must[api.Mark](t)(c.MarkSeller(ctx, api.NewMark{Seller: "s", Category: "toys", Eligible: true, Reason: "tested"}))
	if err := agree("z", "toys"); err != nil {
		t.Error(err)
	}
	must[api.Mark](t)(c.MarkSeller(ctx, api.NewMark{Seller: "t", Eligible: true, Reason: "new", Since: start.AddDate(0, 0, 9)}))
	page := must[api.Marks](t)(c.Marks(ctx, "", 0, 2))
	rest := must[api.Marks](t)(c.Marks(ctx, "", page.Next, 2))
	of := must[api.Marks](t)(c.Marks(ctx, "t", 0, 2))
	if len(page.Marks) != 2 || page.Marks[0] != m || len(rest.Marks) != 1 || len(of.Marks) != 1 || of.Marks[0] != rest.Marks[0] {
		t.Errorf("%+v, %+v, %+v", page, rest, of)
	}
	if got := must[api.SellerSettings](t)(c.SetSellerSettings(ctx, api.SellerSettings{OnlyListed: true})); !got.OnlyListed {
		t.Error("not set")
	}
	if got := must[api.SellerSettings](t)(c.SellerSettings(ctx)); !got.OnlyListed {
		t.Error("not set")
	}
	if err := agree("listed for toys", ""); err == nil {
		t.Error("a seller without a mark for all was let in")
	}
	other := *s
	_, other.key = s.marketplace("other", "live")
	if _, _, text := other.send("GET", "/v1/sellers/marks", ""); text != `{"marks":[],"next":0}`+"\n" {
		t.Errorf("another marketplace: %s", text)
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/sellers/standing", ""},
		{"GET", "/v1/sellers/standing?seller=s&category=Toys", ""},
		{"POST", "/v1/sellers/marks", `{"seller":"s","eligible":true}`},
		{"POST", "/v1/sellers/marks", `{"seller":"s","reason":"x"}`},
		{"POST", "/v1/sellers/settings", `{}`},
	} {
		if p := s.problem(c.method, c.path, c.body); p.Type != api.ProblemInvalid {
			t.Errorf("%s %s: %+v", c.method, c.path, p)
		}
	}
}

// TestSellerRecords: tiers and jurisdictions over the API, and which of them an
// agreement and a quote take.
func TestSellerRecords(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	gold := api.NewSellerRecord{Seller: "s", SellerTier: "gold", Jurisdiction: "DE", Reason: "SECRET"}
	r := must[api.SellerRecord](t)(c.RecordSeller(ctx, gold, client.Key("r")))
	if again := must[api.SellerRecord](t)(c.RecordSeller(ctx, gold, client.Key("r"))); again != r || !r.Since.Equal(start) || r.SellerTier != "gold" {
		t.Errorf("%+v, again %+v", r, again)
	}
	if page := must[api.SellerRecords](t)(c.SellerRecords(ctx, "s", 0, 0)); len(page.Records) != 1 || page.Records[0] != r || page.Next != r.Position {
		t.Errorf("%+v", page)
	}
	if st := must[api.Standing](t)(c.Standing(ctx, "s", "")); st.SellerTier != "gold" || st.Jurisdiction != "DE" || !st.Eligible {
		t.Errorf("%+v", st)
	}
	if o := s.agreed("record", 100); o.SellerTier != "gold" || o.Jurisdiction != "DE" {
		t.Errorf("of the record: %+v", o.SellerTerms)
	}
	own := must[api.Order](t)(c.CreateOrder(ctx, api.NewOrder{Reference: "own", Buyer: "b", Seller: "s", Currency: "USD", Amount: 1,
		SellerTerms: api.SellerTerms{SellerTier: "new"}}))
	if own.SellerTier != "new" || own.Jurisdiction != "DE" {
		t.Errorf("its own tier: %+v", own.SellerTerms)
	}
	var p api.PolicyTerms
	for _, have := range must[[]api.Policy](t)(c.Policies(ctx)) {
		p = have.PolicyTerms
	}
	p.FeeRules = []api.FeeRule{{Tier: "gold", Fee: api.Fee{Bps: 0}}}
	p.Taxes = map[string]int64{"*": 0}
	must[api.Policy](t)(c.AddPolicy(ctx, p))
	quote := func(seller string) api.Quote {
		return must[api.Quote](t)(c.Quote(ctx, api.NewQuote{Currency: "USD", Amount: 10_000, Seller: seller}))
	}
	if with, without := quote("s"), quote(""); with.Fee != 0 || without.Fee == 0 {
		t.Errorf("quoted %+v and, of nobody, %+v", with.Cost, without.Cost)
	}
	must[api.Mark](t)(c.MarkSeller(ctx, api.NewMark{Seller: "s", Category: "toys", Reason: "unsafe"}))
	if p := s.problem("POST", "/v1/quotes", `{"currency":"USD","amount":1,"seller":"s","category":"toys"}`); p.Rule != "seller-not-eligible" {
		t.Errorf("a quote for a seller who is kept out: %+v", p)
	}
	for _, body := range []string{`{"seller":"s"}`, `{"seller":"s","seller_tier":"Gold","reason":"x"}`, `{"seller":"s","jurisdiction":"Germany","reason":"x"}`} {
		if p := s.problem("POST", "/v1/sellers/records", body); p.Type != api.ProblemInvalid {
			t.Errorf("%s: %+v", body, p)
		}
	}
	other := *s
	_, other.key = s.marketplace("other", "live")
	if _, _, text := other.send("GET", "/v1/sellers/records", ""); text != `{"records":[],"next":0}`+"\n" {
		t.Errorf("another marketplace: %s", text)
	}
}
