package main

import (
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger/pgengine"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// An operator asks what an event would do; nothing moves.
func TestOrderPreviewCommand(t *testing.T) {
	dsn, id := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	before := at("order", "show", "a1").stdout
	on := "--at=2024-01-05T00:00:00Z"
	at("order", "preview", "a1", "refund", "--amount=1.00", on).check(t, exitOK, "refund leads to shipped", "")
	at("order", "preview", id, "confirm", on).check(t, exitOK, "released to the seller", "")
	at("order", "preview", "a1", "deliver", on, "--format=json").check(t, exitOK, `"event": "release_unconfirmed"`, "")
	at("order", "preview", "a1", "confirm").check(t, exitUsage, "", "confirm refused (too-late)")
	at("order", "preview", "a1", "rule", "--to-buyer=1.00").check(t, exitUsage, "", "rule refused (state)")
	at("order", "preview", "a1", "juggle").check(t, exitUsage, "", `there is no event "juggle"`)
	at("order", "preview", "a1", "refund", "--amount=1.001", on).check(t, exitUsage, "", "--amount")
	at("order", "preview", "a1", "chargeback", on).check(t, exitOK, "1100 pay-in clearing card", "")
	at("order", "preview", "a1", "chargeback", "--method=wallet", on).check(t, exitUsage, "", "the order was paid by card, not by wallet")
	fx := []string{"--fx-currency=JPY", "--fx-amount=1000", "--fx-rate=0.005"}
	at(append([]string{"order", "preview", "a1", "chargeback", on}, fx...)...).check(t, exitUsage, "", "chargeback refused (currency)")
	at("order", "preview", "a1", "chargeback", "--fx-currency=JPY", "--fx-amount=10.5", "--fx-rate=1", on).check(t, exitUsage, "", "--fx-amount")
	at("order", "preview", "a1", "chargeback", "--fx-currency=JPY", "--fx-amount=10", on).check(t, exitUsage, "", "--fx-rate")
	at("order", "preview", "a1", "chargeback", "--fx-currency=XXX", on).check(t, exitUsage, "", "--fx-currency")
	if after := at("order", "show", "a1").stdout; after != before {
		t.Errorf("something has happened:\n%s", after)
	}
}

// An operator asks what a payment of several orders would do; nothing moves.
func TestOrderPreviewPaymentCommand(t *testing.T) {
	dsn, paid := smallBooks(t)
	db, err := sqlx.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	engine, err := pgengine.New(db)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	poster := posting.New(db, engine, posting.Options{})
	m, err := orderdb.New(db).CreateMarketplace(t.Context(), "other", orderdb.TestClock, time.Date(2024, 1, 20, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		market    uint32
		reference string
	}{{m.ID - 1, "a2"}, {m.ID - 1, "a3"}, {m.ID, "b1"}} {
		if _, err := poster.Do(t.Context(), posting.Request{Marketplace: o.market, Command: order.Command{Event: order.Agree},
			Agreement: &posting.Agreement{Reference: o.reference, Buyer: "ann", Seller: "bob", Currency: "USD", Amount: 10050}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := poster.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := func(args ...string) result {
		return escrowd(t, append(append([]string{"order", "preview-payment"}, args...), "--database-url", dsn)...)
	}

	before := escrowd(t, "order", "show", "a2", "--database-url", dsn).stdout
	r := at("a2", "a3", "--method=card", "--amount=201.00")
	r.check(t, exitOK, "order a3, ", "")
	for _, want := range []string{"order a2, ", "pay leads to held", "1100 pay-in clearing card", "USD 201.00", "then, if nobody acts", "cancel_unshipped leads to canceled"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("%q is not in:\n%s", want, r.stdout)
		}
	}
	at("a2", "--method=card", "--fx-currency=JPY", "--fx-amount=15100", "--fx-rate=0.0067", "--fx-spread=100").check(t, exitOK, "JPY 15000", "")
	at("a2", "--method=card", "--format=json").check(t, exitOK, `"state": "held"`, "")
	at("a2", "--method=balance").check(t, exitOK, "2100 escrow", "")
	at("a2", paid, "--method=card").check(t, exitUsage, "", "pay refused (state): order a1: an order that is shipped does not admit pay")
	at("a2", "a3", "--method=card", "--amount=200.00").check(t, exitUsage, "", "pay refused (amount)")
	at("a2", "a2", "--method=card").check(t, exitUsage, "", "an order is named twice")
	at("a2", "b1", "--method=card").check(t, exitUsage, "", "b1 is another marketplace's than a2")
	at("zz", "--method=card").check(t, exitUsage, "", "zz")
	at("a2", "--method=card", "--amount=1").check(t, exitUsage, "", "--amount")
	if after := escrowd(t, "order", "show", "a2", "--database-url", dsn).stdout; after != before {
		t.Errorf("something has happened:\n%s", after)
	}
}

// What was released is disputed from the command line, under a policy that comes
// with escrowd; what a preview says goes back to the buyer comes from the seller.
func TestDisputeReleasedCommand(t *testing.T) {
	dsn, _ := smallBooks(t)
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }
	for _, c := range [][]string{
		{"marketplace", "create", "late", "--test-clock=2026-01-01T00:00:00Z"}, {"policy", "add", "late", "alibaba"},
		{"order", "agree", "late", "l1", "ann", "bob", "USD", "100.00", "--policy=alibaba"},
		{"order", "do", "l1", "pay", "--method=card"}, {"order", "do", "l1", "ship"}, {"order", "do", "l1", "confirm"},
		{"order", "do", "l1", "dispute", "--amount=40.00", "--reason=broken"}, {"order", "do", "l1", "contest", "--reason=no"}, {"order", "do", "l1", "escalate", "--by=operator"},
	} {
		at(c...).check(t, exitOK, "", "")
	}
	at("order", "preview", "l1", "rule", "--to-buyer=10.00").check(t, exitOK, "buyer gets   USD 10.00\nseller gets  USD -9.50\nfee          USD -0.50\n", "")
	at("order", "do", "l1", "rule", "--to-buyer=10.00", "--to-seller=90.00").check(t, exitCheckFailed, "", "the parts must sum to what is claimed of what was released: 4000")
	at("order", "do", "l1", "rule", "--to-buyer=10.00", "--to-seller=30.00").check(t, exitOK, "Its dispute was settled or ruled on. USD 10.00 has gone back to the buyer.", "")
	at("order", "do", "l1", "dispute", "--reason=again").check(t, exitCheckFailed, "", "dispute refused (again)")
}
