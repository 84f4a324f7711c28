package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"escrowd/intake/api"
)

// CreateOrder records what buyer and seller agreed.
func (c *Client) CreateOrder(ctx context.Context, in api.NewOrder, opts ...Option) (api.Order, error) {
	return post[api.Order](ctx, c, "/v1/orders", in, opts)
}

// Order is one order, why its money is where it is, and what can happen next.
func (c *Client) Order(ctx context.Context, id string) (api.OrderDetail, error) {
	return get[api.OrderDetail](ctx, c, "/v1/orders/"+url.PathEscape(id), nil)
}

// Quote is what an order would cost and pay out; nothing is stored, so it can
// be repeated.
func (c *Client) Quote(ctx context.Context, in api.NewQuote) (out api.Quote, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/quotes", repeatable: true}, in, &out, nil)
	return out, err
}

// Preview is what an event would do to an order: event is the last word of its
// path, such as ruling, and in what it takes. Nothing moves, so it can be
// repeated.
func (c *Client) Preview(ctx context.Context, id, event string, in any) (out api.Preview, err error) {
	path := "/v1/orders/" + url.PathEscape(id) + "/" + url.PathEscape(event) + "/preview"
	err = c.do(ctx, call{method: http.MethodPost, path: path, repeatable: true}, in, &out, nil)
	return out, err
}

// PreviewPayment is what Pay would do to each of the payment's orders. Nothing
// moves, so it can be repeated.
func (c *Client) PreviewPayment(ctx context.Context, in api.Payment) (out api.PaymentPreview, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/payments/preview", repeatable: true}, in, &out, nil)
	return out, err
}

// OrderFilter selects orders; zero fields select all. Limit 0 is the
// server's default, 100.
type OrderFilter struct {
	State     string
	Reference string
	Cursor    string
	Limit     int
}

// Orders is a page of orders by id.
func (c *Client) Orders(ctx context.Context, f OrderFilter) (api.Orders, error) {
	q := url.Values{}
	set(q, "state", f.State)
	set(q, "reference", f.Reference)
	set(q, "cursor", f.Cursor)
	setInt(q, "limit", int64(f.Limit))
	return get[api.Orders](ctx, c, "/v1/orders", q)
}

// Timeline is all that happened to an order.
func (c *Client) Timeline(ctx context.Context, id string) (api.Timeline, error) {
	return get[api.Timeline](ctx, c, "/v1/orders/"+url.PathEscape(id)+"/timeline", nil)
}

// Shipments is what was shipped of an order, and where it is.
func (c *Client) Shipments(ctx context.Context, id string) ([]api.Shipment, error) {
	s, err := get[api.Shipments](ctx, c, "/v1/orders/"+url.PathEscape(id)+"/shipments", nil)
	return s.Shipments, err
}

// Feed is a page of all that happened in the marketplace after a position.
func (c *Client) Feed(ctx context.Context, after int64, limit int) (api.Feed, error) {
	q := url.Values{}
	setInt(q, "after", after)
	setInt(q, "limit", int64(limit))
	return get[api.Feed](ctx, c, "/v1/events", q)
}

// Pay books one payment of one or several orders.
func (c *Client) Pay(ctx context.Context, in api.Payment, opts ...Option) (api.Paid, error) {
	return post[api.Paid](ctx, c, "/v1/payments", in, opts)
}

// Reprice books another price of an order that nobody has paid.
func (c *Client) Reprice(ctx context.Context, id string, in api.Reprice, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "reprice", in, opts)
}

// Authorise books that a payment is authorised.
func (c *Client) Authorise(ctx context.Context, id string, in api.Authorise, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "authorise", in, opts)
}

// Capture takes what was authorised, or a part of it, and holds it.
func (c *Client) Capture(ctx context.Context, id string, in api.Capture, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "capture", in, opts)
}

// Void ends an authorisation without a payment.
func (c *Client) Void(ctx context.Context, id string, in api.Void, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "void", in, opts)
}

// Ship books a shipment.
func (c *Client) Ship(ctx context.Context, id string, in api.Ship, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "ship", in, opts)
}

// Deliver books a delivery.
func (c *Client) Deliver(ctx context.Context, id string, in api.Deliver, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "deliver", in, opts)
}

// Track notes where the goods are; delivered books a delivery.
func (c *Client) Track(ctx context.Context, id string, in api.Track, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "track", in, opts)
}

