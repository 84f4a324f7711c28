package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/settlement/order"
	"escrowd/settlement/policyfile"
)

// policyText is a policy that a person wrote: with authorisations, and without
// what is negotiated in a dispute.
const policyText = `name: shop
effective: 2026-12-01
pay_within: 5d
authorise_within: 6d
ship_within: 96h
confirm_after_delivery: 7d
confirm_after_shipment: 15d
extend_times: 2
extend_by: 36h
rule_within: 14d
mature_after: 2d
methods: [card, wallet]
fees:
  "*": {bps: 500}
  JPY: {bps: 450, fixed: 30, min: 100, cap: 5000, tax_bps: 1050}
`

func policyFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Of each policy that comes with escrowd: what is promised of it.
func TestShippedPolicies(t *testing.T) {
	const day, hour = 24 * 60 * 60, 60 * 60
	want := map[string]order.Policy{
		"alibaba": {PayWithin: 5 * day, AuthoriseWithin: 7 * day, ShipWithin: 10 * day, ConfirmAfterDelivery: 15 * day, ConfirmAfterShipment: 15 * day, ConfirmVirtual: 3 * day,
			ExtendTimes: 1, ExtendBy: 15 * day, DisputeReleasedWithin: 30 * day, RespondWithin: 5 * day, EscalateAfter: 3 * day, NegotiateWithin: 4 * day,
			EvidenceWithin: 7 * day, RuleWithin: 14 * day, ReturnWithin: 10 * day, InspectWithin: 3 * day, ReplaceWithin: 10 * day,
			FeedbackWithin: 60 * day, FeedbackRevisionWithin: 30 * day},
		"inspection": {PayWithin: 10 * day, ShipWithin: 30 * day, ConfirmAfterDelivery: 7 * day, ConfirmAfterShipment: 30 * day,
			ConfirmAgreedMin: day, ConfirmAgreedMax: 30 * day,
			ExtendTimes: 3, ExtendBy: 30 * day, ExtendTogether: true, RespondWithin: 5 * day, NegotiateWithin: 14 * day,
			EvidenceWithin: 7 * day, RuleWithin: 7 * day, ReturnWithin: 10 * day, InspectWithin: 7 * day, ReplaceWithin: 10 * day},
		"express": {PayWithin: 3 * day, AuthoriseWithin: 3 * day, ShipWithin: 96 * hour, RequireTracking: true, ConfirmAfterDelivery: 24 * hour, ConfirmAfterShipment: 14 * day,
			RespondWithin: 24 * hour, NegotiateWithin: 24 * hour, EvidenceWithin: 24 * hour, RuleWithin: 24 * hour,
			ReturnWithin: 48 * hour, InspectWithin: 24 * hour},
	}
	if names := shippedNames(); len(names) != len(want) {
		t.Errorf("there are %v", names)
	}
	for name, w := range want {
		p, err := policyfile.Parse(name, shippedText(name))
		if err != nil {
			t.Error(err)
			continue
		}
		w.Name, w.Methods, w.Fees = name, p.Methods, p.Fees // these are a marketplace's own
		w.Disputes = 3
		w.RefundReleasedWithin, w.RepresentWithin, w.DecisionWithin = 60*day, 14*day, 75*day
		if !reflect.DeepEqual(p, w) || len(p.Methods) == 0 || len(p.Fees) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
		for _, said := range []string{"public help", "second-hand", "no public figure"} {
			if !bytes.Contains(shippedText(name), []byte(said)) {
				t.Errorf("%s does not say where its figures are from: %s", name, said)
			}
		}
		escrowd(t, "policy", "show", name).check(t, exitOK, string(shippedText(name)), "")
		escrowd(t, "policy", "check", name).check(t, exitOK, name+": policy "+name+" is in order.", "")
		var shown order.Policy
		if err := json.Unmarshal([]byte(escrowd(t, "policy", "show", name, "--format=json").stdout), &shown); err != nil || shown.PayWithin != p.PayWithin {
			t.Errorf("%s as JSON: %+v, %v", name, shown, err)
		}
	}
	escrowd(t, "policy", "show", "express", "--format=text").check(t, exitOK, "confirm_by: 1 day from the delivery", "")
	escrowd(t, "policy", "show", "alibaba", "--format=text").check(t, exitOK, "escalation      by buyer or seller from 3 days after the dispute on\nfeedback        for 60 days after the order's end, revised once within 30 days of a reply\n", "")
	escrowd(t, "policy", "show", "other").check(t, exitUsage, "", `must be one of "alibaba"`)
	escrowd(t, "policy", "list").check(t, exitOK, "express     3 days   4 days   1 day", "")
	escrowd(t, "policy", "list", "--format=json").check(t, exitOK, `"pay_within": 259200`, "")
}

