package posting

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/orderdb"
)

// chain is one linked chain of transfers: all legs of its intents, or none.
type chain struct {
	id      ledger.ID
	market  uint32
	intents []part
	legs    int
	batch   *batch // nil for a redrive, which looks for batches itself
	task    *task  // who waits for it, nil for a redrive
	result  Result // what task hears when it is applied
	redrive *task  // the redrive that drives it, nil for none

	kind   orderdb.OutcomeKind
	reason string
	moved  bool // it was recorded here that the orders stand as in result
}

// part is one intent of a chain.
type part struct {
	id, order ledger.ID
	entry     bool // order is an entry's id
	accounts  []ledger.Account
	legs      []ledger.Transfer
	timestamp uint64 // of the first leg, once applied
}

func (c *chain) add(id, order ledger.ID, accounts []ledger.Account, legs []ledger.Transfer) {
	c.intents = append(c.intents, part{id: id, order: order, accounts: accounts, legs: legs})
	c.legs += len(legs)
}

// chainsOf puts unfinished intents, sorted by chain, back together.
func chainsOf(intents []orderdb.OpenIntent) []*chain {
	var list []*chain
	for _, n := range intents {
		if len(list) == 0 || list[len(list)-1].id != n.Chain {
			list = append(list, &chain{id: n.Chain, market: n.Marketplace})
		}
		c := list[len(list)-1]
		c.add(n.ID, n.Order, n.Accounts, n.Legs)
		c.intents[len(c.intents)-1].entry = n.Entry
	}
	return list
}

func (c *chain) outcomes() []orderdb.Outcome {
	list := make([]orderdb.Outcome, len(c.intents))
	for i, n := range c.intents {
		list[i] = orderdb.Outcome{Intent: n.id, Marketplace: c.market, Outcome: c.kind, Reason: c.reason, LedgerTimestamp: n.timestamp}
	}
	return list
}

func (c *chain) answer() Answer {
	if c.kind != orderdb.Applied {
		return Answer{Err: &Rejected{Intent: c.id, Reason: c.reason, Frozen: c.kind == orderdb.Frozen}}
	}
	r := c.result
	r.Orders = slices.Clone(r.Orders) // the caller may change them, and they are remembered
	r.LedgerTimestamp = c.intents[0].timestamp
	return Answer{Result: r}
}

func (c *chain) reply(a Answer) {
	if c.task != nil {
		c.task.reply(a)
	}
	if t := c.redrive; t != nil && t.left.Add(-1) == 0 {
		t.reply(Answer{}) // the redrive has found out; what it found is recorded
	}
}

// ledgerStage is the stage that talks to the ledger: a batch at a time, until
// the outcome of every chain is known.
func (p *Poster) ledgerStage() {
	for {
		var chains []*chain
		select {
		case chains = <-p.submit:
		case <-p.ctx.Done():
			return
		}
		began := time.Now()
		err := p.drive(chains)
		p.m.worked(ledgerStage, began)
		if err != nil { // shutting down: a redrive will find out
			p.leaveToRedrive(chains)
			return
		}
		select {
		case p.results <- chains:
		case <-p.ctx.Done():
			p.leaveToRedrive(chains)
			return
		}
	}
}

// drive gives chains to the ledger and sets their outcomes.
func (p *Poster) drive(chains []*chain) error {
	accounts := p.newAccounts(chains)
	if done, err := p.openAndTransfer(accounts, chains); done || err != nil {
		return err
	}
	refused, err := p.createAccounts(accounts)
	if err != nil {
		return err
	}
	var batch []*chain
	legs := 0
	flush := func() error {
		err := p.createTransfers(batch)
		batch, legs = batch[:0], 0
		return err
	}
	for _, c := range chains {
		if reason := c.refusedAccount(refused); reason != "" {
			c.kind, c.reason = orderdb.Frozen, reason
			continue
		}
		if legs+c.legs > ledger.BatchMax { // a chain is never split
			if err := flush(); err != nil {
				return err
			}
		}
		batch, legs = append(batch, c), legs+c.legs
	}
	if len(batch) == 0 {
		return nil
	}
	return flush()
}

