package treasury

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// standard is the standard policy as a document.
func standard() []byte {
	p := order.Standard()
	b, err := json.Marshal(&p)
	if err != nil {
		panic(err)
	}
	return b
}

// What is wrong with a ruling's or a policy's details is said when it is
// proposed.
func TestDetails(t *testing.T) {
	ruling := Terms{Kind: Ruling, Ledger: usd, Party: ledger.U64(7).UUID(), Amount: 100, Reason: "r", Maker: "eve"}
	policy := Terms{Kind: Policy, Maker: "eve"}
	for _, c := range []struct {
		terms   Terms
		details string
		want    string // in what is said; "" if nothing is
	}{
		{ruling, `{"to_buyer":40,"to_seller":60}`, ""},
		{ruling, `{"to_buyer":100}`, ""},
		{ruling, `{"to_buyer":40,"to_seller":61}`, "must sum"},
		{ruling, `{"to_buyer":-1,"to_seller":101}`, "must sum"},
		{ruling, `{"to_buyer":40,"to_seller":60,"to_nobody":0}`, "unknown field"},
		{ruling, `[]`, "JSON object"},
		{ruling, ``, "JSON object"},
		{policy, string(standard()), ""},
		{policy, strings.Replace(string(standard()), `"pay_within":432000`, `"pay_within":0`, 1), "pay_within"},
		{policy, strings.Replace(string(standard()), `"pay_within"`, `"pay_inside"`, 1), "unknown field"},
		{policy, `{}`, "name"},
	} {
		c.terms.Details = []byte(c.details)
		field, detail := c.terms.Check()
		if (field == "") != (c.want == "") || c.want != "" && (field != "details" || !strings.Contains(detail, c.want)) {
			t.Errorf("%s %s: %s %q, want %q", c.terms.Kind, c.details, field, detail, c.want)
		}
	}
	ruling.Party, ruling.Details = "bob", []byte(`{"to_buyer":100}`)
	if field, detail := ruling.Check(); field != "details" || !strings.Contains(detail, "order's id") {
		t.Errorf("of no order: %s %s", field, detail)
	}
}

// A ruling is bound to the dispute that it was proposed in.
func TestRulingBinds(t *testing.T) {
	claim := order.Claim{OpenedAt: t0}
	var r RulingTerms
	r.Bind(&claim)
	again, appealed := claim, claim
	again.OpenedAt, appealed.Appealed = t0.Add(time.Hour), order.Buyer
	if !r.Binds(&claim) || r.Binds(&again) || r.Binds(&appealed) || r.Binds(nil) {
		t.Errorf("%+v", r)
	}
	r.Bind(nil)
	if r.Binds(nil) || r.Binds(&claim) {
		t.Error("a ruling of no dispute binds one")
	}
}
