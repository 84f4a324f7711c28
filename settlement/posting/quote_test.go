package posting_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"escrowd/settlement/order"
	"escrowd/settlement/posting"
)

// An order gets the version that is in force when it is agreed, by its
// marketplace's own time, and keeps it. A quote says which beforehand.
func TestVersionInForce(t *testing.T) {
	w := newWorld(t, nil)
	change := start.AddDate(0, 7, 0) // the clock stands at six months
	next := order.Standard()
	next.Fees, next.Effective = map[string]order.Fee{"*": {Bps: 1000}}, change
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, next)
	w.must(err)
	later := order.Standard()
	later.Name, later.Effective = "later", change
	_, err = w.store.AddPolicy(w.ctx, w.market.ID, later)
	w.must(err)

	agree := func(reference, policy string, at time.Time) posting.Request {
		r := w.agreement(reference)
		r.Agreement.Policy, r.Command.At = policy, at
		return r
	}
	fee := func(a posting.Answer) string {
		if a.Err != nil {
			return a.Err.Error()
		}
		o := a.Result.Orders[0]
		return fmt.Sprintf("version %d, fee %d", o.Policy.Version, o.Fee)
	}
	const old, renewed = "version 1, fee 500", "version 2, fee 1000"
	const early = "policy: no version of it was in force when the order was agreed"
	check := func(name string, a posting.Answer, want string) {
		t.Helper()
		if got := fee(a); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	do := func(r posting.Request) posting.Answer {
		res, err := w.poster.Do(w.ctx, r)
		return posting.Answer{Result: res, Err: err}
	}

	before := do(agree("before", "", time.Time{}))
	check("before", before, old)
	check("a policy that waits", do(agree("wait", "later", time.Time{})), early)
	check("one that is not there", do(agree("none", "none", time.Time{})), "policy: the marketplace has no such policy")
	w.clock(change.Add(-time.Microsecond))
	check("just before", do(agree("just before", "", time.Time{})), old)
	w.clock(change)
	check("at the instant", do(agree("at the instant", "", time.Time{})), renewed)

	// One batch, with orders that were agreed on both sides of the change: the
	// policy is looked up once for all of them, from the earliest on.
	answers := w.poster.DoAll(w.ctx, []posting.Request{
		agree("b-1", "", time.Time{}),
		agree("b-2", "", change.Add(-time.Hour)),
		agree("b-3", "later", change.Add(-time.Hour)),
		agree("b-4", "later", change),
		agree("b-5", "", change.Add(-time.Nanosecond)), // microseconds count
	})
	for i, want := range []string{renewed, old, early, "version 1, fee 500", old} {
		check(fmt.Sprint("in a batch, ", i+1), answers[i], want)
	}

	kept, err := w.store.Order(w.ctx, w.market.ID, before.Result.Orders[0].ID)
	w.must(err)
	check("what was agreed before", posting.Answer{Result: posting.Result{Orders: []order.Order{kept}}}, old)
	var invalid *posting.Invalid
	if !errors.As(answers[2].Err, &invalid) || invalid.Field != "policy" {
		t.Errorf("%v", answers[2].Err)
	}
}

// A quote says what the order that is agreed right afterwards comes to.
func TestQuote(t *testing.T) {
	w := newWorld(t, nil)
	p := order.Standard()
	p.Effective = w.market.Now.Add(24 * time.Hour)
	p.Fees = map[string]order.Fee{"USD": {Bps: 333, Fixed: 7, Min: 50, Cap: 900, TaxBps: 1900}}
	_, err := w.store.AddPolicy(w.ctx, w.market.ID, p)
	w.must(err)
	quote := func(a posting.Agreement, at time.Time) (order.Order, error) {
		return posting.Quote(w.ctx, w.store, w.market, a, at, time.Now())
	}
	for i, amount := range []int64{1, 999, 10_000, 1_000_000, order.MaxAmount} {
		for _, day := range []time.Duration{0, 1, 2} {
			at := w.market.Now.Add(day * 24 * time.Hour)
			a := posting.Agreement{Currency: "USD", Amount: amount}
			q, err := quote(a, at)
			w.must(err)
			w.clock(at)
			r := w.agreement(fmt.Sprintf("%d-%d", i, day))
			r.Agreement.Amount, r.Command.At = amount, time.Time{}
			done, err := w.poster.Do(w.ctx, r)
			w.must(err)
			o := done.Orders[0]
			if q.Fee != o.Fee || q.Tax != o.Tax || q.Policy.ID != o.Policy.ID || q.Ledger != o.Ledger {
				t.Errorf("%d after %d days: quoted %d and %d by version %d, agreed %d and %d by version %d",
					amount, day, q.Fee, q.Tax, q.Policy.Version, o.Fee, o.Tax, o.Policy.Version)
			}
			if now, err := quote(a, time.Time{}); err != nil || !now.At.Equal(w.market.Now) || now.Fee != o.Fee {
				t.Errorf("now: %+v, %v", now, err)
			}
		}
	}
	for want, a := range map[string]posting.Agreement{
		"currency: not an ISO 4217 currency":                     {Currency: "usd", Amount: 1},
		"currency: policy standard has no fee for JPY":           {Currency: "JPY", Amount: 1},
		"policy: the marketplace has no such policy":             {Currency: "USD", Amount: 1, Policy: "other"},
		"amount: must be from 1 to 9007199254740991 minor units": {Currency: "USD"},
	} {
		if _, err := quote(a, time.Time{}); err == nil || err.Error() != want {
			t.Errorf("%+v: %v, want %s", a, err, want)
		}
	}
	var orders int
	w.must(w.db.Get(&orders, `SELECT count(*) FROM orders`))
	if orders != 15 {
		t.Errorf("%d orders: a quote left one", orders)
	}
}
