package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"escrowd/intake/api"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
	"escrowd/settlement/treasury"
)

// reach is an escrowd that serves, with a marketplace and a command line on the
// same database.
type reach struct {
	t        *testing.T
	dsn, url string
	key      string
	app      *App
}

func newReach(t *testing.T) *reach {
	t.Helper()
	dsn, _ := smallBooks(t)
	app, err := OpenApp(t.Context(), testGlobals(), AppOptions{Store: StoreFlags{DatabaseURL: dsn}, Engine: EngineFlags{Engine: "postgres"}, Addr: "127.0.0.1:0", NoJobs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	m, err := app.Orders.MarketplaceByName(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := app.Orders.CreateKey(t.Context(), m.ID, "test")
	if err != nil {
		t.Fatal(err)
	}
	return &reach{t, dsn, app.URL, key, app}
}

func (r *reach) run(args ...string) result {
	r.t.Helper()
	return escrowd(r.t, append(args, "--database-url", r.dsn)...)
}

// post sends a request over HTTP; of one that is done the problem is empty.
func (r *reach) post(path, body string) (status int, p api.Problem, text string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), "POST", r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, p, string(b)
}

// jobNames are those of the jobs that a server runs.
func (r *reach) jobNames() (names []string) {
	for _, j := range r.app.Jobs.List() {
		names = append(names, j.Name)
	}
	return names
}

// Every event of the state table reaches it over the API and from the command
// line, or is what a deadline causes and a job of that name books. They are asked
// for on an order that has ended, so that each is refused by the state table
// itself, and says so under its own name.
func TestEveryEventIsReachable(t *testing.T) {
	r := newReach(t)
	r.run("order", "agree", "shop", "gone", "ann", "bob", "USD", "50.00").check(t, exitOK, "order gone (", "")
	r.run("order", "do", "gone", "cancel", "--reason=none left").check(t, exitOK, ": canceled", "")
	o, err := r.app.Orders.OrderByReference(t.Context(), 1, "gone")
	if err != nil {
		t.Fatal(err)
	}
	id := o.ID.UUID()
	sha := strings.Repeat("0", 64)
	how := map[order.Event]struct {
		body  string
		flags []string
	}{
		order.Pay:         {`{"orders":["` + id + `"],"method":"card"}`, []string{"--method=card"}},
		order.Authorise:   {`{"method":"card"}`, []string{"--method=card"}},
		order.Capture:     {`{}`, nil},
		order.Void:        {`{}`, nil},
		order.Ship:        {`{"carrier":"DHL"}`, []string{"--carrier=DHL", "--tracking=7"}},
		order.Track:       {`{"status":"in_transit"}`, []string{"--status=in_transit", "--location=Leipzig, DE", "--note=x"}},
		order.Deliver:     {`{}`, []string{"--by=carrier"}},
		order.Reprice:     {`{"amount":9000,"reason":"x"}`, []string{"--amount=90.00", "--reason=x"}},
		order.Confirm:     {`{}`, nil},
		order.Extend:      {`{}`, nil},
		order.Cancel:      {`{}`, []string{"--reason=x"}},
		order.Refund:      {`{"amount":5}`, []string{"--amount=0.05"}},
		order.Dispute:     {`{"reason":"x"}`, []string{"--reason=x", "--amount=1.00"}},
		order.Rule:        {`{"to_buyer":0,"to_seller":5000}`, []string{"--to-buyer=0.00", "--to-seller=50.00"}},
		order.ShipPart:    {`{"parts":["a"]}`, []string{"--parts=a, b", "--parts=c"}},
		order.DeliverPart: {`{"parts":["a"]}`, []string{"--parts=a"}},
		order.ReleasePart: {`{"parts":["a"]}`, []string{"--parts=a"}},

		order.AcceptClaim:   {`{}`, nil},
		order.Contest:       {`{"reason":"x"}`, []string{"--reason=x"}},
		order.MakeOffer:     {`{"to_buyer":1}`, []string{"--to-buyer=0.01", "--return"}},
		order.AcceptOffer:   {`{"to_buyer":1}`, []string{"--to-buyer=0.01"}},
		order.GiveEvidence:  {`{"sha256":"` + sha + `","url":"https://x.example/a","type":"image/png","size":1}`, []string{"--sha256=" + sha, "--url=https://x.example/a", "--type=image/png", "--size=1"}},
		order.Withdraw:      {`{}`, nil},
		order.Escalate:      {`{}`, nil},
		order.Appeal:        {`{"reason":"x"}`, []string{"--reason=x"}},
		order.ShipBack:      {`{}`, nil},
		order.ReceiveReturn: {`{}`, nil},
		order.RefuseReturn:  {`{"reason":"x"}`, []string{"--reason=x", "--amount=1.00"}},

		order.ShipReplacement:  {`{}`, []string{"--carrier=DHL"}},
		order.RefundReleased:   {`{"reason":"x"}`, []string{"--reason=x"}},
		order.TakeBackPayment:  {`{"reason":"x"}`, []string{"--reason=x", "--reference=dp_1"}},
		order.SecondChargeback: {`{"reason":"x"}`, []string{"--reason=x"}},
		order.Represent:        {`{}`, nil},
		order.WinChargeback:    {`{}`, nil},
		order.LoseChargeback:   {`{}`, nil},
	}
	for _, e := range order.Events {
		if job := jobs.Of(e); job != "" {
			for _, row := range order.Rules {
				if row.Event == e && !slices.Equal(row.Who, []order.Role{order.System}) {
					t.Errorf("%s is what a deadline causes, and %v may cause it from %s", e, row.Who, row.From)
				}
			}
			if !slices.Contains(r.jobNames(), job) {
				t.Errorf("no job %s books %s", job, e)
			}
			r.run("order", "do", "gone", string(e)).check(t, exitUsage, "", "escrowd job run "+job)
			continue
		}
		if e == order.Agree { // above, and here
			if status, _, text := r.post("/v1/orders", `{"reference":"api","buyer":"b","seller":"s","currency":"USD","amount":1}`); status != 201 {
				t.Errorf("agree: %d %s", status, text)
			}
			continue
		}
		h, ok := how[e]
		if !ok {
			t.Errorf("nobody has said how %s is asked for", e)
			continue
		}
		path := eventPath(id, e)
		if e == order.Pay {
			path = "/v1/payments"
		}
		if status, p, text := r.post(path, h.body); status != 409 || p.Rule != order.RuleState || p.Event != string(e) {
			t.Errorf("%s over the API: %d %s", e, status, text)
		}
		r.run(append([]string{"order", "do", "gone", string(e)}, h.flags...)...).check(t, exitCheckFailed, "", string(e)+" refused (state): ")
	}
	// What is not for the event is refused as the API refuses it.
	r.run("order", "do", "gone", "confirm", "--amount=1.00").check(t, exitUsage, "", "--amount: is not for this")
	r.run("order", "do", "gone", "confirm", "--also=x").check(t, exitUsage, "", "--also: is not for this")
	r.run("order", "do", "gone", "dispute").check(t, exitUsage, "", "--reason: is required")
	r.run("order", "do", "gone", "refund", "--amount=1.5").check(t, exitUsage, "", "--amount: ")
	r.run("order", "do", "gone", "lose").check(t, exitUsage, "", `there is no event "lose"`)
	r.run("order", "do", "gone", "ship-back").check(t, exitCheckFailed, "", "ship_back refused (state): ") // as the API writes them
	r.run("order", "do", "gone", "ruling", "--to-buyer=0.00", "--to-seller=50.00").check(t, exitCheckFailed, "", "rule refused (state): ")
	r.run("order", "do", "nowhere", "ship").check(t, exitUsage, "", "no such order")
	if got := r.run("order", "show", "gone", "--format=json"); strings.Count(got.stdout, `"event"`) != 2 {
		t.Errorf("refusals left something: %s", got.stdout)
	}
}

// Every kind of entry is made over the API and from the command line, and every
// event of each reaches it the same two ways, or is a job's.
func TestEveryEntryIsReachable(t *testing.T) {
	r := newReach(t)
	r.run("order", "do", "a1", "dispute", "--reason=scratched", "--at=2024-01-04T00:00:00Z").check(t, exitOK, ": disputed", "")
	o, err := r.app.Orders.OrderByReference(t.Context(), 1, "a1")
	if err != nil {
		t.Fatal(err)
	}
	id := o.ID.UUID()
	policy := escrowd(t, "policy", "show", "express", "--format=json").stdout
	type made struct {
		body    string
		flags   []string
		refused string // because nothing is there that could move, or nobody has approved bank details
	}
	how := map[treasury.Kind]made{
		treasury.Payout:        {`"currency":"USD","amount":1,"party":"bob"`, []string{"--currency=USD", "--amount=0.01", "--party=bob"}, "send refused (unverified)"},
		treasury.Receipt:       {`"currency":"USD","amount":100,"party":"ann","method":"card","reference":"api"`, []string{"--currency=USD", "--amount=1.00", "--party=ann", "--method=card", "--reference=cli"}, ""},
		treasury.Repayment:     {`"currency":"USD","amount":1,"party":"ann","method":"card"`, []string{"--currency=USD", "--amount=0.01", "--party=ann", "--method=card"}, ""},
		treasury.Recovery:      {`"currency":"USD","amount":1,"party":"bob"`, []string{"--currency=USD", "--amount=0.01", "--party=bob"}, "The ledger refused"},
		treasury.PSPSettlement: {`"currency":"USD","amount":90,"fee":10,"method":"card","reference":"api"`, []string{"--currency=USD", "--amount=0.90", "--fee=0.10", "--method=card", "--reference=cli"}, ""},
		treasury.FeeSweep:      {`"currency":"USD","amount":1,"reference":"api"`, []string{"--currency=USD", "--amount=0.01", "--reference=cli"}, ""},
		treasury.Conversion: {`"currency":"USD","amount":100,"party":"ann","to":{"currency":"JPY","amount":149,"rate":"149"},"person":"eve"`,
			[]string{"--currency=USD", "--amount=1.00", "--party=ann", "--to-currency=JPY", "--to-amount=149", "--rate=149", "--person=eve"}, ""},
		treasury.WriteOff: {`"currency":"USD","amount":1,"party":"bob","reason":"x","person":"eve"`, []string{"--currency=USD", "--amount=0.01", "--party=bob", "--reason=x", "--person=eve"}, ""},
		treasury.Adjustment: {`"currency":"USD","amount":1,"debit":{"code":5900},"credit":{"code":2000,"owner":"ann"},"reason":"x","person":"eve"`,
			[]string{"--currency=USD", "--amount=0.01", "--debit=5900", "--credit=2000:ann", "--reason=x", "--person=eve"}, ""},
		treasury.BankDetails: {`"party":"bob","details":{"iban":"DE02"},"person":"eve"`, []string{"--party=bob", `--details={"iban":"DE02"}`, "--person=eve"}, ""},
		treasury.Ruling: {`"party":"` + id + `","details":{"to_buyer":4000,"to_seller":6000},"reason":"x","person":"eve"`,
			[]string{"--party=" + id, `--details={"to_buyer":4000,"to_seller":6000}`, "--reason=x", "--person=eve"}, ""},
		treasury.Policy: {`"details":` + policy + `,"person":"eve"`, []string{"--details=" + policy, "--person=eve"}, ""},
	}
	var proposal string
	for _, k := range []treasury.Kind{treasury.Receipt, treasury.Repayment, treasury.Payout, treasury.Recovery, treasury.PSPSettlement, treasury.FeeSweep,
		treasury.Conversion, treasury.WriteOff, treasury.Adjustment, treasury.BankDetails, treasury.Ruling, treasury.Policy} {
		h := how[k]
		status, p, text := r.post("/v1/entries", `{"kind":"`+string(k)+`",`+h.body+`}`)
		said := p.Title
		if p.Rule != "" {
			said = p.Event + " refused (" + p.Rule + ")"
		}
		if (status == 201) != (h.refused == "") || h.refused != "" && !strings.HasPrefix(said, h.refused) {
			t.Errorf("%s over the API: %d %s", k, status, text)
		}
		want := exitOK
		if h.refused != "" {
			want = exitCheckFailed
		}
		out := r.run(append([]string{"entry", "make", "shop", string(k)}, h.flags...)...)
		out.check(t, want, "", h.refused)
		if m := regexp.MustCompile(`^adjustment (\S+): proposed\ndigest [0-9a-f]{64}\n$`).FindStringSubmatch(out.stdout); m != nil {
			proposal = m[1]
		}
		delete(how, k)
	}
	if len(how) > 0 {
		t.Errorf("not asked for: %v", how)
	}
	if proposal == "" {
		t.Fatal("no proposal")
	}
	asked := map[treasury.Event]bool{}
	for _, row := range treasury.Rules {
		switch {
		case !slices.Contains(treasury.Kinds, row.Kind):
			t.Errorf("kind %s is in no list", row.Kind)
		case slices.Equal(row.Who, []order.Role{order.System}):
			if row.Event != treasury.Expire || !slices.Contains(r.jobNames(), jobs.ExpireProposals) {
				t.Errorf("no job books %s of %s", row.Event, row.Kind)
			}
		case !slices.Contains(row.Who, order.Operator):
			t.Errorf("nobody can book %s of %s", row.Event, row.Kind)
		case row.From != treasury.None && !asked[row.Event]:
			// Of a proposal, and without a person: each is refused under its own name.
			asked[row.Event] = true
			path := "/v1/entries/" + proposal + "/" + strings.ReplaceAll(string(row.Event), "_", "-")
			if status, p, text := r.post(path, `{}`); status != 409 || p.Event != string(row.Event) {
				t.Errorf("%s over the API: %d %s", row.Event, status, text)
			}
			r.run("entry", "do", "shop", proposal, string(row.Event)).check(t, exitCheckFailed, "", string(row.Event)+" refused (")
		}
	}
	for _, e := range []treasury.Event{treasury.Approve, treasury.Reject, treasury.Accept, treasury.Fail, treasury.Settle, treasury.Return, treasury.Assign, treasury.SendBack, treasury.Send} {
		if !asked[e] {
			t.Errorf("%s was not asked for", e)
		}
	}
	r.run("entry", "balances", "shop", "ann").check(t, exitOK, "USD       buyer    1.98    0.00", "")
	r.run("entry", "make", "shop", "gift").check(t, exitUsage, "", "--kind: ")
	r.run("entry", "make", "shop", "receipt", "--amount=1.00").check(t, exitUsage, "", "--currency: is required")
	r.run("entry", "make", "shop", "receipt", "--currency=XAU", "--amount=1").check(t, exitUsage, "", "--currency: ")
	r.run("payout", "seller", "shop", "bob", "--blocked=under investigation").check(t, exitOK, "bob: not paid out: under investigation", "")
	r.run("payout", "show", "shop", "bob").check(t, exitOK, "bob: not paid out: under investigation", "no bank details")
	r.run("job", "run", "check-books").check(t, exitOK, "the books balance", "")
}

// An order's life from the command line alone; its ruling is over the threshold:
// refused to one person, proposed by one and approved by another.
func TestRulingProposedByCommand(t *testing.T) {
	r := newReach(t)
	file := filepath.Join(t.TempDir(), "strict.yaml")
	text := strings.Replace(string(shippedText("express")), "name: express", "name: strict", 1) + "approve_rulings_over: {USD: 5000}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run("policy", "add", "shop", file).check(t, exitOK, "policy strict version 1", "")
	agree := []string{"order", "agree", "shop", "web-1", "ann", "bob", "USD", "129.90", "--policy=strict", `--goods={"description":"table"}`, "--key=k1"}
	r.run(agree...).check(t, exitOK, "order web-1 (", "")
	r.run(agree...).check(t, exitOK, "until      2024-01-23T00:00:00Z, pay_by", "") // the same key: the same order
	r.run(append(agree[:len(agree)-1], "--key=k2")...).check(t, exitCheckFailed, "", "The reference is taken")
	r.run(append(agree[:6:6], "JPY", "1.5")...).check(t, exitUsage, "", "--amount: ")
	r.run("order", "do", "web-1", "reprice").check(t, exitUsage, "", "--amount: is required")
	r.run("order", "do", "web-1", "reprice", "--amount=119.90", "--reason=discount").check(t, exitOK, "USD 119.90 was agreed and is not paid", "")
	r.run("order", "show", "web-1").check(t, exitOK, "\n  price now   119.90\n", "")
	r.run("order", "do", "web-1", "reprice", "--amount=129.90").check(t, exitOK, "USD 129.90 was agreed and is not paid.\n", "")
	r.run("order", "agree", "shop", "web-0", "ann", "bob", "USD", "129.90", "--policy=strict", "--confirm-within=2d").check(t, exitCheckFailed, "", "refused (policy)")
	r.run("policy", "add", "shop", "inspection").check(t, exitOK, "policy inspection version 1", "")
	r.run("order", "agree", "shop", "web-0", "ann", "bob", "USD", "129.90", "--policy=inspection", "--confirm-within=2d").check(t, exitOK, "The buyer has 2 days from the delivery to confirm, as agreed.", "")
	r.run("order", "show", "web-0").check(t, exitOK, "\n  inspection  2 days from the delivery, as agreed\n", "")
	r.run("order", "do", "web-1", "pay", "--method=card", "--amount=129.89").check(t, exitCheckFailed, "", "pay refused (amount)")
	r.run("order", "do", "web-1", "pay", "--method=card", "--reference=ch_1").check(t, exitOK, "USD 129.90 is held", "")
	r.run("order", "do", "web-1", "ship", "--carrier=DHL").check(t, exitCheckFailed, "", "ship refused (tracking)")
	r.run("order", "do", "web-1", "ship", "--carrier=DHL", "--tracking=00340434292135100186").check(t, exitOK, "(", "")
	r.run("order", "do", "web-1", "dispute", "--reason=scratched", "--amount=40.00", "--format=json").check(t, exitOK, `"state": "disputed"`, "")
	split := []string{"web-1", "--to-buyer=40.00", "--to-seller=89.90", "--reason=usable"}
	r.run(append([]string{"order", "do", "web-1", "rule"}, split[1:]...)...).check(t, exitCheckFailed, "", "rule refused (four-eyes)")
	r.run("order", "propose", "web-1", "--to-buyer=40.00", "--to-seller=89.91", "--reason=usable", "--person=eve").check(t, exitUsage, "", "sum")
	out := r.run(append([]string{"order", "propose", "--person=eve"}, split...)...)
	m := regexp.MustCompile(`^a ruling on order web-1 is proposed: entry (\S+)\ndigest ([0-9a-f]{64})\n$`).FindStringSubmatch(out.stdout)
	if m == nil {
		t.Fatalf("%+v", out)
	}
	r.run("entry", "do", "shop", m[1], "approve", "--person=eve", "--digest="+m[2]).check(t, exitCheckFailed, "", "four-eyes")
	r.run("entry", "do", "shop", m[1], "approve", "--person=max", "--digest="+m[2]).check(t, exitOK, "ruling "+m[1]+": done", "")
	r.run("order", "show", "web-1").check(t, exitOK, "ruled", "")
	r.run("order", "agree", "shop", "web-2", "ann", "bob", "USD", "10.00", "--parts=a=4.00@2024-03-01T00:00:00Z", "--parts=b", "--policy=strict").check(t, exitOK, "a (2024-03-01T00:00:00Z)", "")
	r.run("order", "agree", "shop", "web-3", "ann", "bob", "USD", "10.00", "--policy=strict", "--confirm-within=14d").check(t, exitCheckFailed, "", "agree refused (policy)")
	r.run("order", "agree", "shop", "web-3", "ann", "bob", "USD", "10.00", "--policy=strict", "--confirm-within=0").check(t, exitUsage, "", "--confirm-within: ")
	r.run("order", "agree", "shop", "web-3", "ann", "bob", "USD", "10.00", "--policy=strict").check(t, exitOK, "order web-3", "")
	ids := regexp.MustCompile(`"id":"([^"]*)"`)
	other := ids.FindStringSubmatch(regexp.MustCompile(`\s`).ReplaceAllString(r.run("order", "show", "web-3", "--format=json").stdout, ""))
	if other == nil {
		t.Fatal("web-3 has no id")
	}
	// One payment of both, or of neither.
	r.run("order", "do", "web-2", "pay", "--method=card", "--amount=19.99", "--also="+other[1]).check(t, exitCheckFailed, "", "pay refused (amount)")
	r.run("order", "do", "web-2", "pay", "--method=card", "--amount=20.00", "--also="+other[1]).check(t, exitOK, "order web-2", "")
	r.run("order", "do", "web-2", "ship-part", "--parts=b", "--tracking=00340434292135100193").check(t, exitOK, ": part_shipped", "")
	r.run("order", "show", "web-3").check(t, exitOK, "held", "")
	r.run("order", "agree", "shop", "web-4", "ann", "bob", "USD", "10.05", "--policy=strict").check(t, exitOK, "order web-4", "")
	r.run("order", "do", "web-4", "pay", "--method=card", "--fx-amount=1500", "--fx-rate=0.0067").check(t, exitUsage, "", "--fx-currency: is required")
	r.run("order", "do", "web-4", "pay", "--method=card", "--fx-currency=JPY", "--fx-amount=1500", "--fx-rate=0.0068").check(t, exitCheckFailed, "", "pay refused (rate)")
	r.run("order", "do", "web-4", "pay", "--method=card", "--fx-currency=JPY", "--fx-amount=1500", "--fx-rate=0.0067").check(t, exitOK, "USD 10.05 is held", "")
	r.run("job", "run", "check-books").check(t, exitOK, "the books balance", "")
}