// newAccounts are the accounts that the chains may use and the ledger may not
// have.
func (p *Poster) newAccounts(chains []*chain) (list []ledger.Account) {
	asked := map[ledger.ID]bool{}
	for _, c := range chains {
		for _, n := range c.intents {
			for _, a := range n.accounts {
				if _, ok := p.known[a.ID]; !ok && !asked[a.ID] {
					asked[a.ID] = true
					list = append(list, a)
				}
			}
		}
	}
	return list
}

// openAndTransfer saves a trip to the disk where the ledger can make accounts
// and transfers in one request. It reports whether the chains are through: not
// if the ledger cannot, if they are too many, or if an account was refused.
func (p *Poster) openAndTransfer(accounts []ledger.Account, chains []*chain) (done bool, err error) {
	opener, ok := p.engine.(ledger.Opener)
	legs := legsOf(chains)
	if !ok || len(accounts) == 0 || len(accounts) > ledger.BatchMax || len(legs) > ledger.BatchMax {
		return false, nil
	}
	var opened []ledger.AccountResult
	var results []ledger.TransferResult
	err = p.untilKnown("create_transfers", len(legs), func(ctx context.Context) (err error) {
		opened, results, err = opener.OpenAndTransfer(ctx, accounts, legs)
		if err == nil && (len(opened) != len(accounts) || results != nil && len(results) != len(legs)) {
			err = fmt.Errorf("the ledger answered %d of %d accounts, %d of %d transfers", len(opened), len(accounts), len(results), len(legs))
		}
		return err
	})
	if err != nil || results == nil {
		return false, err
	}
	p.refusedOf(accounts, opened)
	return true, p.settle(chains, results)
}

