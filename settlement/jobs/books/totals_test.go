package books

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/chart"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/rules"
)

// restless is a ledger in which money moves whenever somebody reads it, until
// it is told to rest.
type restless struct {
	ledger.Engine
	move func()
}

func (r *restless) QueryAccounts(ctx context.Context, f ledger.QueryFilter) ([]ledger.Account, error) {
	defer r.move()
	return r.Engine.QueryAccounts(ctx, f)
}

func (r *restless) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	defer r.move()
	return r.Engine.LookupAccounts(ctx, ids)
}

func (r *restless) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	defer r.move()
	return r.Engine.QueryTransfers(ctx, f)
}

const usd = 1840

// book makes accounts with ids from 1 on, every third an escrow account.
type book struct {
	t      testing.TB
	engine ledger.Engine
	rng    *rand.Rand
	n      uint64 // accounts
	next   uint64 // transfer
}

func (b *book) accounts(n int) {
	b.t.Helper()
	var batch []ledger.Account
	for range n {
		b.n++
		code := chart.Buyer
		if b.n%3 == 0 {
			code = chart.Escrow
		}
		// No limits: here the sums matter, and not who may owe what.
		batch = append(batch, ledger.Account{ID: ledger.U64(b.n), Ledger: usd, Code: uint16(code)})
	}
	res, err := b.engine.CreateAccounts(context.Background(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range res {
		if r.Status != ledger.AccountCreated {
			b.t.Fatal(r.Status)
		}
	}
}

func (b *book) transfers(n int) {
	b.t.Helper()
	var batch []ledger.Transfer
	for range n {
		b.next++
		debit := 1 + b.rng.Uint64N(b.n)
		credit := 1 + b.rng.Uint64N(b.n-1)
		if credit >= debit {
			credit++
		}
		t := ledger.Transfer{ID: ledger.U64(b.next), DebitAccountID: ledger.U64(debit), CreditAccountID: ledger.U64(credit),
			Amount: ledger.U64(1 + b.rng.Uint64N(1000)), Ledger: usd, Code: 1}
		switch b.rng.IntN(20) {
		case 0:
			t.Flags = ledger.TransferPending
		case 1:
			t.Amount.Hi = b.rng.Uint64N(1000) // more than 64 bits
		}
		batch = append(batch, t)
	}
	res, err := b.engine.CreateTransfers(context.Background(), batch)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range res {
		if r.Status != ledger.TransferCreated {
			b.t.Fatal(r.Status)
		}
	}
}

// plain are the totals of a ledger at rest, the simple way.
func (b *book) plain() Totals {
	b.t.Helper()
	t := Totals{Ledger: usd}
	var debits, credits ledger.Amount
	for id := uint64(1); id <= b.n; id++ {
		list, err := b.engine.LookupAccounts(context.Background(), []ledger.ID{ledger.U64(id)})
		if err != nil {
			b.t.Fatal(err)
		}
		a := list[0]
		t.Accounts++
		t.DebitsPosted, _ = t.DebitsPosted.Add(a.DebitsPosted)
		t.CreditsPosted, _ = t.CreditsPosted.Add(a.CreditsPosted)
		t.DebitsPending, _ = t.DebitsPending.Add(a.DebitsPending)
		t.CreditsPending, _ = t.CreditsPending.Add(a.CreditsPending)
		if a.Code == uint16(chart.Buyer) {
			t.Promised, _ = t.Promised.Add(a.CreditsPending)
		}
		if a.Code == uint16(chart.Escrow) {
			debits, _ = debits.Add(a.DebitsPosted)
			credits, _ = credits.Add(a.CreditsPosted)
		}
	}
	t.Escrow, _ = credits.Sub(debits) // wraps around as nothing here depends on it
	if credits.Cmp(debits) < 0 {
		t.Escrow = ledger.Amount{}
	}
	return t
}

func newBook(t *testing.T, accounts int) (*book, *checker) {
	t.Helper()
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	b := &book{t: t, rng: rand.New(rand.NewPCG(seed, 0)), engine: rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })}
	for accounts > 0 {
		n := min(accounts, ledger.BatchMax)
		b.accounts(n)
		b.transfers(n)
		accounts -= n
	}
	return b, &checker{db: pgtest.Open(t), suspects: map[ledger.ID]uint32{}, opts: Options{Rounds: 25, Pause: time.Microsecond, Batch: 1000}}
}

// The sums are of one moment although the ledger moves between any two
// requests: then debits are credits at any moment, and the last moves are the
// ones after which the simple way finds the same.
func TestTotalsOfAMovingLedger(t *testing.T) {
	b, c := newBook(t, 2*ledger.BatchMax+5)
	moves := 30
	c.reader = &restless{b.engine, func() {
		if moves > 0 {
			moves--
			if moves%5 == 0 {
				b.accounts(2)
			}
			n := 1 + b.rng.IntN(200)
			if moves >= 28 {
				n = ledger.BatchMax // the first touch more accounts than fit a request
			}
			b.transfers(n)
		}
	}}
	got, err := c.totals(t.Context(), usd, false)
	if err != nil {
		t.Fatal(err)
	}
	if moves > 0 {
		t.Fatalf("settled before the ledger rested: %d moves left", moves)
	}
	want := b.plain()
	got.Held, got.Compared = ledger.Amount{}, false
	got.Entries, want.Waiting = Waiting{}, got.Waiting // see TestEntriesAgainstTheLedger
	want.Accounts = got.Accounts                       // accounts that came later and have no transfers are nobody's loss
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Money that moves all the time, but among accounts that are known to move,
// is of one moment too.
func TestTotalsOfABusyCorner(t *testing.T) {
	b, c := newBook(t, 100)
	b.n = 10 // the rest stands still
	c.reader = &restless{b.engine, func() { b.transfers(100) }}
	got, err := c.totals(t.Context(), usd, false)
	if err != nil {
		t.Fatal(err)
	}
	if got.DebitsPosted != got.CreditsPosted || got.DebitsPending != got.CreditsPending || got.Compared || got.Accounts != 100 {
		t.Errorf("%+v: want debits equal to credits, and nothing compared", got)
	}
}

// A ledger that never rests is not called balanced, nor unbalanced.
func TestTotalsOfALedgerThatNeverRests(t *testing.T) {
	b, c := newBook(t, 100)
	c.reader = &restless{b.engine, func() { b.accounts(1); touchLast(b) }}
	if _, err := c.totals(t.Context(), usd, false); !errors.Is(err, errBusy) {
		t.Errorf("%v, want %v", err, errBusy)
	}
	if len(c.diffs) != 0 {
		t.Errorf("differences: %v", c.diffs)
	}
}

// touchLast moves money into the newest account.
func touchLast(b *book) {
	b.t.Helper()
	b.next++
	res, err := b.engine.CreateTransfers(context.Background(), []ledger.Transfer{{ID: ledger.U64(b.next),
		DebitAccountID: ledger.U64(1), CreditAccountID: ledger.U64(b.n), Amount: ledger.U64(1), Ledger: usd, Code: 1}})
	if err != nil || res[0].Status != ledger.TransferCreated {
		b.t.Fatal(res, err)
	}
}
