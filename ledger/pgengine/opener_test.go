package pgengine_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
)

// One engine with the rules in memory gets two requests, two in turn on
// Postgres get both in one: as long as the accounts stand the answers are the
// same, to the nanosecond, and so are the books. If an account is refused the
// others are as they would be, and no transfer is tried.
func TestOpenAndTransferIsTheTwoRequests(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	db := pgtest.Open(t)
	clock := uint64(1_500_000_000_000_000_000)
	memory := rules.NewEngine(func() uint64 { return clock })
	engines := []*pgengine.Engine{newEngine(t, db), newEngine(t, db)}

	next := uint64(10)    // accounts up to here may be there
	nextMove := uint64(1) // as for transfers
	account := func(careless bool) ledger.Account {
		id := next - random.Uint64N(8)
		if random.IntN(3) != 0 {
			next++
			id = next
		}
		// What an account is follows from its id, so asking for it again is exists.
		a := ledger.Account{ID: ledger.U64(id), Ledger: 1840, Code: 2100,
			Flags: []ledger.AccountFlags{0, ledger.AccountDebitsMustNotExceedCredits, ledger.AccountHistory}[id%3]}
		if careless && random.IntN(3) == 0 {
			switch random.IntN(6) {
			case 0:
				a.Code = 0
			case 1:
				a.UserData32 = 7 // exists_with_different_user_data_32, or one that stands
			case 2:
				a.Flags = ledger.AccountDebitsMustNotExceedCredits | ledger.AccountCreditsMustNotExceedDebits
			case 3:
				a.ID = ledger.ID{}
			case 4:
				a.ID = ledger.AmountMax
			case 5:
				a.Flags |= ledger.AccountLinked
			}
		}
		return a
	}
	transfer := func(last bool) ledger.Transfer {
		if random.IntN(5) != 0 {
			nextMove++
		}
		x := plain(ledger.U64(nextMove-random.Uint64N(3)), ledger.U64(next-random.Uint64N(12)), ledger.U64(next-random.Uint64N(12)), random.Uint64N(50))
		switch random.IntN(4) {
		case 0:
			x.Flags, x.Timeout = ledger.TransferPending, uint32(random.IntN(3))
		case 1:
			x = ledger.Transfer{ID: x.ID, PendingID: ledger.U64(nextMove - random.Uint64N(30)), Amount: ledger.AmountMax, Flags: ledger.TransferPostPending}
			if random.IntN(2) == 0 {
				x.Amount, x.Flags = ledger.Amount{}, ledger.TransferVoidPending
			}
		}
		if !last && random.IntN(4) == 0 {
			x.Flags |= ledger.TransferLinked
		}
		return x
	}

	stood, refused := 0, 0
	accountsSeen := map[ledger.AccountStatus]int{}
	transfersSeen := map[ledger.TransferStatus]int{}
	for range 300 {
		careless := random.IntN(3) == 0
		accounts := make([]ledger.Account, random.IntN(6))
		for i := range accounts {
			accounts[i] = account(careless)
		}
		transfers := make([]ledger.Transfer, random.IntN(12))
		for i := range transfers {
			transfers[i] = transfer(i == len(transfers)-1)
		}
		// Ahead of all timestamps given so far. The accounts' are right before
		// the transfers'.
		clock += 1000 + random.Uint64N(700_000_000)
		memory.SetClock(clock - uint64(len(transfers)))
		wantOpened, err := memory.CreateAccounts(t.Context(), accounts)
		if err != nil {
			t.Fatal(err)
		}
		memory.SetClock(clock)
		stands := true
		for _, r := range wantOpened {
			accountsSeen[r.Status]++
			stands = stands && r.Status.Stands()
		}
		var want []ledger.TransferResult
		if stands {
			stood++
			if want, err = memory.CreateTransfers(t.Context(), transfers); err != nil {
				t.Fatal(err)
			}
		} else {
			refused++
		}
		e := engines[random.IntN(2)]
		e.SetClock(clock)
		opened, got, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(opened, wantOpened) {
			t.Fatalf("%+v:\n got %v\nwant %v", accounts, opened, wantOpened)
		}
		if !slices.Equal(got, want) || (got == nil) == stands {
			t.Fatalf("%+v, the accounts stand: %v\n got %v\nwant %v", transfers, stands, got, want)
		}
		for _, r := range want {
			transfersSeen[r.Status]++
		}
	}
	if stood < 50 || refused < 20 || len(accountsSeen) < 7 || len(transfersSeen) < 8 || transfersSeen[ledger.TransferCreated] < 100 {
		t.Errorf("a workload that tries too little: %d stood, %d refused, %v, %v", stood, refused, accountsSeen, transfersSeen)
	}

	all := ledger.QueryFilter{Limit: ledger.BatchMax}
	for _, e := range engines {
		e.SetClock(clock)
		wantA, _ := memory.QueryAccounts(t.Context(), all)
		if got, err := e.QueryAccounts(t.Context(), all); err != nil || !slices.Equal(got, wantA) {
			t.Errorf("accounts:\n got %+v, %v\nwant %+v", got, err, wantA)
		}
		wantT, _ := memory.QueryTransfers(t.Context(), all)
		if got, err := e.QueryTransfers(t.Context(), all); err != nil || !slices.Equal(got, wantT) {
			t.Errorf("transfers:\n got %+v, %v\nwant %+v", got, err, wantT)
		}
		for _, a := range wantA {
			f := ledger.AccountFilter{AccountID: a.ID, Limit: ledger.BatchMax, Flags: ledger.FilterDebits | ledger.FilterCredits}
			want, _ := memory.GetAccountBalances(t.Context(), f)
			if got, err := e.GetAccountBalances(t.Context(), f); err != nil || !slices.Equal(got, want) {
				t.Errorf("balances of %v:\n got %+v, %v\nwant %+v", a.ID, got, err, want)
			}
		}
	}
	checkBooks(t, db)
}

