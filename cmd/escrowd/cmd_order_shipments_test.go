package main

import (
	"encoding/json"
	"testing"
	"time"

	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// The sheet of an order shows its shipments, and a replacement as the child of
// the one that it replaces.
func TestOrderShowShipments(t *testing.T) {
	then := func(d int, c order.Command, said string) posting.Request {
		c.At = time.Date(2024, 1, d, 0, 0, 0, 0, time.UTC)
		return posting.Request{Command: c, Data: json.RawMessage(said)}
	}
	policy := order.Standard()
	const day = order.Seconds(24 * 60 * 60)
	policy.RespondWithin, policy.NegotiateWithin, policy.EvidenceWithin, policy.ReplaceWithin = 5*day, 5*day, 5*day, 5*day
	dsn, _ := booksUnder(t, policy,
		then(4, order.Command{Event: order.Deliver}, ""),
		then(5, order.Command{Event: order.Dispute, Reason: "torn"}, `{"reason":"torn"}`),
		then(6, order.Command{Event: order.Contest, Reason: "no"}, `{"reason":"no"}`),
		then(7, order.Command{Event: order.MakeOffer, By: order.Seller, Replacement: true}, `{"replacement":"true"}`),
		then(8, order.Command{Event: order.AcceptOffer, By: order.Buyer, Replacement: true}, `{"replacement":"true"}`),
		then(9, order.Command{Event: order.ShipReplacement}, `{"carrier":"DHL","tracking":"D2"}`),
		then(10, order.Command{Event: order.Track, Scan: order.Scan{Status: "customs"}}, `{"status":"customs","location":"Leipzig"}`))
	at := func(args ...string) result { return escrowd(t, append(args, "--database-url", dsn)...) }

	r := at("order", "show", "a1")
	r.check(t, exitOK, "│ 1 │ goods       │       │          │ 100.00 │         │          │ 2024-01-03T00:00:00Z │ 2024-01-04T00:00:00Z │\n"+
		"│ 2 │ replacement │       │        1 │   0.00 │ DHL     │ D2       │ 2024-01-09T00:00:00Z │                      │\n", "")
	r.check(t, exitOK, "  2024-01-10T00:00:00Z  shipment 2: customs, Leipzig\n", "")
	r = at("order", "show", "a1", "--format=json")
	var sheet struct {
		Shipments []struct {
			Kind     string
			ChildOf  int `json:"child_of"`
			Amount   int64
			Tracking string
			Scans    []struct{ Status, Location string }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &sheet); err != nil || len(sheet.Shipments) != 2 {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if s := sheet.Shipments[1]; s.Kind != "replacement" || s.ChildOf != 1 || s.Amount != 0 || s.Tracking != "D2" || len(s.Scans) != 1 || s.Scans[0].Location != "Leipzig" {
		t.Errorf("%+v", s)
	}
	if s := sheet.Shipments[0]; s.Kind != "goods" || s.Amount != 10_000 || len(s.Scans) != 0 {
		t.Errorf("%+v", s)
	}
}
