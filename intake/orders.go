package intake

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"escrowd/intake/api"
	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// agreement is a new order as the write path wants it.
func agreement(in *api.NewOrder) posting.Request {
	req := posting.Request{
		Command: order.Command{Event: order.Agree, By: order.Role(in.By), At: in.At},
		Agreement: &posting.Agreement{Reference: in.Reference, Buyer: in.Buyer, Seller: in.Seller,
			Currency: in.Currency, Amount: in.Amount, Category: in.Category, Policy: in.Policy, ShipByDate: in.ShipBy,
			SellerTier: in.SellerTier, Jurisdiction: in.Jurisdiction, Virtual: in.Virtual, ConfirmWithin: order.Seconds(in.ConfirmWithin)},
	}
	req.Agreement.Parts = partTerms(in.Parts)
	if len(in.Goods) > 0 {
		req.Data = append(append([]byte(`{"goods":`), in.Goods...), '}')
	}
	return req
}

func (s *Server) createOrder(c *call) (answer, error) {
	in, err := decode[api.NewOrder](c)
	if err != nil {
		return answer{}, err
	}
	a, err := s.moveOne(c, agreement(&in))
	if err == nil {
		a.location = "/v1/orders/" + a.body.(api.Order).ID
	}
	return a, err
}

func partTerms(list []api.NewPart) (out []order.PartTerms) {
	for _, p := range list {
		out = append(out, order.PartTerms(p))
	}
	return out
}

// quote is createOrder without an order: nothing is stored.
func (s *Server) quote(c *call) (answer, error) {
	in, err := decode[api.NewQuote](c)
	if err != nil {
		return answer{}, err
	}
	m, err := s.opts.Store.Marketplace(c.ctx, c.marketplace)
	if err != nil {
		return answer{}, err
	}
	o, err := posting.Quote(c.ctx, s.opts.Store, m,
		posting.Agreement{Seller: in.Seller, Category: in.Category, Currency: in.Currency, Amount: in.Amount, Policy: in.Policy, SellerTier: in.SellerTier, Jurisdiction: in.Jurisdiction,
			Virtual: in.Virtual, ConfirmWithin: order.Seconds(in.ConfirmWithin), Parts: partTerms(in.Parts)},
		in.At, s.opts.Clock())
	if err != nil {
		return answer{}, err
	}
	return answer{body: QuoteOf(&o)}, nil
}

// QuoteOf is what would become of an order that posting.Quote describes.
func QuoteOf(o *order.Order) api.Quote {
	pre := order.Foresee(*o)
	shown := orderOf(o)
	out := api.Quote{Currency: shown.Currency, Amount: o.Amount, Policy: shown.Policy, PolicyVersion: shown.PolicyVersion,
		Cost: costOf(o.Charge()), Methods: make([]api.MethodCost, len(pre.Costs)), Steps: make([]api.Step, len(pre.Steps))}
	for i, c := range pre.Costs {
		out.Methods[i] = api.MethodCost{Method: c.Method, Cost: costOf(c.Charge)}
	}
	for i, st := range pre.Steps {
		actors := make([]string, len(st.Actors))
		for j, r := range st.Actors {
			actors[j] = string(r)
		}
		out.Steps[i] = api.Step{State: string(st.State), Deadline: string(st.Deadline), Within: int64(st.Within), Until: st.When(),
			Actors: actors, Next: st.Next, Otherwise: st.Otherwise}
	}
	return out
}

func costOf(c order.Charge) api.Cost {
	return api.Cost{BuyerPays: c.Pays(), BuyerShare: c.BuyerShare, Fee: c.Fee, Tax: c.Tax, SellerGets: c.Pays() - c.Fee - c.Tax}
}

func (s *Server) getOrder(c *call) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	return answer{body: api.OrderDetail{Order: orderOf(&o), Explanation: api.Explanation(order.Explain(&o)),
		Allowed: allowedOf(o.Allowed())}}, nil
}

// order is the order of the path, if it is the caller's.
func (s *Server) order(c *call) (order.Order, error) {
	id, err := ledger.ParseUUID(c.id)
	if err != nil {
		return order.Order{}, orderdb.ErrNotFound
	}
	return s.opts.Store.Order(c.ctx, c.marketplace, id)
}

