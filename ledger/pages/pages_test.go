package pages_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"escrowd/ledger"
	"escrowd/ledger/ledgertest/pgtest"
	"escrowd/ledger/mirror"
	"escrowd/ledger/pages"
	"escrowd/ledger/pgengine"
	"escrowd/ledger/rules"
)

// history is books that a test writes at random, and a plain sum of them.
type history struct {
	t       *testing.T
	ctx     context.Context
	db      *sqlx.DB
	engine  ledger.Engine
	random  *rand.Rand
	follow  func() // copies what is new, where the journal is a mirror's
	ids     uint64
	ledgers []uint32
	codes   map[ledger.ID]int
	of      map[uint32][]ledger.ID
	pending []ledger.Transfer
}

func newHistory(t *testing.T, mirrored bool) *history {
	t.Helper()
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := &history{t: t, ctx: t.Context(), db: pgtest.Open(t), random: rand.New(rand.NewPCG(seed, 0)), follow: func() {},
		ledgers: []uint32{1840, 1392, 2840}, codes: map[ledger.ID]int{}, of: map[uint32][]ledger.ID{}}
	if mirrored {
		h.must(mirror.Claim(h.ctx, h.db))
		engine := rules.NewEngine(func() uint64 { return uint64(time.Now().UnixNano()) })
		h.engine = engine
		h.follow = func() {
			h.must(mirror.New(h.db, engine, mirror.Options{Limit: 1 + h.random.IntN(50)}).CatchUp(h.ctx, nil))
		}
	} else {
		engine, err := pgengine.New(h.db)
		h.must(err)
		t.Cleanup(func() { h.must(engine.Close()) })
		h.engine = engine
	}
	for _, l := range h.ledgers {
		h.accounts(l)
	}
	return h
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) id() ledger.ID { h.ids++; return ledger.U64(h.ids) }

// accounts makes some of each code; none has a limit.
func (h *history) accounts(l uint32) {
	h.t.Helper()
	var list []ledger.Account
	for _, code := range []int{1100, 2000, 2000, 2100, 2100, 2100, 4100} {
		a := ledger.Account{ID: h.id(), Ledger: l, Code: uint16(code)}
		h.codes[a.ID], h.of[l] = code, append(h.of[l], a.ID)
		list = append(list, a)
	}
	results, err := h.engine.CreateAccounts(h.ctx, list)
	h.must(err)
	for _, r := range results {
		if r.Status != ledger.AccountCreated {
			h.t.Fatal(r.Status)
		}
	}
}

// day is a moment that things take effect at: a whole day, so that many share it.
func day(n int) uint64 {
	return uint64(time.Date(2024, 1, 1+n, 0, 0, 0, 0, time.UTC).UnixMicro())
}

const days = 40

// write books n transfers. Each ledger has its own clock, which goes forward a
// little, and now and then back a lot; one in fifty takes effect at any time.
func (h *history) write(n int) {
	h.t.Helper()
	var batch []ledger.Transfer
	at := map[uint32]int{}
	for _, l := range h.ledgers {
		at[l] = h.random.IntN(days)
	}
	for i := range n {
		l := h.ledgers[h.random.IntN(len(h.ledgers))]
		if h.random.IntN(10) == 0 {
			at[l] = min(at[l]+1, days)
		}
		accounts := h.of[l]
		d := h.random.IntN(len(accounts))
		c := h.random.IntN(len(accounts) - 1)
		if c >= d {
			c++
		}
		t := ledger.Transfer{ID: h.id(), DebitAccountID: accounts[d], CreditAccountID: accounts[c], Amount: ledger.U64(1 + h.random.Uint64N(1000)),
			UserData64: day(at[l]), Ledger: l, Code: 1}
		if h.random.IntN(50) == 0 {
			t.UserData64 = day(h.random.IntN(days))
		}
		switch k := h.random.IntN(12); {
		case k == 0:
			t.Flags = ledger.TransferPending
			h.pending = append(h.pending, t)
		case k < 3 && len(h.pending) > 0:
			p := h.pending[0]
			h.pending = h.pending[1:]
			t = ledger.Transfer{ID: t.ID, PendingID: p.ID, UserData64: t.UserData64, Flags: ledger.TransferVoidPending}
			if k == 1 {
				t.Flags, t.Amount = ledger.TransferPostPending, ledger.U64(1+h.random.Uint64N(p.Amount.Lo))
			}
		case k == 3 && i < n-1:
			t.Flags = ledger.TransferLinked
		case k == 4:
			t.Amount.Hi = 1 << 50 // more than 64 bits
		}
		batch = append(batch, t)
	}
	results, err := h.engine.CreateTransfers(h.ctx, batch)
	h.must(err)
	for _, r := range results {
		if r.Status != ledger.TransferCreated {
			h.t.Fatal(r.Status)
		}
	}
	h.follow()
}

