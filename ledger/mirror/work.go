package mirror

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

// work is the part of the journal that a round can touch, in memory.
type work struct {
	accounts  map[ledger.ID]*account
	pending   map[ledger.ID]*pending
	expiring  expiring
	transfers []ledger.Transfer // copied
	expired   int

	// What the ledger says of some of the accounts, and which of these the
	// balances worked out so far do not agree with.
	truth   map[ledger.ID]ledger.Account
	differs map[ledger.ID]bool
	agreed  bool
	closest *DifferenceError // at the moment with the fewest differences
}

type account struct {
	now, was ledger.Account
	stored   bool
}

// pending is a pending transfer; was is its state in the journal, and
// rules.PendingNone if it is not there yet.
type pending struct {
	transfer   ledger.Transfer
	state, was rules.PendingState
}

// expiresAt is when p's time is up, ns since 1970 UTC; 0 is never.
func (p *pending) expiresAt() uint64 {
	if p.transfer.Timeout == 0 {
		return 0
	}
	// The ledger refuses a timeout that ends after the last timestamp.
	return p.transfer.Timestamp + uint64(p.transfer.Timeout)*1e9
}

func newWork() *work {
	return &work{
		accounts: map[ledger.ID]*account{}, pending: map[ledger.ID]*pending{},
		truth: map[ledger.ID]ledger.Account{}, differs: map[ledger.ID]bool{},
	}
}

// created takes in an account that the ledger has and the journal has not. Its
// balances begin at zero, as they did; the transfers that made them what they
// are now are still to be copied. Whether it is closed is taken as it is now:
// one that was closed by a transfer still to be copied cannot be told from one
// that was made so.
func (w *work) created(a ledger.Account) {
	a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted = ledger.Amount{}, ledger.Amount{}, ledger.Amount{}, ledger.Amount{}
	w.accounts[a.ID] = &account{now: a}
}

// open takes in a pending transfer from the journal.
func (w *work) open(t ledger.Transfer, s rules.PendingState) {
	if w.pending[t.ID] != nil {
		return
	}
	p := &pending{transfer: t, state: s, was: s}
	w.pending[t.ID] = p
	if s == rules.PendingOpen && p.expiresAt() != 0 {
		w.expiring = append(w.expiring, p)
	}
}

// run works out what the transfers do, and looks for the moment of the truth.
func (w *work) run(transfers []ledger.Transfer, horizon uint64, complete bool) error {
	heap.Init(&w.expiring)
	for id, a := range w.truth {
		if w.accounts[id].now != a {
			w.differs[id] = true
		}
	}
	w.look()
	for i := range transfers {
		t := &transfers[i]
		for p := w.nextExpiry(t.Timestamp); p != nil; p = w.nextExpiry(t.Timestamp) {
			if err := w.expire(p); err != nil {
				return err
			}
		}
		if err := w.apply(t); err != nil {
			return fmt.Errorf("transfer %s of %d: %w", t.ID.UUID(), t.Timestamp, err)
		}
		w.look()
	}
	w.transfers = transfers
	if w.agreed || !complete {
		return nil
	}
	return w.tryExpiries(horizon)
}

// tryExpiries frees what is about to expire, one after the other, if that is
// what makes the balances agree with the ledger's. Else nothing is changed.
func (w *work) tryExpiries(horizon uint64) error {
	before := map[*account]ledger.Account{}
	var tried []*pending
	for p := w.nextExpiry(horizon); p != nil && !w.agreed; p = w.nextExpiry(horizon) {
		for _, id := range [2]ledger.ID{p.transfer.DebitAccountID, p.transfer.CreditAccountID} {
			a := w.accounts[id]
			if _, ok := before[a]; !ok && a != nil {
				before[a] = a.now
			}
		}
		if err := w.expire(p); err != nil {
			return err
		}
		tried = append(tried, p)
	}
	if w.agreed {
		return nil
	}
	for a, was := range before {
		a.now = was
	}
	for _, p := range tried {
		p.state = rules.PendingOpen
		w.expired--
	}
	return nil
}

// nextExpiry takes the pending transfer whose time is up first, if that is at
// or before t; else nil.
func (w *work) nextExpiry(t uint64) *pending {
	for len(w.expiring) > 0 && w.expiring[0].expiresAt() <= t {
		if p := heap.Pop(&w.expiring).(*pending); p.state == rules.PendingOpen {
			return p
		}
	}
	return nil
}

func (w *work) expire(p *pending) error {
	dr, cr, err := w.both(&p.transfer)
	if err == nil {
		err = free(&p.transfer, dr, cr, true)
	}
	if err != nil {
		return fmt.Errorf("expiry of pending transfer %s: %w", p.transfer.ID.UUID(), err)
	}
	p.state = rules.PendingExpired
	w.expired++
	w.changed(dr, cr)
	w.look()
	return nil
}

func (w *work) both(t *ledger.Transfer) (dr, cr *account, err error) {
	for _, side := range [2]struct {
		id ledger.ID
		a  **account
	}{{t.DebitAccountID, &dr}, {t.CreditAccountID, &cr}} {
		if *side.a = w.accounts[side.id]; *side.a == nil {
			return nil, nil, fmt.Errorf("its account %s is neither in the journal nor new in the ledger", side.id.UUID())
		}
	}
	return dr, cr, nil
}

