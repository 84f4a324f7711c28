package orderdb

import (
	"context"
	"database/sql"
	"time"

	"escrowd/ledger"
	"escrowd/settlement/order"
)

// Order is the marketplace's order with the id, or ErrNotFound.
func (s *Store) Order(ctx context.Context, marketplace uint32, id ledger.ID) (order.Order, error) {
	return s.one(ctx, `SELECT `+orderColumns+` FROM orders o WHERE o.id = $1 AND o.marketplace = $2`, id.UUID(), marketplace)
}

// OrderByReference is the order with the marketplace's own name for it, or
// ErrNotFound.
func (s *Store) OrderByReference(ctx context.Context, marketplace uint32, reference string) (order.Order, error) {
	return s.one(ctx, `SELECT `+orderColumns+` FROM order_references r JOIN orders o ON o.id = r.order_id
		WHERE r.marketplace = $1 AND r.reference = $2`, marketplace, reference)
}

func (s *Store) one(ctx context.Context, query string, args ...any) (order.Order, error) {
	list, err := s.orders(ctx, query, args...)
	if err != nil {
		return order.Order{}, err
	}
	if len(list) == 0 {
		return order.Order{}, ErrNotFound
	}
	return list[0], nil
}

// OrderFilter selects orders. Zero fields select all.
type OrderFilter struct {
	State order.State
	After ledger.ID // only orders with a larger id
	Limit int       // at most so many; 0 means 100
}

// Orders lists the marketplace's orders by id, that is by age.
func (s *Store) Orders(ctx context.Context, marketplace uint32, f OrderFilter) ([]order.Order, error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	return s.orders(ctx, `SELECT `+orderColumns+` FROM orders o
		WHERE o.marketplace = $1 AND o.id > $2 AND ($3 = '' OR o.state = $3) ORDER BY o.id LIMIT $4`,
		marketplace, f.After.UUID(), string(f.State), limit)
}

func (s *Store) orders(ctx context.Context, query string, args ...any) ([]order.Order, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	list, ids, err := readOrders(rows)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Policy, err = s.policy(ctx, s.db, ids[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readOrders(rows *sql.Rows) (list []order.Order, policies []int64, err error) {
	defer rows.Close()
	for rows.Next() {
		var (
			o      order.Order
			policy int64
		)
		if err := scanOrder(rows, &o, &policy); err != nil {
			return nil, nil, err
		}
		list, policies = append(list, o), append(policies, policy)
	}
	return list, policies, rows.Err()
}

const eventColumns = `e.order_id, e.intent, e.seq, e.event, e.actor, e.data, e.state, e.held, e.released, e.refunded,
	e.fee_charged, e.tax_charged, e.maturing, coalesce(e.deadline, ''), e.deadline_at, e.at, e.paid_at, e.freeze_id,
	e.buyer_extended, e.seller_extended, coalesce(e.ledger_timestamp, 0), e.created_at`

func (s *Store) events(ctx context.Context, query string, args ...any) ([]Event, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Event
	for rows.Next() {
		var e Event
		p := &e.After
		if err := rows.Scan(&e.Position, (*uid)(&e.Order), (*uid)(&e.Intent), &e.Seq, &e.Event, &e.Actor, &e.Data,
			&p.State, &p.Held, &p.Released, &p.Refunded, &p.FeeCharged, &p.TaxCharged, &p.Maturing,
			&p.Deadline, (*moment)(&p.DeadlineAt), (*moment)(&p.At), (*moment)(&p.PaidAt), (*uid)(&p.Freeze),
			&p.BuyerExtended, &p.SellerExtended, &e.LedgerTimestamp, (*moment)(&e.RecordedAt)); err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, rows.Err()
}

// Timeline is all that happened to an order, in order.
func (s *Store) Timeline(ctx context.Context, id ledger.ID) ([]Event, error) {
	return s.events(ctx, `SELECT 0, `+eventColumns+` FROM order_events e WHERE e.order_id = $1 ORDER BY e.seq`, id.UUID())
}

// Events lists what happened to the marketplace's orders, in the order in
// which it was recorded, after a position. A reader that goes on from the
// last position it saw misses nothing.
func (s *Store) Events(ctx context.Context, marketplace uint32, after int64, limit int) ([]Event, error) {
	return s.events(ctx, `SELECT e.position, `+eventColumns+` FROM order_events e
		WHERE e.position > $1 AND e.marketplace = $2 ORDER BY e.position LIMIT $3`, after, marketplace, limit)
}

// Due lists orders whose deadline d is at or before until, by deadline and
// id, after the given one: a cursor, so that an order that stays due does not
// hold up the rest.
func (s *Store) Due(ctx context.Context, marketplace uint32, d order.Deadline, until time.Time, after Due, limit int) ([]order.Order, error) {
	if after.At.IsZero() {
		after.At = time.Unix(0, 0)
	}
	return s.orders(ctx, `SELECT `+orderColumns+` FROM orders o
		WHERE o.marketplace = $1 AND o.deadline = $2 AND o.deadline_at <= $3 AND o.deadline_at >= $4 AND (o.deadline_at, o.id) > ($4, $5)
		ORDER BY o.deadline_at, o.id LIMIT $6`, marketplace, d, until, after.At, after.Order.UUID(), limit)
}
