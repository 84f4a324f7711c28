package posting

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/treasury"
)

// Entries go the same way as orders: decided in the transaction that stores the
// intent, given to the ledger, recorded. They are few, so nothing of them is
// remembered, and each is read when it is decided.

// MaxDetails is how many bytes an entry's details can have, and MaxPolicy how
// many a policy's document.
const (
	MaxDetails = 4096
	MaxPolicy  = 16_000
)

// about are the orders that a request is about, or its entry.
func (r *Request) about() []ledger.ID {
	if r.Entry != nil && r.Entry.New == nil {
		return append([]ledger.ID{r.Entry.ID}, r.Orders...)
	}
	return r.Orders
}

// check refuses what no entry needs to be looked at for.
func (r *EntryRequest) check() error {
	optional := func(field, s string) error {
		if s == "" {
			return nil
		}
		return text(field, s, MaxReference)
	}
	c := &r.Command
	for _, f := range []struct{ name, value string }{{"person", c.Person}, {"party", c.Party}, {"note", c.Note}} {
		if err := optional(f.name, f.value); err != nil {
			return err
		}
	}
	t := r.New
	if t == nil {
		return nil
	}
	for _, f := range []struct{ name, value string }{
		{"reference", t.Reference}, {"party", t.Party}, {"reason", t.Reason}, {"person", t.Maker},
		{"debit", t.Debit.Owner}, {"credit", t.Credit.Owner},
	} {
		if err := optional(f.name, f.value); err != nil {
			return err
		}
	}
	most := MaxDetails
	if t.Kind == treasury.Policy {
		most = MaxPolicy
	}
	if len(t.Details) > most {
		return &Invalid{"details", fmt.Sprintf("longer than %d bytes", most)}
	}
	if market, _, ok := chart.SplitLedger(t.Ledger); t.Kind.InLedger() && (!ok || market == 0) {
		return &Invalid{"currency", "not an ISO 4217 currency"}
	}
	if field, detail := t.Check(); field != "" {
		return &Invalid{field, detail}
	}
	return nil
}

// entryDraft is an entry's part of a draft.
type entryDraft struct {
	before treasury.Entry
	cmd    treasury.Command
	needs  []treasury.Place
	change *treasury.Change
	data   []byte        // of the order's event that goes with it, for its timeline
	policy *order.Policy // that it adds
	result string        // see treasury.Said
}

// entryFacts are what is read for the entries of a batch: a question each,
// however many they are, and none where there are no entries.
type entryFacts struct {
	entries map[ledger.ID]treasury.Entry
	payees  map[orderdb.PayeeName]orderdb.PayoutStanding
}

func readEntryFacts(ctx context.Context, w *orderdb.Writer, tasks []*task) (facts entryFacts, err error) {
	var ids []ledger.ID
	var sellers []orderdb.PayeeName
	for _, t := range tasks {
		switch r := t.req.Entry; {
		case r == nil:
		case r.New == nil:
			ids = append(ids, r.ID)
		case r.New.Kind == treasury.Payout:
			sellers = append(sellers, orderdb.PayeeName{Marketplace: t.req.Marketplace, Seller: r.New.Party})
		}
	}
	if len(ids) > 0 {
		if facts.entries, err = w.LoadEntries(ctx, ids); err != nil {
			return facts, err
		}
	}
	if len(sellers) > 0 {
		facts.payees, err = w.PayoutStandings(ctx, sellers)
	}
	return facts, err
}

// loadEntry takes or makes the entry of a task and drafts its command. refused
// says why it cannot be.
func (f *draft) loadEntry(facts *entryFacts, now, deadlines time.Time) (refused, err error) {
	r := f.task.req.Entry
	e := &entryDraft{cmd: r.Command}
	c := &e.cmd
	c.Intent = f.intent
	if c.By == "" {
		c.By = order.Operator
	}
	if r.New != nil {
		if market, _, _ := chart.SplitLedger(r.New.Ledger); r.New.Kind.InLedger() && market != f.market.ID {
			return &Invalid{"currency", "not a ledger of this marketplace"}, nil
		}
		e.before.Terms = *r.New
		if e.before.ID, err = orderdb.NewID(); err != nil {
			return nil, err
		}
		c.Event = r.New.First()
	} else {
		var ok bool
		if e.before, ok = facts.entries[r.ID]; !ok || e.before.Marketplace != f.market.ID {
			return ErrNotFound, nil
		}
	}
	latest := now
	switch c.At = c.At.UTC().Truncate(time.Microsecond); {
	case c.At.IsZero():
		if c.At = now; c.At.Before(e.before.At) { // two machines' clocks differ
			c.At = e.before.At
		}
	case c.By == order.System:
		latest = deadlines
		fallthrough
	default:
		if c.At.After(latest) {
			return &order.Refusal{Rule: RuleFuture, Event: order.Event(c.Event), State: order.State(e.before.State), Allowed: treasury.AllowedIn(&e.before),
				Detail: fmt.Sprintf("it would take effect at %s, the marketplace's clock stands at %s", c.At.Format(time.RFC3339Nano), latest.Format(time.RFC3339Nano))}, nil
		}
	}
	if r.New != nil {
		e.before.Marketplace, e.before.MadeAt = f.market.ID, c.At
	}
	if e.before.Kind == treasury.Payout && c.Event == treasury.Send {
		st := facts.payees[orderdb.PayeeName{Marketplace: f.market.ID, Seller: e.before.Party}]
		c.Verified, c.Blocked = st.Verified, st.Blocked
		if e.before.Details, err = json.Marshal(map[string]string{"bank_details": st.Verified.UUID()}); err != nil {
			return nil, err
		}
	}
	e.needs = treasury.Needs(&e.before, c)
	for _, a := range e.needs {
		f.needs = append(f.needs, orderdb.AccountName{Ledger: a.Ledger, Code: a.Code, Owner: a.Owner})
	}
	f.entry = e
	return nil, nil
}

