package reports

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/lib/pq"

	"escrowd/ledger/chart"
)

// DormantRow is what lies still in accounts of one kind and currency: of people
// who have not been paid, or not been paid back.
type DormantRow struct {
	Code     int       `json:"code"`
	Account  string    `json:"account"`
	Currency string    `json:"currency"`
	Accounts int64     `json:"accounts"`
	Balance  Amount    `json:"balance"`
	Since    time.Time `json:"since"` // when the one that lies still for longest moved last, by the report's basis
}

// DormantAccountRow is one account whose balance lies still.
type DormantAccountRow struct {
	Code        int       `json:"code"`
	Account     string    `json:"account"`
	Currency    string    `json:"currency"`
	Balance     Amount    `json:"balance"`
	Since       time.Time `json:"since"`
	Days        int64     `json:"days"` // from since to the report's moment
	Marketplace uint32    `json:"marketplace"`
	Owner       string    `json:"owner"` // the buyer or the seller
	AccountID   string    `json:"account_id"`
}

const (
	dormant      = "dormant"
	dormantTitle = "Dormant balances"
	// DefaultIdle is how long a balance has to lie still by itself.
	DefaultIdle = 180 * 24 * time.Hour
)

// dormantCodes are the accounts of people: what stands in them is owed to
// somebody, and no deadline moves it.
var dormantCodes = pq.Int64Array{int64(chart.Buyer), int64(chart.SellerPending), int64(chart.SellerAvailable), int64(chart.SellerReserve)}

// DormantByAccount lists the balances of buyers and sellers that have not moved
// for Options.Idle, longest first: unclaimed money, which in most places has to
// be looked for an owner, and in some be handed over after some years.
func (b *Books) DormantByAccount(ctx context.Context, o Options) (*Of[DormantAccountRow], error) {
	r := &Of[DormantAccountRow]{}
	err := b.read(ctx, dormant, dormantTitle+" by account", o, func(s *snapshot) (err error) {
		r.Head, r.Notes = s.head, s.notes
		r.Rows, err = s.dormant(ctx, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Dormant is DormantByAccount with a row for each account of the chart and
// currency.
func (b *Books) Dormant(ctx context.Context, o Options) (*Of[DormantRow], error) {
	r := &Of[DormantRow]{}
	err := b.read(ctx, dormant, dormantTitle, o, func(s *snapshot) error {
		r.Head, r.Notes = s.head, s.notes
		list, err := s.dormant(ctx, o)
		if err != nil {
			return err
		}
		found := map[account]*DormantRow{}
		for _, a := range list {
			key := account{a.Code, a.Currency}
			row, ok := found[key]
			if !ok {
				row = &DormantRow{Code: a.Code, Account: a.Account, Currency: a.Currency, Since: a.Since}
				found[key] = row
			}
			row.Accounts++
			row.Balance = row.Balance.Add(a.Balance)
			if a.Since.Before(row.Since) {
				row.Since = a.Since
			}
		}
		for _, row := range found {
			r.Rows = append(r.Rows, *row)
		}
		slices.SortFunc(r.Rows, func(a, b DormantRow) int {
			return cmp.Or(cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.Code, b.Code))
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// dormant reads the accounts. Those without a balance are passed by before
// their transfers are looked at, where all that stands in the books counts.
func (s *snapshot) dormant(ctx context.Context, o Options) ([]DormantAccountRow, error) {
	idle := o.Idle
	if idle == 0 {
		idle = DefaultIdle
	}
	if idle < 0 {
		return nil, &BadOption{"idle-days", "below 0"}
	}
	condition, bound := s.cut.transfers()
	all, ledgers := s.inScope()
	moved := `max(t.user_data_64)`
	if s.cut.basis == Booked {
		moved = `max(t.timestamp) / 1000`
	}
	side := func(column string) string {
		return `LEFT JOIN LATERAL (SELECT coalesce(sum(t.amount), 0) AS amount, ` + moved + ` AS moved
			FROM ledger_transfers t WHERE t.` + column + ` = a.id AND t.flags & 10 = 0 AND ` + condition + `) `
	}
	rows, err := s.QueryxContext(ctx, `SELECT a.id, a.ledger, a.code, coalesce(d.owner, ''), i.amount - o.amount, greatest(i.moved, o.moved)
		FROM ledger_accounts a
		`+side("credit_account_id")+`i ON true
		`+side("debit_account_id")+`o ON true
		LEFT JOIN accounts d ON d.id = a.id
		WHERE a.code = ANY($4) AND ($2 OR a.ledger = ANY($3)) AND (NOT $5 OR a.credits_posted <> a.debits_posted) AND i.amount <> o.amount`,
		bound, all, ledgers, dormantCodes, s.cut.open)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []DormantAccountRow
	for rows.Next() {
		var (
			ledger uint32
			r      DormantAccountRow
			micros sql.NullInt64
		)
		if err := rows.Scan(&r.AccountID, &ledger, &r.Code, &r.Owner, &r.Balance, &micros); err != nil {
			return nil, err
		}
		r.Account, r.Currency, r.Marketplace = chart.AccountCode(r.Code).Name(), currencyOf(ledger), ledger/1000
		r.Since = time.UnixMicro(micros.Int64).UTC()
		still := s.ageAt(r.Marketplace, o.Now).Sub(r.Since)
		if still < idle {
			continue
		}
		r.Days = int64(still / (24 * time.Hour))
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b DormantAccountRow) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.AccountID, b.AccountID))
	})
	return list, rows.Err()
}
