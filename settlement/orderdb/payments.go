package orderdb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/settlement/order"
)

// Paid is how an order was paid, or its payment authorised, by what was given to
// the ledger. Clearing is the account (1100) through which the money came; zero
// where it was the buyer's already.
type Paid struct {
	order.Payment
	Clearing ledger.ID
}

// querier is a database, or a transaction of one.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// PaidThrough is how each of the orders was paid. Orders whose payment is not on
// record are left out.
func (w *Writer) PaidThrough(ctx context.Context, orders []ledger.ID) (map[ledger.ID]Paid, error) {
	return paidThrough(ctx, w.conn, orders)
}

// PaidThrough is Writer.PaidThrough, as it stands now.
func (s *Store) PaidThrough(ctx context.Context, orders []ledger.ID) (map[ledger.ID]Paid, error) {
	return paidThrough(ctx, s.db, orders)
}

// A payment of several orders is received once, by the first intent of its
// chain.
const paidThroughSQL = `SELECT i.order_id, i.event, f.id, f.order_id, f.at, f.moves
	FROM unnest($1::uuid[]) AS q (id)
	JOIN intents i ON i.order_id = q.id AND i.event IN ('pay', 'authorise')
	JOIN outcomes c ON c.intent = i.id AND c.outcome = 'applied'
	JOIN intents f ON f.id = i.chain`

func paidThrough(ctx context.Context, db querier, orders []ledger.ID) (map[ledger.ID]Paid, error) {
	rows, err := db.QueryContext(ctx, paidThroughSQL, uids(orders))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[ledger.ID]Paid{}
	var through []ledger.ID
	for rows.Next() {
		var paid, intent, first ledger.ID
		var event order.Event
		var at time.Time
		var moves []byte
		if err := rows.Scan((*uid)(&paid), &event, (*uid)(&intent), (*uid)(&first), (*moment)(&at), &moves); err != nil {
			return nil, err
		}
		_, legs, err := unpackMoves(moves, intent, first, at.UnixMicro())
		if err != nil {
			return nil, fmt.Errorf("intent %s: %w", intent.UUID(), err)
		}
		if p, ok := receiptOf(event, legs); ok {
			found[paid] = p
			through = append(through, p.Clearing)
		}
	}
	if err := rows.Err(); err != nil || len(through) == 0 {
		return found, err
	}
	names, err := ownersOf(ctx, db, through)
	for id, p := range found {
		if !p.Clearing.IsZero() {
			p.Method = names[p.Clearing]
			found[id] = p
		}
	}
	return found, err
}

// receiptOf finds what came in among the legs of a payment, and whether anything
// is told there at all. A payment that only holds was out of a balance.
func receiptOf(event order.Event, legs []ledger.Transfer) (Paid, bool) {
	held := false
	for _, l := range legs {
		switch chart.TransferCode(l.Code) {
		case chart.PaymentReceived, chart.PaymentAuthorised, chart.FXReceived:
			return Paid{order.Payment{Ledger: l.Ledger}, l.DebitAccountID}, true
		case chart.Hold:
			held = true
		}
	}
	return Paid{Payment: order.Payment{Method: order.Balance}}, held && event == order.Pay
}

// ownersOf is whose the accounts are.
func ownersOf(ctx context.Context, db querier, accounts []ledger.ID) (map[ledger.ID]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT id, owner FROM accounts WHERE id = ANY ($1::uuid[])`, uids(accounts))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[ledger.ID]string{}
	for rows.Next() {
		var id ledger.ID
		var owner string
		if err := rows.Scan((*uid)(&id), &owner); err != nil {
			return nil, err
		}
		found[id] = owner
	}
	return found, rows.Err()
}
