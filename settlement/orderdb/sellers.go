package orderdb

import (
	"context"
	"database/sql"
	"time"

	"escrowd/ledger/pgrows"
	"escrowd/settlement/people"
)

// SellerAsk asks for a seller's standing at a moment.
type SellerAsk struct {
	Marketplace uint32
	Seller      string
	Category    string // "" for none
	At          time.Time
}

var sellerAsks = pgrows.Table{Columns: []pgrows.Column{
	{Name: "marketplace", Kind: "int"}, {Name: "seller", Kind: "text"}, {Name: "category", Kind: "text"},
	{Name: "at", Kind: "timestamptz"}, {Name: "n", Kind: "int"},
}}

// Of an order without a category only the marks for all count, whose category
// is empty as well.
var standingsSQL = `SELECT m.only_listed_sellers, a.eligible, a.since, c.eligible, c.since, coalesce(t.tier, ''), coalesce(t.jurisdiction, '')
	FROM ` + sellerAsks.Unnest(pgrows.From(1)) + `
	JOIN marketplaces m ON m.id = u.marketplace
	LEFT JOIN LATERAL (SELECT k.eligible, k.since FROM seller_marks k
		WHERE k.marketplace = u.marketplace AND k.seller = u.seller AND k.category = '' AND k.since <= u.at
		ORDER BY k.since DESC, k.position DESC LIMIT 1) a ON true
	LEFT JOIN LATERAL (SELECT k.eligible, k.since FROM seller_marks k
		WHERE u.category <> '' AND k.marketplace = u.marketplace AND k.seller = u.seller AND k.category = u.category AND k.since <= u.at
		ORDER BY k.since DESC, k.position DESC LIMIT 1) c ON true
	LEFT JOIN LATERAL (SELECT k.tier, k.jurisdiction FROM seller_terms k
		WHERE k.marketplace = u.marketplace AND k.seller = u.seller AND k.since <= u.at
		ORDER BY k.since DESC, k.position DESC LIMIT 1) t ON true
	ORDER BY u.n`

func standingArgs(asks []SellerAsk) []any {
	return sellerAsks.Arrays(len(asks), func(f *pgrows.Fields, i int) {
		f.Number(uint64(asks[i].Marketplace))
		f.Text(asks[i].Seller)
		f.Text(asks[i].Category)
		f.Time(asks[i].At)
		f.Int(int64(i))
	})
}

// Standings answers by index; the marketplaces are there.
func (w *Writer) Standings(ctx context.Context, asks []SellerAsk) ([]people.Standing, error) {
	rows, err := w.standings.QueryContext(ctx, standingArgs(asks)...)
	if err != nil {
		return nil, err
	}
	return readStandings(rows, asks)
}

// Standing is a seller's standing. ErrNotFound: there is no such marketplace.
func (s *Store) Standing(ctx context.Context, ask SellerAsk) (people.Standing, error) {
	asks := []SellerAsk{ask}
	rows, err := s.db.QueryContext(ctx, standingsSQL, standingArgs(asks)...)
	if err != nil {
		return people.Standing{}, err
	}
	list, err := readStandings(rows, asks)
	if err != nil {
		return people.Standing{}, err
	}
	return list[0], nil
}

func readStandings(rows *sql.Rows, asks []SellerAsk) ([]people.Standing, error) {
	defer rows.Close()
	list := make([]people.Standing, 0, len(asks))
	for rows.Next() {
		var (
			s                       people.Standing
			all, category           sql.NullBool
			allSince, categorySince moment
		)
		if err := rows.Scan(&s.OnlyListed, &all, &allSince, &category, &categorySince, &s.Tier, &s.Jurisdiction); err != nil {
			return nil, err
		}
		ask := &asks[len(list)]
		if all.Valid {
			s.All = &people.Mark{Seller: ask.Seller, Eligible: all.Bool, Since: time.Time(allSince)}
		}
		if category.Valid {
			s.Category = &people.Mark{Seller: ask.Seller, Category: ask.Category, Eligible: category.Bool, Since: time.Time(categorySince)}
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(list) < len(asks) {
		return nil, ErrNotFound
	}
	return list, nil
}

// SetOnlyListed says whether sellers need a mark to be eligible. ErrNotFound:
// there is no such marketplace. Servers hear of it within five seconds.
func (s *Store) SetOnlyListed(ctx context.Context, marketplace uint32, only bool) (Marketplace, error) {
	return scanMarketplace(s.db.QueryRowContext(ctx,
		`UPDATE marketplaces SET only_listed_sellers = $2 WHERE id = $1 RETURNING `+marketplaceColumns, marketplace, only))
}