// ShipPart books a shipment of parts of an order.
func (c *Client) ShipPart(ctx context.Context, id string, in api.ShipPart, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "ship-part", in, opts)
}

// DeliverPart books a delivery of parts of an order.
func (c *Client) DeliverPart(ctx context.Context, id string, in api.DeliverPart, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "deliver-part", in, opts)
}

// ReleasePart books the buyer's confirmation of parts of an order.
func (c *Client) ReleasePart(ctx context.Context, id string, in api.ReleasePart, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "release-part", in, opts)
}

// Confirm books the buyer's confirmation.
func (c *Client) Confirm(ctx context.Context, id string, in api.Confirm, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "confirm", in, opts)
}

// Extend moves a deadline.
func (c *Client) Extend(ctx context.Context, id string, in api.Extend, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "extend", in, opts)
}

// Cancel ends an order that was not shipped.
func (c *Client) Cancel(ctx context.Context, id string, in api.Cancel, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "cancel", in, opts)
}

// Refund gives a part of what is held, or all of it, back to the buyer.
func (c *Client) Refund(ctx context.Context, id string, in api.Refund, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "refund", in, opts)
}

// RefundReleased gives a part of what was released, or all, back to the buyer.
func (c *Client) RefundReleased(ctx context.Context, id string, in api.RefundReleased, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "refund-released", in, opts)
}

// Chargeback books that the buyer's bank has taken the payment back.
func (c *Client) Chargeback(ctx context.Context, id string, in api.Chargeback, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "chargeback", in, opts)
}

// SecondChargeback books one after a chargeback that was won.
func (c *Client) SecondChargeback(ctx context.Context, id string, in api.SecondChargeback, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "second-chargeback", in, opts)
}

// Represent books that the marketplace has answered a chargeback.
func (c *Client) Represent(ctx context.Context, id string, in api.Represent, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "represent", in, opts)
}

// WinChargeback books that the bank gives the payment back.
func (c *Client) WinChargeback(ctx context.Context, id string, in api.WinChargeback, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "win-chargeback", in, opts)
}

// LoseChargeback books that the bank does not.
func (c *Client) LoseChargeback(ctx context.Context, id string, in api.LoseChargeback, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "lose-chargeback", in, opts)
}

// Dispute freezes what is held.
func (c *Client) Dispute(ctx context.Context, id string, in api.Dispute, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "dispute", in, opts)
}

// Rule ends a dispute.
func (c *Client) Rule(ctx context.Context, id string, in api.Ruling, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "ruling", in, opts)
}

// AcceptClaim ends a dispute as the buyer claimed or, by the buyer, as the seller
// claims of goods that came back damaged.
func (c *Client) AcceptClaim(ctx context.Context, id string, in api.AcceptClaim, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "accept-claim", in, opts)
}

// Contest starts the negotiation.
func (c *Client) Contest(ctx context.Context, id string, in api.Contest, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "contest", in, opts)
}

// Offer says how a party would end the dispute.
func (c *Client) Offer(ctx context.Context, id string, in api.Offer, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "offer", in, opts)
}

// AcceptOffer accepts the other party's last offer.
func (c *Client) AcceptOffer(ctx context.Context, id string, in api.AcceptOffer, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "accept-offer", in, opts)
}

// Evidence notes a file that speaks for a party.
func (c *Client) Evidence(ctx context.Context, id string, in api.Evidence, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "evidence", in, opts)
}

// Withdraw ends a dispute as if it had not been opened.
func (c *Client) Withdraw(ctx context.Context, id string, in api.Withdraw, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "withdraw", in, opts)
}

// Escalate puts a dispute before the marketplace.
func (c *Client) Escalate(ctx context.Context, id string, in api.Escalate, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "escalate", in, opts)
}

// Appeal makes a ruling fall.
func (c *Client) Appeal(ctx context.Context, id string, in api.Appeal, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "appeal", in, opts)
}

// ShipBack books that the goods went back to the seller.
func (c *Client) ShipBack(ctx context.Context, id string, in api.ShipBack, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "ship-back", in, opts)
}

// ReceiveReturn books that the seller has the goods back.
func (c *Client) ReceiveReturn(ctx context.Context, id string, in api.ReceiveReturn, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "receive-return", in, opts)
}

