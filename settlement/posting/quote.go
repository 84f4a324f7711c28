package posting

import (
	"context"
	"fmt"
	"time"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// Quote is the order that would be agreed, before its first event, by the rules
// of Do: its Policy, Fee and Tax are what they would be. at is when it would be
// agreed, zero for now by the marketplace's clock; machine is the machine's.
// Nothing is stored. Besides errors of the database it answers an *Invalid.
func Quote(ctx context.Context, store *orderdb.Store, m orderdb.Marketplace, a Agreement, at, machine time.Time) (order.Order, error) {
	if at.IsZero() {
		at, _ = m.At(machine)
	}
	at = at.UTC().Truncate(time.Microsecond)
	if err := checkAmount(a.Amount); err != nil {
		return order.Order{}, err
	}
	cur, books, err := ledgerOf(m, &a, at)
	if err != nil {
		return order.Order{}, err
	}
	list, err := store.Versions(ctx, m.ID, a.policy(), at)
	if err != nil {
		return order.Order{}, fmt.Errorf("policy %s: %w", a.policy(), err)
	}
	policy, fees, err := termsOf(list, cur, at)
	if err != nil {
		return order.Order{}, err
	}
	o := order.Order{Terms: order.Terms{Marketplace: m.ID, Ledger: books, Amount: a.Amount, Policy: policy},
		Progress: order.Progress{At: at}}
	o.Fee, o.Tax = fees.On(a.Amount)
	return o, nil
}

// policy is the name of the agreement's policy.
func (a *Agreement) policy() string {
	if a.Policy == "" {
		return order.Standard().Name
	}
	return a.Policy
}

// ledgerOf is the currency of an agreement, in use at the moment it takes
// effect, and the ledger of its books.
func ledgerOf(m orderdb.Marketplace, a *Agreement, at time.Time) (chart.Currency, uint32, error) {
	cur, err := chart.Find(a.Currency)
	if err == nil {
		err = cur.Open(at)
	}
	if err != nil {
		return cur, 0, &Invalid{"currency", err.Error()}
	}
	books, err := chart.Ledger(m.ID, cur)
	if err != nil {
		return cur, 0, &Invalid{"currency", err.Error()}
	}
	return cur, books, nil
}

// termsOf is the version of a policy under which an order is agreed at a moment,
// and its fee for the currency.
func termsOf(versions []*order.Policy, cur chart.Currency, at time.Time) (*order.Policy, order.Fee, error) {
	if len(versions) == 0 {
		return nil, order.Fee{}, &Invalid{"policy", "the marketplace has no such policy"}
	}
	policy := order.InForce(versions, at)
	if policy == nil {
		return nil, order.Fee{}, &Invalid{"policy", "no version of it was in force when the order was agreed"}
	}
	fees, ok := policy.FeeFor(cur.Code)
	if !ok {
		return nil, fees, &Invalid{"currency", "policy " + policy.Name + " has no fee for " + cur.Code}
	}
	return policy, fees, nil
}
