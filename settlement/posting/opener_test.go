package posting_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/posting"
)

// asked is the embedded engine, which counts what it is asked and loses some
// answers, before or after it has done what was asked.
type asked struct {
	*pgengine.Engine
	mu             sync.Mutex
	random         *rand.Rand // nil: no answer gets lost
	opened, opens  int        // requests for accounts alone, and with their transfers
	opensForNought int        // of these, where an account was refused
}

func (a *asked) lost() (before, after bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.random != nil && a.random.IntN(5) == 0, a.random != nil && a.random.IntN(5) == 0
}

func (a *asked) CreateAccounts(ctx context.Context, list []ledger.Account) ([]ledger.AccountResult, error) {
	a.opened++
	before, after := a.lost()
	if before {
		return nil, errLost
	}
	res, err := a.Engine.CreateAccounts(ctx, list)
	if after {
		return nil, errLost
	}
	return res, err
}

func (a *asked) CreateTransfers(ctx context.Context, ts []ledger.Transfer) ([]ledger.TransferResult, error) {
	before, after := a.lost()
	if before {
		return nil, errLost
	}
	res, err := a.Engine.CreateTransfers(ctx, ts)
	if after {
		return nil, errLost
	}
	return res, err
}

func (a *asked) OpenAndTransfer(ctx context.Context, list []ledger.Account, ts []ledger.Transfer) ([]ledger.AccountResult, []ledger.TransferResult, error) {
	a.opens++
	before, after := a.lost()
	if before {
		return nil, nil, errLost
	}
	accounts, transfers, err := a.Engine.OpenAndTransfer(ctx, list, ts)
	if after {
		return nil, nil, errLost
	}
	if transfers == nil {
		a.opensForNought++
	}
	return accounts, transfers, err
}

// onPostgres is a world whose books are the embedded engine's.
func onPostgres(t testing.TB, a *asked, wrap func(ledger.Engine) ledger.Engine) *world {
	t.Helper()
	w := newWorld(t, func(ledger.Engine) ledger.Engine {
		var err error
		if a.Engine, err = pgengine.New(pgtest.Open(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Engine.Close() })
		return wrap(a)
	})
	w.engine = a.Engine
	return w
}

// Whether the ledger makes accounts and their transfers in one request or in
// two, and whether its answers arrive, makes no difference to anything: the
// answers, the orders, their timelines and the books are the same.
func TestOneRequestOrTwo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	whole := func(e ledger.Engine) ledger.Engine { return e }
	half := func(e ledger.Engine) ledger.Engine { return struct{ ledger.Engine }{e} }
	var first []string
	for _, c := range []struct {
		name string
		wrap func(ledger.Engine) ledger.Engine
		lose bool
	}{
		{"two", half, false}, {"one", whole, false}, {"one, with answers lost", whole, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &asked{}
			if c.lose {
				a.random = rand.New(rand.NewPCG(seed, 2))
			}
			w := onPostgres(t, a, c.wrap)
			told := w.story(rand.New(rand.NewPCG(seed, 1)))
			told = append(told, w.facts()...)
			w.balanced()
			if (a.opens > 5) != (c.name != "two") || (a.opensForNought > 0) != (c.name != "two") || a.opened == 0 {
				t.Errorf("asked for accounts %d times, with transfers %d times, of them %d for nought", a.opened, a.opens, a.opensForNought)
			}
			if first == nil {
				first = told
				return
			}
			for i := range min(len(first), len(told)) {
				if told[i] != first[i] {
					t.Fatalf("%d:\n got %s\nwant %s", i, told[i], first[i])
				}
			}
			if len(told) != len(first) {
				t.Errorf("%d lines for %d", len(told), len(first))
			}
		})
	}
}

