package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"escrowd/intake/api"
	"escrowd/ledger/chart"
	"escrowd/reports/render"
	"escrowd/settlement/jobs"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

type orderAgreeCmd struct {
	marketFlags `embed:""`
	EngineFlags `embed:""`
	apiFlags    `embed:""`
	Reference   string `arg:"" help:"The marketplace's own name for the order, unique within it."`
	Buyer       string `arg:"" help:"The buyer's id."`
	Seller      string `arg:"" help:"The seller's id."`
	Currency    string `arg:"" help:"An ISO 4217 code."`
	Amount      string `arg:"" help:"What the goods cost, a decimal with all the decimals of the currency: 129.90 in USD, 1500 in JPY."`

	Policy       string    `placeholder:"NAME" help:"The policy; the standard one if left out."`
	Category     string    `placeholder:"WORD" help:"What kind of goods: sellers can be eligible in some only."`
	SellerTier   string    `placeholder:"WORD" help:"The seller's tier; that of the seller's record if left out."`
	Jurisdiction string    `placeholder:"CODE" help:"Where the seller is, like DE or US-CA; what the seller's record says if left out."`
	ShipBy       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"Agreed date of shipment (RFC 3339)."`
	Virtual      bool      `help:"Of virtual goods, which nobody carries."`
	Parts        []string  `sep:"none" placeholder:"NAME=AMOUNT@T" help:"A part that is shipped, confirmed and released by itself; once for each. The last may leave its amount out: it is the rest. @T is the part's own date of shipment (RFC 3339), if it has one."`

	ConfirmWithin string `placeholder:"TIME" help:"Agreed time to confirm from the delivery, within the policy's bounds: 14d, 36h. Without this the policy's own."`

	Goods  string    `placeholder:"JSON" help:"What was sold, a JSON object; kept on the timeline."`
	By     string    `placeholder:"ROLE" help:"Who said it: buyer, seller, carrier or operator."`
	At     time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it was agreed (RFC 3339). Without this now, by the marketplace's clock."`
	Format string    `enum:"text,json" default:"text" help:"${enum}. JSON is the API's answer, with integers of minor units."`
}

func (orderAgreeCmd) Help() string {
	return `As POST /v1/orders: the terms, the fee and the policy's version are fixed, and nothing is held before the payment. It may run beside a server.

    escrowd order agree shop web-1 ann bob USD 129.90
    escrowd order agree shop web-2 ann bob USD 129.90 --parts "table top=80.00" --parts legs
    escrowd order agree shop web-3 ann bob USD 129.90 --parts design=80.00@2030-03-01T00:00:00Z --parts build=@2030-06-01T00:00:00Z
    escrowd order agree shop web-4 ann bob USD 129.90 --policy inspection --confirm-within 14d`
}

// Run records it.
func (c *orderAgreeCmd) Run(ctx context.Context, g *Globals) (err error) {
	cur, err := currencyOf("currency", c.Currency)
	if err != nil {
		return err
	}
	in := fields{"reference": c.Reference, "buyer": c.Buyer, "seller": c.Seller, "currency": cur.Code}
	if err := in.amount("amount", cur, c.Amount); err != nil {
		return err
	}
	for name, v := range map[string]string{"policy": c.Policy, "category": c.Category, "seller_tier": c.SellerTier, "jurisdiction": c.Jurisdiction,
		"by": c.By, "ship_by": moment(c.ShipBy), "at": moment(c.At)} {
		in.text(name, v)
	}
	if c.Virtual {
		in["virtual"] = true
	}
	if within, err := confirmWithin(c.ConfirmWithin); err != nil {
		return err
	} else if within > 0 {
		in["confirm_within"] = int64(within)
	}
	if c.Goods != "" {
		in["goods"] = json.RawMessage(c.Goods)
		if !json.Valid([]byte(c.Goods)) {
			return usageError("--goods: not JSON")
		}
	}
	var parts []fields
	for _, text := range c.Parts {
		name, rest, _ := strings.Cut(text, "=")
		amount, by, _ := strings.Cut(rest, "@")
		part := fields{"name": name}
		part.text("ship_by", by)
		if err := part.amount("amount", cur, amount); err != nil {
			return usageError("--parts %q: %w", text, err)
		}
		parts = append(parts, part)
	}
	if len(parts) > 0 {
		in["parts"] = parts
	}
	s, err := c.Open(ctx, g, JoinStore)
	if err != nil {
		return err
	}
	defer closeInto(s, &err)
	m, err := c.find(ctx, orderdb.New(s.DB))
	if err != nil {
		return err
	}
	return withAPI(ctx, g, s, c.EngineFlags, m.ID, c.Key, func(l *localAPI) error {
		var o api.Order
		if err := l.call("POST", "/v1/orders", in, &o); err != nil {
			return err
		}
		return l.printOrder(g, c.Format, o.ID, o)
	})
}

