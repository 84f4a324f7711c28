package api

import "time"

// Preview is what an event would do to an order now. Nothing has moved.
type Preview struct {
	Order       Order       `json:"order" doc:"As it would stand right after the event."`
	Explanation Explanation `json:"explanation" doc:"Why its money would be where it is then."`
	Effect      Effect      `json:"effect" doc:"What the event itself would do."`
	Approval    bool        `json:"needs_approval,omitempty" doc:"true: a ruling on so much has to be proposed (POST /v1/entries, kind ruling) and approved by another person; this is what it does then."`
	Otherwise   *Effect     `json:"otherwise,omitempty" doc:"What the order's next deadline would cause if nobody acted after the event, such as a ruling that nobody appeals; left out where nothing moves by itself."`
}

// PaymentPreview is what a payment would do to each of its orders now. Nothing
// has moved.
type PaymentPreview struct {
	Orders []Preview `json:"orders" nullable:"false" doc:"As the payment names them. What is received at once for all of them is a movement of the first."`
}

// Effect is what an event would do. Amounts are minor units;
// to_buyer + to_seller + fee + tax is what leaves escrow.
type Effect struct {
	Event    string    `json:"event" example:"rule"`
	State    string    `json:"state" doc:"The order's state after it." example:"ruled"`
	At       time.Time `json:"at" doc:"When it would take effect."`
	ToBuyer  int64     `json:"to_buyer" doc:"What goes back to the buyer." example:"4000"`
	ToSeller int64     `json:"to_seller" doc:"What the seller gets, fee and tax taken off." example:"8540"`
	Fee      int64     `json:"fee" example:"450"`
	Tax      int64     `json:"tax" doc:"Tax on that fee." example:"0"`
	Moves    []Move    `json:"moves" nullable:"false" doc:"Each movement between two accounts, in order."`
}

// Move is one movement between two accounts.
type Move struct {
	Code   int         `json:"code" doc:"The chart's number of the movement." example:"414"`
	Name   string      `json:"name" example:"refunded to the buyer by a ruling"`
	Debit  MoveAccount `json:"debit"`
	Credit MoveAccount `json:"credit"`
	Amount int64       `json:"amount" doc:"Minor units of the currency." example:"4000"`
	// Currency is another than the order's only where one was exchanged for the other.
	Currency string `json:"currency" doc:"An ISO 4217 code: the order's, but for what moves in the currency that the order was paid in." example:"USD"`
	AtMost   bool   `json:"at_most,omitempty" doc:"true: the ledger moves as much of the amount as there is; what a seller does not have is taken from the next account."`
}

// MoveAccount is one account of the chart, and whose it is.
type MoveAccount struct {
	Code  int    `json:"code" example:"2100"`
	Name  string `json:"name" example:"escrow"`
	Owner string `json:"owner,omitempty" doc:"The buyer, the seller, the order or the payment method; left out for an account that the ledger has once, and for a method that the event does not name."`
}
