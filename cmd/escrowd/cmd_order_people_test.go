package main

import (
	"context"
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

// refunded ends the order of smallBooks: on 4 January 2024 all goes back.
func refunded(t *testing.T, id string) {
	t.Helper()
	ctx := context.Background()
	db := pgtest.Open(t)
	engine, err := pgengine.New(db)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	poster := posting.New(db, engine, posting.Options{})
	defer func() {
		if err := poster.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	m, err := orderdb.New(db).MarketplaceByName(ctx, "shop")
	if err != nil {
		t.Fatal(err)
	}
	orderID, err := ledger.ParseUUID(id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = poster.Do(ctx, posting.Request{Marketplace: m.ID, Orders: []ledger.ID{orderID},
		Command: order.Command{Event: order.Refund, At: time.Date(2024, 1, 4, 0, 0, 0, 0, time.UTC)}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOrderPeopleCommands(t *testing.T) {
	dsn, id := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	at("order", "note", "list", "a1").check(t, exitOK, "(no notes)\n", "")
	at("order", "note", "add", "a1", "buyer called\nagain", "--author=eve").check(t, exitOK, "note 1 of order "+id, "")
	at("order", "note", "add", id, "done", "--author=eve", "--marketplace=shop").check(t, exitOK, "note 2 of order "+id, "")
	at("order", "note", "list", "a1").check(t, exitOK, "1  2024-01-20T00:00:00Z  eve\n    buyer called\n    again\n2  2024", "")
	at("order", "note", "list", "a1", "--after=1", "--format=json").check(t, exitOK, `"text": "done"`, "")
	at("order", "show", "a1").check(t, exitOK, "case notes  2\n", "")
	at("order", "show", "a1", "--format=json").check(t, exitOK, `"notes": 2`, "")

	give := []string{"order", "feedback", "give", "a1", "a \"scratch\"", "--by=buyer", "--rating=2"}
	at(give...).check(t, exitUsage, "", "refused (state): an order that is shipped has not ended")
	refunded(t, id)
	at("order", "feedback", "list", "a1").check(t, exitOK, "(no feedback)\n", "")
	at(give...).check(t, exitOK, "feedback by the buyer of order "+id, "")
	at(give...).check(t, exitUsage, "", "refused (once)")
	at("order", "feedback", "reply", "a1", "sorry", "--by=seller").check(t, exitOK, "reply by the seller", "")
	at("order", "feedback", "revise", "a1", "--by=buyer", "--rating=6").check(t, exitUsage, "", "refused (rating)")
	at("order", "feedback", "revise", "a1", "--by=buyer", "--rating=4").check(t, exitOK, "revision by the buyer", "")
	const said = "  2024-01-20T00:00:00Z  feedback by buyer   2  a \"scratch\"\n  2024-01-20T00:00:00Z  reply    by seller  -  sorry\n"
	at("order", "feedback", "list", "a1").check(t, exitOK, said, "")
	at("seller", "feedback", "shop", "bob").check(t, exitOK, id+"  buyer  4       2024-01-20T00:00:00Z", "")
	at("seller", "feedback", "shop", "bob", "--limit=1").check(t, exitOK, "more: --after ", "")
	at("seller", "feedback", "shop", "ann").check(t, exitOK, "order  by  rating", "")
	at("seller", "feedback", "shop", "bob", "--after=x").check(t, exitUsage, "", "--after")
	at("order", "feedback", "list", "a1", "--format=json").check(t, exitOK, `"part": "revision"`, "")
	at("order", "show", "a1").check(t, exitOK, said, "")

	for want, args := range map[string][]string{
		"no such order":        {"order", "note", "add", "a2", "x", "--author=eve"},
		"refused (author)":     {"order", "note", "add", "a1", "x", "--author="},
		"missing flags: --aut": {"order", "note", "add", "a1", "x"},
		"--limit: 0 is below":  {"order", "note", "list", "a1", "--limit=0"},
		"--by must be one of":  {"order", "feedback", "reply", "a1", "x", "--by=carrier"},
	} {
		if r := at(args...); r.code != exitUsage || !strings.Contains(r.stderr, want) || r.stdout != "" {
			t.Errorf("%v: exit %d, stdout %q, stderr %q; want exit %d and %q", args, r.code, r.stdout, r.stderr, exitUsage, want)
		}
	}
}

func TestSellerCommands(t *testing.T) {
	dsn, _ := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	at("seller", "show", "shop", "bob").check(t, exitOK, "eligible: all sellers are eligible", "")
	at("seller", "bar", "shop", "bob", "--reason=papers", "--category=toys").check(t, exitOK, "mark 1 of marketplace shop: bob not eligible since 2024-01-20T00:00:00Z", "")
	at("seller", "show", "shop", "bob", "--category=toys").check(t, exitOK, "not eligible: the seller is marked as not eligible in this category", "")
	at("seller", "show", "1", "bob").check(t, exitOK, "eligible: all", "")
	at("seller", "admit", "shop", "bob", "--reason=in\norder", "--since=2024-01-21T00:00:00Z").check(t, exitOK, "mark 2", "")
	at("seller", "only-listed", "shop", "on").check(t, exitOK, "lets in only sellers who are marked", "")
	at("seller", "show", "shop", "bob").check(t, exitOK, "not eligible: only listed sellers", "") // not before the 21st
	at("seller", "only-listed", "shop", "off").check(t, exitOK, "lets in all sellers", "")
	at("seller", "marks", "shop").check(t, exitOK, `2         bob     -         eligible      2024-01-21T00:00:00Z  in\norder`, "")
	at("seller", "marks", "shop", "ann").check(t, exitOK, "position", "")
	if r := at("seller", "marks", "shop", "bob", "--after=1"); strings.Contains(r.stdout, "toys") || r.code != exitOK {
		t.Error(r)
	}
	at("seller", "record", "shop", "bob", "--tier=gold", "--jurisdiction=DE", "--reason=known").check(t, exitOK,
		"record 1 of marketplace shop: bob has tier gold, jurisdiction DE since 2024-01-20T00:00:00Z", "")
	at("seller", "record", "shop", "bob", "--tier=Gold", "--reason=x").check(t, exitUsage, "", "refused (tier)")
	at("seller", "records", "shop", "bob").check(t, exitOK, "1         bob     gold  DE            2024-01-20T00:00:00Z  known", "")
	at("seller", "show", "shop", "bob", "--category=books").check(t, exitOK, "tier gold, jurisdiction DE\n", "")
	at("seller", "bar", "shop", "bob", "--reason=x", "--category=Toys").check(t, exitUsage, "", "refused (category)")
	at("seller", "bar", "mall", "bob", "--reason=x").check(t, exitUsage, "", `no marketplace "mall"`)
	at("seller", "marks", "shop", "--limit=0").check(t, exitUsage, "", "--limit")
}
