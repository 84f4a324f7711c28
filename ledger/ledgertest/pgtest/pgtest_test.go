package pgtest

import (
	"testing"
)

func TestSchemasAreApart(t *testing.T) {
	var names [2]string
	t.Run("two tests", func(t *testing.T) {
		for i := range names {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				db := Open(t)
				if err := db.Get(&names[i], "SELECT current_schema()"); err != nil {
					t.Fatal(err)
				}
				// The second pool of one test must see the first one's work.
				if _, err := db.Exec("CREATE TABLE mine (n int)"); err != nil {
					t.Fatal(err)
				}
				var n int
				if err := Open(t).Get(&n, "SELECT count(*) FROM mine"); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
	if t.Skipped() || names[0] == "" {
		t.Skip("no cluster")
	}
	if names[0] == names[1] {
		t.Errorf("two tests share the schema %s", names[0])
	}
	var left int
	err := Open(t).Get(&left, "SELECT count(*) FROM pg_namespace WHERE nspname IN ($1, $2)", names[0], names[1])
	if err != nil || left != 0 {
		t.Errorf("%d schemas left behind, %v", left, err)
	}
}

// The books refuse to be rewritten by hand.
func TestBooksAreAppendOnly(t *testing.T) {
	db := Open(t)
	for _, sql := range []string{
		"UPDATE ledger_transfers SET amount = 0", "DELETE FROM ledger_transfers", "TRUNCATE ledger_transfers",
		"UPDATE ledger_balances SET debits_posted = 0", "DELETE FROM ledger_balances",
		"UPDATE ledger_burned SET id = id", "DELETE FROM ledger_burned", "TRUNCATE ledger_burned",
		"DELETE FROM ledger_accounts", "TRUNCATE ledger_accounts",
		"DELETE FROM ledger_pending", "DELETE FROM ledger_state",
	} {
		if _, err := db.Exec(sql); err == nil {
			t.Errorf("%s: not refused", sql)
		}
	}
}

func TestWithSearchPath(t *testing.T) {
	for _, c := range []struct{ dsn, want string }{
		{"postgres://u@h:1/d", "postgres://u@h:1/d?search_path=s"},
		{"postgresql://u@h/d?sslmode=disable&search_path=x", "postgresql://u@h/d?search_path=s&sslmode=disable"},
		{"host=/run user=u", "host=/run user=u search_path=s"},
	} {
		if got := withSearchPath(c.dsn, "s"); got != c.want {
			t.Errorf("%s: %s, want %s", c.dsn, got, c.want)
		}
	}
}