// moment is a time as the API takes it, "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return stamp(t)
}

// printOrder says where an order stands: the answer of the API, or in words.
func (l *localAPI) printOrder(g *Globals, format, id string, answer any) error {
	if format == "json" {
		return printJSON(g, answer)
	}
	var d api.OrderDetail
	if err := l.call("GET", "/v1/orders/"+id, nil, &d); err != nil {
		return err
	}
	_, err := fmt.Fprintf(g.Stdout, "order %s (%s): %s\nwhy        %s\nuntil      %s\nnext       %s\notherwise  %s\n", render.Printable(d.Reference), d.ID, d.State,
		d.Explanation.Why, d.Explanation.Until, d.Explanation.Next, d.Explanation.Otherwise)
	return err
}

type orderDoCmd struct {
	orderFlags  `embed:""`
	EngineFlags `embed:""`
	apiFlags    `embed:""`
	Event       string    `arg:"" help:"What happened, as the timeline names it: ${order_events}."`
	By          string    `placeholder:"ROLE" help:"Who did it: buyer, seller, carrier or operator. Without this whoever usually does."`
	At          time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"When it took effect (RFC 3339). Without this now, by the marketplace's clock."`
	Reason      string    `placeholder:"TEXT" help:"Why; kept on the timeline."`
	Note        string    `placeholder:"TEXT" help:"offer, evidence, track: in words; kept on the timeline."`
	Reference   string    `placeholder:"ID" help:"pay, authorise, capture, chargebacks: its name at the provider."`
	Method      string    `placeholder:"METHOD" help:"pay, authorise: how, one of the policy's methods, or balance. Chargebacks of an order paid from a balance: how the money had come in."`
	Amount      string    `placeholder:"AMOUNT" help:"How much, of an event that takes an amount; a decimal. Without this all."`
	Also        []string  `placeholder:"ID" help:"pay: the ids of other orders that the payment covers. All are paid, or none."`
	FxCurrency  string    `placeholder:"CODE" help:"pay: what was paid in, if it was not the order's currency; then also --fx-amount and --fx-rate. Chargebacks of such an order: what the provider took."`
	FxAmount    string    `placeholder:"AMOUNT" help:"How much of that currency."`
	FxRate      string    `placeholder:"RATE" help:"Units of the order's currency for one of it, an exact decimal."`
	FxSpread    string    `placeholder:"AMOUNT" help:"pay: how much of --fx-amount the marketplace keeps."`
	ToBuyer     string    `placeholder:"AMOUNT" help:"rule, offer, accept_offer: what goes back to the buyer."`
	ToSeller    string    `placeholder:"AMOUNT" help:"rule: what is released to the seller, or stays so; the two sum to what is held or, after the release, to what is claimed."`
	Return      bool      `help:"offer, rule: only once the goods are back."`
	Replacement bool      `help:"offer, accept_offer, rule: other goods in place of those that came."`
	Parts       []string  `sep:"none" placeholder:"NAME" help:"ship_part, deliver_part, release_part, refund, track: a part's name; once for each."`
	Carrier     string    `placeholder:"NAME" help:"ship, ship_part, ship_back, ship_replacement: who carries the goods."`
	Tracking    string    `placeholder:"NUMBER" help:"The same, and track: the carrier's tracking number."`
	Status      string    `placeholder:"WORD" help:"track: what the carrier says, such as in_transit."`
	Location    string    `placeholder:"TEXT" help:"track: where."`
	ScannedAt   time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"track: when the carrier noted it (RFC 3339)."`
	Until       time.Time `format:"2006-01-02T15:04:05Z07:00" placeholder:"T" help:"extend: the new deadline, or what the other party has asked for. Without this as far as the policy goes."`
	Sha256      string    `name:"sha256" placeholder:"HEX" help:"evidence: of the file's content."`
	URL         string    `placeholder:"URL" help:"evidence: where the file is."`
	Type        string    `placeholder:"TYPE" help:"evidence: such as image/jpeg."`
	Size        *int64    `placeholder:"N" help:"evidence: the file's bytes."`
	Format      string    `enum:"text,json" default:"text" help:"${enum}. JSON is the API's answer, with integers of minor units."`
}