// The document that the help shows is one, and leaves no field out.
func TestPolicyDocument(t *testing.T) {
	_, text, _ := strings.Cut(policyDocument, "\n")
	p, err := policyfile.Parse("help", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for v, i := reflect.ValueOf(p), 0; i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "ID" && name != "Version" {
			t.Errorf("%s is not in it", name)
		}
	}
}

// What a policy means is said in words that leave nothing out.
func TestPolicyInWords(t *testing.T) {
	file := policyFile(t, policyText)
	want := file + `: policy shop is in order.

in force       from 2026-12-01T00:00:00Z on, in the marketplace's time
paid by        card, wallet
extension      of ship_by and confirm_by, by buyer and seller 2 times each, 1 day 12 hours at most
later refunds  none
chargebacks    lost as they come; of what was released the seller pays for a lost one
other fees     5 % of the amount
fee in JPY     4.5 % of the amount plus JPY 30, at least JPY 100, at most JPY 5000, and 10.5 % tax on the fee
example        the buyer pays JPY 100; fee JPY 100, tax on it JPY 0; the seller gets JPY 0.

agreed        until      pay_by: 5 days from the agreement
              who        buyer: The buyer pays; until then anyone may cancel.
              otherwise  The order expires; no money has moved.

authorised    until      capture_by: 6 days from the authorisation
              who        operator: The marketplace captures the payment; until then buyer, seller or marketplace may void it.
              otherwise  The authorisation is voided and the order expires; no money has moved.

held          until      ship_by: 4 days from the payment
              who        seller: The seller ships; until then buyer or seller may cancel.
              otherwise  The order is canceled and all that is held goes back to the buyer.

shipped       until      confirm_by: 15 days from the shipment
              who        buyer: The buyer confirms or opens a dispute; a reported delivery starts the time to confirm anew.
              otherwise  What is held is released to the seller, less the fee.

delivered     until      confirm_by: 7 days from the delivery
              who        buyer: The buyer confirms or opens a dispute.
              otherwise  What is held is released to the seller, less the fee.

disputed      until      rule_by: 14 days from the dispute
              who        seller, operator: The marketplace rules how what is held is split.
              otherwise  Nothing moves by itself: the money stays frozen and the order is reported as overdue.

ruled         until      mature_at: 2 days from the ruling or settlement
              who        system: Nobody has to act.
              otherwise  The seller's money becomes available at that moment.

released      until      mature_at: 2 days from the release
              who        system: Nobody has to act.
              otherwise  The seller's money becomes available at that moment.

charged_back  until      represent_by: at once
              who        operator: The policy gives nobody time to represent the payment.
              otherwise  The chargeback is lost: what is held pays for it, and the seller bears the rest.
`
	if r := escrowd(t, "policy", "check", file); r.code != exitOK || r.stdout != want || r.stderr != "" {
		t.Errorf("exit %d, %s\ngot:\n%s\nwant:\n%s", r.code, r.stderr, r.stdout, want)
	}
}

