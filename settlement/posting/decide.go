package posting

import (
	"context"
	"fmt"
	"slices"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/treasury"
)

// decision is what one transaction decided. Every task of its batch is in
// exactly one of replies, again, parked and (as its chain's) chains. None of it
// holds before the transaction is committed.
type decision struct {
	chains   []*chain           // for the ledger
	fresh    []orderdb.Outcome  // applied without the ledger: no money moves
	made     map[ledger.ID]bool // of fresh, those that made their order
	entries  map[ledger.ID]bool // of fresh, those that are entries'
	replies  []reply
	again    []*task // refused, but perhaps wrongly: to be decided from the database
	parked   []*task // their order is busy in another process
	accounts map[orderdb.AccountName]ledger.ID
	books    map[orderdb.AccountName]*order.Books // by the clearing account
}

type reply struct {
	task   *task
	answer Answer
	now    []order.Order // as they stand now, where that is certain; not the answer's own
}

func (d *decision) refuse(t *task, err error) {
	d.replies = append(d.replies, reply{task: t, answer: Answer{Err: err}})
}

// refuseDraft refuses a task; but at first only to look again, if that came of
// an order as memory has it, or if it has a key: what refuses it may be the same
// request, that another process did after the key was looked for here.
func (d *decision) refuseDraft(f *draft, err error) {
	if f.memory || f.task.req.Key != "" && !f.task.careful {
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
	entry   *entryDraft           // instead of orders, cmds and changes; of a ruling, beside them
	// takenFrom is the account that the provider takes a chargeback from.
	takenFrom ledger.ID
}

// decide looks at every task of a batch in the transaction and stores the
// intents. Which orders a batch touches is disjoint, see pick.
func (p *Poster) decide(ctx context.Context, w *orderdb.Writer, batch []*task) (*decision, error) {
	d := &decision{accounts: map[orderdb.AccountName]ledger.ID{}, books: map[orderdb.AccountName]*order.Books{}, made: map[ledger.ID]bool{}, entries: map[ledger.ID]bool{}}
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
	if planned, err = p.storeEntries(ctx, w, d, planned); err != nil {
		return nil, err
	}
	return d, p.storeIntents(ctx, w, d, planned)
}

// answerReplays answers the tasks whose idempotency key was used before and
// returns the others.
func (p *Poster) answerReplays(ctx context.Context, w *orderdb.Writer, d *decision, batch []*task) ([]*task, error) {
	var names []orderdb.KeyName
	for _, t := range batch {
		if t.req.Key != "" && (!t.newKey || t.careful || p.careful) {
			names = append(names, t.key())
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
		use, ok := uses[t.key()]
		switch {
		case t.req.Key == "" || !ok:
			rest = append(rest, t)
		case string(use.Hash) != string(t.req.Hash[:]):
			d.refuse(t, ErrKeyReused)
		default:
			replays, chains = append(replays, t), append(chains, use.Intent)
		}
	}
	entries := slices.ContainsFunc(replays, func(t *task) bool { return t.req.Entry != nil })
	recorded, err := chainsByID(ctx, w, chains, entries)
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

// chainsByID reads chains, their orders' intents before their entries'; entries
// says that there are some of those among them.
func chainsByID(ctx context.Context, w *orderdb.Writer, chains []ledger.ID, entries bool) (map[ledger.ID][]orderdb.Recorded, error) {
	found := map[ledger.ID][]orderdb.Recorded{}
	if len(chains) == 0 {
		return found, nil
	}
	list, err := w.Chains(ctx, chains)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		found[r.Chain] = append(found[r.Chain], r)
	}
	if !entries {
		return found, nil
	}
	list, err = w.EntryChains(ctx, chains)
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
		if rec.Entry != nil {
			r.Entry = rec.Entry
			continue
		}
		r.Orders = append(r.Orders, rec.Order)
	}
	return Answer{Result: r}
}

func (p *Poster) plan(d *decision, f *draft) error {
	account := func(n orderdb.AccountName) ledger.ID {
		if id, ok := d.accounts[n]; ok {
			return id
		}
		return p.accounts[n]
	}
	// The books of one ledger and method are the same for all orders of a batch.
	books := func(in uint32, method string) *order.Books {
		clearing := orderdb.AccountName{Ledger: in, Code: chart.PayinClearing, Owner: method}
		known := d.books[clearing]
		if known == nil {
			of := func(code chart.AccountCode) ledger.ID { return account(orderdb.AccountName{Ledger: in, Code: code}) }
			known = &order.Books{Clearing: account(clearing), Suspense: of(chart.DisputeSuspense), Collection: of(chart.SellerCollection),
				Receivable: of(chart.ChargebackReceivable), Loss: of(chart.ChargebackLoss), Tax: of(chart.TaxPayable), Fee: of(chart.FeeRevenue),
				Position: of(chart.FXPosition), Spread: of(chart.FXSpread)}
			d.books[clearing] = known
		}
		return known
	}
	if f.entry != nil {
		if err := f.entry.plan(account); err != nil || len(f.orders) == 0 {
			return err
		}
	}
	for i := range f.orders {
		o := &f.orders[i]
		if f.task.req.Agreement != nil {
			o.BuyerAccount = account(orderdb.AccountName{Ledger: o.Ledger, Code: chart.Buyer, Owner: o.Buyer})
			o.SellerAccount = account(orderdb.AccountName{Ledger: o.Ledger, Code: chart.SellerPending, Owner: o.Seller})
			o.AgreedAt = f.cmds[i].At
		}
		c := &f.cmds[i]
		c.Books = books(o.Ledger, c.Method)
		if c.FX != (order.FX{}) {
			paid, err := c.FX.Ledger(o.Marketplace)
			if err != nil {
				return &Invalid{"fx/currency", err.Error()}
			}
			c.PaidBooks = books(paid, c.Method)
		}
		if takesPayment(o, c) { // from where it came in, whichever ledger that is of
			c.Books, c.PaidBooks = takenFrom(c.Books, f.takenFrom), takenFrom(c.PaidBooks, f.takenFrom)
		}
	}
	if f.task.req.Command.Event == order.Pay {
		return f.planPayment()
	}
	ch, err := order.Plan(f.orders[0], f.cmds[0])
	if f.entry != nil && f.entry.cmd.Event == treasury.Propose {
		return err // it could be done, and is done when it is approved
	}
	f.changes = []*order.Change{ch}
	return err
}

// takenFrom are books whose clearing account is another.
func takenFrom(b *order.Books, clearing ledger.ID) *order.Books {
	var other order.Books
	if b != nil {
		other = *b
	}
	other.Clearing = clearing
	return &other
}

// planPayment checks the amount of a payment against what all orders that it
// covers come to.
func (f *draft) planPayment() (err error) {
	paid := f.task.req.Command.Amount
	if len(f.orders) == 1 {
		paid = 0 // Plan looks at it
	}
	if paid != 0 {
		for i := range f.cmds {
			f.cmds[i].Amount = 0
		}
	}
	if f.changes, err = order.PlanPayment(f.orders, f.cmds); err != nil || paid == 0 {
		return err
	}
	var due int64
	for _, ch := range f.changes {
		due += ch.After.Held
	}
	if due != paid {
		o := &f.orders[0]
		return &order.Refusal{Rule: order.RuleAmount, Event: order.Pay, State: o.State, Allowed: o.Allowed(),
			Detail: fmt.Sprintf("%d is to be paid for %d orders, %d was paid", due, len(f.orders), paid)}
	}
	return nil
}
