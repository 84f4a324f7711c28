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
)

// decision is what one transaction decided. Every task of its batch is in
// exactly one of replies, again, parked and (as its chain's) chains. None of it
// holds before the transaction is committed.
type decision struct {
	chains   []*chain           // for the ledger
	fresh    []orderdb.Outcome  // applied without the ledger: no money moves
	made     map[ledger.ID]bool // of fresh, those that made their order
	replies  []reply
	again    []*task // refused by what memory says: to be decided from the database
	parked   []*task // their order is busy in another process
	accounts map[orderdb.AccountName]ledger.ID
}

type reply struct {
	task   *task
	answer Answer
	now    []order.Order // as they stand now, where that is certain
}

func (d *decision) refuse(t *task, err error) {
	d.replies = append(d.replies, reply{task: t, answer: Answer{Err: err}})
}

// refuseDraft refuses a task, unless that came of an order as memory has it.
func (d *decision) refuseDraft(f *draft, err error) {
	if f.memory {
		d.again = append(d.again, f.task)
		return
	}
	d.refuse(f.task, err)
}

// decideAgain gives a transaction up because another process was faster in a
// way that only a new one sees. park is the task to leave out of it, if any.
type decideAgain struct {
	park    *task
	careful bool // with the statements that tell what is taken
}

func (*decideAgain) Error() string { return "another process decided at the same moment" }

// draft is a task on its way to a decision.
type draft struct {
	task    *task
	memory  bool // an order of it was not read from the database
	market  orderdb.Marketplace
	intent  ledger.ID
	orders  []order.Order
	cmds    []order.Command
	changes []*order.Change
	needs   []orderdb.AccountName // accounts that must have a row
}

// decide looks at every task of a batch in the transaction and stores the
// intents. Which orders a batch touches is disjoint, see pick.
func (p *Poster) decide(ctx context.Context, w *orderdb.Writer, batch []*task) (*decision, error) {
	d := &decision{accounts: map[orderdb.AccountName]ledger.ID{}, made: map[ledger.ID]bool{}}
	rest, err := p.answerReplays(ctx, w, d, batch)
	if err != nil {
		return nil, err
	}
	drafts, err := p.load(ctx, w, d, rest)
	if err != nil {
		return nil, err
	}
	if err := p.nameAccounts(ctx, w, d, drafts); err != nil {
		return nil, err
	}
	planned := drafts[:0]
	for _, f := range drafts {
		if err := p.plan(d, f); err != nil {
			d.refuseDraft(f, err)
			continue
		}
		planned = append(planned, f)
	}
	if planned, err = p.storeOrders(ctx, w, d, planned); err != nil {
		return nil, err
	}
	return d, p.storeIntents(ctx, w, d, planned)
}

// answerReplays answers the tasks whose idempotency key was used before and
// returns the others.
func (p *Poster) answerReplays(ctx context.Context, w *orderdb.Writer, d *decision, batch []*task) ([]*task, error) {
	var names []orderdb.KeyName
	for _, t := range batch {
		if t.req.Key != "" {
			names = append(names, orderdb.KeyName{Marketplace: t.req.Marketplace, Key: t.req.Key})
		}
	}
	if len(names) == 0 {
		return batch, nil
	}
	uses, err := w.FindKeys(ctx, names)
	if err != nil || len(uses) == 0 {
		return batch, err
	}
	var rest []*task
	var replays []*task
	var chains []ledger.ID
	for _, t := range batch {
		use, ok := uses[orderdb.KeyName{Marketplace: t.req.Marketplace, Key: t.req.Key}]
		switch {
		case t.req.Key == "" || !ok:
			rest = append(rest, t)
		case string(use.Hash) != string(t.req.Hash[:]):
			d.refuse(t, ErrKeyReused)
		default:
			replays, chains = append(replays, t), append(chains, use.Intent)
		}
	}
	recorded, err := chainsByID(ctx, w, chains)
	if err != nil {
		return nil, err
	}
	for i, t := range replays {
		list := recorded[chains[i]]
		if len(list) == 0 {
			return nil, fmt.Errorf("posting: key %d of marketplace %d names an intent that is not there", i, t.req.Marketplace)
		}
		if list[0].Outcome == "" {
			d.parked = append(d.parked, t)
			continue
		}
		a := answerOf(list)
		a.Result.Replayed = a.Err == nil
		d.replies = append(d.replies, reply{task: t, answer: a})
	}
	return rest, nil
}

