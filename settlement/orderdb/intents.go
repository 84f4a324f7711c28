package orderdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// Recorded is an intent with the order as it stood right after it.
type Recorded struct {
	Intent          ledger.ID
	Chain           ledger.ID
	Event           order.Event
	Outcome         OutcomeKind
	Reason          string
	LedgerTimestamp uint64
	Order           order.Order
}

const chainsSQL = `SELECT ` + orderAfterColumns + `, i.id, i.chain, i.event, coalesce(i.outcome, ''), coalesce(i.reason, ''), coalesce(i.ledger_timestamp, 0)
	FROM unnest($1::uuid[], $2::uuid[]) AS q (first, last)
	JOIN intents i ON i.id BETWEEN q.first AND q.last JOIN orders o ON o.id = i.order_id
	ORDER BY i.id`

// Chains reads the intents of chains with their orders, by chain and position.
func (w *Writer) Chains(ctx context.Context, tx *sqlx.Tx, chains []ledger.ID) ([]Recorded, error) {
	first, last := chainRanges(chains)
	rows, err := tx.StmtxContext(ctx, w.chains).QueryContext(ctx, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Recorded
	var policies []int64
	for rows.Next() {
		var r Recorded
		var policy int64
		if err := scanOrder(rows, &r.Order, &policy, (*uid)(&r.Intent), (*uid)(&r.Chain), &r.Event,
			&r.Outcome, &r.Reason, &r.LedgerTimestamp); err != nil {
			return nil, err
		}
		list, policies = append(list, r), append(policies, policy)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Order.Policy, err = w.store.policy(ctx, tx, policies[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// OpenIntent is an intent without an outcome, as it goes to the ledger.
type OpenIntent struct {
	ID, Chain, Order ledger.ID
	Accounts         []ledger.Account
	Legs             []ledger.Transfer
}

// Open lists the intents without an outcome that are older than lease, oldest
// first, whole chains, at most limit chains.
func (s *Store) Open(ctx context.Context, lease time.Duration, limit int) ([]OpenIntent, error) {
	rows, err := s.db.QueryContext(ctx,
		`SELECT chain FROM intents WHERE outcome IS NULL AND created_at <= now() - $1 * interval '1 microsecond'
		 GROUP BY chain ORDER BY min(created_at), chain LIMIT $2`, lease.Microseconds(), limit)
	if err != nil {
		return nil, err
	}
	chains, err := readIDs(rows)
	if err != nil || len(chains) == 0 {
		return nil, err
	}
	first, last := chainRanges(chains)
	rows, err = s.db.QueryContext(ctx,
		`SELECT i.id, i.chain, i.order_id, i.accounts, i.legs FROM unnest($1::uuid[], $2::uuid[]) AS q (first, last)
		 JOIN intents i ON i.id BETWEEN q.first AND q.last WHERE i.outcome IS NULL ORDER BY i.id`, first, last)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []OpenIntent
	for rows.Next() {
		var n OpenIntent
		var accounts, legs []byte
		if err := rows.Scan((*uid)(&n.ID), (*uid)(&n.Chain), (*uid)(&n.Order), &accounts, &legs); err != nil {
			return nil, err
		}
		if n.Accounts, err = ledger.DecodeAccounts(accounts); err != nil {
			return nil, fmt.Errorf("intent %s: %w", n.ID.UUID(), err)
		}
		if n.Legs, err = ledger.DecodeTransfers(legs); err != nil {
			return nil, fmt.Errorf("intent %s: %w", n.ID.UUID(), err)
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// OpenStats is how many intents have no outcome yet, how old the oldest is,
// and how many are frozen.
func (s *Store) OpenStats(ctx context.Context) (open int, oldest time.Duration, err error) {
	var micros int64
	err = s.db.QueryRowContext(ctx,
		`SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)) * 1000000, 0)::bigint FROM intents WHERE outcome IS NULL`).
		Scan(&open, &micros)
	return open, time.Duration(micros) * time.Microsecond, err
}

// NewChain is the id of a chain's first intent, and ChainMember that of its
// i-th (from 0): the lowest 32 bits are left for the position in the chain
// and for the ids of the transfers, see order.LegID.
func NewChain() (ledger.ID, error) {
	id, err := NewID()
	id.Lo &^= 0xffffffff
	return id, err
}

// ChainMember is the id of the i-th intent of a chain.
func ChainMember(chain ledger.ID, i int) ledger.ID {
	chain.Lo |= uint64(uint16(i)) << 16
	return chain
}

func chainRanges(chains []ledger.ID) (first, last pq.StringArray) {
	for _, c := range chains {
		first, last = append(first, c.UUID()), append(last, ledger.ID{Hi: c.Hi, Lo: c.Lo | 0xffffffff}.UUID())
	}
	return first, last
}

// Blocker is the intent that holds a place in an order, or one without an id
// where the place is free again.
func (s *Store) Blocker(ctx context.Context, q sqlx.QueryerContext, id ledger.ID, seq int32, attempt int16) (r Recorded, err error) {
	rows, err := q.QueryContext(ctx,
		`SELECT id, chain, coalesce(outcome, ''), coalesce(reason, '') FROM intents WHERE order_id = $1 AND seq = $2 AND attempt = $3`,
		id.UUID(), seq, attempt)
	if err != nil {
		return r, err
	}
	defer rows.Close()
	if rows.Next() {
		err = rows.Scan((*uid)(&r.Intent), (*uid)(&r.Chain), &r.Outcome, &r.Reason)
	}
	return r, errors.Join(err, rows.Err())
}
