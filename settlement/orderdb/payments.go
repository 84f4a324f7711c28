package orderdb

import (
	"context"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// A payment of several orders is received once, by the first intent of its
// chain.
const paidThroughSQL = `SELECT i.order_id, f.id, f.order_id, f.at, f.moves
	FROM unnest($1::uuid[]) AS q (id)
	JOIN intents i ON i.order_id = q.id AND i.event IN ('pay', 'authorise')
	JOIN outcomes c ON c.intent = i.id AND c.outcome = 'applied'
	JOIN intents f ON f.id = i.chain`

// PaidThrough is the account (1100) through which each of the orders was paid,
// or its payment authorised, by what was given to the ledger. Orders whose
// payment is not told there are left out.
func (w *Writer) PaidThrough(ctx context.Context, orders []ledger.ID) (map[ledger.ID]ledger.ID, error) {
	rows, err := w.conn.QueryContext(ctx, paidThroughSQL, uids(orders))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[ledger.ID]ledger.ID{}
	for rows.Next() {
		var paid, intent, first ledger.ID
		var at time.Time
		var moves []byte
		if err := rows.Scan((*uid)(&paid), (*uid)(&intent), (*uid)(&first), (*moment)(&at), &moves); err != nil {
			return nil, err
		}
		_, legs, err := unpackMoves(moves, intent, first, at.UnixMicro())
		if err != nil {
			return nil, fmt.Errorf("intent %s: %w", intent.UUID(), err)
		}
		for _, l := range legs {
			if c := chart.TransferCode(l.Code); c == chart.PaymentReceived || c == chart.PaymentAuthorised {
				found[paid] = l.DebitAccountID
			}
		}
	}
	return found, rows.Err()
}
