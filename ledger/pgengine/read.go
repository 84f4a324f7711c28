package pgengine

import (
	"context"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
)

// LookupAccounts answers the accounts that exist, in the order asked. What is
// due expires first (see ExpireDue), so that no balance shows a reservation
// whose time is up; no other answer depends on that.
func (e *Engine) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	if err := ledger.CheckBatch(len(ids)); err != nil {
		return nil, err
	}
	if _, err := e.ExpireDue(ctx); err != nil {
		return nil, err
	}
	var a ledger.Account
	places, byID := accountFields(&a), map[ledger.ID]ledger.Account{}
	err := e.lookup(ctx, loadAccountsSQL, ids, func(rows *sqlx.Rows) error {
		err := rows.Scan(places...)
		byID[a.ID] = a
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: looking up %d accounts: %w", len(ids), err)
	}
	return inOrder(ids, byID), nil
}

var lookupTransfersSQL = "SELECT " + transfersTable.Names("") + " FROM ledger_transfers WHERE id = ANY ($1::uuid[])"

// LookupTransfers answers the transfers that exist, in the order asked.
func (e *Engine) LookupTransfers(ctx context.Context, ids []ledger.ID) ([]ledger.Transfer, error) {
	var t ledger.Transfer
	places, byID := transferFields(&t), map[ledger.ID]ledger.Transfer{}
	err := e.lookup(ctx, lookupTransfersSQL, ids, func(rows *sqlx.Rows) error {
		err := rows.Scan(places...)
		byID[t.ID] = t
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: looking up %d transfers: %w", len(ids), err)
	}
	return inOrder(ids, byID), nil
}

func (e *Engine) lookup(ctx context.Context, text string, ids []ledger.ID, each func(*sqlx.Rows) error) error {
	if err := ledger.CheckBatch(len(ids)); err != nil {
		return err
	}
	if len(ids) == 0 {
		return nil
	}
	return e.read(ctx, text, []any{idArray(ids)}, each)
}

// inOrder answers as often as was asked, which a query alone would not.
func inOrder[T any](ids []ledger.ID, byID map[ledger.ID]T) []T {
	var found []T
	for _, id := range ids {
		if v, ok := byID[id]; ok {
			found = append(found, v)
		}
	}
	return found
}

// GetAccountTransfers answers transfers of one account by timestamp.
func (e *Engine) GetAccountTransfers(ctx context.Context, f ledger.AccountFilter) ([]ledger.Transfer, error) {
	if err := checkLimit(f.Limit); err != nil || !f.Valid() {
		return nil, err
	}
	var q query
	q.accountFilter(f, "t.timestamp")
	// One index serves each side, and both are in the order of timestamps. No
	// transfer is on both sides: its accounts differ.
	var sides []string
	for _, side := range accountSides(f) {
		sides = append(sides, "(SELECT "+transfersTable.Names("t.")+" FROM ledger_transfers t WHERE "+
			q.and(side+" = "+q.account)+q.tail("t.timestamp")+")")
	}
	text := strings.Join(sides, " UNION ALL ")
	if len(sides) == 2 {
		text += q.tail("timestamp")
	}
	return e.transfers(ctx, text, q.args)
}

// GetAccountBalances answers balances of one account with history, by the
// timestamp and filter of the transfers that led to them.
func (e *Engine) GetAccountBalances(ctx context.Context, f ledger.AccountFilter) ([]ledger.AccountBalance, error) {
	if err := checkLimit(f.Limit); err != nil || !f.Valid() {
		return nil, err
	}
	var q query
	q.accountFilter(f, "b.timestamp")
	if sides := accountSides(f); len(sides) == 1 {
		q.conditions = append(q.conditions, sides[0]+" = "+q.account)
	}
	text := "SELECT b.timestamp, b.debits_pending, b.debits_posted, b.credits_pending, b.credits_posted" +
		" FROM ledger_balances b JOIN ledger_transfers t ON t.timestamp = b.timestamp WHERE " +
		q.and("b.account_id = "+q.account) + q.tail("b.timestamp")

	var b ledger.AccountBalance
	var found []ledger.AccountBalance
	places := balanceFields(&b)
	err := e.read(ctx, text, q.args, func(rows *sqlx.Rows) error {
		err := rows.Scan(places...)
		found = append(found, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: reading balances: %w", err)
	}
	return found, nil
}

// QueryAccounts answers accounts by timestamp. Only the time window is served
// by an index; other fields are looked at row by row. What is due expires
// first, as in LookupAccounts.
func (e *Engine) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	if err := checkLimit(f.Limit); err != nil || !f.Valid() {
		return nil, err
	}
	if _, err := e.ExpireDue(ctx); err != nil {
		return nil, err
	}
	var q query
	q.queryFilter(f)
	text := "SELECT " + accountsTable.Names("t.") + " FROM ledger_accounts t WHERE " + q.and("true") + q.tail("t.timestamp")
	var a ledger.Account
	var found []ledger.Account
	places := accountFields(&a)
	err := e.read(ctx, text, q.args, func(rows *sqlx.Rows) error {
		err := rows.Scan(places...)
		found = append(found, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: querying accounts: %w", err)
	}
	return found, nil
}

// QueryTransfers answers transfers by timestamp. Only the time window is
// served by an index; other fields are looked at row by row, so a query for a
// rare value should also say when. (The transfers of one order are those of its
// escrow account: GetAccountTransfers finds them by an index.)
func (e *Engine) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	if err := checkLimit(f.Limit); err != nil || !f.Valid() {
		return nil, err
	}
	var q query
	q.queryFilter(f)
	text := "SELECT " + transfersTable.Names("t.") + " FROM ledger_transfers t WHERE " + q.and("true") + q.tail("t.timestamp")
	return e.transfers(ctx, text, q.args)
}

func (e *Engine) transfers(ctx context.Context, text string, args []any) ([]ledger.Transfer, error) {
	var t ledger.Transfer
	var found []ledger.Transfer
	places := transferFields(&t)
	err := e.read(ctx, text, args, func(rows *sqlx.Rows) error {
		err := rows.Scan(places...)
		found = append(found, t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: reading transfers: %w", err)
	}
	return found, nil
}

// read runs a prepared statement outside any transaction. Its errors are
// ErrNotSent: nothing is changed by reading.
func (e *Engine) read(ctx context.Context, text string, args []any, each func(*sqlx.Rows) error) error {
	if e.closed.Load() {
		return fmt.Errorf("%w: %w", ledger.ErrNotSent, errClosed)
	}
	st, err := e.prepared(ctx, text)
	if err == nil {
		rows, failed := st.QueryxContext(ctx, args...)
		err = drain(rows, failed, each)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ledger.ErrNotSent, err)
	}
	return nil
}

func checkLimit(limit uint32) error { return ledger.CheckBatch(int(limit)) }

// accountSides are the columns that f wants the account to be in.
func accountSides(f ledger.AccountFilter) (sides []string) {
	if f.Flags&ledger.FilterDebits != 0 {
		sides = append(sides, "t.debit_account_id")
	}
	if f.Flags&ledger.FilterCredits != 0 {
		sides = append(sides, "t.credit_account_id")
	}
	return sides
}

// query is a filter as SQL: conditions on t, all of which must hold.
type query struct {
	statement
	account    string // the placeholder of the account's id
	conditions []string
	limit      string
	reversed   bool
}

func (q *query) accountFilter(f ledger.AccountFilter, timestamp string) {
	q.account = q.arg(f.AccountID.UUID())
	q.fields(f.UserData128, f.UserData64, f.UserData32, 0, f.Code)
	q.window(f.TimestampMin, f.TimestampMax, timestamp)
	q.limit, q.reversed = q.arg(int64(f.Limit)), f.Flags&ledger.FilterReversed != 0
}

func (q *query) queryFilter(f ledger.QueryFilter) {
	q.fields(f.UserData128, f.UserData64, f.UserData32, f.Ledger, f.Code)
	q.window(f.TimestampMin, f.TimestampMax, "t.timestamp")
	q.limit, q.reversed = q.arg(int64(f.Limit)), f.Flags&ledger.FilterQueryReversed != 0
}

// fields adds a condition for each field that is set: 0 means any.
func (q *query) fields(data128 ledger.Uint128, data64 uint64, data32, ledgerNumber uint32, code uint16) {
	equal := func(set bool, name string, v any) {
		if set {
			q.conditions = append(q.conditions, "t."+name+" = "+q.arg(v))
		}
	}
	equal(!data128.IsZero(), "user_data_128", data128.UUID())
	equal(data64 != 0, "user_data_64", int64(data64))
	equal(data32 != 0, "user_data_32", int64(data32))
	equal(ledgerNumber != 0, "ledger", int64(ledgerNumber))
	equal(code != 0, "code", int64(code))
}

// window bounds the timestamps, inclusive; 0 for max means any.
func (q *query) window(from, to uint64, timestamp string) {
	if to == 0 {
		to = ledger.TimestampMax
	}
	q.conditions = append(q.conditions, timestamp+" BETWEEN "+q.arg(int64(from))+" AND "+q.arg(int64(to)))
}

func (q *query) and(first string) string {
	return strings.Join(append([]string{first}, q.conditions...), " AND ")
}

func (q *query) tail(timestamp string) string {
	order := " ORDER BY " + timestamp
	if q.reversed {
		order += " DESC"
	}
	return order + " LIMIT " + q.limit
}
