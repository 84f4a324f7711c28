package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// People of the demo's marketplace: one proposes, the other approves.
const (
	maker   = "eve@demo.example"
	checker = "max@demo.example"
)

// Treasury does what the demo's finance people do when the orders' time stops:
// sellers are paid out, the provider settles, and some money waits to be looked
// at. Each step has a key, so doing it again adds nothing.
func Treasury(ctx context.Context, c *client.Client) error {
	t := treasurer{ctx: ctx, client: c}
	for i := 1; i <= 12; i++ {
		t.seller(i)
	}
	t.entry("settled", api.NewEntry{Kind: "psp_settlement", Currency: "USD", Amount: 100_000_00, Fee: 290_00, Method: "card", Reference: "card 2026-03-31"})
	t.entry("swept", api.NewEntry{Kind: "fee_sweep", Currency: "USD", Amount: 5_000_00, Reference: "sweep 2026-03-31"})
	t.entry("unknown", api.NewEntry{Kind: "receipt", Currency: "BRL", Amount: 730_50, Method: "bank_transfer", Reference: "line 118"})
	known := t.entry("assigned", api.NewEntry{Kind: "receipt", Currency: "BRL", Amount: 55_00, Method: "bank_transfer", Reference: "line 119"})
	t.move(known, "assign", api.EntryAct{Party: "buyer-001", Note: "wrote that it is hers"})
	t.entry("repaid", api.NewEntry{Kind: "repayment", Currency: "BRL", Amount: 55_00, Party: "buyer-001", Method: "bank_transfer"})
	t.entry("adjusted", api.NewEntry{Kind: "adjustment", Currency: "USD", Amount: 3, Reason: "the provider rounds up", Person: maker,
		Debit: api.EntryAccount{Code: 5100}, Credit: api.EntryAccount{Code: 1100, Owner: "card"}})
	return t.err
}

// treasurer books entries until something fails.
type treasurer struct {
	ctx    context.Context
	client *client.Client
	err    error
}

func (t *treasurer) entry(key string, in api.NewEntry) string {
	if t.err != nil {
		return ""
	}
	made, err := t.client.MakeEntry(t.ctx, in, client.Key("treasury/"+key))
	if err != nil {
		t.err = fmt.Errorf("%s %s: %w", in.Kind, key, err)
	}
	return made.ID
}

func (t *treasurer) move(id, event string, in api.EntryAct) {
	if t.err != nil {
		return
	}
	if _, err := t.client.MoveEntry(t.ctx, id, event, in, client.Key("treasury/"+id+"/"+event)); err != nil {
		t.err = fmt.Errorf("%s of %s: %w", event, id, err)
	}
}

// seller has bank details, which for the last ones nobody has approved yet, and
// is paid out what there is in US dollars. The bank has said something else of
// each payout.
func (t *treasurer) seller(i int) {
	name := fmt.Sprintf("seller-%02d", i)
	details, err := json.Marshal(map[string]string{"holder": fmt.Sprintf("Seller %02d Ltd", i), "iban": fmt.Sprintf("DE%02d100000000123456%04d", 10+i, i)})
	if err != nil {
		panic(err) // words always have a JSON form
	}
	id := t.entry(name+"/details", api.NewEntry{Kind: "bank_details", Party: name, Details: details, Person: maker})
	if t.err == nil {
		_, t.err = t.client.SetPayee(t.ctx, api.SetPayee{Seller: name, Schedule: "weekly", Minimum: 1000})
	}
	if i > 9 || t.err != nil {
		return
	}
	e, err := t.client.Entry(t.ctx, id)
	if err != nil {
		t.err = err
		return
	}
	t.move(id, "approve", api.EntryAct{Person: checker, Digest: e.Digest})
	payout := t.payout(name)
	if payout == "" {
		return
	}
	for _, event := range [][]string{{}, {"accept"}, {"accept", "settle"}, {"fail"}, {"accept", "settle", "return"}}[i%5] {
		note := map[string]string{"fail": "account closed", "return": "holder's name differs"}[event]
		t.move(payout, event, api.EntryAct{Note: note})
	}
}

// payout pays a seller out, if an earlier run has not. It answers the entry, ""
// where there is nothing to pay out.
func (t *treasurer) payout(name string) string {
	if t.err != nil {
		return ""
	}
	made, err := t.client.Entries(t.ctx, client.EntryFilter{Kind: "payout", Party: name, Limit: 1})
	if err != nil {
		t.err = err
		return ""
	}
	if len(made.Entries) > 0 {
		return made.Entries[0].ID
	}
	available := t.available(name)
	if available == 0 {
		return ""
	}
	return t.entry(name+"/payout", api.NewEntry{Kind: "payout", Currency: "USD", Amount: available, Party: name})
}

// available is what the seller can be paid in US dollars.
func (t *treasurer) available(name string) int64 {
	if t.err != nil {
		return 0
	}
	has, err := t.client.Balances(t.ctx, name)
	if err != nil {
		t.err = err
		return 0
	}
	for _, b := range has.Balances {
		if b.Account == "seller_available" && b.Currency == "USD" {
			has, err := strconv.ParseInt(b.Amount, 10, 64)
			pending, err2 := strconv.ParseInt(b.Pending, 10, 64) // on its way, or kept for a chargeback
			t.err = errors.Join(err, err2)
			return has - pending
		}
	}
	return 0
}