// createAccounts makes accounts. It answers those that the ledger refused, and
// why: that only happens when it holds another account under the id.
func (p *Poster) createAccounts(list []ledger.Account) (map[ledger.ID]string, error) {
	refused := map[ledger.ID]string{}
	for batch := range slices.Chunk(list, ledger.BatchMax) {
		var results []ledger.AccountResult
		err := p.untilKnown("create_accounts", len(batch), func(ctx context.Context) (err error) {
			results, err = p.engine.CreateAccounts(ctx, batch)
			if err == nil && len(results) != len(batch) {
				err = fmt.Errorf("the ledger answered %d of %d accounts", len(results), len(batch))
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(refused, p.refusedOf(batch, results))
	}
	return refused, nil
}

// refusedOf reads what the ledger answered to new accounts.
func (p *Poster) refusedOf(accounts []ledger.Account, results []ledger.AccountResult) map[ledger.ID]string {
	refused := map[ledger.ID]string{}
	for i, r := range results {
		switch {
		case !r.Status.Stands():
			refused[accounts[i].ID] = "account: " + r.Status.String()
		case accounts[i].Code != uint16(chart.Escrow): // an escrow account is made once and not asked for again
			p.remember(accounts[i].ID)
		}
	}
	return refused
}

// remember keeps the set of known accounts from growing without bound;
// forgetting one only costs asking for it again.
func (p *Poster) remember(id ledger.ID) {
	const most = 1 << 18
	if len(p.known) >= most {
		clear(p.known)
	}
	p.known[id] = struct{}{}
}

func (c *chain) refusedAccount(refused map[ledger.ID]string) string {
	if len(refused) == 0 {
		return ""
	}
	for _, n := range c.intents {
		for _, a := range n.accounts {
			if reason, ok := refused[a.ID]; ok {
				return reason
			}
		}
	}
	return ""
}

func legsOf(chains []*chain) (legs []ledger.Transfer) {
	for _, c := range chains {
		for _, n := range c.intents {
			legs = append(legs, n.legs...)
		}
	}
	return legs
}

func (p *Poster) createTransfers(chains []*chain) error {
	if len(chains) == 0 {
		return nil
	}
	legs := legsOf(chains)
	var results []ledger.TransferResult
	err := p.untilKnown("create_transfers", len(legs), func(ctx context.Context) (err error) {
		results, err = p.engine.CreateTransfers(ctx, legs)
		if err == nil && len(results) != len(legs) {
			err = fmt.Errorf("the ledger answered %d of %d transfers", len(results), len(legs))
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.settle(chains, results)
}

// settle sets the outcome of each chain by what the ledger answered to its
// legs.
func (p *Poster) settle(chains []*chain, results []ledger.TransferResult) error {
	var stood []*chain
	at := 0
	for _, c := range chains {
		if c.classify(results[at : at+c.legs]) {
			stood = append(stood, c)
		}
		at += c.legs
	}
	return p.confirm(stood)
}

// classify reads what the ledger answered to a chain. It reports whether the
// chain stood in the ledger before: then only the first answer tells
// anything, see confirm.
func (c *chain) classify(results []ledger.TransferResult) (stood bool) {
	switch results[0].Status {
	case ledger.TransferCreated:
		c.kind = orderdb.Applied
		at := 0
		for i := range c.intents {
			if n := &c.intents[i]; len(n.legs) > 0 {
				n.timestamp = results[at].Timestamp
				at += len(n.legs)
			}
		}
		return false
	case ledger.TransferExists:
		c.kind = orderdb.Applied
		return true
	}
	// The first reason is the one that broke the chain; the others only say
	// that it was broken.
	c.kind, c.reason = orderdb.Rejected, ledger.TransferLinkedEventFailed.String()
	for _, r := range results {
		if r.Status == ledger.TransferLinkedEventFailed {
			continue
		}
		c.reason = r.Status.String()
		if existsDifferently(r.Status) {
			c.kind = orderdb.Frozen
		}
		break
	}
	return false
}

func existsDifferently(s ledger.TransferStatus) bool {
	switch s {
	case ledger.TransferExistsWithDifferentFlags, ledger.TransferExistsWithDifferentPendingID,
		ledger.TransferExistsWithDifferentTimeout, ledger.TransferExistsWithDifferentDebitAccountID,
		ledger.TransferExistsWithDifferentCreditAccountID, ledger.TransferExistsWithDifferentAmount,
		ledger.TransferExistsWithDifferentUserData128, ledger.TransferExistsWithDifferentUserData64,
		ledger.TransferExistsWithDifferentUserData32, ledger.TransferExistsWithDifferentLedger,
		ledger.TransferExistsWithDifferentCode:
		return true
	}
	return false
}

// confirm looks the legs of chains up that stood in the ledger before: for
// their timestamps, and because a chain of which only a part stands would
// mean that the ledger has broken its word.
func (p *Poster) confirm(chains []*chain) error {
	var ids []ledger.ID
	for _, c := range chains {
		for _, n := range c.intents {
			for _, l := range n.legs {
				ids = append(ids, l.ID)
			}
		}
	}
	found := map[ledger.ID]uint64{}
	for batch := range slices.Chunk(ids, ledger.BatchMax) {
		err := p.untilKnown("lookup_transfers", len(batch), func(ctx context.Context) error {
			list, err := p.engine.LookupTransfers(ctx, batch)
			for _, t := range list {
				found[t.ID] = t.Timestamp
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	for _, c := range chains {
		for i := range c.intents {
			n := &c.intents[i]
			for _, l := range n.legs {
				if found[l.ID] == 0 {
					c.kind, c.reason = orderdb.Frozen, "a part of the chain is missing in the ledger"
				}
			}
			if len(n.legs) > 0 {
				n.timestamp = found[n.legs[0].ID]
			}
		}
		if c.kind == orderdb.Frozen {
			for i := range c.intents {
				c.intents[i].timestamp = 0
			}
		}
	}
	return nil
}

// untilKnown repeats a request to the ledger until it is answered. The same
// ids make repeating harmless. It ends early only when the Poster gives up.
func (p *Poster) untilKnown(request string, events int, call func(context.Context) error) error {
	wait := 20 * time.Millisecond
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(p.ctx, p.opts.LedgerTimeout)
		began := time.Now()
		err := call(ctx)
		cancel()
		if err == nil {
			p.m.ledgerRequest(request, events, time.Since(began))
			p.m.ledgerDown.Set(0)
			return nil
		}
		if p.ctx.Err() != nil {
			return errors.Join(p.ctx.Err(), err)
		}
		p.m.ledgerDown.Set(1)
		p.m.ledgerErrors.Inc()
		p.log.Warn("the ledger did not answer; sending the same again", "request", request, "events", events, "try", try, "error", err)
		select {
		case <-time.After(wait):
		case <-p.ctx.Done():
			return errors.Join(p.ctx.Err(), err)
		}
		wait = min(2*wait, 2*time.Second)
	}
}
