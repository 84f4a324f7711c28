package pgengine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
)

// answer is what a request that runs beside the test came to.
type answer struct {
	results []ledger.TransferResult
	err     error
}

func send(ctx context.Context, e *pgengine.Engine, x ledger.Transfer) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		results, err := e.CreateTransfers(ctx, []ledger.Transfer{x})
		c <- answer{results, err}
	}()
	return c
}

// blocked waits until a backend waits for a lock that the one of pid holds,
// and says which.
func blocked(t *testing.T, db *sqlx.DB, pid int) (waiting int) {
	t.Helper()
	for t.Context().Err() == nil {
		err := db.Get(&waiting, "SELECT COALESCE(max(pid), 0) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", pid)
		if err != nil {
			t.Fatal(err)
		}
		if waiting != 0 {
			break
		}
	}
	return waiting
}

func terminate(t *testing.T, db *sqlx.DB, pid int) {
	t.Helper()
	if _, err := db.Exec("SELECT pg_terminate_backend($1, 10000)", pid); err != nil {
		t.Fatal(err)
	}
}

// holdBooks locks the books as another engine would, until the answer is
// called. pid is who holds them.
func holdBooks(t *testing.T, db *sqlx.DB) (pid int, release func()) {
	t.Helper()
	tx, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Get(&pid, "SELECT pg_backend_pid() FROM ledger_state FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	return pid, func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

// holdCommit makes the COMMIT of every transaction that adds transfers wait,
// until the answer is called: a deferred trigger runs inside COMMIT.
func holdCommit(t *testing.T, db *sqlx.DB) (pid int, release func()) {
	t.Helper()
	for _, sql := range []string{
		"CREATE TABLE gate (open boolean)", "INSERT INTO gate VALUES (true)",
		`CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			PERFORM 1 FROM gate FOR SHARE; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON ledger_transfers DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION wait_at_gate()`,
	} {
		if _, err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Get(&pid, "SELECT pg_backend_pid() FROM gate FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	return pid, func() {
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
	}
}

func failing(t *testing.T) (e *pgengine.Engine, db *sqlx.DB, x ledger.Transfer) {
	t.Helper()
	db = pgtest.Open(t)
	e = newEngine(t, pgtest.Open(t))
	accounts := makeAccounts(t, e, 2, 0)
	return e, db, plain(newID(t), accounts[0], accounts[1], 5)
}

// A connection lost before COMMIT changes nothing, and the engine tries again.
func TestTerminatedBeforeCommit(t *testing.T) {
	e, db, x := failing(t)
	pid, release := holdBooks(t, db)
	c := send(t.Context(), e, x)
	terminate(t, db, blocked(t, db, pid))
	again := blocked(t, db, pid)
	release()
	if a := <-c; a.err != nil || a.results[0].Status != ledger.TransferCreated {
		t.Fatalf("after one lost connection (%d): %v, %v", again, a.results, a.err)
	}
	createTransfers(t, e, ledger.TransferExists, x)
	checkBooks(t, db)
}

// A database that keeps failing is not tried for ever.
func TestTerminatedAgainAndAgain(t *testing.T) {
	e, db, x := failing(t)
	pid, release := holdBooks(t, db)
	c := send(t.Context(), e, x)
	kills := 0
	var a answer
	for done := false; !done; {
		select {
		case a = <-c:
			done = true
		default:
			var waiting int
			if err := db.Get(&waiting, "SELECT COALESCE(max(pid), 0) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", pid); err != nil {
				t.Fatal(err)
			}
			if waiting != 0 {
				terminate(t, db, waiting)
				kills++
			}
		}
	}
	release()
	if !errors.Is(a.err, ledger.ErrNotSent) || errors.Is(a.err, ledger.ErrUnknown) || kills < 2 {
		t.Fatalf("after %d lost connections: %v, %v", kills, a.results, a.err)
	}
	createTransfers(t, e, ledger.TransferCreated, x)
	createTransfers(t, e, ledger.TransferExists, x)
	checkBooks(t, db)
}

// A connection lost during COMMIT leaves the outcome unknown; sending again
// tells. Here it turns out that nothing was applied.
func TestTerminatedDuringCommit(t *testing.T) {
	e, db, x := failing(t)
	pid, release := holdCommit(t, db)
	c := send(t.Context(), e, x)
	terminate(t, db, blocked(t, db, pid))
	if a := <-c; !errors.Is(a.err, ledger.ErrUnknown) || errors.Is(a.err, ledger.ErrNotSent) {
		t.Fatalf("lost during COMMIT: %v, %v", a.results, a.err)
	}
	release()
	createTransfers(t, e, ledger.TransferCreated, x)
	createTransfers(t, e, ledger.TransferExists, x)
	checkBooks(t, db)
}

// A caller that gives up before COMMIT has changed nothing.
func TestCanceledBeforeCommit(t *testing.T) {
	e, db, x := failing(t)
	ctx, cancel := context.WithCancel(t.Context())
	pid, release := holdBooks(t, db)
	first := send(ctx, e, x)
	blocked(t, db, pid)
	second := send(ctx, e, x) // waits for the first
	cancel()
	for _, c := range []<-chan answer{first, second} {
		if a := <-c; !errors.Is(a.err, ledger.ErrNotSent) || !errors.Is(a.err, context.Canceled) {
			t.Fatalf("canceled: %v, %v", a.results, a.err)
		}
	}
	release()
	createTransfers(t, e, ledger.TransferCreated, x)
	checkBooks(t, db)
}

// A caller that gives up during COMMIT does not know; the next request waits
// for how it ended.
func TestCanceledDuringCommit(t *testing.T) {
	e, db, x := failing(t)
	ctx, cancel := context.WithCancel(t.Context())
	pid, release := holdCommit(t, db)
	c := send(ctx, e, x)
	blocked(t, db, pid)
	cancel()
	if a := <-c; !errors.Is(a.err, ledger.ErrUnknown) || !errors.Is(a.err, context.Canceled) {
		t.Fatalf("canceled during COMMIT: %v, %v", a.results, a.err)
	}
	release()
	results, err := e.CreateTransfers(t.Context(), []ledger.Transfer{x})
	if err != nil || results[0].Status != ledger.TransferCreated && results[0].Status != ledger.TransferExists {
		t.Fatalf("sent again: %v, %v", results, err)
	}
	if n := count(t, db, "SELECT count(*) FROM ledger_transfers"); n != 1 {
		t.Errorf("%d transfers for one", n)
	}
	checkBooks(t, db)
}

// The database refuses what the rules should never have let through, and the
// engine says that nothing was applied.
func TestRefusedByTheSchema(t *testing.T) {
	e, db, x := failing(t)
	if _, err := db.Exec("ALTER TABLE ledger_transfers ADD CHECK (amount <> 5)"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTransfers(t.Context(), []ledger.Transfer{x}); !errors.Is(err, ledger.ErrNotSent) {
		t.Fatalf("refused by a CHECK: %v", err)
	}
	x.Amount = ledger.U64(6)
	createTransfers(t, e, ledger.TransferCreated, x)
	checkBooks(t, db)
}

// Somebody removed what the cache still knows: the batch is given up whole.
func TestBooksChangedByAnotherHand(t *testing.T) {
	e, db, x := failing(t)
	if _, err := db.Exec("ALTER TABLE ledger_accounts DISABLE TRIGGER USER; DELETE FROM ledger_accounts WHERE id = '" + x.DebitAccountID.UUID() + "'"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTransfers(t.Context(), []ledger.Transfer{x}); !errors.Is(err, ledger.ErrNotSent) {
		t.Fatalf("an account is gone: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM ledger_transfers"); n != 0 {
		t.Errorf("%d transfers", n)
	}
	createTransfers(t, e, ledger.TransferDebitAccountNotFound, x)
}

// A batch runs under settings of its own, whatever the connection's are: the
// disk is waited for, and a vanished client does not hold the books for hours.
func TestTransactionSettings(t *testing.T) {
	_, db, x := failing(t)
	for _, sql := range []string{
		"CREATE TABLE seen (name text, setting text)",
		`CREATE FUNCTION note_settings() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO seen SELECT name, current_setting(name) FROM unnest(ARRAY['synchronous_commit',
				'idle_in_transaction_session_timeout', 'transaction_isolation', 'plan_cache_mode', 'jit']) name;
			RETURN NULL; END $$`,
		"CREATE TRIGGER note_settings AFTER INSERT ON ledger_transfers EXECUTE FUNCTION note_settings()",
	} {
		if _, err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	careless := pgtest.Open(t)
	careless.SetMaxOpenConns(1) // so that what is set here is set where the engine runs
	e := newEngine(t, careless)
	if _, err := careless.Exec("SET synchronous_commit = off; SET default_transaction_isolation = serializable"); err != nil {
		t.Fatal(err)
	}
	createTransfers(t, e, ledger.TransferCreated, x)

	var seen []struct{ Name, Setting string }
	if err := db.Select(&seen, "SELECT name, setting FROM seen"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"synchronous_commit": "on", "idle_in_transaction_session_timeout": "30s",
		"transaction_isolation": "read committed", "plan_cache_mode": "force_generic_plan", "jit": "off",
	}
	if len(seen) != len(want) {
		t.Fatalf("saw %v", seen)
	}
	for _, s := range seen {
		if s.Setting != want[s.Name] {
			t.Errorf("%s is %s, want %s", s.Name, s.Setting, want[s.Name])
		}
	}
	var after string
	if err := careless.Get(&after, "SHOW plan_cache_mode"); err != nil || after != "auto" {
		t.Errorf("the settings outlive the batch: %s, %v", after, err)
	}
}
