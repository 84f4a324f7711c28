package mirror

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

// journal is the tables that a mirror writes and reports read.
type journal struct{ db *sqlx.DB }

// state is the row of ledger_state. The journal changes only with Sequence: if
// that is still the same when the row is locked, all that was read in between
// was of one moment.
type state struct {
	Sequence       int64      `db:"sequence"`
	Mirrored       bool       `db:"mirrored"`
	NewestAccount  uint64     `db:"newest_account"`
	NewestTransfer uint64     `db:"newest_transfer"`
	Checked        uint64     `db:"mirror_checked"`
	Complete       *time.Time `db:"mirror_complete"`
}

func (j journal) state(ctx context.Context) (s state, err error) {
	err = j.db.GetContext(ctx, &s, `SELECT sequence, mirrored, newest_account, newest_transfer, mirror_checked, mirror_complete FROM ledger_state`)
	if err != nil {
		return s, fmt.Errorf("reading how far the journal goes: %w", err)
	}
	return s, nil
}

// byIndex makes Postgres go by the indexes for the rest of a transaction,
// whatever the statistics of tables that grow fast say: a batch is a few
// thousand rows of tables that may have a hundred million.
const byIndex = `set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
	set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`

// read runs queries that name thousands of rows.
func (j journal) read(ctx context.Context, f func(tx *sqlx.Tx) error) error {
	tx, err := j.db.BeginTxx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing to commit
	if _, err := tx.ExecContext(ctx, `SELECT `+byIndex); err != nil {
		return err
	}
	return f(tx)
}

func (j journal) transferAt(ctx context.Context, timestamp uint64) (ledger.Transfer, error) {
	var list []transferRow
	err := j.db.SelectContext(ctx, &list, `SELECT `+transferNames+`, 0 AS state FROM ledger_transfers t WHERE t.timestamp = $1`, int64(timestamp))
	if err == nil && len(list) != 1 {
		err = errors.New("it is not there")
	}
	if err != nil {
		return ledger.Transfer{}, fmt.Errorf("reading the journal's newest transfer: %w", err)
	}
	return list[0].transfer(), nil
}

func (j journal) accountAt(ctx context.Context, timestamp uint64) (ledger.ID, error) {
	var id dbID
	if err := j.db.GetContext(ctx, &id, `SELECT id FROM ledger_accounts WHERE timestamp = $1`, int64(timestamp)); err != nil {
		return ledger.ID{}, fmt.Errorf("reading the journal's newest account: %w", err)
	}
	return ledger.ID(id), nil
}