func (h *history) transfers() (list []ledger.Transfer) {
	h.t.Helper()
	for from := uint64(0); ; {
		page, err := h.engine.QueryTransfers(h.ctx, ledger.QueryFilter{TimestampMin: from, Limit: 500})
		h.must(err)
		if len(page) == 0 {
			return list
		}
		list = append(list, page...)
		from = page[len(page)-1].Timestamp + 1
	}
}

type pair struct {
	ledger        uint32
	debit, credit int
}

// plain sums what counts in one loop.
func (h *history) plain(list []ledger.Transfer, c pages.Cut) map[pair]string {
	sums := map[pair]*big.Int{}
	for _, t := range list {
		if t.Flags.Has(ledger.TransferPending) || t.Flags.Has(ledger.TransferVoidPending) || t.Timestamp > uint64(c.Booked) ||
			int64(t.UserData64) > c.Effective || !c.All && !slices.Contains(c.Ledgers, int64(t.Ledger)) {
			continue
		}
		k := pair{t.Ledger, h.codes[t.DebitAccountID], h.codes[t.CreditAccountID]}
		if sums[k] == nil {
			sums[k] = new(big.Int)
		}
		amount, _ := new(big.Int).SetString(t.Amount.String(), 10)
		sums[k].Add(sums[k], amount)
	}
	return texts(sums)
}

func texts(sums map[pair]*big.Int) map[pair]string {
	out := map[pair]string{}
	for k, v := range sums {
		if v.Sign() != 0 {
			out[k] = v.String()
		}
	}
	return out
}

func (h *history) sums(c pages.Cut) (map[pair]string, bool) {
	h.t.Helper()
	tx, err := h.db.BeginTxx(h.ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	h.must(err)
	defer tx.Rollback()
	list, unfit, err := pages.Sums(h.ctx, tx, c)
	h.must(err)
	sums := map[pair]*big.Int{}
	for _, s := range list {
		k := pair{s.Ledger, s.Debit, s.Credit}
		if sums[k] == nil {
			sums[k] = new(big.Int)
		}
		sums[k].Add(sums[k], s.Amount)
	}
	var hashjoin string // nobody who goes on with the transaction finds it changed
	h.must(tx.Get(&hashjoin, `SHOW enable_hashjoin`))
	if hashjoin != "on" {
		h.t.Errorf("enable_hashjoin is %s afterwards", hashjoin)
	}
	return texts(sums), unfit
}

// compare takes all kinds of cuts: none, at, before and after transfers and ends
// of pages, on both bases, of some ledgers.
func (h *history) compare(when string) {
	h.t.Helper()
	list := h.transfers()
	cuts := []pages.Cut{{Booked: pages.Everything, Effective: pages.Everything}, {Booked: 0, Effective: pages.Everything}}
	var ends []int64
	h.must(h.db.Select(&ends, `SELECT upto FROM ledger_pages ORDER BY random() LIMIT 6`))
	for range 3 {
		ends = append(ends, int64(list[h.random.IntN(len(list))].Timestamp))
	}
	for _, end := range ends {
		cuts = append(cuts, pages.Cut{Booked: end + int64(h.random.IntN(3)) - 1, Effective: pages.Everything})
	}
	for n := -1; n <= days+1; n += 1 + h.random.IntN(8) {
		cuts = append(cuts, pages.Cut{Booked: pages.Everything, Effective: int64(day(n)) + int64(h.random.IntN(3)) - 1})
	}
	cuts = append(cuts, pages.Cut{Booked: ends[len(ends)-1], Effective: int64(day(days / 2))}) // both at once
	for _, c := range cuts {
		c.All = h.random.IntN(3) > 0
		if !c.All {
			c.Ledgers = []int64{int64(h.ledgers[h.random.IntN(3)]), 99}
		}
		got, unfit := h.sums(c)
		if want := h.plain(list, c); fmt.Sprint(got) != fmt.Sprint(want) {
			h.t.Errorf("%s, %+v:\n got %v\nwant %v", when, c, got, want)
		}
		if unfit {
			h.t.Errorf("%s: pages do not fit", when)
		}
	}
}

func (h *history) close(size int) (transfers int) {
	h.t.Helper()
	dropped, err := pages.Close(h.ctx, h.db, size, func(n int) error { transfers += n; return nil })
	h.must(err)
	if dropped > 0 {
		h.t.Errorf("%d pages dropped", dropped)
	}
	return transfers
}

func (h *history) check(p pages.Part) []string {
	h.t.Helper()
	wrong, err := pages.Check(h.ctx, h.db, p, nil)
	h.must(err)
	var whats []string
	for _, w := range wrong {
		whats = append(whats, fmt.Sprintf("%d: %s", w.Ledger, w.What))
	}
	return whats
}

func (h *history) sound() {
	h.t.Helper()
	if whats := h.check(pages.Part{}); len(whats) > 0 {
		h.t.Errorf("what is sound is wrong: %q", whats)
	}
}

func (h *history) count(query string) (n int) {
	h.t.Helper()
	h.must(h.db.Get(&n, query))
	return n
}

// The sums are those of a plain loop, whenever pages were closed and of whatever
// size, on an engine's journal and on a mirror's.
func TestSums(t *testing.T) {
	for name, mirrored := range map[string]bool{"engine": false, "mirror": true} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, mirrored)
			h.write(30)
			h.compare("never closed")
			for i := range 8 {
				h.write(1 + h.random.IntN(120))
				if h.random.IntN(3) > 0 {
					size := []int{1, 7, 20, 50}[h.random.IntN(4)]
					h.close(size)
					if n, _ := pages.Full(h.ctx, h.db, size); n != 0 {
						t.Errorf("%d transfers are left in full pages of %d", n, size)
					}
				}
				h.compare(fmt.Sprintf("after round %d", i))
			}
			h.write(40)
			if n := h.close(10); n == 0 {
				t.Error("nothing was closed")
			}
			h.compare("in the end")
			h.sound()
			h.must(func() error { _, err := h.db.Exec(`TRUNCATE ledger_pages`); return err }())
			h.compare("emptied")
			h.close(25)
			h.compare("closed anew")
			h.sound()
			if n := h.count(`SELECT count(*) FROM ledger_pages WHERE transfers <> 25`); n > 0 {
				t.Errorf("%d pages are of another size", n)
			}
		})
	}
}

