package order

import (
	"slices"
	"time"
)

// Scan is what a carrier, or who speaks for it, says of where the goods are.
// Where and what else was said stands on the timeline.
type Scan struct {
	Status string    // one of ScanStatuses
	At     time.Time // when the carrier noted it, zero for when the event took effect; never later
}

// ScanDelivered is the status that is an event of its own: Deliver, or DeliverPart.
const ScanDelivered = "delivered"

// ScanStatuses are what Track can say, in the order of a parcel's way. None of
// them moves money or a deadline: a status is somebody's word, and often wrong.
var ScanStatuses = []string{"label_created", "picked_up", "in_transit", "customs", "out_for_delivery", "attempted", "at_pickup_point",
	"exception", "returning_to_sender"}

// shipments are the events with which goods go on their way.
var shipments = []Event{Ship, ShipPart, ShipBack, ShipReplacement}

// needsTracking reports whether a shipment of the order counts only with its
// tracking number.
func (o *Order) needsTracking() bool {
	return o.Policy != nil && o.Policy.RequireTracking && !o.Virtual // a report does not read the policy
}

// tracked says so, where a shipment is waited for.
func tracked(o *Order) string {
	if o.needsTracking() {
		return ", with the carrier's tracking number"
	}
	return ""
}

// track notes where the goods are, or where some parts of them are.
func (p *planner) track([]State) error {
	if !slices.Contains(ScanStatuses, p.c.Scan.Status) {
		return p.refuse(RuleTracking, "a status is %s; %s is the event of that name", joinWords(ScanStatuses, "or"), ScanDelivered)
	}
	if len(p.c.Parts) == 0 {
		return nil
	}
	_, err := p.named(Shipped, Delivered)
	return err
}
