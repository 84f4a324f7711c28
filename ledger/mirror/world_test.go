package mirror

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
)

const (
	linked = ledger.TransferLinked
	pended = ledger.TransferPending
	post   = ledger.TransferPostPending
	void   = ledger.TransferVoidPending
	second = uint64(time.Second)
)

// book is the ledger number of the tests in memory.
const book = 7840

// world is a ledger (in memory and under a clock of the test's, if not said
// otherwise), the journal that mirrors it, and the generator of what happens
// there.
type world struct {
	t      testing.TB
	ctx    context.Context
	rand   *rand.Rand
	db     *sqlx.DB
	engine ledger.Engine
	book   uint32

	mu   sync.Mutex
	now  uint64 // ns; 0 for the machine's clock
	next ledger.ID

	accounts  []ledger.ID
	transfers []ledger.Transfer // accepted
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), rand: rand.New(rand.NewPCG(seed, 1)), db: pgtest.Open(t),
		now: uint64(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano()), book: book, next: ledger.U64(1000)}
	w.engine = rules.NewEngine(w.clock)
	w.must(Claim(w.ctx, w.db))
	return w
}

func (w *world) clock() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now == 0 {
		return uint64(time.Now().UnixNano())
	}
	return w.now
}

func (w *world) pass(ns uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now += ns
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// mirror copies from r in pages of limit.
func (w *world) mirror(r ledger.Reader, limit, window int) *Mirror {
	m := New(w.db, r, Options{Limit: limit, Rounds: 3, Pause: time.Millisecond,
		Clock: func() time.Time { return time.Unix(0, int64(w.clock())) }})
	m.window = window
	return m
}

func (w *world) id() ledger.ID {
	w.next, _ = w.next.Add(ledger.U64(1))
	return w.next
}

// open makes n accounts, each with one of the kinds of limits.
func (w *world) open(n int) {
	w.t.Helper()
	kinds := []ledger.AccountFlags{0, 0, ledger.AccountHistory, ledger.AccountDebitsMustNotExceedCredits,
		ledger.AccountDebitsMustNotExceedCredits | ledger.AccountHistory, ledger.AccountCreditsMustNotExceedDebits}
	var list []ledger.Account
	for range n {
		list = append(list, ledger.Account{ID: w.id(), Ledger: w.book, Code: uint16(2000 + 100*w.rand.IntN(3)),
			Flags: kinds[w.rand.IntN(len(kinds))], UserData64: w.rand.Uint64(), UserData32: w.rand.Uint32(), UserData128: ledger.Uint128{Hi: w.rand.Uint64(), Lo: 1}})
	}
	results, err := w.engine.CreateAccounts(w.ctx, list)
	w.must(err)
	for i, r := range results {
		if r.Status != ledger.AccountCreated {
			w.t.Fatalf("account %d: %v", i, r.Status)
		}
		w.accounts = append(w.accounts, list[i].ID)
	}
}

// happen sends a request of n transfers of every kind: plain, pending with and
// without a timeout, posts in part, voids, balancing and closing ones, alone
// and in chains. Some are refused.
func (w *world) happen(n int) {
	w.t.Helper()
	var list []ledger.Transfer
	for i := range n {
		two := w.rand.Perm(len(w.accounts))
		t := ledger.Transfer{ID: w.id(), DebitAccountID: w.accounts[two[0]], CreditAccountID: w.accounts[two[1]], Ledger: w.book,
			Code: 1 + uint16(w.rand.IntN(3)), Amount: ledger.U64(w.rand.Uint64N(50)), UserData64: w.clock() / 1000, UserData128: ledger.U64(w.rand.Uint64())}
		switch kind := w.rand.IntN(20); {
		case kind < 6:
			t.Flags = pended
			if w.rand.IntN(2) == 0 {
				t.Timeout = 1 + w.rand.Uint32N(20)
			}
			if w.rand.IntN(12) == 0 {
				t.Flags |= ledger.TransferClosingDebit
			}
			if w.rand.IntN(12) == 0 {
				t.Flags |= ledger.TransferClosingCredit
			}
		case kind < 11 && len(w.transfers) > 0:
			p := w.transfers[len(w.transfers)-1-w.rand.IntN(min(len(w.transfers), 40))]
			t = ledger.Transfer{ID: t.ID, PendingID: p.ID, Flags: post, Amount: ledger.AmountMax}
			switch w.rand.IntN(3) {
			case 0:
				t.Flags, t.Amount = void, ledger.Amount{}
			case 1:
				t.Amount = ledger.U64(w.rand.Uint64N(p.Amount.Lo + 1))
			}
		case kind == 11:
			t.Flags = ledger.TransferBalancingDebit
		case kind == 12:
			t.Flags = ledger.TransferBalancingCredit
		}
		if i < n-1 && w.rand.IntN(4) == 0 {
			t.Flags |= linked
		}
		list = append(list, t)
	}
	results, err := w.engine.CreateTransfers(w.ctx, list)
	w.must(err)
	var ids []ledger.ID
	for i, r := range results {
		if r.Status == ledger.TransferCreated {
			ids = append(ids, list[i].ID)
		}
	}
	found, err := w.engine.LookupTransfers(w.ctx, ids)
	w.must(err)
	w.transfers = append(w.transfers, found...)
}

// everything reads all accounts and transfers of a ledger.
func everything(t testing.TB, ctx context.Context, r ledger.Reader) (accounts []ledger.Account, transfers []ledger.Transfer) {
	t.Helper()
	for after := uint64(0); ; {
		page, err := r.QueryAccounts(ctx, ledger.QueryFilter{TimestampMin: after + 1, Limit: ledger.BatchMax})
		if err != nil {
			t.Fatal(err)
		}
		accounts = append(accounts, page...)
		if len(page) < ledger.BatchMax {
			break
		}
		after = page[len(page)-1].Timestamp
	}
	for after := uint64(0); ; {
		page, err := r.QueryTransfers(ctx, ledger.QueryFilter{TimestampMin: after + 1, Limit: ledger.BatchMax})
		if err != nil {
			t.Fatal(err)
		}
		transfers = append(transfers, page...)
		if len(page) < ledger.BatchMax {
			break
		}
		after = page[len(page)-1].Timestamp
	}
	return accounts, transfers
}

// journalOf reads all accounts and transfers of the journal.
func (w *world) journalOf() (accounts []ledger.Account, transfers []ledger.Transfer) {
	w.t.Helper()
	var as []accountRow
	w.must(w.db.Select(&as, `SELECT * FROM ledger_accounts ORDER BY timestamp`))
	for i := range as {
		accounts = append(accounts, as[i].account())
	}
	var ts []transferRow
	w.must(w.db.Select(&ts, `SELECT t.*, 0 AS state FROM ledger_transfers t ORDER BY t.timestamp`))
	for i := range ts {
		transfers = append(transfers, ts[i].transfer())
	}
	return accounts, transfers
}

// same fails unless the journal is the ledger, field by field.
func (w *world) same(r ledger.Reader) {
	w.t.Helper()
	wantAccounts, wantTransfers := everything(w.t, w.ctx, r)
	accounts, transfers := w.journalOf()
	if !slices.Equal(transfers, wantTransfers) {
		w.t.Errorf("the journal has %d transfers, the ledger %d, and they are not the same", len(transfers), len(wantTransfers))
	}
	if len(accounts) != len(wantAccounts) {
		w.t.Fatalf("the journal has %d accounts, the ledger %d", len(accounts), len(wantAccounts))
	}
	for i := range accounts {
		if accounts[i] != wantAccounts[i] {
			w.t.Errorf("account\n%+v, in the ledger\n%+v", accounts[i], wantAccounts[i])
		}
	}
}

// crashing is a reader after whose nth answer the process dies, so to say.
type crashing struct {
	ledger.Reader
	left int
	die  context.CancelFunc
}

func (c *crashing) answered() {
	if c.left--; c.left == 0 {
		c.die()
	}
}

func (c *crashing) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	defer c.answered()
	return c.Reader.LookupAccounts(ctx, ids)
}

func (c *crashing) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	defer c.answered()
	return c.Reader.QueryAccounts(ctx, f)
}

func (c *crashing) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	defer c.answered()
	return c.Reader.QueryTransfers(ctx, f)
}

// crash mirrors until the process dies after n answers of the ledger, or the
// mirror has caught up.
func (w *world) crash(n, limit, window int) {
	w.t.Helper()
	ctx, die := context.WithCancel(w.ctx)
	defer die()
	r := &crashing{Reader: w.engine, left: n, die: die}
	if err := w.mirror(r, limit, window).CatchUp(ctx, nil); err != nil && !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}