// Fees that differ are said rule by rule, and what an order comes to method by
// method.
func TestFeeRulesInWords(t *testing.T) {
	text := strings.Replace(policyText, "effective: 2026-12-01\n", "", 1) + `fee_rules:
  - {method: card, tier: gold, bps: 250}
  - {method: card, currency: JPY, bps: 300, fixed: 30, borne_by: split, buyer_bps: 5000}
  - {tier: new, bps: 900, tax_bps: 500, borne_by: buyer}
taxes: {DE: 1900, US-CA: 725, "*": 0}
`
	file := policyFile(t, text)
	escrowd(t, "policy", "check", file).check(t, exitOK, `fee rule 1      paid by card, seller's tier gold: 2.5 % of the amount
fee rule 2      paid by card, in JPY: 3 % of the amount plus JPY 30; the buyer pays 50 % of it on top
fee rule 3      seller's tier new: 9 % of the amount, and 5 % tax on the fee; the buyer pays it on top
tax on the fee  by the seller's jurisdiction: DE 19 %, US-CA 7.25 %, elsewhere 0 %
example         by card: the buyer pays JPY 116, of which JPY 16 is for the fee; fee JPY 33, tax on it JPY 0; the seller gets JPY 83.
                by wallet: the buyer pays JPY 100; fee JPY 100, tax on it JPY 0; the seller gets JPY 0.
`, "")

	flags, _ := testStore(t)
	escrowd(t, "marketplace", "create", "acme", "--test-clock", "2026-11-01T00:00:00Z", "--database-url", flags.DatabaseURL).check(t, exitOK, "", "")
	escrowd(t, "policy", "add", "acme", file, "--database-url", flags.DatabaseURL).check(t, exitOK, "version 1", "")
	quote := func(args ...string) result {
		return escrowd(t, append([]string{"order", "quote", "acme", "JPY", "10000", "--policy", "shop", "--database-url", flags.DatabaseURL}, args...)...)
	}
	quote().check(t, exitOK, `version 1:
    by card: the buyer pays JPY 10165, of which JPY 165 is for the fee; fee JPY 330, tax on it JPY 0; the seller gets JPY 9835.
    by wallet: `, "")
	quote("--seller-tier", "new", "--jurisdiction", "DE").check(t, exitOK,
		"by wallet: the buyer pays JPY 11071, of which JPY 1071 is for the fee; fee JPY 900, tax on it JPY 171; the seller gets JPY 10000.\n", "")
	quote("--seller-tier", "New").check(t, exitUsage, "", "seller_tier: must be")
	quote("--jurisdiction", "Germany").check(t, exitUsage, "", "jurisdiction: must be")
}

func TestPolicyCheckMistakes(t *testing.T) {
	good := policyFile(t, policyText)
	bad := policyFile(t, strings.NewReplacer("ship_within: 96h", "ship_within: 0", "bps: 450", "bpps: 450", "min: 100", "min: 6000").Replace(policyText))
	mistakes := []string{
		bad + ":5:14: ship_within: must be from 1 second to 3660 days: with 0 a state has no deadline (rule deadline)",
		bad + ":15:8: fees[JPY].bps: is missing",
		bad + ":15:9: fees[JPY].bpps: unknown field: did you mean bps?",
		bad + ":15:36: fees[JPY].min: is above cap",
	}
	r := escrowd(t, "policy", "check", bad)
	r.check(t, exitCheckFailed, "", "escrowd: error: 1 of 1 policies have mistakes\n")
	if want := strings.Join(mistakes, "\n") + "\n"; r.stdout != want {
		t.Errorf("got:\n%s\nwant:\n%s", r.stdout, want)
	}
	// A state without an owner, or without a deadline, by its rule and its line.
	for change, want := range map[[2]string]string{
		{"[card, wallet]", "[]"}:              ": methods: name at least one payment method: else an order that is agreed waits for the buyer, who can do nothing (rule owner)",
		{"fees:", "return_within: 1d\nfees:"}: ": return_within: return_within and inspect_within are both set or both 0: else a state has no deadline (rule deadline)",
	} {
		if !strings.Contains(policyText, change[0]) {
			t.Fatal(change[0])
		}
		file := policyFile(t, strings.Replace(policyText, change[0], change[1], 1))
		r := escrowd(t, "policy", "check", file)
		r.check(t, exitCheckFailed, want, "")
		if !regexp.MustCompile("(?m)^" + regexp.QuoteMeta(file) + `:\d+:\d+` + regexp.QuoteMeta(want)).MatchString(r.stdout) {
			t.Errorf("no line: %s", r.stdout)
		}
	}
	// A file that is wrong keeps none from being looked at, and weighs more than
	// one that is not there.
	r = escrowd(t, "policy", "check", bad, "nowhere.yaml", good)
	r.check(t, exitCheckFailed, good+": policy shop is in order.", "nowhere.yaml: no such file")
	escrowd(t, "policy", "check", "nowhere.yaml", good).check(t, exitUsage, "is in order", "those that come with escrowd are alibaba, express, inspection")

	later := policyFile(t, policyText+"refund_released_within: 30d\nrefund_fee: keep\nreserve_bps: 1000\nreserve_for: 90d\nrepresent_within: 14d\ndecision_within: 75d\nchargeback_borne_by: marketplace\n")
	r = escrowd(t, "policy", "check", later)
	for _, want := range []string{"of what was released for 30 days, of which the seller bears all: the fee stays", "10 % of what matures, for 90 days",
		"lost if nobody answers within 14 days; of what was released the marketplace pays for a lost one", "represent_by: 14 days from the chargeback"} {
		r.check(t, exitOK, want, "")
	}
	escrowd(t, "policy", "check", good).check(t, exitOK, "lost as they come; of what was released the seller pays for a lost one", "")
	escrowd(t, "policy", "check", policyFile(t, policyText+"reserve_bps: 1000\nrefund_fee: burn\n")).check(t, exitCheckFailed, "refund_fee: must be return or keep", "")

	festive := policyFile(t, policyText+"confirm_virtual: 36h\ncalendar: {name: cn, days: [2026-10-01, 2026-10-02]}\n")
	r = escrowd(t, "policy", "check", festive)
	r.check(t, exitOK, "confirmed within 1 day 12 hours of their shipment", "")
	r.check(t, exitOK, "2 of calendar cn, from 2026-10-01 to 2026-10-02; each lengthens the time to confirm by a day", "")
	r.check(t, exitOK, ", and a day for each holiday of calendar cn in it", "")

	r = escrowd(t, "policy", "check", "--format=json", bad, good)
	var list []checkedPolicy
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || r.code != exitCheckFailed || len(list) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	m := list[0].Mistakes
	if list[0].OK || len(m) != 4 || m[0].Line != 5 || m[0].Column != 14 || m[0].Field != "ship_within" || m.Error() != strings.Join(mistakes, "\n") {
		t.Errorf("%+v", list[0])
	}
	if !list[1].OK || list[1].Policy.PayWithin != 5*24*60*60 || list[1].Example.Fee != 100 || len(list[1].Example.Steps) != 9 {
		t.Errorf("%+v", list[1])
	}
}

