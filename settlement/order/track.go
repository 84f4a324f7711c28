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
