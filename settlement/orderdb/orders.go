package orderdb

import (
	"context"
	"database/sql"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/pgrows"
	"escrowd/settlement/order"
)

// Order is the marketplace's order with the id, or ErrNotFound.
func (s *Store) Order(ctx context.Context, marketplace uint32, id ledger.ID) (order.Order, error) {
	return s.one(ctx, `SELECT `+orderColumns+` FROM orders o WHERE o.id = $1 AND o.marketplace = $2`, id.UUID(), marketplace)
}

// OrdersByID are those of the marketplace that there are, in no order.
func (s *Store) OrdersByID(ctx context.Context, marketplace uint32, ids []ledger.ID) ([]order.Order, error) {
	return s.orders(ctx, `SELECT `+orderColumns+` FROM unnest($2::uuid[]) AS q (id) JOIN orders o ON o.id = q.id WHERE o.marketplace = $1`, marketplace, uids(ids))
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
	e.buyer_extended, e.seller_extended, e.claim, e.captured, e.captured_fee, e.captured_tax, e.captured_share, coalesce(e.method, ''), e.disputes, e.replaced,
	e.parts, coalesce(e.holidays, 0), e.aftermath,
	coalesce(e.ledger_timestamp, 0), e.created_at`

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
		if err := rows.Scan(&e.Position, (*uid)(&e.Order), (*uid)(&e.Intent), &p.Seq, &e.Event, &e.Actor, &e.Data,
			&p.State, &p.Held, &p.Released, &p.Refunded, &p.FeeCharged, &p.TaxCharged, &p.Maturing,
			&p.Deadline, (*moment)(&p.DeadlineAt), (*moment)(&p.At), (*moment)(&p.PaidAt), (*uid)(&p.Freeze),
			&p.BuyerExtended, &p.SellerExtended, documentIn(&p.Claim), (*amount)(&p.Captured.Amount), (*amount)(&p.Captured.Fee), (*amount)(&p.Captured.Tax),
			(*amount)(&p.Captured.BuyerShare), &p.Method, (*count)(&p.Disputes), (*count)(&p.Replaced), documentIn(&p.Parts), &p.Holidays, documentIn(&p.Aftermath),
			&e.LedgerTimestamp, (*moment)(&e.RecordedAt)); err != nil {
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

// DuePage is a stretch of the deadlines that have passed, by moment and id.
type DuePage struct {
	Orders []order.Order // that still wait for them
	Past   int           // how many deadlines are the past of orders that have moved on
	Last   Due           // the end of the stretch; from there the next one goes on
	More   bool          // there may be a next one
}

// Due looks through up to limit deadlines d at or before until, after the given
// one: a cursor, so that an order that stays due does not hold up the rest. A
// deadline that an order had, lost and had again, to an earlier one or because
// something stopped its clock for no time, was noted twice, and counts once.
func (s *Store) Due(ctx context.Context, marketplace uint32, d order.Deadline, until time.Time, after Due, limit int) (p DuePage, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT DISTINCT at, order_id FROM order_deadlines
		WHERE marketplace = $1 AND deadline = $2 AND at <= $3 AND at >= $4 AND (at, order_id) > ($4, $5)
		ORDER BY at, order_id LIMIT $6`, marketplace, d, until, after.since(), after.Order.UUID(), limit)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	var list []Due
	for rows.Next() {
		var at Due
		if err := rows.Scan((*moment)(&at.At), (*uid)(&at.Order)); err != nil {
			return p, err
		}
		list = append(list, at)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		return p, err
	}
	p.Last, p.More = list[len(list)-1], len(list) == limit
	p.Orders, err = s.orders(ctx, `SELECT `+orderColumns+` FROM `+dueTable.Unnest(pgrows.From(2))+`
		JOIN orders o ON o.id = u.id AND o.deadline = $1 AND o.deadline_at = u.at
		ORDER BY u.at, u.id`, append([]any{d}, dueTable.Arrays(len(list), func(f *pgrows.Fields, i int) {
		f.ID(list[i].Order)
		f.Time(list[i].At)
	})...)...)
	p.Past = len(list) - len(p.Orders)
	return p, err
}

var dueTable = pgrows.Table{Columns: []pgrows.Column{{Name: "id", Kind: "uuid"}, {Name: "at", Kind: "timestamptz"}}}

func (d Due) since() time.Time {
	if d.At.IsZero() {
		return time.Unix(0, 0)
	}
	return d.At
}

// ForgetPast removes the deadlines d after one and up to another that are the
// past of orders that have moved on. An order's present deadline always stays,
// whatever happens at the same time: it was noted in the transaction that made
// it the present one, so whoever does not see that does not see the note.
func (s *Store) ForgetPast(ctx context.Context, marketplace uint32, d order.Deadline, after, upTo Due) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM order_deadlines t
		WHERE marketplace = $1 AND deadline = $2 AND at BETWEEN $3 AND $5 AND (at, order_id) > ($3, $4) AND (at, order_id) <= ($5, $6)
		  AND NOT EXISTS (SELECT FROM orders o WHERE o.id = t.order_id AND o.deadline = t.deadline AND o.deadline_at = t.at)`,
		marketplace, d, after.since(), after.Order.UUID(), upTo.At, upTo.Order.UUID())
	return err
}
