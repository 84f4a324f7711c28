package rules

import "escrowd/ledger"

const second = uint64(1_000_000_000) // timeouts are seconds, timestamps nanoseconds

// CreateTransfers applies a create_transfers request and answers each event,
// in order. timestamp is the batch's own (see NextTimestamp), in nanoseconds
// UTC. Pending transfers that are overdue should have been given to Expire.
func CreateTransfers(s Store, timestamp uint64, events []ledger.Transfer) []ledger.TransferResult {
	k := transfers{s: s, results: make([]ledger.TransferResult, len(events))}
	run(s, &k, &transferWords, timestamp, events)
	return k.results
}

// transfers is the kind of a create_transfers batch.
type transfers struct {
	s       Store
	results []ledger.TransferResult
	logging bool
	log     []transferChange
}

// transferChange is what takes one created transfer back: all it touched, as
// that was before.
type transferChange struct {
	created       ledger.Transfer
	debit, credit ledger.Account
	pending       ledger.Transfer // that a post or void ended; id 0 for none
	newest        Newest
}

func (k *transfers) envelope(t *ledger.Transfer) envelope {
	return envelope{
		linked:    t.Flags&ledger.TransferLinked != 0,
		imported:  t.Flags&ledger.TransferImported != 0,
		timestamp: t.Timestamp,
	}
}

// refused burns the id of a transfer that was refused for a reason that may
// pass, also when its chain is taken back.
func (k *transfers) refused(t *ledger.Transfer, status ledger.TransferStatus) {
	switch status {
	case ledger.TransferDebitAccountNotFound,
		ledger.TransferCreditAccountNotFound,
		ledger.TransferPendingTransferNotFound,
		ledger.TransferExceedsCredits,
		ledger.TransferExceedsDebits,
		ledger.TransferDebitAccountAlreadyClosed,
		ledger.TransferCreditAccountAlreadyClosed:
		k.s.Burn(t.ID)
	}
}

func (k *transfers) answer(i int, status ledger.TransferStatus, timestamp uint64) {
	k.results[i] = ledger.TransferResult{Status: status, Timestamp: timestamp}
}

func (k *transfers) relabel(i int, status ledger.TransferStatus) { k.results[i].Status = status }

func (k *transfers) open() { k.logging = true }

func (k *transfers) done() { k.logging, k.log = false, k.log[:0] }

func (k *transfers) takeBack() {
	for i := len(k.log) - 1; i >= 0; i-- {
		c := &k.log[i]
		if c.debit.Flags.Has(ledger.AccountHistory) {
			k.s.DeleteBalance(c.debit.ID, c.created.Timestamp)
		}
		if c.credit.Flags.Has(ledger.AccountHistory) {
			k.s.DeleteBalance(c.credit.ID, c.created.Timestamp)
		}
		k.s.PutAccount(c.debit)
		k.s.PutAccount(c.credit)
		if !c.pending.ID.IsZero() {
			k.s.SetPending(c.pending, PendingOpen)
		}
		if c.created.Flags.Has(ledger.TransferPending) {
			k.s.SetPending(c.created, PendingNone)
		}
		k.s.DeleteTransfer(c.created.ID)
		k.s.SetNewest(c.newest)
	}
	k.log = k.log[:0]
}

func (k *transfers) apply(t *ledger.Transfer, at uint64) (ledger.TransferStatus, uint64) {
	if t.Flags&^ledger.TransferFlagsAll != 0 {
		return ledger.TransferReservedFlag, at
	}
	if t.ID.IsZero() {
		return ledger.TransferIDMustNotBeZero, at
	}
	if t.ID == ledger.AmountMax {
		return ledger.TransferIDMustNotBeIntMax, at
	}
	if e, ok := k.s.Transfer(t.ID); ok {
		status := k.exists(t, &e)
		if status == ledger.TransferExists {
			return status, e.Timestamp
		}
		return status, at
	}
	if k.s.Burned(t.ID) {
		return ledger.TransferIDAlreadyFailed, at
	}
	if t.Flags&(ledger.TransferPostPending|ledger.TransferVoidPending) != 0 {
		return k.end(t, at)
	}
	return k.move(t, at)
}

