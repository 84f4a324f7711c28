package rules

import (
	"context"
	"errors"
	"testing"

	"escrowd/ledger"
)

func TestEngineRefusesAnImpossibleClock(t *testing.T) {
	e := NewEngine(func() uint64 { return ledger.TimestampMax + 1 })
	_, err := e.CreateTransfers(t.Context(), []ledger.Transfer{transfer(1, 1, 2, 1, 0)})
	if !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("transfers: %v", err)
	}
	_, err = e.CreateAccounts(t.Context(), []ledger.Account{{ID: ledger.U64(1), Ledger: 1, Code: 1}})
	if !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("accounts: %v", err)
	}
	e.SetClock(5)
	got, err := e.CreateAccounts(t.Context(), []ledger.Account{{ID: ledger.U64(1), Ledger: 1, Code: 1}})
	if err != nil || got[0] != (ledger.AccountResult{Status: ledger.AccountCreated, Timestamp: 5}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestEngineExpiresForReaders: a reader sees no reservation whose time is up.
func TestEngineExpiresForReaders(t *testing.T) {
	e := NewEngine(func() uint64 { return start })
	accounts := []ledger.Account{{ID: ledger.U64(1), Ledger: 1, Code: 1}, {ID: ledger.U64(2), Ledger: 1, Code: 1}}
	if _, err := e.CreateAccounts(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
	p := transfer(10, 1, 2, 7, ledger.TransferPending)
	p.Timeout = 1
	r, err := e.CreateTransfers(t.Context(), []ledger.Transfer{p})
	if err != nil || r[0].Status != ledger.TransferCreated {
		t.Fatal(r, err)
	}
	pending := func() ledger.Amount {
		a, err := e.LookupAccounts(t.Context(), []ledger.ID{ledger.U64(1)})
		if err != nil || len(a) != 1 {
			t.Fatal(a, err)
		}
		return a[0].DebitsPending
	}
	e.SetClock(r[0].Timestamp + second - 1)
	if pending() != ledger.U64(7) {
		t.Error("freed too early")
	}
	e.SetClock(r[0].Timestamp + second)
	if !pending().IsZero() {
		t.Error("not freed")
	}
}

// BenchmarkPlainTransfers is full batches of plain transfers among 10,000
// accounts; ns/op is for one transfer.
func BenchmarkPlainTransfers(b *testing.B) { benchmark(b, false) }

// BenchmarkChains is the same in linked chains of three, as a release is.
func BenchmarkChains(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, chains bool) {
	const accounts = 10_000
	ctx := context.Background()
	e := NewEngine(func() uint64 { return start })
	for from := uint64(1); from <= accounts; from += 5000 {
		var batch []ledger.Account
		for id := from; id < from+5000; id++ {
			batch = append(batch, ledger.Account{ID: ledger.U64(id), Ledger: 1, Code: 1})
		}
		if _, err := e.CreateAccounts(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	const size = ledger.BatchMax - ledger.BatchMax%3
	batch := make([]ledger.Transfer, 0, size)
	id, random := uint64(0), uint64(1)
	b.ResetTimer()
	for done := 0; done < b.N; done += len(batch) {
		batch = batch[:0]
		for range min(size, b.N-done) {
			id++
			random = random*6364136223846793005 + 1442695040888963407
			debit := random>>33%accounts + 1
			t := transfer(id, debit, debit%accounts+1, id%1000, 0)
			if chains && len(batch)%3 != 2 {
				t.Flags = ledger.TransferLinked
			}
			batch = append(batch, t)
		}
		batch[len(batch)-1].Flags = 0
		results, err := e.CreateTransfers(ctx, batch)
		if err != nil {
			b.Fatal(err)
		}
		for _, r := range results {
			if r.Status != ledger.TransferCreated {
				b.Fatal(r.Status)
			}
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
}