func (orderDoCmd) Help() string {
	return `As POST /v1/orders/{id}/EVENT, and checked like it: a flag that is not for the event is refused. 'escrowd order show' says what can happen now, 'escrowd order preview' what an event would do. It may run beside a server. A refusal exits 1 and names the rule; nothing moves then.

    escrowd order do A-1001 pay --method card
    escrowd order do A-1001 ship --carrier DHL --tracking 00340434292135100186
    escrowd order do A-1001 dispute --reason "scratched" --amount 40.00
    escrowd order do A-1001 rule --to-buyer 40.00 --to-seller 89.90 --reason "usable"`
}

// Run books it.
func (c *orderDoCmd) Run(ctx context.Context, g *Globals) error {
	event, err := eventNamed(c.Event)
	switch {
	case err != nil:
		return err
	case event == order.Agree:
		return usageError("an order is agreed with 'escrowd order agree'")
	case jobs.Of(event) != "":
		return usageError("%s is what a deadline causes: 'escrowd job run %s' books it when it has passed", event, jobs.Of(event))
	}
	return c.withLocalAPI(ctx, g, c.EngineFlags, c.Key, func(a *aroundOrder, l *localAPI) error {
		o, err := a.store.Order(ctx, a.market.ID, a.id)
		if err != nil {
			return err
		}
		in, err := c.body(&o)
		if err != nil {
			return err
		}
		if event == order.Pay {
			in["orders"] = append([]string{a.id.UUID()}, c.Also...)
			var paid api.Paid
			if err := l.call("POST", "/v1/payments", in, &paid); err != nil {
				return err
			}
			return l.printOrder(g, c.Format, a.id.UUID(), paid)
		}
		if len(c.Also) > 0 {
			return usageError("--also: is not for this")
		}
		var done api.Order
		if err := l.call("POST", eventPath(a.id.UUID(), event), in, &done); err != nil {
			return err
		}
		return l.printOrder(g, c.Format, done.ID, done)
	})
}

// doable are the events that a person can book on an order that is there.
func doable() (list []order.Event) {
	for _, e := range order.Events {
		if e != order.Agree && jobs.Of(e) == "" {
			list = append(list, e)
		}
	}
	return list
}

