package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// smallBooks has one marketplace "shop" with one order "a1" of USD 100.00,
// paid on 2 January 2024 and shipped on the 3rd.
func smallBooks(t *testing.T) (dsn, id string) {
	t.Helper()
	return booksUnder(t, order.Standard())
}

// booksUnder are smallBooks whose order was agreed under the policy, and where
// more has happened to it.
func booksUnder(t *testing.T, policy order.Policy, more ...posting.Request) (dsn, id string) {
	t.Helper()
	ctx := context.Background()
	db := pgtest.Open(t)
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	engine, err := pgengine.New(db)
	fatal(err)
	defer engine.Close()
	poster := posting.New(db, engine, posting.Options{})
	defer func() { fatal(poster.Close(ctx)) }()
	day := func(d int) time.Time { return time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC) }
	m, err := orderdb.New(db).CreateMarketplace(ctx, "shop", orderdb.TestClock, day(20))
	fatal(err)
	_, err = orderdb.New(db).AddPolicy(ctx, m.ID, policy)
	fatal(err)
	agreed, err := poster.Do(ctx, posting.Request{Marketplace: m.ID, Command: order.Command{Event: order.Agree, At: day(1)},
		Agreement: &posting.Agreement{Reference: "a1", Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10000}})
	fatal(err)
	orders := []ledger.ID{agreed.Orders[0].ID}
	_, err = poster.Do(ctx, posting.Request{Marketplace: m.ID, Orders: orders, Command: order.Command{Event: order.Pay, At: day(2), Method: "card"}})
	fatal(err)
	_, err = poster.Do(ctx, posting.Request{Marketplace: m.ID, Orders: orders, Command: order.Command{Event: order.Ship, At: day(3)}})
	fatal(err)
	for _, r := range more {
		r.Marketplace, r.Orders = m.ID, orders
		_, err = poster.Do(ctx, r)
		fatal(err)
	}
	return pgtest.DSN(t), orders[0].UUID()
}

func TestReportCommands(t *testing.T) {
	dsn, id := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	r := at("report", "trial-balance", "--as-of", "2024-01-02T00:00:00Z", "--effective", "--format", "json")
	r.check(t, exitOK, `"rows":[`, "")
	var got struct {
		Report, Basis   string
		AsOf            time.Time   `json:"as_of"`
		LedgerTimestamp json.Number `json:"ledger_timestamp"`
		Rows            []struct {
			Code                     int
			Account, Currency        string
			Debits, Credits, Balance int64
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if got.Report != "trial-balance" || got.Basis != "effective" || len(got.Rows) != 3 || len(got.LedgerTimestamp) != 19 ||
		fmt.Sprint(got.Rows[2]) != "{2100 escrow USD 0 10000 10000}" {
		t.Errorf("%+v", got)
	}
	at("report", "trial-balance", "--as-of", "2024-01-01T23:59:59+00:00").check(t, exitOK, "(nothing)", "")
	at("report", "trial-balance", "--as-of", "2024-01-20T00:00:00Z", "--booked", "--format=json").check(t, exitOK, `"basis":"booked"`, "")
	at("report", "trial-balance", "--detail", "--format=csv", "--currency=USD").check(t, exitOK, ",1,"+id+",a1\r\n", "")
	at("report", "held-funds", "--marketplace=shop").check(t, exitOK, "│ USD      │ 15-30  │ shipped │ shipped, receipt not confirmed │ buyer      │      1 │ 100.00 │", "")
	at("report", "held-funds", "--detail", "--format=csv").check(t, exitOK, "USD,15-30,shipped,\"shipped, receipt not confirmed\",buyer,10000,1,a1,"+id+",ann,bob,2024-01-02T00:00:00Z,18,", "")
	at("order", "show", "a1").check(t, exitOK, "USD 100.00 is held: the goods were shipped", "")
	at("order", "show", id, "--marketplace=1", "--format=json").check(t, exitOK, `"movement": "held"`, "")
	at("order", "list", "--state=shipped").check(t, exitOK, "│ a1        │ shipped │", "")
	escrowd(t, "report", "list").check(t, exitOK, "held-funds", "")
	at("report", "fx-position").check(t, exitOK, "(nothing)", "")
	at("report", "fx-position", "--detail", "--format=csv").check(t, exitOK, "marketplace,currency,effective_at,booked_at,code,account,movement,debit,credit,about,transfer_id", "")

	for want, args := range map[string][]string{
		`--as-of: "2024-01-01" is not a moment`:           {"report", "held-funds", "--as-of=2024-01-01"},
		`"2024-01-01T00:00:00" is not a moment`:           {"report", "trial-balance", "--as-of=2024-01-01T00:00:00"},
		`is before 1970`:                                  {"report", "trial-balance", "--as-of=0001-01-01T00:00:00Z"},
		"--effective and --booked can't be used":          {"report", "trial-balance", "--effective", "--booked"},
		"--currency: \"XXZ\" is not an ISO 4217 currency": {"report", "held-funds", "--currency=XXZ"},
		"--marketplace: there is none":                    {"report", "held-funds", "--marketplace=7"},
		"--format must be one of":                         {"report", "held-funds", "--format=xml"},
		"no such order":                                   {"order", "show", "a2"},
		"--state: \"lost\" is none of":                    {"order", "list", "--state=lost"},
		"--limit: -1 is below 0":                          {"order", "list", "--limit=-1"},
	} {
		if r := at(args...); r.code != exitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q; want exit %d and %q", args, r.code, r.stdout, r.stderr, exitUsage, want)
		}
	}
}

// Books that are off are printed and end with exit code 1, whatever the format.
func TestReportsOfWrongBooks(t *testing.T) {
	dsn, _ := smallBooks(t)
	db := pgtest.Open(t)
	if _, err := db.Exec(`UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE code = 2100`); err != nil {
		t.Fatal(err)
	}
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }
	at("report", "trial-balance").check(t, exitCheckFailed, "DOES NOT ADD UP: USD of marketplace 1 shop: debits 200.00 and credits 200.01 differ by 0.01.", "trial-balance does not add up: USD")
	at("report", "trial-balance", "--format=json").check(t, exitCheckFailed, `"credits":10001`, "differ by 0.01")
	// Held funds are compared with the journal, and the journal with the accounts by check-books.
	at("report", "held-funds", "--format=csv").check(t, exitOK, "USD,15-30,", "")
	at("job", "run", "check-books").check(t, exitCheckFailed, "accounts 2100: the journal sums to debits 0 and credits 10000, their balances to 0 and 10001", "")
	at("report", "trial-balance", "--as-of=2024-01-20T00:00:00Z").check(t, exitOK, "│   0.00 │  100.00 │  100.00 │", "")
	if _, err := db.Exec(`UPDATE orders SET held = held - 1, refunded = refunded + 1`); err != nil {
		t.Fatal(err)
	}
	at("report", "held-funds", "--format=csv").check(t, exitCheckFailed, "USD,15-30,", "the orders hold 99.99 and the ledger's escrow accounts (2100) 100.00")
	at("order", "show", "a1").check(t, exitCheckFailed, "DOES NOT ADD UP: the order holds 99.99", "does not add up")
}
