package posting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
)

// load reads the orders and marketplaces of tasks and drafts their commands.
func (p *Poster) load(ctx context.Context, w *orderdb.Writer, d *decision, tasks []*task) ([]*draft, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	var ids []ledger.ID
	found := map[ledger.ID]order.Order{}
	for _, t := range tasks {
		for _, id := range t.req.Orders {
			if p.remembered(t, id) == nil {
				ids = append(ids, id)
			}
		}
	}
	var err error
	if len(ids) > 0 {
		if found, err = w.LoadOrders(ctx, ids); err != nil {
			return nil, err
		}
	}
	machine := p.opts.Clock()
	markets, err := p.marketplaces(ctx, w, tasks, machine)
	if err != nil {
		return nil, err
	}
	policies := versions{since: earliest(tasks, markets, machine), found: map[policyName][]*order.Policy{}}
	standings, err := readStandings(ctx, w, tasks, markets, machine)
	if err != nil {
		return nil, err
	}
	entries, err := readEntryFacts(ctx, w, tasks)
	if err != nil {
		return nil, err
	}
	var drafts []*draft
next:
	for _, t := range tasks {
		market, ok := markets[t.req.Marketplace]
		if !ok {
			d.refuse(t, ErrNotFound)
			continue
		}
		f := &draft{task: t, market: market}
		if f.intent, err = orderdb.NewChain(); err != nil {
			return nil, err
		}
		now, deadlines := market.At(machine)
		seller, asked := standings[t]
		if t.req.Agreement != nil {
			agreement := t.req.Agreement
			if asked {
				agreement = agreement.with(&seller)
			}
			o, err := p.newOrder(ctx, w, market, agreement, agreedAt(t, now), policies)
			if refused := new(Invalid); errors.As(err, &refused) {
				d.refuse(t, err)
				continue
			} else if err != nil {
				return nil, err
			}
			f.orders = []order.Order{o}
			f.needs = append(f.needs, orderdb.AccountName{Ledger: o.Ledger, Code: chart.Buyer, Owner: o.Buyer},
				orderdb.AccountName{Ledger: o.Ledger, Code: chart.SellerPending, Owner: o.Seller})
		}
		for _, id := range t.req.Orders {
			o, ok := found[id]
			if seen := p.remembered(t, id); seen != nil {
				o, ok, f.memory = *seen, true, true
			}
			if !ok || o.Marketplace != t.req.Marketplace {
				d.refuse(t, ErrNotFound)
				continue next
			}
			f.orders = append(f.orders, o)
		}
		if t.req.Entry != nil {
			refused, err := f.loadEntry(&entries, now, deadlines)
			if err == nil && refused == nil {
				refused = f.loadRuling(now, deadlines)
			}
			if err != nil {
				return nil, err
			}
			if refused != nil {
				d.refuseDraft(f, refused)
				continue
			}
			drafts = append(drafts, f)
			continue
		}
		for i := range f.orders {
			c, refusal := command(&f.orders[i], t.req.Command, now, deadlines)
			if refusal != nil {
				d.refuseDraft(f, refusal)
				continue next
			}
			c.Intent, c.Approval = orderdb.ChainMember(f.intent, i), ledger.ID{}
			f.cmds = append(f.cmds, c)
			f.needs = append(f.needs, booksFor(&f.orders[i], &c)...)
		}
		if asked {
			if refusal := seller.Refuse(); refusal != nil {
				d.refuseDraft(f, refusal)
				continue
			}
		}
		drafts = append(drafts, f)
	}
	return drafts, p.loadPayments(ctx, w, drafts)
}

// loadPayments looks up how the orders were paid that are charged back, and from
// which account the provider takes it.
func (p *Poster) loadPayments(ctx context.Context, w *orderdb.Writer, drafts []*draft) error {
	var orders []*order.Order
	var cmds []*order.Command
	var of []*draft
	for _, f := range drafts {
		if len(f.orders) > 0 && takesPayment(&f.orders[0], &f.cmds[0]) {
			orders, cmds, of = append(orders, &f.orders[0]), append(cmds, &f.cmds[0]), append(of, f)
		}
	}
	from, err := recallPayments(ctx, w, orders, cmds)
	for i, f := range of {
		f.takenFrom = from[i]
	}
	return err
}

// takesPayment reports whether the command charges the order's payment back.
func takesPayment(o *order.Order, c *order.Command) bool {
	row, _ := order.Lookup(o.State, c.Event)
	return row.Effect == order.TakePayment
}

