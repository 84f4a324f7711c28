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
	if c.Books == nil && c.Paid == (Payment{}) {
		c.Books = anyBooks // whose accounts they are is for the write path to say
	}
	ch, err := Plan(o, c)
	if err != nil {
		return WhatIf{}, err
	}
	return Follow(ch, c)
}

// Follow is what would follow from a change that Plan made of a command.
func Follow(ch *Change, c Command) (w WhatIf, err error) {
	w.Change = ch
	after := ch.After
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
	ToBuyer  int64 // back to the buyer's balance, or kept by the buyer's bank
	ToSeller int64 // to the seller, fee and tax taken off; below 0 where the seller gives back
	Fee      int64
	Tax      int64 // on the fee
}

// Money is what the change moves out of escrow, and what goes back of that.
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
	Ledger        uint32 // whose currency the amount is in
	Amount        int64
	AtMost        bool // the ledger moves as much of it as there is
}

// Moves are the legs of the change, in order. What ends a pending transfer
// names that one's accounts, and for a void its amount, which is not known of
// what was kept of a seller's for a chargeback or a dispute: that was as much as there was.
func (ch *Change) Moves() []Move {
	moves := make([]Move, len(ch.Legs))
	for i, l := range ch.Legs {
		code := chart.TransferCode(l.Code)
		row, _ := code.Lookup()
		m := Move{Code: code, Name: code.NameOf(l.Flags), Debit: row.Debit, Credit: row.Credit, Ledger: l.Ledger, Amount: int64(l.Amount.Lo)}
		m.AtMost = l.Flags.Has(ledger.TransferBalancingDebit) || l.Flags.Has(ledger.TransferBalancingCredit)
		if l.Flags.Has(ledger.TransferVoidPending) {
			switch m.Amount = ch.Before.Held; code {
			case chart.PaymentAuthorised:
				m.Amount = ch.After.Charge().Pays()
			case chart.ChargebackReserved:
				m.Amount, m.AtMost = ch.Before.Aftermath.Chargeback.Amount, true
			case chart.DisputeReserved:
				m.Amount, m.AtMost = ch.Before.Claim.Stake, true
			}
		}
		moves[i] = m
	}
	return moves
}
