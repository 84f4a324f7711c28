package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// past is a life that orders of the past have behind them.
type past struct {
	events []order.Event
	final  order.State
	policy string
	// at is when the i-th of n orders was agreed, for the marketplace's now;
	// after is when the k-th event of the life followed.
	at    func(now time.Time, i, n int) time.Time
	after []time.Duration
}

var (
	// closedLife is over, and long ago.
	closedLife = past{
		events: []order.Event{order.Agree, order.Pay, order.Ship, order.Confirm, order.Mature},
		final:  order.Closed, policy: feePolicy,
		at: func(now time.Time, i, n int) time.Time {
			year := 365 * 24 * time.Hour
			return now.Add(-year - 30*24*time.Hour + time.Duration(float64(year)*float64(i)/float64(n))).Truncate(time.Microsecond)
		},
		after: []time.Duration{0, time.Hour, 24 * time.Hour, 72 * time.Hour, 120 * time.Hour},
	}
	// shippedLife waits for the buyer's confirmation, as of now; the deadlines
	// are a microsecond apart.
	shippedLife = past{
		events: []order.Event{order.Agree, order.Pay, order.Ship},
		final:  order.Shipped, policy: taxPolicy,
		at:    func(now time.Time, i, n int) time.Time { return now.Add(time.Duration(i-n) * time.Microsecond) },
		after: []time.Duration{0, 0, 0},
	}
)

// Chunks of orders are written by this many workers: while one is with the
// ledger, the other is with the order store.
const historyWorkers = 2

