package rules

import (
	"slices"

	"escrowd/ledger"
)

// Touch is what a store must have at hand before a batch, each list sorted and
// without repeats, and without ids that no object can have. To it belong also,
// for every pending transfer that is found in Transfers or is about to expire,
// its state and its two accounts: a post need not name them.
type Touch struct {
	Accounts   []ledger.ID // accounts that are created, debited or credited
	Transfers  []ledger.ID // transfers that are created, or posted or voided
	Timestamps []uint64    // of imported events, for TimestampTaken
}

// TouchedByAccounts is what a create_accounts request touches.
func TouchedByAccounts(events []ledger.Account) Touch {
	t := Touch{Accounts: make([]ledger.ID, 0, len(events))}
	for i := range events {
		e := &events[i]
		t.Accounts = append(t.Accounts, e.ID)
		if e.Flags.Has(ledger.AccountImported) {
			t.Timestamps = append(t.Timestamps, e.Timestamp)
		}
	}
	return t.tidy()
}

// TouchedByTransfers is what a create_transfers request touches.
func TouchedByTransfers(events []ledger.Transfer) Touch {
	t := Touch{
		Accounts:  make([]ledger.ID, 0, 2*len(events)),
		Transfers: make([]ledger.ID, 0, len(events)),
	}
	for i := range events {
		e := &events[i]
		t.Accounts = append(t.Accounts, e.DebitAccountID, e.CreditAccountID)
		t.Transfers = append(t.Transfers, e.ID)
		if !e.PendingID.IsZero() {
			t.Transfers = append(t.Transfers, e.PendingID)
		}
		if e.Flags.Has(ledger.TransferImported) {
			t.Timestamps = append(t.Timestamps, e.Timestamp)
		}
	}
	return t.tidy()
}

// And is what two requests in one touch.
func (t Touch) And(u Touch) Touch {
	return Touch{
		Accounts:   slices.Concat(t.Accounts, u.Accounts),
		Transfers:  slices.Concat(t.Transfers, u.Transfers),
		Timestamps: slices.Concat(t.Timestamps, u.Timestamps),
	}.tidy()
}

func (t Touch) tidy() Touch {
	t.Accounts = tidyIDs(t.Accounts)
	t.Transfers = tidyIDs(t.Transfers)
	slices.Sort(t.Timestamps)
	t.Timestamps = slices.Compact(t.Timestamps)
	// A timestamp out of range is refused before anybody asks whether it is
	// taken; it need not fit the store's columns.
	for n := len(t.Timestamps); n > 0 && t.Timestamps[n-1] > ledger.TimestampMax; n-- {
		t.Timestamps = t.Timestamps[:n-1]
	}
	if len(t.Timestamps) > 0 && t.Timestamps[0] == 0 {
		t.Timestamps = t.Timestamps[1:]
	}
	return t
}

func tidyIDs(ids []ledger.ID) []ledger.ID {
	slices.SortFunc(ids, ledger.ID.Cmp)
	ids = slices.Compact(ids)
	if n := len(ids); n > 0 && ids[n-1] == ledger.AmountMax {
		ids = ids[:n-1]
	}
	if len(ids) > 0 && ids[0].IsZero() {
		ids = ids[1:]
	}
	return ids
}
