package peopledb

import (
	"context"

	"github.com/jmoiron/sqlx"

	"escrowd/settlement/orderdb"
	"escrowd/settlement/people"
)

const markColumns = `position, id, seller, category, eligible, reason, since`

func scanMark(row scanner) (m people.Mark, err error) {
	err = row.Scan(&m.Position, (*uid)(&m.ID), &m.Seller, &m.Category, &m.Eligible, &m.Reason, &m.Since)
	m.Since = m.Since.UTC()
	return m, notFound(err)
}

// Mark adds a mark of one of the marketplace's sellers; replayed says that an
// earlier request with the key did. orderdb.ErrNotFound: there is no such
// marketplace. An *order.Refusal: it is no mark. Servers notice a marketplace's
// first mark within five seconds, and the others at once.
func (s *Store) Mark(ctx context.Context, marketplace uint32, m people.Mark, key Key) (_ people.Mark, replayed bool, err error) {
	if err := m.Check(); err != nil {
		return m, false, err
	}
	if m.ID, err = orderdb.NewID(); err != nil {
		return m, false, err
	}
	m.Since = micro(m.Since)
	first, err := s.once(ctx, marketplace, key, m.ID, func(tx *sqlx.Tx) error {
		// The lock lets marks become visible in the order of their positions.
		var marked bool
		err := tx.GetContext(ctx, &marked, `SELECT sellers_marked FROM marketplaces WHERE id = $1 FOR NO KEY UPDATE`, marketplace)
		if err != nil {
			return notFound(err)
		}
		if !marked {
			if _, err := tx.ExecContext(ctx, `UPDATE marketplaces SET sellers_marked = true WHERE id = $1`, marketplace); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, `INSERT INTO seller_marks (id, marketplace, seller, category, eligible, reason, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING position`,
			m.ID.UUID(), marketplace, m.Seller, m.Category, m.Eligible, m.Reason, m.Since).Scan(&m.Position)
	})
	if err != nil || first == m.ID {
		return m, false, err
	}
	m, err = scanMark(s.db.QueryRowContext(ctx, `SELECT `+markColumns+` FROM seller_marks WHERE id = $1`, first.UUID()))
	return m, err == nil, err
}

// Marks lists a marketplace's marks, or those of one seller, in the order in
// which they were made, after a position, at most limit. A reader that goes on
// from the last position it saw misses nothing.
func (s *Store) Marks(ctx context.Context, marketplace uint32, seller string, after int64, limit int) ([]people.Mark, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+markColumns+` FROM seller_marks
		WHERE marketplace = $1 AND position > $2 AND ($3 = '' OR seller = $3) ORDER BY position LIMIT $4`, marketplace, after, seller, limit)
	if err != nil {
		return nil, err
	}
	return all(rows, scanMark)
}
