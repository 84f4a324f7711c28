package order

import (
	"errors"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// WhatIf is what an event would do to an order now, and what its next deadline
// would do afterwards if nobody acted. It is what Plan says of a copy: nothing
// moves.
type WhatIf struct {
	Change *Change
	// Approval: it would need another person's approval first.
	Approval bool
	// Otherwise is what the deadline after it would cause; nil where nothing
	// moves by itself.
	Otherwise *Change
}

// Try plans an event and what follows from it. The error is Plan's.
func Try(o Order, c Command) (w WhatIf, err error) {
	if w.Change, err = Plan(o, c); err != nil {
		return WhatIf{}, err
	}
	after := w.Change.After
	due := Due[after.Deadline]
	if due == "" {
		return w, nil
	}
	c = Command{Event: due, By: System, At: after.DeadlineAt, Intent: c.Intent, Books: c.Books}
	w.Otherwise, err = Plan(after, c)
	if refusal := new(Refusal); errors.As(err, &refusal) {
		// The table says that the deadline leads on: it cannot be refused.
		err = errors.New("order: what is due is refused: " + refusal.Error())
	}
	return w, err
}

// Money is what an event moves to whom. Amounts are minor units.
type Money struct {
	ToBuyer  int64 // back to the buyer's balance
	ToSeller int64 // to the seller, fee and tax taken off
	Fee      int64
	Tax      int64 // on the fee
}

// Money is what the change moves out of escrow.
func (ch *Change) Money() Money {
	a, b := &ch.After.Progress, &ch.Before
	fee, tax := a.FeeCharged-b.FeeCharged, a.TaxCharged-b.TaxCharged
	return Money{ToBuyer: a.Refunded - b.Refunded, ToSeller: a.Released - b.Released - fee - tax, Fee: fee, Tax: tax}
}

// Move is one leg of a change in the chart's words. Amounts are minor units.
type Move struct {
	Code          chart.TransferCode
	Name          string // by its code and flags: "dispute freeze lifted"
	Debit, Credit chart.AccountCode
	Amount        int64
}

// Moves are the legs of the change, in order. What ends a pending transfer
// names that one's accounts, and for a void its amount.
func (ch *Change) Moves() []Move {
	moves := make([]Move, len(ch.Legs))
	for i, l := range ch.Legs {
		code := chart.TransferCode(l.Code)
		row, _ := code.Lookup()
		m := Move{Code: code, Name: code.NameOf(l.Flags), Debit: row.Debit, Credit: row.Credit, Amount: int64(l.Amount.Lo)}
		if l.Flags.Has(ledger.TransferVoidPending) {
			if m.Amount = ch.Before.Held; code == chart.PaymentAuthorised {
				m.Amount = ch.After.Amount
			}
		}
		moves[i] = m
	}
	return moves
}