// A policy is given to a marketplace from a file, by its name or by what was
// listed; one that is to come waits, and says so.
func TestPolicyAdd(t *testing.T) {
	flags, _ := testStore(t)
	policy := func(args ...string) result {
		return escrowd(t, append(append([]string{"policy"}, args...), "--database-url", flags.DatabaseURL)...)
	}
	escrowd(t, "marketplace", "create", "acme", "--test-clock", "2026-11-01T00:00:00Z", "--database-url", flags.DatabaseURL).check(t, exitOK, "marketplace 1", "")

	policy("add", "acme", "alibaba").check(t, exitOK, "policy alibaba version 1 of marketplace acme\n", "")
	policy("add", "acme", "alibaba").check(t, exitOK, "policy alibaba version 1 of marketplace acme\n", "")
	policy("add", "acme", "express", "--as", "standard").check(t, exitOK, "policy standard version 2 of marketplace acme\n", "")
	policy("add", "acme", "express", "--as", "My Own").check(t, exitUsage, "", "--as")
	policy("add", "acme", "other").check(t, exitUsage, "", "those that come with escrowd are")
	policy("add", "nowhere", "express").check(t, exitUsage, "", `no marketplace "nowhere"`)

	file := policyFile(t, policyText)
	policy("add", "acme", file).check(t, exitOK, "policy shop version 1 of marketplace acme, in force from 2026-12-01T00:00:00Z\n", "")
	later := policyFile(t, strings.NewReplacer("2026-12-01", "2027-01-01", "pay_within: 5d", "pay_within: 6d").Replace(policyText))
	policy("add", "acme", later).check(t, exitOK, "policy shop version 2 of marketplace acme, in force from 2027-01-01T00:00:00Z\n", "")
	policy("list", "acme", "--format", "table").check(t, exitOK, `name      version  effective             state
alibaba   1        -                     in force
shop      1        2026-12-01T00:00:00Z  waits
shop      2        2027-01-01T00:00:00Z  waits
standard  2        -                     in force
`, "")
	sooner := policyFile(t, strings.NewReplacer("2026-12-01", "2026-12-24T18:00:00+01:00", "pay_within: 5d", "pay_within: 7d").Replace(policyText))
	policy("add", "acme", sooner).check(t, exitOK, "version 3 of marketplace acme, in force from 2026-12-24T17:00:00Z",
		"version 2, which waited for 2027-01-01T00:00:00Z, is withdrawn by this one\n")
	policy("list", "acme", "shop", "--format", "table").check(t, exitOK, `name  version  effective             state
shop  1        2026-12-01T00:00:00Z  waits
shop  3        2026-12-24T17:00:00Z  waits
`, "")

	r := policy("add", "acme", policyFile(t, "name: x\npay: 5\n"))
	r.check(t, exitUsage, "", ":2:1: pay: unknown field")
	if strings.Count(r.stderr, "\n") != 1 {
		t.Errorf("more than one line: %s", r.stderr)
	}

	policy("list", "acme", "shop").check(t, exitOK, `"effective": "2026-12-01T00:00:00Z"`, "")
	again := policyFile(t, strings.Replace(policy("list", "acme", "standard").stdout, `"version": 2,`, `"version": 2, "effective": "2026-11-01T00:00:00Z",`, 1))
	policy("add", "acme", again).check(t, exitOK, "policy standard version 3 of marketplace acme\n", "")
	var all []order.Policy
	if err := json.Unmarshal([]byte(policy("list", "acme").stdout), &all); err != nil || len(all) != 4 {
		t.Errorf("%+v, %v", all, err)
	}
	policy("list", "acme", "none").check(t, exitUsage, "", `has no policy "none"`)
}

