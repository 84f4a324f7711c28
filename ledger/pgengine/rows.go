package pgengine

import (
	"fmt"
	"strconv"
	"strings"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

// column is one column of a table and its Postgres type.
type column struct{ name, kind string }

// table is what the engine writes to: columns in the order in which the put
// functions below fill them.
type table struct {
	name    string
	columns []column
}

var (
	accountsTable = table{"ledger_accounts", []column{
		{"id", "uuid"}, {"user_data_128", "uuid"}, {"user_data_64", "bigint"}, {"timestamp", "bigint"},
		{"user_data_32", "bigint"}, {"ledger", "bigint"}, {"code", "int"}, {"flags", "int"},
		{"debits_pending", "numeric"}, {"debits_posted", "numeric"}, {"credits_pending", "numeric"}, {"credits_posted", "numeric"},
	}}
	transfersTable = table{"ledger_transfers", []column{
		{"id", "uuid"}, {"debit_account_id", "uuid"}, {"credit_account_id", "uuid"}, {"pending_id", "uuid"},
		{"user_data_128", "uuid"}, {"user_data_64", "bigint"}, {"timestamp", "bigint"}, {"user_data_32", "bigint"},
		{"timeout", "bigint"}, {"ledger", "bigint"}, {"code", "int"}, {"flags", "int"}, {"amount", "numeric"},
	}}
	pendingTable = table{"ledger_pending", []column{
		{"transfer_id", "uuid"}, {"state", "smallint"}, {"expires_at", "bigint"}, {"expired_after", "bigint"},
	}}
	burnedTable = table{"ledger_burned", []column{{"id", "uuid"}}}

	// What a transfer changes on an account: its balances, and whether it is closed.
	accountChanges = table{"ledger_accounts", []column{
		{"id", "uuid"}, {"flags", "int"},
		{"debits_pending", "numeric"}, {"debits_posted", "numeric"}, {"credits_pending", "numeric"}, {"credits_posted", "numeric"},
	}}
)

// names lists the table's columns, each after prefix ("" or "t.").
func (t table) names(prefix string) string {
	var b strings.Builder
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(prefix + c.name)
	}
	return b.String()
}

// fields collects values as text that needs no quoting: digits, uuids, NULL.
// With one buffer a column it makes Postgres arrays, with a single buffer the
// lines of a COPY; either way each value is followed by a comma.
type fields struct {
	buffers [][]byte
	at      int
}

func (f *fields) next() *[]byte {
	b := &f.buffers[f.at]
	if f.at++; f.at == len(f.buffers) {
		f.at = 0
	}
	return b
}

func (f *fields) id(v ledger.ID) {
	const hex = "0123456789abcdef"
	b := f.next()
	// Dashes are not needed to be read as a uuid, so they are not sent.
	for _, c := range v.Bytes() {
		*b = append(*b, hex[c>>4], hex[c&15])
	}
	*b = append(*b, ',')
}

func (f *fields) number(v uint64) {
	b := f.next()
	*b = append(strconv.AppendUint(*b, v, 10), ',')
}

// bits writes v as the bigint with the same bit pattern.
func (f *fields) bits(v uint64) {
	b := f.next()
	*b = append(strconv.AppendInt(*b, int64(v), 10), ',')
}

func (f *fields) amount(v ledger.Amount) {
	if v.Hi == 0 {
		f.number(v.Lo)
		return
	}
	b := f.next()
	*b = append(v.Big().Append(*b, 10), ',')
}

func (f *fields) null() {
	b := f.next()
	*b = append(*b, "NULL,"...)
}

// putter writes row i of a set of rows.
type putter func(f *fields, i int)

// arrays is n rows as one array a column, each ready to be a parameter.
func (t table) arrays(n int, put putter) []any {
	f := fields{buffers: make([][]byte, len(t.columns))}
	for i := range f.buffers {
		f.buffers[i] = append(make([]byte, 0, 2+n*24), '{')
	}
	for i := range n {
		put(&f, i)
	}
	params := make([]any, len(f.buffers))
	for i, b := range f.buffers {
		if n > 0 {
			b = b[:len(b)-1]
		}
		params[i] = string(append(b, '}'))
	}
	return params
}

// lines gives n rows one by one as lines for COPY ... (DELIMITER ',', NULL 'NULL').
func (t table) lines(n int, put putter, send func(line string) error) error {
	f := fields{buffers: make([][]byte, 1)}
	for i := range n {
		f.buffers[0] = f.buffers[0][:0]
		put(&f, i)
		if err := send(string(f.buffers[0][:len(f.buffers[0])-1])); err != nil {
			return err
		}
	}
	return nil
}

func putAccount(f *fields, a *ledger.Account) {
	f.id(a.ID)
	f.id(a.UserData128)
	f.bits(a.UserData64)
	f.number(a.Timestamp)
	f.number(uint64(a.UserData32))
	f.number(uint64(a.Ledger))
	f.number(uint64(a.Code))
	f.number(uint64(a.Flags))
	f.amount(a.DebitsPending)
	f.amount(a.DebitsPosted)
	f.amount(a.CreditsPending)
	f.amount(a.CreditsPosted)
}

func putAccountChange(f *fields, a *ledger.Account) {
	f.id(a.ID)
	f.number(uint64(a.Flags))
	f.amount(a.DebitsPending)
	f.amount(a.DebitsPosted)
	f.amount(a.CreditsPending)
	f.amount(a.CreditsPosted)
}

func putTransfer(f *fields, t *ledger.Transfer) {
	f.id(t.ID)
	f.id(t.DebitAccountID)
	f.id(t.CreditAccountID)
	f.id(t.PendingID)
	f.id(t.UserData128)
	f.bits(t.UserData64)
	f.number(t.Timestamp)
	f.number(uint64(t.UserData32))
	f.number(uint64(t.Timeout))
	f.number(uint64(t.Ledger))
	f.number(uint64(t.Code))
	f.number(uint64(t.Flags))
	f.amount(t.Amount)
}

// putPending writes a pending transfer's state, and for one that expires the
// newest transfer at that moment (ns since 1970 UTC).
func putPending(f *fields, e *transferEntry, newest uint64) {
	f.id(e.transfer.ID)
	f.number(uint64(e.pending))
	if at := expiresAt(&e.transfer); at != 0 {
		f.number(at)
	} else {
		f.null()
	}
	if e.pending == rules.PendingExpired {
		f.number(newest)
	} else {
		f.null()
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
