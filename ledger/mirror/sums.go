package mirror

import (
	"context"
	"fmt"

	"escrowd/ledger"
)

// SumError: an account's balances in the journal are not the sums of its
// transfers there. Somebody wrote to the tables by hand, or the mirror is
// wrong.
type SumError struct {
	Account ledger.ID
	More    int // so many other accounts are wrong, too
}

func (e *SumError) Error() string {
	s := fmt.Sprintf("account %s: its balances in the journal are not the sums of its transfers there", e.Account.UUID())
	if e.More > 0 {
		s += fmt.Sprintf("; and %d more accounts", e.More)
	}
	return s
}

// sumsSQL lists the accounts whose balances are not the sums of their
// transfers: posted money is what transfers but pending (2) and void (8) ones
// moved, pending money what those that are still open (state 1) reserve.
const sumsSQL = `
WITH legs AS (
	SELECT t.debit_account_id, t.credit_account_id,
		CASE WHEN t.flags & 10 = 0 THEN t.amount ELSE 0 END AS posted,
		CASE WHEN p.state = 1 THEN t.amount ELSE 0 END AS pending
	FROM ledger_transfers t LEFT JOIN ledger_pending p ON p.transfer_id = t.id
), sides AS (
	SELECT debit_account_id AS id, pending AS dp, posted AS d, 0 AS cp, 0 AS c FROM legs
	UNION ALL
	SELECT credit_account_id, 0, 0, pending, posted FROM legs
), sums AS (
	SELECT id, sum(dp) AS dp, sum(d) AS d, sum(cp) AS cp, sum(c) AS c FROM sides GROUP BY id
)
SELECT coalesce(a.id, s.id) AS id
FROM ledger_accounts a FULL JOIN sums s ON s.id = a.id
WHERE (a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted)
	IS DISTINCT FROM (coalesce(s.dp, 0), coalesce(s.d, 0), coalesce(s.cp, 0), coalesce(s.c, 0))
ORDER BY 1`

// sums checks, in one statement and so at one moment, each account's balances
// against its transfers.
func (m *Mirror) sums(ctx context.Context) error {
	var wrong []dbID
	if err := m.db.SelectContext(ctx, &wrong, sumsSQL); err != nil {
		return fmt.Errorf("adding up the journal: %w", err)
	}
	if len(wrong) > 0 {
		return &SumError{Account: ledger.ID(wrong[0]), More: len(wrong) - 1}
	}
	return nil
}
