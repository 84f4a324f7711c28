package pgengine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
)

func newEngine(t testing.TB, db *sqlx.DB) *pgengine.Engine {
	t.Helper()
	e, err := pgengine.New(db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestNewNeedsTheTables(t *testing.T) {
	db := pgtest.Open(t)
	if _, err := db.Exec("DROP TABLE ledger_state"); err != nil {
		t.Fatal(err)
	}
	if _, err := pgengine.New(db); err == nil {
		t.Error("an engine without tables")
	}
}

func TestRefusedBeforeSending(t *testing.T) {
	e := open(t)
	ctx := t.Context()
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	var tooMany *ledger.TooManyError
	tooManyIDs := make([]ledger.ID, ledger.BatchMax+1)

	_, err := e.CreateTransfers(ctx, make([]ledger.Transfer, ledger.BatchMax+1))
	if !errors.As(err, &tooMany) || tooMany.Events != ledger.BatchMax+1 || !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("too many transfers: %v", err)
	}
	if _, err := e.CreateAccounts(ctx, make([]ledger.Account, ledger.BatchMax+1)); !errors.As(err, &tooMany) {
		t.Errorf("too many accounts: %v", err)
	}
	if _, err := e.LookupAccounts(ctx, tooManyIDs); !errors.As(err, &tooMany) {
		t.Errorf("too many accounts asked for: %v", err)
	}
	if _, err := e.LookupTransfers(ctx, tooManyIDs); !errors.As(err, &tooMany) {
		t.Errorf("too many transfers asked for: %v", err)
	}
	if _, err := e.QueryTransfers(ctx, ledger.QueryFilter{Limit: ledger.BatchMax + 1}); !errors.As(err, &tooMany) {
		t.Errorf("too many rows: %v", err)
	}

	_, err = e.CreateTransfers(canceled, make([]ledger.Transfer, 1))
	if !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if _, err := e.LookupAccounts(canceled, tooManyIDs[:1]); !errors.Is(err, ledger.ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}

	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTransfers(ctx, make([]ledger.Transfer, 1)); !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("closed: %v", err)
	}
	if _, err := e.LookupTransfers(ctx, tooManyIDs[:1]); !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("closed: %v", err)
	}
	if _, err := e.ExpireDue(ctx); !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("closed: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// Two engines, as in two processes, write the same accounts at once.
func TestTwoEngines(t *testing.T) {
	const workers, requests, events = 4, 25, 40
	db := pgtest.Open(t)
	engines := []*pgengine.Engine{newEngine(t, db), newEngine(t, pgtest.Open(t))}
	accounts := makeAccounts(t, engines[0], 5, 0)
	before := count(t, db, "SELECT sequence FROM ledger_state")

	var mu sync.Mutex
	var stamps []uint64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			e, last := engines[w%2], uint64(0)
			for range requests {
				transfers := make([]ledger.Transfer, events)
				for i := range transfers {
					transfers[i] = plain(newID(t), accounts[i%4], accounts[4], uint64(i))
				}
				results, err := e.CreateTransfers(t.Context(), transfers)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, r := range results {
					if r.Status != ledger.TransferCreated || r.Timestamp <= last {
						t.Errorf("transfer %d: %v at %d, after %d", i, r.Status, r.Timestamp, last)
					}
					last = r.Timestamp
					stamps = append(stamps, last)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(stamps)
	if n := len(slices.Compact(stamps)); n != workers*requests*events {
		t.Errorf("%d different timestamps for %d transfers", n, workers*requests*events)
	}
	if n := count(t, db, "SELECT sequence FROM ledger_state") - before; n != workers*requests {
		t.Errorf("the sequence rose by %d for %d requests", n, workers*requests)
	}
	checkBooks(t, db)
}

// An engine must not decide by balances that another has changed since.
func TestCacheIsNotStale(t *testing.T) {
	db := pgtest.Open(t)
	a, b := newEngine(t, db), newEngine(t, db)
	bank := makeAccounts(t, a, 1, 0)[0]
	buyer := makeAccounts(t, a, 1, ledger.AccountDebitsMustNotExceedCredits)[0]
	createTransfers(t, a, ledger.TransferCreated, plain(newID(t), bank, buyer, 100))
	createTransfers(t, b, ledger.TransferCreated, plain(newID(t), buyer, bank, 60))
	createTransfers(t, a, ledger.TransferExceedsCredits, plain(newID(t), buyer, bank, 60))
	createTransfers(t, a, ledger.TransferCreated, plain(newID(t), buyer, bank, 40))
	createTransfers(t, b, ledger.TransferExceedsCredits, plain(newID(t), buyer, bank, 1))

	// The books were restored to an earlier moment, and another engine wrote
	// since: the sequence is the one that a's cache goes with, the writer not.
	if _, err := db.Exec(`UPDATE ledger_accounts SET debits_posted = 0, credits_posted = 0`); err != nil {
		t.Fatal(err)
	}
	createTransfers(t, a, ledger.TransferExceedsCredits, plain(newID(t), buyer, bank, 1)) // b wrote last: not by the cache
	if _, err := db.Exec(`UPDATE ledger_accounts SET credits_posted = 7 WHERE id = $1`, buyer.UUID()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`UPDATE ledger_state SET writer = '00000000-0000-0000-0000-000000000001'`); err != nil {
		t.Fatal(err)
	}
	createTransfers(t, a, ledger.TransferCreated, plain(newID(t), buyer, bank, 7))
}

// The highest id is known, so that what is above it need not be looked for: it
// must be right when it is burned, or another engine's.
func TestHighestID(t *testing.T) {
	db := pgtest.Open(t)
	a, b := newEngine(t, db), newEngine(t, db)
	bank := makeAccounts(t, a, 1, 0)[0]
	buyer := makeAccounts(t, a, 1, ledger.AccountDebitsMustNotExceedCredits)[0]
	top := ledger.ID{Hi: 1 << 63, Lo: 5}
	low := plain(newID(t), bank, buyer, 100)
	createTransfers(t, a, ledger.TransferCreated, low)
	burned := plain(top, buyer, bank, 101)
	createTransfers(t, a, ledger.TransferExceedsCredits, burned)
	createTransfers(t, a, ledger.TransferIDAlreadyFailed, burned)
	createTransfers(t, b, ledger.TransferIDAlreadyFailed, burned)
	top.Lo++
	highest := plain(top, buyer, bank, 1)
	createTransfers(t, b, ledger.TransferCreated, highest)
	createTransfers(t, a, ledger.TransferExists, highest)
	createTransfers(t, b, ledger.TransferExists, highest, low)
	createTransfers(t, newEngine(t, db), ledger.TransferExists, highest, low)
	highest.Amount = ledger.U64(2)
	createTransfers(t, a, ledger.TransferExistsWithDifferentAmount, highest)
	top.Lo++
	createTransfers(t, a, ledger.TransferCreated, plain(top, buyer, bank, 1), plain(newID(t), bank, buyer, 1))
}

// One engine with the rules in memory, two in turn on Postgres: a workload
// that collides all the time must be answered alike.
func TestAgreesWithTheRulesInMemory(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	db := pgtest.Open(t)
	clock := uint64(1_500_000_000_000_000_000)
	memory := rules.NewEngine(func() uint64 { return clock })
	engines := []*pgengine.Engine{newEngine(t, db), newEngine(t, db)}

	var ids []ledger.ID
	for i := range 12 {
		a := []ledger.Account{{ID: ledger.U64(uint64(i + 1)), Ledger: 1840, Code: 2100, Flags: ledger.AccountFlags(random.IntN(8)) << 1}}
		if i < 3 { // whatever the seed, some may move freely and remember it
			a[0].Flags = ledger.AccountHistory
		}
		ids = append(ids, a[0].ID)
		engines[0].SetClock(clock)
		want, _ := memory.CreateAccounts(t.Context(), a)
		got, err := engines[0].CreateAccounts(t.Context(), a)
		if err != nil || !slices.Equal(want, got) {
			t.Fatalf("account %d: want %v, got %v, %v", i, want, got, err)
		}
	}
	next := uint64(100)
	seen := map[ledger.TransferStatus]int{}
	for range 300 {
		clock += random.Uint64N(700_000_000)
		transfers := make([]ledger.Transfer, 1+random.IntN(12))
		for i := range transfers {
			if random.IntN(5) != 0 {
				next++
			}
			x := plain(ledger.U64(next-random.Uint64N(3)), ledger.U64(1+random.Uint64N(12)), ledger.U64(1+random.Uint64N(12)), random.Uint64N(50))
			switch random.IntN(4) {
			case 0:
				x.Flags, x.Timeout = ledger.TransferPending, uint32(random.IntN(3))
			case 1:
				x = ledger.Transfer{ID: x.ID, PendingID: ledger.U64(next - random.Uint64N(30)), Amount: ledger.AmountMax, Flags: ledger.TransferPostPending}
				switch random.IntN(4) {
				case 0, 1:
					x.Amount, x.Flags = ledger.Amount{}, ledger.TransferVoidPending
				case 2:
					x.Amount = ledger.U64(random.Uint64N(20)) // a part
				}
			}
			if random.IntN(4) == 0 && i < len(transfers)-1 {
				x.Flags |= ledger.TransferLinked
			}
			transfers[i] = x
		}
		e := engines[random.IntN(2)]
		e.SetClock(clock)
		want, _ := memory.CreateTransfers(t.Context(), transfers)
		got, err := e.CreateTransfers(t.Context(), transfers)
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			seen[want[i].Status]++
			if want[i] != got[i] {
				t.Fatalf("%+v: want %v, got %v", transfers[i], want[i], got[i])
			}
		}
	}
	if len(seen) < 8 || seen[ledger.TransferCreated] < 100 {
		t.Errorf("a workload that tries too little: %v", seen)
	}
	want, _ := memory.LookupAccounts(t.Context(), ids)
	engines[0].SetClock(clock)
	got, err := engines[0].LookupAccounts(t.Context(), ids)
	if err != nil || !slices.Equal(want, got) {
		t.Errorf("accounts: want %+v, got %+v, %v", want, got, err)
	}
	rows := 0
	for _, id := range ids {
		for range 4 {
			f := ledger.AccountFilter{AccountID: id, Limit: 1 + random.Uint32N(400), Flags: ledger.FilterFlags(1 + random.IntN(7))}
			if random.IntN(2) == 0 {
				f.TimestampMin, f.TimestampMax = clock-random.Uint64N(100e9), clock-random.Uint64N(50e9)
			}
			want, _ := memory.GetAccountBalances(t.Context(), f)
			got, err := engines[0].GetAccountBalances(t.Context(), f)
			if err != nil || !slices.Equal(want, got) {
				t.Fatalf("balances, %+v: want %+v,\ngot %+v, %v", f, want, got, err)
			}
			rows += len(got)
		}
	}
	if rows < 100 {
		t.Errorf("%d balances compared, which says too little", rows)
	}
	checkBooks(t, db)
}

// More pending transfers are due than one batch may free.
func TestExpiryIsBounded(t *testing.T) {
	const more = 50
	db := pgtest.Open(t)
	e := newEngine(t, db)
	clock := uint64(1_500_000_000_000_000_000)
	e.SetClock(clock)
	accounts := makeAccounts(t, e, 2, 0)
	for _, n := range []int{ledger.BatchMax, more} {
		transfers := make([]ledger.Transfer, n)
		for i := range transfers {
			transfers[i] = plain(newID(t), accounts[0], accounts[1], 3)
			transfers[i].Flags, transfers[i].Timeout = ledger.TransferPending, 1
		}
		createTransfers(t, e, ledger.TransferCreated, transfers...)
	}
	if a := lookupAccount(t, e, accounts[0]); a.DebitsPending != ledger.U64(3*(ledger.BatchMax+more)) {
		t.Errorf("reserved: %v", a.DebitsPending)
	}

	e.SetClock(clock + 2e9)
	createTransfers(t, e, ledger.TransferCreated, plain(newID(t), accounts[0], accounts[1], 1))
	if n := count(t, db, "SELECT count(*) FROM ledger_pending WHERE state = 1"); n != more {
		t.Errorf("%d still reserved after one batch, want %d", n, more)
	}
	if n, err := e.ExpireDue(t.Context()); err != nil || n != more {
		t.Errorf("expired %d, %v, want %d", n, err, more)
	}
	if n, err := e.ExpireDue(t.Context()); err != nil || n != 0 {
		t.Errorf("expired %d again, %v", n, err)
	}
	if a := lookupAccount(t, e, accounts[0]); !a.DebitsPending.IsZero() || a.DebitsPosted != ledger.U64(1) {
		t.Errorf("after expiry: %v pending, %v posted", a.DebitsPending, a.DebitsPosted)
	}
	checkBooks(t, db)
}

// The clock may stand still, step back or be another machine's: the ledger's
// own time never does.
func TestClockStepsBack(t *testing.T) {
	db := pgtest.Open(t)
	clock := uint64(2_000_000_000_000_000_000)
	e, err := pgengine.New(db, pgengine.WithClock(func() uint64 { return clock }))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	accounts := makeAccounts(t, e, 2, 0)
	last := uint64(0)
	for _, clock = range []uint64{clock, clock - 1e18, 0, clock + 5, clock + 5} {
		r := createTransfers(t, e, ledger.TransferCreated, plain(newID(t), accounts[0], accounts[1], 1))
		if r[0].Timestamp <= last {
			t.Errorf("clock %d: %d after %d", clock, r[0].Timestamp, last)
		}
		last = r[0].Timestamp
	}
	clock = 1 << 63
	_, err = e.CreateTransfers(t.Context(), []ledger.Transfer{plain(newID(t), accounts[0], accounts[1], 1)})
	if !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("past the end of time: %v", err)
	}
	checkBooks(t, db)
}

// A pool of one connection is enough, and nothing waits for a second one.
func TestOneConnection(t *testing.T) {
	db := pgtest.Open(t)
	db.SetMaxOpenConns(1)
	e := newEngine(t, db)
	accounts := makeAccounts(t, e, 2, 0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				results, err := e.CreateTransfers(t.Context(), []ledger.Transfer{plain(newID(t), accounts[0], accounts[1], 1)})
				if err != nil || results[0].Status != ledger.TransferCreated {
					t.Error(results, err)
				}
				if _, err := e.LookupAccounts(t.Context(), accounts); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if a := lookupAccount(t, e, accounts[1]); a.CreditsPosted != ledger.U64(20) {
		t.Errorf("credited %v, want 20", a.CreditsPosted)
	}
}

func TestMain(m *testing.M) {
	if dsn := os.Getenv(victimVariable); dsn != "" {
		victim(dsn)
	}
	os.Exit(m.Run())
}