// RefuseReturn books that the seller refuses what came back.
func (c *Client) RefuseReturn(ctx context.Context, id string, in api.RefuseReturn, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "refuse-return", in, opts)
}

// ShipReplacement books that other goods left in place of those that came.
func (c *Client) ShipReplacement(ctx context.Context, id string, in api.ShipReplacement, opts ...Option) (api.Order, error) {
	return c.event(ctx, id, "ship-replacement", in, opts)
}

func (c *Client) event(ctx context.Context, id, event string, in any, opts []Option) (api.Order, error) {
	return post[api.Order](ctx, c, "/v1/orders/"+url.PathEscape(id)+"/"+event, in, opts)
}

// Items are the kinds of item that a bulk request can have.
type Items interface {
	api.NewOrderItem | api.PaymentItem | api.RepriceItem | api.AuthoriseItem | api.CaptureItem | api.VoidItem | api.ShipItem | api.DeliverItem | api.ConfirmItem |
		api.ExtendItem | api.CancelItem | api.RefundItem | api.RefundReleasedItem |
		api.ChargebackItem | api.SecondChargebackItem | api.RepresentItem | api.WinChargebackItem | api.LoseChargebackItem | api.DisputeItem | api.RulingItem |
		api.AcceptClaimItem | api.ContestItem | api.OfferItem | api.AcceptOfferItem | api.EvidenceItem | api.WithdrawItem |
		api.TrackItem | api.ShipPartItem | api.DeliverPartItem | api.ReleasePartItem |
		api.EscalateItem | api.AppealItem | api.ShipBackItem | api.ReceiveReturnItem | api.RefuseReturnItem | api.ShipReplacementItem
	Keyed() bool
}

// Bulk sends up to api.BulkMax items of one kind in one request and gives an
// answer for each, by index. It is sent again by itself when the request has a
// key (see Key) or every item has one.
func Bulk[I Items](ctx context.Context, c *Client, items []I, opts ...Option) ([]api.Answer, error) {
	cl := call{method: http.MethodPost, path: "/v1/bulk/" + bulkPath(items), repeatable: true}
	for _, i := range items {
		cl.repeatable = cl.repeatable && i.Keyed()
	}
	var a api.Answers
	err := c.do(ctx, cl, api.Bulk[I]{Items: items}, &a, opts)
	return a.Answers, err
}

func bulkPath(items any) string {
	switch items.(type) {
	case []api.NewOrderItem:
		return "orders"
	case []api.PaymentItem:
		return "payments"
	case []api.RepriceItem:
		return "reprice"
	case []api.AuthoriseItem:
		return "authorise"
	case []api.CaptureItem:
		return "capture"
	case []api.VoidItem:
		return "void"
	case []api.ShipItem:
		return "ship"
	case []api.DeliverItem:
		return "deliver"
	case []api.TrackItem:
		return "track"
	case []api.ShipPartItem:
		return "ship-part"
	case []api.DeliverPartItem:
		return "deliver-part"
	case []api.ReleasePartItem:
		return "release-part"
	case []api.ConfirmItem:
		return "confirm"
	case []api.ExtendItem:
		return "extend"
	case []api.CancelItem:
		return "cancel"
	case []api.RefundItem:
		return "refund"
	case []api.RefundReleasedItem:
		return "refund-released"
	case []api.ChargebackItem:
		return "chargeback"
	case []api.SecondChargebackItem:
		return "second-chargeback"
	case []api.RepresentItem:
		return "represent"
	case []api.WinChargebackItem:
		return "win-chargeback"
	case []api.LoseChargebackItem:
		return "lose-chargeback"
	case []api.DisputeItem:
		return "dispute"
	case []api.AcceptClaimItem:
		return "accept-claim"
	case []api.ContestItem:
		return "contest"
	case []api.OfferItem:
		return "offer"
	case []api.AcceptOfferItem:
		return "accept-offer"
	case []api.EvidenceItem:
		return "evidence"
	case []api.WithdrawItem:
		return "withdraw"
	case []api.EscalateItem:
		return "escalate"
	case []api.AppealItem:
		return "appeal"
	case []api.ShipBackItem:
		return "ship-back"
	case []api.ReceiveReturnItem:
		return "receive-return"
	case []api.RefuseReturnItem:
		return "refuse-return"
	case []api.ShipReplacementItem:
		return "ship-replacement"
	default:
		return "ruling"
	}
}

