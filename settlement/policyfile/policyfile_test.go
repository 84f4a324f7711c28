package policyfile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"escrowd/settlement/order"
)

const good = `# what a person writes
name: shop
effective: 2026-12-01
pay_within: 5d
ship_within: 96h
confirm_after_delivery: 1d12h
confirm_after_shipment: 1296000 # seconds
extend_times: 1
extend_by: 30m
rule_within: "14d"
mature_after: 0
methods: [card, bank_transfer]
fees:
  "*": {bps: 500}
  USD:
    bps: 450
    fixed: 30
    min: 100
    cap: 5000
    tax_bps: 1900
`

func TestParse(t *testing.T) {
	p, err := Parse("f", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	const day = 86400
	want := order.Policy{Name: "shop", Effective: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC),
		PayWithin: 5 * day, ShipWithin: 4 * day, ConfirmAfterDelivery: day + day/2, ConfirmAfterShipment: 15 * day,
		ExtendTimes: 1, ExtendBy: 1800, RuleWithin: 14 * day, Methods: []string{"card", "bank_transfer"},
		Fees: map[string]order.Fee{"*": {Bps: 500}, "USD": {Bps: 450, Fixed: 30, Min: 100, Cap: 5000, TaxBps: 1900}}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
}

// What is listed as JSON can be edited and read, its version passed over.
func TestParseJSON(t *testing.T) {
	p := order.Standard()
	p.Effective = time.Date(2026, 12, 1, 9, 0, 0, 1000, time.UTC)
	p.Version = 7
	for _, indent := range []string{"", "  ", "\t"} {
		text, err := json.MarshalIndent(p, "", indent)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse("f", text)
		want := p
		want.Version = 0
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("indented by %q: %+v, %v", indent, got, err)
		}
	}
}

// The steps of a dispute are fields like others, and their mistakes have lines.
func TestDisputeSteps(t *testing.T) {
	text := good + "respond_within: 5d\nnegotiate_within: 4d\nescalate_after: 3d\nevidence_within: 7d\nreturn_within: 48h\ninspect_within: 1d\nauthorise_within: 7d\n"
	p, err := Parse("f", []byte(text))
	const day = 86400
	if err != nil || p.RespondWithin != 5*day || p.NegotiateWithin != 4*day || p.EscalateAfter != 3*day || p.EvidenceWithin != 7*day ||
		p.ReturnWithin != 2*day || p.InspectWithin != day || p.AuthoriseWithin != 7*day {
		t.Errorf("%+v, %v", p, err)
	}
	for change, want := range map[[2]string]string{
		{"negotiate_within: 4d\n", ""}: "f:21:17: respond_within: respond_within, negotiate_within and evidence_within are all set or all 0: else a state has no deadline (rule deadline)\n" +
			"f:22:17: escalate_after: there is no negotiation to escalate: negotiate_within is 0\n" +
			"f:24:16: return_within: a return is agreed in a negotiation, and negotiate_within is 0",
		{"inspect_within: 1d\n", ""}:                 "f:25:16: return_within: return_within and inspect_within are both set or both 0: else a state has no deadline (rule deadline)",
		{"escalate_after: 3d", "escalate_after: 9d"}: "f:23:17: escalate_after: must be shorter than respond_within and negotiate_within together: by then every negotiation is over",
	} {
		_, err := Parse("f", []byte(strings.Replace(text, change[0], change[1], 1)))
		if err == nil || err.Error() != want {
			t.Errorf("%q: got:\n%v\nwant:\n%s", change, err, want)
		}
	}
}