// apply does to the accounts what t did in the ledger; see package rules.
func (w *work) apply(t *ledger.Transfer) error {
	dr, cr, err := w.both(t)
	if err != nil {
		return err
	}
	switch {
	case t.Flags&(ledger.TransferPostPending|ledger.TransferVoidPending) != 0:
		p := w.pending[t.PendingID]
		if p == nil {
			return fmt.Errorf("the journal has no pending transfer %s, which it ends", t.PendingID.UUID())
		}
		if p.state != rules.PendingOpen {
			return fmt.Errorf("it ends pending transfer %s, which the journal has as %s", t.PendingID.UUID(), stateNames[p.state])
		}
		void := t.Flags.Has(ledger.TransferVoidPending)
		if err := free(&p.transfer, dr, cr, void); err != nil {
			return err
		}
		if void {
			p.state = rules.PendingVoided
			break
		}
		p.state = rules.PendingPosted
		err = add(&dr.now.DebitsPosted, &cr.now.CreditsPosted, t.Amount)
	case t.Flags.Has(ledger.TransferPending):
		p := &pending{transfer: *t, state: rules.PendingOpen}
		w.pending[t.ID] = p
		if p.expiresAt() != 0 {
			heap.Push(&w.expiring, p)
		}
		err = add(&dr.now.DebitsPending, &cr.now.CreditsPending, t.Amount)
	default:
		err = add(&dr.now.DebitsPosted, &cr.now.CreditsPosted, t.Amount)
	}
	if err != nil {
		return err
	}
	if t.Flags.Has(ledger.TransferClosingDebit) {
		dr.now.Flags |= ledger.AccountClosed
	}
	if t.Flags.Has(ledger.TransferClosingCredit) {
		cr.now.Flags |= ledger.AccountClosed
	}
	w.changed(dr, cr)
	return nil
}

var stateNames = map[rules.PendingState]string{
	rules.PendingOpen: "open", rules.PendingPosted: "posted", rules.PendingVoided: "voided", rules.PendingExpired: "expired",
}

func add(debits, credits *ledger.Amount, amount ledger.Amount) error {
	d, over1 := debits.Add(amount)
	c, over2 := credits.Add(amount)
	if over1 || over2 {
		return fmt.Errorf("a balance passes 128 bits")
	}
	*debits, *credits = d, c
	return nil
}

// free gives back what p reserved and, where it was not posted, opens the
// accounts that it closed.
func free(p *ledger.Transfer, dr, cr *account, reopen bool) error {
	d, under1 := dr.now.DebitsPending.Sub(p.Amount)
	c, under2 := cr.now.CreditsPending.Sub(p.Amount)
	if under1 || under2 {
		return fmt.Errorf("more is freed than the journal has as reserved")
	}
	dr.now.DebitsPending, cr.now.CreditsPending = d, c
	if reopen && p.Flags.Has(ledger.TransferClosingDebit) {
		dr.now.Flags &^= ledger.AccountClosed
	}
	if reopen && p.Flags.Has(ledger.TransferClosingCredit) {
		cr.now.Flags &^= ledger.AccountClosed
	}
	return nil
}

// changed brings differs up to date after a change of two accounts.
func (w *work) changed(dr, cr *account) {
	if w.agreed {
		return
	}
	for _, a := range [2]*account{dr, cr} {
		if is, ok := w.truth[a.now.ID]; ok && is == a.now {
			delete(w.differs, a.now.ID)
		} else if ok {
			w.differs[a.now.ID] = true
		}
	}
}

// look takes note if this moment may be that of the truth.
func (w *work) look() {
	if w.agreed {
		return
	}
	if len(w.differs) == 0 {
		w.agreed = true
		return
	}
	const few = 16 // to be listed each time that there are fewer
	if len(w.differs) <= few && (w.closest == nil || len(w.differs) <= w.closest.More) {
		w.closest = w.differsNow()
	}
}

// differsNow is the differing account with the smallest id.
func (w *work) differsNow() *DifferenceError {
	var first ledger.ID
	for id := range w.differs {
		if first.IsZero() || id.Cmp(first) < 0 {
			first = id
		}
	}
	return &DifferenceError{Journal: w.accounts[first].now, Ledger: w.truth[first], More: len(w.differs) - 1}
}

// difference says what does not agree.
func (w *work) difference() *DifferenceError {
	if w.closest == nil {
		return w.differsNow()
	}
	return w.closest
}

// changedAccounts, newAccounts and changedPending are what the journal lacks,
// in an order that is always the same.
func (w *work) changedAccounts() (list []ledger.Account) {
	for _, a := range w.accounts {
		if a.stored && a.now != a.was {
			list = append(list, a.now)
		}
	}
	slices.SortFunc(list, func(a, b ledger.Account) int { return a.ID.Cmp(b.ID) })
	return list
}

func (w *work) newAccounts() (list []ledger.Account) {
	for _, a := range w.accounts {
		if !a.stored {
			list = append(list, a.now)
		}
	}
	slices.SortFunc(list, func(a, b ledger.Account) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	return list
}

func (w *work) changedPending() (list []*pending) {
	for _, p := range w.pending {
		if p.state != p.was {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *pending) int { return a.transfer.ID.Cmp(b.transfer.ID) })
	return list
}

// expiring is a heap: the pending transfer whose time is up first is on top.
type expiring []*pending

func (h expiring) Len() int { return len(h) }
func (h expiring) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].expiresAt(), h[j].expiresAt()), cmp.Compare(h[i].transfer.Timestamp, h[j].transfer.Timestamp)) < 0
}
func (h expiring) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *expiring) Push(x any)   { *h = append(*h, x.(*pending)) }
func (h *expiring) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}
