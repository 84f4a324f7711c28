package pgengine

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger/pgrows"
)

// statement is SQL under construction and its parameters.
type statement struct {
	parts []string
	args  []any
}

// arg is the placeholder of one more parameter.
func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

// unnest is n rows as a FROM item, whose columns are the table's.
func (s *statement) unnest(t pgrows.Table, n int, put pgrows.Putter) string {
	arrays := t.Arrays(n, put)
	return t.Unnest(func(i int) string { return s.arg(arrays[i]) })
}

// store writes what w changed and raises the books' sequence, all of it in one
// statement but for the rows that are many enough for COPY.
func (e *Engine) store(ctx context.Context, tx *sqlx.Tx, before state, w *work) error {
	c := w.changes()
	var s statement
	// No two parts touch the same row, so it does not matter that Postgres runs
	// them in no particular order and on one view of the data.
	insert := func(t pgrows.Table, n int, put pgrows.Putter, conflict string) error {
		if n == 0 {
			return nil
		}
		if n >= pgrows.CopyFrom && conflict == "" {
			return t.Copy(ctx, tx, n, put)
		}
		s.parts = append(s.parts, "INSERT INTO "+t.Name+" ("+t.Names("")+") SELECT * FROM "+s.unnest(t, n, put)+conflict)
		return nil
	}
	err := errors.Join(
		insert(accountsTable, len(c.newAccounts), func(f *pgrows.Fields, i int) { putAccount(f, c.newAccounts[i]) }, ""),
		insert(transfersTable, len(c.transfers), func(f *pgrows.Fields, i int) { putTransfer(f, c.transfers[i]) }, ""),
		insert(pendingTable, len(c.pending), func(f *pgrows.Fields, i int) { putPending(f, c.pending[i], before.newest.Transfer) },
			" ON CONFLICT (transfer_id) DO UPDATE SET state = EXCLUDED.state, expired_after = EXCLUDED.expired_after"),
		insert(burnedTable, len(c.burned), func(f *pgrows.Fields, i int) { f.ID(c.burned[i]) }, ""),
	)
	if err != nil {
		return err
	}

	// Belt and braces: the batch counts only if the state is still as it was
	// locked and every changed account was there to be changed.
	text := "UPDATE ledger_state SET sequence = sequence + 1, writer = " + s.arg(e.writer.UUID()) +
		", newest = " + s.arg(int64(w.newest.Any)) +
		", newest_account = " + s.arg(int64(w.newest.Account)) +
		", newest_transfer = " + s.arg(int64(w.newest.Transfer)) +
		", highest_transfer = " + s.arg(c.highest(before.highest).UUID()) +
		" WHERE one AND sequence = " + s.arg(int64(before.sequence))
	if n := len(c.changedAccounts); n > 0 {
		s.parts = append(s.parts, `UPDATE ledger_accounts a SET flags = u.flags,
			debits_pending = u.debits_pending, debits_posted = u.debits_posted,
			credits_pending = u.credits_pending, credits_posted = u.credits_posted
			FROM `+s.unnest(accountChanges, n, func(f *pgrows.Fields, i int) { putAccountChange(f, c.changedAccounts[i]) })+
			" WHERE a.id = u.id RETURNING 1")
		text += fmt.Sprintf(" AND (SELECT count(*) FROM part%d) = %s", len(s.parts), s.arg(n))
	}
	for i, p := range s.parts {
		s.parts[i] = fmt.Sprintf("part%d AS (%s)", i+1, p)
	}
	if len(s.parts) > 0 {
		text = "WITH " + strings.Join(s.parts, ",\n") + "\n" + text
	}

	// RETURNING makes it a query, so that all statements of a transaction run
	// the same way.
	written := 0
	err = e.query(ctx, tx, text+" RETURNING 1", s.args, func(*sqlx.Rows) error { written++; return nil })
	if err != nil {
		return fmt.Errorf("writing the batch: %w", err)
	}
	if written != 1 {
		return errors.New("writing the batch: the books are not as they were locked: ledger_state or an account was changed by another hand")
	}
	return nil
}