// The bounds of an agreed time to confirm are fields like others.
func TestInspection(t *testing.T) {
	text := good + "confirm_agreed_min: 1d\nconfirm_agreed_max: 15d\n"
	if p, err := Parse("f", []byte(text)); err != nil || p.ConfirmAgreedMin != 86400 || p.ConfirmAgreedMax != 15*86400 {
		t.Errorf("%+v, %v", p, err)
	}
	for change, want := range map[[2]string]string{
		{"confirm_agreed_max: 15d\n", ""}: "f:21:21: confirm_agreed_min: confirm_agreed_min and confirm_agreed_max are both set or both 0",
		{"_min: 1d", "_min: 16d"}:         "f:21:21: confirm_agreed_min: must not be longer than confirm_agreed_max",
		{"_max: 15d", "_max: 16d"}:        "f:22:21: confirm_agreed_max: must not be longer than confirm_after_shipment: a delivery that nobody reports would cut it short",
	} {
		_, err := Parse("f", []byte(strings.Replace(text, change[0], change[1], 1)))
		if err == nil || err.Error() != want {
			t.Errorf("%q: got:\n%v\nwant:\n%s", change, err, want)
		}
	}
	for text, want := range map[string]order.Seconds{"14d": 14 * 86400, "1d12h": 36 * 3600, "90": 90, "-1": -1, "": 0, "14 days": 0, "d": 0, "0x10": 0} {
		if got, err := ParseSeconds(text); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

// Holidays are written as YAML writes days, or as texts, and their mistakes have
// lines.
func TestCalendar(t *testing.T) {
	text := good + "confirm_virtual: 3d\ncalendar:\n  name: cn\n  days: [2026-10-01, \"2026-10-02\"]\n"
	p, err := Parse("f", []byte(text))
	if err != nil || p.ConfirmVirtual != 3*86400 || !reflect.DeepEqual(p.Calendar, order.Calendar{Name: "cn", Days: []order.Day{"2026-10-01", "2026-10-02"}}) {
		t.Errorf("%+v, %v", p, err)
	}
	for change, want := range map[[2]string]string{
		{"2026-10-01,", "2026-10-1,"}:                    "f:24:10: calendar.days[0]: must be a day like 2026-10-01",
		{"2026-10-01,", "2026-10-01T00:00:00Z,"}:         "f:24:10: calendar.days[0]: must be a day like 2026-10-01",
		{"2026-10-01,", "20261001,"}:                     "f:24:10: calendar.days[0]: must be a day like 2026-10-01",
		{"2026-10-01,", "2026-10-03,"}:                   "f:24:22: calendar.days[1]: must be after the day before it in the list",
		{"name: cn", "name: CN"}:                         "f:23:9: calendar.name: must match ^[a-z][a-z0-9_-]{0,31}$",
		{"  name: cn\n", ""}:                             "f:23:3: calendar.name: is missing: must match ^[a-z][a-z0-9_-]{0,31}$",
		{`[2026-10-01, "2026-10-02"]`, "[]"}:             "f:24:9: calendar.days: must have from 1 to 400 days",
		{"confirm_virtual: 3d", "confirm_virtual: soon"}: "f:21:18: confirm_virtual: must be a duration like 5d, 96h, 30m, 1d12h, or an integer of seconds",
	} {
		_, err := Parse("f", []byte(strings.Replace(text, change[0], change[1], 1)))
		if err == nil || err.Error() != want {
			t.Errorf("%q: got:\n%v\nwant:\n%s", change, err, want)
		}
	}
}

// Rules of fees and taxes are read with all that a fee has, and their mistakes
// have lines.
func TestFeeRules(t *testing.T) {
	text := good + `fee_rules:
  - {method: card, tier: gold, bps: 250}
  - method: card
    currency: USD
    bps: 300
    fixed: 30
    borne_by: split
    buyer_bps: 5000
taxes: {DE: 1900, "*": 0}
`
	p, err := Parse("f", []byte(text))
	rules := []order.FeeRule{{Method: "card", Tier: "gold", Fee: order.Fee{Bps: 250}},
		{Method: "card", Currency: "USD", Fee: order.Fee{Bps: 300, Fixed: 30}, BorneBy: order.BothBear, BuyerBps: 5000}}
	if err != nil || !reflect.DeepEqual(p.FeeRules, rules) || !reflect.DeepEqual(p.Taxes, map[string]int64{"DE": 1900, "*": 0}) {
		t.Errorf("%+v, %v", p, err)
	}
	for change, want := range map[[2]string]string{
		{"borne_by: split", "borne_by: both"}:        "f:27:15: fee_rules[1].borne_by: must be seller, buyer or split",
		{"buyer_bps: 5000", "buyer_bips: 5000"}:      "f:23:5: fee_rules[1].buyer_bps: must be from 1 to 9999 basis points where borne_by is split\nf:28:5: fee_rules[1].buyer_bips: unknown field: did you mean buyer_bps?",
		{"tier: gold, bps: 250", "bps: 250"}:         "f:23:5: fee_rules[1]: never applies: fee_rules[0] fits the same orders and comes first",
		{"gold, bps: 250", "gold"}:                   "f:22:5: fee_rules[0].bps: is missing",
		{"gold, bps: 250", "gold, bps: 250, min: 1"}: "f:22:47: fee_rules[0].min: is an amount and needs a currency",
		{"DE: 1900", "DE: 19.00"}:                    "f:29:13: taxes[DE]: must be an integer, in decimal digits alone",
		{"DE: 1900", "de: 1900"}:                     `f:29:9: taxes[de]: not a jurisdiction like DE or US-CA, nor "*"`,
	} {
		_, err := Parse("f", []byte(strings.Replace(text, change[0], change[1], 1)))
		if err == nil || err.Error() != want {
			t.Errorf("%q: got:\n%v\nwant:\n%s", change, err, want)
		}
	}
}

// Each document is the good one with one thing, or some, changed. The messages
// are whole: where, which field, what is wrong and what is allowed.
func TestMistakes(t *testing.T) {
	const (
		durationIs = "must be a duration like 5d, 96h, 30m, 1d12h, or an integer of seconds"
		timeIs     = "must be a date like 2026-12-01 (from midnight UTC) or an instant by RFC 3339 like 2026-12-01T09:00:00Z"
		integerIs  = "must be an integer, in decimal digits alone"
		noDeadline = "must be from 1 second to 3660 days: with 0 a state has no deadline (rule deadline)"
	)
	for _, c := range []struct {
		name    string
		replace []string // old, new, old, new ...
		want    []string
	}{
		{"a misspelt field", []string{"pay_within", "pay_wihtin"},
			[]string{"f:2:1: pay_within: is missing: " + noDeadline, "f:4:1: pay_wihtin: unknown field: did you mean pay_within?"}},
		{"another spelling", []string{"pay_within", "Pay-Within"},
			[]string{"f:2:1: pay_within: is missing: " + noDeadline, "f:4:1: Pay-Within: unknown field: did you mean pay_within?"}},
		{"a field of nowhere", []string{"    cap:", "    colour:"},
			[]string{"f:19:5: fees[USD].colour: unknown field: known are bps, cap, fixed, min, tax_bps"}},
		{"a field within a fee", []string{"tax_bps", "taxbps"},
			[]string{"f:20:5: fees[USD].taxbps: unknown field: did you mean tax_bps?"}},
		{"a key twice", []string{"ship_within", "pay_within"},
			[]string{"f:2:1: ship_within: is missing: " + noDeadline, "f:5:1: pay_within: stands twice, first in line 4"}},
		{"a currency twice", []string{`"*": {bps: 500}`, `USD: {bps: 1}`},
			[]string{"f:15:3: fees[USD]: stands twice, first in line 14"}},
		{"a duration without a unit that is known", []string{"5d", "5w"}, []string{"f:4:13: pay_within: " + durationIs}},
		{"a duration in the wrong order", []string{"1d12h", "12h1d"}, []string{"f:6:25: confirm_after_delivery: " + durationIs}},
		{"a duration with a point", []string{"96h", "1.5"}, []string{"f:5:14: ship_within: " + durationIs}},
		{"a duration of nothing", []string{"96h", `""`}, []string{"f:5:14: ship_within: " + durationIs}},
		{"a duration that is not said", []string{" 96h", ""}, []string{"f:5:13: ship_within: " + durationIs}},
		{"a duration that is a list", []string{"96h", "[96h]"}, []string{"f:5:14: ship_within: " + durationIs}},
		{"a duration beyond 64 bits", []string{"96h", "999999999999d999999999999d"}, []string{"f:5:14: ship_within: " + durationIs}},
		{"a duration beyond all seconds", []string{"96h", "99999999999999999999"}, []string{"f:5:14: ship_within: " + durationIs}},
		{"a duration beyond ten years", []string{"96h", "4000d"}, []string{"f:5:14: ship_within: must be from 1 second to 3660 days"}},
		{"a negative duration", []string{"96h", "-1"}, []string{"f:5:14: ship_within: must be from 1 second to 3660 days"}},
		{"a state without a deadline", []string{"96h", "0"},
			[]string{"f:5:14: ship_within: " + noDeadline}},
		{"an amount with a point", []string{"min: 100", "min: 1.00"}, []string{"f:18:10: fees[USD].min: " + integerIs}},
		{"an amount with an exponent", []string{"min: 100", "min: 1e2"}, []string{"f:18:10: fees[USD].min: " + integerIs}},
		{"an amount in hexadecimal", []string{"min: 100", "min: 0x64"}, []string{"f:18:10: fees[USD].min: " + integerIs}},
		{"an amount with a thousands separator", []string{"cap: 5000", "cap: 5_000"}, []string{"f:19:10: fees[USD].cap: " + integerIs}},
		{"an amount in quotes", []string{"min: 100", `min: "100"`}, []string{"f:18:10: fees[USD].min: " + integerIs}},
		{"an amount beyond 64 bits", []string{"min: 100", "min: 9223372036854775808"},
			[]string{"f:18:10: fees[USD].min: must fit a signed integer of 64 bits"}},
		{"times beyond 16 bits", []string{"extend_times: 1", "extend_times: 40000"},
			[]string{"f:8:15: extend_times: must fit a signed integer of 16 bits"}},
		{"min above cap", []string{"min: 100", "min: 5001"}, []string{"f:18:10: fees[USD].min: is above cap"}},
		{"basis points", []string{"tax_bps: 1900", "tax_bps: 10001"}, []string{"f:20:14: fees[USD].tax_bps: must be from 0 to 10000 basis points"}},
		{"an amount of no currency", []string{"{bps: 500}", "{bps: 500, min: 1}"},
			[]string{"f:14:24: fees[*].min: is an amount and needs a currency"}},
		{"no currency", []string{"USD", "DOLLAR"}, []string{`f:15:3: fees[DOLLAR]: not an ISO 4217 currency, nor "*"`}},
		{"a fee without its rate", []string{"{bps: 500}", "{}"}, []string{"f:14:8: fees[*].bps: is missing"}},
		{"a fee that is a number", []string{"{bps: 500}", "500"}, []string{"f:14:8: fees[*]: must be fields with values"}},
		{"methods in one word", []string{"[card, bank_transfer]", "card"}, []string{"f:12:10: methods: must be a list"}},
		{"no methods", []string{"[card, bank_transfer]", "[]"}, []string{"f:12:10: methods: name at least one payment method: else an order that is agreed waits for the buyer, who can do nothing (rule owner)"}},
		{"a method that is a number", []string{"bank_transfer", "42"}, []string{"f:12:17: methods[1]: must be text: put it in quotes"}},
		{"a method that is nothing", []string{"bank_transfer", "null"}, []string{"f:12:17: methods[1]: must be text"}},
		{"a method twice", []string{"bank_transfer", "card"}, []string{"f:12:17: methods[1]: named twice"}},
		{"a name that is none", []string{"name: shop", "name: My Shop"}, []string{"f:2:7: name: must match ^[a-z][a-z0-9_-]{0,31}$"}},
		{"a date that is none", []string{"2026-12-01", "2026-02-30"}, []string{"f:3:12: effective: " + timeIs}},
		{"a time without a zone", []string{"2026-12-01", "2026-12-01T09:00:00"}, []string{"f:3:12: effective: " + timeIs}},
		{"a time with one digit", []string{"2026-12-01", "2026-12-01T9:00:00Z"}, []string{"f:3:12: effective: " + timeIs}},
		{"a year alone", []string{"2026-12-01", "2026"}, []string{"f:3:12: effective: " + timeIs}},
		{"a date out of range", []string{"2026-12-01", "2226-12-01"}, []string{"f:3:12: effective: must be from 1971 to 2199"}},
		{"nanoseconds", []string{"2026-12-01", "2026-12-01T00:00:00.000000001Z"}, []string{"f:3:12: effective: must not be finer than microseconds"}},
		{"an alias", []string{"5d", "&a 5d", "96h", "*a"}, []string{"f:5:14: ship_within: must be written out: aliases are not read"}},
		{"a merge", []string{"    bps: 450\n", "    <<: {bps: 450}\n"},
			[]string{"f:16:5: fees[USD].<<: unknown field: known are bps, cap, fixed, min, tax_bps", "f:16:5: fees[USD].bps: is missing"}},
		{"a tag", []string{"{bps: 500}", "!mine {bps: 500}"}, []string{"f:14:8: fees[*]: must be fields with values"}},
		{"a key that is a list", []string{"mature_after: 0", "mature_after: 0\n? [a]\n: 1"}, []string{"f:12:3: a name must be a word"}},
		{"a list", []string{good, "- name"}, []string{"f:1:1: must be fields with values"}},
		{"a word", []string{good, "name"}, []string{"f:1:1: must be fields with values"}},
		{"nothing", []string{good, ""}, []string{"f:1:1: the document is empty"}},
		{"a comment alone", []string{good, "# later\n"}, []string{"f:1:1: the document is empty"}},
		{"two documents", []string{"tax_bps: 1900\n", "tax_bps: 1900\n---\nname: other\n"},
			[]string{"f:21:1: a second document begins: a file has one policy"}},
		{"no YAML", []string{"methods: [card", "methods: [card: ]:"}, []string{"f:1:1: not YAML, here or below: did not find expected key"}},
		{"a control character", []string{"shop", "sh\x01op"}, []string{"f:1:1: not YAML, here or below: control characters are not allowed"}},
		{"too large", []string{"# what", "#" + strings.Repeat("x", MaxSize)}, []string{"f:1:1: the document is larger than 65536 bytes"}},
		{"many at once", []string{"shop", "My Shop", "pay_within: 5d", "pay_within: soon", "extend_by: 30m", "extend_by: 0", "bps: 450", "bps: -1",
			"min: 100", "min: 1.5"},
			[]string{"f:2:7: name: must match ^[a-z][a-z0-9_-]{0,31}$", "f:4:13: pay_within: " + durationIs,
				"f:9:12: extend_by: must be positive where extend_times is", "f:16:10: fees[USD].bps: must be from 0 to 10000 basis points",
				"f:18:10: fees[USD].min: " + integerIs}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := good
			for i := 0; i < len(c.replace); i += 2 {
				if !strings.Contains(text, c.replace[i]) {
					t.Fatalf("there is no %q to replace", c.replace[i])
				}
				text = strings.Replace(text, c.replace[i], c.replace[i+1], 1)
			}
			p, err := Parse("f", []byte(text))
			if err == nil {
				t.Fatalf("read as %+v", p)
			}
			if want := strings.Join(c.want, "\n"); err.Error() != want {
				t.Errorf("got:\n%v\nwant:\n%s", err, want)
			}
			if !reflect.DeepEqual(p, order.Policy{}) {
				t.Errorf("half of it was read: %+v", p)
			}
		})
	}
}

// Every type that a policy has can be read, with everything in it: a field that
// is added to it and cannot be shows here, not when somebody writes it.
func TestEveryFieldCanBeRead(t *testing.T) {
	var check func(typ reflect.Type)
	check = func(typ reflect.Type) {
		switch {
		case typ == secondsType, typ == timeType, typ.Kind() == reflect.String, typ.Kind() == reflect.Bool, reflect.Zero(typ).CanInt():
		case typ.Kind() == reflect.Pointer, typ.Kind() == reflect.Slice:
			check(typ.Elem())
		case typ.Kind() == reflect.Map && typ.Key().Kind() == reflect.String:
			check(typ.Elem())
		case typ.Kind() == reflect.Struct:
			for _, f := range fieldsOf(typ) {
				if f.name == "" {
					t.Errorf("%s has a field without a JSON name", typ)
				}
				check(typ.FieldByIndex(f.index).Type)
			}
		default:
			t.Errorf("a %s cannot be read", typ)
		}
	}
	check(reflect.TypeFor[order.Policy]())
}

// Whatever the text, Parse ends with a policy that is valid, or with mistakes
// that each have a place.
func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(strings.Replace(good, "5d", "&a {<<: *a}", 1))
	f.Add("{name: [], ? {}: x, fees: {USD: {bps: *x}}}")
	f.Add("%YAML 1.1\n---\n- !!binary x\n...\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("f", []byte(text))
		if err == nil {
			if err := p.Validate(); err != nil {
				t.Errorf("read what is not valid: %v", err)
			}
			return
		}
		mistakes, ok := err.(Mistakes)
		if !ok || len(mistakes) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Detail == "" {
				t.Errorf("no place or no words: %+v", m)
			}
		}
	})
}
