//go:build cgo

package tbengine

import (
	"context"
	"fmt"

	"escrowd/ledger"

	tb "github.com/tigerbeetle/tigerbeetle-go"
)

// CreateAccounts creates accounts; see ledger.Engine.
func (e *Engine) CreateAccounts(ctx context.Context, accounts []ledger.Account) ([]ledger.AccountResult, error) {
	return create(ctx, e, "create_accounts", accounts, toTBAccount, tb.Client.CreateAccounts, fromTBAccountResult)
}

// CreateTransfers moves money; see ledger.Engine.
func (e *Engine) CreateTransfers(ctx context.Context, transfers []ledger.Transfer) ([]ledger.TransferResult, error) {
	return create(ctx, e, "create_transfers", transfers, toTBTransfer, tb.Client.CreateTransfers, fromTBTransferResult)
}

// LookupAccounts finds accounts by id; see ledger.Reader.
func (e *Engine) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	return lookup(ctx, e, "lookup_accounts", ids, tb.Client.LookupAccounts, fromTBAccount)
}

// LookupTransfers finds transfers by id; see ledger.Reader.
func (e *Engine) LookupTransfers(ctx context.Context, ids []ledger.ID) ([]ledger.Transfer, error) {
	return lookup(ctx, e, "lookup_transfers", ids, tb.Client.LookupTransfers, fromTBTransfer)
}

// GetAccountTransfers selects an account's transfers; see ledger.Reader.
func (e *Engine) GetAccountTransfers(ctx context.Context, f ledger.AccountFilter) ([]ledger.Transfer, error) {
	return filter(ctx, e, "get_account_transfers", f.Limit, toTBAccountFilter(f), tb.Client.GetAccountTransfers, fromTBTransfer)
}

// GetAccountBalances selects an account's history; see ledger.Reader.
func (e *Engine) GetAccountBalances(ctx context.Context, f ledger.AccountFilter) ([]ledger.AccountBalance, error) {
	return filter(ctx, e, "get_account_balances", f.Limit, toTBAccountFilter(f), tb.Client.GetAccountBalances, fromTBBalance)
}

// QueryAccounts selects accounts; see ledger.Reader.
func (e *Engine) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	return filter(ctx, e, "query_accounts", f.Limit, toTBQueryFilter(f), tb.Client.QueryAccounts, fromTBAccount)
}

// QueryTransfers selects transfers; see ledger.Reader.
func (e *Engine) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	return filter(ctx, e, "query_transfers", f.Limit, toTBQueryFilter(f), tb.Client.QueryTransfers, fromTBTransfer)
}

// create sends events and wants one result for each.
func create[E, TE, TR, R any](
	ctx context.Context, e *Engine, op string, events []E,
	to func(E) TE, f func(tb.Client, []TE) ([]TR, error), from func(TR) R,
) ([]R, error) {
	if err := ledger.CheckBatch(len(events)); err != nil {
		return nil, e.errorf(op, err)
	}
	sent := each(events, to)
	got, err := call(ctx, e, op, creates, func(c tb.Client) ([]TR, error) { return f(c, sent) })
	if err != nil {
		return nil, err
	}
	// The answers are matched with the events by place alone. If their number
	// were wrong, an order could be taken for paid that is not.
	if len(got) != len(events) {
		return nil, e.errorf(op, unknown(fmt.Errorf("%d results for %d events", len(got), len(events))))
	}
	return each(got, from), nil
}

func lookup[TR, R any](
	ctx context.Context, e *Engine, op string, ids []ledger.ID,
	f func(tb.Client, []tb.Uint128) ([]TR, error), from func(TR) R,
) ([]R, error) {
	if err := ledger.CheckBatch(len(ids)); err != nil {
		return nil, e.errorf(op, err)
	}
	sent := each(ids, toTB128)
	got, err := call(ctx, e, op, reads, func(c tb.Client) ([]TR, error) { return f(c, sent) })
	if err != nil {
		return nil, err
	}
	return each(got, from), nil
}

func filter[F, TR, R any](
	ctx context.Context, e *Engine, op string, limit uint32, sent F,
	f func(tb.Client, F) ([]TR, error), from func(TR) R,
) ([]R, error) {
	if err := ledger.CheckBatch(int(limit)); err != nil {
		return nil, e.errorf(op, err)
	}
	got, err := call(ctx, e, op, reads, func(c tb.Client) ([]TR, error) { return f(c, sent) })
	if err != nil {
		return nil, err
	}
	return each(got, from), nil
}