func (e *entryDraft) plan(account func(orderdb.AccountName) ledger.ID) (err error) {
	e.cmd.Accounts = make(map[treasury.Place]ledger.ID, len(e.needs))
	for _, a := range e.needs {
		e.cmd.Accounts[a] = account(orderdb.AccountName{Ledger: a.Ledger, Code: a.Code, Owner: a.Owner})
	}
	if e.change, err = treasury.Plan(e.before, e.cmd); err != nil {
		return err
	}
	return e.readPolicy()
}

// storeEntries writes the entries that are made, the intents of all of them and
// their keys, and puts them where they go on. It returns the drafts that are
// orders'.
func (p *Poster) storeEntries(ctx context.Context, w *orderdb.Writer, d *decision, drafts []*draft) (rest []*draft, err error) {
	var list []*draft
	for _, f := range drafts {
		if f.entry == nil {
			rest = append(rest, f)
		} else {
			list = append(list, f)
		}
	}
	if len(list) == 0 {
		return drafts, nil
	}
	if list, err = p.insertEntries(ctx, w, d, list); err != nil || len(list) == 0 {
		return rest, err
	}
	if list, err = p.unblocked(ctx, w, d, list); err != nil || len(list) == 0 {
		return rest, err
	}
	if err := addPolicies(ctx, w, list); err != nil {
		return nil, err
	}
	ruled, err := storeRulings(ctx, w, list)
	if err != nil {
		return nil, err
	}
	intents := make([]orderdb.EntryIntent, len(list))
	for i, f := range list {
		e := f.entry
		intents[i] = orderdb.EntryIntent{ID: e.cmd.Intent, Chain: f.intent, Position: int16(len(f.changes)),
			Entry: e.change.After, Attempt: e.before.Attempt, Event: e.cmd.Event, Actor: e.cmd.By,
			Said:     treasury.Said{Person: e.cmd.Person, Note: e.cmd.Note, Digest: e.cmd.Digest, Result: e.result},
			Accounts: e.change.Accounts, Legs: e.change.Legs}
	}
	done, err := w.InsertEntryIntents(ctx, intents)
	if err != nil {
		return nil, err
	}
	var keys []orderdb.KeyUse
	for _, f := range list {
		stored := done[f.entry.cmd.Intent]
		if len(f.changes) > 0 && ruled[f.cmds[0].Intent] != stored || !stored && f.entry.policy != nil {
			// A part of it stands in this transaction: give all of it up.
			return nil, &decideAgain{park: f.task}
		}
		if !stored {
			if err := p.parkBusy(ctx, w, d, f, f.entry.before.ID, f.entry.change.After.Seq, f.entry.before.Attempt); err != nil {
				return nil, err
			}
			continue
		}
		keys = append(keys, f.key()...)
		f.finishEntry(d)
	}
	if len(keys) == 0 {
		return rest, nil
	}
	ok, err := w.InsertKeys(ctx, keys)
	if err == nil && !ok {
		return nil, &decideAgain{careful: true}
	}
	return rest, err
}

// insertEntries writes the entries that are made and returns the drafts whose
// reference was not taken.
func (p *Poster) insertEntries(ctx context.Context, w *orderdb.Writer, d *decision, list []*draft) (kept []*draft, err error) {
	var fresh []treasury.Terms
	for _, f := range list {
		if f.task.req.Entry.New != nil {
			fresh = append(fresh, f.entry.before.Terms)
		}
	}
	if len(fresh) == 0 {
		return list, nil
	}
	done, err := w.InsertEntries(ctx, fresh)
	if err != nil {
		return nil, err
	}
	for _, f := range list {
		if f.task.req.Entry.New != nil && !done[f.entry.before.ID] {
			d.refuseDraft(f, &ReferenceTaken{f.entry.before.Reference})
			continue
		}
		kept = append(kept, f)
	}
	return kept, nil
}

// finishEntry puts a stored draft where it goes on, see finish.
func (f *draft) finishEntry(d *decision) {
	e := f.entry
	r := Result{Intent: f.intent, Entry: &e.change.After}
	// The order's event first: the chain's first intent has its first leg.
	c := &chain{id: f.intent, market: f.market.ID, task: f.task}
	for i, ch := range f.changes {
		r.Orders = append(r.Orders, ch.After)
		c.add(f.cmds[i].Intent, ch.After.ID, ch.Accounts, ch.Legs)
	}
	c.add(e.cmd.Intent, e.before.ID, e.change.Accounts, e.change.Legs)
	c.intents[len(f.changes)].entry = true
	c.result = r
	if c.legs > 0 {
		d.chains = append(d.chains, c)
		return
	}
	for _, n := range c.intents {
		d.fresh = append(d.fresh, orderdb.Outcome{Intent: n.id, Marketplace: f.market.ID, Outcome: orderdb.Applied})
	}
	d.entries[e.cmd.Intent] = true
	d.replies = append(d.replies, reply{task: f.task, answer: Answer{Result: r}, now: slices.Clone(r.Orders)})
}