// opening is n accounts and as many transfers on them, with ids of their own.
func opening(request, n int) (accounts []ledger.Account, transfers []ledger.Transfer) {
	id := func(i int) ledger.ID { return ledger.Uint128{Hi: uint64(request), Lo: uint64(i + 1)} }
	for i := range n {
		accounts = append(accounts, ledger.Account{ID: id(i), Ledger: 1840, Code: 2100})
		transfers = append(transfers, plain(id(i), id(i), id((i+1)%n), uint64(1+i)))
	}
	return accounts, transfers
}

// in is how many accounts and transfers of a request are in the books.
func in(t *testing.T, db *sqlx.DB, request int) (accounts, transfers int) {
	t.Helper()
	from, to := ledger.Uint128{Hi: uint64(request)}.UUID(), ledger.Uint128{Hi: uint64(request), Lo: ^uint64(0)}.UUID()
	return int(count(t, db, "SELECT count(*) FROM ledger_accounts WHERE id BETWEEN $1 AND $2", from, to)),
		int(count(t, db, "SELECT count(*) FROM ledger_transfers WHERE id BETWEEN $1 AND $2", from, to))
}

// The clock stands still or steps back: time goes on over accounts and
// transfers of a request all the same.
func TestOpenAndTransferClockStepsBack(t *testing.T) {
	e := open(t)
	clock := uint64(2_000_000_000_000_000_000)
	last := uint64(0)
	for request, now := range []uint64{clock, clock, clock - 1e18, clock + 3, clock + 1e9} {
		e.SetClock(now)
		accounts, transfers := opening(request+1, 4)
		opened, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
		if err != nil {
			t.Fatal(err)
		}
		var stamps []uint64
		for _, r := range opened {
			stamps = append(stamps, r.Timestamp)
		}
		for _, r := range moved {
			stamps = append(stamps, r.Timestamp)
		}
		for _, s := range stamps {
			if s <= last {
				t.Errorf("clock %d: %d after %d", now, s, last)
			}
			last = s
		}
		if len(stamps) != 8 || last < now {
			t.Errorf("clock %d: %v", now, stamps)
		}
	}
}

func TestOpenAndTransferLimits(t *testing.T) {
	e := open(t)
	accounts, transfers := opening(1, ledger.BatchMax+1)
	for _, c := range []struct{ accounts, transfers int }{{ledger.BatchMax + 1, 1}, {1, ledger.BatchMax + 1}} {
		if _, _, err := e.OpenAndTransfer(t.Context(), accounts[:c.accounts], transfers[:c.transfers]); !errors.As(err, new(*ledger.TooManyError)) {
			t.Errorf("%d accounts, %d transfers: %v", c.accounts, c.transfers, err)
		}
	}
	// Each within the limit is within the limit.
	accounts, transfers = opening(2, ledger.BatchMax)
	opened, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
	if err != nil || len(opened) != ledger.BatchMax || len(moved) != ledger.BatchMax ||
		opened[ledger.BatchMax-1].Status != ledger.AccountCreated || moved[ledger.BatchMax-1].Status != ledger.TransferCreated {
		t.Errorf("as many as fit: %d accounts, %d transfers, %v", len(opened), len(moved), err)
	}
}