// generate writes n orders that lived a life, as the write path would have
// left them, without going through it: each event is planned by order.Plan,
// the transfers go to the ledger in full batches, and the order store's rows
// are written with their outcome at once. That saves what the write path does
// to survive a crash between the two, which is most of its work; a crash here
// leaves books that are only fit to be thrown away.
func (s *session) generate(ctx context.Context, n int, life past) error {
	if n == 0 {
		return nil
	}
	s.tell("writing %d orders that are %s", n, life.final)
	g := &generation{s: s, life: life, first: s.next, n: n, told: time.Now()}
	s.next += n
	if err := g.prepare(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	size := ledger.BatchMax / (3 * len(life.events)) // an event has three legs at most
	for range historyWorkers {
		wg.Go(func() {
			if err := g.work(ctx, &next, size); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.settleDown(ctx)
}

// generation is one call of generate.
type generation struct {
	s        *session
	life     past
	first, n int // numbers of the orders
	accounts map[orderdb.AccountName]ledger.ID

	mu   sync.Mutex // guards the session's expectation, and:
	done int
	told time.Time
}

func (g *generation) name(code chart.AccountCode, owner string) orderdb.AccountName {
	return orderdb.AccountName{Ledger: g.s.ledger, Code: code, Owner: owner}
}

// prepare makes the accounts that are not an order's.
func (g *generation) prepare(ctx context.Context) (err error) {
	names := []orderdb.AccountName{g.name(chart.PayinClearing, method), g.name(chart.FeeRevenue, ""), g.name(chart.TaxPayable, "")}
	for i := range buyers {
		names = append(names, g.name(chart.Buyer, buyerOf(i)))
	}
	for i := range sellers {
		names = append(names, g.name(chart.SellerPending, sellerOf(i)))
	}
	err = g.write(ctx, func(w *orderdb.Writer) (err error) {
		g.accounts, err = w.Accounts(ctx, names)
		return err
	})
	if err != nil {
		return fmt.Errorf("naming accounts: %w", err)
	}
	var list []ledger.Account
	add := func(id ledger.ID, code chart.AccountCode) {
		list = append(list, ledger.Account{ID: id, Ledger: g.s.ledger, Code: uint16(code), Flags: code.Flags()})
	}
	for n, id := range g.accounts {
		add(id, n.Code)
		if n.Code == chart.SellerPending {
			add(order.SellerAvailable(id), chart.SellerAvailable)
		}
	}
	return createAccounts(ctx, g.s.Ledger, list)
}

// write runs f in a transaction of a writer of its own.
func (g *generation) write(ctx context.Context, f func(*orderdb.Writer) error) error {
	w, err := orderdb.NewWriter(ctx, g.s.Orders)
	if err != nil {
		return err
	}
	return errors.Join(inTransaction(ctx, w, func() error { return f(w) }), w.Close())
}

func inTransaction(ctx context.Context, w *orderdb.Writer, f func() error) error {
	tx := w.Begin()
	if err := f(); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// work writes chunks until none is left.
func (g *generation) work(ctx context.Context, next *atomic.Int64, size int) (err error) {
	w, err := orderdb.NewWriter(ctx, g.s.Orders)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	for ctx.Err() == nil {
		from := int(next.Add(int64(size))) - size
		if from >= g.n {
			return nil
		}
		c := &chunk{g: g}
		for i := from; i < min(from+size, g.n); i++ {
			if err := c.plan(i); err != nil {
				return fmt.Errorf("planning order %d: %w", i, err)
			}
		}
		if err := c.book(ctx); err != nil {
			return fmt.Errorf("booking: %w", err)
		}
		if err := inTransaction(ctx, w, func() error { return c.store(ctx, w) }); err != nil {
			return fmt.Errorf("storing: %w", err)
		}
		g.count(c)
	}
	return context.Cause(ctx)
}

// count notes a chunk that is written, and tells of it now and then.
func (g *generation) count(c *chunk) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range c.orders {
		for _, e := range g.life.events {
			g.s.expect.event(e, c.orders[i].Amount, c.orders[i].Policy)
		}
	}
	g.done += len(c.orders)
	if time.Since(g.told) > 5*time.Second {
		g.told = time.Now()
		g.s.tell("  %d of %d", g.done, g.n)
	}
}

// chunk is some orders with all that happened to them.
type chunk struct {
	g        *generation
	orders   []order.Order
	escrow   []ledger.Account
	legs     []ledger.Transfer
	first    []int // by intent: its first leg, -1 for none
	intents  []orderdb.Intent
	keys     []orderdb.KeyUse
	outcomes []orderdb.Outcome
}

// plan lets the i-th order of the generation live its life.
func (c *chunk) plan(i int) error {
	g := c.g
	number := g.first + i
	id, err := orderdb.NewID()
	if err != nil {
		return err
	}
	p := g.s.policies[g.life.policy]
	fee, ok := p.FeeFor(currency)
	if !ok {
		return fmt.Errorf("policy %s has no fee", p.Name)
	}
	o := order.Order{Terms: order.Terms{ID: id, Marketplace: g.s.market.ID, Reference: g.s.run + "-" + strconv.Itoa(number), Ledger: g.s.ledger,
		Buyer: buyerOf(number), Seller: sellerOf(number), Amount: amountOf(number), Policy: p,
		BuyerAccount:  g.accounts[g.name(chart.Buyer, buyerOf(number))],
		SellerAccount: g.accounts[g.name(chart.SellerPending, sellerOf(number))]}}
	o.Fee, o.Tax = fee.On(o.Amount)
	o.AgreedAt = g.life.at(g.s.market.Now, i, g.n)
	for k, e := range g.life.events {
		chain, err := orderdb.NewChain()
		if err != nil {
			return err
		}
		cmd := order.Command{Event: e, By: order.DefaultRole(o.State, e), At: o.AgreedAt.Add(g.life.after[k]), Intent: chain, Method: method,
			Books: &order.Books{Clearing: g.accounts[g.name(chart.PayinClearing, method)], Fee: g.accounts[g.name(chart.FeeRevenue, "")],
				Tax: g.accounts[g.name(chart.TaxPayable, "")]}}
		ch, err := order.Plan(o, cmd)
		if err != nil {
			return err
		}
		o = ch.After
		first := -1
		if len(ch.Legs) > 0 {
			first = len(c.legs)
		}
		c.first, c.legs = append(c.first, first), append(c.legs, ch.Legs...)
		for _, a := range ch.Accounts {
			if a.Code == uint16(chart.Escrow) {
				c.escrow = append(c.escrow, a)
			}
		}
		c.intents = append(c.intents, orderdb.Intent{ID: chain, Chain: chain, Order: &ch.After, Event: e, Actor: cmd.By, Accounts: ch.Accounts, Legs: ch.Legs,
			DeadlineSet: ch.SetsDeadline()})
		c.outcomes = append(c.outcomes, orderdb.Outcome{Intent: chain, Marketplace: o.Marketplace, Outcome: orderdb.Applied})
		if cmd.By != order.System {
			key := g.s.run + "-" + string(e) + "-" + strconv.Itoa(number)
			hash := sha256.Sum256([]byte(key))
			c.keys = append(c.keys, orderdb.KeyUse{Marketplace: o.Marketplace, Key: key, Hash: hash[:], Intent: chain})
		}
	}
	if o.State != g.life.final {
		return fmt.Errorf("it is %s and not %s", o.State, g.life.final)
	}
	c.orders = append(c.orders, o)
	return nil
}

// book gives the transfers to the ledger.
func (c *chunk) book(ctx context.Context) error {
	if err := createAccounts(ctx, c.g.s.Ledger, c.escrow); err != nil {
		return err
	}
	stamps, err := createTransfers(ctx, c.g.s.Ledger, c.legs)
	if err != nil {
		return err
	}
	for i, leg := range c.first {
		if leg >= 0 {
			c.outcomes[i].LedgerTimestamp = stamps[leg]
		}
	}
	return nil
}

// store writes the rows of the order store.
func (c *chunk) store(ctx context.Context, w *orderdb.Writer) error {
	// As they are in the end; the order store's own way would write each as it
	// was agreed, to be changed for every event.
	if err := w.CopyOrders(ctx, c.orders); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	if err := w.Decide(ctx, c.intents, c.keys, orderdb.Batch{}, false); err != nil {
		return fmt.Errorf("intents: %w", err)
	}
	// The orders stand already where the events led.
	made := map[ledger.ID]bool{}
	for _, o := range c.outcomes {
		made[o.Intent] = true
	}
	if _, err := w.Record(ctx, orderdb.Recording{Outcomes: c.outcomes, Made: made}); err != nil {
		return fmt.Errorf("outcomes: %w", err)
	}
	return nil
}

// createAccounts insists that the ledger has the accounts afterwards.
func createAccounts(ctx context.Context, e ledger.Engine, list []ledger.Account) error {
	results, err := e.CreateAccounts(ctx, list)
	if err != nil {
		return fmt.Errorf("creating accounts: %w", err)
	}
	for i, r := range results {
		if r.Status != ledger.AccountCreated && r.Status != ledger.AccountExists {
			return fmt.Errorf("account %s: %s", list[i].ID.UUID(), r.Status)
		}
	}
	return nil
}

// createTransfers insists that the ledger makes all transfers, and answers
// their timestamps.
func createTransfers(ctx context.Context, e ledger.Engine, list []ledger.Transfer) ([]uint64, error) {
	results, err := e.CreateTransfers(ctx, list)
	if err != nil {
		return nil, fmt.Errorf("creating transfers: %w", err)
	}
	if len(results) != len(list) {
		return nil, fmt.Errorf("the ledger answered %d of %d transfers", len(results), len(list))
	}
	stamps := make([]uint64, len(results))
	for i, r := range results {
		if r.Status != ledger.TransferCreated {
			return nil, fmt.Errorf("transfer %s: %s", list[i].ID.UUID(), r.Status)
		}
		stamps[i] = r.Timestamp
	}
	return stamps, nil
}
