package main

import "testing"

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