// body is the request that the flags make; the API says which of its fields the
// event takes.
func (c *orderDoCmd) body(o *order.Order) (fields, error) {
	in := fields{}
	for name, v := range map[string]string{"by": c.By, "at": moment(c.At), "reason": c.Reason, "note": c.Note, "reference": c.Reference, "method": c.Method,
		"carrier": c.Carrier, "tracking": c.Tracking, "status": c.Status, "location": c.Location, "scanned_at": moment(c.ScannedAt), "until": moment(c.Until),
		"sha256": c.Sha256, "url": c.URL, "type": c.Type} {
		in.text(name, v)
	}
	for name, on := range map[string]bool{"return": c.Return, "replacement": c.Replacement} {
		if on {
			in[name] = true
		}
	}
	if len(c.Parts) > 0 {
		in["parts"] = c.Parts
	}
	if c.Size != nil {
		in["size"] = *c.Size
	}
	_, cur, _ := chart.SplitLedger(o.Ledger)
	for name, decimal := range map[string]string{"amount": c.Amount, "to_buyer": c.ToBuyer, "to_seller": c.ToSeller} {
		if err := in.amount(name, cur, decimal); err != nil {
			return nil, err
		}
	}
	if c.FxCurrency == "" {
		if c.FxAmount != "" || c.FxRate != "" || c.FxSpread != "" {
			return nil, usageError("--fx-currency: is required with --fx-amount, --fx-rate and --fx-spread")
		}
		return in, nil
	}
	paid, err := currencyOf("--fx-currency", c.FxCurrency)
	if err != nil {
		return nil, err
	}
	fx := fields{"currency": paid.Code}
	fx.text("rate", c.FxRate)
	for name, decimal := range map[string]string{"amount": c.FxAmount, "spread": c.FxSpread} {
		if err := fx.amount(name, paid, decimal); err != nil {
			return nil, err
		}
	}
	in["fx"] = fx
	return in, nil
}

// withLocalAPI runs f on the order that the flags name, with its marketplace's API.
func (c orderFlags) withLocalAPI(ctx context.Context, g *Globals, books EngineFlags, key string, f func(*aroundOrder, *localAPI) error) error {
	return c.withOrder(ctx, g, JoinStore, func(a *aroundOrder) error {
		return withAPI(ctx, g, a.open, books, a.market.ID, key, func(l *localAPI) error { return f(a, l) })
	})
}

type orderProposeCmd struct {
	orderFlags  `embed:""`
	EngineFlags `embed:""`
	apiFlags    `embed:""`
	ToBuyer     string `required:"" placeholder:"AMOUNT" help:"What goes back to the buyer, a decimal."`
	ToSeller    string `required:"" placeholder:"AMOUNT" help:"What is released to the seller, or stays so; the two sum to what is held or, after the release, to what is claimed."`
	Return      bool   `help:"Only once the goods are back."`
	Replacement bool   `help:"Other goods in place of those that came."`
	Reason      string `required:"" placeholder:"TEXT" help:"Why, for the one who approves it."`
	Person      string `required:"" placeholder:"NAME" help:"Who proposes it; somebody else has to approve it."`
}

func (orderProposeCmd) Help() string {
	return `The ruling happens with its approval, or neither does; over the amount that the order's policy names under approve_rulings_over it cannot be made in another way. 'escrowd order preview ORDER rule' says what it would do. The proposal's id and digest are printed.

    escrowd order propose A-1001 --to-buyer 40.00 --to-seller 89.90 --reason "usable" --person eve
    escrowd entry do shop ID approve --person max --digest DIGEST`
}

// Run proposes it.
func (c *orderProposeCmd) Run(ctx context.Context, g *Globals) error {
	return c.withLocalAPI(ctx, g, c.EngineFlags, c.Key, func(a *aroundOrder, l *localAPI) error {
		o, err := a.store.Order(ctx, a.market.ID, a.id)
		if err != nil {
			return err
		}
		_, cur, _ := chart.SplitLedger(o.Ledger)
		split := fields{}
		for name, decimal := range map[string]string{"to_buyer": c.ToBuyer, "to_seller": c.ToSeller} {
			if err := split.amount(name, cur, decimal); err != nil {
				return err
			}
		}
		for name, on := range map[string]bool{"return": c.Return, "replacement": c.Replacement} {
			if on {
				split[name] = true
			}
		}
		var e api.EntryMade
		if err := l.call("POST", "/v1/entries", fields{"kind": "ruling", "party": a.id.UUID(), "details": split, "reason": c.Reason, "person": c.Person}, &e); err != nil {
			return err
		}
		_, err = fmt.Fprintf(g.Stdout, "a ruling on order %s is proposed: entry %s\ndigest %s\n", render.Printable(o.Reference), e.ID, e.Digest)
		return err
	})
}
