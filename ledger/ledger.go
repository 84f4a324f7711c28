// Package ledger is the vocabulary of the books: accounts, transfers, amounts,
// and the answers a ledger gives. It is pure: no I/O, no clock, no database.
//
// Names, numbers and meanings are TigerBeetle's (docs.tigerbeetle.com,
// "Reference"), because TigerBeetle is the ledger that escrowd is written for;
// the embedded Postgres engine answers exactly as TigerBeetle does.
//
//	ledger/chart       which accounts and transfer codes an escrow needs
//	ledger/rules       TigerBeetle's rules as a pure state machine
//	ledger/pgengine    the rules on Postgres, the embedded default
//	ledger/tbengine    a TigerBeetle cluster through the official client
//	ledger/ledgertest  one conformance suite for all of them
package ledger

import (
	"context"
	"errors"
	"fmt"
)

// BatchMax is the most events (or ids, or answered rows) in one request:
// TigerBeetle's limit for its 1 MiB messages.
const BatchMax = 8189

// AmountMax is 2^128-1. As the amount of a post it means "all that is pending".
var AmountMax = Amount{Hi: ^uint64(0), Lo: ^uint64(0)}

// TimestampMax is the last valid timestamp, 2^63-1 nanoseconds since 1970 UTC.
const TimestampMax = uint64(1)<<63 - 1

// Account is one account of the books. Balances are in minor units of the
// ledger's currency. Timestamp is nanoseconds since 1970 UTC, given by the
// ledger (or, for imported accounts, by the caller).
type Account struct {
	ID             ID
	DebitsPending  Amount
	DebitsPosted   Amount
	CreditsPending Amount
	CreditsPosted  Amount
	UserData128    Uint128 // what it is about: an order, a party
	UserData64     uint64  // when it took effect, Unix microseconds UTC
	UserData32     uint32
	Reserved       uint32 // must be 0; here so that an engine can refuse what is not
	Ledger         uint32
	Code           uint16 // the chart's number
	Flags          AccountFlags
	Timestamp      uint64
}

// Transfer moves Amount minor units from the debit to the credit account.
type Transfer struct {
	ID              ID
	DebitAccountID  ID
	CreditAccountID ID
	Amount          Amount
	PendingID       ID
	UserData128     Uint128 // what it is about: an order, a payout, an adjustment
	UserData64      uint64  // when it took effect, Unix microseconds UTC
	UserData32      uint32  // settlement batch number, 0 for none
	Timeout         uint32  // seconds until a pending transfer expires, 0 for never
	Ledger          uint32
	Code            uint16 // why: the chart's transfer code
	Flags           TransferFlags
	Timestamp       uint64
}

// AccountBalance is an account's balances right after the transfer that
// carries Timestamp. Only accounts with AccountHistory have them.
type AccountBalance struct {
	DebitsPending  Amount
	DebitsPosted   Amount
	CreditsPending Amount
	CreditsPosted  Amount
	Timestamp      uint64
}

// AccountFlags are TigerBeetle's account flags.
type AccountFlags uint16

// The account flags.
const (
	AccountLinked AccountFlags = 1 << iota
	AccountDebitsMustNotExceedCredits
	AccountCreditsMustNotExceedDebits
	AccountHistory
	AccountImported
	AccountClosed

	// AccountFlagsAll has every flag that is defined; any other bit is reserved.
	AccountFlagsAll = AccountClosed<<1 - 1
)

// Has reports whether all bits of g are set in f.
func (f AccountFlags) Has(g AccountFlags) bool { return f&g == g }

// TransferFlags are TigerBeetle's transfer flags.
type TransferFlags uint16

// The transfer flags.
const (
	TransferLinked TransferFlags = 1 << iota
	TransferPending
	TransferPostPending
	TransferVoidPending
	TransferBalancingDebit
	TransferBalancingCredit
	TransferClosingDebit
	TransferClosingCredit
	TransferImported

	// TransferFlagsAll has every flag that is defined; any other bit is reserved.
	TransferFlagsAll = TransferImported<<1 - 1
)

// Has reports whether all bits of g are set in f.
func (f TransferFlags) Has(g TransferFlags) bool { return f&g == g }

// FilterFlags are the flags of AccountFilter and QueryFilter. QueryFilter
// knows FilterQueryReversed only.
type FilterFlags uint32

// The filter flags. AccountFilter and QueryFilter number them differently.
const (
	FilterDebits   FilterFlags = 1 << 0 // AccountFilter: transfers that debit the account
	FilterCredits  FilterFlags = 1 << 1 // AccountFilter: transfers that credit the account
	FilterReversed FilterFlags = 1 << 2 // AccountFilter: newest first

	FilterQueryReversed FilterFlags = 1 << 0 // QueryFilter: newest first
)