func TestOrderQuote(t *testing.T) {
	flags, s := testStore(t)
	quote := func(args ...string) result {
		return escrowd(t, append(append([]string{"order", "quote", "acme"}, args...), "--database-url", flags.DatabaseURL)...)
	}
	escrowd(t, "marketplace", "create", "acme", "--test-clock", "2026-11-01T00:00:00Z", "--database-url", flags.DatabaseURL).check(t, exitOK, "", "")
	file := policyFile(t, policyText)
	escrowd(t, "policy", "add", "acme", file, "--as", "standard", "--database-url", flags.DatabaseURL).check(t, exitOK, "version 2", "")

	quote("USD", "129.90").check(t, exitOK, "Agreed at 2026-11-01T00:00:00Z under policy standard version 1: "+
		"the buyer pays USD 129.90; fee USD 6.50, tax on it USD 0.00; the seller gets USD 123.40.\n\nagreed        until      pay_by: 5 days from the agreement\n", "")
	quote("USD", "129.90", "--virtual").check(t, exitOK, "confirm_by: 3 days from the shipment", "")
	quote("JPY", "10000", "--virtual", "--at", "2026-12-01T00:00:00Z").check(t, exitUsage, "", "virtual: policy standard has no confirm_virtual")
	escrowd(t, "policy", "add", "acme", "inspection", "--database-url", flags.DatabaseURL).check(t, exitOK, "inspection version 1", "")
	quote("USD", "129.90", "--policy", "inspection", "--confirm-within", "14d").check(t, exitOK, "confirm_by: 14 days from the delivery, as agreed", "")
	quote("USD", "129.90", "--policy", "inspection").check(t, exitOK, "confirm_by: 7 days from the delivery\n", "")
	quote("USD", "129.90", "--policy", "inspection", "--confirm-within", "31d").check(t, exitUsage, "", "lets from 1 day to 30 days be agreed to confirm from the delivery, not 31 days")
	quote("USD", "129.90", "--confirm-within", "14d").check(t, exitUsage, "", "none can be agreed")
	quote("USD", "129.90", "--confirm-within", "0").check(t, exitUsage, "", "--confirm-within: must be longer than nothing")
	quote("USD", "129.90", "--confirm-within", "two weeks").check(t, exitUsage, "", "--confirm-within: must be a duration like 5d")
	r := quote("JPY", "10000", "--at", "2026-12-01T00:00:00Z", "--format", "json")
	var q api.Quote
	if err := json.Unmarshal([]byte(r.stdout), &q); err != nil {
		t.Fatal(r, err)
	}
	if q.PolicyVersion != 2 || q.BuyerPays != 10_000 || q.Fee != 480 || q.Tax != 50 || q.SellerGets != 9_470 || len(q.Steps) != 9 ||
		q.Steps[2].Within != int64(96*time.Hour/time.Second) {
		t.Errorf("%+v", q)
	}
	quote("USD", "129.9").check(t, exitUsage, "", "has 1 decimals, USD has 2")
	quote("usd", "1.00").check(t, exitUsage, "", "not an ISO 4217 currency")
	quote("USD", "0.00").check(t, exitUsage, "", "amount: must be from 1")
	quote("USD", "90071992547409.92").check(t, exitUsage, "", "more than an order can be about")
	quote("USD", "1.00", "--policy", "other").check(t, exitUsage, "", "no such policy")
	var orders int
	if err := s.DB.Get(&orders, `SELECT count(*) FROM orders`); err != nil || orders != 0 {
		t.Errorf("%d orders: a quote left one (%v)", orders, err)
	}
}
