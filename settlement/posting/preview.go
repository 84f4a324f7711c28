package posting

import (
	"time"

	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Preview is what a command would do to an order now, by the rules of Do, and
// what would follow from it; nothing is stored. machine is the machine's clock.
// What Do would refuse is refused here as there.
func Preview(m orderdb.Marketplace, o order.Order, c order.Command, machine time.Time) (order.WhatIf, error) {
	now, deadlines := m.At(machine)
	c, refusal := command(&o, c, now, deadlines)
	if refusal != nil {
		return order.WhatIf{}, refusal
	}
	return order.Try(o, c)
}