func chainsByID(ctx context.Context, w *orderdb.Writer, chains []ledger.ID) (map[ledger.ID][]orderdb.Recorded, error) {
	found := map[ledger.ID][]orderdb.Recorded{}
	if len(chains) == 0 {
		return found, nil
	}
	list, err := w.Chains(ctx, chains)
	for _, r := range list {
		found[r.Chain] = append(found[r.Chain], r)
	}
	return found, err
}

// answerOf is the answer that a recorded chain gives.
func answerOf(list []orderdb.Recorded) Answer {
	first := list[0]
	if first.Outcome != orderdb.Applied {
		return Answer{Err: &Rejected{Intent: first.Intent, Reason: first.Reason, Frozen: first.Outcome == orderdb.Frozen}}
	}
	r := Result{Intent: first.Chain, LedgerTimestamp: first.LedgerTimestamp}
	for _, rec := range list {
		r.Orders = append(r.Orders, rec.Order)
	}
	return Answer{Result: r}
}

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
	markets, err := p.marketplaces(ctx, w, tasks)
	if err != nil {
		return nil, err
	}
	machine := p.opts.Clock()
	policies := map[policyName]*order.Policy{}
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
		if t.req.Agreement != nil {
			o, err := p.newOrder(ctx, w, market, t.req.Agreement, policies)
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
		for i := range f.orders {
			c, refusal := command(&f.orders[i], t.req.Command, now, deadlines)
			if refusal != nil {
				d.refuseDraft(f, refusal)
				continue next
			}
			c.Intent = orderdb.ChainMember(f.intent, i)
			f.cmds = append(f.cmds, c)
			f.needs = append(f.needs, booksFor(&f.orders[i], &c)...)
		}
		drafts = append(drafts, f)
	}
	return drafts, nil
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