// story is a life of some orders at random, and what was answered. One of them
// has the ledger hold another account under its id, which freezes it.
func (w *world) story(random *rand.Rand) (told []string) {
	w.t.Helper()
	var ids []ledger.ID
	references := map[ledger.ID]string{}
	do := func(reqs []posting.Request) []posting.Answer {
		answers := w.poster.DoAll(w.soon(), reqs)
		for i, a := range answers {
			line := fmt.Sprintf("%s %v:", reqs[i].Command.Event, a.Err)
			for _, o := range a.Result.Orders {
				line += fmt.Sprintf(" %s %s", o.Reference, withoutIDs(o))
			}
			told = append(told, fmt.Sprintf("%s money moved: %v", line, a.Result.LedgerTimestamp != 0))
		}
		return answers
	}
	agree := func(n int) {
		var reqs []posting.Request
		for range n {
			r := w.agreement(fmt.Sprint("X-", len(ids)+len(reqs)))
			r.Agreement.Buyer, r.Agreement.Seller = fmt.Sprint("buyer ", random.IntN(9)), fmt.Sprint("seller ", random.IntN(9))
			r.Agreement.Amount = 1 + random.Int64N(10_000)
			reqs = append(reqs, r)
		}
		for _, a := range do(reqs) {
			w.must(a.Err)
			o := a.Result.Orders[0]
			ids, references[o.ID] = append(ids, o.ID), o.Reference
		}
	}
	agree(8)
	if _, err := w.engine.CreateAccounts(w.ctx, []ledger.Account{{ID: ids[3], Ledger: w.order(ids[3]).Ledger, Code: 1010}}); err != nil {
		w.t.Fatal(err)
	}
	do([]posting.Request{w.event(ids[2], paid), w.event(ids[3], paid), w.event(ids[4], paid)})
	roles := []order.Role{order.Buyer, order.Seller, order.Operator, ""}
	for range 12 {
		agree(1 + random.IntN(4))
		var reqs []posting.Request
		for range 15 {
			o := w.order(ids[random.IntN(len(ids))])
			e := order.Events[1:][random.IntN(len(order.Events)-1)]
			at := o.At.Add(time.Duration(random.IntN(48)) * time.Hour)
			c := order.Command{Event: e, By: roles[random.IntN(len(roles))], At: at, Method: "card", Reason: "so"}
			if order.DueAt(e) != order.NoDeadline {
				c.At, c.By = o.DeadlineAt, order.System
			}
			if e != order.Pay && e != order.Authorise {
				c.Amount = random.Int64N(6_000)
				c.ToSeller, c.ToBuyer = c.Amount, o.Held-min(c.Amount, o.Held)
			}
			r := w.event(o.ID, c)
			if other := ids[random.IntN(len(ids))]; e == order.Pay && other != o.ID {
				r.Orders = append(r.Orders, other)
			}
			reqs = append(reqs, r)
		}
		// New orders of unknown parties are paid most of the time.
		for _, id := range ids[len(ids)-3:] {
			reqs = append(reqs, w.event(id, paid))
		}
		do(reqs)
	}
	for _, id := range ids {
		line, err := w.store.Timeline(w.ctx, id)
		w.must(err)
		for _, e := range line {
			told = append(told, fmt.Sprintf("%s %d %s by %s: %s, money moved: %v", references[id], e.After.Seq, e.Event, e.Actor,
				withoutIDs(order.Order{Progress: e.After}), e.LedgerTimestamp != 0))
		}
	}
	return told
}

// withoutIDs is how an order stands, without what chance gave it.
func withoutIDs(o order.Order) string {
	frozen := !o.Freeze.IsZero()
	var claim order.Claim
	if o.Claim != nil {
		claim = *o.Claim
	}
	var after order.Aftermath
	var cb order.Chargeback
	if o.Aftermath != nil {
		after = *o.Aftermath
	}
	if after.Chargeback != nil {
		cb = *after.Chargeback
		cb.Clearing, cb.Kept = ledger.ID{}, ledger.ID{}
	}
	o.Freeze, o.Claim, o.Aftermath, after.Chargeback = ledger.ID{}, nil, nil, nil
	return fmt.Sprintf("%+v claim %+v aftermath %+v chargeback %+v frozen %v seq %d attempt %d",
		o.Progress, claim, after, cb, frozen, o.Seq, o.Attempt)
}

// facts are the transfers and the accounts of the books, sorted, without what
// a clock or chance gave them.
func (w *world) facts() (list []string) {
	w.t.Helper()
	names := map[ledger.ID]string{}
	orders, err := w.store.Orders(w.ctx, w.market.ID, orderdb.OrderFilter{Limit: 1 << 20})
	w.must(err)
	for _, o := range orders {
		names[o.ID] = o.Reference
	}
	rows, err := w.db.Query(`SELECT id::text, code || ' ' || owner FROM accounts`)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var id, name string
		w.must(rows.Scan(&id, &name))
		u, err := ledger.ParseUUID(id)
		w.must(err)
		names[u] = name
	}
	w.must(rows.Err())
	transfers, err := w.engine.QueryTransfers(w.ctx, ledger.QueryFilter{Limit: ledger.BatchMax})
	w.must(err)
	for _, t := range transfers {
		list = append(list, fmt.Sprintf("%d from %q to %q: %v, flags %d, at %d", t.Code, names[t.DebitAccountID], names[t.CreditAccountID], t.Amount, t.Flags, t.UserData64))
	}
	accounts, err := w.engine.QueryAccounts(w.ctx, ledger.QueryFilter{Limit: ledger.BatchMax})
	w.must(err)
	for _, a := range accounts {
		list = append(list, fmt.Sprintf("%q %d %d: %v %v %v %v, flags %d", names[a.ID], a.Ledger, a.Code, a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending, a.Flags))
	}
	slices.Sort(list)
	return list
}
