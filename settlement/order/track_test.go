package order

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// Tracking changes when the order's last event was, and nothing else: no money,
// no state, no deadline, no part.
func TestTrackMovesNothing(t *testing.T) {
	for _, at := range []string{"shipped", "delivered", "shipped in part"} {
		for _, status := range ScanStatuses {
			o := must(t, inParts(t), Command{Event: Pay, Method: "card"})
			switch at {
			case "shipped in part":
				o = must(t, o, Command{Event: ShipPart, Parts: []string{"hull"}})
			case "delivered":
				o = must(t, must(t, o, Command{Event: Ship}), Command{Event: Deliver})
			default:
				o = must(t, o, Command{Event: Ship})
			}
			ch, err := Plan(o, complete(o, Command{Event: Track, Scan: Scan{Status: status, At: o.At.Add(-hour)}, Parts: []string{"hull"}}))
			if err != nil {
				t.Fatalf("%s: %s: %v", at, status, err)
			}
			want := o.Progress
			want.At = o.At.Add(hour)
			want.Seq++
			if got := ch.After.Progress; got.Parts == nil || !reflect.DeepEqual(got, want) || len(ch.Legs)+len(ch.Accounts) > 0 || ch.SetsDeadline() {
				t.Errorf("%s: %s: %+v, want %+v", at, status, got, want)
			}
		}
	}
}

func TestTrackRefused(t *testing.T) {
	pay, ship := Command{Event: Pay, Method: "card"}, Command{Event: ShipPart, Parts: []string{"hull"}}
	scan := Scan{Status: "in_transit"}
	for _, c := range []struct {
		name   string
		events []Command
		cmd    Command
		rule   string
	}{
		{"before the shipment", []Command{pay}, Command{Event: Track, Scan: scan}, RuleState},
		{"in a dispute", []Command{pay, ship, {Event: Dispute, Reason: "x"}}, Command{Event: Track, Scan: scan}, RuleState},
		{"no status", []Command{pay, ship}, Command{Event: Track}, RuleTracking},
		{"another status", []Command{pay, ship}, Command{Event: Track, Scan: Scan{Status: "lost in space"}}, RuleTracking},
		{"delivered, which is an event", []Command{pay, ship}, Command{Event: Track, Scan: Scan{Status: ScanDelivered}}, RuleTracking},
		{"by the buyer", []Command{pay, ship}, Command{Event: Track, Scan: scan, By: Buyer}, RuleRole},
		{"noted after it took effect", []Command{pay, ship}, Command{Event: Track, Scan: Scan{Status: "customs", At: t0.Add(4*hour + time.Microsecond)}}, RuleOrderOfTime},
		{"delivered in the future", []Command{pay, ship}, Command{Event: DeliverPart, Parts: []string{"hull"}, Scan: Scan{At: t0.Add(5 * hour)}}, RuleOrderOfTime},
		{"of a part that was not shipped", []Command{pay, ship}, Command{Event: Track, Scan: scan, Parts: []string{"mast"}}, RulePart},
		{"of a part that is not there", []Command{pay, ship}, Command{Event: Track, Scan: scan, Parts: []string{"keel"}}, RulePart},
		{"after the deadline", []Command{pay, ship}, Command{Event: Track, Scan: scan, At: t0.AddDate(0, 1, 0)}, RuleTooLate},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := inParts(t)
			for _, e := range c.events {
				o = must(t, o, e)
			}
			_, err := Plan(o, complete(o, c.cmd))
			var r *Refusal
			if !errors.As(err, &r) || r.Rule != c.rule {
				t.Errorf("%v, want %s", err, c.rule)
			}
		})
	}
	o := must(t, must(t, agreed(t, 100, nil), pay), Command{Event: Ship})
	var r *Refusal
	if _, err := Plan(o, complete(o, Command{Event: Track, Scan: scan, Parts: []string{"hull"}})); !errors.As(err, &r) || r.Rule != RulePart {
		t.Errorf("a part of an order without: %v", err)
	}
	must(t, o, Command{Event: Track, Scan: scan})
}