func (s *Server) getTimeline(c *call) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	events, err := s.opts.Store.Timeline(c.ctx, o.ID)
	return answer{body: api.Timeline{Events: eventsOf(events)}}, err
}

func (s *Server) getShipments(c *call) (answer, error) {
	o, err := s.order(c)
	if err != nil {
		return answer{}, err
	}
	list, err := s.opts.Store.Shipments(c.ctx, o.ID)
	return answer{body: api.Shipments{Shipments: shipmentsOf(list)}}, err
}

func shipmentsOf(list []order.Shipment) []api.Shipment {
	out := make([]api.Shipment, len(list))
	for i, s := range list {
		out[i] = api.Shipment{Number: s.Number, Kind: string(s.Kind), Parts: s.Parts, ChildOf: s.ChildOf, Amount: s.Amount,
			Carrier: s.Carrier, Tracking: s.Tracking, ShippedAt: utc(s.ShippedAt), DeliveredAt: utc(s.DeliveredAt), Scans: make([]api.ShipmentScan, len(s.Scans))}
		for j, scan := range s.Scans {
			out[i].Scans[j] = api.ShipmentScan{At: scan.At.UTC(), Status: scan.Status, Location: scan.Location, Tracking: scan.Tracking, Note: scan.Note}
		}
	}
	return out
}

func (s *Server) listOrders(c *call) (answer, error) {
	state := order.State(c.query.Get("state"))
	if c.query.Has("reference") {
		return s.findOrder(c, c.query.Get("reference"), state)
	}
	limit := int(c.intParam("limit", 100))
	f := orderdb.OrderFilter{State: state, Limit: limit}
	if c.query.Has("cursor") {
		var err error
		if f.After, err = ledger.ParseUUID(c.query.Get("cursor")); err != nil {
			return answer{}, err
		}
	}
	list, err := s.opts.Store.Orders(c.ctx, c.marketplace, f)
	page := api.Orders{Orders: ordersOf(list)}
	if len(list) == limit {
		page.Next = list[limit-1].ID.UUID()
	}
	return answer{body: page}, err
}

func (s *Server) findOrder(c *call, reference string, state order.State) (answer, error) {
	page := api.Orders{Orders: []api.Order{}}
	o, err := s.opts.Store.OrderByReference(c.ctx, c.marketplace, reference)
	if errors.Is(err, orderdb.ErrNotFound) {
		return answer{body: page}, nil
	}
	if err == nil && (state == "" || o.State == state) {
		page.Orders = append(page.Orders, orderOf(&o))
	}
	return answer{body: page}, err
}

func (s *Server) listEvents(c *call) (answer, error) {
	after := c.intParam("after", 0)
	list, err := s.opts.Store.Events(c.ctx, c.marketplace, after, int(c.intParam("limit", 100)))
	feed := api.Feed{Events: eventsOf(list), Next: after}
	if len(list) > 0 {
		feed.Next = list[len(list)-1].Position
	}
	return answer{body: feed}, err
}

// orderOf is an order as the API shows it.
func orderOf(o *order.Order) api.Order {
	charge := o.Charge()
	out := api.Order{
		ID: o.ID.UUID(), Reference: o.Reference, Buyer: o.Buyer, Seller: o.Seller, Category: o.Category, Amount: charge.Amount, Fee: charge.Fee, Tax: charge.Tax,
		SellerTerms: api.SellerTerms{SellerTier: o.SellerTier, Jurisdiction: o.Jurisdiction}, BuyerShare: charge.BuyerShare, Method: o.Method,
		AgreedAt: o.AgreedAt.UTC(), ShipBy: utc(o.ShipByDate), State: string(o.State), Held: o.Held, Released: o.Released,
		Refunded: o.Refunded, FeeCharged: o.FeeCharged, TaxCharged: o.TaxCharged, Maturing: o.Maturing,
		Deadline: string(o.Deadline), DeadlineAt: utc(o.DeadlineAt), At: o.At.UTC(), PaidAt: utc(o.PaidAt), Disputes: o.Disputes, Replaced: o.Replaced > 0, Events: o.Seq,
		Virtual: o.Virtual, ConfirmWithin: int64(o.ConfirmWithin), Holidays: o.Holidays,
	}
	if charge.Amount != o.Amount || o.Repriced() {
		out.AgreedAmount = o.Amount
	}
	if o.Repriced() {
		out.RepricedTo = o.Price()
	}
	if _, cur, ok := chart.SplitLedger(o.Ledger); ok {
		out.Currency = cur.Code
	}
	if o.Policy != nil {
		out.Policy, out.PolicyVersion = o.Policy.Name, o.Policy.Version
	}
	if o.Aftermath != nil {
		out.Reserved, out.ChargedBack = o.Aftermath.Reserved, o.Aftermath.Lost
		if cb := o.Aftermath.Chargeback; cb != nil {
			out.Chargeback = &api.OpenChargeback{OpenedAt: cb.OpenedAt.UTC(), Amount: cb.Amount, From: string(cb.From), Second: cb.Second, Method: cb.Method}
			if fx := cb.FX; fx != nil {
				out.Chargeback.FX = &api.TakenFX{Currency: fx.Currency, Amount: fx.Amount, Rate: fx.Rate}
			}
		}
	}
	out.Claim = claimOf(o.Claim)
	if asked := o.Asked(); asked != nil {
		out.Asked = &api.AskedExtension{By: string(asked.By), Until: asked.Until.UTC()}
	}
	out.Parts = partsOf(o.Parts)
	return out
}