// Clock is the marketplace's clock.
func (c *Client) Clock(ctx context.Context) (api.Clock, error) {
	return get[api.Clock](ctx, c, "/v1/clock", nil)
}

// SetClock moves a test clock forward to a time and, unless hold, fires the
// deadlines that pass. It can be repeated: a clock never moves back.
func (c *Client) SetClock(ctx context.Context, to time.Time, hold bool) (out api.ClockMoved, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/clock", repeatable: true},
		api.SetClock{To: to, HoldDeadlines: hold}, &out, nil)
	return out, err
}

// Policies are the version of each policy that is in force, and the newer ones
// that wait for their time.
func (c *Client) Policies(ctx context.Context) ([]api.Policy, error) {
	p, err := get[api.Policies](ctx, c, "/v1/policies", nil)
	return p.Policies, err
}

// AddPolicy makes the next version of a policy; an unchanged one answers the
// version there is, so it can be repeated.
func (c *Client) AddPolicy(ctx context.Context, in api.PolicyTerms) (out api.Policy, err error) {
	err = c.do(ctx, call{method: http.MethodPost, path: "/v1/policies", repeatable: true}, in, &out, nil)
	return out, err
}

// Whoami is the marketplace that the key belongs to.
func (c *Client) Whoami(ctx context.Context) (api.Whoami, error) {
	return get[api.Whoami](ctx, c, "/v1/whoami", nil)
}

// Ready asks whether the server can serve: its database and ledger answer.
func (c *Client) Ready(ctx context.Context) error {
	_, err := get[api.Health](ctx, c, "/readyz", nil)
	return err
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setInt(q url.Values, name string, value int64) {
	if value != 0 {
		q.Set(name, strconv.FormatInt(value, 10))
	}
}

// MakeEntry moves money that is no order's, or proposes to.
func (c *Client) MakeEntry(ctx context.Context, in api.NewEntry, opts ...Option) (api.EntryMade, error) {
	return post[api.EntryMade](ctx, c, "/v1/entries", in, opts)
}

// MoveEntry books an event of an entry: approve, reject, accept, fail, settle,
// return, assign, send-back or send.
func (c *Client) MoveEntry(ctx context.Context, id, event string, in api.EntryAct, opts ...Option) (api.Entry, error) {
	return post[api.Entry](ctx, c, "/v1/entries/"+url.PathEscape(id)+"/"+url.PathEscape(event), in, opts)
}

// Entry is an entry and all that happened to it.
func (c *Client) Entry(ctx context.Context, id string) (api.EntryDetail, error) {
	return get[api.EntryDetail](ctx, c, "/v1/entries/"+url.PathEscape(id), nil)
}

// EntryFilter selects entries; zero fields select all. Limit 0 is the server's
// default, 100.
type EntryFilter struct {
	Kind, State, Party, Cursor string
	Limit                      int
}

// Entries is a page of entries by id.
func (c *Client) Entries(ctx context.Context, f EntryFilter) (api.Entries, error) {
	q := url.Values{}
	set(q, "kind", f.Kind)
	set(q, "state", f.State)
	set(q, "party", f.Party)
	set(q, "cursor", f.Cursor)
	setInt(q, "limit", int64(f.Limit))
	return get[api.Entries](ctx, c, "/v1/entries", q)
}

// SetPayee says how a seller is paid out.
func (c *Client) SetPayee(ctx context.Context, in api.SetPayee, opts ...Option) (api.Payee, error) {
	return post[api.Payee](ctx, c, "/v1/payees", in, opts)
}

// Payee is how a seller is paid out.
func (c *Client) Payee(ctx context.Context, seller string) (api.Payee, error) {
	return get[api.Payee](ctx, c, "/v1/payees", url.Values{"seller": {seller}})
}

// SentPayouts is a page of the payouts that are on their way; cursor "" is the
// first, limit 0 the server's default, 100.
func (c *Client) SentPayouts(ctx context.Context, cursor string, limit int) (api.SentPayouts, error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	setInt(q, "limit", int64(limit))
	return get[api.SentPayouts](ctx, c, "/v1/payouts", q)
}

// Balances are what a buyer or a seller has, by the ledger.
func (c *Client) Balances(ctx context.Context, party string) (api.Balances, error) {
	return get[api.Balances](ctx, c, "/v1/balances", url.Values{"party": {party}})
}
