package posting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
)

// Quote is the order that would be agreed, before its first event, by the rules
// of Do: its Terms are what they would be. at is when it would be
// agreed, zero for now by the marketplace's clock; machine is the machine's.
// Nothing is stored. An agreement without a seller is one with a seller of whom
// the marketplace has said nothing. Besides errors of the database it answers an
// *Invalid or, of a seller who is kept out, of a time to confirm that cannot be
// agreed, and of parts that do not sum or are dated before, an *order.Refusal.
func Quote(ctx context.Context, store *orderdb.Store, m orderdb.Marketplace, a Agreement, at, machine time.Time) (order.Order, error) {
	if at.IsZero() {
		at, _ = m.At(machine)
	}
	at = at.UTC().Truncate(time.Microsecond)
	if err := a.checkFee(); err != nil {
		return order.Order{}, err
	}
	if a.Seller != "" {
		if err := text("seller", a.Seller, MaxReference); err != nil {
			return order.Order{}, err
		}
		seller, err := store.Standing(ctx, a.ask(m.ID, at))
		if err == nil {
			err = seller.Refuse()
		}
		if err != nil {
			return order.Order{}, err
		}
		a = *a.with(&seller)
	}
	list, err := store.Versions(ctx, m.ID, a.policy(), at)
	if err != nil {
		return order.Order{}, fmt.Errorf("policy %s: %w", a.policy(), err)
	}
	terms, err := termsOf(m, &a, list, at)
	if err != nil {
		return order.Order{}, err
	}
	parts, err := a.parts()
	if err != nil {
		return order.Order{}, err
	}
	o := order.Order{Terms: terms, Progress: order.Progress{At: at, Parts: parts}}
	return o, o.CheckAgreement(at)
}

// ask asks for the standing of the agreement's seller.
func (a *Agreement) ask(marketplace uint32, at time.Time) orderdb.SellerAsk {
	return orderdb.SellerAsk{Marketplace: marketplace, Seller: a.Seller, Category: a.Category, At: at}
}

// with is the agreement with what it does not say of the seller, as far as the
// marketplace has said it. Each of the two counts by itself.
func (a *Agreement) with(seller *people.Standing) *Agreement {
	full := *a
	full.SellerTier = cmp.Or(a.SellerTier, seller.Tier)
	full.Jurisdiction = cmp.Or(a.Jurisdiction, seller.Jurisdiction)
	full.recorded = a.Jurisdiction == "" && seller.Jurisdiction != ""
	return &full
}

// policy is the name of the agreement's policy.
func (a *Agreement) policy() string {
	if a.Policy == "" {
		return order.Standard().Name
	}
	return a.Policy
}

// termsOf are the terms of an order that is agreed at a moment, by the version of
// its policy that is in force then.
func termsOf(m orderdb.Marketplace, a *Agreement, versions []*order.Policy, at time.Time) (order.Terms, error) {
	cur, err := chart.Find(a.Currency)
	if err == nil {
		err = cur.Open(at)
	}
	if err != nil {
		return order.Terms{}, &Invalid{"currency", err.Error()}
	}
	books, err := chart.Ledger(m.ID, cur)
	if err != nil {
		return order.Terms{}, &Invalid{"currency", err.Error()}
	}
	if len(versions) == 0 {
		return order.Terms{}, &Invalid{"policy", "the marketplace has no such policy"}
	}
	policy := order.InForce(versions, at)
	if policy == nil {
		return order.Terms{}, &Invalid{"policy", "no version of it was in force when the order was agreed"}
	}
	t := order.Terms{Marketplace: m.ID, Reference: a.Reference, Ledger: books, Buyer: a.Buyer, Seller: a.Seller, Category: a.Category,
		Amount: a.Amount, SellerTier: a.SellerTier, Jurisdiction: a.Jurisdiction, Virtual: a.Virtual, ConfirmWithin: a.ConfirmWithin, Policy: policy}
	if a.Virtual && policy.ConfirmVirtual == 0 {
		return order.Terms{}, &Invalid{"virtual", "policy " + policy.Name + " has no confirm_virtual"}
	}
	if !a.ShipByDate.IsZero() {
		t.ShipByDate = a.ShipByDate.UTC().Truncate(time.Microsecond)
	}
	switch err := t.Agree(); {
	case errors.Is(err, order.ErrNoFee):
		return order.Terms{}, &Invalid{"currency", "policy " + policy.Name + " has no fee for " + cur.Code}
	case errors.Is(err, order.ErrNoTax):
		from := ""
		if a.recorded {
			from = ", where the seller is by the marketplace's own record"
		}
		return order.Terms{}, &Invalid{"jurisdiction", "policy " + policy.Name + " has no tax for " + a.Jurisdiction + from}
	case err != nil:
		return order.Terms{}, err
	}
	// Of the two 2^53-1 at most, so the sum has room.
	if t.Amount+t.BuyerShare > order.MaxAmount {
		return order.Terms{}, &Invalid{"amount", "with the buyer's share of the fee it is more than 9007199254740991 minor units"}
	}
	return t, nil
}
