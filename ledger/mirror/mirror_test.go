package mirror

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
	"escrowd/reports"
)

// TestRandom: whatever happens in the ledger, and wherever the mirror dies,
// the journal is the ledger in the end, and no comparison on the way is wrong.
func TestRandom(t *testing.T) {
	kinds := map[rules.PendingState]int{}
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.open(6)
			for range 25 {
				switch w.rand.IntN(6) {
				case 0:
					w.open(1 + w.rand.IntN(4))
				case 1:
					w.pass(w.rand.Uint64N(30 * second))
				default:
					w.happen(1 + w.rand.IntN(30))
				}
				w.pass(w.rand.Uint64N(second))
				if w.rand.IntN(3) == 0 {
					w.crash(1+w.rand.IntN(12), 2+w.rand.IntN(20), 1+w.rand.IntN(8))
				}
			}
			// What is open runs out or not; the ledger tells of it in its balances only.
			w.pass(8 * second)
			m := w.mirror(w.engine, 1+w.rand.IntN(20), 1+w.rand.IntN(8))
			w.must(m.CatchUp(w.ctx, nil))
			w.same(w.engine)
			w.must(m.Verify(w.ctx, nil))
			w.trialBalance()

			var states []int
			w.must(w.db.Select(&states, `SELECT state FROM ledger_pending`))
			for _, s := range states {
				kinds[rules.PendingState(s)]++
			}
		})
	}
	if !t.Failed() && len(kinds) > 0 && len(kinds) != 4 {
		t.Errorf("the pending transfers came to these ends only: %v", kinds)
	}
}

// trialBalance: the report of the journal, now and as of the end of time, is
// the ledger's own sums.
func (w *world) trialBalance() {
	w.t.Helper()
	want := map[string]uint64{}
	accounts, _ := everything(w.t, w.ctx, w.engine)
	for _, a := range accounts {
		want[fmt.Sprint(a.Code, " debits")] += a.DebitsPosted.Lo
		want[fmt.Sprint(a.Code, " credits")] += a.CreditsPosted.Lo
	}
	for _, o := range []reports.Options{{Now: time.Now()}, {Now: time.Now(), AsOf: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), Basis: reports.Booked}} {
		r, err := reports.New(w.db).TrialBalance(w.ctx, o)
		w.must(err)
		if len(r.Problems) > 0 {
			w.t.Error(r.Problems)
		}
		got := map[string]string{}
		for _, row := range r.Rows {
			got[fmt.Sprint(row.Code, " debits")], got[fmt.Sprint(row.Code, " credits")] = row.Debits.String(), row.Credits.String()
		}
		for k, v := range want {
			if g := got[k]; g != fmt.Sprint(v) && (v != 0 || g != "") {
				w.t.Errorf("%s: the report says %q, the ledger %d", k, g, v)
			}
		}
	}
}

// TestTwoAtOnce: several mirrors of one journal, while the ledger moves on.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, 99)
	w.open(10)
	w.happen(50)
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	done := make(chan struct{})
	for i := range 3 {
		m := w.mirror(w.engine, 5+i, 4)
		wg.Go(func() {
			for {
				errs <- m.CatchUp(w.ctx, nil)
				select {
				case <-done:
					errs <- m.CatchUp(w.ctx, nil)
					return
				default:
				}
			}
		})
	}
	go func() {
		for range 40 {
			w.pass(second / 3)
			w.happen(20)
		}
		close(done)
		wg.Wait()
		close(errs)
	}()
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	w.must(w.mirror(w.engine, 100, 100).CatchUp(w.ctx, nil))
	w.same(w.engine)
	w.must(w.mirror(w.engine, 100, 100).Verify(w.ctx, nil))
}

