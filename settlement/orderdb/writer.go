package orderdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
)

// The methods of Writer are the set-based statements of the write path: each
// is one round trip for a whole batch, in the transaction that Begin began.

// Writer is the write path's own connection with its prepared statements
// (lib/pq without preparing is three times slower). It is used by one
// goroutine; after an error of the connection, close it and make another.
type Writer struct {
	store *Store
	conn  *sqlx.Conn
	tx    *Tx // the one that goes on, nil for none

	findKeys, loadOrders, loadClocks, insertReferences, insertOrders, decide, note, insertIntents, insertKeys,
	record, setOutcomes, move, refuse, openBatch, chains, findAccounts, insertAccounts, standings *sqlx.Stmt
}

// sessionSQL fixes how the statements are planned. Each looks a batch of rows
// up by key, so an index is right whatever the tables' sizes; but a plan that
// is made and kept while a table is small would read all of it for ever.
// The price that Postgres sets on a plan it was told to avoid would make it
// compile or spread the statement over workers, which takes longer than it.
const sessionSQL = `SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
	SET plan_cache_mode = force_generic_plan; SET jit = off; SET max_parallel_workers_per_gather = 0`

// NewWriter takes a connection and prepares the statements.
func NewWriter(ctx context.Context, s *Store) (_ *Writer, err error) {
	w := &Writer{store: s} // a name of its own: whoever returns nil still has it closed
	if w.conn, err = s.db.Connx(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = w.Close()
		}
	}()
	if _, err = w.conn.ExecContext(ctx, sessionSQL); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		stmt **sqlx.Stmt
		sql  string
	}{
		{&w.findKeys, findKeysSQL}, {&w.loadOrders, loadOrdersSQL}, {&w.loadClocks, loadClocksSQL},
		{&w.insertReferences, insertReferencesSQL}, {&w.insertOrders, insertOrdersSQL},
		{&w.decide, decideSQL}, {&w.note, noteSQL}, {&w.insertIntents, insertIntentsSQL}, {&w.insertKeys, insertKeysSQL}, {&w.openBatch, openBatchSQL},
		{&w.record, recordSQL}, {&w.setOutcomes, setOutcomesSQL}, {&w.move, moveSQL}, {&w.refuse, refuseSQL},
		{&w.chains, chainsSQL}, {&w.findAccounts, findAccountsSQL}, {&w.insertAccounts, insertAccountsSQL},
		{&w.standings, standingsSQL},
	} {
		if *p.stmt, err = w.conn.PreparexContext(ctx, p.sql); err != nil {
			return nil, fmt.Errorf("orderdb: prepare: %w", err)
		}
	}
	return w, nil
}

// Tx is a transaction of a Writer's. It is not database/sql's, which would hold
// a lock that a statement wants when it finds the connection gone: each would
// wait for the other until the context ends.
//
// It begins with the first statement that writes: what is read before needs
// none, for whatever is decided on it is checked by the schema when it is
// written. And where a single statement writes all there is to write, it is its
// own transaction: two trips to the server less.
type Tx struct {
	w  *Writer
	tx driver.Tx // nil before it has begun and when it has ended
}

// Begin prepares a transaction; the caller ends it before the next one.
func (w *Writer) Begin() *Tx {
	w.tx = &Tx{w: w}
	return w.tx
}

// write begins the transaction, unless it has begun.
func (w *Writer) write(ctx context.Context) error {
	if w.tx == nil || w.tx.tx != nil {
		return nil
	}
	return w.conn.Raw(func(conn any) (err error) {
		w.tx.tx, err = conn.(driver.ConnBeginTx).BeginTx(ctx, driver.TxOptions{})
		return err
	})
}

// alone runs a statement that writes all that its transaction writes, if that
// has not begun. Rows that it answers are not looked at: what comes after them,
// such as the statement's failure, is what counts, and Exec waits for it.
func (w *Writer) alone(ctx context.Context, stmt *sqlx.Stmt, args []any) error {
	_, err := stmt.ExecContext(ctx, args...)
	switch {
	case err == nil:
		return nil
	case w.tx != nil && w.tx.tx != nil, takenBack(err): // it is not alone after all, or it is certain
		return taken(err)
	}
	return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
}

// takenBack reports whether the server has said that it took a statement back.
// One that ends the session says nothing of what was committed before: class 08
// is of connections, 57P of a server that goes down.
func takenBack(err error) bool {
	code := sqlState(err)
	return code != "" && !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57P")
}

// ErrCommitUnknown: the transaction was to be committed, and it is not known
// whether it was.
var ErrCommitUnknown = errors.New("commit: no answer")

// Commit ends the transaction. After an ErrCommitUnknown it is not known how.
func (t *Tx) Commit() error {
	if err := t.end(driver.Tx.Commit); err != nil {
		return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	return nil
}

// Rollback gives the transaction up, unless it has ended.
func (t *Tx) Rollback() error { return t.end(driver.Tx.Rollback) }

func (t *Tx) end(how func(driver.Tx) error) error {
	t.w.tx = nil
	if t.tx == nil {
		return nil
	}
	tx := t.tx
	t.tx = nil
	return t.w.conn.Raw(func(any) error { return how(tx) })
}

// Close ends the connection: it is not fit for other uses.
func (w *Writer) Close() error {
	err := w.conn.Raw(func(any) error { return driver.ErrBadConn }) // takes it out of the pool
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return errors.Join(err, w.conn.Close())
}

func returnedIDs(ctx context.Context, stmt *sqlx.Stmt, args ...any) (map[ledger.ID]bool, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	ids, err := readIDs(rows)
	if err != nil {
		return nil, err
	}
	return setOf(ids), nil
}

func setOf(ids []ledger.ID) map[ledger.ID]bool {
	set := make(map[ledger.ID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

func readIDs(rows *sql.Rows) ([]ledger.ID, error) {
	defer rows.Close()
	var ids []ledger.ID
	for rows.Next() {
		var id ledger.ID
		if err := rows.Scan((*uid)(&id)); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// ErrTaken: a place in an order or an idempotency key is taken. The
// transaction has to be rolled back; InsertIntents and InsertKeys tell which.
var ErrTaken = errors.New("taken by another process, or before")

// taken makes an ErrTaken of what says that a place or a key is.
func taken(err error) error {
	switch sqlState(err) {
	case uniqueViolation:
		return fmt.Errorf("%w: %w", ErrTaken, err)
	case contradiction:
		return fmt.Errorf("%w: %w", ErrContradiction, err)
	}
	return err
}

// contradiction is the SQLSTATE of the schema's function contradicts.
const contradiction = "ES001"
