package posting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Preview is what a command would do to an order now, by the rules of Do, and
// what would follow from it; nothing is stored. machine is the machine's clock.
// What Do would refuse is refused here as there, but for a ruling that needs
// another person's approval: what it would do once it has that is answered.
// Other errors are the database's.
func Preview(ctx context.Context, store *orderdb.Store, m orderdb.Marketplace, o order.Order, c order.Command, machine time.Time) (order.WhatIf, error) {
	now, deadlines := m.At(machine)
	c, refusal := command(&o, c, now, deadlines)
	if refusal != nil {
		return order.WhatIf{}, refusal
	}
	if takesPayment(&o, &c) {
		from, err := recallPayments(ctx, store, []*order.Order{&o}, []*order.Command{&c})
		if err != nil {
			return order.WhatIf{}, err
		}
		c.Books = &order.Books{Clearing: from[0]}
		c.PaidBooks = c.Books
	}
	w, err := order.Try(o, c)
	if r := new(order.Refusal); errors.As(err, &r) && r.Rule == order.RuleFourEyes {
		c.Approval = o.ID // of nothing that is recorded: only Do can give one
		w, err = order.Try(o, c)
		w.Approval = true
	}
	return w, err
}

// PreviewPayment is Preview for a payment, which may cover several orders: what it
// would do to each of them, in the order of ids, or why it would be refused, as
// Do would: of all or of none. The receipt of the whole is among the movements of
// the first. Of a payment out of the buyer's balance the ledger is asked whether
// that is enough; with a nil books this is not looked at.
func PreviewPayment(ctx context.Context, store *orderdb.Store, books ledger.Reader, m orderdb.Marketplace, ids []ledger.ID, c order.Command, machine time.Time) ([]order.WhatIf, error) {
	f := &draft{task: &task{req: Request{Marketplace: m.ID, Orders: ids, Command: c}}}
	f.task.req.Command.Event = order.Pay
	if err := f.task.req.check(); err != nil {
		return nil, err
	}
	list, err := store.OrdersByID(ctx, m.ID, ids)
	if err != nil {
		return nil, err
	}
	found := map[ledger.ID]order.Order{}
	for _, o := range list {
		found[o.ID] = o
	}
	now, deadlines := m.At(machine)
	for _, id := range ids {
		o, ok := found[id]
		if !ok {
			return nil, ErrNotFound
		}
		cmd, refusal := command(&o, f.task.req.Command, now, deadlines)
		if refusal != nil {
			return nil, refusal
		}
		f.orders, f.cmds = append(f.orders, o), append(f.cmds, cmd)
	}
	if err := f.planPayment(); err != nil {
		return nil, err
	}
	if c.Method == order.Balance && books != nil {
		if err := f.askBalance(ctx, books); err != nil {
			return nil, err
		}
	}
	what := make([]order.WhatIf, len(f.changes))
	for i, ch := range f.changes {
		if what[i], err = order.Follow(ch, f.cmds[i]); err != nil {
			return nil, err
		}
	}
	return what, nil
}

// askBalance is the *Rejected that the ledger would answer if the buyer had less
// than the payment takes out of the balance.
func (f *draft) askBalance(ctx context.Context, books ledger.Reader) error {
	var due ledger.Amount
	for _, ch := range f.changes {
		due, _ = due.Add(ledger.U64(uint64(ch.After.Held))) // at most 2^10 of 2^53
	}
	list, err := books.LookupAccounts(ctx, []ledger.ID{f.orders[0].BuyerAccount})
	if err != nil {
		return fmt.Errorf("reading the buyer's balance: %w", err)
	}
	for _, a := range list {
		left, _ := a.CreditsPosted.Sub(a.DebitsPosted) // the ledger keeps each above the next
		if left, _ = left.Sub(a.DebitsPending); left.Cmp(due) >= 0 {
			return nil
		}
	}
	return &Rejected{Reason: ledger.TransferExceedsCredits.String()}
}
