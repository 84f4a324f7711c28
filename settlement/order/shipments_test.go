package order

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is an event, with what else is said of it that moves nothing.
type told struct {
	Command
	where string
	track string // the tracking number that a scan names
}

// ships writes what Shipments makes of events that happen an hour apart from t0
// on, the agreement being the first: a line for each shipment, times in hours.
func ships(t *testing.T, o Order, events ...told) (Order, string) {
	t.Helper()
	timeline := []Happened{{Event: Agree, After: o.Progress}}
	for _, e := range events {
		cmd := complete(o, e.Command)
		ch, err := Plan(o, cmd)
		if err != nil {
			t.Fatalf("%s in %s: %v", e.Event, o.State, err)
		}
		o = ch.After
		timeline = append(timeline, Happened{Event: e.Event, Carrier: cmd.Carrier, Tracking: cmd.Tracking + e.track, Parts: cmd.Parts,
			Scan: cmd.Scan, Location: e.where, After: o.Progress})
	}
	hours := func(at time.Time) string {
		if at.IsZero() {
			return "-"
		}
		return fmt.Sprint(int(at.Sub(t0) / time.Hour))
	}
	var b strings.Builder
	list := Shipments(timeline)
	for i, s := range list {
		if s.Number != i+1 || s.ChildOf >= s.Number || !slices.Contains(ShipmentKinds, s.Kind) {
			t.Errorf("%+v", s)
		}
		fmt.Fprintf(&b, "%d %s %s of %d: %d by %s %s, left %s, arrived %s", s.Number, s.Kind, strings.Join(s.Parts, "+"), s.ChildOf, s.Amount,
			s.Carrier, s.Tracking, hours(s.ShippedAt), hours(s.DeliveredAt))
		for _, c := range s.Scans {
			fmt.Fprintf(&b, "; %s %s %s at %s", c.Status, c.Location, c.Tracking, hours(c.At))
		}
		b.WriteString("\n")
	}
	return o, b.String()
}

func happens(cs ...Command) (list []told) {
	for _, c := range cs {
		list = append(list, told{Command: c})
	}
	return list
}

