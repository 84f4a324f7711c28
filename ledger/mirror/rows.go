package mirror

import (
	"fmt"

	"escrowd/ledger"
)

// accountRow and transferRow are the rows of ledger_accounts and
// ledger_transfers. user_data_64 has the bits of an unsigned number.
type accountRow struct {
	ID             dbID     `db:"id"`
	UserData128    dbID     `db:"user_data_128"`
	UserData64     int64    `db:"user_data_64"`
	Timestamp      uint64   `db:"timestamp"`
	UserData32     uint32   `db:"user_data_32"`
	Ledger         uint32   `db:"ledger"`
	Code           uint16   `db:"code"`
	Flags          uint16   `db:"flags"`
	DebitsPending  dbAmount `db:"debits_pending"`
	DebitsPosted   dbAmount `db:"debits_posted"`
	CreditsPending dbAmount `db:"credits_pending"`
	CreditsPosted  dbAmount `db:"credits_posted"`
}

func (r *accountRow) account() ledger.Account {
	return ledger.Account{
		ID: ledger.ID(r.ID), UserData128: ledger.Uint128(r.UserData128), UserData64: uint64(r.UserData64), UserData32: r.UserData32,
		Timestamp: r.Timestamp, Ledger: r.Ledger, Code: r.Code, Flags: ledger.AccountFlags(r.Flags),
		DebitsPending: ledger.Amount(r.DebitsPending), DebitsPosted: ledger.Amount(r.DebitsPosted),
		CreditsPending: ledger.Amount(r.CreditsPending), CreditsPosted: ledger.Amount(r.CreditsPosted),
	}
}

// transferNames are the columns of a transferRow but the last.
const transferNames = `t.id, t.debit_account_id, t.credit_account_id, t.pending_id, t.user_data_128, t.user_data_64, t.timestamp,
	t.user_data_32, t.timeout, t.ledger, t.code, t.flags, t.amount`

type transferRow struct {
	ID          dbID     `db:"id"`
	Debit       dbID     `db:"debit_account_id"`
	Credit      dbID     `db:"credit_account_id"`
	PendingID   dbID     `db:"pending_id"`
	UserData128 dbID     `db:"user_data_128"`
	UserData64  int64    `db:"user_data_64"`
	Timestamp   uint64   `db:"timestamp"`
	UserData32  uint32   `db:"user_data_32"`
	Timeout     uint32   `db:"timeout"`
	Ledger      uint32   `db:"ledger"`
	Code        uint16   `db:"code"`
	Flags       uint16   `db:"flags"`
	Amount      dbAmount `db:"amount"`
	State       uint8    `db:"state"` // of a pending transfer: rules.PendingState
}

func (r *transferRow) transfer() ledger.Transfer {
	return ledger.Transfer{
		ID: ledger.ID(r.ID), DebitAccountID: ledger.ID(r.Debit), CreditAccountID: ledger.ID(r.Credit), Amount: ledger.Amount(r.Amount),
		PendingID: ledger.ID(r.PendingID), UserData128: ledger.Uint128(r.UserData128), UserData64: uint64(r.UserData64),
		UserData32: r.UserData32, Timeout: r.Timeout, Ledger: r.Ledger, Code: r.Code, Flags: ledger.TransferFlags(r.Flags),
		Timestamp: r.Timestamp,
	}
}

// dbID and dbAmount read what lib/pq hands over for a uuid and a numeric.
type (
	dbID     ledger.ID
	dbAmount ledger.Amount
)

// Scan is part of sql.Scanner.
func (v *dbID) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a %T is not a uuid", src)
	}
	u, err := ledger.ParseUUID(string(b))
	*v = dbID(u)
	return err
}

// Scan is part of sql.Scanner.
func (v *dbAmount) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("a %T is not an amount", src)
	}
	u, err := ledger.ParseUint128(string(b))
	if err != nil {
		return fmt.Errorf("amount %q: %w", b, err)
	}
	*v = dbAmount(u)
	return nil
}
