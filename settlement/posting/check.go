package posting

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// Limits of a request.
const (
	MaxReference = 200     // bytes of a reference or of a party's id
	MaxData      = 16384   // bytes of Data
	MaxKey       = 255 + 8 // bytes of a key; a bulk item's is its request's and a number
	MaxCovered   = 1000    // orders that one payment covers
)

// check refuses what no order needs to be looked at for.
func (r *Request) check() error {
	if len(r.Key) > MaxKey {
		return &Invalid{"idempotency_key", fmt.Sprintf("longer than %d bytes", MaxKey)}
	}
	if len(r.Data) > MaxData {
		return &Invalid{"data", fmt.Sprintf("longer than %d bytes", MaxData)}
	}
	if r.Entry != nil {
		if len(r.Orders) > 1 {
			return &Invalid{"orders", "an entry is about one order at most"}
		}
		return r.Entry.check()
	}
	a := r.Agreement
	if (a != nil) != (r.Command.Event == order.Agree) {
		return &Invalid{"event", "an agreement is what agree needs, and nothing else"}
	}
	if a == nil {
		return r.checkOrders()
	}
	if len(r.Orders) > 0 {
		return &Invalid{"orders", "an agreement makes a new order"}
	}
	for _, f := range []struct{ name, value string }{
		{"reference", a.Reference}, {"buyer", a.Buyer}, {"seller", a.Seller},
	} {
		if err := text(f.name, f.value, MaxReference); err != nil {
			return err
		}
	}
	if a.Buyer == a.Seller {
		return &Invalid{"seller", "the same as the buyer"}
	}
	if a.Category != "" && !order.PolicyWord(a.Category) {
		return &Invalid{"category", "must be a lower-case letter, then letters, digits, _ or -, 32 at most"}
	}
	if _, err := chart.Find(a.Currency); err != nil {
		return &Invalid{"currency", err.Error()}
	}
	return a.checkFee()
}

// checkFee refuses what no fee can be worked out on.
func (a *Agreement) checkFee() error {
	if a.Amount < 1 || a.Amount > order.MaxAmount {
		return &Invalid{"amount", "must be from 1 to 9007199254740991 minor units"}
	}
	if a.SellerTier != "" && !order.PolicyWord(a.SellerTier) {
		return &Invalid{"seller_tier", "must be a lower-case letter, then letters, digits, _ or -, 32 at most"}
	}
	if a.Jurisdiction != "" && !order.Jurisdiction(a.Jurisdiction) {
		return &Invalid{"jurisdiction", "must be a country like DE or a part of one like US-CA"}
	}
	return a.checkParts()
}

// checkParts refuses parts that the order cannot be agreed in.
func (a *Agreement) checkParts() error {
	for i, t := range a.Parts {
		field := fmt.Sprintf("parts/%d/name", i)
		if err := text(field, t.Name, 4*order.PartNameMax); err != nil {
			return err
		}
		if utf8.RuneCountInString(t.Name) > order.PartNameMax {
			return &Invalid{field, fmt.Sprintf("longer than %d characters", order.PartNameMax)}
		}
	}
	_, err := a.parts()
	if wrong := new(order.PartError); errors.As(err, &wrong) {
		return &Invalid{wrong.Place, wrong.Detail}
	}
	return err
}

// parts are the parts of the order that the agreement makes, nil for none.
func (a *Agreement) parts() (*order.Parts, error) {
	if len(a.Parts) == 0 {
		return nil, nil
	}
	return order.NewParts(a.Amount, a.Parts)
}

func (r *Request) checkOrders() error {
	if n := len(r.Orders); n == 0 || n > 1 && r.Command.Event != order.Pay || n > MaxCovered {
		return &Invalid{"orders", fmt.Sprintf("one order; a payment covers 1 to %d", MaxCovered)}
	}
	seen := make(map[ledger.ID]bool, len(r.Orders))
	for _, id := range r.Orders {
		if seen[id] {
			return &Invalid{"orders", "an order is named twice"}
		}
		seen[id] = true
	}
	if err := r.checkFX(); err != nil {
		return err
	}
	for _, f := range []struct {
		name  string
		value int64
	}{{"amount", r.Command.Amount}, {"to_seller", r.Command.ToSeller}, {"to_buyer", r.Command.ToBuyer}} {
		if f.value < 0 || f.value > order.MaxAmount {
			return &Invalid{f.name, "must be from 0 to 9007199254740991 minor units"}
		}
	}
	return nil
}

// checkFX refuses a payment, or a chargeback, in another currency that is none of
// any order.
func (r *Request) checkFX() error {
	fx := &r.Command.FX
	switch {
	case *fx == (order.FX{}):
		return nil
	case !slices.Contains(paymentEvents, r.Command.Event) || len(r.Orders) > 1:
		return &Invalid{"fx", "of a payment for one order, or of its chargeback, only"}
	case len(r.Data) > 0 && (r.Data[0] != '{' || !json.Valid(r.Data)):
		return &Invalid{"data", "must be a JSON object"}
	}
	if field, detail := fx.Check(); field != "" {
		return &Invalid{"fx/" + field, detail}
	}
	return nil
}

// paymentEvents are those that can be in another currency than the order's.
var paymentEvents = []order.Event{order.Pay, order.TakeBackPayment, order.SecondChargeback}

// said is what is kept of the event on the timeline: what the caller said, and
// of what was in another currency how it was converted, whoever the caller is.
func (r *Request) said() (json.RawMessage, error) {
	if r.Command.FX == (order.FX{}) {
		return r.Data, nil
	}
	words := map[string]json.RawMessage{}
	if len(r.Data) > 0 {
		if err := json.Unmarshal(r.Data, &words); err != nil {
			return nil, fmt.Errorf("posting: what was said of the event: %w", err)
		}
	}
	fx, err := json.Marshal(r.Command.FX)
	if err != nil {
		return nil, err
	}
	words["fx"] = fx
	return json.Marshal(words)
}

// text accepts what Postgres can keep: valid UTF-8 without NUL.
func text(field, s string, most int) error {
	switch {
	case s == "":
		return &Invalid{field, "is required"}
	case len(s) > most:
		return &Invalid{field, fmt.Sprintf("longer than %d bytes", most)}
	case !utf8.ValidString(s):
		return &Invalid{field, "not valid UTF-8"}
	}
	for _, c := range s {
		if c == 0 {
			return &Invalid{field, "contains a NUL character"}
		}
	}
	return nil
}
