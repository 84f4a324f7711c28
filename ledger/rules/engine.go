package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"escrowd/ledger"
)

// Engine is a ledger.Engine in memory: the rules over Memory, one request at a
// time. Nothing outlives the process; it is for tests, and for checking what
// another engine answered.
type Engine struct {
	mu     sync.Mutex
	now    func() uint64
	books  *Memory
	closed bool
}

var _ ledger.Engine = (*Engine)(nil)

// NewEngine is an engine with empty books. now reads the wall clock in
// nanoseconds since 1970 UTC; it may stand still or run backwards.
func NewEngine(now func() uint64) *Engine {
	return &Engine{now: now, books: NewMemory()}
}

// SetClock makes the clock stand still at ns (nanoseconds since 1970 UTC)
// until it is set again.
func (e *Engine) SetClock(ns uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now = func() uint64 { return ns }
}

// Close ends the engine; later calls are ledger.ErrNotSent.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

var errClosed = errors.New("ledger/rules: the engine is closed")

// begin starts a request of the given size and locks the engine: the caller
// unlocks, unless there is an error. What is overdue expires first, so that
// readers see no reservation whose time is up.
func (e *Engine) begin(ctx context.Context, size int) (clock uint64, err error) {
	if err := ledger.CheckBatch(size); err != nil {
		return 0, err
	}
	e.mu.Lock()
	// Asked with the lock held: a caller may have given up waiting for it.
	if err := ctx.Err(); err != nil {
		e.mu.Unlock()
		return 0, fmt.Errorf("ledger/rules: %w: %w", ledger.ErrNotSent, err)
	}
	if e.closed {
		e.mu.Unlock()
		return 0, fmt.Errorf("%w: %w", ledger.ErrNotSent, errClosed)
	}
	clock = e.now()
	Expire(e.books, clock)
	return clock, nil
}

// stamp is the timestamp of a batch, which must be one that a ledger can have.
func (e *Engine) stamp(clock uint64, events int) (uint64, error) {
	t := NextTimestamp(e.books.Newest(), clock, events)
	if t > ledger.TimestampMax {
		return 0, fmt.Errorf("ledger/rules: %w: the clock (%d ns) is past the last timestamp there is", ledger.ErrNotSent, clock)
	}
	return t, nil
}

// CreateAccounts is part of ledger.Engine.
func (e *Engine) CreateAccounts(ctx context.Context, accounts []ledger.Account) ([]ledger.AccountResult, error) {
	clock, err := e.begin(ctx, len(accounts))
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	t, err := e.stamp(clock, len(accounts))
	if err != nil {
		return nil, err
	}
	return CreateAccounts(e.books, t, accounts), nil
}

// CreateTransfers is part of ledger.Engine.
func (e *Engine) CreateTransfers(ctx context.Context, transfers []ledger.Transfer) ([]ledger.TransferResult, error) {
	clock, err := e.begin(ctx, len(transfers))
	if err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	t, err := e.stamp(clock, len(transfers))
	if err != nil {
		return nil, err
	}
	return CreateTransfers(e.books, t, transfers), nil
}

// LookupAccounts is part of ledger.Reader.
func (e *Engine) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	return lookup(ctx, e, ids, e.books.Account)
}

// LookupTransfers is part of ledger.Reader.
func (e *Engine) LookupTransfers(ctx context.Context, ids []ledger.ID) ([]ledger.Transfer, error) {
	return lookup(ctx, e, ids, e.books.Transfer)
}

func lookup[T any](ctx context.Context, e *Engine, ids []ledger.ID, get func(ledger.ID) (T, bool)) ([]T, error) {
	if _, err := e.begin(ctx, len(ids)); err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	var found []T
	for _, id := range ids {
		if v, ok := get(id); ok {
			found = append(found, v)
		}
	}
	return found, nil
}

// GetAccountTransfers is part of ledger.Reader.
func (e *Engine) GetAccountTransfers(ctx context.Context, f ledger.AccountFilter) ([]ledger.Transfer, error) {
	return query(ctx, e, f, f.Limit, e.books.GetAccountTransfers)
}

// GetAccountBalances is part of ledger.Reader.
func (e *Engine) GetAccountBalances(ctx context.Context, f ledger.AccountFilter) ([]ledger.AccountBalance, error) {
	return query(ctx, e, f, f.Limit, e.books.GetAccountBalances)
}

// QueryAccounts is part of ledger.Reader.
func (e *Engine) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	return query(ctx, e, f, f.Limit, e.books.QueryAccounts)
}

// QueryTransfers is part of ledger.Reader.
func (e *Engine) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	return query(ctx, e, f, f.Limit, e.books.QueryTransfers)
}

// query counts the rows a filter asks for against the limit of a request, as
// a reply has to hold them; that is checked before the filter is.
func query[F, T any](ctx context.Context, e *Engine, f F, limit uint32, answer func(F) []T) ([]T, error) {
	if _, err := e.begin(ctx, int(limit)); err != nil {
		return nil, err
	}
	defer e.mu.Unlock()
	return answer(f), nil
}
