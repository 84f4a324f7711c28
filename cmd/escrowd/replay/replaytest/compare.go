package replaytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/reports"
)

// Compare asks for the trial balance and the held funds at so many random
// moments, and exactly at, right before and right after some movements.
func (b *Books) Compare(t testing.TB, db *sqlx.DB, random int) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	events := b.Moments()
	first, last := events[0].Add(-time.Hour), events[len(events)-1].Add(time.Hour)
	moments := []time.Time{first, events[0], events[len(events)-1], last}
	for range random {
		moments = append(moments, first.Add(time.Duration(rng.Int64N(int64(last.Sub(first))))))
	}
	for range 10 {
		at := events[rng.IntN(len(events))]
		moments = append(moments, at.Add(-time.Microsecond), at, at.Add(time.Microsecond))
	}
	r := reports.New(db)
	wrong := 0
	for i, at := range moments {
		o := reports.Options{AsOf: at, Basis: reports.Effective, Marketplace: "olist"}
		balance, err := r.TrialBalance(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		got, want := []string{}, []string{}
		for _, row := range balance.Rows {
			got = append(got, fmt.Sprintf("%d %s %s %s", row.Code, row.Currency, row.Debits, row.Credits))
		}
		for code, sum := range b.At(at) {
			want = append(want, fmt.Sprintf("%d BRL %d %d", code, sum.Debits, sum.Credits))
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || len(balance.Problems) > 0 {
			t.Errorf("as of %s\n got %q\nwant %q\nproblems %q", at.Format(time.RFC3339Nano), got, want, balance.Problems)
			wrong++
		}
		// The held funds join more tables; every eighth moment is enough.
		if i%8 == 0 {
			held, err := r.HeldFunds(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			orders := 0
			for _, row := range held.Rows {
				orders += int(row.Orders)
			}
			if orders != b.Held(at) || len(held.Problems) > 0 {
				t.Errorf("as of %s %d orders are held, want %d; problems %q", at.Format(time.RFC3339Nano), orders, b.Held(at), held.Problems)
				wrong++
			}
		}
		if wrong > 5 {
			t.Fatal("and so on")
		}
	}
}

// Fingerprint sums up all that a replay writes.
func Fingerprint(t testing.TB, db *sqlx.DB) string {
	t.Helper()
	var sums []string
	for _, table := range []string{"ledger_transfers", "ledger_accounts", "ledger_pending", "ledger_balances", "orders", "intents", "outcomes", "idempotency_keys", "accounts", "policies"} {
		var sum string
		if err := db.Get(&sum, fmt.Sprintf(`SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM %s t`, table)); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, table+" "+sum)
	}
	return strings.Join(sums, ", ")
}
