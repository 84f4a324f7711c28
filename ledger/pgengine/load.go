package pgengine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
	"escrowd/ledger/rules"
)

// dueSQL picks the open pending transfers whose time is up at $1 (ns), at most
// $2 of them, from the index that holds no others.
const dueSQL = `SELECT transfer_id FROM ledger_pending
	WHERE state = 1 AND expires_at IS NOT NULL AND expires_at <= $1
	ORDER BY expires_at LIMIT $2`

// What loadTransfersSQL found.
const (
	foundTransfer uint8 = iota
	foundDue
	foundBurned
)

// loadTransfersSQL answers for the due transfers, as in dueSQL, and for the ids
// in $3: those that are transfers, with the state of the pending ones, and
// those that are burned. One statement, because each costs a round trip.
var loadTransfersSQL = func() string {
	burned := "id, id, id, id, id" + strings.Repeat(", 0", len(transfersTable.Columns)-5)
	names := transfersTable.Names("t.")
	return fmt.Sprintf(`SELECT %d, %s, p.state
	FROM (%s) due
	JOIN ledger_pending p ON p.transfer_id = due.transfer_id
	JOIN ledger_transfers t ON t.id = due.transfer_id
UNION ALL
SELECT %d, %s, COALESCE(p.state, 0)
	FROM ledger_transfers t LEFT JOIN ledger_pending p ON p.transfer_id = t.id
	WHERE t.id = ANY ($3::uuid[])
UNION ALL
SELECT %d, %s, 0 FROM ledger_burned WHERE id = ANY ($3::uuid[])`,
		foundDue, names, dueSQL, foundTransfer, names, foundBurned, burned)
}()

var loadAccountsSQL = "SELECT " + accountsTable.Names("") + " FROM ledger_accounts WHERE id = ANY ($1::uuid[])"

const loadTimestampsSQL = `SELECT timestamp FROM ledger_transfers WHERE timestamp = ANY ($1::bigint[])
UNION ALL
SELECT timestamp FROM ledger_accounts WHERE timestamp = ANY ($1::bigint[])`

// load brings into memory all that a batch can touch at time now: what it
// names, a portion of the pending transfers that are due, and the accounts of
// every transfer found, which a post need not name.
func (e *Engine) load(ctx context.Context, tx *sqlx.Tx, touch rules.Touch, s state, now uint64, known cache) (*work, error) {
	w := &work{
		accounts:  make(map[ledger.ID]*accountEntry, len(touch.Accounts)),
		transfers: make(map[ledger.ID]*transferEntry, len(touch.Transfers)),
	}
	if err := e.loadTransfers(ctx, tx, w, touch.Transfers, s.highest, now); err != nil {
		return nil, fmt.Errorf("loading transfers: %w", err)
	}
	if err := e.loadAccounts(ctx, tx, w, touch.Accounts, known); err != nil {
		return nil, fmt.Errorf("loading accounts: %w", err)
	}
	if err := e.loadTimestamps(ctx, tx, w, touch.Timestamps); err != nil {
		return nil, fmt.Errorf("loading timestamps: %w", err)
	}
	return w, nil
}

// loadTransfers looks for transfers and burned ids, of ids in their order. Those
// above the highest there are need not be looked for: ids that rise with time,
// as escrowd's do, are found to be new without a look at an index.
func (e *Engine) loadTransfers(ctx context.Context, tx *sqlx.Tx, w *work, ids []ledger.ID, highest ledger.ID, now uint64) error {
	entries := make([]transferEntry, len(ids)) // one allocation, not thousands
	for i, id := range ids {
		w.transfers[id] = &entries[i]
	}
	var (
		kind    uint8
		t       ledger.Transfer
		pending rules.PendingState
		places  = append(append([]any{into(&kind)}, transferFields(&t)...), into(&pending))
	)
	old, found := slices.BinarySearchFunc(ids, highest, ledger.ID.Cmp)
	if found {
		old++
	}
	args := []any{int64(now), ledger.BatchMax, idArray(ids[:old])}
	err := e.query(ctx, tx, loadTransfersSQL, args, func(rows *sqlx.Rows) error {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		entry := w.transfers[t.ID]
		if entry == nil { // due, and not named by the batch
			entry = new(transferEntry)
			w.transfers[t.ID] = entry
		}
		if kind == foundBurned {
			entry.burned, entry.wasBurned = true, true
			return nil
		}
		entry.transfer, entry.exists, entry.stored = t, true, true
		entry.pending, entry.wasPending = pending, pending
		if kind == foundDue {
			w.expiring = append(w.expiring, t)
		}
		return nil
	})
	slices.SortFunc(w.expiring, func(a, b ledger.Transfer) int {
		return cmp.Or(cmp.Compare(expiresAt(&a), expiresAt(&b)), cmp.Compare(a.Timestamp, b.Timestamp))
	})
	return err
}

func (e *Engine) loadAccounts(ctx context.Context, tx *sqlx.Tx, w *work, ids []ledger.ID, known cache) error {
	var missing []ledger.ID
	entries := make([]accountEntry, len(ids))
	want := func(id ledger.ID, entry *accountEntry) {
		if a, ok := known.accounts[id]; ok {
			*entry = accountEntry{now: a, was: a, exists: true, stored: true}
		} else {
			missing = append(missing, id)
		}
		w.accounts[id] = entry
	}
	for i, id := range ids {
		want(id, &entries[i])
	}
	for _, t := range w.transfers {
		if !t.stored {
			continue
		}
		for _, id := range [2]ledger.ID{t.transfer.DebitAccountID, t.transfer.CreditAccountID} {
			if w.accounts[id] == nil {
				want(id, new(accountEntry))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.SortFunc(missing, ledger.ID.Cmp)
	var a ledger.Account
	places := accountFields(&a)
	return e.query(ctx, tx, loadAccountsSQL, []any{idArray(missing)}, func(rows *sqlx.Rows) error {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		*w.accounts[a.ID] = accountEntry{now: a, was: a, exists: true, stored: true}
		return nil
	})
}

func (e *Engine) loadTimestamps(ctx context.Context, tx *sqlx.Tx, w *work, timestamps []uint64) error {
	if len(timestamps) == 0 {
		return nil
	}
	w.taken = make(map[uint64]bool, 2*len(timestamps))
	for _, at := range timestamps {
		w.taken[at] = false
	}
	column := pgrows.Table{Columns: []pgrows.Column{{Name: "timestamp", Kind: "bigint"}}}
	args := column.Arrays(len(timestamps), func(f *pgrows.Fields, i int) { f.Number(timestamps[i]) })
	var at uint64
	return e.query(ctx, tx, loadTimestampsSQL, args, func(rows *sqlx.Rows) error {
		if err := rows.Scan(into(&at)); err != nil {
			return err
		}
		w.taken[at] = true
		return nil
	})
}

// idArray is ids as one parameter of type uuid[].
func idArray(ids []ledger.ID) any {
	return burnedTable.Arrays(len(ids), func(f *pgrows.Fields, i int) { f.ID(ids[i]) })[0]
}
