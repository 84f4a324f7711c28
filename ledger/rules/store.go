package rules

import "escrowd/ledger"

// PendingState is what has become of a pending transfer.
type PendingState uint8

// The states of a pending transfer. PendingNone means that the transfer is
// not a pending one (or does not exist).
const (
	PendingNone PendingState = iota
	PendingOpen
	PendingPosted
	PendingVoided
	PendingExpired
)

// Newest holds the ledger's three high-water marks, in nanoseconds UTC.
type Newest struct {
	Any      uint64 // the newest timestamp given to any event, expiries included
	Account  uint64 // the newest account's timestamp
	Transfer uint64 // the newest transfer's timestamp
}

// Store holds the books that the rules read and change. It decides nothing:
// the rules call it from one goroutine, keep the undo log of an open chain
// themselves, and take a change back by putting the old value or deleting.
//
// A Store over a database loads what a batch can touch beforehand (see
// Touch), answers from memory, and writes the changes back afterwards; so
// no method returns an error.
type Store interface {
	Account(id ledger.ID) (ledger.Account, bool)
	PutAccount(a ledger.Account) // insert, or replace the one with a.ID
	DeleteAccount(id ledger.ID)

	Transfer(id ledger.ID) (ledger.Transfer, bool)
	PutTransfer(t ledger.Transfer) // insert only: a transfer never changes
	DeleteTransfer(id ledger.ID)

	// Pending and SetPending keep the state of the pending transfer id.
	// SetPending(t, PendingNone) forgets it.
	Pending(id ledger.ID) PendingState
	SetPending(t ledger.Transfer, s PendingState)

	// Balance rows of accounts with history, one for each transfer that
	// touched the account; b.Timestamp is the transfer's.
	PutBalance(account ledger.ID, b ledger.AccountBalance)
	DeleteBalance(account ledger.ID, timestamp uint64)

	// Burned ids failed for a passing reason and may never be used again.
	Burned(id ledger.ID) bool
	Burn(id ledger.ID)

	// TimestampTaken reports whether an account or a transfer has the
	// timestamp. Asked for imported events only.
	TimestampTaken(timestamp uint64) bool

	Newest() Newest
	SetNewest(n Newest)

	// Expiring lists the open pending transfers with a timeout whose time
	// (timestamp + timeout) is at or before now, earliest first.
	Expiring(now uint64) []ledger.Transfer
}