// A run that ends early, or runs again, or many at once, while others write: each
// page is closed once.
func TestCloseAgain(t *testing.T) {
	h := newHistory(t, false)
	h.write(100)
	stop := errors.New("stop")
	closed := 0
	if _, err := pages.Close(h.ctx, h.db, 10, func(int) error { closed++; return stop }); !errors.Is(err, stop) || closed != 1 {
		t.Fatalf("%d pages, %v; want one and an early end", closed, err)
	}
	ended, cancel := context.WithCancel(h.ctx)
	cancel()
	if _, err := pages.Close(ended, h.db, 10, nil); err == nil {
		t.Error("a canceled run says nothing")
	}
	h.compare("ended early")

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if _, err := pages.Close(h.ctx, h.db, 10, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		h.write(30)
	}
	wg.Wait()
	h.close(10)
	n := len(h.transfers())
	if got := h.count(`SELECT count(*) FROM ledger_pages`); got != n/10 {
		t.Errorf("%d pages of %d transfers, want %d", got, n, n/10)
	}
	if again := h.close(10); again != 0 {
		t.Errorf("%d transfers were closed again", again)
	}
	h.compare("closed by many")
	h.sound()
}

// What is wrong in a page is found.
func TestWrongPages(t *testing.T) {
	h := newHistory(t, false)
	for range 5 {
		h.write(60)
	}
	h.close(50)
	h.sound()
	set := func(column, value string) func() {
		return func() {
			h.t.Helper()
			// By hand, and past the trigger that refuses it.
			if _, err := h.db.Exec(`UPDATE ledger_pages SET ` + column + ` = ` + value); err == nil {
				t.Error("a page was changed")
			}
			tx := h.db.MustBegin()
			tx.MustExec(`SET LOCAL session_replication_role = replica`)
			tx.MustExec(`UPDATE ledger_pages SET ` + column + ` = ` + value + ` WHERE after = (SELECT max(after) FROM ledger_pages)`)
			h.must(tx.Commit())
		}
	}
	const page = "does not say what its transfers say"
	for name, c := range map[string]struct {
		plant func()
		whats []string
		part  pages.Part // of the pages, by number: the last one is number 5
	}{
		"an amount":         {set("amounts[1]", "amounts[1] + 1"), []string{"the journal sums to", page}, pages.Part{Which: 0, Of: 24}},
		"an account":        {set("debit_codes[1]", "4100 + debit_codes[1]"), []string{"there are no such accounts", page}, pages.Part{Which: 0, Of: 24}},
		"a moment":          {set("effective_last[1]", "effective_last[1] + 1"), []string{page}, pages.Part{}},
		"a moment, in time": {set("effective_first[1]", "effective_first[1] - 1"), []string{page}, pages.Part{Which: 2, Of: 3}},
		"a number":          {set("counts[1]", "counts[1] + 1"), []string{page}, pages.Part{}},
	} {
		h.must(func() error { _, err := h.db.Exec(`TRUNCATE ledger_pages`); return err }())
		h.close(50)
		if n := h.count(`SELECT count(*) FROM ledger_pages`); n != 6 {
			t.Fatalf("%d pages, want 6", n)
		}
		c.plant()
		whats := strings.Join(h.check(c.part), "\n")
		for _, want := range c.whats {
			if !strings.Contains(whats, want) {
				t.Errorf("%s: found %q, want %q", name, whats, want)
			}
		}
	}
	// In another hour than the page's, only what the accounts contradict shows.
	h.must(func() error { _, err := h.db.Exec(`TRUNCATE ledger_pages`); return err }())
	h.close(50)
	set("effective_last[1]", "effective_last[1] + 1")()
	if whats := h.check(pages.Part{Which: 1, Of: 3}); len(whats) > 0 {
		t.Errorf("a part that the page is not in: %q", whats)
	}
	// An account whose balance is not the sum of its transfers is found, and not
	// blamed on a page.
	h.must(func() error { _, err := h.db.Exec(`TRUNCATE ledger_pages`); return err }())
	h.close(50)
	h.db.MustExec(`UPDATE ledger_accounts SET debits_posted = debits_posted + 5 WHERE code = 4100 AND ledger = 1840`)
	if whats := h.check(pages.Part{}); len(whats) != 1 || !strings.HasPrefix(whats[0], "1840: accounts 4100: the journal sums to") {
		t.Errorf("a wrong balance: %q", whats)
	}
}

