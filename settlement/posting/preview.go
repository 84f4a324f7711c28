package posting

import (
	"context"
	"errors"
	"time"

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
		c.Books.Clearing, c.PaidBooks.Clearing = from[0], from[0]
	}
	w, err := order.Try(o, c)
	if r := new(order.Refusal); errors.As(err, &r) && r.Rule == order.RuleFourEyes {
		c.Approval = o.ID // of nothing that is recorded: only Do can give one
		w, err = order.Try(o, c)
		w.Approval = true
	}
	return w, err
}
