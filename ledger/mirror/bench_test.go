package mirror

import (
	"testing"
	"time"

	"escrowd/ledger"
)

// BenchmarkCopy copies and compares full pages: one account that all transfers
// touch, thousands that one does, and one pending transfer in four.
func BenchmarkCopy(b *testing.B) {
	w := newWorld(b, 1)
	w.now = 0
	var accounts []ledger.Account
	for range 8000 {
		accounts = append(accounts, ledger.Account{ID: w.id(), Ledger: book, Code: 2100})
	}
	_, err := w.engine.CreateAccounts(w.ctx, accounts)
	w.must(err)
	m := New(w.db, w.engine, Options{})
	w.must(m.CatchUp(w.ctx, nil))
	b.ReportAllocs()
	copied := 0
	var took time.Duration
	for b.Loop() {
		b.StopTimer()
		var list []ledger.Transfer
		for i := range 8000 {
			t := ledger.Transfer{ID: w.id(), DebitAccountID: accounts[0].ID, CreditAccountID: accounts[1+w.rand.IntN(7999)].ID, Ledger: book, Code: 1,
				Amount: ledger.U64(uint64(i))}
			if i%4 == 0 {
				t.Flags, t.Timeout = pended, 3600
			}
			list = append(list, t)
		}
		_, err := w.engine.CreateTransfers(w.ctx, list)
		w.must(err)
		b.StartTimer()
		begun := time.Now()
		w.must(m.CatchUp(w.ctx, func(p Progress) error { copied += p.Copied; return nil }))
		took += time.Since(begun)
	}
	b.ReportMetric(float64(copied)/took.Seconds(), "transfers/s")
}