func TestShipments(t *testing.T) {
	pay := Command{Event: Pay, Method: "card"}
	ship := Command{Event: Ship, Carrier: "DHL", Tracking: "D1"}
	scan := func(status, where, track string, parts ...string) told {
		return told{Command{Event: Track, Scan: Scan{Status: status}, Parts: parts}, where, track}
	}
	dispute, contest := Command{Event: Dispute, Amount: 4000, Reason: "torn"}, Command{Event: Contest, Reason: "no"}
	replaced := func(tracking string) []told {
		return happens(dispute, contest, Command{Event: MakeOffer, By: Seller, Replacement: true}, Command{Event: AcceptOffer, By: Buyer, Replacement: true},
			Command{Event: ShipReplacement, Carrier: "UPS", Tracking: tracking})
	}
	returning := happens(pay, ship, Command{Event: Deliver}, dispute, contest,
		Command{Event: MakeOffer, By: Seller, ToBuyer: 9000, Return: true}, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 9000})
	returned := slices.Concat(returning, happens(Command{Event: ShipBack, Carrier: "GLS", Tracking: "G1"}))
	shipPart := func(carrier string, parts ...string) Command {
		return Command{Event: ShipPart, Carrier: carrier, Parts: parts}
	}
	whole := func(t *testing.T) Order {
		return agreed(t, 10_000, func(p *Policy) { steps(p); p.ReplaceWithin = 7 * day })
	}
	parts := func(t *testing.T) Order {
		o := inParts(t)
		steps(o.Policy)
		o.Policy.ReplaceWithin, o.Policy.DisputeReleasedWithin = 7*day, 30*day
		return o
	}
	for _, c := range []struct {
		name   string
		order  func(*testing.T) Order
		events []told
		want   string
	}{
		{"nothing was shipped", whole, happens(pay), ""},
		{"shipped", whole, happens(pay, ship), "1 goods  of 0: 10000 by DHL D1, left 2, arrived -\n"},
		{"what was refunded before does not go with it", whole, happens(pay, Command{Event: Refund, Amount: 500}, ship),
			"1 goods  of 0: 9500 by DHL D1, left 3, arrived -\n"},
		{"what is refunded afterwards has gone with it", whole, happens(pay, ship, Command{Event: Refund, Amount: 500}),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived -\n"},
		{"scanned and delivered", whole, slices.Concat(happens(pay, ship), []told{scan("picked_up", "Leipzig", "D1"), scan("customs", "", ""),
			{Command{Event: Deliver, Scan: Scan{Status: ScanDelivered, At: t0.Add(4 * hour)}}, "Bonn", ""}, scan("in_transit", "late", "")}),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 5; picked_up Leipzig  at 3; customs   at 4; delivered Bonn  at 4; in_transit late  at 6\n"},
		{"a replacement is a child that no money goes with: scans and the delivery after it are its own", whole,
			slices.Concat(happens(pay, ship), []told{scan("picked_up", "a", "")}, happens(Command{Event: Deliver}), replaced("U1"),
				[]told{scan("picked_up", "b", ""), scan("in_transit", "c", "U1"), {Command{Event: Deliver}, "", ""}}),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 4; picked_up a  at 3\n" +
				"2 replacement  of 1: 0 by UPS U1, left 9, arrived 12; picked_up b  at 10; in_transit c  at 11\n"},
		{"the first goods never arrived, and a late scan names their number", whole,
			slices.Concat(happens(pay, ship), replaced("U1"), []told{scan("returning_to_sender", "", "D1"), scan("in_transit", "", "X9"), {Command{Event: Deliver}, "", ""}}),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived -; returning_to_sender   at 8\n" +
				"2 replacement  of 1: 0 by UPS U1, left 7, arrived 10; in_transit  X9 at 9\n"},
		{"the replacement is replaced", whole, slices.Concat(happens(pay, ship), replaced("U1"), replaced("U2"), happens(Command{Event: Deliver})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived -\n2 replacement  of 1: 0 by UPS U1, left 7, arrived -\n3 replacement  of 2: 0 by UPS U2, left 12, arrived 13\n"},
		{"on the way back", whole, returned, "1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived -\n"},
		{"back and received", whole, slices.Concat(returned, happens(Command{Event: ReceiveReturn})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived 9\n"},
		{"received through a chargeback", whole, slices.Concat(returned, happens(Command{Event: TakeBackPayment, By: Operator, Reason: "x"},
			Command{Event: WinChargeback, By: Operator}, Command{Event: ReceiveReturn})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived 11\n"},
		{"handed back", whole, slices.Concat(returning, happens(Command{Event: ReceiveReturn})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by  , left -, arrived 8\n"},
		{"back and damaged", whole, slices.Concat(returned, happens(Command{Event: RefuseReturn, Amount: 100, Reason: "torn"})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived 9\n"},
		{"refused: who knows whether it came", whole, slices.Concat(returned, happens(Command{Event: RefuseReturn, Reason: "no parcel"})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived -\n"},
		{"nobody looked at it", whole, slices.Concat(returned, happens(Command{Event: GrantUninspected})),
			"1 goods  of 0: 10000 by DHL D1, left 2, arrived 3\n2 return  of 1: 0 by GLS G1, left 8, arrived -\n"},

		{"parts, one by one and the rest", parts, slices.Concat(happens(pay, shipPart("DHL", "hull"), shipPart("UPS", "mast", "sail")),
			[]told{scan("picked_up", "both", ""), scan("customs", "second", "", "sail")},
			happens(Command{Event: DeliverPart, Parts: []string{"mast"}}),
			[]told{scan("picked_up", "both", "")},
			happens(Command{Event: Deliver})),
			"1 part hull of 0: 5000 by DHL , left 2, arrived 8; picked_up both  at 4; picked_up both  at 7\n" +
				"2 part mast+sail of 0: 5001 by UPS , left 3, arrived 8; picked_up both  at 4; customs second  at 5; picked_up both  at 7\n"},
		{"the rest, after one was refunded", parts, happens(pay, Command{Event: Refund, Parts: []string{"mast"}}, shipPart("DHL", "hull"), ship),
			"1 part hull of 0: 5000 by DHL , left 3, arrived -\n2 part sail of 0: 2001 by DHL D1, left 4, arrived -\n"},
		{"all parts at once", parts, happens(pay, ship, Command{Event: DeliverPart, Parts: []string{"hull"}}, Command{Event: ReleasePart, Parts: []string{"mast"}},
			Command{Event: DeliverPart, Parts: []string{"sail"}}),
			"1 goods hull+mast+sail of 0: 10001 by DHL D1, left 2, arrived 5\n"},
		{"a scan when one has arrived is about the other", parts, slices.Concat(happens(pay, shipPart("DHL", "hull"), shipPart("UPS", "mast"),
			Command{Event: DeliverPart, Parts: []string{"hull"}}), []told{scan("customs", "", "")}),
			"1 part hull of 0: 5000 by DHL , left 2, arrived 4\n2 part mast of 0: 3000 by UPS , left 3, arrived -; customs   at 5\n"},
		{"parts of one shipment come back: a released one and one that was not shipped do not", parts, happens(pay, shipPart("DHL", "hull", "mast"),
			Command{Event: ReleasePart, Parts: []string{"hull"}}, Command{Event: Dispute, Reason: "torn"}, contest,
			Command{Event: MakeOffer, By: Seller, ToBuyer: 100, Return: true}, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 100}, Command{Event: ShipBack}),
			"1 part hull+mast of 0: 8000 by DHL , left 2, arrived -\n2 return mast of 1: 0 by  , left 8, arrived -\n"},
		{"parts of several shipments come back in one", parts, happens(pay, shipPart("DHL", "hull"), shipPart("UPS", "mast"),
			Command{Event: Dispute, Reason: "torn"}, contest,
			Command{Event: MakeOffer, By: Seller, ToBuyer: 100, Return: true}, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 100}, Command{Event: ReceiveReturn}),
			"1 part hull of 0: 5000 by DHL , left 2, arrived -\n2 part mast of 0: 3000 by UPS , left 3, arrived -\n3 return hull+mast of 0: 0 by  , left -, arrived 8\n"},
		{"parts are replaced, and one that was not shipped goes on", parts, happens(pay, shipPart("DHL", "hull", "mast"), Command{Event: DeliverPart, Parts: []string{"hull"}},
			Command{Event: Dispute, Reason: "torn"}, contest, Command{Event: MakeOffer, By: Seller, Replacement: true}, Command{Event: AcceptOffer, By: Buyer, Replacement: true},
			Command{Event: ShipReplacement, Carrier: "UPS", Tracking: "U1"}, shipPart("DHL", "sail"), Command{Event: DeliverPart, Parts: []string{"hull", "mast"}}),
			"1 part hull+mast of 0: 8000 by DHL , left 2, arrived -\n2 replacement hull+mast of 1: 0 by UPS U1, left 8, arrived 10\n3 part sail of 0: 2001 by DHL , left 9, arrived -\n"},
		{"parts come back after their release", parts, happens(pay, ship, Command{Event: ReleasePart, Parts: []string{"hull"}}, Command{Event: Refund, Parts: []string{"mast"}}, Command{Event: Confirm},
			Command{Event: Dispute, Reason: "torn"}, contest, Command{Event: MakeOffer, By: Seller, ToBuyer: 100, Return: true}, Command{Event: AcceptOffer, By: Buyer, ToBuyer: 100}, Command{Event: ShipBack}),
			"1 goods hull+mast+sail of 0: 10001 by DHL D1, left 2, arrived -\n2 return hull+sail of 1: 0 by  , left 10, arrived -\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, got := ships(t, c.order(t), c.events...); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