// toCompare lists the accounts of the next n transfers after checked, and of
// the next n pending transfers whose time is up by the horizon; and the
// timestamp of the last of those transfers.
func (j journal) toCompare(ctx context.Context, checked, horizon uint64, n int) (ids []ledger.ID, last uint64, err error) {
	last = checked
	var rows []struct {
		Debit     dbID   `db:"debit_account_id"`
		Credit    dbID   `db:"credit_account_id"`
		Timestamp uint64 `db:"timestamp"`
		Expiry    bool   `db:"expiry"`
	}
	err = j.read(ctx, func(tx *sqlx.Tx) error {
		return tx.SelectContext(ctx, &rows, `
			(SELECT debit_account_id, credit_account_id, timestamp, false AS expiry FROM ledger_transfers
			 WHERE timestamp > $1 ORDER BY timestamp LIMIT $3)
			UNION ALL
			SELECT t.debit_account_id, t.credit_account_id, t.timestamp, true
			FROM (SELECT transfer_id FROM ledger_pending WHERE state = 1 AND expires_at IS NOT NULL AND expires_at <= $2
			      ORDER BY expires_at LIMIT $3) p
			JOIN ledger_transfers t ON t.id = p.transfer_id`, int64(checked), int64(horizon), n)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("reading which accounts have moved: %w", err)
	}
	seen := map[ledger.ID]bool{}
	for _, r := range rows {
		for _, id := range [2]dbID{r.Debit, r.Credit} {
			if !seen[ledger.ID(id)] {
				seen[ledger.ID(id)] = true
				ids = append(ids, ledger.ID(id))
			}
		}
		if !r.Expiry {
			last = max(last, r.Timestamp)
		}
	}
	return ids, last, nil
}

// load brings into memory what a round can touch: the accounts of the
// transfers, of the truth and of what expires meanwhile, and the pending
// transfers that are ended.
func (j journal) load(ctx context.Context, truth []ledger.Account, transfers []ledger.Transfer, accounts []ledger.Account, horizon uint64) (*work, error) {
	w := newWork()
	for _, a := range accounts {
		w.created(a)
	}
	needed := map[ledger.ID]bool{}
	for _, a := range truth {
		w.truth[a.ID] = a
		needed[a.ID] = true
	}
	var ended pq.StringArray
	for _, t := range transfers {
		needed[t.DebitAccountID], needed[t.CreditAccountID] = true, true
		if !t.PendingID.IsZero() {
			ended = append(ended, t.PendingID.UUID())
		}
		horizon = max(horizon, t.Timestamp)
	}
	// All that expires meanwhile, however much it is: the cluster frees it in
	// one go, too.
	var rows []accountRow
	err := j.read(ctx, func(tx *sqlx.Tx) error {
		var open []transferRow
		if err := tx.SelectContext(ctx, &open, `SELECT `+transferNames+`, p.state
			FROM ledger_pending p JOIN ledger_transfers t ON t.id = p.transfer_id
			WHERE p.state = 1 AND p.expires_at IS NOT NULL AND p.expires_at <= $1
			UNION ALL
			SELECT `+transferNames+`, p.state
			FROM ledger_pending p JOIN ledger_transfers t ON t.id = p.transfer_id
			WHERE p.transfer_id = ANY ($2::uuid[])`, int64(min(horizon, ledger.TimestampMax)), ended); err != nil {
			return fmt.Errorf("reading pending transfers: %w", err)
		}
		for i := range open {
			t := open[i].transfer()
			w.open(t, rules.PendingState(open[i].State))
			needed[t.DebitAccountID], needed[t.CreditAccountID] = true, true
		}
		var ids pq.StringArray
		for id := range needed {
			if w.accounts[id] == nil {
				ids = append(ids, id.UUID())
			}
		}
		if err := tx.SelectContext(ctx, &rows, `SELECT * FROM ledger_accounts WHERE id = ANY ($1::uuid[])`, ids); err != nil {
			return fmt.Errorf("reading accounts: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		a := rows[i].account()
		w.accounts[a.ID] = &account{now: a, was: a, stored: true}
	}
	for id := range w.truth {
		if w.accounts[id] == nil {
			return nil, fmt.Errorf("the journal has transfers of account %s and not the account", id.UUID())
		}
	}
	return w, nil
}

// lockSQL also makes Postgres end the session of a client that vanished.
const lockSQL = `SELECT sequence, ` + byIndex + `,
	set_config('idle_in_transaction_session_timeout', '30s', true)
FROM ledger_state WHERE one AND mirrored FOR UPDATE`

// write adds what the work has to the journal, and the new state, in one
// transaction. errMoved: the journal is no longer in the state before.
func (j journal) write(ctx context.Context, before, after state, w *work) (err error) {
	created, changed, ended := w.newAccounts(), w.changedAccounts(), w.changedPending()
	var complete any
	if after.Complete != nil {
		complete = after.Complete.Truncate(time.Microsecond) // Postgres would round up
	}
	step := int64(1)
	if len(created)+len(changed)+len(ended)+len(w.transfers) == 0 && after.Checked == before.Checked {
		step = 0
	}

	tx, err := j.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error says more
		}
	}()
	var sequence int64
	var ignored string
	err = tx.QueryRowContext(ctx, lockSQL).Scan(&sequence, &ignored, &ignored, &ignored, &ignored, &ignored)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotMirror
	}
	if err != nil {
		return fmt.Errorf("locking the journal: %w", err)
	}
	if sequence != before.Sequence {
		return errMoved
	}
	for _, part := range []struct {
		what  string
		write func() error
	}{
		{"accounts", func() error { return insertAccounts(ctx, tx, created) }},
		{"transfers", func() error { return insertTransfers(ctx, tx, w.transfers) }},
		{"balances", func() error { return updateAccounts(ctx, tx, changed) }},
		{"pending transfers", func() error { return updatePending(ctx, tx, ended) }},
		{"its state", func() error {
			_, err := tx.ExecContext(ctx, `UPDATE ledger_state SET sequence = sequence + $1, newest = greatest(newest, $2, $3),
				newest_account = $2, newest_transfer = $3, mirror_checked = $4,
				mirror_complete = greatest(mirror_complete, $5) WHERE one`,
				step, int64(after.NewestAccount), int64(after.NewestTransfer), int64(after.Checked), complete)
			return err
		}},
	} {
		if err := part.write(); err != nil {
			return fmt.Errorf("writing the journal: %s: %w", part.what, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("writing the journal: committing: %w", err)
	}
	return nil
}

// copyIn adds n rows by COPY.
func copyIn(ctx context.Context, tx *sqlx.Tx, n int, table string, columns []string, row func(i int) []any) (err error) {
	if n == 0 {
		return nil
	}
	st, err := tx.PrepareContext(ctx, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for i := range n {
		if _, err := st.ExecContext(ctx, row(i)...); err != nil {
			return err
		}
	}
	_, err = st.ExecContext(ctx) // with no argument: end of data, and the verdict
	return err
}

func insertAccounts(ctx context.Context, tx *sqlx.Tx, list []ledger.Account) error {
	columns := []string{"id", "user_data_128", "user_data_64", "timestamp", "user_data_32", "ledger", "code", "flags",
		"debits_pending", "debits_posted", "credits_pending", "credits_posted"}
	return copyIn(ctx, tx, len(list), "ledger_accounts", columns, func(i int) []any {
		a := &list[i]
		return []any{a.ID.UUID(), a.UserData128.UUID(), int64(a.UserData64), int64(a.Timestamp), int64(a.UserData32),
			int64(a.Ledger), int64(a.Code), int64(a.Flags),
			a.DebitsPending.String(), a.DebitsPosted.String(), a.CreditsPending.String(), a.CreditsPosted.String()}
	})
}

func insertTransfers(ctx context.Context, tx *sqlx.Tx, list []ledger.Transfer) error {
	columns := []string{"id", "debit_account_id", "credit_account_id", "pending_id", "user_data_128", "user_data_64",
		"timestamp", "user_data_32", "timeout", "ledger", "code", "flags", "amount"}
	return copyIn(ctx, tx, len(list), "ledger_transfers", columns, func(i int) []any {
		t := &list[i]
		return []any{t.ID.UUID(), t.DebitAccountID.UUID(), t.CreditAccountID.UUID(), t.PendingID.UUID(), t.UserData128.UUID(),
			int64(t.UserData64), int64(t.Timestamp), int64(t.UserData32), int64(t.Timeout), int64(t.Ledger), int64(t.Code),
			int64(t.Flags), t.Amount.String()}
	})
}

func updateAccounts(ctx context.Context, tx *sqlx.Tx, list []ledger.Account) error {
	if len(list) == 0 {
		return nil
	}
	var ids, debitsPending, debitsPosted, creditsPending, creditsPosted pq.StringArray
	var flags pq.Int64Array
	for _, a := range list {
		ids, flags = append(ids, a.ID.UUID()), append(flags, int64(a.Flags))
		debitsPending, debitsPosted = append(debitsPending, a.DebitsPending.String()), append(debitsPosted, a.DebitsPosted.String())
		creditsPending, creditsPosted = append(creditsPending, a.CreditsPending.String()), append(creditsPosted, a.CreditsPosted.String())
	}
	res, err := tx.ExecContext(ctx, `UPDATE ledger_accounts a SET flags = u.flags, debits_pending = u.dp, debits_posted = u.d,
			credits_pending = u.cp, credits_posted = u.c
		FROM unnest($1::uuid[], $2::int[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[]) AS u (id, flags, dp, d, cp, c)
		WHERE a.id = u.id`, ids, flags, debitsPending, debitsPosted, creditsPending, creditsPosted)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(list)) {
		return errors.Join(err, fmt.Errorf("%d accounts changed and %d are there", len(list), n))
	}
	return nil
}

func updatePending(ctx context.Context, tx *sqlx.Tx, list []*pending) error {
	if len(list) == 0 {
		return nil
	}
	var ids pq.StringArray
	var states, expiries pq.Int64Array
	for _, p := range list {
		ids, states = append(ids, p.transfer.ID.UUID()), append(states, int64(p.state))
		expiries = append(expiries, int64(p.expiresAt()))
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO ledger_pending (transfer_id, state, expires_at)
		SELECT id, state, nullif(expires_at, 0) FROM unnest($1::uuid[], $2::smallint[], $3::bigint[]) AS u (id, state, expires_at)
		ON CONFLICT (transfer_id) DO UPDATE SET state = EXCLUDED.state`, ids, states, expiries)
	return err
}

// rewind makes the next rounds compare every account that has ever moved.
func (m *Mirror) rewind(ctx context.Context) error {
	res, err := m.db.ExecContext(ctx, `UPDATE ledger_state SET mirror_checked = 0, sequence = sequence + 1 WHERE one AND mirrored`)
	if err != nil {
		return fmt.Errorf("beginning the comparison anew: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrNotMirror)
	}
	return nil
}
