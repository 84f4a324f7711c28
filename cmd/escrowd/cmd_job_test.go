package main

import (
	"context"
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
)

// overdueOrders makes a marketplace with two unpaid orders and a paid one, all
// past their deadlines.
func overdueOrders(t *testing.T) (dsn string) {
	t.Helper()
	dsn = pgtest.DSN(t)
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
	var last ledger.ID
	for _, reference := range []string{"A-1", "A-2", "A-3"} {
		r, err := poster.Do(ctx, posting.Request{Marketplace: m.ID, Command: order.Command{Event: order.Agree},
			Agreement: &posting.Agreement{Reference: reference, Buyer: "ann", Seller: "bob", Currency: "EUR", Amount: 4999}})
		must(err)
		last = r.Orders[0].ID
	}
	_, err = poster.Do(ctx, posting.Request{Marketplace: m.ID, Orders: []ledger.ID{last}, Command: order.Command{Event: order.Pay, Method: "card"}})
	must(err)
	must(poster.Close(ctx))
	must(engine.Close())
	_, err = store.AdvanceClock(ctx, m.ID, start.AddDate(0, 1, 0), start.AddDate(0, 1, 0))
	must(err)
	return dsn
}

func TestJobs(t *testing.T) {
	dsn := overdueOrders(t)
	job := func(args ...string) result {
		return escrowd(t, append(append([]string{"job"}, args...), "--database-url", dsn)...)
	}
	list := func() map[string]listedJob {
		t.Helper()
		r := job("list", "--format", "json")
		r.check(t, exitOK, "", "")
		var all []listedJob
		if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
			t.Fatal(err)
		}
		byName := map[string]listedJob{}
		for _, l := range all {
			byName[l.Job] = l
		}
		return byName
	}

	job("list").check(t, exitOK, "auto-release      * * * * *       never", "")
	if l := list()["check-books"]; len(list()) != 10 || l.Latest != nil || !l.Next.After(time.Now()) || l.What == "" {
		t.Errorf("before any run: %+v", l)
	}

	job("run", "cancel-unshipped", "--dry-run").check(t, exitOK, "cancel-unshipped: 1 to do, 0 failed", "")
	job("run", "cancel-unshipped", "--dry-run").check(t, exitOK, "A-3        held   49.99 EUR  2026-03-11T12:00:00Z  cancel_unshipped", "")
	job("run", "expire-unpaid", "--dry-run", "--format", "json").check(t, exitOK, `"reference": "A-2"`, "")
	if l := list()["expire-unpaid"]; l.Latest != nil {
		t.Errorf("a dry run counts as the latest: %+v", l.Latest)
	}
	job("run", "expire-unpaid").check(t, exitOK, "expire-unpaid: 2 done, 0 failed", "")
	job("run", "expire-unpaid").check(t, exitOK, "expire-unpaid: 0 done, 0 failed", "")
	job("run", "close-pages", "--dry-run").check(t, exitOK, "close-pages: 0 to do, 0 failed", "")
	job("run", "check-books").check(t, exitOK, "the books balance: 1 orders with money", "")
	if l := list()["check-books"]; l.Latest == nil || l.Latest.Finished == nil || l.Latest.Items != 4 || !strings.Contains(string(l.Latest.Detail), `"balanced": true`) {
		t.Errorf("after the check: %+v", l.Latest)
	}

	db := pgtest.Open(t)
	if _, err := db.Exec(`UPDATE orders SET held = held - 1, refunded = refunded + 1 WHERE held > 0`); err != nil {
		t.Fatal(err)
	}
	job("run", "check-books").check(t, exitCheckFailed, "(A-3): the order holds 4998, its escrow account 4999", "the books do not balance: 2 differences")
	job("list").check(t, exitOK, "check-books: the books do not balance", "")
	job("run", "cancel-unshipped", "--format", "json").check(t, exitOK, `"items": 1`, "")

	// Books that are in TigerBeetle: one more job, and no other engine.
	if _, err := db.Exec(`UPDATE ledger_state SET writer = '00000000-0000-0000-0000-000000000000', mirrored = true`); err != nil {
		t.Fatal(err)
	}
	if l := list()["mirror"]; len(list()) != 11 || l.What == "" {
		t.Errorf("with a mirror: %+v", l)
	}
	job("run", "mature").check(t, exitEnvironment, "", "these books are kept in TigerBeetle")
	if _, err := db.Exec(`UPDATE ledger_state SET mirrored = false`); err != nil {
		t.Fatal(err)
	}
	job("run", "mirror").check(t, exitUsage, "", `"mirror": no such job`)

	job("run", "tidy-up").check(t, exitUsage, "", `"tidy-up": no such job; there are redrive, expire-unpaid`)
	job("run").check(t, exitUsage, "", "<name>")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	escrowdIn(t, stopped, "job", "run", "mature", "--database-url", dsn).check(t, exitInterrupted, "", "")
}
