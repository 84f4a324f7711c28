package orderdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/treasury"
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
	Entry           *treasury.Entry // instead of Order, where the intent is an entry's
}

const chainsSQL = `SELECT ` + orderAfterColumns + `, i.id, i.chain, i.event, coalesce(c.outcome, ''), coalesce(c.reason, ''), coalesce(c.ledger_timestamp, 0)
	FROM unnest($1::uuid[], $2::uuid[]) AS q (first, last)
	JOIN intents i ON i.id BETWEEN q.first AND q.last JOIN orders o ON o.id = i.order_id
	LEFT JOIN outcomes c ON c.intent = i.id
	ORDER BY i.id`

// Chains reads the intents of chains with their orders, by chain and position.
func (w *Writer) Chains(ctx context.Context, chains []ledger.ID) ([]Recorded, error) {
	first, last := chainRanges(chains)
	rows, err := w.chains.QueryContext(ctx, first, last)
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
		if list[i].Order.Policy, err = w.store.policy(ctx, w.conn, policies[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// OpenIntent is an intent without an outcome, as it goes to the ledger.
type OpenIntent struct {
	ID, Chain, Order ledger.ID
	Marketplace      uint32
	Entry            bool // Order names an entry
	Accounts         []ledger.Account
	Legs             []ledger.Transfer
}

// The look-ups below start from the few open batches and go by the indexes;
// see the view open_intents for how they are kept from being planned otherwise.

// Open lists intents without an outcome of batches that are older than lease,
// oldest first, whole chains, about limit of them and at least one.
func (s *Store) Open(ctx context.Context, lease time.Duration, limit int) ([]OpenIntent, error) {
	rows, err := s.db.QueryContext(ctx,
		`WITH late AS (
		    SELECT i.chain FROM open_batches b
		    CROSS JOIN LATERAL (SELECT n.id, n.chain, n.moves FROM intents n WHERE n.id BETWEEN b.first AND b.last ORDER BY n.id OFFSET 0) i
		    LEFT JOIN LATERAL (SELECT o.intent FROM outcomes o WHERE o.intent = i.id LIMIT 1) o ON true
		    WHERE b.created_at <= now() - $1 * interval '1 microsecond' AND o.intent IS NULL AND i.moves IS NOT NULL
		    ORDER BY b.created_at, i.id LIMIT $2)
		 SELECT i.id, i.chain, i.order_id, i.marketplace, i.at, i.moves, coalesce(i.entry, false)
		 FROM (SELECT DISTINCT chain FROM late) q
		 -- the members of a chain differ in the last 32 bits only, see ChainMember
		 CROSS JOIN LATERAL (SELECT n.* FROM intents n
		    WHERE n.id BETWEEN q.chain AND (left(q.chain::text, 28) || 'ffffffff')::uuid ORDER BY n.id OFFSET 0) i
		 ORDER BY i.id`, lease.Microseconds(), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []OpenIntent
	for rows.Next() {
		var n OpenIntent
		var moves []byte
		var at time.Time
		if err := rows.Scan((*uid)(&n.ID), (*uid)(&n.Chain), (*uid)(&n.Order), &n.Marketplace, (*moment)(&at), &moves, &n.Entry); err != nil {
			return nil, err
		}
		if n.Accounts, n.Legs, err = unpackMoves(moves, n.ID, n.Order, at.UnixMicro()); err != nil {
			return nil, fmt.Errorf("intent %s: %w", n.ID.UUID(), err)
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// NewestMove is the id of the first transfer of the chain that was recorded
// last of those that moved money, or ErrNotFound. Only a chain's first intent
// surely has a leg 0: one payment of several orders is received once.
func (s *Store) NewestMove(ctx context.Context) (ledger.ID, error) {
	var intent ledger.ID
	var attempt int16
	err := s.db.QueryRowContext(ctx, `SELECT i.id, i.attempt FROM outcomes o JOIN intents i ON i.id = o.intent
		WHERE o.outcome = 'applied' AND o.ledger_timestamp IS NOT NULL AND i.id = i.chain ORDER BY o.position DESC LIMIT 1`).Scan((*uid)(&intent), &attempt)
	return order.LegID(intent, attempt, 0), notFound(err)
}

// OpenBatches is how many batches of intents wait for outcomes, and how old
// the oldest is.
func (s *Store) OpenBatches(ctx context.Context) (open int, oldest time.Duration, err error) {
	var micros int64
	err = s.db.QueryRowContext(ctx,
		`SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)) * 1000000, 0)::bigint FROM open_batches`).
		Scan(&open, &micros)
	return open, time.Duration(micros) * time.Microsecond, err
}

// CloseBatches forgets batches older than lease whose intents all have an
// outcome. Their intents were stored with them, so none can be added.
func (s *Store) CloseBatches(ctx context.Context, lease time.Duration) error {
	_, err := s.db.ExecContext(ctx,
		`DELETE FROM open_batches b WHERE created_at <= now() - $1 * interval '1 microsecond' AND NOT EXISTS (
		    SELECT FROM (SELECT n.id FROM intents n WHERE n.id BETWEEN b.first AND b.last ORDER BY n.id OFFSET 0) i
		    LEFT JOIN LATERAL (SELECT o.intent FROM outcomes o WHERE o.intent = i.id LIMIT 1) o ON true
		    WHERE o.intent IS NULL)`, lease.Microseconds())
	return err
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

func chainRanges(chains []ledger.ID) (first, last any) {
	end := make([]ledger.ID, len(chains))
	for i, c := range chains {
		end[i] = ledger.ID{Hi: c.Hi, Lo: c.Lo | 0xffffffff}
	}
	return uids(chains), uids(end)
}

// Blocker is the intent that holds a place in an order, or one without an id
// where the place is free again.
func (w *Writer) Blocker(ctx context.Context, id ledger.ID, seq int32, attempt int16) (r Recorded, err error) {
	rows, err := w.conn.QueryContext(ctx,
		`SELECT i.id, i.chain, coalesce(c.outcome, ''), coalesce(c.reason, '') FROM intents i LEFT JOIN outcomes c ON c.intent = i.id
		 WHERE i.order_id = $1 AND i.seq = $2 AND i.attempt = $3`,
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
