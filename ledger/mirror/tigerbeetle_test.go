//go:build cgo

package mirror

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/tbengine"
)

// TestTigerBeetle mirrors what happens in a real cluster: who books expiries
// when it likes, and whose clock is its own. Others may use the cluster
// meanwhile: the mirror sees one ledger of it, which is the test's alone.
func TestTigerBeetle(t *testing.T) {
	addresses := os.Getenv("ESCROWD_TIGERBEETLE")
	if addresses == "" {
		t.Skip("no TigerBeetle server: set ESCROWD_TIGERBEETLE")
	}
	var cluster ledger.Uint128
	if c := os.Getenv("ESCROWD_TIGERBEETLE_CLUSTER"); c != "" {
		var err error
		if cluster, err = ledger.ParseUint128(c); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := tbengine.Open(t.Context(), cluster, strings.Split(addresses, ","))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	seed := rand.Uint64()
	t.Log("seed", seed)
	one := oneLedger{engine, 1 + rand.Uint32N(1<<31)}
	w := &world{t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 1)), db: pgtest.Open(t),
		engine: one, book: one.number, next: ledger.FromBytes(uuid.Must(uuid.NewV7()))}
	w.must(Claim(w.ctx, w.db))

	w.open(8)
	m := w.mirror(w.engine, 40, 10)
	m.opts.Rounds, m.opts.Pause = 100, 50*time.Millisecond // expiries are booked when the cluster likes
	for range 40 {
		if w.rand.IntN(6) == 0 {
			w.open(3)
		}
		w.happen(1 + w.rand.IntN(60))
		if w.rand.IntN(3) == 0 {
			w.must(m.CatchUp(w.ctx, nil))
		}
	}
	// Some of what is pending expires within seconds; the mirror hears of it.
	_, err = engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: w.id(), DebitAccountID: w.accounts[0], CreditAccountID: w.accounts[1],
		Ledger: one.number, Code: 1, Flags: pended, Timeout: 1}})
	w.must(err)
	for expired := 0; expired == 0; {
		w.must(m.CatchUp(w.ctx, nil))
		w.must(w.db.Get(&expired, `SELECT count(*) FROM ledger_pending WHERE state = 4`))
	}
	w.must(m.Verify(w.ctx, nil))
	_, want := everything(t, w.ctx, w.engine)
	if _, got := w.journalOf(); len(got) != len(want) || len(got) == 0 {
		t.Errorf("%d transfers in the journal, %d in the ledger", len(got), len(want))
	}
	w.trialBalance()
}

// oneLedger is one ledger of a cluster.
type oneLedger struct {
	ledger.Engine
	number uint32
}

func (o oneLedger) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	f.Ledger = o.number
	return o.Engine.QueryAccounts(ctx, f)
}

func (o oneLedger) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	f.Ledger = o.number
	return o.Engine.QueryTransfers(ctx, f)
}
