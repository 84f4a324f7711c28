package pgengine

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/rules"
)

// CreateAccounts creates accounts; see ledger.Engine.
func (e *Engine) CreateAccounts(ctx context.Context, accounts []ledger.Account) ([]ledger.AccountResult, error) {
	if err := ledger.CheckBatch(len(accounts)); err != nil {
		return nil, err
	}
	var results []ledger.AccountResult
	err := e.write(ctx, request{
		events: len(accounts),
		touch:  rules.TouchedByAccounts(accounts),
		apply:  func(w *work, timestamp uint64) { results = rules.CreateAccounts(w, timestamp, accounts) },
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: creating %d accounts: %w", len(accounts), err)
	}
	return results, nil
}

// CreateTransfers creates transfers; see ledger.Engine.
func (e *Engine) CreateTransfers(ctx context.Context, transfers []ledger.Transfer) ([]ledger.TransferResult, error) {
	if err := ledger.CheckBatch(len(transfers)); err != nil {
		return nil, err
	}
	var results []ledger.TransferResult
	err := e.write(ctx, request{
		events: len(transfers),
		touch:  rules.TouchedByTransfers(transfers),
		apply:  func(w *work, timestamp uint64) { results = rules.CreateTransfers(w, timestamp, transfers) },
	})
	if err != nil {
		return nil, fmt.Errorf("pgengine: creating %d transfers: %w", len(transfers), err)
	}
	return results, nil
}

// OpenAndTransfer creates accounts, and transfers if all the accounts stand, in
// one transaction; see ledger.Opener. The timestamps are those of two requests
// that arrived one right after the other.
func (e *Engine) OpenAndTransfer(ctx context.Context, accounts []ledger.Account, transfers []ledger.Transfer) ([]ledger.AccountResult, []ledger.TransferResult, error) {
	if err := ledger.CheckBatch(max(len(accounts), len(transfers))); err != nil {
		return nil, nil, err
	}
	var opened []ledger.AccountResult
	var results []ledger.TransferResult
	err := e.write(ctx, request{
		events: len(accounts) + len(transfers),
		touch:  rules.TouchedByAccounts(accounts).And(rules.TouchedByTransfers(transfers)),
		apply: func(w *work, timestamp uint64) {
			opened, results = rules.CreateAccounts(w, timestamp-uint64(len(transfers)), accounts), nil
			for _, r := range opened {
				if !r.Status.Stands() {
					return
				}
			}
			results = rules.CreateTransfers(w, timestamp, transfers)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("pgengine: creating %d accounts and %d transfers: %w", len(accounts), len(transfers), err)
	}
	return opened, results, nil
}

// ExpireDue frees what pending transfers reserved whose time is up, and says
// how many expired. Batches do the same in passing, a portion each; this is for
// a time when none comes. Each portion of at most ledger.BatchMax is a
// transaction of its own, so an error leaves the earlier ones done, and calling
// again goes on from there.
func (e *Engine) ExpireDue(ctx context.Context) (int, error) {
	total := 0
	for {
		now, due := e.now(), false
		err := e.read(ctx, "SELECT EXISTS ("+dueSQL+")", []any{int64(now), 1}, func(rows *sqlx.Rows) error { return rows.Scan(&due) })
		if err != nil {
			return total, fmt.Errorf("pgengine: looking for due pending transfers: %w", err)
		}
		if !due {
			return total, nil
		}
		expired := 0
		if err := e.write(ctx, request{expired: &expired}); err != nil {
			return total, fmt.Errorf("pgengine: expiring pending transfers: %w", err)
		}
		total += expired
		if expired == 0 {
			return total, nil // another engine was faster
		}
	}
}

// request is what write takes through a transaction.
type request struct {
	events  int
	touch   rules.Touch
	apply   func(w *work, timestamp uint64) // nil to expire only
	expired *int                            // where to say how many expired, or nil
}

// attempts is how often a request is begun anew that failed before COMMIT for
// a reason that has nothing to do with it: a pool may hold several connections
// to a server that was restarted.
const attempts = 4

// write takes r through a transaction. Its error is an ErrNotSent, or an
// ErrUnknown once COMMIT was sent.
func (e *Engine) write(ctx context.Context, r request) error {
	select {
	case e.slot <- struct{}{}:
		defer func() { <-e.slot }()
	case <-ctx.Done():
		return fmt.Errorf("%w: waiting for the requests before: %w", ledger.ErrNotSent, context.Cause(ctx))
	}
	defer e.prepareWanted(ctx)
	for try := 1; ; try++ {
		sent, err := e.attempt(ctx, r)
		switch {
		case err == nil:
			return nil
		case sent:
			return fmt.Errorf("%w: %w", ledger.ErrUnknown, err)
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w (%w)", ledger.ErrNotSent, context.Cause(ctx), err)
		case try == attempts || !passing(err):
			return fmt.Errorf("%w: %w", ledger.ErrNotSent, err)
		}
	}
}

// prepareWanted prepares what transactions ran unprepared. Failing to is no
// failure of theirs: it is tried again when they run it again.
func (e *Engine) prepareWanted(ctx context.Context) {
	for _, text := range e.unprepared {
		if _, err := e.prepared(ctx, text); err != nil {
			break
		}
	}
	e.unprepared = nil
}

// attempt takes r through one transaction; sent says whether COMMIT was sent.
func (e *Engine) attempt(ctx context.Context, r request) (sent bool, err error) {
	if e.closed.Load() {
		return false, errClosed
	}
	// What the cache holds is right only after a commit that is known.
	known := e.cache
	e.cache = cache{}

	// The first statement takes the lock, and under READ COMMITTED each later
	// one sees all that was committed before the lock was given. A stricter
	// level would freeze the view from before it.
	tx, err := e.db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return false, fmt.Errorf("beginning: %w", err)
	}
	defer func() {
		if !sent {
			_ = tx.Rollback() // the first error says more
		}
	}()
	s, err := e.lock(ctx, tx)
	if err != nil {
		return false, err
	}
	known.validate(s, e.writer)

	now := e.now()
	if now > ledger.TimestampMax {
		return false, fmt.Errorf("the clock (%d ns) is past the last timestamp there is", now)
	}
	w, err := e.load(ctx, tx, r.touch, s, now, known)
	if err != nil {
		return false, err
	}
	w.newest = s.newest
	expired := rules.Expire(w, now)
	if r.apply == nil && expired == 0 && w.fault == nil {
		e.cache = known
		return false, nil // nothing to write
	}
	if r.apply != nil {
		timestamp := rules.NextTimestamp(w.newest, now, r.events)
		if timestamp > ledger.TimestampMax {
			return false, fmt.Errorf("the books' time (%d ns) is past the last timestamp there is", timestamp)
		}
		r.apply(w, timestamp)
	}
	if w.fault != nil {
		return false, w.fault
	}
	if err := e.store(ctx, tx, s, w); err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := commit(ctx, tx); err != nil {
		return true, fmt.Errorf("committing: %w", err)
	}
	known.keep(s.sequence+1, w)
	e.cache = known
	if r.expired != nil {
		*r.expired = expired
	}
	return true, nil
}

// commit sends COMMIT and waits for the answer, but not past ctx: a request
// whose caller has gone must not hold up the next. Whichever way the
// transaction then ends, database/sql takes care of its connection, and the
// lock in Postgres keeps the next request behind it.
func commit(ctx context.Context, tx *sqlx.Tx) error {
	answer := make(chan error, 1)
	go func() { answer <- tx.Commit() }()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// state is the locked row of ledger_state.
type state struct {
	sequence uint64
	writer   ledger.Uint128
	newest   rules.Newest
	highest  ledger.ID // no transfer and no burned id is above it
}

// lockSQL also sets, for this transaction only: plans that go through the
// indexes whatever the tables' statistics say, made once for a statement and
// not for its values (a table that was just made would be scanned in whole for
// every id, and a batch's arrays are large); no compiling of such plans, which
// takes longer than running them; that COMMIT waits for the disk, if somebody
// switched that off for the sake of other data; and that Postgres takes the
// lock back from a machine that vanished, long before TCP would notice.
const lockSQL = `SELECT sequence, writer, newest, newest_account, newest_transfer, highest_transfer,
	set_config('plan_cache_mode', 'force_generic_plan', true),
	set_config('enable_seqscan', 'off', true),
	set_config('enable_hashjoin', 'off', true),
	set_config('enable_mergejoin', 'off', true),
	set_config('jit', 'off', true),
	set_config('idle_in_transaction_session_timeout', '30s', true),
	CASE current_setting('synchronous_commit') WHEN 'off' THEN set_config('synchronous_commit', 'on', true) END
FROM ledger_state WHERE one FOR UPDATE`

func (e *Engine) lock(ctx context.Context, tx *sqlx.Tx) (s state, err error) {
	found := false
	err = e.query(ctx, tx, lockSQL, nil, func(rows *sqlx.Rows) error {
		var ignored any
		found = true
		return rows.Scan(into(&s.sequence), (*scanUUID)(&s.writer),
			into(&s.newest.Any), into(&s.newest.Account), into(&s.newest.Transfer), (*scanUUID)(&s.highest),
			&ignored, &ignored, &ignored, &ignored, &ignored, &ignored, &ignored)
	})
	if err != nil {
		return s, fmt.Errorf("locking the books: %w", err)
	}
	if !found {
		return s, fmt.Errorf("locking the books: ledger_state has no row")
	}
	return s, nil
}

// query runs a statement in tx and gives each row to each. Preparing takes a
// connection of its own, which a transaction must not wait for while it holds
// the lock; so the first time the statement runs as it is, and it is prepared
// when the transaction is over.
func (e *Engine) query(ctx context.Context, tx *sqlx.Tx, text string, args []any, each func(*sqlx.Rows) error) error {
	if st := e.statement(text); st != nil {
		rows, err := tx.StmtxContext(ctx, st).QueryxContext(ctx, args...)
		return drain(rows, err, each)
	}
	e.unprepared = append(e.unprepared, text)
	rows, err := tx.QueryxContext(ctx, text, args...)
	return drain(rows, err, each)
}

func drain(rows *sqlx.Rows, err error, each func(*sqlx.Rows) error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
