// Package replay plays orders whose whole life is known beforehand through
// the HTTP API of a marketplace with a test clock: real orders of the past
// (Olist reads them) or made up ones.
//
//	story.go   what happens to an order, and when: plain data
//	olist.go   the stories in a directory of real orders: pure
//	drive.go   sends stories through the API, window by window
//	session.go the marketplace and the key that a run needs
//
// Every event has an idempotency key made of the order's reference, so that
// playing a story again, or going on after a crash, changes nothing that has
// happened already.
package replay

import (
	"encoding/json"
	"time"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// Story is one order from its agreement to its end. Amounts are minor units
// of Currency, times UTC.
type Story struct {
	Reference string
	Buyer     string
	Seller    string
	Currency  string // ISO 4217 code
	Amount    int64
	Policy    string
	ShipBy    time.Time // agreed date of shipment; zero for none
	Goods     json.RawMessage
	Virtual   bool          // nothing is carried
	Parts     []api.NewPart // what is shipped and released by itself; none for all at once

	// ConfirmWithin is the time to confirm from the delivery that was agreed, in
	// whole seconds; 0 for the policy's.
	ConfirmWithin time.Duration

	// Basket, where it is not 0, is shared by the stories that one payment
	// covers: of one buyer and currency, with Pay at the same moment.
	Basket int

	// Events are what people do, agreement first, in order of time. What a
	// passing deadline causes is not among them: the server does that.
	Events []Event

	// The order reaches Final at Ends, by an event or by a deadline. A story
	// that ends later than the run goes is left where it is.
	Final order.State
	Ends  time.Time
}

// Event is something that a person does to an order. Fields that the kind
// does not use are zero.
type Event struct {
	Kind order.Event
	At   time.Time

	Method            string    // pay, authorise
	Until             time.Time // extend
	Carrier, Tracking string    // ship, ship_part, ship_back, ship_replacement
	Status, Location  string    // track
	Parts             []string  // ship_part, deliver_part, release_part, refund of an order in parts
	Amount            int64     // reprice: what the goods are to cost; refund, dispute: 0 for all that is held; capture: 0 for all that is authorised; refuse_return: for damage, 0 for none; refund_released: 0 for all that was released; chargeback: 0 for all
	ToBuyer, ToSeller int64     // rule; offer and accept_offer: ToBuyer
	Return            bool      // offer, rule
	Replacement       bool      // offer, accept_offer, rule
	Evidence          order.Evidence
	Reason            string // reprice, cancel, refund, refund_released, chargeback, dispute, contest, appeal, refuse_return, rule
	By                order.Role

	// AfterDeadline: a deadline moved the order on since the event before. It, and
	// the next one that does, are at least Apart from the event, so that they
	// never fall into one window with it.
	AfterDeadline bool
}

// Apart is how long a window of Drive is at most where a story has somebody act
// after a deadline.
const Apart = 16 * 24 * time.Hour

// Price is what the buyer pays, in minor units: the amount, or what it was changed
// to last before the payment.
func (s *Story) Price() int64 {
	price := s.Amount
	for _, e := range s.Events {
		if e.Kind == order.Reprice {
			price = e.Amount
		}
	}
	return price
}

// Span is from when to when stories go: the first event and the last end.
func Span(stories []Story) (first, last time.Time) {
	for _, s := range stories {
		for _, e := range s.Events {
			if first.IsZero() || e.At.Before(first) {
				first = e.At
			}
			if e.At.After(last) {
				last = e.At
			}
		}
		if s.Ends.After(last) {
			last = s.Ends
		}
	}
	return first, last
}