// The database refuses a transfer: the accounts are not there either.
func TestOpenAndTransferRefusedByTheSchema(t *testing.T) {
	db := pgtest.Open(t)
	e := newEngine(t, db)
	if _, err := db.Exec("ALTER TABLE ledger_transfers ADD CONSTRAINT odd CHECK (amount <> 5)"); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{5, 400} { // few go in by one statement, many ahead of it
		accounts, transfers := opening(n, n)
		if _, _, err := e.OpenAndTransfer(t.Context(), accounts, transfers); !errors.Is(err, ledger.ErrNotSent) {
			t.Fatalf("refused by a CHECK: %v", err)
		}
		if a, m := in(t, db, n); a != 0 || m != 0 {
			t.Errorf("%d accounts and %d transfers of a request that was not", a, m)
		}
		transfers[4].Amount = ledger.U64(1)
		if _, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers); err != nil || moved[0].Status != ledger.TransferCreated {
			t.Errorf("%v, %v", moved, err)
		}
	}
	checkBooks(t, db)
}

// The connection is lost during COMMIT: neither accounts nor transfers are
// there, and sending again makes both.
func TestOpenAndTransferTerminatedDuringCommit(t *testing.T) {
	db := pgtest.Open(t)
	e := newEngine(t, pgtest.Open(t))
	accounts, transfers := opening(1, 3)
	pid, release := holdCommit(t, db)
	lost := make(chan error, 1)
	go func() { _, _, err := e.OpenAndTransfer(t.Context(), accounts, transfers); lost <- err }()
	terminate(t, db, blocked(t, db, pid))
	if err := <-lost; !errors.Is(err, ledger.ErrUnknown) || errors.Is(err, ledger.ErrNotSent) {
		t.Fatalf("lost during COMMIT: %v", err)
	}
	release()
	if a, m := in(t, db, 1); a != 0 || m != 0 {
		t.Errorf("%d accounts and %d transfers", a, m)
	}
	for _, want := range []struct {
		account  ledger.AccountStatus
		transfer ledger.TransferStatus
	}{{ledger.AccountCreated, ledger.TransferCreated}, {ledger.AccountExists, ledger.TransferExists}} {
		opened, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
		if err != nil || opened[0].Status != want.account || moved[2].Status != want.transfer {
			t.Errorf("sent again: %v, %v, %v", opened, moved, err)
		}
	}
	checkBooks(t, db)
}

// Connections are lost at random moments of requests: each request is wholly
// in or wholly out, one that was answered in; sent again, it completes.
func TestOpenAndTransferTerminated(t *testing.T) {
	const requests, n = 25, 300
	db := pgtest.Open(t)
	e := newEngine(t, pgtest.Open(t))
	answered, cut, whole := 0, 0, 0
	for request := 1; request <= requests; request++ {
		accounts, transfers := opening(request, n)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() { // whoever has the books, more often than a request is tried again
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				case <-time.After(rand.N(40 * time.Millisecond)):
				}
				_, _ = db.Exec("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'ledger_state'::regclass AND pid <> pg_backend_pid()")
			}
		}()
		_, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
		close(stop)
		<-stopped
		// A lost connection may still be at work: the lock tells when it is done.
		if _, err := e.CreateAccounts(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		a, m := in(t, db, request)
		switch {
		case a != m || a != 0 && a != n:
			t.Fatalf("%d of %d accounts and %d transfers are in; the answer was %v", a, n, m, err)
		case err == nil && (a != n || moved[n-1].Status != ledger.TransferCreated && moved[n-1].Status != ledger.TransferExists):
			t.Fatalf("answered, and %d are in: %v", a, moved[n-1])
		case err != nil && a != 0 && errors.Is(err, ledger.ErrNotSent):
			t.Fatalf("not sent, and in: %v", err)
		case err == nil:
			answered++
		case a == 0:
			cut++
		default:
			whole++
		}
		opened, moved, err := e.OpenAndTransfer(t.Context(), accounts, transfers)
		if err != nil || !opened[n-1].Status.Stands() || moved[0].Status != ledger.TransferCreated && moved[0].Status != ledger.TransferExists {
			t.Fatalf("sent again: %v", err)
		}
		if a, m := in(t, db, request); a != n || m != n {
			t.Fatalf("sent again, %d accounts and %d transfers are in", a, m)
		}
	}
	checkBooks(t, db)
	t.Logf("%d requests: %d answered, %d out and %d in without an answer", requests, answered, cut, whole)
}
