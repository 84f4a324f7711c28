package posting

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/treasury"
)

// Rulings and policies by four eyes. The approval is an event of the entry that
// was proposed; what it brings about happens in the same breath, so that neither
// is ever there without the other and nothing is left to repair:
//
//	ruling  the order's event and the entry's are two intents of one chain:
//	        stored in one transaction, submitted as one, applied or rejected
//	        as one, redriven as one
//	policy  the version is added in the transaction that stores the approval
//
// If the order has moved on since the proposal so that the ruling is refused,
// the approval is refused with it, by the order's rule: the entry stays proposed
// until somebody rejects it or it expires.

// OrdersOf are the Orders of a request for an event of an entry with these
// terms: what is proposed of an order is planned on it, and happens to it when it
// is approved.
func OrdersOf(t *treasury.Terms, event treasury.Event) []ledger.ID {
	if t.Kind != treasury.Ruling || event != treasury.Propose && event != treasury.Approve {
		return nil
	}
	id, err := t.Order()
	if err != nil {
		return nil // its terms are refused
	}
	return []ledger.ID{id}
}

// loadRuling drafts the order's event that goes with an entry's, if there is
// one. The error says why it cannot be.
func (f *draft) loadRuling(now, deadlines time.Time) error {
	e := f.entry
	of := OrdersOf(&e.before.Terms, e.cmd.Event)
	if len(of) != len(f.orders) || len(of) > 0 && of[0] != f.orders[0].ID {
		return &Invalid{"orders", "must be the order that the ruling is about, and nothing else"}
	}
	e.cmd.Intent = f.intent
	if len(of) == 0 {
		return nil
	}
	o := &f.orders[0]
	if e.before.Ledger != o.Ledger {
		return &Invalid{"currency", "is not the order's"}
	}
	r, err := e.before.Ruling()
	if err != nil {
		return err
	}
	if e.cmd.Event == treasury.Propose {
		r.Bind(o.Claim)
		if e.before.Details, err = json.Marshal(r); err != nil {
			return err
		}
	} else if !r.Binds(o.Claim) {
		return &order.Refusal{Rule: order.RuleFourEyes, Event: order.Event(e.cmd.Event), State: order.State(e.before.State), Allowed: treasury.AllowedIn(&e.before),
			Detail: "the dispute is another one than when the ruling was proposed, or there was an appeal since: propose it anew"}
	}
	c := order.Command{Event: order.Rule, By: order.Operator, At: e.cmd.At, ToBuyer: r.ToBuyer, ToSeller: r.ToSeller, Return: r.Return, Replacement: r.Replacement, Reason: e.before.Reason, Approval: e.before.ID}
	if f.task.req.Entry.Command.At.IsZero() {
		c.At = time.Time{} // as for every event: never before the order's last
	}
	if c, err = command(o, c, now, deadlines); err != nil {
		return err
	}
	// The order's event is the chain's first: it moves the money.
	c.Intent, e.cmd.Intent = f.intent, orderdb.ChainMember(f.intent, 1)
	if e.cmd.Event == treasury.Propose {
		e.cmd.Intent = f.intent // it is planned, and does not happen yet
	}
	f.cmds = []order.Command{c}
	f.needs = append(f.needs, booksFor(o, &c)...)
	e.data, err = json.Marshal(map[string]string{"reason": e.before.Reason, "approval": e.before.ID.UUID(), "proposed_by": e.before.Maker, "approved_by": e.cmd.Person})
	return err
}

// unblocked returns the drafts but for the rulings whose order something else is
// happening to: it passes, or it is frozen and never does. Once a part of a draft
// is stored it is too late to tell, see storeEntries.
func (p *Poster) unblocked(ctx context.Context, w *orderdb.Writer, d *decision, list []*draft) (free []*draft, err error) {
	for _, f := range list {
		if len(f.changes) > 0 {
			id, seq, attempt := f.orders[0].ID, f.changes[0].After.Seq, f.orders[0].Attempt
			blocker, err := w.Blocker(ctx, id, seq, attempt)
			if err != nil {
				return nil, err
			}
			if !blocker.Intent.IsZero() {
				if err := p.parkBusy(ctx, w, d, f, id, seq, attempt); err != nil {
					return nil, err
				}
				continue
			}
		}
		free = append(free, f)
	}
	return free, nil
}

// storeRulings stores the orders' events that go with entries', and answers those
// whose place in their order was free.
func storeRulings(ctx context.Context, w *orderdb.Writer, list []*draft) (map[ledger.ID]bool, error) {
	var intents []orderdb.Intent
	for _, f := range list {
		for i, ch := range f.changes {
			f.entry.result = "the order is " + string(ch.After.State)
			intents = append(intents, orderdb.Intent{
				ID: f.cmds[i].Intent, Chain: f.intent, Position: int16(i), Order: &ch.After, Attempt: f.orders[i].Attempt,
				Event: ch.Event, Actor: f.cmds[i].By, Data: f.entry.data,
				Accounts: ch.Accounts, Legs: ch.Legs, DeadlineSet: ch.SetsDeadline(),
			})
		}
	}
	if len(intents) == 0 {
		return nil, nil
	}
	return w.InsertIntents(ctx, intents)
}

// addPolicies adds the policies that are approved. One whose approval then turns
// out to have been stored by another process goes with its transaction.
func addPolicies(ctx context.Context, w *orderdb.Writer, list []*draft) error {
	for _, f := range list {
		if f.entry.policy == nil {
			continue
		}
		p, err := w.AddPolicy(ctx, f.market.ID, *f.entry.policy)
		if err != nil {
			return err
		}
		f.entry.result = fmt.Sprintf("policy %s version %d", p.Name, p.Version)
	}
	return nil
}

// readPolicy reads the policy that an approval adds. It was valid when it was
// proposed, by the rules of the program that it was proposed to.
func (e *entryDraft) readPolicy() error {
	if e.before.Kind != treasury.Policy || e.cmd.Event != treasury.Approve {
		return nil
	}
	p, err := e.before.PolicyDocument()
	if err != nil {
		return &order.Refusal{Rule: order.RulePolicy, Event: order.Event(e.cmd.Event), State: order.State(e.before.State), Allowed: treasury.AllowedIn(&e.before),
			Detail: "the policy is not valid any more: " + err.Error()}
	}
	e.policy = &p
	return nil
}
