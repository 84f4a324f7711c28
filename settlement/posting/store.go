package posting

import (
	"context"
	"errors"
	"slices"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
)

// storeOrders writes the orders that were agreed.
func (p *Poster) storeOrders(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) ([]*draft, error) {
	var fresh []*order.Order
	for _, f := range drafts {
		if f.task.req.Agreement != nil {
			fresh = append(fresh, &f.changes[0].After)
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
			d.refuseDraft(f, &ReferenceTaken{f.task.req.Agreement.Reference})
			continue
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// storeIntents writes what is to happen, and with it the idempotency keys.
func (p *Poster) storeIntents(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) error {
	intents := make([]orderdb.Intent, 0, len(drafts))
	for _, f := range drafts {
		said, err := f.task.req.said()
		if err != nil {
			return err
		}
		for i, ch := range f.changes {
			intents = append(intents, orderdb.Intent{
				ID: f.cmds[i].Intent, Chain: f.intent, Position: int16(i), Order: &ch.After, Attempt: f.orders[i].Attempt,
				Event: ch.Event, Actor: f.cmds[i].By, Data: said,
				Accounts: ch.Accounts, Legs: ch.Legs, DeadlineSet: ch.SetsDeadline(),
			})
		}
	}
	if len(intents) == 0 {
		if len(d.chains) == 0 {
			return nil
		}
		return w.OpenBatch(ctx, batchOf(d.chains)) // of entries
	}
	if p.careful {
		return p.storeCarefully(ctx, w, d, drafts, intents)
	}
	keys := make([]orderdb.KeyUse, 0, len(drafts))
	for _, f := range drafts {
		keys = append(keys, f.key()...)
		f.finish(d)
	}
	err := w.Decide(ctx, intents, keys, batchOf(d.chains), len(d.fresh) == 0)
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
			if err := p.parkBusy(ctx, w, d, f, f.changes[0].After.ID, f.changes[0].After.Seq, f.orders[0].Attempt); err != nil {
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
	r := Result{Intent: f.intent, Orders: make([]order.Order, 0, len(f.changes))}
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
		d.replies = append(d.replies, reply{task: f.task, answer: Answer{Result: r}, now: slices.Clone(r.Orders)})
		return
	}
	c := &chain{id: f.intent, market: f.market.ID, task: f.task, result: r}
	for i, ch := range f.changes {
		c.add(f.cmds[i].Intent, ch.After.ID, ch.Accounts, ch.Legs)
	}
	d.chains = append(d.chains, c)
}

// parkBusy deals with a draft whose place in its order, or entry, is taken: by
// an event in flight elsewhere, which passes, or by a frozen one, which does not.
func (p *Poster) parkBusy(ctx context.Context, w *orderdb.Writer, d *decision, f *draft, id ledger.ID, seq int32, attempt int16) error {
	blocker, err := w.Blocker(ctx, id, seq, attempt)
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