// payments is where it is on record how orders were paid: a transaction, or the
// store.
type payments interface {
	PaidThrough(ctx context.Context, orders []ledger.ID) (map[ledger.ID]orderdb.Paid, error)
	FindAccounts(ctx context.Context, names []orderdb.AccountName) (map[orderdb.AccountName]ledger.ID, error)
}

// recallPayments tells commands that charge orders back how these were paid, and
// answers for each the account from which the provider takes the money: the one
// through which it came; of a payment out of a balance that of the method that
// the command names, zero if the marketplace never had one. None is made here: a
// slip of the method must not become an account.
func recallPayments(ctx context.Context, from payments, orders []*order.Order, cmds []*order.Command) ([]ledger.ID, error) {
	accounts := make([]ledger.ID, len(orders))
	if len(orders) == 0 {
		return accounts, nil
	}
	ids := make([]ledger.ID, len(orders))
	for i, o := range orders {
		ids[i] = o.ID
	}
	paid, err := from.PaidThrough(ctx, ids)
	if err != nil {
		return accounts, err
	}
	names := make([]orderdb.AccountName, len(orders))
	for i, o := range orders {
		c, p := cmds[i], paid[o.ID]
		c.Paid, accounts[i] = p.Payment, p.Clearing
		names[i] = orderdb.AccountName{Ledger: o.Ledger, Code: chart.PayinClearing, Owner: c.Method}
		if in, err := c.FX.Ledger(o.Marketplace); err == nil {
			names[i].Ledger = in
		}
	}
	found, err := from.FindAccounts(ctx, names)
	for i, n := range names {
		if accounts[i].IsZero() {
			accounts[i] = found[n]
		}
	}
	return accounts, err
}

// readAhead does the reading of a large caller before it stands in line, while
// others are decided: the deciding stage is the one that all wait for. An order
// that moves on meanwhile is like one that another process moved on, see
// rememberOrders, and so is a key that is used meanwhile. What cannot be read
// now is read in the transaction.
func (p *Poster) readAhead(ctx context.Context, tasks []*task) {
	const large = 64
	if len(tasks) < large {
		return
	}
	var reader *connection
	select {
	case reader = <-p.readers:
		defer func() { p.readers <- reader }()
	default:
		return // enough others are reading
	}
	_ = reader.do(p, func(_ context.Context, w *orderdb.Writer) error {
		return errors.Join(p.readKeys(ctx, w, tasks), p.readOrders(ctx, w, tasks))
	})
}

func (p *Poster) readKeys(ctx context.Context, w *orderdb.Writer, tasks []*task) error {
	var names []orderdb.KeyName
	for _, t := range tasks {
		if t.req.Key != "" {
			names = append(names, t.key())
		}
	}
	if len(names) == 0 {
		return nil
	}
	used, err := w.FindKeys(ctx, names)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		_, found := used[t.key()]
		t.newKey = !found
	}
	return nil
}

func (p *Poster) readOrders(ctx context.Context, w *orderdb.Writer, tasks []*task) error {
	var ids []ledger.ID
	p.seen.RLock()
	for _, t := range tasks {
		if len(t.req.Orders) == 1 && t.req.Seen == nil && p.orders[t.req.Orders[0]] == nil {
			ids = append(ids, t.req.Orders[0])
		}
	}
	p.seen.RUnlock()
	if len(ids) == 0 {
		return nil
	}
	found, err := w.LoadOrders(ctx, ids)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if len(t.req.Orders) == 1 && t.req.Seen == nil {
			if o, ok := found[t.req.Orders[0]]; ok {
				t.req.Seen = &o
			}
		}
	}
	return nil
}

func (t *task) key() orderdb.KeyName {
	return orderdb.KeyName{Marketplace: t.req.Marketplace, Key: t.req.Key}
}

// remembered is an order that need not be read, as it was last seen; nil if it
// must be.
func (p *Poster) remembered(t *task, id ledger.ID) *order.Order {
	if t.careful {
		return nil
	}
	if o, ok := p.orders[id]; ok {
		return o
	}
	if o := t.req.Seen; o != nil && o.ID == id {
		return o
	}
	return nil
}

// liveMarket is a marketplace with a live clock as it was read. All that can
// change of it is whether its sellers are to be asked for.
type liveMarket struct {
	orderdb.Marketplace
	read time.Time
}

// marketFresh is how long a marketplace with a live clock is not read again, and
// so how long other processes' settings of its sellers may go unnoticed.
const marketFresh = 5 * time.Second

