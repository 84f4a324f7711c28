// Package pgengine is the embedded ledger: TigerBeetle's rules (package rules)
// on Postgres. It needs no cluster of its own, answers as TigerBeetle does, to
// the status and the nanosecond, and its tables (deploy/migrations) are the
// journal that reports read.
//
// # One request
//
// Each create request is one Postgres transaction:
//
//	lock      the row of ledger_state, FOR UPDATE; held through COMMIT
//	load      what the batch can touch, in two or three set-based statements
//	decide    rules.Expire and rules.Create..., in memory
//	write     what changed, in one statement (many rows go ahead of it by COPY)
//	COMMIT
//
// So a request is wholly in or wholly out, whatever dies and when. The lock
// makes batches follow one another across all processes on one database: each
// sees all that was committed before, and timestamps rise strictly over
// accounts, transfers and expiries. Readers take no lock; each answer is one
// statement, hence one moment of the books between two batches.
//
// # What an error means
//
// Until COMMIT is sent Postgres has promised nothing, and rolls back when the
// connection goes: any failure up to there is ledger.ErrNotSent. From COMMIT
// on, a failure is ledger.ErrUnknown, and the caller sends the same events
// again. A connection that had gone stale, or a deadlock with somebody else's
// statement, is retried here, a few times, because nothing was applied.
//
// # Cache
//
// The accounts of recent batches are kept in memory. They are used only when
// the locked row says that the latest batch in the books is this engine's own
// (writer and sequence both); otherwise, and after any error, the cache is
// emptied. Writing to ledger_accounts by hand is therefore forbidden while an
// engine runs: nothing but an engine may write the ledger's tables.
package pgengine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
)

// Engine is a ledger.Engine on Postgres. It is safe for concurrent use, by
// several engines and processes on one database too.
type Engine struct {
	db     *sqlx.DB
	writer ledger.Uint128 // names this engine in ledger_state
	clock  func() uint64
	fixed  atomic.Uint64 // the clock's reading when SetClock was called, else 0
	closed atomic.Bool

	// slot is held by the one request of this engine that may write: waiting
	// here costs no connection, and the cache needs no lock of its own.
	slot       chan struct{}
	cache      cache
	unprepared []string // what its transactions ran and would like prepared

	mu         sync.Mutex
	statements map[string]*sqlx.Stmt
}

var (
	_ ledger.Engine = (*Engine)(nil)
	_ ledger.Opener = (*Engine)(nil)
)

// Option changes how New makes an engine.
type Option func(*Engine)

// WithClock sets where the time of a batch comes from: nanoseconds since 1970
// UTC. Without it that is the machine's clock. It may stand still or step
// back: the ledger's timestamps never do.
func WithClock(clock func() uint64) Option { return func(e *Engine) { e.clock = clock } }

// New makes an engine on db, whose search_path names the schema that holds the
// ledger's tables. The engine takes one connection for a writing request and
// one for each reader; db stays the caller's to close, after the engine.
//
// It fails if the tables are not there, and with ErrMirrored if they are a
// mirror's. (The schema refuses an engine that wrote there all the same.)
func New(db *sqlx.DB, opts ...Option) (*Engine, error) {
	e := &Engine{
		db:         db,
		writer:     ledger.FromBytes(uuid.New()),
		clock:      func() uint64 { return uint64(time.Now().UnixNano()) },
		slot:       make(chan struct{}, 1),
		statements: map[string]*sqlx.Stmt{},
	}
	for _, o := range opts {
		o(e)
	}
	var mirrored bool
	if err := db.Get(&mirrored, "SELECT mirrored FROM ledger_state"); err != nil {
		return nil, fmt.Errorf("pgengine: reading the books' state: %w", err)
	}
	if mirrored {
		return nil, fmt.Errorf("pgengine: %w", ErrMirrored)
	}
	// Of an earlier version, which would not have raised it, a trace could be
	// left; an id would then be taken for new that is not, and refused for ever.
	if _, err := db.Exec(raiseHighestSQL); err != nil {
		return nil, fmt.Errorf("pgengine: looking for the highest id: %w", err)
	}
	return e, nil
}

const raiseHighestSQL = `UPDATE ledger_state SET highest_transfer = h.id
	FROM (SELECT id FROM ((SELECT id FROM ledger_transfers ORDER BY id DESC LIMIT 1) UNION ALL (SELECT id FROM ledger_burned ORDER BY id DESC LIMIT 1)) u
		ORDER BY id DESC LIMIT 1) h
	WHERE h.id > highest_transfer`

// SetClock fixes the clock at now (nanoseconds since 1970 UTC), for replaying
// what was recorded; 0 gives it back to the engine's own clock.
func (e *Engine) SetClock(now uint64) { e.fixed.Store(now) }

func (e *Engine) now() uint64 {
	if fixed := e.fixed.Load(); fixed != 0 {
		return fixed
	}
	return e.clock()
}

// Close waits for the request that is being written, if any, and releases the
// engine's prepared statements. The database stays open.
func (e *Engine) Close() error {
	if e.closed.Swap(true) {
		return nil
	}
	e.slot <- struct{}{}
	defer func() { <-e.slot }()
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for _, st := range e.statements {
		errs = append(errs, st.Close())
	}
	e.statements = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pgengine: closing: %w", err)
	}
	return nil
}

// ErrMirrored: the tables are a copy of a TigerBeetle cluster's books, and only
// its mirror may write to them.
var ErrMirrored = errors.New("these books are kept in TigerBeetle, and Postgres has a copy: start with the engine that they were begun in")

var errClosed = errors.New("the engine is closed")

// prepared is the statement of this text, prepared once and kept: parsing and
// planning anew would take longer than most of the statements themselves. The
// texts are few: the shapes of a batch's write and of a filter.
func (e *Engine) prepared(ctx context.Context, text string) (*sqlx.Stmt, error) {
	if st := e.statement(text); st != nil {
		return st, nil
	}
	st, err := e.db.PreparexContext(ctx, text)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.statements == nil {
		_ = st.Close() // closed meanwhile, and nothing is left to use it
		return nil, errClosed
	}
	if first, ok := e.statements[text]; ok {
		_ = st.Close() // somebody else was faster
		return first, nil
	}
	e.statements[text] = st
	return st, nil
}

// statement is the prepared statement of this text, or nil.
func (e *Engine) statement(text string) *sqlx.Stmt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.statements[text]
}
