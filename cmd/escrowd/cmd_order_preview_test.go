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
	if after := at("order", "show", "a1").stdout; after != before {
		t.Errorf("something has happened:\n%s", after)
	}
}
