// Package rules is TigerBeetle 0.17.9 as a pure state machine: what each event
// of a create_accounts or create_transfers request is answered, and what it
// changes. It has no I/O and no clock of its own. The books are behind the
// small interface Store; time is an argument. The source of every rule is
// TigerBeetle's reference ("Requests", docs.tigerbeetle.com) and the answers
// recorded from a real server, which ledgertest replays.
//
// # One batch
//
// A caller with n events at wall clock c does, under one lock,
//
//	Expire(store, c)                               // free what is overdue
//	T := NextTimestamp(store.Newest(), c, n)       // the batch's own time
//	results := CreateTransfers(store, T, events)
//
// Event i has the timestamp T-n+1+i, whether it succeeds or not. An imported
// event keeps the timestamp it brings; all events of a batch are imported, or
// none is, as the first one says.
//
// # One event
//
// Checks run in one fixed order, and the first that fails names the outcome:
// the chain's own checks (chains.go), then those of an account (accounts.go),
// of a plain or pending transfer (transfers.go), or of a post or void
// (pending.go). An id that is known is compared field by field before anything
// else is looked at: what was true when it was created need not be true now.
//
// # Chains
//
// Events with the linked flag stand or fall with the next one. The rules keep
// an undo log while a chain is open; the first outcome but "created" (even
// "exists") takes all back and fails the rest. What outlives that is a burned
// id: a transfer refused for a reason that may pass, such as too little
// credit, can never be sent again under its id, so that a late retry cannot
// surprise anybody.
//
// # Pending transfers
//
// A pending transfer reserves its amount on both accounts. It ends once: by a
// post (in part or whole), by a void, or by its timeout. Expire frees what ran
// out; a post or void that comes first is refused all the same.
package rules