// marketplaces are those of the tasks, with their clocks as they stand.
func (p *Poster) marketplaces(ctx context.Context, w *orderdb.Writer, tasks []*task) (map[uint32]orderdb.Marketplace, error) {
	found := map[uint32]orderdb.Marketplace{}
	var missing []uint32
	for _, t := range tasks {
		id := t.req.Marketplace
		if _, seen := found[id]; seen {
			continue
		}
		var known bool
		if found[id], known = p.markets[id]; !known {
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
			p.markets[id] = m
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
		return c, &order.Refusal{Rule: RuleFuture, Event: c.Event, State: o.State, Allowed: order.AllowedIn(o.State),
			Detail: fmt.Sprintf("it would take effect at %s, %s stands at %s",
				c.At.Format(time.RFC3339Nano), what, latest.Format(time.RFC3339Nano))}
	}
	return c, nil
}

type policyName struct {
	marketplace uint32
	name        string
}

// newOrder is an order as agreed, before its first event. policies are those
// that the transaction has looked up already.
func (p *Poster) newOrder(ctx context.Context, w *orderdb.Writer, m orderdb.Marketplace, a *Agreement, policies map[policyName]*order.Policy) (order.Order, error) {
	cur, ok := chart.ByCode(a.Currency)
	if !ok {
		return order.Order{}, &Invalid{"currency", "not an ISO 4217 currency"}
	}
	books, err := chart.Ledger(m.ID, cur)
	if err != nil {
		return order.Order{}, &Invalid{"currency", err.Error()}
	}
	name := a.Policy
	if name == "" {
		name = order.Standard().Name
	}
	policy, ok := policies[policyName{m.ID, name}]
	if !ok {
		policy, err = w.NewestPolicy(ctx, m.ID, name)
		if err != nil && !errors.Is(err, orderdb.ErrNotFound) {
			return order.Order{}, err
		}
		policies[policyName{m.ID, name}] = policy // nil: there is none
	}
	if policy == nil {
		return order.Order{}, &Invalid{"policy", "the marketplace has no such policy"}
	}
	fees, ok := policy.FeeFor(cur.Code)
	if !ok {
		return order.Order{}, &Invalid{"currency", "policy " + policy.Name + " has no fee for " + cur.Code}
	}
	id, err := orderdb.NewID()
	if err != nil {
		return order.Order{}, err
	}
	o := order.Order{Terms: order.Terms{
		ID: id, Marketplace: m.ID, Reference: a.Reference, Ledger: books, Buyer: a.Buyer, Seller: a.Seller,
		Amount: a.Amount, Policy: policy, ShipByDate: a.ShipByDate.UTC().Truncate(time.Microsecond),
	}}
	if a.ShipByDate.IsZero() {
		o.ShipByDate = time.Time{}
	}
	o.Fee, o.Tax = fees.On(a.Amount)
	return o, nil
}

// booksFor names the accounts of the whole ledger that an event may use.
func booksFor(o *order.Order, c *order.Command) []orderdb.AccountName {
	name := func(code chart.AccountCode, owner string) orderdb.AccountName {
		return orderdb.AccountName{Ledger: o.Ledger, Code: code, Owner: owner}
	}
	row, _ := order.Lookup(o.State, c.Event)
	switch row.Effect {
	case order.HoldPayment:
		if !order.PolicyWord(c.Method) {
			return nil // Plan refuses it
		}
		return []orderdb.AccountName{name(chart.PayinClearing, c.Method)}
	case order.Freeze:
		return []orderdb.AccountName{name(chart.DisputeSuspense, "")}
	case order.ReleaseAll, order.Split:
		return []orderdb.AccountName{name(chart.FeeRevenue, ""), name(chart.TaxPayable, "")}
	}
	return nil
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

func (p *Poster) plan(d *decision, f *draft) error {
	account := func(o *order.Order, code chart.AccountCode, owner string) ledger.ID {
		n := orderdb.AccountName{Ledger: o.Ledger, Code: code, Owner: owner}
		if id, ok := d.accounts[n]; ok {
			return id
		}
		return p.accounts[n]
	}
	for i := range f.orders {
		o := &f.orders[i]
		if f.task.req.Agreement != nil {
			o.BuyerAccount = account(o, chart.Buyer, o.Buyer)
			o.SellerAccount = account(o, chart.SellerPending, o.Seller)
			o.AgreedAt = f.cmds[i].At
		}
		f.cmds[i].Books = order.Books{
			Clearing: account(o, chart.PayinClearing, f.cmds[i].Method),
			Suspense: account(o, chart.DisputeSuspense, ""),
			Tax:      account(o, chart.TaxPayable, ""),
			Fee:      account(o, chart.FeeRevenue, ""),
		}
	}
	if f.task.req.Command.Event == order.Pay {
		return f.planPayment()
	}
	ch, err := order.Plan(f.orders[0], f.cmds[0])
	f.changes = []*order.Change{ch}
	return err
}

// planPayment checks the amount of a payment against all orders it covers.
func (f *draft) planPayment() (err error) {
	if paid := f.task.req.Command.Amount; len(f.orders) > 1 && paid != 0 {
		var agreed int64
		for i := range f.orders {
			agreed += f.orders[i].Amount
			f.cmds[i].Amount = 0
		}
		if agreed != paid {
			o := &f.orders[0]
			return &order.Refusal{Rule: order.RuleAmount, Event: order.Pay, State: o.State, Allowed: order.AllowedIn(o.State),
				Detail: fmt.Sprintf("%d was agreed for %d orders, %d was paid", agreed, len(f.orders), paid)}
		}
	}
	f.changes, err = order.PlanPayment(f.orders, f.cmds)
	return err
}

// storeOrders writes the orders that were agreed.
func (p *Poster) storeOrders(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) ([]*draft, error) {
	var fresh []order.Order
	for _, f := range drafts {
		if f.task.req.Agreement != nil {
			fresh = append(fresh, f.changes[0].After)
		}
	}
	if len(fresh) == 0 {
		return drafts, nil
	}
	done, err := w.InsertOrders(ctx, fresh)
	if err != nil {
		return nil, err
	}
	kept := drafts[:0]
	for _, f := range drafts {
		if f.task.req.Agreement != nil && !done[f.changes[0].After.ID] {
			d.refuse(f.task, &ReferenceTaken{f.task.req.Agreement.Reference})
			continue
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// storeIntents writes what is to happen, and with it the idempotency keys.
func (p *Poster) storeIntents(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) error {
	var intents []orderdb.Intent
	for _, f := range drafts {
		for i, ch := range f.changes {
			intents = append(intents, orderdb.Intent{
				ID: f.cmds[i].Intent, Chain: f.intent, Position: int16(i), Order: ch.After, Attempt: f.orders[i].Attempt,
				Event: ch.Event, Actor: f.cmds[i].By, Data: f.task.req.Data,
				Accounts: ch.Accounts, Legs: ch.Legs,
			})
		}
	}
	if len(intents) == 0 {
		return nil
	}
	if p.careful {
		return p.storeCarefully(ctx, w, d, drafts, intents)
	}
	var keys []orderdb.KeyUse
	for _, f := range drafts {
		keys = append(keys, f.key()...)
		f.finish(d)
	}
	err := w.Decide(ctx, intents, keys, batchOf(d.chains))
	if errors.Is(err, orderdb.ErrTaken) {
		return &decideAgain{careful: true}
	}
	return err
}

// storeCarefully is for when another process was faster, and finds out where.
func (p *Poster) storeCarefully(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft, intents []orderdb.Intent) error {
	done, err := w.InsertIntents(ctx, intents)
	if err != nil {
		return err
	}
	var keys []orderdb.KeyUse
	for _, f := range drafts {
		stored := 0
		for i := range f.changes {
			if done[f.cmds[i].Intent] {
				stored++
			}
		}
		switch {
		case stored == 0:
			if err := p.parkBusy(ctx, w, d, f); err != nil {
				return err
			}
			continue
		case stored < len(f.changes):
			// A part of the chain stands in this transaction: give all of it
			// up. The next one reads the orders that were in the way anew.
			return &decideAgain{park: f.task}
		}
		keys = append(keys, f.key()...)
		f.finish(d)
	}
	if len(d.chains) > 0 {
		if err := w.OpenBatch(ctx, batchOf(d.chains)); err != nil {
			return err
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ok, err := w.InsertKeys(ctx, keys)
	if err == nil && !ok {
		return &decideAgain{}
	}
	return err
}

// key is the use of the task's idempotency key, none without one.
func (f *draft) key() []orderdb.KeyUse {
	r := &f.task.req
	if r.Key == "" {
		return nil
	}
	return []orderdb.KeyUse{{Marketplace: r.Marketplace, Key: r.Key, Hash: r.Hash[:], Intent: f.intent}}
}

// finish puts a stored draft where it goes on: to the ledger, or, where no
// money moves, to its caller.
func (f *draft) finish(d *decision) {
	r := Result{Intent: f.intent}
	legs := 0
	for _, ch := range f.changes {
		r.Orders = append(r.Orders, ch.After)
		legs += len(ch.Legs)
	}
	if legs == 0 {
		for i := range f.changes {
			d.fresh = append(d.fresh, orderdb.Outcome{Intent: f.cmds[i].Intent, Marketplace: f.market.ID, Outcome: orderdb.Applied})
		}
		if f.task.req.Agreement != nil {
			d.made[f.intent] = true
		}
		d.replies = append(d.replies, reply{task: f.task, answer: Answer{Result: r}, now: r.Orders})
		return
	}
	c := &chain{id: f.intent, market: f.market.ID, task: f.task, result: r}
	for i, ch := range f.changes {
		c.add(f.cmds[i].Intent, ch.After.ID, ch.Accounts, ch.Legs)
	}
	d.chains = append(d.chains, c)
}

// parkBusy deals with a draft whose place in its order is taken: by an event
// in flight elsewhere, which passes, or by a frozen one, which does not.
func (p *Poster) parkBusy(ctx context.Context, w *orderdb.Writer, d *decision, f *draft) error {
	o := &f.changes[0].After
	blocker, err := w.Blocker(ctx, o.ID, o.Seq, f.orders[0].Attempt)
	if err != nil {
		return err
	}
	if blocker.Outcome == orderdb.Frozen {
		d.refuse(f.task, &Rejected{Intent: blocker.Intent, Reason: blocker.Reason, Frozen: true})
		return nil
	}
	d.parked = append(d.parked, f.task)
	return nil
}

// batch is what open_batches knows of chains decided together.
type batch struct {
	orderdb.Batch
	left int // chains without a recorded outcome; the recording stage counts
}

// batchOf makes a batch of chains, so that a redrive finds them.
func batchOf(chains []*chain) orderdb.Batch {
	b := &batch{left: len(chains)}
	for _, c := range chains {
		c.batch = b
		for _, n := range c.intents {
			if b.First.IsZero() || n.id.Cmp(b.First) < 0 {
				b.First = n.id
			}
			if n.id.Cmp(b.Last) > 0 {
				b.Last = n.id
			}
		}
	}
	return b.Batch
}