// marketplaces are those of the tasks, with their clocks as they stand.
func (p *Poster) marketplaces(ctx context.Context, w *orderdb.Writer, tasks []*task, now time.Time) (map[uint32]orderdb.Marketplace, error) {
	found := map[uint32]orderdb.Marketplace{}
	var missing []uint32
	for _, t := range tasks {
		id := t.req.Marketplace
		if _, seen := found[id]; seen {
			continue
		}
		m, known := p.markets[id]
		if found[id] = m.Marketplace; !known || now.Sub(m.read) >= marketFresh {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return found, nil
	}
	list, err := w.LoadMarketplaces(ctx, missing)
	if err != nil {
		return nil, err
	}
	for _, id := range missing {
		m, ok := list[id]
		if !ok {
			delete(found, id)
			continue
		}
		if found[id] = m; m.Clock == orderdb.LiveClock {
			p.markets[id] = liveMarket{m, now}
		}
	}
	return found, nil
}

// command completes what the caller said: who and when.
func command(o *order.Order, c order.Command, now, deadlines time.Time) (order.Command, error) {
	if c.By == "" {
		c.By = order.DefaultRole(o.State, c.Event)
	}
	if c.At.IsZero() {
		// Never before the order's last event: two machines' clocks differ.
		c.At = now
		if c.At.Before(o.At) {
			c.At = o.At
		}
		return c, nil
	}
	c.At = c.At.UTC().Truncate(time.Microsecond)
	latest, what := now, "the marketplace's clock"
	if c.By == order.System {
		latest, what = deadlines, "the deadlines that fire"
	}
	if c.At.After(latest) {
		return c, &order.Refusal{Rule: RuleFuture, Event: c.Event, State: o.State, Allowed: o.Allowed(),
			Detail: fmt.Sprintf("it would take effect at %s, %s stands at %s",
				c.At.Format(time.RFC3339Nano), what, latest.Format(time.RFC3339Nano))}
	}
	return c, nil
}

// readStandings asks for the sellers of the tasks' agreements: one look for all of
// them, and none for those of marketplaces that have said nothing of their sellers.
func readStandings(ctx context.Context, w *orderdb.Writer, tasks []*task, markets map[uint32]orderdb.Marketplace, machine time.Time) (map[*task]people.Standing, error) {
	var asking []*task
	var asks []orderdb.SellerAsk
	for _, t := range tasks {
		market, ok := markets[t.req.Marketplace]
		if a := t.req.Agreement; ok && a != nil && (market.OnlyListed || market.SellersMarked) {
			now, _ := market.At(machine)
			asking, asks = append(asking, t), append(asks, a.ask(market.ID, agreedAt(t, now)))
		}
	}
	if len(asks) == 0 {
		return nil, nil
	}
	list, err := w.Standings(ctx, asks)
	if err != nil {
		return nil, err
	}
	found := make(map[*task]people.Standing, len(list))
	for i, t := range asking {
		found[t] = list[i]
	}
	return found, nil
}

type policyName struct {
	marketplace uint32
	name        string
}

// versions are the policies that a transaction has looked up: every version that
// an order of the batch can be agreed under, so that each is looked up once.
type versions struct {
	since time.Time // nothing in the batch is agreed earlier
	found map[policyName][]*order.Policy
}

func (v *versions) of(ctx context.Context, w *orderdb.Writer, name policyName) ([]*order.Policy, error) {
	list, ok := v.found[name]
	if !ok {
		var err error
		if list, err = w.Versions(ctx, name.marketplace, name.name, v.since); err != nil {
			return nil, err
		}
		v.found[name] = list
	}
	return list, nil
}

// agreedAt is when an order is agreed, in its marketplace's time.
func agreedAt(t *task, now time.Time) time.Time {
	if at := t.req.Command.At; !at.IsZero() {
		return at.Truncate(time.Microsecond)
	}
	return now
}

// earliest is when the first of the tasks' orders is agreed.
func earliest(tasks []*task, markets map[uint32]orderdb.Marketplace, machine time.Time) time.Time {
	var first time.Time
	for _, t := range tasks {
		if market, ok := markets[t.req.Marketplace]; ok && t.req.Agreement != nil {
			now, _ := market.At(machine)
			if at := agreedAt(t, now); first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	return first
}

// newOrder is an order as agreed, before its first event.
func (p *Poster) newOrder(ctx context.Context, w *orderdb.Writer, m orderdb.Marketplace, a *Agreement, at time.Time, policies versions) (order.Order, error) {
	list, err := policies.of(ctx, w, policyName{m.ID, a.policy()})
	if err != nil {
		return order.Order{}, err
	}
	terms, err := termsOf(m, a, list, at)
	if err != nil {
		return order.Order{}, err
	}
	o := order.Order{Terms: terms}
	if o.ID, err = orderdb.NewID(); err != nil {
		return order.Order{}, err
	}
	o.Parts, err = a.parts()
	return o, err
}

// booksFor names the accounts that an event may use and that may have no row yet:
// those of the whole ledger, and of the seller's those that few sellers need.
func booksFor(o *order.Order, c *order.Command) []orderdb.AccountName {
	name := func(code chart.AccountCode, owner string) orderdb.AccountName {
		return orderdb.AccountName{Ledger: o.Ledger, Code: code, Owner: owner}
	}
	if o.Deadline == order.MaturePartAt { // which any event takes along that comes later
		return append(booksOf(o, c, name), reserveFor(o, name)...)
	}
	return booksOf(o, c, name)
}

// reserveFor is the account that a share of what matures is kept in, if any is.
func reserveFor(o *order.Order, name func(chart.AccountCode, string) orderdb.AccountName) []orderdb.AccountName {
	if o.Policy.ReserveFor == 0 {
		return nil
	}
	return []orderdb.AccountName{name(chart.SellerReserve, o.Seller)}
}

// booksOf are those that the event itself may use.
func booksOf(o *order.Order, c *order.Command, name func(chart.AccountCode, string) orderdb.AccountName) []orderdb.AccountName {
	row, _ := order.Lookup(o.State, c.Event)
	switch row.Effect {
	case order.HoldPayment, order.Reserve:
		if !order.PolicyWord(c.Method) || c.Method == order.Balance {
			return nil // Plan refuses it, or nothing comes in
		}
		if c.FX != (order.FX{}) {
			paid, err := c.FX.Ledger(o.Marketplace)
			if err != nil {
				return nil // it is refused
			}
			return []orderdb.AccountName{name(chart.FXPosition, ""),
				{Ledger: paid, Code: chart.PayinClearing, Owner: c.Method}, {Ledger: paid, Code: chart.FXPosition}, {Ledger: paid, Code: chart.FXSpread}}
		}
		return []orderdb.AccountName{name(chart.PayinClearing, c.Method)}
	case order.Freeze:
		if o.Held == 0 { // what was released is disputed
			return []orderdb.AccountName{name(chart.SellerReserve, o.Seller)}
		}
		return []orderdb.AccountName{name(chart.DisputeSuspense, "")}
	case order.ReleaseAll, order.ReleaseParts, order.ReleaseDue, order.GrantClaim, order.DropClaim, order.TakeOffer, order.EndEvidence, order.Decide, order.CarryOut, order.GrantReturn, order.GrantOther:
		if o.Claim.Released() {
			return fromSeller(o, name)
		}
		return []orderdb.AccountName{name(chart.FeeRevenue, ""), name(chart.TaxPayable, "")}
	case order.MatureAll:
		return reserveFor(o, name)
	case order.TakePayment:
		names := []orderdb.AccountName{name(chart.ChargebackReceivable, ""), name(chart.DisputeSuspense, ""), name(chart.SellerReserve, o.Seller)}
		if taken, err := c.FX.Ledger(o.Marketplace); err == nil { // otherwise it takes none, or is refused
			names = append(names, name(chart.FXPosition, ""), orderdb.AccountName{Ledger: taken, Code: chart.FXPosition})
		}
		return names
	case order.Resume:
		return []orderdb.AccountName{name(chart.ChargebackReceivable, "")}
	case order.BearLoss:
		return []orderdb.AccountName{name(chart.ChargebackReceivable, ""), name(chart.SellerCollection, ""), name(chart.FeeRevenue, ""),
			name(chart.TaxPayable, ""), name(chart.ChargebackLoss, ""), name(chart.SellerReserve, o.Seller), name(chart.SellerReceivable, o.Seller)}
	case order.GiveBack:
		return fromSeller(o, name)
	}
	return nil
}

// fromSeller are the accounts that a refund of what was released may use.
func fromSeller(o *order.Order, name func(chart.AccountCode, string) orderdb.AccountName) []orderdb.AccountName {
	return []orderdb.AccountName{name(chart.SellerCollection, ""), name(chart.FeeRevenue, ""), name(chart.TaxPayable, ""),
		name(chart.SellerReserve, o.Seller), name(chart.SellerReceivable, o.Seller)}
}

// nameAccounts finds or makes the rows of all accounts that the drafts need.
func (p *Poster) nameAccounts(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) error {
	var missing []orderdb.AccountName
	asked := map[orderdb.AccountName]bool{}
	for _, f := range drafts {
		for _, n := range f.needs {
			if _, ok := p.accounts[n]; !ok && !asked[n] {
				asked[n] = true
				missing = append(missing, n)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found, err := w.Accounts(ctx, missing)
	d.accounts = found
	return err
}
