package pgengine

import (
	"fmt"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
	"escrowd/ledger/rules"
)

var (
	accountsTable = pgrows.Table{Name: "ledger_accounts", Columns: []pgrows.Column{
		{Name: "id", Kind: "uuid"}, {Name: "user_data_128", Kind: "uuid"}, {Name: "user_data_64", Kind: "bigint"}, {Name: "timestamp", Kind: "bigint"},
		{Name: "user_data_32", Kind: "bigint"}, {Name: "ledger", Kind: "bigint"}, {Name: "code", Kind: "int"}, {Name: "flags", Kind: "int"},
		{Name: "debits_pending", Kind: "numeric"}, {Name: "debits_posted", Kind: "numeric"}, {Name: "credits_pending", Kind: "numeric"}, {Name: "credits_posted", Kind: "numeric"},
	}}
	transfersTable = pgrows.Table{Name: "ledger_transfers", Columns: []pgrows.Column{
		{Name: "id", Kind: "uuid"}, {Name: "debit_account_id", Kind: "uuid"}, {Name: "credit_account_id", Kind: "uuid"}, {Name: "pending_id", Kind: "uuid"},
		{Name: "user_data_128", Kind: "uuid"}, {Name: "user_data_64", Kind: "bigint"}, {Name: "timestamp", Kind: "bigint"}, {Name: "user_data_32", Kind: "bigint"},
		{Name: "timeout", Kind: "bigint"}, {Name: "ledger", Kind: "bigint"}, {Name: "code", Kind: "int"}, {Name: "flags", Kind: "int"}, {Name: "amount", Kind: "numeric"},
	}}
	pendingTable = pgrows.Table{Name: "ledger_pending", Columns: []pgrows.Column{
		{Name: "transfer_id", Kind: "uuid"}, {Name: "state", Kind: "smallint"}, {Name: "expires_at", Kind: "bigint"}, {Name: "expired_after", Kind: "bigint"},
	}}
	burnedTable = pgrows.Table{Name: "ledger_burned", Columns: []pgrows.Column{{Name: "id", Kind: "uuid"}}}

	// What a transfer changes on an account: its balances, and whether it is closed.
	accountChanges = pgrows.Table{Name: "ledger_accounts", Columns: []pgrows.Column{
		{Name: "id", Kind: "uuid"}, {Name: "flags", Kind: "int"},
		{Name: "debits_pending", Kind: "numeric"}, {Name: "debits_posted", Kind: "numeric"}, {Name: "credits_pending", Kind: "numeric"}, {Name: "credits_posted", Kind: "numeric"},
	}}
)

func putAccount(f *pgrows.Fields, a *ledger.Account) {
	f.ID(a.ID)
	f.ID(a.UserData128)
	f.Bits(a.UserData64)
	f.Number(a.Timestamp)
	f.Number(uint64(a.UserData32))
	f.Number(uint64(a.Ledger))
	f.Number(uint64(a.Code))
	f.Number(uint64(a.Flags))
	f.Amount(a.DebitsPending)
	f.Amount(a.DebitsPosted)
	f.Amount(a.CreditsPending)
	f.Amount(a.CreditsPosted)
}

func putAccountChange(f *pgrows.Fields, a *ledger.Account) {
	f.ID(a.ID)
	f.Number(uint64(a.Flags))
	f.Amount(a.DebitsPending)
	f.Amount(a.DebitsPosted)
	f.Amount(a.CreditsPending)
	f.Amount(a.CreditsPosted)
}

func putTransfer(f *pgrows.Fields, t *ledger.Transfer) {
	f.ID(t.ID)
	f.ID(t.DebitAccountID)
	f.ID(t.CreditAccountID)
	f.ID(t.PendingID)
	f.ID(t.UserData128)
	f.Bits(t.UserData64)
	f.Number(t.Timestamp)
	f.Number(uint64(t.UserData32))
	f.Number(uint64(t.Timeout))
	f.Number(uint64(t.Ledger))
	f.Number(uint64(t.Code))
	f.Number(uint64(t.Flags))
	f.Amount(t.Amount)
}

