package order_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// Several orders, of few buyers and sellers, under random policies; events that
// may and that may not happen, by anybody, at any time, with any amount. After
// each, all that the world checks must hold: the ledger accepted what was
// planned, the books balance, the orders are what the books say, each order
// has a deadline, an actor and an explanation, and its events played once more
// come to the same. Each order heads for a state on a way that leads there, so
// that late states are as common as early ones, but is seldom left in peace.
func TestRandomLives(t *testing.T) {
	a := explore(t)
	refusals, done := map[string]int{}, map[order.Event]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(5, 80).Draw(t, "steps") {
			r := a.randomStep(t, w)
			if r != nil {
				refusals[r.Rule]++
			}
		}
		for _, e := range w.orders {
			for _, c := range e.done {
				done[c.Event]++
			}
		}
	})
	t.Logf("done: %v; refused by: %v", done, refusals)
}

// randomStep agrees on another order, pays several at once, or asks for an
// event of one.
func (a *atlas) randomStep(t *rapid.T, w *world) *order.Refusal {
	kind := even(t, 16, "step")
	open := slices.DeleteFunc(slices.Clone(w.orders), func(e *entry) bool { return !e.now.State.Open() })
	if (len(open) == 0 || kind == 0) && len(w.orders) < 6 {
		a.randomOrder(t, w)
		return nil
	}
	if kind == 1 {
		return a.randomPayment(t, w)
	}
	if len(open) == 0 || kind == 2 {
		open = w.orders // also those that have ended
	}
	e := anyOf(t, open, "order")
	if len(e.ahead) == 0 || !mostly(t) {
		return w.refusedOrDone(a.randomCommand(t, e.now), e)
	}
	c := e.ahead[0]
	c.At = randomTime(t, e.now, c.Event)
	randomFields(t, &c, e.now)
	r := w.refusedOrDone(c, e)
	switch {
	case r == nil:
		e.ahead = e.ahead[1:]
	case r.Rule == order.RuleState:
		e.ahead = nil // it has come off the way
	}
	return r
}

// refusedOrDone is do, and compares the books where it is refused.
func (w *world) refusedOrDone(c order.Command, of ...*entry) *order.Refusal {
	before := w.picture()
	r := w.do(c, of...)
	if r != nil && w.picture() != before {
		w.t.Fatalf("%s was refused by %s, and yet something has changed", c.Event, r.Rule)
	}
	return r
}

func (a *atlas) randomOrder(t *rapid.T, w *world) {
	currency, _ := chart.ByCode(rapid.SampledFrom([]string{"USD", "USD", "JPY", "KWD"}).Draw(t, "currency"))
	number, err := chart.Ledger(1, currency)
	if err != nil {
		t.Fatal(err)
	}
	reached := slices.DeleteFunc(slices.Clone(order.States), func(s order.State) bool { return len(a.found[s]) == 0 })
	state := anyOf(t, reached, "state ahead")
	way := anyOf(t, a.found[state], "way")
	terms := order.Terms{
		Ledger: number, Policy: randomPolicy(t, *way.born.Policy, currency),
		Buyer:  rapid.SampledFrom([]string{"ann", "zoe"}).Draw(t, "buyer"),
		Seller: rapid.SampledFrom([]string{"bob", "eve"}).Draw(t, "seller"),
		Amount: rapid.OneOf(rapid.Int64Range(1, 50), rapid.Int64Range(1, 1_000_000), rapid.Int64Range(1, order.MaxAmount/8)).Draw(t, "amount"),

		Virtual: way.born.Virtual, SellerTier: way.born.SellerTier, Jurisdiction: way.born.Jurisdiction,
	}
	if pol := terms.Policy; pol.ConfirmAgreedMax > 0 && !terms.Virtual && rapid.Bool().Draw(t, "own time") {
		terms.ConfirmWithin = order.Seconds(rapid.Int64Range(int64(pol.ConfirmAgreedMin), int64(pol.ConfirmAgreedMax)).Draw(t, "to confirm"))
	}
	parts := randomParts(t, way.born.Parts, &terms.Amount)
	if rapid.Bool().Draw(t, "dated") {
		terms.ShipByDate = start.Add(randomSpan(t))
	}
	w.agree(fmt.Sprintf("order %d", len(w.orders)+1), terms, parts).ahead = way.done[1:]
}

