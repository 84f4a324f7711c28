package pgengine_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
)

// victimVariable makes the test binary a victim instead: its value is the DSN
// of the books to write. victimFromVariable is the first request to send.
const (
	victimVariable     = "ESCROWD_TEST_VICTIM_DSN"
	victimFromVariable = "ESCROWD_TEST_VICTIM_FROM"
)

// request number n of the victim: known ids, and something for every table:
// plain transfers on accounts with history, a chain of a reservation and its
// post, one that is left open, and an id that burns. It is large enough for
// COPY to be used.
func victimRequest(n int) (transfers []ledger.Transfer) {
	id := func(i int) ledger.ID { return ledger.Uint128{Hi: uint64(n + 1), Lo: uint64(i + 1)} }
	for i := range 400 {
		transfers = append(transfers, plain(id(i), ledger.U64(uint64(1+i%7)), ledger.U64(uint64(8+(i+n)%5)), uint64(1+i+n)))
	}
	transfers[100].Flags = ledger.TransferPending | ledger.TransferLinked
	transfers[101] = ledger.Transfer{ID: id(101), PendingID: id(100), Amount: ledger.AmountMax, Flags: ledger.TransferPostPending}
	transfers[102].Flags = ledger.TransferPending
	transfers[103].DebitAccountID = ledger.U64(999) // there is no such account
	return transfers
}

// applied is how many of a victim's request stand in the ledger when all of it does.
const victimApplied = 399

// victim writes request after request until it is killed, and says each one
// that was answered on standard output.
func victim(dsn string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(3)
	}
	db, err := sqlx.Connect("postgres", dsn)
	if err != nil {
		fail(err)
	}
	e, err := pgengine.New(db)
	if err != nil {
		fail(err)
	}
	from, err := strconv.Atoi(os.Getenv(victimFromVariable))
	if err != nil {
		fail(err)
	}
	for n := from; ; n++ {
		if _, err := e.CreateTransfers(context.Background(), victimRequest(n)); err != nil {
			fail(err)
		}
		fmt.Println(n)
	}
}

// TestKilled kills a process with SIGKILL at random moments of its requests.
// Each request must be wholly in or wholly out, one that was answered in; and
// sent again with the same ids, it completes.
func TestKilled(t *testing.T) {
	const rounds = 8
	dsn := pgtest.DSN(t)
	db := pgtest.Open(t)
	e := newEngine(t, db)
	var accounts []ledger.Account
	for i := range 12 {
		accounts = append(accounts, ledger.Account{ID: ledger.U64(uint64(i + 1)), Ledger: 1840, Code: 2100, Flags: ledger.AccountHistory * ledger.AccountFlags(i%2)})
	}
	if _, err := e.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}

	next, cut, whole := 0, 0, 0 // the first request not known to be in; how the killed ones ended
	for range rounds {
		answered := killOne(t, dsn, next)
		if answered >= 0 {
			next = answered + 1
		}
		// The victim's connections may still be at work: the lock tells when
		// they are done, by the next write.
		if _, err := e.CreateAccounts(t.Context(), accounts[:1]); err != nil {
			t.Fatal(err)
		}
		for n := range next + 1 {
			in := count(t, db, "SELECT count(*) FROM ledger_transfers WHERE id BETWEEN $1 AND $2",
				ledger.Uint128{Hi: uint64(n + 1)}.UUID(), ledger.Uint128{Hi: uint64(n + 1), Lo: ^uint64(0)}.UUID())
			switch {
			case in == victimApplied && n == next:
				whole++
			case in == 0 && n == next:
				cut++
			case in != victimApplied:
				t.Fatalf("request %d of %d answered: %d of its %d transfers are in", n, next, in, victimApplied)
			}
		}
		checkBooks(t, db)

		// Whoever saw no answer sends the same again. "created" or "exists",
		// and the burned id stays burned.
		results, err := e.CreateTransfers(t.Context(), victimRequest(next))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			switch {
			case r.Status == ledger.TransferCreated, r.Status == ledger.TransferExists:
			case i == 103 && (r.Status == ledger.TransferDebitAccountNotFound || r.Status == ledger.TransferIDAlreadyFailed):
			case i == 101 && r.Status == ledger.TransferLinkedEventFailed && results[100].Status == ledger.TransferExists:
			default:
				t.Fatalf("request %d sent again, transfer %d: %v", next, i, r.Status)
			}
		}
		next++
	}
	checkBooks(t, db)
	t.Logf("%d requests; of %d that were cut off, %d were out and %d in", next, rounds, cut, whole)
}

// killOne starts a victim at request from, kills it at a random moment and
// says which request was the last to be answered, -1 for none.
func killOne(t *testing.T, dsn string, from int) (answered int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), victimVariable+"="+dsn, victimFromVariable+"="+strconv.Itoa(from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	answered = -1
	lines, kill := bufio.NewScanner(out), 1+rand.IntN(4)
	for n := 0; lines.Scan(); n++ {
		if answered, err = strconv.Atoi(lines.Text()); err != nil {
			t.Error(err)
		}
		if n == kill {
			// Not at once, or it would always be near the beginning of a
			// request. However long it takes, the outcome must be the same.
			time.AfterFunc(rand.N(40*time.Millisecond), func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("the victim ended by itself: %v", err)
	}
	return answered
}
