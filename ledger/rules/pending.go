package rules

import (
	"cmp"

	"escrowd/ledger"
)

// end is a transfer that posts or voids a pending one.
func (k *transfers) end(t *ledger.Transfer, at uint64) (ledger.TransferStatus, uint64) {
	post, void := t.Flags.Has(ledger.TransferPostPending), t.Flags.Has(ledger.TransferVoidPending)
	const others = ledger.TransferPending |
		ledger.TransferBalancingDebit | ledger.TransferBalancingCredit |
		ledger.TransferClosingDebit | ledger.TransferClosingCredit
	if post && void || t.Flags&others != 0 {
		return ledger.TransferFlagsAreMutuallyExclusive, at
	}
	if t.PendingID.IsZero() {
		return ledger.TransferPendingIDMustNotBeZero, at
	}
	if t.PendingID == ledger.AmountMax {
		return ledger.TransferPendingIDMustNotBeIntMax, at
	}
	if t.PendingID == t.ID {
		return ledger.TransferPendingIDMustBeDifferent, at
	}
	if t.Timeout != 0 {
		return ledger.TransferTimeoutReservedForPendingTransfer, at
	}
	p, ok := k.s.Transfer(t.PendingID)
	if !ok {
		return ledger.TransferPendingTransferNotFound, at
	}
	if !p.Flags.Has(ledger.TransferPending) {
		return ledger.TransferPendingTransferNotPending, at
	}
	// Zero means "as in the pending transfer".
	if !t.DebitAccountID.IsZero() && t.DebitAccountID != p.DebitAccountID {
		return ledger.TransferPendingTransferHasDifferentDebitAccountID, at
	}
	if !t.CreditAccountID.IsZero() && t.CreditAccountID != p.CreditAccountID {
		return ledger.TransferPendingTransferHasDifferentCreditAccountID, at
	}
	if t.Ledger != 0 && t.Ledger != p.Ledger {
		return ledger.TransferPendingTransferHasDifferentLedger, at
	}
	if t.Code != 0 && t.Code != p.Code {
		return ledger.TransferPendingTransferHasDifferentCode, at
	}
	// All of it is 2^128-1 for a post and 0 for a void; posting 0 posts nothing.
	amount := t.Amount
	if post && amount == ledger.AmountMax || void && amount.IsZero() {
		amount = p.Amount
	}
	if amount.Cmp(p.Amount) > 0 {
		return ledger.TransferExceedsPendingTransferAmount, at
	}
	if void && amount.Cmp(p.Amount) < 0 {
		return ledger.TransferPendingTransferHasDifferentAmount, at
	}
	switch k.s.Pending(p.ID) {
	case PendingPosted:
		return ledger.TransferPendingTransferAlreadyPosted, at
	case PendingVoided:
		return ledger.TransferPendingTransferAlreadyVoided, at
	case PendingExpired:
		return ledger.TransferPendingTransferExpired, at
	}
	if p.Timeout != 0 && at >= expiry(&p) {
		// Its time was up within this batch; Expire frees the amount later.
		return ledger.TransferPendingTransferExpired, at
	}

	stored := ledger.Transfer{
		ID:              t.ID,
		DebitAccountID:  p.DebitAccountID,
		CreditAccountID: p.CreditAccountID,
		Amount:          amount,
		PendingID:       p.ID,
		UserData128:     cmp.Or(t.UserData128, p.UserData128),
		UserData64:      cmp.Or(t.UserData64, p.UserData64),
		UserData32:      cmp.Or(t.UserData32, p.UserData32),
		Ledger:          p.Ledger,
		Code:            p.Code,
		Flags:           t.Flags,
		Timestamp:       at,
	}
	if t.Flags.Has(ledger.TransferImported) {
		if t.Timestamp <= k.s.Newest().Transfer || k.s.TimestampTaken(t.Timestamp) {
			return ledger.TransferImportedEventTimestampMustNotRegress, at
		}
		stored.Timestamp = t.Timestamp
	}

	// The accounts of a pending transfer are there: it was accepted.
	dr, _ := k.s.Account(p.DebitAccountID)
	cr, _ := k.s.Account(p.CreditAccountID)
	// Only a void may touch a closed account.
	if post && dr.Flags.Has(ledger.AccountClosed) {
		return ledger.TransferDebitAccountAlreadyClosed, at
	}
	if post && cr.Flags.Has(ledger.AccountClosed) {
		return ledger.TransferCreditAccountAlreadyClosed, at
	}

	// From here on the transfer is created.
	k.remember(&stored, &dr, &cr, &p)
	k.s.PutTransfer(stored)
	state := PendingVoided
	if post {
		state = PendingPosted
	}
	k.s.SetPending(p, state)
	changed := free(&p, &dr, &cr, void)
	if post {
		dr.DebitsPosted = sum(dr.DebitsPosted, amount)
		cr.CreditsPosted = sum(cr.CreditsPosted, amount)
	}
	k.write(&stored, &dr, &cr, changed)
	return ledger.TransferCreated, stored.Timestamp
}

