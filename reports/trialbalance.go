package reports

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"escrowd/ledger/chart"
	"escrowd/ledger/pages"
)

// TrialBalanceRow is one account of the chart in one currency. Debits and
// credits are all that was posted; Balance is positive on the account's
// normal side, and debits less credits where it may stand on either.
type TrialBalanceRow struct {
	Code     int    `json:"code"`
	Account  string `json:"account"`
	Currency string `json:"currency"`
	Debits   Amount `json:"debits"`
	Credits  Amount `json:"credits"`
	Balance  Amount `json:"balance"`
}

// AccountBalanceRow is one account of the ledger. Owner is the buyer, the
// seller, the payment method or the order's reference; "" for an account of
// the whole ledger.
type AccountBalanceRow struct {
	TrialBalanceRow
	Marketplace uint32 `json:"marketplace"`
	AccountID   string `json:"account_id"`
	Owner       string `json:"owner"`
}

const (
	trialBalance      = "trial-balance"
	trialBalanceTitle = "Trial balance"
)

// TrialBalance sums what was posted per account of the chart and currency, by
// currency and code. Accounts that nothing was posted to are left out.
//
// That debits equal credits is checked for each ledger (a currency of a
// marketplace), which is finer than the totals: two mistakes in two ledgers
// cannot cancel out.
func (b *Books) TrialBalance(ctx context.Context, o Options) (*Of[TrialBalanceRow], error) {
	r := &Of[TrialBalanceRow]{}
	err := b.read(ctx, trialBalance, trialBalanceTitle, o, func(s *snapshot) error {
		r.Head = s.head
		sums, err := s.sums(ctx)
		if err != nil {
			return err
		}
		byAccount := map[account]TrialBalanceRow{}
		for in, v := range sums {
			key := account{in.code, currencyOf(in.ledger)}
			byAccount[key] = newRow(key, byAccount[key].Debits.Add(v.debits), byAccount[key].Credits.Add(v.credits))
		}
		for _, row := range byAccount {
			r.Rows = append(r.Rows, row)
		}
		slices.SortFunc(r.Rows, compareRows)
		r.Totals = totals(r.Rows)
		r.Problems, r.Notes = s.imbalances(sums), s.notes
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// TrialBalanceByAccount is TrialBalance with a row for each account of the
// ledger, by currency, code, owner and id.
func (b *Books) TrialBalanceByAccount(ctx context.Context, o Options) (*Of[AccountBalanceRow], error) {
	r := &Of[AccountBalanceRow]{}
	err := b.read(ctx, trialBalance, trialBalanceTitle+" by account", o, func(s *snapshot) error {
		r.Head = s.head
		rows, err := s.accounts(ctx)
		if err != nil {
			return err
		}
		sums := sums{}
		var plain []TrialBalanceRow
		for _, a := range rows {
			in := ledgerAccount{a.Ledger, a.Code}
			sums.add(in, a.Debits, a.Credits)
			row := AccountBalanceRow{
				TrialBalanceRow: newRow(account{a.Code, currencyOf(a.Ledger)}, a.Debits, a.Credits),
				Marketplace:     a.Ledger / 1000, AccountID: a.ID, Owner: a.Owner,
			}
			r.Rows = append(r.Rows, row)
			plain = append(plain, row.TrialBalanceRow)
		}
		slices.SortFunc(r.Rows, func(a, b AccountBalanceRow) int {
			return cmp.Or(compareRows(a.TrialBalanceRow, b.TrialBalanceRow), cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.AccountID, b.AccountID))
		})
		for _, t := range totals(plain) {
			r.Totals = append(r.Totals, AccountBalanceRow{TrialBalanceRow: t})
		}
		r.Problems = s.imbalances(sums)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// account is a row of the trial balance; ledgerAccount is the same within one
// ledger.
type account struct {
	code     int
	currency string
}

type ledgerAccount struct {
	ledger uint32
	code   int
}

type sum struct{ debits, credits Amount }

// sums are per ledger and account code; what nothing was posted to is not there.
type sums map[ledgerAccount]sum

func (s sums) add(in ledgerAccount, debits, credits Amount) {
	if debits.Sign() != 0 || credits.Sign() != 0 {
		s[in] = sum{s[in].debits.Add(debits), s[in].credits.Add(credits)}
	}
}

func newRow(a account, debits, credits Amount) TrialBalanceRow {
	code := chart.AccountCode(a.code)
	balance := debits.Sub(credits)
	if code.NormalSide() == chart.Credit {
		balance = credits.Sub(debits)
	}
	name := code.Name()
	if a.code == noAccount {
		name = "accounts that do not exist"
	}
	return TrialBalanceRow{Code: a.code, Account: name, Currency: a.currency,
		Debits: debits, Credits: credits, Balance: balance}
}

// noAccount is the code of a transfer's account that is not in the books. The
// ledger refuses such a transfer, so a row with it says that the journal was
// damaged.
const noAccount = 0

func compareRows(a, b TrialBalanceRow) int {
	return cmp.Or(cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.Code, b.Code))
}

// totals sums rows per currency. The balance of a total is debits less
// credits, 0 when the books are sound: balances that stand on different sides
// do not sum to anything.
func totals(rows []TrialBalanceRow) []TrialBalanceRow {
	byCurrency := map[string]TrialBalanceRow{}
	for _, r := range rows {
		t := byCurrency[r.Currency]
		byCurrency[r.Currency] = TrialBalanceRow{Account: "total", Currency: r.Currency,
			Debits: t.Debits.Add(r.Debits), Credits: t.Credits.Add(r.Credits)}
	}
	list := make([]TrialBalanceRow, 0, len(byCurrency))
	for _, t := range byCurrency {
		t.Balance = t.Debits.Sub(t.Credits)
		list = append(list, t)
	}
	slices.SortFunc(list, compareRows)
	return list
}

// imbalances names the ledgers whose debits and credits differ.
func (s *snapshot) imbalances(sums sums) []string {
	byLedger := map[uint32]sum{}
	var problems []string
	for in, v := range sums {
		byLedger[in.ledger] = sum{byLedger[in.ledger].debits.Add(v.debits), byLedger[in.ledger].credits.Add(v.credits)}
		if in.code == noAccount {
			problems = append(problems, fmt.Sprintf("%s: the journal has transfers of accounts that do not exist", s.ledgerName(in.ledger)))
		}
	}
	for l, v := range byLedger {
		if v.debits.Cmp(v.credits) != 0 {
			problems = append(problems, fmt.Sprintf("%s: debits %s and credits %s differ by %s",
				s.ledgerName(l), money(l, v.debits), money(l, v.credits), money(l, v.debits.Sub(v.credits).Abs())))
		}
	}
	slices.Sort(problems)
	return problems
}

// ledgerName names a ledger for people: "USD of marketplace 1 shop".
func (s *snapshot) ledgerName(l uint32) string {
	id, c, ok := chart.SplitLedger(l)
	if !ok {
		return fmt.Sprintf("ledger %d", l)
	}
	name := fmt.Sprintf("%s of marketplace %d", c.Code, id)
	if m, ok := s.marketplaces[id]; ok {
		name += " " + m.Name
	}
	return name
}

// money writes an amount of a ledger's currency with its decimals.
func money(l uint32, v Amount) string {
	_, c, _ := chart.SplitLedger(l)
	return v.Decimal(int(c.Digits))
}

// sums is what was posted up to the cut, per ledger and account code.
//
// Now the accounts' own balances say it, and that is what makes the comparison
// of debits with credits worth something. As of a moment the journal does, see
// journal.
func (s *snapshot) sums(ctx context.Context) (sums, error) {
	if !s.cut.open {
		return s.journal(ctx)
	}
	all, ledgers := s.inScope()
	var rows []struct {
		Ledger  uint32 `db:"ledger"`
		Code    int    `db:"code"`
		Debits  Amount `db:"debits"`
		Credits Amount `db:"credits"`
	}
	if err := s.SelectContext(ctx, &rows,
		`SELECT ledger, code, sum(debits_posted) AS debits, sum(credits_posted) AS credits
		 FROM ledger_accounts WHERE $1 OR ledger = ANY ($2) GROUP BY ledger, code`, all, ledgers); err != nil {
		return nil, err
	}
	result := sums{}
	for _, r := range rows {
		result.add(ledgerAccount{r.Ledger, r.Code}, r.Debits, r.Credits)
	}
	return result, nil
}

// journal is what the transfers up to the cut sum to, per ledger and account
// code: each leg by the account that it really went to, and not by what the
// chart says of its transfer code, which would hide a leg that went elsewhere.
// Closed pages are not read but for those that the cut goes through.
func (s *snapshot) journal(ctx context.Context) (sums, error) {
	cut := pages.Cut{Booked: pages.Everything, Effective: pages.Everything, All: s.all, Ledgers: s.ledgers}
	switch {
	case s.cut.open:
	case s.cut.basis == Booked:
		cut.Booked = s.cut.booked
	default:
		cut.Effective = s.cut.effective
	}
	list, unfit, err := pages.Sums(ctx, s.Tx, cut)
	if err != nil {
		return nil, err
	}
	if unfit {
		s.notes = append(s.notes, "closed pages of the journal do not fit it and were not used; the numbers are right, and close-pages will make the pages anew")
	}
	result := sums{}
	for _, p := range list {
		result.add(ledgerAccount{p.Ledger, p.Debit}, Amount{p.Amount}, Amount{})
		result.add(ledgerAccount{p.Ledger, p.Credit}, Amount{}, Amount{p.Amount})
	}
	return result, nil
}

type accountSum struct {
	ID      string `db:"id"`
	Ledger  uint32 `db:"ledger"`
	Code    int    `db:"code"`
	Owner   string `db:"owner"`
	Debits  Amount `db:"debits"`
	Credits Amount `db:"credits"`
}

// accounts is sums for each account, with its owner.
func (s *snapshot) accounts(ctx context.Context) ([]accountSum, error) {
	var rows []accountSum
	all, ledgers := s.inScope()
	if s.cut.open {
		err := s.SelectContext(ctx, &rows,
			`SELECT a.id, a.ledger, a.code, coalesce(w.owner, '') AS owner,
			        a.debits_posted AS debits, a.credits_posted AS credits
			 FROM ledger_accounts a LEFT JOIN account_directory w ON w.id = a.id
			 WHERE ($1 OR a.ledger = ANY ($2)) AND (a.debits_posted > 0 OR a.credits_posted > 0)`, all, ledgers)
		return rows, err
	}
	before, bound := s.cut.transfers()
	err := s.SelectContext(ctx, &rows,
		`WITH legs AS (
		     SELECT t.debit_account_id AS id, t.ledger, `+posted+` AS debit, 0 AS credit
		     FROM ledger_transfers t WHERE `+before+` AND ($2 OR t.ledger = ANY ($3))
		     UNION ALL
		     SELECT t.credit_account_id, t.ledger, 0, `+posted+`
		     FROM ledger_transfers t WHERE `+before+` AND ($2 OR t.ledger = ANY ($3))
		 ), sums AS (
		     SELECT id, min(ledger) AS ledger, sum(debit) AS debits, sum(credit) AS credits FROM legs GROUP BY id
		 )
		 SELECT s.id, coalesce(a.ledger, s.ledger) AS ledger, coalesce(a.code, 0) AS code,
		        coalesce(w.owner, '') AS owner, s.debits, s.credits
		 FROM sums s
		 LEFT JOIN ledger_accounts a ON a.id = s.id
		 LEFT JOIN account_directory w ON w.id = s.id
		 WHERE s.debits > 0 OR s.credits > 0`, bound, all, ledgers)
	return rows, err
}