// randomParts are those of an order of a scenario with other amounts. Each is at
// least one, so the whole may have to be more.
func randomParts(t *rapid.T, like *order.Parts, whole *int64) (parts []order.PartTerms) {
	if like == nil {
		return nil
	}
	n := len(like.List)
	*whole = max(*whole, int64(n))
	left := *whole
	for i, p := range like.List {
		terms := order.PartTerms{Name: p.Name}
		if rapid.Bool().Draw(t, "dated") {
			terms.ShipBy = start.Add(randomSpan(t) + time.Microsecond)
		}
		if rest := int64(n - 1 - i); rest > 0 {
			terms.Amount = rapid.Int64Range(1, left-rest).Draw(t, p.Name)
			left -= terms.Amount
		}
		parts = append(parts, terms)
	}
	return parts
}

// randomPolicy is a policy of the scenarios with other times and fees: which
// steps there are is the scenarios' to say, because a policy that Validate
// accepts is not easily made up.
func randomPolicy(t *rapid.T, policy order.Policy, c chart.Currency) *order.Policy {
	v := reflect.ValueOf(&policy).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Type() == reflect.TypeFor[order.Seconds]() && f.Int() > 0 {
			f.SetInt(rapid.Int64Range(1, 20*24*60*60).Draw(t, v.Type().Field(i).Name))
		}
	}
	if all := policy.RespondWithin + policy.NegotiateWithin; policy.EscalateAfter >= all && policy.EscalateAfter > 0 {
		policy.EscalateAfter = all - 1 // by then there is still something to escalate
	}
	policy.ConfirmAgreedMin = min(policy.ConfirmAgreedMin, policy.ConfirmAgreedMax)
	policy.ConfirmAfterShipment = max(policy.ConfirmAfterShipment, policy.ConfirmAgreedMax)
	policy.ExtendTimes = rapid.Int16Range(0, 2).Draw(t, "ExtendTimes")
	policy.ExtendTogether = policy.ExtendTogether && policy.ExtendTimes > 0
	fee := order.Fee{
		Bps:    rapid.OneOf(rapid.Int64Range(0, 1500), rapid.Int64Range(0, 10_000)).Draw(t, "bps"),
		Fixed:  rapid.Int64Range(0, 60).Draw(t, "fixed"),
		Min:    rapid.Int64Range(0, 60).Draw(t, "min"),
		TaxBps: rapid.OneOf(rapid.Int64Range(0, 2700), rapid.Int64Range(0, 10_000)).Draw(t, "tax"),
	}
	if rapid.Bool().Draw(t, "capped") {
		fee.Cap = fee.Min + rapid.Int64Range(1, 5000).Draw(t, "cap")
	}
	policy.Fees = map[string]order.Fee{c.Code: fee}
	if err := policy.Validate(); err != nil {
		t.Fatal(err)
	}
	return &policy
}

func randomSpan(t *rapid.T) time.Duration {
	return time.Duration(rapid.Int64Range(0, 30*24*60*60).Draw(t, "seconds"))*time.Second + time.Duration(rapid.Int64Range(0, 2).Draw(t, "us"))*time.Microsecond
}

// randomPayment pays some orders at once, mostly such as can be.
func (a *atlas) randomPayment(t *rapid.T, w *world) *order.Refusal {
	some := slices.DeleteFunc(slices.Clone(w.orders), func(e *entry) bool { return !rapid.Bool().Draw(t, "pays") })
	if len(some) < 2 {
		return nil
	}
	c := order.Command{Event: order.Pay, By: order.Buyer, Method: "card", At: start}
	for _, e := range some {
		if e.now.At.After(c.At) {
			c.At = e.now.At
		}
	}
	return w.refusedOrDone(c, some...)
}