// move is a transfer that is neither post nor void: plain, or pending.
func (k *transfers) move(t *ledger.Transfer, at uint64) (ledger.TransferStatus, uint64) {
	pending := t.Flags.Has(ledger.TransferPending)
	if t.DebitAccountID.IsZero() {
		return ledger.TransferDebitAccountIDMustNotBeZero, at
	}
	if t.DebitAccountID == ledger.AmountMax {
		return ledger.TransferDebitAccountIDMustNotBeIntMax, at
	}
	if t.CreditAccountID.IsZero() {
		return ledger.TransferCreditAccountIDMustNotBeZero, at
	}
	if t.CreditAccountID == ledger.AmountMax {
		return ledger.TransferCreditAccountIDMustNotBeIntMax, at
	}
	if t.CreditAccountID == t.DebitAccountID {
		return ledger.TransferAccountsMustBeDifferent, at
	}
	if !t.PendingID.IsZero() {
		return ledger.TransferPendingIDMustBeZero, at
	}
	if !pending && t.Timeout != 0 {
		return ledger.TransferTimeoutReservedForPendingTransfer, at
	}
	if !pending && t.Flags&(ledger.TransferClosingDebit|ledger.TransferClosingCredit) != 0 {
		return ledger.TransferClosingTransferMustBePending, at
	}
	if t.Ledger == 0 {
		return ledger.TransferLedgerMustNotBeZero, at
	}
	if t.Code == 0 {
		return ledger.TransferCodeMustNotBeZero, at
	}
	dr, ok := k.s.Account(t.DebitAccountID)
	if !ok {
		return ledger.TransferDebitAccountNotFound, at
	}
	cr, ok := k.s.Account(t.CreditAccountID)
	if !ok {
		return ledger.TransferCreditAccountNotFound, at
	}
	if dr.Ledger != cr.Ledger {
		return ledger.TransferAccountsMustHaveTheSameLedger, at
	}
	if t.Ledger != dr.Ledger {
		return ledger.TransferTransferMustHaveTheSameLedgerAsAccounts, at
	}

	stored := *t
	stored.Timestamp = at
	if t.Flags.Has(ledger.TransferImported) {
		if t.Timestamp <= k.s.Newest().Transfer || k.s.TimestampTaken(t.Timestamp) {
			return ledger.TransferImportedEventTimestampMustNotRegress, at
		}
		if t.Timestamp <= dr.Timestamp {
			return ledger.TransferImportedEventTimestampMustPostdateDebitAccount, at
		}
		if t.Timestamp <= cr.Timestamp {
			return ledger.TransferImportedEventTimestampMustPostdateCreditAccount, at
		}
		if t.Timeout != 0 {
			return ledger.TransferImportedEventTimeoutMustBeZero, at
		}
		stored.Timestamp = t.Timestamp
	}

	if dr.Flags.Has(ledger.AccountClosed) {
		return ledger.TransferDebitAccountAlreadyClosed, at
	}
	if cr.Flags.Has(ledger.AccountClosed) {
		return ledger.TransferCreditAccountAlreadyClosed, at
	}

	// A balancing transfer moves at most what the account has to spare, maybe
	// nothing. The amount is clamped before it can overflow or exceed.
	amount := t.Amount
	if t.Flags.Has(ledger.TransferBalancingDebit) {
		amount = least(amount, spare(dr.CreditsPosted, dr.DebitsPosted, dr.DebitsPending))
	}
	if t.Flags.Has(ledger.TransferBalancingCredit) {
		amount = least(amount, spare(cr.DebitsPosted, cr.CreditsPosted, cr.CreditsPending))
	}
	stored.Amount = amount

	if pending && overflows(dr.DebitsPending, amount) {
		return ledger.TransferOverflowsDebitsPending, at
	}
	if pending && overflows(cr.CreditsPending, amount) {
		return ledger.TransferOverflowsCreditsPending, at
	}
	// Checked for pending transfers too: they may be posted one day.
	if overflows(dr.DebitsPosted, amount) {
		return ledger.TransferOverflowsDebitsPosted, at
	}
	if overflows(cr.CreditsPosted, amount) {
		return ledger.TransferOverflowsCreditsPosted, at
	}
	if overflows(sum(dr.DebitsPending, dr.DebitsPosted), amount) {
		return ledger.TransferOverflowsDebits, at
	}
	if overflows(sum(cr.CreditsPending, cr.CreditsPosted), amount) {
		return ledger.TransferOverflowsCredits, at
	}
	if uint64(t.Timeout)*second > ledger.TimestampMax-stored.Timestamp {
		return ledger.TransferOverflowsTimeout, at
	}
	if debitsExceedCredits(&dr, amount) {
		return ledger.TransferExceedsCredits, at
	}
	if creditsExceedDebits(&cr, amount) {
		return ledger.TransferExceedsDebits, at
	}

	// From here on the transfer is created.
	k.remember(&stored, &dr, &cr, nil)
	k.s.PutTransfer(stored)
	closes := t.Flags & (ledger.TransferClosingDebit | ledger.TransferClosingCredit)
	if pending {
		k.s.SetPending(stored, PendingOpen)
		dr.DebitsPending = sum(dr.DebitsPending, amount)
		cr.CreditsPending = sum(cr.CreditsPending, amount)
	} else {
		dr.DebitsPosted = sum(dr.DebitsPosted, amount)
		cr.CreditsPosted = sum(cr.CreditsPosted, amount)
	}
	if closes&ledger.TransferClosingDebit != 0 {
		dr.Flags |= ledger.AccountClosed
	}
	if closes&ledger.TransferClosingCredit != 0 {
		cr.Flags |= ledger.AccountClosed
	}
	k.write(&stored, &dr, &cr, !amount.IsZero() || closes != 0)
	return ledger.TransferCreated, stored.Timestamp
}

