package reports

import (
	"cmp"
	"context"
	"slices"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
)

// FXPositionRow is what a marketplace has exchanged in one currency: Debits and
// Credits of its FX position (1400), the Position, which is debits less credits,
// and the Spread that it kept (4110). Below zero, the marketplace has that much of
// the currency which it got for another one; above zero, it has given that much
// more than it got.
type FXPositionRow struct {
	Marketplace uint32 `json:"marketplace"`
	Name        string `json:"name"`
	Currency    string `json:"currency"`
	Debits      Amount `json:"debits"`
	Credits     Amount `json:"credits"`
	Position    Amount `json:"position"`
	Spread      Amount `json:"spread"`
}

// FXMovementRow is one transfer of the FX position or the FX spread. About is
// the order or the entry that it belongs to.
type FXMovementRow struct {
	Marketplace uint32    `json:"marketplace"`
	Currency    string    `json:"currency"`
	EffectiveAt time.Time `json:"effective_at"`
	BookedAt    time.Time `json:"booked_at"`
	Code        int       `json:"code"` // of the account
	Account     string    `json:"account"`
	Movement    string    `json:"movement"`
	Debit       Amount    `json:"debit"`
	Credit      Amount    `json:"credit"`
	About       string    `json:"about"`
	TransferID  string    `json:"transfer_id"`
}

const (
	fxPosition      = "fx-position"
	fxPositionTitle = "FX position, debits less credits"
)

// FXPosition sums what was exchanged, per marketplace and currency. Currencies
// of which nothing was are left out.
func (b *Books) FXPosition(ctx context.Context, o Options) (*Of[FXPositionRow], error) {
	r := &Of[FXPositionRow]{}
	err := b.read(ctx, fxPosition, fxPositionTitle, o, func(s *snapshot) error {
		r.Head = s.head
		sums, err := s.sums(ctx)
		if err != nil {
			return err
		}
		byLedger := map[uint32]FXPositionRow{}
		for in, v := range sums {
			row := byLedger[in.ledger]
			switch chart.AccountCode(in.code) {
			case chart.FXPosition:
				row.Debits, row.Credits, row.Position = v.debits, v.credits, v.debits.Sub(v.credits)
			case chart.FXSpread:
				row.Spread = v.credits.Sub(v.debits)
			default:
				continue
			}
			row.Marketplace, row.Currency = in.ledger/1000, currencyOf(in.ledger)
			row.Name = s.marketplaces[row.Marketplace].Name
			byLedger[in.ledger] = row
		}
		for _, row := range byLedger {
			r.Rows = append(r.Rows, row)
		}
		slices.SortFunc(r.Rows, func(a, b FXPositionRow) int {
			return cmp.Or(cmp.Compare(a.Marketplace, b.Marketplace), cmp.Compare(a.Currency, b.Currency))
		})
		r.Problems, r.Notes = s.imbalances(sums), s.notes
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// FXMovements are the transfers that FXPosition sums, as they were booked.
func (b *Books) FXMovements(ctx context.Context, o Options) (*Of[FXMovementRow], error) {
	r := &Of[FXMovementRow]{}
	err := b.read(ctx, fxPosition, fxPositionTitle+" by movement", o, func(s *snapshot) error {
		r.Head = s.head
		before, bound := s.cut.transfers()
		all, ledgers := s.inScope()
		var rows []struct {
			ID        string `db:"id"`
			Ledger    uint32 `db:"ledger"`
			Effective int64  `db:"user_data_64"`
			Timestamp int64  `db:"timestamp"`
			Code      uint16 `db:"code"`
			Flags     uint16 `db:"flags"`
			About     string `db:"about"`
			Account   int    `db:"account"`
			Debit     bool   `db:"debit"`
			Amount    Amount `db:"amount"`
		}
		if err := s.SelectContext(ctx, &rows,
			`SELECT t.id, t.ledger, t.user_data_64, t.timestamp, t.code, t.flags, t.user_data_128 AS about, a.code AS account, t.debit, `+posted+` AS amount
			 FROM ledger_accounts a CROSS JOIN LATERAL (
			     SELECT *, true AS debit FROM ledger_transfers WHERE debit_account_id = a.id
			     UNION ALL
			     SELECT *, false FROM ledger_transfers WHERE credit_account_id = a.id) t
			 WHERE a.code IN ($4, $5) AND `+before+` AND ($2 OR t.ledger = ANY ($3))
			 ORDER BY t.timestamp, t.debit`, bound, all, ledgers, int(chart.FXPosition), int(chart.FXSpread)); err != nil {
			return err
		}
		for _, t := range rows {
			account := chart.AccountCode(t.Account)
			row := FXMovementRow{Marketplace: t.Ledger / 1000, Currency: currencyOf(t.Ledger),
				EffectiveAt: time.UnixMicro(t.Effective).UTC(), BookedAt: fromLedger(uint64(t.Timestamp)), Code: t.Account, Account: account.Name(),
				Movement: chart.TransferCode(t.Code).NameOf(ledger.TransferFlags(t.Flags)), About: t.About, TransferID: t.ID}
			if t.Debit {
				row.Debit = t.Amount
			} else {
				row.Credit = t.Amount
			}
			r.Rows = append(r.Rows, row)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}