// Pages that are not of this journal do not count, and are made anew.
func TestUnfitPages(t *testing.T) {
	h := newHistory(t, false)
	for range 4 {
		h.write(50)
	}
	everything := pages.Cut{Booked: pages.Everything, Effective: pages.Everything, All: true}
	for name, plant := range map[string]string{
		"the first is missing":         `DELETE FROM ledger_pages WHERE after = 0`,
		"one is missing":               `DELETE FROM ledger_pages WHERE after = (SELECT after FROM ledger_pages ORDER BY after OFFSET 3 LIMIT 1)`,
		"one ends at another transfer": `UPDATE ledger_pages SET last = debit_account_id FROM ledger_transfers WHERE upto = timestamp AND after = (SELECT after FROM ledger_pages ORDER BY after OFFSET 2 LIMIT 1)`,
		"one is from the future":       `UPDATE ledger_pages SET upto = upto + 1000000000000 WHERE after = (SELECT max(after) FROM ledger_pages)`,
		"two overlap":                  `INSERT INTO ledger_pages SELECT after + 1, upto + 1, last, transfers, ledgers, debit_codes, credit_codes, amounts, counts, effective_first, effective_last FROM ledger_pages WHERE after = 0`,
	} {
		h.close(10)
		tx := h.db.MustBegin()
		tx.MustExec(`SET LOCAL session_replication_role = replica`)
		res := tx.MustExec(plant)
		if n, _ := res.RowsAffected(); n != 1 {
			t.Fatalf("%s: %d rows", name, n)
		}
		h.must(tx.Commit())
		got, unfit := h.sums(everything)
		if want := h.plain(h.transfers(), everything); !unfit || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: noticed %v\n got %v\nwant %v", name, unfit, got, want)
		}
		dropped, err := pages.Close(h.ctx, h.db, 10, nil)
		h.must(err)
		if dropped == 0 && !strings.Contains(name, "the first") {
			t.Errorf("%s: nothing was thrown away", name)
		}
		if got, unfit := h.sums(everything); unfit || fmt.Sprint(got) != fmt.Sprint(h.plain(h.transfers(), everything)) {
			t.Errorf("%s, and closed anew: noticed %v, %v", name, unfit, got)
		}
		h.sound()
	}
}

// A page with a leg whose account is not in the books is never closed, so that
// reports go on to show it.
func TestNoSuchAccount(t *testing.T) {
	h := newHistory(t, false)
	h.write(50)
	h.close(20)
	h.db.MustExec(`INSERT INTO ledger_transfers SELECT '00000000-0000-0000-0000-00000000abcd', '00000000-0000-0000-0000-00000000aaaa', credit_account_id,
		pending_id, user_data_128, user_data_64, timestamp + 1000000000, user_data_32, timeout, ledger, code, 0, 1
		FROM ledger_transfers WHERE flags & 10 = 0 ORDER BY timestamp DESC LIMIT 1`)
	if _, err := pages.Close(h.ctx, h.db, 1, nil); !errors.Is(err, pages.ErrNoAccount) {
		t.Errorf("%v, want %v", err, pages.ErrNoAccount)
	}
	got, _ := h.sums(pages.Cut{Booked: pages.Everything, Effective: pages.Everything, All: true})
	found := false
	for k := range got {
		found = found || k.debit == 0
	}
	if !found {
		t.Errorf("the leg does not show: %v", got)
	}
	if whats := h.check(pages.Part{}); !strings.Contains(strings.Join(whats, "\n"), "accounts 0: the journal sums to debits 1 and credits 0, and there are no such accounts") {
		t.Errorf("found %q", whats)
	}
}
