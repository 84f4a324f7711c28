package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
	"escrowd/settlement/treasury"
)

// A seller's bank details are proposed and approved, his payout goes to the
// bank in a file and comes back.
func TestEntries(t *testing.T) {
	dsn := pgtest.DSN(t)
	db := pgtest.Open(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := orderdb.New(db)
	m, err := store.CreateMarketplace(ctx, "shop", orderdb.TestClock, start)
	must(err)
	engine, err := pgengine.New(db)
	must(err)
	poster := posting.New(db, engine, posting.Options{})
	do := func(req posting.Request) posting.Result {
		t.Helper()
		req.Marketplace = m.ID
		r, err := poster.Do(ctx, req)
		must(err)
		return r
	}
	o := do(posting.Request{Command: order.Command{Event: order.Agree},
		Agreement: &posting.Agreement{Reference: "A-1", Buyer: "ann", Seller: "bob", Currency: "EUR", Amount: 10_000}}).Orders[0]
	for _, c := range []order.Command{{Event: order.Pay, Method: "card"}, {Event: order.Ship}, {Event: order.Confirm}} {
		o = do(posting.Request{Orders: []ledger.ID{o.ID}, Command: c}).Orders[0]
	}
	_, err = store.AdvanceClock(ctx, m.ID, o.DeadlineAt, o.DeadlineAt)
	must(err)
	do(posting.Request{Orders: []ledger.ID{o.ID}, Command: order.Command{Event: order.Mature, By: order.System, At: o.DeadlineAt}})
	details := do(posting.Request{Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.BankDetails, Party: "bob", Maker: "eve",
		Details: []byte(`{"holder":"Bob, Ltd","iban":"DE02"}`)}}}).Entry
	do(posting.Request{Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Receipt, Ledger: 1978, Party: "ann", Method: "card", Reference: "line 1", Amount: 5_000}}})
	yen := do(posting.Request{Entry: &posting.EntryRequest{New: &treasury.Terms{Kind: treasury.Conversion, Ledger: 1978, Party: "ann", Amount: 5_000, Maker: "eve",
		To: treasury.ConvertTo{Ledger: 1392, Amount: 7_852, Rate: "160.25", Spread: 100}}}}).Entry
	must(poster.Close(ctx))
	must(engine.Close())

	run := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }
	id := details.ID.UUID()
	run("entry", "list", "shop", "--state", "proposed").check(t, exitOK, id, "")
	run("entry", "show", "shop", id).check(t, exitOK, details.Digest(), "")
	for _, fact := range []string{"50.00 EUR", "7852 JPY", "160.25", "1.00 EUR", yen.Digest()} {
		run("entry", "show", "shop", yen.ID.UUID()).check(t, exitOK, fact, "")
	}
	run("entry", "do", "shop", yen.ID.UUID(), "approve", "--person", "max", "--digest", yen.Digest()).check(t, exitOK, "conversion "+yen.ID.UUID()+": done", "")
	run("report", "fx-position", "--format=csv").check(t, exitOK, "1,shop,EUR,100,5000,-4900,100\r\n1,shop,JPY,7852,0,7852,0", "")
	run("payout", "seller", "shop", "bob", "--schedule", "weekly", "--minimum", "5").check(t, exitOK, "bob: paid out weekly, from 5 minor units on", "no bank details are approved yet")
	run("entry", "do", "shop", id, "approve", "--person", "eve", "--digest", details.Digest()).check(t, exitCheckFailed, "", "four-eyes")
	run("entry", "do", "shop", id, "approve", "--person", "max", "--digest", details.Digest()).check(t, exitOK, "bank_details "+id+": done", "")
	run("job", "run", "pay-out").check(t, exitOK, "pay-out: 1 done, 0 failed", "")
	run("job", "run", "pay-out").check(t, exitOK, "pay-out: 0 done, 0 failed", "")

	list := run("entry", "list", "shop", "--kind", "payout", "--format", "json")
	var payouts []shownEntry
	must(json.Unmarshal([]byte(list.stdout), &payouts))
	if len(payouts) != 1 || payouts[0].Amount != 9_500 || payouts[0].Currency != "EUR" || payouts[0].State != treasury.Sent {
		t.Fatalf("%s", list.stdout)
	}
	file := run("payout", "file", "shop")
	want := "payout,amount,currency,seller,sent_at,holder,iban\n" + payouts[0].ID + ",95.00,EUR,bob," + o.DeadlineAt.Format(time.RFC3339) + ",\"Bob, Ltd\",DE02\n"
	if file.stdout != want {
		t.Errorf("the file is\n%s, want\n%s", file.stdout, want)
	}
	run("entry", "do", "shop", payouts[0].ID, "fail", "--note", "account closed").check(t, exitOK, "payout "+payouts[0].ID+": failed", "")
	if file := run("payout", "file", "shop"); strings.Contains(file.stdout, payouts[0].ID) {
		t.Errorf("a failed payout is in the file: %s", file.stdout)
	}
	show := run("entry", "show", "shop", payouts[0].ID)
	show.check(t, exitOK, "account closed", "")
	run("job", "run", "check-books").check(t, exitOK, "the books balance", "")
	run("entry", "list", "shop", "--kind", "gift").check(t, exitUsage, "", "there is no kind")
	run("entry", "show", "shop", "x").check(t, exitUsage, "", "is not an entry's id")
	run("entry", "do", "shop", "01941f29-7c00-7000-8000-000000000000", "accept").check(t, exitUsage, "", "has no entry")
}