// AccountFilter selects transfers or balances of one account. Zero means "any"
// for every field but AccountID, Limit and Flags; timestamps are inclusive.
type AccountFilter struct {
	AccountID    ID
	UserData128  Uint128
	UserData64   uint64
	UserData32   uint32
	Code         uint16
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        FilterFlags
}

// Valid reports whether the ledger would answer the filter; an invalid filter
// is answered with nothing.
func (f AccountFilter) Valid() bool {
	return !f.AccountID.IsZero() && f.AccountID != AmountMax &&
		validWindow(f.TimestampMin, f.TimestampMax) && f.Limit != 0 &&
		f.Flags&(FilterDebits|FilterCredits) != 0 &&
		f.Flags&^(FilterDebits|FilterCredits|FilterReversed) == 0
}

// QueryFilter selects accounts or transfers. Zero means "any" for every field
// but Limit and Flags; timestamps are inclusive.
type QueryFilter struct {
	UserData128  Uint128
	UserData64   uint64
	UserData32   uint32
	Ledger       uint32
	Code         uint16
	TimestampMin uint64
	TimestampMax uint64
	Limit        uint32
	Flags        FilterFlags
}

// Valid reports whether the ledger would answer the filter; an invalid filter
// is answered with nothing.
func (f QueryFilter) Valid() bool {
	return validWindow(f.TimestampMin, f.TimestampMax) && f.Limit != 0 &&
		f.Flags&^FilterQueryReversed == 0
}

func validWindow(from, to uint64) bool {
	return from <= TimestampMax && to <= TimestampMax && (to == 0 || from <= to)
}

// AccountResult answers one event of CreateAccounts. Timestamp is the
// account's: when Status is AccountExists, the original's.
type AccountResult struct {
	Status    AccountStatus
	Timestamp uint64
}

// TransferResult answers one event of CreateTransfers. Timestamp is the
// transfer's: when Status is TransferExists, the original's.
type TransferResult struct {
	Status    TransferStatus
	Timestamp uint64
}

// Reader is the half of a ledger that changes nothing. Lookups answer the
// objects that exist, in the order asked; filters answer by timestamp.
type Reader interface {
	LookupAccounts(ctx context.Context, ids []ID) ([]Account, error)
	LookupTransfers(ctx context.Context, ids []ID) ([]Transfer, error)
	GetAccountTransfers(ctx context.Context, f AccountFilter) ([]Transfer, error)
	GetAccountBalances(ctx context.Context, f AccountFilter) ([]AccountBalance, error)
	QueryAccounts(ctx context.Context, f QueryFilter) ([]Account, error)
	QueryTransfers(ctx context.Context, f QueryFilter) ([]Transfer, error)
}

// Engine is a ledger with TigerBeetle's eight requests and limits.
//
// A refusal is a status per event: there is one result for each event, in
// order. An error means that the outcome of the whole request is unknown: it
// may or may not have been applied, and the caller finds out by sending the
// same events, with the same ids, again. Only errors that satisfy
// errors.Is(err, ErrNotSent) promise that nothing was applied.
type Engine interface {
	Reader
	CreateAccounts(ctx context.Context, accounts []Account) ([]AccountResult, error)
	CreateTransfers(ctx context.Context, transfers []Transfer) ([]TransferResult, error)
	// Close releases the engine's resources. Calls after it are ErrNotSent;
	// closing again does nothing.
	Close() error
}

// Opener is what an Engine may offer besides: new accounts and the transfers
// that need them in one request, for one trip to the disk instead of two.
type Opener interface {
	// OpenAndTransfer is CreateAccounts and then CreateTransfers, all of it
	// durable together or not at all, each within the batch limit. Unless
	// every account was created or exists, no transfer is tried and their
	// results are nil.
	OpenAndTransfer(ctx context.Context, accounts []Account, transfers []Transfer) ([]AccountResult, []TransferResult, error)
}

// Stands reports whether an account that was to be created is there now.
func (s AccountStatus) Stands() bool { return s == AccountCreated || s == AccountExists }

var (
	// ErrNotSent: the request was never given to the ledger; nothing changed.
	ErrNotSent = errors.New("not sent to the ledger")
	// ErrUnknown: the ledger may or may not have applied the request.
	ErrUnknown = errors.New("outcome unknown")
)

// TooManyError refuses a request with more than BatchMax events, ids or rows.
// It is an ErrNotSent.
type TooManyError struct{ Events int }

func (e *TooManyError) Error() string {
	return fmt.Sprintf("ledger: %d events in one request, at most %d fit", e.Events, BatchMax)
}

// Is makes a TooManyError an ErrNotSent: nothing of the request was applied.
func (e *TooManyError) Is(target error) bool { return target == ErrNotSent }

// CheckBatch is the guard every engine runs first: nil, or a *TooManyError.
func CheckBatch(events int) error {
	if events > BatchMax {
		return &TooManyError{Events: events}
	}
	return nil
}
