package peopledb

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/settlement/order"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
)

const entryColumns = `id, order_id, author, part, rated, coalesce(rating, 0), text, at`

func scanEntry(row scanner) (e people.Entry, err error) {
	err = row.Scan((*uid)(&e.ID), (*uid)(&e.Order), &e.Author, &e.Part, &e.Rated, &e.Rating, &e.Text, &e.At)
	e.At = e.At.UTC()
	return e, notFound(err)
}

// Say adds a feedback, a reply or a revision to a marketplace's order at the
// marketplace's now; replayed says that an earlier request with the key did.
// orderdb.ErrNotFound: there is no such order. An *order.Refusal: it cannot be
// said.
func (s *Store) Say(ctx context.Context, marketplace uint32, id ledger.ID, c people.Command, now time.Time, key Key) (e people.Entry, replayed bool, err error) {
	o, err := s.orders.Order(ctx, marketplace, id)
	if err != nil {
		return e, false, err
	}
	entry, err := orderdb.NewID()
	if err != nil {
		return e, false, err
	}
	first, err := s.once(ctx, marketplace, key, entry, func(tx *sqlx.Tx) error {
		e, err = s.say(ctx, tx, &o, entry, c, micro(now))
		return err
	})
	if err != nil || first == entry {
		return e, false, err
	}
	e, err = scanEntry(s.db.QueryRowContext(ctx, `SELECT `+entryColumns+` FROM feedback WHERE id = $1`, first.UUID()))
	return e, err == nil, err
}

// ends are the states in which an order has ended.
var ends = func() (list pq.StringArray) {
	for _, s := range order.States {
		if !s.Open() {
			list = append(list, string(s))
		}
	}
	return list
}()

// say decides on what was said so far and adds to it. When an order ended does
// not change any more, and entries never do: all that can come in between is the
// same part by another writer, which finds its place taken.
func (s *Store) say(ctx context.Context, tx *sqlx.Tx, o *order.Order, id ledger.ID, c people.Command, now time.Time) (people.Entry, error) {
	said, err := entries(ctx, tx, o.ID)
	if err != nil {
		return people.Entry{}, err
	}
	if o.Aftermath != nil && !o.State.Open() {
		// A refund or a chargeback after the end gives nobody more time.
		ended := *o
		if err := tx.QueryRowContext(ctx, `SELECT min(at) FROM order_events WHERE order_id = $1 AND state = ANY($2)`,
			o.ID.UUID(), ends).Scan(&ended.At); err != nil {
			return people.Entry{}, err
		}
		ended.At = ended.At.UTC()
		o = &ended
	}
	e, err := people.Plan(o, said, c, now)
	if err != nil {
		return people.Entry{}, err
	}
	e.ID = id
	_, err = tx.ExecContext(ctx, `INSERT INTO feedback (id, marketplace, order_id, author, part, rated, rating, text, at)
		VALUES ($1, $2, $3, $4, $5, $6, nullif($7, 0), $8, $9)`,
		e.ID.UUID(), o.Marketplace, e.Order.UUID(), e.Author, e.Part, e.Rated, e.Rating, e.Text, e.At)
	return e, taken(err)
}

func entries(ctx context.Context, q sqlx.QueryerContext, id ledger.ID) ([]people.Entry, error) {
	rows, err := q.QueryContext(ctx, `SELECT `+entryColumns+` FROM feedback WHERE order_id = $1 ORDER BY at, part, author`, id.UUID())
	if err != nil {
		return nil, err
	}
	return all(rows, scanEntry)
}

// Feedback is all that was said of an order, at most one of each party.
func (s *Store) Feedback(ctx context.Context, id ledger.ID) ([]people.Feedback, error) {
	said, err := entries(ctx, s.db, id)
	return people.Gather(said), err
}

// About is the feedback in a marketplace about a person, in the order in which
// it was given, after one that has an id, at most limit; last is the id after
// which the next page goes on.
func (s *Store) About(ctx context.Context, marketplace uint32, person string, after ledger.ID, limit int) (list []people.Feedback, last ledger.ID, err error) {
	rows, err := s.db.QueryContext(ctx, `WITH given AS (
			SELECT g.id, g.order_id, g.author FROM feedback g
			WHERE g.marketplace = $1 AND g.rated = $2 AND g.part = 'feedback' AND g.id > $3 ORDER BY g.id LIMIT $4)
		SELECT f.id, f.order_id, f.author, f.part, f.rated, coalesce(f.rating, 0), f.text, f.at
		FROM given g JOIN feedback f ON f.order_id = g.order_id AND f.author = g.author ORDER BY g.id, f.at, f.part`,
		marketplace, person, after.UUID(), limit)
	if err != nil {
		return nil, last, err
	}
	said, err := all(rows, scanEntry)
	if err != nil {
		return nil, last, err
	}
	list = people.Gather(said)
	if n := len(list); n > 0 {
		last = list[n-1].Entries[0].ID
	}
	return list, last, nil
}