// remember notes, while a chain is open, how to take back the transfer that is
// about to be written. p is the pending transfer that it ends, if any.
func (k *transfers) remember(t *ledger.Transfer, dr, cr *ledger.Account, p *ledger.Transfer) {
	if !k.logging {
		return
	}
	c := transferChange{created: *t, debit: *dr, credit: *cr, newest: k.s.Newest()}
	if p != nil {
		c.pending = *p
	}
	k.log = append(k.log, c)
}

// write stores the accounts as they are after the transfer t, the balance rows
// of those with history (also for a transfer of zero), and the new high-water
// mark.
func (k *transfers) write(t *ledger.Transfer, dr, cr *ledger.Account, changed bool) {
	if changed {
		k.s.PutAccount(*dr)
		k.s.PutAccount(*cr)
	}
	if dr.Flags.Has(ledger.AccountHistory) {
		k.s.PutBalance(dr.ID, balances(dr, t.Timestamp))
	}
	if cr.Flags.Has(ledger.AccountHistory) {
		k.s.PutBalance(cr.ID, balances(cr, t.Timestamp))
	}
	newest := k.s.Newest()
	newest.Transfer = t.Timestamp
	k.s.SetNewest(newest)
}

// exists compares a transfer with the one that has its id. Flags come first
// and compare bit by bit, linked and imported too: they decide how the rest is
// compared.
func (k *transfers) exists(t, e *ledger.Transfer) ledger.TransferStatus {
	if t.Flags != e.Flags {
		return ledger.TransferExistsWithDifferentFlags
	}
	if t.PendingID != e.PendingID {
		return ledger.TransferExistsWithDifferentPendingID
	}
	if t.Timeout != e.Timeout {
		return ledger.TransferExistsWithDifferentTimeout
	}
	if t.Flags&(ledger.TransferPostPending|ledger.TransferVoidPending) != 0 {
		// The stored one was accepted, so its pending transfer is there.
		p, _ := k.s.Transfer(e.PendingID)
		return endExists(t, e, &p)
	}
	if t.DebitAccountID != e.DebitAccountID {
		return ledger.TransferExistsWithDifferentDebitAccountID
	}
	if t.CreditAccountID != e.CreditAccountID {
		return ledger.TransferExistsWithDifferentCreditAccountID
	}
	// A balancing transfer names an upper limit, and what was moved was the
	// balance of that moment: any limit that allows it is the same transfer.
	balancing := t.Flags&(ledger.TransferBalancingDebit|ledger.TransferBalancingCredit) != 0
	if balancing && t.Amount.Cmp(e.Amount) < 0 {
		return ledger.TransferExistsWithDifferentAmount
	}
	if !balancing && t.Amount != e.Amount {
		return ledger.TransferExistsWithDifferentAmount
	}
	if t.UserData128 != e.UserData128 {
		return ledger.TransferExistsWithDifferentUserData128
	}
	if t.UserData64 != e.UserData64 {
		return ledger.TransferExistsWithDifferentUserData64
	}
	if t.UserData32 != e.UserData32 {
		return ledger.TransferExistsWithDifferentUserData32
	}
	if t.Ledger != e.Ledger {
		return ledger.TransferExistsWithDifferentLedger
	}
	if t.Code != e.Code {
		return ledger.TransferExistsWithDifferentCode
	}
	return ledger.TransferExists
}

func debitsExceedCredits(a *ledger.Account, amount ledger.Amount) bool {
	return a.Flags.Has(ledger.AccountDebitsMustNotExceedCredits) &&
		sum(sum(a.DebitsPending, a.DebitsPosted), amount).Cmp(a.CreditsPosted) > 0
}

func creditsExceedDebits(a *ledger.Account, amount ledger.Amount) bool {
	return a.Flags.Has(ledger.AccountCreditsMustNotExceedDebits) &&
		sum(sum(a.CreditsPending, a.CreditsPosted), amount).Cmp(a.DebitsPosted) > 0
}

func balances(a *ledger.Account, timestamp uint64) ledger.AccountBalance {
	return ledger.AccountBalance{
		DebitsPending:  a.DebitsPending,
		DebitsPosted:   a.DebitsPosted,
		CreditsPending: a.CreditsPending,
		CreditsPosted:  a.CreditsPosted,
		Timestamp:      timestamp,
	}
}

func overflows(a, b ledger.Amount) bool {
	_, over := a.Add(b)
	return over
}

// sum is a+b where an earlier check has ruled out an overflow. Were a check
// missing, the books would silently lose 2^128: stop instead.
func sum(a, b ledger.Amount) ledger.Amount {
	v, over := a.Add(b)
	if over {
		panic("ledger/rules: a balance overflows 128 bits")
	}
	return v
}

// less is a-b where b is part of a: what is freed was reserved before.
func less(a, b ledger.Amount) ledger.Amount {
	v, under := a.Sub(b)
	if under {
		panic("ledger/rules: more is freed than was reserved")
	}
	return v
}

// spare is what limit exceeds posted and pending by, or 0.
func spare(limit, posted, pending ledger.Amount) ledger.Amount {
	v, under := limit.Sub(sum(posted, pending))
	if under {
		return ledger.Amount{}
	}
	return v
}

func least(a, b ledger.Amount) ledger.Amount {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}
