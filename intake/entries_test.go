package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"testing"
	"time"

	"escrowd/intake/api"
	"escrowd/intake/client"
)

// TestEntries takes money that is no order's through the API: a transfer that
// came in short, late and in excess, and a payout to details that another
// person approved.
func TestEntries(t *testing.T) {
	s := newSetup(t)
	ctx, c := t.Context(), s.client
	made, entry := must[api.EntryMade](t), must[api.Entry](t)

	o := s.agreed("short", 10_000)
	receipt := api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 9_900, Method: "bank_transfer", Reference: "line 1", Orders: []string{o.ID}}
	m := made(c.MakeEntry(ctx, receipt, client.Key("r1")))
	if m.State != "done" || m.Party != o.Buyer || len(m.Paid) != 0 || m.Unpaid == nil || m.Unpaid.Type != api.ProblemLedger || m.Unpaid.Reason != "exceeds_credits" {
		t.Errorf("short: %+v", m)
	}
	if again := made(c.MakeEntry(ctx, receipt, client.Key("r1"))); again.ID != m.ID {
		t.Errorf("the same receipt again: %+v", again)
	}
	receipt.Reference, receipt.Amount = "line 2", 250
	m = made(c.MakeEntry(ctx, receipt))
	if len(m.Paid) != 1 || m.Paid[0].State != "held" || m.Unpaid != nil {
		t.Errorf("topped up: %+v", m)
	}
	late := s.agreed("late", 5_000)
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(6*24*time.Hour), false))
	m = made(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 5_000, Method: "bank_transfer", Reference: "line 3", Orders: []string{late.ID}}))
	if m.State != "done" || m.Unpaid == nil || m.Unpaid.Rule != "state" {
		t.Errorf("late: %+v", m)
	}
	back := made(c.MakeEntry(ctx, api.NewEntry{Kind: "repayment", Currency: "USD", Amount: 5_150, Party: late.Buyer, Method: "bank_transfer"}))
	entry(c.MoveEntry(ctx, back.ID, "send", api.EntryAct{}))
	if e := entry(c.MoveEntry(ctx, back.ID, "settle", api.EntryAct{Note: "line 4"})); e.State != "done" {
		t.Errorf("repaid: %+v", e)
	}

	unknown := made(c.MakeEntry(ctx, api.NewEntry{Kind: "receipt", Currency: "USD", Amount: 77, Method: "bank_transfer", Reference: "line 5"}))
	if unknown.State != "unidentified" || unknown.DueAt.IsZero() {
		t.Errorf("of nobody known: %+v", unknown)
	}
	if e := entry(c.MoveEntry(ctx, unknown.ID, "assign", api.EntryAct{Party: "ann"})); e.State != "done" || e.Party != "ann" {
		t.Errorf("assigned: %+v", e)
	}

	must[api.Order](t)(c.Ship(ctx, o.ID, api.Ship{}))
	must[api.Order](t)(c.Confirm(ctx, o.ID, api.Confirm{}))
	must[api.ClockMoved](t)(c.SetClock(ctx, start.Add(10*24*time.Hour), false))
	payout := api.NewEntry{Kind: "payout", Currency: "USD", Amount: 9_500, Party: o.Seller}
	refused(t, "unverified", func() error { _, err := c.MakeEntry(ctx, payout); return err })
	details := made(c.MakeEntry(ctx, api.NewEntry{Kind: "bank_details", Party: o.Seller, Details: json.RawMessage(`{"iban":"DE02120300000000202051"}`), Person: "eve"}))
	if details.State != "proposed" || details.Currency != "" {
		t.Errorf("proposed: %+v", details)
	}
	refused(t, "four-eyes", func() error {
		_, err := c.MoveEntry(ctx, details.ID, "approve", api.EntryAct{Person: "eve", Digest: details.Digest})
		return err
	})
	refused(t, "four-eyes", func() error {
		_, err := c.MoveEntry(ctx, details.ID, "approve", api.EntryAct{Person: "max"})
		return err
	})
	entry(c.MoveEntry(ctx, details.ID, "approve", api.EntryAct{Person: "max", Digest: details.Digest}))
	m = made(c.MakeEntry(ctx, payout))
	sent := must[api.SentPayouts](t)(c.SentPayouts(ctx, "", 1))
	if len(sent.Payouts) != 1 || sent.Next != m.ID {
		t.Fatalf("on their way: %+v", sent)
	}
	if p := sent.Payouts[0]; p.Payout != m.ID || p.Amount != 9_500 || p.Currency != "USD" || p.Seller != o.Seller || !bytes.Equal(p.Details, details.Details) {
		t.Errorf("for the bank: %+v, %s", p, p.Details)
	}
	if rest := must[api.SentPayouts](t)(c.SentPayouts(ctx, sent.Next, 0)); len(rest.Payouts) != 0 || rest.Next != "" {
		t.Errorf("more: %+v", rest)
	}
	d := must[api.EntryDetail](t)(c.Entry(ctx, m.ID))
	if b := must[api.Balances](t)(c.Balances(ctx, o.Seller)).Balances; len(b) != 2 || b[1].Amount != "9500" || b[1].Pending != "9500" {
		t.Errorf("while it is on its way: %+v", b)
	}
	if d.State != "sent" || len(d.Timeline) != 1 || len(d.Allowed) != 2 || d.Timeline[0].LedgerTimestamp == "" {
		t.Errorf("sent: %+v", d)
	}
	if e := entry(c.MoveEntry(ctx, m.ID, "fail", api.EntryAct{Note: "account closed"})); e.State != "failed" {
		t.Errorf("failed: %+v", e)
	}
	refused(t, "state", func() error { _, err := c.MoveEntry(ctx, m.ID, "accept", api.EntryAct{}); return err })

	var has []api.Balance
	for _, b := range must[api.Balances](t)(c.Balances(ctx, o.Seller)).Balances {
		if b.Amount != "0" {
			has = append(has, b)
		}
	}
	if want := []api.Balance{{Currency: "USD", Code: 2210, Account: "seller_available", Amount: "9500", Pending: "0"}}; !reflect.DeepEqual(has, want) {
		t.Errorf("the seller has %+v, want %+v", has, want)
	}

	p := must[api.Payee](t)(c.SetPayee(ctx, api.SetPayee{Seller: o.Seller, Schedule: "weekly", Blocked: "under investigation"}))
	if p.BankDetails != details.ID {
		t.Errorf("payee: %+v", p)
	}
	if left := must[api.SentPayouts](t)(c.SentPayouts(ctx, "", 0)); len(left.Payouts) != 0 {
		t.Errorf("answered and still on their way: %+v", left)
	}
	refused(t, "blocked", func() error { _, err := c.MakeEntry(ctx, payout); return err })
	page := must[api.Entries](t)(c.Entries(ctx, client.EntryFilter{Kind: "receipt", Limit: 3}))
	rest := must[api.Entries](t)(c.Entries(ctx, client.EntryFilter{Kind: "receipt", Limit: 3, Cursor: page.Next}))
	if len(page.Entries) != 3 || len(rest.Entries) != 1 || rest.Next != "" {
		t.Errorf("%d and %d receipts, next %q", len(page.Entries), len(rest.Entries), rest.Next)
	}
}

// refused insists that a call is refused by a rule.
func refused(t *testing.T, rule string, call func() error) {
	t.Helper()
	var p *api.Problem
	if err := call(); !errors.As(err, &p) || p.Status != http.StatusConflict || p.Rule != rule {
		t.Errorf("%v, want it refused by %s", err, rule)
	}
}
