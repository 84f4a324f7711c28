package pages

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"slices"

	"github.com/jmoiron/sqlx"
)

// Wrong is a place where the pages, the journal and the accounts do not agree.
type Wrong struct {
	Ledger uint32 // 0: of several ledgers
	What   string
}

// Part says which pages Check adds up again: each whose number, from 0 on, is
// Which modulo Of. The zero value is all pages.
type Part struct{ Which, Of int }

// Check compares what the journal says now, by its pages and what is after them,
// with the balances of the accounts, per ledger and code, at one moment: an
// amount that is wrong in any page shows there, and so does an account whose
// balance is not the sum of its transfers. Then it adds up the given part of the
// pages again, all of them if something differed, and compares all that a page
// says: this also finds what is in the wrong page, or took effect at another
// time. each, if not nil, is called after every page, and ends it by an error.
func Check(ctx context.Context, db *sqlx.DB, p Part, each func() error) (wrong []Wrong, err error) {
	var list []page
	err = transaction(ctx, db, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SET LOCAL work_mem = '64MB'; SET LOCAL jit = off`); err != nil {
			return err
		}
		if list, _, err = chain(ctx, tx, Cut{All: true, Effective: Everything}); err != nil {
			return err
		}
		wrong, err = againstAccounts(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("comparing the journal with the accounts: %w", err)
	}
	for i, g := range list {
		if len(wrong) == 0 && p.Of > 0 && i%p.Of != p.Which {
			continue
		}
		var same bool
		err := transaction(ctx, db, &sql.TxOptions{ReadOnly: true}, func(tx *sqlx.Tx) error {
			if _, err := tx.ExecContext(ctx, byIndex); err != nil {
				return err
			}
			return tx.GetContext(ctx, &same, againSQL, g.After, g.Upto)
		})
		if err != nil {
			return wrong, fmt.Errorf("adding up the page from %d to %d again: %w", g.After, g.Upto, err)
		}
		if !same {
			wrong = append(wrong, Wrong{0, fmt.Sprintf("the page of the journal after %d up to %d does not say what its transfers say", g.After, g.Upto)})
		}
		if each != nil {
			if err := each(); err != nil {
				return wrong, err
			}
		}
	}
	return wrong, nil
}

// againSQL says whether a page is as its transfers are. One that was thrown away
// meanwhile says nothing, and is as good.
const againSQL = `SELECT coalesce(bool_and((p.transfers, p.ledgers, p.debit_codes, p.credit_codes, p.amounts, p.counts, p.effective_first, p.effective_last)
		IS NOT DISTINCT FROM
		((SELECT count(*) FROM ledger_transfers WHERE timestamp > $1 AND timestamp <= $2),
		 c.ledgers, c.debit_codes, c.credit_codes, c.amounts, c.counts, c.effective_first, c.effective_last)), true)
	FROM ledger_pages p, (` + cellsSQL + `) c
	WHERE p.after = $1 AND p.upto = $2`

func againstAccounts(ctx context.Context, tx *sqlx.Tx) ([]Wrong, error) {
	sums, _, err := Sums(ctx, tx, Cut{Booked: Everything, Effective: Everything, All: true})
	if err != nil {
		return nil, err
	}
	type account struct {
		ledger uint32
		code   int
	}
	type sides struct{ debits, credits big.Int }
	journal := map[account]*sides{}
	of := func(l uint32, code int) *sides {
		in := account{l, code}
		if journal[in] == nil {
			journal[in] = &sides{}
		}
		return journal[in]
	}
	for _, s := range sums {
		d, c := of(s.Ledger, s.Debit), of(s.Ledger, s.Credit)
		d.debits.Add(&d.debits, s.Amount)
		c.credits.Add(&c.credits, s.Amount)
	}
	var rows []struct {
		Ledger  uint32 `db:"ledger"`
		Code    int    `db:"code"`
		Debits  string `db:"debits"`
		Credits string `db:"credits"`
	}
	if err := tx.SelectContext(ctx, &rows, `SELECT ledger, code, sum(debits_posted)::text AS debits, sum(credits_posted)::text AS credits
		FROM ledger_accounts GROUP BY ledger, code`); err != nil {
		return nil, err
	}
	var wrong []Wrong
	differ := func(in account, what string) {
		wrong = append(wrong, Wrong{in.ledger, fmt.Sprintf("accounts %d: %s", in.code, what)})
	}
	for _, r := range rows {
		in := account{r.Ledger, r.Code}
		j := of(in.ledger, in.code)
		if d, c := j.debits.String(), j.credits.String(); d != r.Debits || c != r.Credits {
			differ(in, fmt.Sprintf("the journal sums to debits %s and credits %s, their balances to %s and %s", d, c, r.Debits, r.Credits))
		}
		delete(journal, in)
	}
	for in, j := range journal { // of accounts that there are none of
		if j.debits.Sign() != 0 || j.credits.Sign() != 0 {
			differ(in, fmt.Sprintf("the journal sums to debits %s and credits %s, and there are no such accounts", &j.debits, &j.credits))
		}
	}
	slices.SortFunc(wrong, func(a, b Wrong) int { return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.What, b.What)) })
	return wrong, nil
}
