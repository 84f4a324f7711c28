package replay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"escrowd/intake/api"
	"escrowd/settlement/order"
)

// The files of a directory of real orders, as Olist publishes them.
const (
	OrdersFile = "orders.csv"
	ItemsFile  = "order_items.csv"
)

// The terms under which the real orders are replayed.
const (
	olistCurrency     = "BRL"
	olistMethod       = "card"
	payWithin         = 30 * day
	shipWithin        = 1 * day // from the payment, where no shipping limit is later
	extendPast        = 1 * day // a late shipment's new deadline is this long after it
	confirmWithin     = 7 * day
	disputeAfter      = 1 * day // the delivery, or the day it was estimated for
	ruleAfter         = 14 * day
	ruleWithin        = 30 * day
	matureAfter       = 2 * day
	day               = 24 * time.Hour
	reasonNotReceived = "not received"
	reasonNotAsAgreed = "not as described"
)

// patience is how long an order waits for its delivery, and how far a seller
// may move a date: so long that in this replay only a dispute ends an order
// that does not arrive. It is short of the ten years that a policy may have.
const patience = 3650 * day

// OlistPolicy is the policy that OlistStories agrees orders under. The fee is
// 10 % and 0.50, at most 100.00.
func OlistPolicy() api.PolicyTerms {
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	return api.PolicyTerms{
		Name:      "olist",
		PayWithin: seconds(payWithin), ShipWithin: seconds(shipWithin),
		ConfirmAfterDelivery: seconds(confirmWithin), ConfirmAfterShipment: seconds(patience),
		ExtendTimes: 1, ExtendBy: seconds(patience),
		RuleWithin: seconds(ruleWithin), MatureAfter: seconds(matureAfter),
		Methods: []string{olistMethod},
		Fees:    map[string]api.Fee{olistCurrency: {Bps: 1000, Fixed: 50, Cap: 10_000}},
	}
}

// OlistDir is Stories of the two files in a directory.
func OlistDir(dir string) ([]Story, error) {
	orders, err := os.Open(filepath.Join(dir, OrdersFile))
	if err != nil {
		return nil, err
	}
	defer orders.Close()
	items, err := os.Open(filepath.Join(dir, ItemsFile))
	if err != nil {
		return nil, err
	}
	defer items.Close()
	stories, err := Stories(orders, items)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return stories, nil
}

// Stories reads Olist's orders and their items and tells the story of each
// order and seller: an escrow order each, in order of agreement. All of both
// files is read and checked before there is any story; what is wrong is an
// *InputError with file, line and column.
//
// The times of an order are pushed so that none is before the one it follows.
// An order that was never approved and never left is never paid and expires.
// Paid and not shipped, it is canceled when its date of shipment passes. A
// late shipment is preceded by an extension at the moment of payment. A
// delivered order is released when the time to confirm passes, unless the
// marketplace canceled it: then the buyer disputes it a day after the
// delivery; and one that never arrives, a day after it was to arrive. Each
// dispute is ruled a full refund 14 days later.
func Stories(orders, items io.Reader) ([]Story, error) {
	facts, err := readOrders(orders)
	if err != nil {
		return nil, err
	}
	parcels, err := readItems(items, facts)
	if err != nil {
		return nil, err
	}
	if len(parcels) == 0 {
		return nil, &InputError{ItemsFile, 1, 1, errors.New("no order has any item")}
	}
	stories := make([]Story, 0, len(parcels))
	for _, p := range parcels {
		s, err := tell(p)
		if err != nil {
			return nil, err
		}
		stories = append(stories, s)
	}
	slices.SortFunc(stories, func(a, b Story) int {
		return cmp.Or(a.Events[0].At.Compare(b.Events[0].At), cmp.Compare(a.Reference, b.Reference))
	})
	return stories, nil
}

// tell makes the story of one parcel: the items of one order and seller.
func tell(p *parcel) (Story, error) {
	f := p.order
	if p.cents < 1 || p.cents > order.MaxAmount {
		return Story{}, p.at.errorf("the items of order and seller cost %d cents together, an order takes 1 to 2^53-1", p.cents)
	}
	s := Story{
		Reference: f.id + "/" + p.seller, Buyer: f.customer, Seller: p.seller,
		Currency: olistCurrency, Amount: p.cents, Policy: OlistPolicy().Name, ShipBy: p.shipBy,
	}
	happens := func(e Event) { s.Events = append(s.Events, e) }
	ends := func(final order.State, at time.Time) (Story, error) {
		s.Final, s.Ends = final, at
		return s, nil
	}

	happens(Event{Kind: order.Agree, At: f.purchase})
	shipped, wasShipped := firstKnown(f.carrier, f.delivered)
	paid := later(f.approved, f.purchase)
	if f.approved.IsZero() && !wasShipped {
		return ends(order.Expired, f.purchase.Add(payWithin))
	}
	if paid.After(f.purchase.Add(payWithin)) {
		return Story{}, f.approvedAt.errorf("approved later than %s after the purchase, when the order had expired", days(payWithin))
	}
	happens(Event{Kind: order.Pay, At: paid, Method: olistMethod})
	shipBy := later(p.shipBy, paid.Add(shipWithin))
	if !wasShipped {
		return ends(order.Canceled, shipBy)
	}

	shipped = later(shipped, paid)
	if shipped.After(shipBy) {
		if shipped.Add(extendPast).After(shipBy.Add(patience)) {
			return Story{}, f.carrierAt.errorf("shipped more than %s after it had to be", days(patience))
		}
		happens(Event{Kind: order.Extend, At: paid, Until: shipped.Add(extendPast)})
	}
	happens(Event{Kind: order.Ship, At: shipped})

	disputed := later(f.estimated.Add(disputeAfter), shipped.Add(disputeAfter))
	reason := reasonNotReceived
	if f.delivered.IsZero() {
		if f.estimated.IsZero() {
			return Story{}, f.estimatedAt.errorf("an order that was shipped and never delivered needs the date it was expected")
		}
	} else {
		delivered := later(f.delivered, shipped)
		if delivered.After(shipped.Add(patience)) {
			return Story{}, f.deliveredAt.errorf("delivered more than %s after the shipment", days(patience))
		}
		happens(Event{Kind: order.Deliver, At: delivered})
		if f.status != statusCanceled {
			return ends(order.Closed, delivered.Add(confirmWithin).Add(matureAfter))
		}
		disputed, reason = delivered.Add(disputeAfter), reasonNotAsAgreed
	}
	if disputed.After(shipped.Add(patience)) {
		return Story{}, f.estimatedAt.errorf("expected more than %s after the shipment", days(patience))
	}
	happens(Event{Kind: order.Dispute, At: disputed, Reason: reason})
	ruled := disputed.Add(ruleAfter)
	happens(Event{Kind: order.Rule, At: ruled, ToBuyer: s.Amount, Reason: reason})
	return ends(order.Refunded, ruled)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func firstKnown(times ...time.Time) (time.Time, bool) {
	for _, t := range times {
		if !t.IsZero() {
			return t, true
		}
	}
	return time.Time{}, false
}

func days(d time.Duration) string { return fmt.Sprintf("%d days", d/day) }
