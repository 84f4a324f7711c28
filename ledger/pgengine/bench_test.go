package pgengine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"

	"escrowd/ledger"
	"escrowd/ledger/pgengine"
)

// BenchmarkTransfers books plain transfers between random accounts, a request
// at a time: what one caller sees. One operation is one request.
func BenchmarkTransfers(b *testing.B) {
	for _, c := range []struct {
		accounts, batch int
		flags           ledger.AccountFlags
	}{
		{1_000, 1, 0},
		{1_000, 10, 0},
		{1_000, 100, 0},
		{1_000, 1_000, 0},
		{1_000, ledger.BatchMax, 0},
		{100_000, ledger.BatchMax, 0},
		{1_000, ledger.BatchMax, ledger.AccountHistory},
	} {
		name := fmt.Sprintf("accounts=%d/batch=%d", c.accounts, c.batch)
		if c.flags.Has(ledger.AccountHistory) {
			name += "/history"
		}
		b.Run(name, func(b *testing.B) {
			e := open(b)
			accounts := makeAccounts(b, e, c.accounts, c.flags)
			random := rand.New(rand.NewPCG(1, 2))
			for b.Loop() {
				b.StopTimer()
				transfers := make([]ledger.Transfer, c.batch)
				for i := range transfers {
					debit, credit := random.IntN(len(accounts)), random.IntN(len(accounts)-1)
					if credit >= debit {
						credit++
					}
					transfers[i] = ledger.Transfer{
						ID:              newID(b),
						DebitAccountID:  accounts[debit],
						CreditAccountID: accounts[credit],
						Amount:          ledger.U64(random.Uint64N(100_000)),
						UserData128:     accounts[debit],
						UserData64:      1_500_000_000_000_000 + random.Uint64N(1e12),
						Ledger:          1840,
						Code:            uint16(1 + random.IntN(40)),
					}
				}
				b.StartTimer()
				createTransfers(b, e, ledger.TransferCreated, transfers...)
			}
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}

func makeAccounts(tb testing.TB, e *pgengine.Engine, n int, flags ledger.AccountFlags) []ledger.ID {
	tb.Helper()
	ids := make([]ledger.ID, 0, n)
	for len(ids) < n {
		batch := make([]ledger.Account, min(n-len(ids), ledger.BatchMax))
		for i := range batch {
			batch[i] = ledger.Account{ID: newID(tb), Ledger: 1840, Code: 2100, Flags: flags}
			ids = append(ids, batch[i].ID)
		}
		results, err := e.CreateAccounts(tb.Context(), batch)
		if err != nil {
			tb.Fatal(err)
		}
		for i, r := range results {
			if r.Status != ledger.AccountCreated {
				tb.Fatalf("account %d: %v", i, r.Status)
			}
		}
	}
	return ids
}

// newID is an id that rises with time, as ids in use do.
func newID(tb testing.TB) ledger.ID {
	tb.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		tb.Fatal(err)
	}
	return ledger.FromBytes(id)
}
