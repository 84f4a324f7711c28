package peopledb

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
)

const noteColumns = `id, order_id, number, author, text, at`

func scanNote(row scanner) (n people.Note, err error) {
	err = row.Scan((*uid)(&n.ID), (*uid)(&n.Order), &n.Number, &n.Author, &n.Text, &n.At)
	n.At = n.At.UTC()
	return n, notFound(err)
}

// AddNote adds a note to a marketplace's order at the marketplace's now;
// replayed says that an earlier request with the key did. orderdb.ErrNotFound:
// there is no such order. An *order.Refusal: it is no note.
func (s *Store) AddNote(ctx context.Context, marketplace uint32, id ledger.ID, author, text string, now time.Time, key Key) (n people.Note, replayed bool, err error) {
	o, err := s.orders.Order(ctx, marketplace, id)
	if err != nil {
		return n, false, err
	}
	n = people.Note{Order: id, Author: author, Text: text, At: micro(now)}
	if err := n.Check(o.State); err != nil {
		return n, false, err
	}
	if n.ID, err = orderdb.NewID(); err != nil {
		return n, false, err
	}
	first, err := s.once(ctx, marketplace, key, n.ID, func(tx *sqlx.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO case_notes (order_id, number, id, marketplace, author, text, at)
			SELECT $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6 FROM case_notes WHERE order_id = $1 RETURNING number`,
			id.UUID(), n.ID.UUID(), marketplace, n.Author, n.Text, n.At).Scan(&n.Number)
		return taken(err)
	})
	if err != nil || first == n.ID {
		return n, false, err
	}
	n, err = scanNote(s.db.QueryRowContext(ctx, `SELECT `+noteColumns+` FROM case_notes WHERE id = $1`, first.UUID()))
	return n, err == nil, err
}

// Notes lists an order's notes after a number, at most limit. A reader that
// goes on from the last number it saw misses nothing.
func (s *Store) Notes(ctx context.Context, id ledger.ID, after int64, limit int) ([]people.Note, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+noteColumns+` FROM case_notes
		WHERE order_id = $1 AND number > $2::bigint ORDER BY number LIMIT $3`, id.UUID(), after, limit)
	if err != nil {
		return nil, err
	}
	return all(rows, scanNote)
}

// CountNotes is how many notes an order has.
func (s *Store) CountNotes(ctx context.Context, id ledger.ID) (n int, err error) {
	// Numbers have no gaps.
	err = s.db.GetContext(ctx, &n, `SELECT coalesce(max(number), 0) FROM case_notes WHERE order_id = $1`, id.UUID())
	return n, err
}
