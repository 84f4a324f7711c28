package orderdb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// Shipments are an order's, see order.Shipments. They are read from the timeline
// alone, so they fit together whatever happens meanwhile.
func (s *Store) Shipments(ctx context.Context, id ledger.ID) ([]order.Shipment, error) {
	events, err := s.Timeline(ctx, id)
	if err != nil {
		return nil, err
	}
	return ShipmentsOf(events)
}

// ShipmentsOf are the shipments of an order with that timeline.
func ShipmentsOf(events []Event) ([]order.Shipment, error) {
	timeline := make([]order.Happened, len(events))
	for i := range events {
		e := &events[i]
		timeline[i] = order.Happened{Event: e.Event, After: e.After}
		switch e.Event {
		case order.Ship, order.ShipPart, order.ShipBack, order.ShipReplacement, order.Track, order.Deliver, order.DeliverPart:
		default:
			continue // what is said of the others is not of shipments
		}
		if len(e.Data) == 0 {
			continue
		}
		var said struct {
			Carrier   string    `json:"carrier"`
			Tracking  string    `json:"tracking"`
			Parts     []string  `json:"parts"`
			Status    string    `json:"status"`
			ScannedAt time.Time `json:"scanned_at"`
			Location  string    `json:"location"`
			Note      string    `json:"note"`
		}
		if err := json.Unmarshal(e.Data, &said); err != nil {
			return nil, fmt.Errorf("what was said of event %d of order %s: %w", e.After.Seq, e.Order.UUID(), err)
		}
		h := &timeline[i]
		h.Carrier, h.Tracking, h.Parts, h.Location, h.Note = said.Carrier, said.Tracking, said.Parts, said.Location, said.Note
		h.Scan = order.Scan{Status: said.Status, At: said.ScannedAt}
	}
	return order.Shipments(timeline), nil
}