// free gives back what p reserved on its accounts and, when p ends without
// being posted, reopens those that it closed. It reports whether they changed.
func free(p *ledger.Transfer, dr, cr *ledger.Account, reopen bool) (changed bool) {
	dr.DebitsPending = less(dr.DebitsPending, p.Amount)
	cr.CreditsPending = less(cr.CreditsPending, p.Amount)
	changed = !p.Amount.IsZero()
	if reopen && p.Flags.Has(ledger.TransferClosingDebit) {
		dr.Flags &^= ledger.AccountClosed
		changed = true
	}
	if reopen && p.Flags.Has(ledger.TransferClosingCredit) {
		cr.Flags &^= ledger.AccountClosed
		changed = true
	}
	return changed
}

// endExists compares a post or void with the one that has its id, e. Where it
// says "as in the pending transfer", e must have taken p's.
func endExists(t, e, p *ledger.Transfer) ledger.TransferStatus {
	if !t.DebitAccountID.IsZero() && t.DebitAccountID != e.DebitAccountID {
		return ledger.TransferExistsWithDifferentDebitAccountID
	}
	if !t.CreditAccountID.IsZero() && t.CreditAccountID != e.CreditAccountID {
		return ledger.TransferExistsWithDifferentCreditAccountID
	}
	amount := t.Amount
	if t.Flags.Has(ledger.TransferPostPending) && amount == ledger.AmountMax ||
		t.Flags.Has(ledger.TransferVoidPending) && amount.IsZero() {
		amount = p.Amount
	}
	if amount != e.Amount {
		return ledger.TransferExistsWithDifferentAmount
	}
	if cmp.Or(t.UserData128, p.UserData128) != e.UserData128 {
		return ledger.TransferExistsWithDifferentUserData128
	}
	if cmp.Or(t.UserData64, p.UserData64) != e.UserData64 {
		return ledger.TransferExistsWithDifferentUserData64
	}
	if cmp.Or(t.UserData32, p.UserData32) != e.UserData32 {
		return ledger.TransferExistsWithDifferentUserData32
	}
	if t.Ledger != 0 && t.Ledger != e.Ledger {
		return ledger.TransferExistsWithDifferentLedger
	}
	if t.Code != 0 && t.Code != e.Code {
		return ledger.TransferExistsWithDifferentCode
	}
	return ledger.TransferExists
}

// expiry is when a pending transfer with a timeout runs out, in nanoseconds
// UTC; from that nanosecond on it can be neither posted nor voided.
func expiry(p *ledger.Transfer) uint64 { return p.Timestamp + uint64(p.Timeout)*second }

// Expire ends the open pending transfers whose time is up at now (nanoseconds
// UTC) and says how many. Each frees what it reserved and reopens the accounts
// that it closed; none leaves a balance row, because none is a transfer.
//
// An expiry uses up a nanosecond of the ledger's time, as any event does: the
// one at which its time was up, or the next one free. So Newest.Any rises with
// every expiry and stays at or before now unless it was already past it.
// TigerBeetle books expiries some moments later, in a request of their own;
// when exactly is never shown to a caller.
func Expire(s Store, now uint64) int {
	due := s.Expiring(now)
	if len(due) == 0 {
		return 0
	}
	newest := s.Newest()
	for i := range due {
		p := &due[i]
		dr, _ := s.Account(p.DebitAccountID)
		cr, _ := s.Account(p.CreditAccountID)
		if free(p, &dr, &cr, true) {
			s.PutAccount(dr)
			s.PutAccount(cr)
		}
		s.SetPending(*p, PendingExpired)
		newest.Any = max(newest.Any+1, expiry(p))
	}
	s.SetNewest(newest)
	return len(due)
}