// randomCommand is one of the scenarios' commands with other amounts, another
// role or another time: mostly such as the order's state admits.
func (a *atlas) randomCommand(t *rapid.T, o order.Order) order.Command {
	event := anyOf(t, order.Events, "any event")
	by := anyOf(t, allRoles, "anybody")
	if allowed := o.Allowed(); len(allowed) > 0 && mostly(t) {
		next := anyOf(t, allowed, "event")
		event = next.Event
		if mostly(t) {
			by = anyOf(t, next.By, "by")
		}
	}
	c := order.Command{Event: event}
	if samples := a.samples[event]; len(samples) > 0 && mostly(t) {
		c = anyOf(t, samples, "sample")
	}
	c.By, c.At = by, randomTime(t, o, event)
	randomFields(t, &c, o)
	return c
}

// mostly is true fifteen times of sixteen.
func mostly(t *rapid.T) bool { return even(t, 16, "mostly") > 0 }

// even is from 0 to n-1, each as often: rapid's own choices prefer the first,
// with which orders would not live long.
func even(t *rapid.T, n int, label string) int {
	bits := 0
	for i := range 12 {
		if rapid.Bool().Draw(t, label) {
			bits |= 1 << i
		}
	}
	return bits % n
}

func anyOf[T any](t *rapid.T, of []T, label string) T { return of[even(t, len(of), label)] }

// randomTime is when a command takes effect: between the last event and the
// deadline, at either, or before or after both.
func randomTime(t *rapid.T, o order.Order, e order.Event) time.Time {
	if order.DueAt(e) != order.NoDeadline && mostly(t) {
		return o.DeadlineAt
	}
	left := max(0, o.DeadlineAt.Sub(o.At))
	switch even(t, 16, "time") {
	case 0:
		return o.At.Add(-time.Microsecond)
	case 1:
		return o.DeadlineAt.Add(time.Microsecond)
	case 2:
		return o.At
	case 3:
		return o.DeadlineAt
	}
	return o.At.Add(time.Duration(rapid.Int64Range(0, int64(left/time.Microsecond)).Draw(t, "after")) * time.Microsecond)
}

// randomFields gives a command's amounts other values, of which the last is
// often what the others leave of what is held, and flips its other fields now
// and then.
func randomFields(t *rapid.T, c *order.Command, o order.Order) {
	v := reflect.ValueOf(c).Elem()
	left := o.Held
	amounts := amountsOf(c)
	for i, f := range amounts {
		said := append(amountsIn(reflect.ValueOf(o.Progress)), o.Amount)
		n := rapid.OneOf(
			rapid.Int64Range(0, max(o.Held, o.Amount)),
			rapid.SampledFrom([]int64{0, 1, o.Held, o.Held + 1, -1}),
			rapid.SampledFrom(said), // such as an offer's
		).Draw(t, "amount")
		if i > 0 && i == len(amounts)-1 && mostly(t) {
			n = left
		}
		f.SetInt(n)
		left -= n
	}
	for i := range v.NumField() {
		f := v.Field(i)
		name := v.Type().Field(i).Name
		switch {
		case f.Kind() == reflect.Bool:
			f.SetBool(f.Bool() == mostly(t))
		case f.Type() == reflect.TypeFor[time.Time]() && name != "At" && !f.IsZero():
			f.Set(reflect.ValueOf(o.DeadlineAt.Add(randomSpan(t) - time.Hour)))
		case f.Type() == reflect.TypeFor[string]() && !mostly(t):
			f.SetString(rapid.SampledFrom([]string{"", "x"}).Draw(t, name))
		}
	}
}
