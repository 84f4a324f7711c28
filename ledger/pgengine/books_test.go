package pgengine_test

import (
	"testing"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
)

// checkBooks re-adds the journal in SQL, without the rules, and compares it
// with the balances that the engine kept.
func checkBooks(t testing.TB, db *sqlx.DB) {
	t.Helper()
	for _, c := range []struct{ what, sql string }{
		{"account whose balances are not the sum of its transfers", `
			WITH side AS (
				SELECT debit_account_id AS account, 1 AS debit, 0 AS credit, t.* FROM ledger_transfers t
				UNION ALL
				SELECT credit_account_id, 0, 1, t.* FROM ledger_transfers t
			), sums AS (
				SELECT s.account,
					COALESCE(sum(s.debit * s.amount) FILTER (WHERE s.flags & 10 = 0), 0) AS debits_posted,
					COALESCE(sum(s.credit * s.amount) FILTER (WHERE s.flags & 10 = 0), 0) AS credits_posted,
					COALESCE(sum(s.debit * s.amount) FILTER (WHERE p.state = 1), 0) AS debits_pending,
					COALESCE(sum(s.credit * s.amount) FILTER (WHERE p.state = 1), 0) AS credits_pending
				FROM side s LEFT JOIN ledger_pending p ON p.transfer_id = s.id GROUP BY s.account
			)
			SELECT count(*) FROM ledger_accounts a LEFT JOIN sums s ON s.account = a.id
			WHERE (a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending) IS DISTINCT FROM
				(COALESCE(s.debits_posted, 0), COALESCE(s.credits_posted, 0), COALESCE(s.debits_pending, 0), COALESCE(s.credits_pending, 0))`},
		{"ledger whose debits are not its credits", `
			SELECT count(*) FROM (SELECT ledger FROM ledger_accounts GROUP BY ledger
			HAVING sum(debits_posted) <> sum(credits_posted) OR sum(debits_pending) <> sum(credits_pending)) x`},
		{"timestamp given twice", `
			SELECT count(*) FROM (SELECT timestamp FROM (SELECT timestamp FROM ledger_transfers
			UNION ALL SELECT timestamp FROM ledger_accounts) x GROUP BY timestamp HAVING count(*) > 1) y`},
		{"object newer than the newest", `
			SELECT count(*) FROM ledger_state WHERE newest < (SELECT COALESCE(max(timestamp), 0) FROM ledger_transfers)
			OR newest < (SELECT COALESCE(max(timestamp), 0) FROM ledger_accounts)`},
		{"pending transfer without a state, or a state without one", `
			SELECT count(*) FROM (SELECT id FROM ledger_transfers WHERE flags & 2 <> 0) t
			FULL JOIN ledger_pending p ON p.transfer_id = t.id WHERE p.transfer_id IS NULL OR t.id IS NULL`},
		{"pending transfer that does not say what ended it", `
			SELECT count(*) FROM ledger_pending p
			LEFT JOIN ledger_transfers e ON e.pending_id = p.transfer_id
			WHERE p.state <> CASE WHEN e.flags & 4 <> 0 THEN 2 WHEN e.flags & 8 <> 0 THEN 3
				WHEN p.state = 4 THEN 4 ELSE 1 END`},
		{"account with history whose balances over time do not end where it stands", `
			SELECT count(*) FROM ledger_accounts a
			JOIN LATERAL (SELECT * FROM ledger_balances b WHERE b.account_id = a.id ORDER BY b.timestamp DESC LIMIT 1) b ON true
			WHERE a.flags & 8 <> 0 AND ((a.debits_posted, a.credits_posted) <> (b.debits_posted, b.credits_posted)
				OR a.debits_pending > b.debits_pending OR a.credits_pending > b.credits_pending)`},
	} {
		if n := count(t, db, c.sql); n != 0 {
			t.Errorf("%d times: %s", n, c.what)
		}
	}
}

func count(t testing.TB, db *sqlx.DB, sql string, args ...any) (n int) {
	t.Helper()
	if err := db.Get(&n, sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// createTransfers is one request whose every answer must be want.
func createTransfers(t testing.TB, e ledger.Engine, want ledger.TransferStatus, transfers ...ledger.Transfer) []ledger.TransferResult {
	t.Helper()
	results, err := e.CreateTransfers(t.Context(), transfers)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Status != want {
			t.Fatalf("transfer %d: %v, want %v", i, r.Status, want)
		}
	}
	return results
}

func lookupAccount(t testing.TB, e ledger.Reader, id ledger.ID) ledger.Account {
	t.Helper()
	found, err := e.LookupAccounts(t.Context(), []ledger.ID{id})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Fatalf("account %v: found %d", id, len(found))
	}
	return found[0]
}

func plain(id ledger.ID, debit, credit ledger.ID, amount uint64) ledger.Transfer {
	return ledger.Transfer{ID: id, DebitAccountID: debit, CreditAccountID: credit, Amount: ledger.U64(amount), Ledger: 1840, Code: 1}
}
