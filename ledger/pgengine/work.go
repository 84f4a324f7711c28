package pgengine

import (
	"cmp"
	"fmt"
	"slices"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

// work is the part of the books that one batch can touch, in memory: it is
// loaded, the rules change it, and what differs from Postgres is written back.
//
// An id that was not loaded is unknown, which is not the same as absent. Were
// the rules ever to ask for one, the answer "absent" could let a payment
// through twice; so work remembers the question and the batch is given up.
type work struct {
	accounts  map[ledger.ID]*accountEntry
	transfers map[ledger.ID]*transferEntry
	taken     map[uint64]bool // timestamps asked for; nil when the batch imports nothing
	expiring  []ledger.Transfer
	newest    rules.Newest
	fault     error
}

type accountEntry struct {
	now, was       ledger.Account
	exists, stored bool // in the books as the rules see them; in Postgres
}

type transferEntry struct {
	transfer            ledger.Transfer
	exists, stored      bool
	pending, wasPending rules.PendingState
	burned, wasBurned   bool
}

var _ rules.Store = (*work)(nil)

func (w *work) missed(kind string, id ledger.ID) {
	if w.fault == nil {
		w.fault = fmt.Errorf("the rules asked for %s %s, which was not loaded for this batch", kind, id.UUID())
	}
}

func (w *work) account(id ledger.ID) *accountEntry {
	e := w.accounts[id]
	if e == nil {
		w.missed("account", id)
		e = new(accountEntry)
	}
	return e
}

func (w *work) transfer(id ledger.ID) *transferEntry {
	e := w.transfers[id]
	if e == nil {
		w.missed("transfer", id)
		e = new(transferEntry)
	}
	return e
}

func (w *work) Account(id ledger.ID) (ledger.Account, bool) {
	e := w.account(id)
	return e.now, e.exists
}

func (w *work) PutAccount(a ledger.Account) {
	e := w.account(a.ID)
	if !e.exists {
		w.take(a.Timestamp, true)
	}
	e.now, e.exists = a, true
}

func (w *work) DeleteAccount(id ledger.ID) {
	e := w.account(id)
	w.take(e.now.Timestamp, false)
	e.now, e.exists = ledger.Account{}, false
}

func (w *work) Transfer(id ledger.ID) (ledger.Transfer, bool) {
	e := w.transfer(id)
	return e.transfer, e.exists
}

func (w *work) PutTransfer(t ledger.Transfer) {
	e := w.transfer(t.ID)
	w.take(t.Timestamp, true)
	e.transfer, e.exists = t, true
}

func (w *work) DeleteTransfer(id ledger.ID) {
	e := w.transfer(id)
	w.take(e.transfer.Timestamp, false)
	e.transfer, e.exists = ledger.Transfer{}, false
}

func (w *work) Pending(id ledger.ID) rules.PendingState { return w.transfer(id).pending }

func (w *work) SetPending(t ledger.Transfer, s rules.PendingState) { w.transfer(t.ID).pending = s }

// PutBalance and DeleteBalance have nothing to do: balances over time follow
// from the journal (the view ledger_balances).
func (w *work) PutBalance(ledger.ID, ledger.AccountBalance) {}

func (w *work) DeleteBalance(ledger.ID, uint64) {}

func (w *work) Burned(id ledger.ID) bool { return w.transfer(id).burned }

func (w *work) Burn(id ledger.ID) { w.transfer(id).burned = true }

func (w *work) take(timestamp uint64, taken bool) {
	if w.taken != nil {
		w.taken[timestamp] = taken
	}
}

// TimestampTaken knows the timestamps that were loaded and those that this
// batch gives; with nothing loaded it has no answer.
func (w *work) TimestampTaken(timestamp uint64) bool {
	taken, known := w.taken[timestamp]
	if !known && w.fault == nil {
		w.fault = fmt.Errorf("the rules asked for timestamp %d, which was not loaded for this batch", timestamp)
	}
	return taken
}

func (w *work) Newest() rules.Newest { return w.newest }

func (w *work) SetNewest(n rules.Newest) { w.newest = n }

// Expiring answers at most the portion that was loaded; the rest waits for the
// next batch, or for ExpireDue.
func (w *work) Expiring(now uint64) []ledger.Transfer {
	n, _ := slices.BinarySearchFunc(w.expiring, now, func(t ledger.Transfer, now uint64) int {
		if expiresAt(&t) <= now {
			return -1
		}
		return 1
	})
	due := make([]ledger.Transfer, 0, n)
	for _, t := range w.expiring[:n] {
		if w.transfer(t.ID).pending == rules.PendingOpen {
			due = append(due, t)
		}
	}
	return due
}

// changes is what work holds that Postgres does not.
type changes struct {
	newAccounts     []*ledger.Account
	changedAccounts []*ledger.Account
	transfers       []*ledger.Transfer
	pending         []*transferEntry
	burned          []ledger.ID
}

// highest is the highest id of all transfers and burned ids afterwards.
func (c *changes) highest(before ledger.ID) ledger.ID {
	for _, t := range c.transfers {
		if t.ID.Cmp(before) > 0 {
			before = t.ID
		}
	}
	if n := len(c.burned); n > 0 && c.burned[n-1].Cmp(before) > 0 {
		before = c.burned[n-1]
	}
	return before
}

// changes lists rows in the order of their timestamps (accounts that changed:
// of their ids), so that the same batch always writes the same.
func (w *work) changes() (c changes) {
	for _, e := range w.accounts {
		switch {
		case e.exists && !e.stored:
			c.newAccounts = append(c.newAccounts, &e.now)
		case e.exists && e.now != e.was:
			c.changedAccounts = append(c.changedAccounts, &e.now)
		}
	}
	for id, e := range w.transfers {
		if e.exists && !e.stored {
			c.transfers = append(c.transfers, &e.transfer)
		}
		if e.pending != e.wasPending {
			c.pending = append(c.pending, e)
		}
		if e.burned && !e.wasBurned {
			c.burned = append(c.burned, id)
		}
	}
	slices.SortFunc(c.newAccounts, func(a, b *ledger.Account) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	slices.SortFunc(c.changedAccounts, func(a, b *ledger.Account) int { return a.ID.Cmp(b.ID) })
	slices.SortFunc(c.transfers, func(a, b *ledger.Transfer) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	slices.SortFunc(c.pending, func(a, b *transferEntry) int { return a.transfer.ID.Cmp(b.transfer.ID) })
	slices.SortFunc(c.burned, ledger.ID.Cmp)
	return c
}
