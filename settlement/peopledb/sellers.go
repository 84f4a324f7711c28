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
// first mark or terms within five seconds, and the others at once.
func (s *Store) Mark(ctx context.Context, marketplace uint32, m people.Mark, key Key) (_ people.Mark, replayed bool, err error) {
	if err := m.Check(); err != nil {
		return m, false, err
	}
	if m.ID, err = orderdb.NewID(); err != nil {
		return m, false, err
	}
	m.Since = micro(m.Since)
	first, err := s.once(ctx, marketplace, key, m.ID, func(tx *sqlx.Tx) error {
		if err := speaks(ctx, tx, marketplace); err != nil {
			return err
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

// speaks notes that the marketplace has said something of its sellers. Its lock
// lets what is said become visible in the order of its positions.
func speaks(ctx context.Context, tx *sqlx.Tx, marketplace uint32) error {
	var marked bool
	err := tx.GetContext(ctx, &marked, `SELECT sellers_marked FROM marketplaces WHERE id = $1 FOR NO KEY UPDATE`, marketplace)
	if err != nil || marked {
		return notFound(err)
	}
	_, err = tx.ExecContext(ctx, `UPDATE marketplaces SET sellers_marked = true WHERE id = $1`, marketplace)
	return err
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

const termsColumns = `position, id, seller, tier, jurisdiction, reason, since`

func scanTerms(row scanner) (t people.Terms, err error) {
	err = row.Scan(&t.Position, (*uid)(&t.ID), &t.Seller, &t.Tier, &t.Jurisdiction, &t.Reason, &t.Since)
	t.Since = t.Since.UTC()
	return t, notFound(err)
}

// SetTerms keeps the tier and the jurisdiction of one of the marketplace's sellers;
// what was said before stays readable. Replays, errors and when servers notice are
// as for Mark.
func (s *Store) SetTerms(ctx context.Context, marketplace uint32, t people.Terms, key Key) (_ people.Terms, replayed bool, err error) {
	if err := t.Check(); err != nil {
		return t, false, err
	}
	if t.ID, err = orderdb.NewID(); err != nil {
		return t, false, err
	}
	t.Since = micro(t.Since)
	first, err := s.once(ctx, marketplace, key, t.ID, func(tx *sqlx.Tx) error {
		if err := speaks(ctx, tx, marketplace); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `INSERT INTO seller_terms (id, marketplace, seller, tier, jurisdiction, reason, since)
			VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING position`,
			t.ID.UUID(), marketplace, t.Seller, t.Tier, t.Jurisdiction, t.Reason, t.Since).Scan(&t.Position)
	})
	if err != nil || first == t.ID {
		return t, false, err
	}
	t, err = scanTerms(s.db.QueryRowContext(ctx, `SELECT `+termsColumns+` FROM seller_terms WHERE id = $1`, first.UUID()))
	return t, err == nil, err
}

// Terms lists what a marketplace has said of its sellers' tiers and jurisdictions,
// or of one seller's, as Marks does.
func (s *Store) Terms(ctx context.Context, marketplace uint32, seller string, after int64, limit int) ([]people.Terms, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+termsColumns+` FROM seller_terms
		WHERE marketplace = $1 AND position > $2 AND ($3 = '' OR seller = $3) ORDER BY position LIMIT $4`, marketplace, after, seller, limit)
	if err != nil {
		return nil, err
	}
	return all(rows, scanTerms)
}
