package rules

import "escrowd/ledger"

// CreateAccounts applies a create_accounts request and answers each event, in
// order. timestamp is the batch's own (see NextTimestamp), in nanoseconds UTC.
func CreateAccounts(s Store, timestamp uint64, events []ledger.Account) []ledger.AccountResult {
	k := accounts{s: s, results: make([]ledger.AccountResult, len(events))}
	run(s, &k, &accountWords, timestamp, events)
	return k.results
}

// accounts is the kind of a create_accounts batch.
type accounts struct {
	s       Store
	results []ledger.AccountResult
	logging bool
	log     []accountChange
}

// accountChange is what takes one created account back.
type accountChange struct {
	id     ledger.ID
	newest Newest // before
}

func (k *accounts) envelope(a *ledger.Account) envelope {
	return envelope{
		linked:    a.Flags.Has(ledger.AccountLinked),
		imported:  a.Flags.Has(ledger.AccountImported),
		timestamp: a.Timestamp,
	}
}

// refused has nothing to do: no account is refused for a reason that passes.
func (k *accounts) refused(*ledger.Account, ledger.AccountStatus) {}

func (k *accounts) answer(i int, status ledger.AccountStatus, timestamp uint64) {
	k.results[i] = ledger.AccountResult{Status: status, Timestamp: timestamp}
}

func (k *accounts) relabel(i int, status ledger.AccountStatus) { k.results[i].Status = status }

func (k *accounts) open() { k.logging = true }

func (k *accounts) done() { k.logging, k.log = false, k.log[:0] }

func (k *accounts) takeBack() {
	for i := len(k.log) - 1; i >= 0; i-- {
		k.s.DeleteAccount(k.log[i].id)
		k.s.SetNewest(k.log[i].newest)
	}
	k.log = k.log[:0]
}

func (k *accounts) apply(a *ledger.Account, at uint64) (ledger.AccountStatus, uint64) {
	if a.Reserved != 0 {
		return ledger.AccountReservedField, at
	}
	if a.Flags&^ledger.AccountFlagsAll != 0 {
		return ledger.AccountReservedFlag, at
	}
	if a.ID.IsZero() {
		return ledger.AccountIDMustNotBeZero, at
	}
	if a.ID == ledger.AmountMax {
		return ledger.AccountIDMustNotBeIntMax, at
	}
	if e, ok := k.s.Account(a.ID); ok {
		status := accountExists(a, &e)
		if status == ledger.AccountExists {
			return status, e.Timestamp
		}
		return status, at
	}
	if a.Flags.Has(ledger.AccountDebitsMustNotExceedCredits | ledger.AccountCreditsMustNotExceedDebits) {
		return ledger.AccountFlagsAreMutuallyExclusive, at
	}
	if !a.DebitsPending.IsZero() {
		return ledger.AccountDebitsPendingMustBeZero, at
	}
	if !a.DebitsPosted.IsZero() {
		return ledger.AccountDebitsPostedMustBeZero, at
	}
	if !a.CreditsPending.IsZero() {
		return ledger.AccountCreditsPendingMustBeZero, at
	}
	if !a.CreditsPosted.IsZero() {
		return ledger.AccountCreditsPostedMustBeZero, at
	}
	if a.Ledger == 0 {
		return ledger.AccountLedgerMustNotBeZero, at
	}
	if a.Code == 0 {
		return ledger.AccountCodeMustNotBeZero, at
	}

	newest := k.s.Newest()
	stored := *a
	stored.Timestamp = at
	if a.Flags.Has(ledger.AccountImported) {
		// Imported accounts rise among accounts, and share their time with
		// no object of any kind.
		if a.Timestamp <= newest.Account || k.s.TimestampTaken(a.Timestamp) {
			return ledger.AccountImportedEventTimestampMustNotRegress, at
		}
		stored.Timestamp = a.Timestamp
	}

	// From here on the account is created.
	if k.logging {
		k.log = append(k.log, accountChange{id: a.ID, newest: newest})
	}
	k.s.PutAccount(stored)
	newest.Account = stored.Timestamp
	k.s.SetNewest(newest)
	return ledger.AccountCreated, stored.Timestamp
}

// accountExists compares an account with the one that has its id. Flags
// compare bit by bit, linked and imported too.
func accountExists(a, e *ledger.Account) ledger.AccountStatus {
	switch {
	case a.Flags != e.Flags:
		return ledger.AccountExistsWithDifferentFlags
	case a.UserData128 != e.UserData128:
		return ledger.AccountExistsWithDifferentUserData128
	case a.UserData64 != e.UserData64:
		return ledger.AccountExistsWithDifferentUserData64
	case a.UserData32 != e.UserData32:
		return ledger.AccountExistsWithDifferentUserData32
	case a.Ledger != e.Ledger:
		return ledger.AccountExistsWithDifferentLedger
	case a.Code != e.Code:
		return ledger.AccountExistsWithDifferentCode
	}
	return ledger.AccountExists
}