// putPending writes a pending transfer's state, and for one that expires the
// newest transfer at that moment (ns since 1970 UTC).
func putPending(f *pgrows.Fields, e *transferEntry, newest uint64) {
	f.ID(e.transfer.ID)
	f.Number(uint64(e.pending))
	if at := expiresAt(&e.transfer); at != 0 {
		f.Number(at)
	} else {
		f.Null()
	}
	if e.pending == rules.PendingExpired {
		f.Number(newest)
	} else {
		f.Null()
	}
}

// expiresAt is when pending transfer t expires, ns since 1970 UTC; 0 is never.
// A time beyond the last valid timestamp is never reached, so it is never too.
func expiresAt(t *ledger.Transfer) uint64 {
	if t.Timeout == 0 {
		return 0
	}
	// At most 2^63 + 2^32 * 10^9, so this cannot overflow.
	at := t.Timestamp + uint64(t.Timeout)*1e9
	if at > ledger.TimestampMax {
		return 0
	}
	return at
}

// The scanners read what lib/pq hands over for each column type.

type scanUUID ledger.Uint128

func (v *scanUUID) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a %T is not a uuid", src)
	}
	u, err := ledger.ParseUUID(string(b))
	*v = scanUUID(u)
	return err
}

type scanAmount ledger.Amount

func (v *scanAmount) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a %T is not an amount", src)
	}
	u, err := ledger.ParseUint128(string(b))
	if err != nil {
		return fmt.Errorf("amount %q: %w", b, err)
	}
	*v = scanAmount(u)
	return nil
}

// scanInt reads a whole number into any unsigned type. The schema's CHECKs
// keep each within its type's range; a bit pattern is taken as it is.
type scanInt[T ~uint8 | ~uint16 | ~uint32 | ~uint64] struct{ to *T }

func (v scanInt[T]) Scan(src any) error {
	n, ok := src.(int64)
	if !ok {
		return fmt.Errorf("a %T is not a whole number", src)
	}
	*v.to = T(n)
	return nil
}

func into[T ~uint8 | ~uint16 | ~uint32 | ~uint64](to *T) scanInt[T] { return scanInt[T]{to} }

// accountFields are the places for accountsTable's columns.
func accountFields(a *ledger.Account) []any {
	return []any{
		(*scanUUID)(&a.ID), (*scanUUID)(&a.UserData128), into(&a.UserData64), into(&a.Timestamp),
		into(&a.UserData32), into(&a.Ledger), into(&a.Code), into(&a.Flags),
		(*scanAmount)(&a.DebitsPending), (*scanAmount)(&a.DebitsPosted),
		(*scanAmount)(&a.CreditsPending), (*scanAmount)(&a.CreditsPosted),
	}
}

// transferFields are the places for transfersTable's columns.
func transferFields(t *ledger.Transfer) []any {
	return []any{
		(*scanUUID)(&t.ID), (*scanUUID)(&t.DebitAccountID), (*scanUUID)(&t.CreditAccountID), (*scanUUID)(&t.PendingID),
		(*scanUUID)(&t.UserData128), into(&t.UserData64), into(&t.Timestamp), into(&t.UserData32),
		into(&t.Timeout), into(&t.Ledger), into(&t.Code), into(&t.Flags), (*scanAmount)(&t.Amount),
	}
}

// balanceFields are the places for the columns of ledger_balances after account_id.
func balanceFields(b *ledger.AccountBalance) []any {
	return []any{
		into(&b.Timestamp), (*scanAmount)(&b.DebitsPending), (*scanAmount)(&b.DebitsPosted),
		(*scanAmount)(&b.CreditsPending), (*scanAmount)(&b.CreditsPosted),
	}
}