// TestWhollyInOrOut: a round whose last statement fails has written nothing.
func TestWhollyInOrOut(t *testing.T) {
	w := newWorld(t, 5)
	w.open(5)
	w.happen(30)
	_, err := w.db.Exec(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
		CREATE TRIGGER fail BEFORE UPDATE ON ledger_state EXECUTE FUNCTION fail()`)
	w.must(err)
	m := w.mirror(w.engine, 10, 10)
	if _, err := m.Copy(w.ctx); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Fatalf("a round that cannot be written: %v", err)
	}
	if a, tr := w.journalOf(); len(a)+len(tr) > 0 {
		t.Errorf("it left %d accounts and %d transfers", len(a), len(tr))
	}
	_, err = w.db.Exec(`DROP TRIGGER fail ON ledger_state`)
	w.must(err)
	w.must(m.CatchUp(w.ctx, nil))
	w.same(w.engine)
}

// TestProgress: what a round says of itself, and that it keeps to its limit
// and to whole chains.
func TestProgress(t *testing.T) {
	w := newWorld(t, 6)
	var list []ledger.Account
	for range 4 {
		list = append(list, ledger.Account{ID: w.id(), Ledger: book, Code: 1})
	}
	_, err := w.engine.CreateAccounts(w.ctx, list)
	w.must(err)
	send := func(flags ...ledger.TransferFlags) {
		t.Helper()
		var transfers []ledger.Transfer
		for _, f := range flags {
			transfers = append(transfers, ledger.Transfer{ID: w.id(), DebitAccountID: list[0].ID, CreditAccountID: list[1].ID, Ledger: book, Code: 1,
				Amount: ledger.U64(1), Flags: f})
		}
		results, err := w.engine.CreateTransfers(w.ctx, transfers)
		w.must(err)
		for _, r := range results {
			if r.Status != ledger.TransferCreated {
				t.Fatal(r.Status)
			}
		}
	}
	send(0, 0, linked, linked, linked, linked, 0, 0)
	m := w.mirror(w.engine, 4, 100)
	want := []struct {
		copied, accounts, compared int
		complete                   bool
	}{
		{0, 4, 0, false}, // as many accounts as fit: there may be more, older than the transfers
		{2, 0, 0, false}, // the chain does not fit, so it waits
		{6, 0, 2, true},  // and has a page of its own, as large as it takes
		{0, 0, 2, true},
		{0, 0, 0, true},
	}
	for i, want := range want {
		p, err := m.Copy(w.ctx)
		w.must(err)
		if p.Copied != want.copied || p.Accounts != want.accounts || p.Compared != want.compared || p.Complete != want.complete || p.Differs != nil {
			t.Errorf("round %d: %+v, want %+v", i, p, want)
		}
	}
	var complete time.Time
	w.must(w.db.Get(&complete, `SELECT mirror_complete FROM ledger_state`))
	if now := time.Unix(0, int64(w.clock())); complete.After(now) || now.Sub(complete) > time.Microsecond {
		t.Errorf("complete as of %v, want %v", complete, now)
	}
}

// TestExpiry: the ledger frees what has run out without a word.
func TestExpiry(t *testing.T) {
	w := newWorld(t, 7)
	_, err := w.engine.CreateAccounts(w.ctx, []ledger.Account{{ID: ledger.U64(1), Ledger: book, Code: 1}, {ID: ledger.U64(2), Ledger: book, Code: 1}})
	w.must(err)
	transfer := func(id uint64, timeout uint32, flags ledger.TransferFlags) {
		t.Helper()
		r, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: ledger.U64(id), DebitAccountID: ledger.U64(1), CreditAccountID: ledger.U64(2),
			Ledger: book, Code: 1, Amount: ledger.U64(id), Flags: flags, Timeout: timeout}})
		w.must(err)
		if r[0].Status != ledger.TransferCreated {
			t.Fatal(r[0].Status)
		}
	}
	m := w.mirror(w.engine, 100, 100)
	state := func(id uint64) (s int) {
		t.Helper()
		w.must(w.db.Get(&s, `SELECT state FROM ledger_pending WHERE transfer_id = $1`, ledger.U64(id).UUID()))
		return s
	}
	transfer(10, 10, pended)
	transfer(11, 70, pended)
	w.must(m.CatchUp(w.ctx, nil))
	if state(10) != 1 || state(11) != 1 {
		t.Errorf("before their time: %d and %d", state(10), state(11))
	}
	// The time is up and no transfer says so.
	w.pass(11 * second)
	p, err := m.Copy(w.ctx)
	w.must(err)
	if p.Expired != 1 || state(10) != 4 || state(11) != 1 {
		t.Errorf("after one's time: %+v, %d and %d", p, state(10), state(11))
	}
	w.same(w.engine)
	// This one's time is up when a later transfer comes.
	w.pass(80 * second)
	transfer(12, 0, 0)
	w.must(m.CatchUp(w.ctx, nil))
	if state(11) != 4 {
		t.Errorf("after a later transfer: %d", state(11))
	}
	w.same(w.engine)

	// A ledger that frees a little later than its time (lagging still has what
	// has run out) makes a difference that goes away.
	transfer(13, 1, pended)
	w.must(m.CatchUp(w.ctx, nil))
	before, err := w.engine.LookupAccounts(w.ctx, []ledger.ID{ledger.U64(1), ledger.U64(2)})
	w.must(err)
	w.pass(2 * second)
	// A transfer of nothing, after the time: the journal frees, the ledger's
	// accounts, for once, do not show it yet.
	r, err := w.engine.CreateTransfers(w.ctx, []ledger.Transfer{{ID: ledger.U64(14), DebitAccountID: ledger.U64(1), CreditAccountID: ledger.U64(2), Ledger: book, Code: 1}})
	w.must(err)
	if r[0].Status != ledger.TransferCreated {
		t.Fatal(r[0].Status)
	}
	_, err = m.Copy(w.ctx)
	w.must(err)
	lag := &lagging{Reader: w.engine, old: before, times: 2}
	differed := 0
	w.must(w.mirror(lag, 100, 100).CatchUp(w.ctx, func(p Progress) error {
		if p.Differs != nil {
			differed++
		}
		return nil
	}))
	if differed != 2 || state(13) != 4 {
		t.Errorf("%d rounds differed, state %d", differed, state(13))
	}
	w.same(w.engine)
}

// lagging answers old accounts a few times.
type lagging struct {
	ledger.Reader
	old   []ledger.Account
	times int
}

func (l *lagging) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	if l.times--; l.times < 0 {
		return l.Reader.LookupAccounts(ctx, ids)
	}
	var found []ledger.Account
	for _, id := range ids {
		found = append(found, l.old[slices.IndexFunc(l.old, func(a ledger.Account) bool { return a.ID == id })])
	}
	return found, nil
}

// TestMovingWhileCompared: the ledger moves between the mirror's questions.
func TestMovingWhileCompared(t *testing.T) {
	w := newWorld(t, 8)
	w.open(8)
	w.happen(40)
	busy := &moving{Reader: w.engine, w: w}
	m := w.mirror(busy, 1000, 50)
	rounds := 0
	err := m.CatchUp(w.ctx, func(p Progress) error {
		if rounds++; p.Differs != nil {
			t.Errorf("round %d: %v", rounds, p.Differs)
		}
		return nil
	})
	w.must(err)
	if rounds < 2 || busy.compared == 0 {
		t.Errorf("%d rounds, %d times compared", rounds, busy.compared)
	}
}

// moving makes something happen before and after each of its answers.
type moving struct {
	ledger.Reader
	w        *world
	compared int
}

func (r *moving) LookupAccounts(ctx context.Context, ids []ledger.ID) ([]ledger.Account, error) {
	r.compared++
	r.w.happen(10)
	r.w.pass(second)
	found, err := r.Reader.LookupAccounts(ctx, ids)
	r.w.pass(second)
	r.w.happen(10)
	return found, err
}

func (r *moving) QueryTransfers(ctx context.Context, f ledger.QueryFilter) ([]ledger.Transfer, error) {
	found, err := r.Reader.QueryTransfers(ctx, f)
	r.w.open(1)
	r.w.happen(10)
	return found, err
}

// TestDifferences: a journal that is wrong is found out.
func TestDifferences(t *testing.T) {
	w := newWorld(t, 9)
	w.open(6)
	w.happen(60)
	m := w.mirror(w.engine, 100, 100)
	w.must(m.CatchUp(w.ctx, nil))
	w.must(m.Verify(w.ctx, nil))

	var id string
	w.must(w.db.Get(&id, `SELECT debit_account_id FROM ledger_transfers WHERE amount > 0 AND flags = 0 ORDER BY timestamp LIMIT 1`))
	_, err := w.db.Exec(`UPDATE ledger_accounts SET debits_posted = debits_posted + 7, credits_posted = credits_posted + 7 WHERE id = $1`, id)
	w.must(err)
	account, err := ledger.ParseUUID(id)
	w.must(err)

	// By the journal's own sums at once,
	if sum, ok := errors.AsType[*SumError](m.Verify(w.ctx, nil)); !ok || sum.Account != account || sum.More != 0 {
		t.Errorf("the sums are of %v", sum)
	}
	// and by the ledger, when all accounts are compared.
	w.must(m.rewind(w.ctx))
	err = m.CatchUp(w.ctx, nil)
	d, ok := errors.AsType[*DifferenceError](err)
	if !ok || d.Ledger.ID != account || d.More != 0 || !strings.Contains(err.Error(), id) {
		t.Fatalf("a balance changed by hand: %v", err)
	}
	if over, _ := d.Journal.DebitsPosted.Sub(d.Ledger.DebitsPosted); over != ledger.U64(7) {
		t.Errorf("it shows %v and %v", d.Journal.DebitsPosted, d.Ledger.DebitsPosted)
	}
	var checked int64
	w.must(w.db.Get(&checked, `SELECT mirror_checked FROM ledger_state`))
	if checked != 0 {
		t.Errorf("what differs counts as checked up to %d", checked)
	}
	// Copying goes on all the same: the transfers are facts.
	w.happen(5)
	if err := m.CatchUp(w.ctx, nil); err == nil {
		t.Error("and then the difference is forgotten")
	}
	_, want := everything(t, w.ctx, w.engine)
	if _, got := w.journalOf(); !slices.Equal(got, want) {
		t.Errorf("%d transfers, want %d", len(got), len(want))
	}
	_, err = w.db.Exec(`UPDATE ledger_accounts SET debits_posted = debits_posted - 7, credits_posted = credits_posted - 7 WHERE id = $1`, id)
	w.must(err)
	w.must(m.Verify(w.ctx, nil))
}

// TestAnew: what the runbook says of throwing the copy away.
func TestAnew(t *testing.T) {
	w := newWorld(t, 12)
	w.open(5)
	w.happen(50)
	m := w.mirror(w.engine, 20, 20)
	w.must(m.CatchUp(w.ctx, nil))
	book, err := os.ReadFile("../../docs/RUNBOOK.md")
	w.must(err)
	_, recipe, _ := strings.Cut(string(book), "       BEGIN;")
	recipe, _, found := strings.Cut(recipe, "       COMMIT;")
	if !found {
		t.Fatal("the runbook does not say how")
	}
	_, err = w.db.Exec("BEGIN;" + recipe + "COMMIT;")
	w.must(err)
	if a, tr := w.journalOf(); len(a)+len(tr) > 0 {
		t.Fatalf("%d accounts and %d transfers are left", len(a), len(tr))
	}
	w.must(m.CatchUp(w.ctx, nil))
	w.same(w.engine)
	w.must(m.Verify(w.ctx, nil))
}

// TestOtherLedger: another cluster, or one that was restored to the past.
func TestOtherLedger(t *testing.T) {
	w := newWorld(t, 10)
	w.open(4)
	other := rules.NewEngine(w.clock)
	w.must(w.mirror(w.engine, 100, 100).CatchUp(w.ctx, nil))
	if _, err := w.mirror(other, 100, 100).Copy(w.ctx); !errors.Is(err, ErrOtherLedger) || !strings.Contains(err.Error(), "newest account") {
		t.Errorf("with accounts: %v", err)
	}
	w.happen(10)
	w.must(w.mirror(w.engine, 100, 100).CatchUp(w.ctx, nil))
	if _, err := w.mirror(other, 100, 100).Copy(w.ctx); !errors.Is(err, ErrOtherLedger) || !strings.Contains(err.Error(), "newest transfer") {
		t.Errorf("with transfers: %v", err)
	}
}

// TestOneWriter: a mirror and an engine never write the same journal.
func TestOneWriter(t *testing.T) {
	db := pgtest.Open(t)
	early, err := pgengine.New(db)
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	w := newWorld(t, 11) // on the same schema: it is claimed after the engine has looked
	if _, err := pgengine.New(db); !errors.Is(err, pgengine.ErrMirrored) {
		t.Errorf("an engine on a mirror's journal: %v", err)
	}
	_, err = early.CreateAccounts(w.ctx, []ledger.Account{{ID: ledger.U64(1), Ledger: book, Code: 1}})
	if err == nil || !strings.Contains(err.Error(), "ledger_state_one_writer_check") || !errors.Is(err, ledger.ErrNotSent) {
		t.Errorf("an engine that was there before the claim: %v", err)
	}
	w.open(2)
	w.must(w.mirror(w.engine, 100, 100).CatchUp(w.ctx, nil))
	w.must(Claim(w.ctx, w.db)) // again, with something in it
	w.same(w.engine)

	t.Run("the engine was first", func(t *testing.T) {
		db := pgtest.Open(t)
		engine, err := pgengine.New(db)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(db, w.engine, Options{}).Copy(t.Context()); !errors.Is(err, ErrNotMirror) {
			t.Errorf("a journal that nobody claimed: %v", err)
		}
		if _, err := engine.CreateAccounts(t.Context(), []ledger.Account{{ID: ledger.U64(1), Ledger: book, Code: 1}}); err != nil {
			t.Fatal(err)
		}
		if err := Claim(t.Context(), db); !errors.Is(err, ErrNotMirror) {
			t.Errorf("claiming it: %v", err)
		}
		m := New(db, w.engine, Options{})
		if err := m.Verify(t.Context(), nil); !errors.Is(err, ErrNotMirror) {
			t.Errorf("verifying it: %v", err)
		}
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