func partsOf(parts *order.Parts) (out []api.Part) {
	if parts == nil {
		return nil
	}
	for i := range parts.List {
		p := &parts.List[i]
		out = append(out, api.Part{Name: p.Name, Amount: p.Amount, ShipBy: utc(p.ShipBy), BuyerShare: p.BuyerShare, State: string(p.State), Held: p.Held, Refunded: p.Refunded,
			ReleasedAt: utc(p.ReleasedAt), Maturing: p.Maturing, Deadline: string(p.Deadline()), DeadlineAt: utc(p.DeadlineAt), Holidays: p.Holidays})
	}
	return out
}

func claimOf(c *order.Claim) *api.Claim {
	if c == nil {
		return nil
	}
	offer := func(f *order.Offer) *api.ClaimOffer {
		if f == nil {
			return nil
		}
		return &api.ClaimOffer{By: string(f.By), ToBuyer: f.ToBuyer, Return: f.Return, Replacement: f.Replacement}
	}
	out := &api.Claim{OpenedAt: c.OpenedAt.UTC(), Amount: c.Amount, Stake: c.Stake, Offer: offer(c.Offer), Return: offer(c.Return),
		Appealed: string(c.Appealed), BuyerEvidence: c.BuyerEvidence, SellerEvidence: c.SellerEvidence}
	if d := c.Damage; d != nil {
		out.Damage = &api.ClaimDamage{Amount: d.Amount, ToBuyer: d.ToBuyer}
	}
	if r := c.Ruling; r != nil {
		out.Ruling = &api.ClaimRuling{ToBuyer: r.ToBuyer, ToSeller: r.ToSeller, Return: r.Return, Replacement: r.Replacement}
	}
	return out
}

func ordersOf(list []order.Order) []api.Order {
	out := make([]api.Order, len(list))
	for i := range list {
		out[i] = orderOf(&list[i])
	}
	return out
}

func eventsOf(list []orderdb.Event) []api.Event {
	out := make([]api.Event, len(list))
	for i, e := range list {
		out[i] = api.Event{
			Position: e.Position, Order: e.Order.UUID(), Intent: e.Intent.UUID(), Seq: e.After.Seq, Event: string(e.Event), By: string(e.Actor),
			At: e.After.At.UTC(), RecordedAt: e.RecordedAt.UTC(), Data: e.Data,
			State: string(e.After.State), Held: e.After.Held, Released: e.After.Released, Refunded: e.After.Refunded,
			FeeCharged: e.After.FeeCharged, TaxCharged: e.After.TaxCharged, Maturing: e.After.Maturing,
			Deadline: string(e.After.Deadline), DeadlineAt: utc(e.After.DeadlineAt),
		}
		if e.LedgerTimestamp != 0 {
			out[i].LedgerTimestamp = strconv.FormatUint(e.LedgerTimestamp, 10)
		}
	}
	return out
}

// utc keeps a zero time zero, which is left out of the JSON.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

// storable checks a text that goes into a query as it is.
func storable(v string) string {
	if v == "" || len(v) > 800 || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return "must be 1 to 200 characters"
	}
	return ""
}
